//! Many packets by one system call.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6,
    SockaddrLike, UnixAddr, recvfrom, recvmmsg, sendmmsg, sendmsg, sendto,
};

use tokio::net::{UdpSocket, UnixDatagram};

use super::{IpShape, Peer};

/// Packets by one system call, at most.
pub(super) const PACKETS: usize = 64;
/// Room for each: more than any packet has.
const SLOT: usize = 64 * 1024;

/// What system calls write to, made once per thread: the headers are tied to their thread, and memory that was never written costs
/// none.
struct Scratch {
    bytes: Vec<u8>,
    v4: MultiHeaders<SockaddrIn>,
    v6: MultiHeaders<SockaddrIn6>,
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
    static SEND_V4: RefCell<Option<Headers<SockaddrIn>>> = const { RefCell::new(None) };
    static SEND_V6: RefCell<Option<Headers<SockaddrIn6>>> = const { RefCell::new(None) };
}

impl Scratch {
    fn new() -> Self {
        Self {
            bytes: vec![0; PACKETS * SLOT],
            v4: MultiHeaders::preallocate(PACKETS, Some(cmsg_space!(in_pktinfo))),
            v6: MultiHeaders::preallocate(PACKETS, Some(cmsg_space!(in6_pktinfo))),
        }
    }
}

/// Receives up to [`PACKETS`]; how many.
pub(super) fn receive(
    socket: &UdpSocket,
    shape: IpShape,
    visit: &mut dyn FnMut(&[u8], Peer),
) -> io::Result<usize> {
    SCRATCH.with_borrow_mut(|scratch| {
        let Scratch { bytes, v4, v6 } = scratch.get_or_insert_with(Scratch::new);
        if shape.is_v6 {
            receive_by(socket, shape, v6, bytes, visit)
        } else {
            receive_by(socket, shape, v4, bytes, visit)
        }
    })
}

