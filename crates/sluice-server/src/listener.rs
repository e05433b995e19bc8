//! Binding addresses and accepting from them.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::PathBuf;
use std::task::{Context, Poll};

use sluice_core::config::{ListenConfig, PortConfig, TcpConfig};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::error::Error;
use crate::stream::{Peer, Stream};
use crate::unix_socket::{self, SocketFile};

/// A bound address, before it belongs to a reactor.
pub(crate) enum Bound {
    Tcp(StdTcpListener),
    Unix(StdUnixListener, SocketFile),
}

/// Where a port really listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LocalAddress {
    /// TCP, with the port the system chose.
    Tcp(SocketAddr),
    /// A unix socket file.
    Unix(PathBuf),
}

/// Binds one port. The kernel queues connections from here on; they are accepted later.
pub(crate) fn bind(port: &PortConfig) -> Result<(Bound, LocalAddress), Error> {
    let failed = |address: String| {
        let port = port.name.clone();
        move |source: io::Error| Error::Listen {
            port,
            address,
            source,
        }
    };
    match &port.listen {
        ListenConfig::Tcp {
            host,
            port: number,
            reuse_port,
            ipv6_only,
        } => {
            let shown = if host.contains(':') {
                format!("[{host}]:{number}")
            } else {
                format!("{host}:{number}")
            };
            bind_tcp(host, *number, *reuse_port, *ipv6_only, &port.tcp).map_err(failed(shown))
        }
        ListenConfig::Unix { path, mode } => unix_socket::bind(path, *mode)
            .map(|(listener, file)| {
                (
                    Bound::Unix(listener, file),
                    LocalAddress::Unix(path.clone()),
                )
            })
            .map_err(failed(path.display().to_string())),
    }
}

fn bind_tcp(
    host: &str,
    port: u16,
    reuse_port: bool,
    ipv6_only: bool,
    tcp: &TcpConfig,
) -> io::Result<(Bound, LocalAddress)> {
    let address = (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host name has no address"))?;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for TIME_WAIT of the previous process.
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(ipv6_only)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(tcp.backlog).unwrap_or(i32::MAX))?;
    let listener = StdTcpListener::from(socket);
    let local = listener.local_addr()?;
    Ok((Bound::Tcp(listener), LocalAddress::Tcp(local)))
}

/// A listener on a reactor's runtime.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "removes the file when dropped")] SocketFile,
    ),
}

impl Listener {
    /// Registers with the runtime of the calling thread.
    pub(crate) fn register(bound: Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener, file) => Self::Unix(UnixListener::from_std(listener)?, file),
        })
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        match self {
            Self::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| (Stream::Tcp(stream), Some(peer))),
            Self::Unix(listener, _) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| (Stream::Unix(stream), None)),
        }
    }
}
