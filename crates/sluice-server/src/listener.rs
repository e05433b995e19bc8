//! Binding addresses, and the stream types that come from them.

use std::io;
use std::net::{
    SocketAddr, TcpListener as StdTcpListener, TcpStream as StdTcpStream, ToSocketAddrs,
};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sluice_core::config::{ListenConfig, PortConfig, TcpConfig};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::error::Error;

/// A bound address, before it belongs to a reactor.
pub(crate) enum Bound {
    Tcp(StdTcpListener),
    Unix(StdUnixListener, SocketFile),
}

/// Removes the socket file when the port goes away.
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is fine; anything else cannot be helped at this point.
        let _ = std::fs::remove_file(&self.0);
    }
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
        ListenConfig::Unix { path, mode } => {
            bind_unix(path, *mode).map_err(failed(path.display().to_string()))
        }
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

fn bind_unix(path: &Path, mode: Option<u32>) -> io::Result<(Bound, LocalAddress)> {
    remove_stale_socket(path)?;
    let listener = StdUnixListener::bind(path)?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode.unwrap_or(0o660)))?;
    listener.set_nonblocking(true)?;
    Ok((
        Bound::Unix(listener, file),
        LocalAddress::Unix(path.to_owned()),
    ))
}

/// A socket file that nobody answers on is a leftover; anything else there is not ours to remove.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => match StdUnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)
            }
            Err(error) => Err(error),
        },
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
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

/// The address of a peer; a unix socket has none.
pub(crate) type Peer = Option<SocketAddr>;

/// A connected byte stream on a reactor's runtime.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connected byte stream on its way to another reactor.
pub(crate) enum Detached {
    Tcp(StdTcpStream),
    Unix(StdUnixStream),
}

impl Stream {
    /// Takes the stream off this reactor's runtime.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Self::Tcp(stream) => Detached::Tcp(stream.into_std()?),
            Self::Unix(stream) => Detached::Unix(stream.into_std()?),
        })
    }

    /// Registers with the runtime of the calling thread.
    pub(crate) fn attach(detached: Detached) -> io::Result<Self> {
        Ok(match detached {
            Detached::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream)?),
            Detached::Unix(stream) => Self::Unix(UnixStream::from_std(stream)?),
        })
    }

    /// Options of an accepted connection. Failing to set one is no reason to refuse the peer.
    pub(crate) fn configure(&self, tcp: &TcpConfig) {
        if let Self::Tcp(stream) = self {
            let _ = stream.set_nodelay(tcp.nodelay);
            if tcp.keep_alive > 0 {
                let keepalive =
                    TcpKeepalive::new().with_time(Duration::from_millis(tcp.keep_alive));
                let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
            }
        }
    }

    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Reads what is there; registers the waker when nothing is.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    /// Writes what the socket takes; registers the waker when it takes nothing.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => poll_write(Pin::new(stream), cx, slices),
            Self::Unix(stream) => poll_write(Pin::new(stream), cx, slices),
        }
    }

    /// Sends FIN; the read half stays open.
    pub(crate) fn shutdown_write(&mut self, cx: &mut Context<'_>) {
        let _ = match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        };
    }

    /// Makes the coming drop send RST instead of FIN, so that a cut answer cannot look complete.
    pub(crate) fn abort_on_drop(&self) {
        if let Self::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

fn poll_write<S: AsyncWrite>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    slices: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    match slices {
        // write(2) is a little cheaper than writev(2), and one slice is the usual case.
        [one] => stream.poll_write(cx, one),
        many => stream.poll_write_vectored(cx, many),
    }
}
