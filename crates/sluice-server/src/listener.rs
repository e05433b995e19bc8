//! Binding addresses and accepting from them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use sluice_core::config::{ListenConfig, PortConfig, PortProtocol, TcpConfig};
use sluice_shared::{TcpOption, set_tcp_option};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::error::Error;
use crate::inherited;
use crate::owner::Owner;
use crate::stream::{Peer, Stream};
use crate::udp::{self, BoundPackets, PeerFamily};
use crate::unix_socket::{self, SocketFile};

/// A bound address, before it belongs to a reactor.
pub(crate) enum Bound {
    Tcp(StdTcpListener),
    /// The file is there if it is ours to remove.
    Unix(StdUnixListener, Option<SocketFile>),
    /// No listener: it takes packets.
    Packets(BoundPackets),
}

impl Bound {
    /// What it can send packets to; `None` when it takes connections.
    pub(crate) fn packet_family(&self) -> Option<PeerFamily> {
        match self {
            Self::Packets(bound) => Some(bound.family()),
            _ => None,
        }
    }
}

/// Where a port really listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LocalAddress {
    /// TCP, with the port the system chose.
    Tcp(SocketAddr),
    /// A unix socket file, or with a NUL in front a name.
    Unix(PathBuf),
    /// Nowhere: this is the address that was wanted.
    Named(String, u16),
}

impl LocalAddress {
    /// What stands for the address of a port that could not be bound.
    pub(crate) fn wanted(listen: &ListenConfig) -> Self {
        match listen {
            ListenConfig::Tcp { host, port, .. } => Self::Named(host.clone(), *port),
            ListenConfig::Unix { path, .. } => Self::Unix(path.clone()),
            ListenConfig::Inherited { fd } => {
                Self::Unix(format!("/proc/self/fd/{}", inherited::shown(fd)).into())
            }
        }
    }
}

/// Binds one port, by a name with several addresses all of them. The kernel queues connections from here on; they are accepted
/// later. Of several addresses the first is told.
pub(crate) fn bind(port: &PortConfig) -> Result<(Vec<Bound>, LocalAddress), Error> {
    let failed = |address: String| {
        let port = port.name.clone();
        move |source: io::Error| Error::Listen {
            port,
            address,
            source,
        }
    };
    let one = |(bound, address)| (vec![bound], address);
    if port.protocol == PortProtocol::Udp {
        return udp::bind(&port.listen, &port.udp)
            .map(|(bound, local)| one((Bound::Packets(bound), local)))
            .map_err(failed(shown(&port.listen)));
    }
    match &port.listen {
        ListenConfig::Tcp {
            host,
            port: number,
            reuse_port,
            ipv6_only,
        } => addresses(host, *number)
            .and_then(|addresses| bind_all(&addresses, *reuse_port, *ipv6_only, &port.tcp))
            .map_err(failed(shown(&port.listen))),
        ListenConfig::Unix { path, mode, owner } => {
            bind_unix(path, *mode, owner.as_deref(), port.tcp.backlog)
                .map(one)
                .map_err(failed(shown_path(path)))
        }
        ListenConfig::Inherited { fd } => inherited::find(fd)
            .and_then(|number| inherited::adopt(number, port.tcp.backlog))
            .map(one)
            .map_err(failed(format!("descriptor {}", inherited::shown(fd)))),
    }
}

/// An address as an error names it.
fn shown(listen: &ListenConfig) -> String {
    match listen {
        ListenConfig::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
        ListenConfig::Tcp { host, port, .. } => format!("{host}:{port}"),
        ListenConfig::Unix { path, .. } => shown_path(path),
        ListenConfig::Inherited { fd } => format!("descriptor {}", inherited::shown(fd)),
    }
}

/// A name in the abstract namespace is shown as other tools do, with `@` for the NUL.
pub(crate) fn shown_path(path: &Path) -> String {
    let shown = path.display().to_string();
    match shown.strip_prefix('\0') {
        Some(name) => format!("@{name}"),
        None => shown,
    }
}