fn receive_by<S: SockaddrLike + Copy + Into<SocketAddr>>(
    socket: &UdpSocket,
    shape: IpShape,
    headers: &mut MultiHeaders<S>,
    bytes: &mut [u8],
    visit: &mut dyn FnMut(&[u8], Peer),
) -> io::Result<usize> {
    let mut slots = bytes.chunks_exact_mut(SLOT);
    let mut slices: [[IoSliceMut<'_>; 1]; PACKETS] =
        std::array::from_fn(|_| [IoSliceMut::new(slots.next().unwrap_or_default())]);
    let mut count = 0;
    for packet in recvmmsg(
        socket.as_raw_fd(),
        headers,
        slices.iter_mut(),
        MsgFlags::MSG_DONTWAIT,
        None,
    )? {
        count += 1;
        let Some(from) = packet.address else { continue };
        let local = if shape.is_wildcard {
            packet.cmsgs()?.find_map(|control| local_of(&control))
        } else {
            None
        };
        // An empty packet has no slices.
        let data = packet.iovs().next().unwrap_or_default();
        visit(data, Peer::new(from.into(), local));
    }
    Ok(count)
}

/// Where a packet was sent to: a group, or the address of ours that it came to.
fn local_of(control: &ControlMessageOwned) -> Option<IpAddr> {
    match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            let to = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr));
            let ours = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
            Some(if to.is_multicast() { to } else { ours }.into())
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// Receives up to [`PACKETS`]; how many.
pub(super) fn receive_unix(
    socket: &UnixDatagram,
    visit: &mut dyn FnMut(&[u8], Peer),
) -> io::Result<usize> {
    SCRATCH.with_borrow_mut(|scratch| {
        let Scratch { bytes, .. } = scratch.get_or_insert_with(Scratch::new);
        for count in 0..PACKETS {
            // One byte more than a packet may have: what is too long is cut by the system, and seen by its length.
            match recvfrom::<UnixAddr>(socket.as_raw_fd(), &mut bytes[..=SLOT]) {
                Ok((len, _)) if len > SLOT => {}
                Ok((len, from)) => {
                    let path = from.as_ref().and_then(UnixAddr::path);
                    visit(
                        &bytes[..len],
                        Peer::Unix(path.unwrap_or(Path::new("")).to_owned()),
                    );
                }
                Err(_) if count > 0 => return Ok(count),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(PACKETS)
    })
}

/// Sends one packet.
pub(super) fn send_unix(socket: &UnixDatagram, data: &[u8], to: &Path) -> io::Result<()> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendto(socket.as_raw_fd(), data, &UnixAddr::new(to)?, flags)?;
    Ok(())
}

/// What a system call sends from.
struct Headers<S> {
    plain: MultiHeaders<S>,
    /// With room for the address of ours.
    sourced: MultiHeaders<S>,
}

impl<S: SockaddrLike + Copy> Headers<S> {
    fn new(space: Vec<u8>) -> Self {
        Self {
            plain: MultiHeaders::preallocate(PACKETS, None),
            sourced: MultiHeaders::preallocate(PACKETS, Some(space)),
        }
    }
}

/// Sends `packets`, at most [`PACKETS`], from one address of ours, if it matters; how many of them the socket has taken.
pub(super) fn send<'a>(
    socket: &UdpSocket,
    shape: IpShape,
    packets: impl ExactSizeIterator<Item = (&'a [u8], SocketAddr)>,
    source: Option<IpAddr>,
) -> io::Result<usize> {
    let mut slices = Vec::with_capacity(packets.len());
    let source = Source::new(shape, source);
    if shape.is_v6 {
        let mut to = Vec::with_capacity(packets.len());
        for (bytes, address) in packets {
            slices.push([IoSlice::new(bytes)]);
            to.push(Some(v6(address)));
        }
        SEND_V6.with_borrow_mut(|headers| {
            let headers = headers.get_or_insert_with(|| Headers::new(cmsg_space!(in6_pktinfo)));
            send_by(socket, headers, &slices, &to, &source)
        })
    } else {
        let mut to = Vec::with_capacity(packets.len());
        for (bytes, address) in packets {
            slices.push([IoSlice::new(bytes)]);
            to.push(Some(v4(address)));
        }
        SEND_V4.with_borrow_mut(|headers| {
            let headers = headers.get_or_insert_with(|| Headers::new(cmsg_space!(in_pktinfo)));
            send_by(socket, headers, &slices, &to, &source)
        })
    }
}

fn send_by<S: SockaddrLike + Copy>(
    socket: &UdpSocket,
    headers: &mut Headers<S>,
    slices: &[[IoSlice<'_>; 1]],
    to: &[Option<S>],
    source: &Source,
) -> io::Result<usize> {
    let fd = socket.as_raw_fd();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let sent = match source.control() {
        None => sendmmsg(fd, &mut headers.plain, slices, to, [], flags)?.count(),
        Some(control) => sendmmsg(fd, &mut headers.sourced, slices, to, [control], flags)?.count(),
    };
    Ok(sent)
}

/// Sends packets of `segment` bytes, the last one may be shorter, to one peer, as one that the system, or the network card, takes
/// apart.
pub(super) fn send_run(
    socket: &UdpSocket,
    shape: IpShape,
    bytes: &[u8],
    segment: u16,
    to: SocketAddr,
    source: Option<IpAddr>,
) -> io::Result<()> {
    let source = Source::new(shape, source);
    let controls: Vec<_> = std::iter::once(ControlMessage::UdpGsoSegments(&segment))
        .chain(source.control())
        .collect();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let slices = [IoSlice::new(bytes)];
    let fd = socket.as_raw_fd();
    if shape.is_v6 {
        sendmsg(fd, &slices, &controls, flags, Some(&v6(to)))?;
    } else {
        sendmsg(fd, &slices, &controls, flags, Some(&v4(to)))?;
    }
    Ok(())
}

/// The address that a packet leaves from, in place of the one that the system would choose.
enum Source {
    System,
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl Source {
    fn new(shape: IpShape, source: Option<IpAddr>) -> Self {
        match source {
            // A packet to a group is answered from an address. One of a link would need its interface, which the peer's scope names.
            Some(ip) if ip.is_multicast() || ip.is_unspecified() => Self::System,
            Some(IpAddr::V6(ip)) if ip.is_unicast_link_local() => Self::System,
            Some(ip) if shape.is_v6 => Self::V6(in6_pktinfo {
                ipi6_addr: in6_addr {
                    s6_addr: mapped(ip).octets(),
                },
                ipi6_ifindex: 0,
            }),
            Some(IpAddr::V4(ip)) => Self::V4(in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr {
                    s_addr: u32::from(ip).to_be(),
                },
                ipi_addr: in_addr { s_addr: 0 },
            }),
            Some(IpAddr::V6(_)) | None => Self::System,
        }
    }

    fn control(&self) -> Option<ControlMessage<'_>> {
        match self {
            Self::System => None,
            Self::V4(info) => Some(ControlMessage::Ipv4PacketInfo(info)),
            Self::V6(info) => Some(ControlMessage::Ipv6PacketInfo(info)),
        }
    }
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn v6(address: SocketAddr) -> SockaddrIn6 {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        SocketAddr::V6(v6) => v6.into(),
    }
}

/// Who queues packets has seen to it that no other address comes here.
fn v4(address: SocketAddr) -> SockaddrIn {
    match address {
        SocketAddr::V4(v4) => v4.into(),
        SocketAddr::V6(_) => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into(),
    }
}
