//! The other end of a packet, and how a record names it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sluice_shared::record::Words;

/// Which addresses a packet socket deals with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerFamily {
    V4,
    /// IPv4, too, unless `ipv6Only`.
    V6,
    Unix,
}

impl PeerFamily {
    /// The longest packet of the family, in bytes: what the length of UDP (and of IPv4) can say, 64 KiB on unix sockets.
    pub(crate) fn packet_bytes(self) -> usize {
        match self {
            Self::V4 => 65_507,
            Self::V6 => 65_527,
            Self::Unix => 65_536,
        }
    }
}

/// Where a packet comes from or goes to, with the address of ours that it came to. IPv4 is never in its mapped form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    V4 {
        peer: SocketAddrV4,
        local: Option<Ipv4Addr>,
    },
    V6 {
        peer: SocketAddrV6,
        local: Option<Ipv6Addr>,
    },
    /// Empty: a socket without a name, which cannot be replied to.
    Unix(PathBuf),
}

/// w1 flags of the records, shared by both directions.
const V6: u8 = sluice_shared::record::packet_flag::V6;
const UNIX: u8 = sluice_shared::record::packet_flag::UNIX;

/// Length of an IPv6 peer behind a payload: address, scope, local address.
const V6_BYTES: usize = 36;

impl Peer {
    /// `local`: where it came to, if that is worth a word.
    pub(crate) fn new(peer: SocketAddr, local: Option<IpAddr>) -> Self {
        match peer {
            SocketAddr::V4(peer) => Self::V4 {
                peer,
                local: local.and_then(|local| match local.to_canonical() {
                    IpAddr::V4(local) => Some(local),
                    IpAddr::V6(_) => None,
                }),
            },
            SocketAddr::V6(peer) => match peer.ip().to_ipv4_mapped() {
                Some(mapped) => Self::new(SocketAddrV4::new(mapped, peer.port()).into(), local),
                None => Self::V6 {
                    peer,
                    local: local.and_then(|local| match local {
                        IpAddr::V6(local) => Some(local),
                        IpAddr::V4(_) => None,
                    }),
                },
            },
        }
    }

    /// The peer that a command or a test names.
    pub(crate) fn unix(path: &[u8]) -> Self {
        Self::Unix(Path::new(std::ffi::OsStr::from_bytes(path)).to_owned())
    }