/// What `host` stands for, IPv4 first: a client that tries one address of a name only tries that.
pub(crate) fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in (host, port).to_socket_addrs()? {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if host.eq_ignore_ascii_case("localhost") {
        // Whatever the resolver of this machine makes of it, its clients' resolvers may make the other of it (RFC 6761, 6.3).
        for address in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let address = SocketAddr::new(address, port);
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    found.sort_by_key(SocketAddr::is_ipv6);
    found.truncate(ADDRESSES_MAX);
    Ok(found)
}

/// Binds all of `addresses` to the same number. One that this machine does not have is left out if it has another.
fn bind_all(
    addresses: &[SocketAddr],
    reuse_port: bool,
    ipv6_only: bool,
    tcp: &TcpConfig,
) -> io::Result<(Vec<Bound>, LocalAddress)> {
    let mut tries = 0;
    'free: loop {
        let mut bound = Vec::new();
        let mut first: Option<SocketAddr> = None;
        let mut missing = None;
        for &address in addresses {
            let mut address = address;
            if let (0, Some(first)) = (address.port(), first) {
                address.set_port(first.port());
            }
            match bind_tcp(address, reuse_port, ipv6_only, tcp) {
                Ok((listener, local)) => {
                    bound.push(Bound::Tcp(listener));
                    first.get_or_insert(local);
                }
                Err(error) if is_missing(&error) => missing = Some(error),
                // The number that was free on the first address is taken on this one: another may be free on both.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && first.is_some_and(|first| first.port() != addresses[0].port())
                        && tries < FREE_TRIES =>
                {
                    tries += 1;
                    continue 'free;
                }
                Err(error) => return Err(error),
            }
        }
        return match first {
            Some(first) => Ok((bound, LocalAddress::Tcp(first))),
            None => Err(missing.unwrap_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "the host name has no address")
            })),
        };
    }
}

/// A machine without IPv6, or one of the addresses of a name that is another machine's.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bind_tcp(
    address: SocketAddr,
    reuse_port: bool,
    ipv6_only: bool,
    tcp: &TcpConfig,
) -> io::Result<(StdTcpListener, SocketAddr)> {
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
    if tcp.fast_open {
        // Where the system has none, connections are opened as ever.
        let _ = set_tcp_option(socket.as_fd(), TcpOption::FastOpen, FAST_OPEN_QUEUE);
    }
    if tcp.defer_accept > 0 {
        let seconds = tcp.defer_accept.div_ceil(1000) as u32;
        let _ = set_tcp_option(socket.as_fd(), TcpOption::DeferAccept, seconds);
    }
    socket.listen(backlog(tcp.backlog))?;
    let listener = StdTcpListener::from(socket);
    let local = listener.local_addr()?;
    Ok((listener, local))
}

fn bind_unix(
    path: &Path,
    mode: Option<u32>,
    owner: Option<&str>,
    backlog: u32,
) -> io::Result<(Bound, LocalAddress)> {
    let owner = owner.map(Owner::look_up).transpose()?.unwrap_or_default();
    let (listener, file) = if path.as_os_str().as_encoded_bytes().starts_with(b"\0") {
        (unix_socket::bind_abstract(path, backlog)?, None)
    } else {
        let (listener, file) = unix_socket::bind(path, mode, owner, backlog)?;
        (listener, Some(file))
    };
    Ok((
        Bound::Unix(listener, file),
        LocalAddress::Unix(path.to_owned()),
    ))
}

pub(crate) fn backlog(backlog: u32) -> i32 {
    i32::try_from(backlog).unwrap_or(i32::MAX)
}

/// Addresses of one host name that are bound; what is beyond is no name of this machine.
const ADDRESSES_MAX: usize = 8;
/// How often a free number is looked for that is free on all addresses.
const FREE_TRIES: u32 = 10;
/// Connections of which data has come and the handshake has not ended: the kernel answers those beyond without the data.
const FAST_OPEN_QUEUE: u32 = 256;

/// A listener on a reactor's runtime.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "removes the file when dropped")] Option<SocketFile>,
    ),
}

impl Listener {
    /// Registers with the runtime of the calling thread.
    pub(crate) fn register(bound: Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener, file) => Self::Unix(UnixListener::from_std(listener)?, file),
            Bound::Packets(_) => return Err(io::ErrorKind::Unsupported.into()),
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
