//! Packets on their way out.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{UdpSocket, UnixDatagram};

use super::{IpShape, Peer, batch};

/// What a packet counts for beside its bytes, so that empty ones are bounded, too.
const OVERHEAD: usize = 64;
/// Longest packet that is sent in a run: below every path's MTU, which a segment must fit into.
const RUN_PACKET_MAX: usize = 1200;
/// Packets of a run, at most: what every kernel with UDP_SEGMENT takes (`UDP_MAX_SEGMENTS`).
const RUN_MAX: usize = 64;
/// Bytes of a run, at most: it is one packet on its way to the network card.
const RUN_BYTES_MAX: usize = 65_000;

/// What has become of packets that waited.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Refused by the system: too long for the path, no route, no memory, nobody there.
    pub(crate) failed: u64,
}

struct Outgoing {
    to: Peer,
    len: usize,
}

/// What waits to be sent by one socket, bounded.
pub(crate) struct Outbox {
    /// One packet behind the other, so that a run of them is one piece.
    bytes: Vec<u8>,
    /// Where the first packet begins in it.
    start: usize,
    packets: VecDeque<Outgoing>,
    limit: usize,
    /// UDP_SEGMENT works here, as far as we know.
    runs: bool,
    /// Packets of the run that the last step has tried.
    in_run: usize,
}

impl Outbox {
    /// An empty one for `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            packets: VecDeque::new(),
            limit,
            runs: true,
            in_run: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Appends a packet. False, and nothing is taken, when as much waits as may.
    pub(crate) fn push(&mut self, to: Peer, data: &[u8]) -> bool {
        let waiting = self.len() + self.packets.len() * OVERHEAD;
        if waiting > 0 && waiting + data.len() + OVERHEAD > self.limit {
            return false;
        }
        if self.start > 0 && self.bytes.len() + data.len() > self.bytes.capacity() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(data);
        self.packets.push_back(Outgoing {
            to,
            len: data.len(),
        });
        true
    }

    /// Sends the first packets by one system call; how many it has taken.
    pub(super) fn step(&mut self, socket: &UdpSocket, shape: IpShape) -> io::Result<usize> {
        let (run, bytes) = self.run();
        self.in_run = run;
        let Some((to, source)) = self.packets.front().and_then(|first| address(&first.to)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if run > 1 {
            let segment = self.packets[0].len as u16;
            let bytes = &self.bytes[self.start..self.start + bytes];
            return batch::send_run(socket, shape, bytes, segment, to, source).map(|()| run);
        }
        let mut count = 0;
        let mut end = self.start;
        let mut singles = Vec::with_capacity(self.packets.len().min(batch::PACKETS));
        for packet in self.packets.iter().take(batch::PACKETS) {
            match address(&packet.to) {
                Some((to, from)) if from == source => {
                    singles.push((&self.bytes[end..end + packet.len], to));
                }
                _ => break,
            }
            end += packet.len;
            count += 1;
        }
        debug_assert!(count > 0);
        batch::send(socket, shape, singles.into_iter(), source)
    }

    /// The same on a unix socket.
    pub(super) fn step_unix(&mut self, socket: &UnixDatagram) -> io::Result<usize> {
        self.in_run = 1;
        match self.packets.front() {
            Some(Outgoing {
                to: Peer::Unix(path),
                len,
            }) => {
                let data = &self.bytes[self.start..self.start + len];
                batch::send_unix(socket, data, path).map(|()| 1)
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Takes out what a step has sent, or what it could not send.
    pub(super) fn settle(&mut self, step: io::Result<usize>, sent: &mut Sent) {
        match step {
            Ok(count) => {
                for _ in 0..count {
                    if let Some(len) = self.pop() {
                        sent.packets += 1;
                        sent.bytes += len as u64;
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // One by one, then: a card without checksums (EIO), a path that is narrower than usual.
            Err(_) if self.in_run > 1 => self.runs = false,
            Err(_) => {
                self.pop();
                sent.failed += 1;
            }
        }
    }

    fn pop(&mut self) -> Option<usize> {
        let Outgoing { len, .. } = self.packets.pop_front()?;
        self.start += len;
        if self.packets.is_empty() {
            self.start = 0;
            self.bytes.clear();
            // What a burst of large packets has left.
            self.bytes.shrink_to(self.limit.min(256 * 1024));
        }
        Some(len)
    }

    /// How many of the first packets can leave as one, and their bytes.
    fn run(&self) -> (usize, usize) {
        let Some(first) = self.packets.front() else {
            return (0, 0);
        };
        if !self.runs || first.len == 0 || first.len > RUN_PACKET_MAX {
            return (1, first.len);
        }
        let (mut count, mut bytes) = (1, first.len);
        for next in self.packets.iter().skip(1).take(RUN_MAX - 1) {
            let fits = next.len > 0
                && next.len <= first.len
                && bytes + next.len <= RUN_BYTES_MAX
                && next.to == first.to;
            if !fits {
                break;
            }
            count += 1;
            bytes += next.len;
            if next.len < first.len {
                // Only the last one may be shorter.
                break;
            }
        }
        (count, bytes)
    }
}

/// Where it goes to, and from.
fn address(peer: &Peer) -> Option<(SocketAddr, Option<IpAddr>)> {
    match peer {
        Peer::V4 { peer, local } => Some(((*peer).into(), local.map(IpAddr::from))),
        Peer::V6 { peer, local } => Some(((*peer).into(), local.map(IpAddr::from))),
        Peer::Unix(_) => None,
    }
}