    /// What dispatch by address looks at.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::V4 { peer, .. } => Some((*peer.ip()).into()),
            Self::V6 { peer, .. } => Some((*peer.ip()).into()),
            Self::Unix(_) => None,
        }
    }

    /// Whether a socket of this family can reach it.
    pub(crate) fn is_reachable_by(&self, family: PeerFamily) -> bool {
        match self {
            Self::V4 { peer, .. } => family != PeerFamily::Unix && peer.port() != 0,
            Self::V6 { peer, .. } => family == PeerFamily::V6 && peer.port() != 0,
            Self::Unix(path) => family == PeerFamily::Unix && !path.as_os_str().is_empty(),
        }
    }

    /// Writes what fits into the words of a record, the rest into `bytes`.
    pub(crate) fn write(&self, words: Words, bytes: &mut Vec<u8>) -> Words {
        bytes.clear();
        match self {
            Self::V4 { peer, local } => words.with_peer(
                u32::from(*peer.ip()),
                peer.port(),
                local.map_or(0, u32::from),
            ),
            Self::V6 { peer, local } => {
                bytes.extend_from_slice(&peer.ip().octets());
                bytes.extend_from_slice(&peer.scope_id().to_le_bytes());
                bytes.extend_from_slice(&local.unwrap_or(Ipv6Addr::UNSPECIFIED).octets());
                words
                    .with_flag(V6)
                    .with_peer(V6_BYTES as u32, peer.port(), 0)
            }
            Self::Unix(path) => {
                bytes.extend_from_slice(path.as_os_str().as_bytes());
                words.with_flag(UNIX).with_peer(bytes.len() as u32, 0, 0)
            }
        }
    }

    /// How many bytes beside the words a peer has that [`write`](Self::write) has written.
    pub(crate) fn written_len(words: &Words) -> usize {
        if words.has(V6) || words.has(UNIX) {
            words.peer() as usize
        } else {
            0
        }
    }

    /// The reverse; `bytes` are those behind the payload. `None` for what cannot have been written by [`write`](Self::write).
    pub(crate) fn read(words: &Words, bytes: &[u8]) -> Option<Self> {
        if words.has(UNIX) {
            return Some(Self::unix(bytes));
        }
        let port = words.peer_port();
        if words.has(V6) {
            let octets = |range: std::ops::Range<usize>| -> Option<[u8; 16]> {
                bytes.get(range)?.try_into().ok()
            };
            let scope = u32::from_le_bytes(bytes.get(16..20)?.try_into().ok()?);
            let local = Ipv6Addr::from(octets(20..V6_BYTES)?);
            let address = SocketAddrV6::new(octets(0..16)?.into(), port, 0, scope);
            return Some(Self::V6 {
                peer: address,
                local: (!local.is_unspecified()).then_some(local),
            });
        }
        let local = Ipv4Addr::from(words.local());
        Some(Self::V4 {
            peer: SocketAddrV4::new(words.peer().into(), port),
            local: (!local.is_unspecified()).then_some(local),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sluice_shared::record::EventKind;

    use super::*;

    fn any_peer() -> impl Strategy<Value = Peer> {
        prop_oneof![
            (
                any::<u32>(),
                any::<u16>(),
                proptest::option::of(1..=u32::MAX)
            )
                .prop_map(|(ip, port, local)| Peer::V4 {
                    peer: SocketAddrV4::new(ip.into(), port),
                    local: local.map(Ipv4Addr::from),
                }),
            (
                any::<u128>(),
                any::<u16>(),
                any::<u32>(),
                proptest::option::of(1..=u128::MAX)
            )
                .prop_map(|(ip, port, scope, local)| Peer::V6 {
                    peer: SocketAddrV6::new(ip.into(), port, 0, scope),
                    local: local.map(Ipv6Addr::from),
                }),
            proptest::collection::vec(1..=255_u8, 0..108).prop_map(|path| Peer::unix(&path)),
        ]
    }

    proptest! {
        #[test]
        fn a_record_gives_back_the_peer_it_was_written_with(peer in any_peer(), junk in proptest::collection::vec(any::<u8>(), 0..50)) {
            let mut bytes = junk;
            let words = peer.write(Words::event(EventKind::Packet, 0), &mut bytes);
            prop_assert_eq!(Peer::read(&words, &bytes), Some(peer));
        }
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:9".parse().expect("it is an address");
        let local: IpAddr = "::ffff:192.0.2.2".parse().expect("it is an address");
        let plain: SocketAddr = "192.0.2.1:9".parse().expect("it is an address");
        assert_eq!(
            Peer::new(mapped, Some(local)),
            Peer::new(plain, Some(Ipv4Addr::new(192, 0, 2, 2).into()))
        );
    }

    #[test]
    fn who_has_no_name_cannot_be_reached() {
        assert!(!Peer::unix(b"").is_reachable_by(PeerFamily::Unix));
        assert!(Peer::unix(b"/a").is_reachable_by(PeerFamily::Unix));
        assert!(!Peer::unix(b"/a").is_reachable_by(PeerFamily::V4));
        let v4 = Peer::new("192.0.2.1:9".parse().expect("it is an address"), None);
        assert!(v4.is_reachable_by(PeerFamily::V4) && v4.is_reachable_by(PeerFamily::V6));
        let v6 = Peer::new("[2001:db8::1]:9".parse().expect("it is an address"), None);
        assert!(!v6.is_reachable_by(PeerFamily::V4) && v6.is_reachable_by(PeerFamily::V6));
    }
}
