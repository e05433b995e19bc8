//! Binding packet sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{setsockopt, sockopt};
use sluice_core::config::{ListenConfig, UdpConfig};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::{IpShape, PeerFamily};
use crate::listener::{self, LocalAddress};
use crate::owner::Owner;
use crate::unix_socket::{self, SocketFile};

/// A bound packet socket, before it belongs to a reactor.
pub(crate) enum BoundPackets {
    Ip(UdpSocket, IpShape),
    Unix(UnixDatagram, SocketFile),
}

impl BoundPackets {
    /// What kind of address its peers have.
    pub(crate) fn family(&self) -> PeerFamily {
        match self {
            Self::Ip(_, shape) => shape.family(),
            Self::Unix(..) => PeerFamily::Unix,
        }
    }
}

/// Binds a UDP port. The system queues packets from here on.
pub(crate) fn bind(
    listen: &ListenConfig,
    udp: &UdpConfig,
) -> io::Result<(BoundPackets, LocalAddress)> {
    match listen {
        ListenConfig::Unix { path, mode, owner } => {
            let owner = owner.as_deref().map(Owner::look_up).transpose()?;
            let owner = owner.unwrap_or_default();
            let (socket, file) = unix_socket::bind_datagram(path, *mode, owner)?;
            Ok((
                BoundPackets::Unix(socket, file),
                LocalAddress::Unix(path.clone()),
            ))
        }
        ListenConfig::Tcp {
            host,
            port,
            reuse_port,
            ipv6_only,
        } => {
            let found = listener::addresses(host, *port)?;
            let address = found.first().ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "the host name has no address")
            })?;
            let (socket, shape) = bind_ip(*address, *reuse_port, *ipv6_only, udp)?;
            let local = socket.local_addr()?;
            Ok((BoundPackets::Ip(socket, shape), LocalAddress::Tcp(local)))
        }
        // The configuration was checked.
        ListenConfig::Inherited { .. } => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn bind_ip(
    address: SocketAddr,
    reuse_port: bool,
    ipv6_only: bool,
    udp: &UdpConfig,
) -> io::Result<(UdpSocket, IpShape)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    let shape = IpShape {
        is_v6: address.is_ipv6(),
        is_wildcard: address.ip().is_unspecified(),
    };
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    if shape.is_v6 {
        socket.set_only_v6(ipv6_only)?;
    }
    if udp.broadcast {
        socket.set_broadcast(true)?;
    }
    if udp.receive_buffer > 0 {
        socket.set_recv_buffer_size(udp.receive_buffer as usize)?;
    }
    if udp.send_buffer > 0 {
        socket.set_send_buffer_size(udp.send_buffer as usize)?;
    }
    if shape.is_wildcard {
        if shape.is_v6 {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
    }
    // Only the groups of this socket, not those that any other of the machine has joined.
    if shape.is_v6 {
        socket.set_multicast_all_v6(false)?;
    } else {
        socket.set_multicast_all_v4(false)?;
    }
    socket.bind(&address.into())?;
    for group in &udp.multicast {
        join(&socket, group).map_err(|error| {
            io::Error::new(error.kind(), format!("multicast group {group}: {error}"))
        })?;
    }
    Ok((socket.into(), shape))
}

/// Joins `group` or `group%interface`; the interface is a name, an index or, for IPv4, an address.
fn join(socket: &Socket, group: &str) -> io::Result<()> {
    let (group, interface) = match group.split_once('%') {
        Some((group, interface)) => (group, Some(interface)),
        None => (group, None),
    };
    match group.parse::<IpAddr>() {
        Ok(IpAddr::V4(group)) => {
            let interface = match interface.map(str::parse::<Ipv4Addr>) {
                None => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
                Some(Ok(address)) => InterfaceIndexOrAddress::Address(address),
                Some(Err(_)) => {
                    InterfaceIndexOrAddress::Index(interface_index(interface.unwrap_or_default())?)
                }
            };
            socket.join_multicast_v4_n(&group, &interface)
        }
        Ok(IpAddr::V6(group)) => {
            let index = interface.map_or(Ok(0), interface_index)?;
            socket.join_multicast_v6(&group, index)
        }
        Err(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn interface_index(name: &str) -> io::Result<u32> {
    match name.parse() {
        Ok(index) => Ok(index),
        Err(_) => Ok(if_nametoindex(name)?),
    }
}
