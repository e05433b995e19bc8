//! Packets from their sockets to workers, and back.
//!
//! Whatever happens to a packet's worker before its handler runs, the packet goes to another one. What cannot wait any more, in
//! either direction, is dropped and counted: nobody has promised that packets arrive, and nobody is made to wait for them.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use sluice_core::config::DispatchConfig;
use sluice_core::dispatch::Facts;
use sluice_core::id::{ReactorId, WorkerSlot};
use sluice_shared::record::{CommandKind, EventKind, RECORD_HEADER_BYTES, Words};

use super::Engine;
use crate::lane::{EventLane, Parcel};
use crate::server::GoneReport;
use crate::udp::{BoundPackets, Outbox, PacketSocket, Peer};
use crate::wake::SocketWaker;

/// Tokens from here on, below those of listeners, name packet sockets.
pub(super) const FIRST_PACKET_SOCKET: u32 = super::accept::FIRST_LISTENER - 0x100;
/// Batches taken from one socket in one pass, so that a flood cannot starve the others.
const BATCHES: usize = 4;
/// What a waiting packet counts for beside its bytes.
const OVERHEAD: usize = 64;
/// Bytes of an event ring that packets may fill: what else the worker has to hear must not wait behind a flood of them.
const RING_SHARE: u32 = 256 * 1024;

/// The packet sockets of a reactor.
#[derive(Default)]
pub(super) struct PacketPorts {
    /// Taken out while one is at work.
    sockets: Vec<Option<Box<PacketPort>>>,
    /// Something happened that may let waiting packets go.
    pub(super) retry: bool,
    /// Scratch: a peer.
    address: Vec<u8>,
}

/// One of them.
struct PacketPort {
    port: u16,
    socket: PacketSocket,
    waker: Waker,
    socket_waker: Arc<SocketWaker>,
    is_receiving: bool,
    /// Packets that no worker could take yet, oldest first.
    queue: VecDeque<Waiting>,
    /// What they count for.
    queued: usize,
    limit: usize,
    /// Each peer has its worker: one that is busy says nothing about the others.
    is_sticky: bool,
    outbox: Outbox,
    /// The socket takes no more; it says so when it does.
    is_blocked: bool,
}

struct Waiting {
    words: Words,
    ip: Option<IpAddr>,
    /// Payload and address.
    bytes: Bytes,
}

impl Waiting {
    fn weight(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}

/// What an event lane knows of packets.
#[derive(Debug, Default)]
pub(crate) struct PacketShare {
    /// Bytes that packets may still write before the ring is looked at.
    room: u32,
    /// Ports, by bit, whose packets the worker does not take at the moment.
    paused: u64,
    /// Where the last packet ends.
    end: u64,
    /// Packets wait for room, and it was not looked for since.
    asked: bool,
}

impl PacketShare {
    pub(crate) fn is_asked(&self) -> bool {
        self.asked
    }
}

impl PacketPort {
    /// Keeps a packet for later; false: it is dropped, as much waits as may.
    fn keep(&mut self, waiting: Waiting, is_first: bool) -> bool {
        if self.queued > 0 && self.queued + waiting.weight() > self.limit {
            return false;
        }
        self.queued += waiting.weight();
        if is_first {
            self.queue.push_front(waiting);
        } else {
            self.queue.push_back(waiting);
        }
        true
    }
}

impl Engine {
    pub(super) fn open_packets(&mut self, port: u16, bound: BoundPackets) {
        let token = FIRST_PACKET_SOCKET + self.packets.sockets.len() as u32;
        let socket_waker = SocketWaker::new(token, Arc::clone(&self.ready));
        let config = &self.shared.config.ports[usize::from(port)];
        let limit = config.udp.queue as usize;
        match PacketSocket::register(bound) {
            Ok(socket) => self.packets.sockets.push(Some(Box::new(PacketPort {
                port,
                socket,
                waker: Waker::from(Arc::clone(&socket_waker)),
                socket_waker,
                is_receiving: false,
                queue: VecDeque::new(),
                queued: 0,
                limit,
                is_sticky: config.dispatch == Some(DispatchConfig::Ip),
                outbox: Outbox::new(limit),
                is_blocked: false,
            }))),
            // As with listeners: the process is out of file descriptors or memory.
            Err(error) => self.shared.failed(&error),
        }
    }

    /// Begins to receive, or ends it. What waits to be sent is sent, too, after the end.
    pub(super) fn receive_packets(&mut self, yes: bool) {
        for index in 0..self.packets.sockets.len() {
            if let Some(port) = self.packets.sockets[index].as_deref_mut() {
                port.is_receiving = yes;
            }
            self.packet_socket_ready(index);
        }
    }

    /// A port that was paused receives again.
    pub(super) fn resume_packets(&mut self, port: u16) {
        if let Some(index) = self.packet_socket_of(port) {
            self.packet_socket_ready(index);
        }
    }

    /// A packet socket has news.
    pub(super) fn packet_socket_ready(&mut self, index: usize) {
        let Some(mut port) = self.take_packet_port(index) else {
            return;
        };
        port.socket_waker.rearm();
        port.is_blocked = false;
        if port.is_receiving && !self.shared.is_paused(port.port) {
            self.receive(&mut port, index);
        }
        self.packets.sockets[index] = Some(port);
    }

    fn take_packet_port(&mut self, index: usize) -> Option<Box<PacketPort>> {
        self.packets.sockets.get_mut(index)?.take()
    }

    fn receive(&mut self, taken: &mut PacketPort, index: usize) {
        // Milliseconds in 32 bits: its readers know the time to within a month.
        let at = self.shared.unix_millis(self.now) as u32;
        let PacketPort {
            port,
            socket,
            waker,
            queue,
            queued,
            limit,
            is_sticky,
            ..
        } = taken;
        let mut cx = Context::from_waker(waker);
        for _ in 0..BATCHES {
            let visit = &mut |data: &[u8], peer: Peer| {
                self.counters.packets_in += 1;
                self.counters.bytes_in += data.len() as u64;
                let mut address = std::mem::take(&mut self.packets.address);
                let words = Words::event(EventKind::Packet, 0)
                    .with_port(*port)
                    .with_connection(u32::from(*port), ReactorId(self.id))
                    .with_event_body_len(data.len() as u32)
                    .with_received(at);
                let words = peer.write(words, &mut address);
                let ip = peer.ip();
                let is_taken = (queue.is_empty() || *is_sticky)
                    && self.hand_over_packet(*port, ip, words, &[data, &address]);
                if !is_taken {
                    let bytes = Bytes::from([data, &address].concat());
                    let waiting = Waiting { words, ip, bytes };
                    if *queued == 0 || *queued + waiting.weight() <= *limit {
                        *queued += waiting.weight();
                        queue.push_back(waiting);
                    } else {
                        self.rejected.packets += 1;
                    }
                }
                self.packets.address = address;
            };
            match socket.poll_receive(&mut cx, visit) {
                Poll::Pending => return,
                // An error that a packet of ours has met; there may be packets behind it.
                Poll::Ready(Ok(_) | Err(_)) => {}
            }
        }
        // There may be more: after what else this pass has to do.
        self.ready.push(FIRST_PACKET_SOCKET + index as u32);
        self.ready.wake_task();
    }

    /// Gives a packet to a worker. False when none can take it.
    fn hand_over_packet(
        &mut self,
        port: u16,
        ip: Option<IpAddr>,
        words: Words,
        parts: &[&[u8]],
    ) -> bool {
        let Self {
            dispatchers,
            active,
            events,
            shared,
            counters,
            ..
        } = self;
        // Who is idle is read from other threads' memory; only one rule asks.
        let weighs = shared.config.ports[usize::from(port)].dispatch == Some(DispatchConfig::Idle);
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let record = RECORD_HEADER_BYTES + (len as u32).next_multiple_of(8);
        let facts = Facts {
            peer: ip,
            ..Facts::default()
        };
        let events = std::cell::RefCell::new(events);
        let chosen = dispatchers[usize::from(port)].choose(
            &facts,
            active,
            |slot| {
                let mut events = events.borrow_mut();
                let lane = events.get_mut(slot.index()).and_then(Option::as_mut);
                let Some(lane) = lane else { return u32::MAX };
                if !lane.takes_packet(port, record) {
                    return u32::MAX;
                }
                if !weighs {
                    return 0;
                }
                let waiting = u32::from(!lane.is_read());
                shared.workers.inflight(slot) + lane.link.block.pending_packets() + waiting
            },
            u32::MAX,
        );
        let Some(lane) = chosen
            .and_then(|slot| events.into_inner().get_mut(slot.index()))
            .and_then(Option::as_mut)
        else {
            return false;
        };
        if lane.push_packet(words, parts, record).is_err() {
            counters.ring_full += 1;
            return false;
        }
        counters.dispatch_count += 1;
        true
    }

    /// Lets waiting packets go.
    pub(super) fn deliver_packets(&mut self) {
        if !std::mem::take(&mut self.packets.retry) {
            return;
        }
        for index in 0..self.packets.sockets.len() {
            let Some(mut port) = self.take_packet_port(index) else {
                continue;
            };
            for _ in 0..port.queue.len() {
                let Some(waiting) = port.queue.pop_front() else {
                    break;
                };
                let is_taken =
                    self.hand_over_packet(port.port, waiting.ip, waiting.words, &[&waiting.bytes]);
                if is_taken {
                    port.queued -= waiting.weight();
                } else if port.is_sticky {
                    // In the end all that stay are in their old order.
                    port.queue.push_back(waiting);
                } else {
                    port.queue.push_front(waiting);
                    break;
                }
            }
            if self.stopping && self.active.is_empty() {
                // Nobody will come.
                self.rejected.packets += port.queue.len() as u64;
                port.queue.clear();
                port.queued = 0;
            }
            self.packets.sockets[index] = Some(port);
        }
    }

    /// Sends what waits.
    pub(super) fn send_packets(&mut self) {
        for port in self.packets.sockets.iter_mut().flatten() {
            if port.outbox.is_empty() || port.is_blocked {
                continue;
            }
            let mut cx = Context::from_waker(&port.waker);
            let sent = port.socket.send(&mut cx, &mut port.outbox);
            port.is_blocked = !port.outbox.is_empty();
            self.counters.packets_out += sent.packets;
            self.counters.bytes_out += sent.bytes;
            self.rejected.packet_sends += sent.failed;
        }
    }

    /// A command about packets.
    pub(super) fn packet_command(
        &mut self,
        kind: CommandKind,
        worker: Option<WorkerSlot>,
        words: Words,
        bytes: &[u8],
        parcel: Option<Parcel>,
    ) {
        let parcel = match parcel {
            Some(Parcel::Body(bytes)) => Some(bytes),
            _ => None,
        };
        let inline = &bytes[..bytes.len().min(words.command_body_len() as usize)];
        let lane = worker.and_then(|worker| self.events.get_mut(worker.index())?.as_mut());
        match kind {
            CommandKind::PacketSend => self.send_packet(words, inline, parcel.as_deref()),
            CommandKind::PacketReturn => self.take_back_packet(parcel.as_deref().unwrap_or(inline)),
            CommandKind::PacketPause => {
                if let Some(lane) = lane {
                    lane.packets.paused |= 1 << words.port();
                }
            }
            CommandKind::PacketResume => {
                if let Some(lane) = lane {
                    lane.packets.paused &= !(1 << words.port());
                    self.packets.retry = true;
                }
            }
            _ => {}
        }
    }

    /// Queues a packet. The bytes are the address, as long as the words say, and the payload, either of them in the parcel.
    fn send_packet(&mut self, words: Words, inline: &[u8], parcel: Option<&[u8]>) {
        let address = Peer::written_len(&words);
        let parts = match parcel {
            Some(data) if inline.len() >= address => Some((&inline[..address], data)),
            Some(whole) => whole.split_at_checked(address),
            None => inline.split_at_checked(address),
        };
        let peer = parts.and_then(|(address, data)| Some((Peer::read(&words, address)?, data)));
        let port = words.port();
        let Some(index) = self.packet_socket_of(port) else {
            return;
        };
        let is_queued = peer.is_some_and(|(peer, data)| {
            let Some(port) = self.packets.sockets[index].as_deref_mut() else {
                return false;
            };
            let family = port.socket.family();
            if !peer.is_reachable_by(family) || data.len() > family.packet_bytes() {
                return false;
            }
            if port.outbox.push(peer.clone(), data) {
                return true;
            }
            // Too much for one pass, perhaps not for the socket.
            self.send_packets();
            self.packets.sockets[index]
                .as_deref_mut()
                .is_some_and(|port| port.outbox.push(peer, data))
        });
        self.rejected.packet_sends += u64::from(!is_queued);
    }

    fn packet_socket_of(&self, port: u16) -> Option<usize> {
        self.packets
            .sockets
            .iter()
            .position(|socket| socket.as_ref().is_some_and(|socket| socket.port == port))
    }

    /// A worker gives a packet back, as it was in its ring.
    fn take_back_packet(&mut self, record: &[u8]) {
        let Some((words, bytes)) = record.split_at_checked(RECORD_HEADER_BYTES as usize) else {
            return;
        };
        if let Some(words) = Words::from_bytes(words) {
            self.requeue_packet(words, bytes);
        }
    }

    /// Puts a packet that no handler has begun in front of the others.
    fn requeue_packet(&mut self, words: Words, bytes: &[u8]) {
        let len = words.event_body_len() as usize + Peer::written_len(&words);
        let Some(bytes) = bytes.get(..len) else {
            return;
        };
        let peer = Peer::read(&words, &bytes[words.event_body_len() as usize..]);
        let Some(index) = self.packet_socket_of(words.port()) else {
            return;
        };
        let Some(port) = self.packets.sockets[index].as_deref_mut() else {
            return;
        };
        let waiting = Waiting {
            words,
            ip: peer.and_then(|peer| peer.ip()),
            bytes: Bytes::copy_from_slice(bytes),
        };
        if port.keep(waiting, true) {
            self.packets.retry = true;
        } else {
            self.rejected.packets += 1;
        }
    }

    /// Takes the packets from a dead worker that it had not begun.
    pub(super) fn take_packets(&mut self, lane: &EventLane, report: &GoneReport) {
        self.counters.packets_lost += report.take_pending_packets();
        if self.packets.sockets.is_empty() {
            return;
        }
        let current = lane
            .link
            .block
            .current()
            .filter(|current| current.lane == self.id)
            .map(|current| current.position);
        let mut unread = Vec::new();
        let mut is_executing = current.is_some();
        let mut lost = 0;
        lane.unread(current.unwrap_or(lane.ring.consumed()), |words, payload| {
            let is_packet = words.kind() == EventKind::Packet as u8;
            if std::mem::take(&mut is_executing) {
                // It may be what killed the worker.
                lost = u64::from(is_packet);
            } else if is_packet {
                unread.push((words, Bytes::copy_from_slice(payload)));
            }
        });
        self.counters.packets_lost += lost;
        for (words, payload) in unread.into_iter().rev() {
            self.requeue_packet(words, &payload);
        }
    }

    /// Whether every packet is in a handler, or dropped.
    pub(super) fn packets_are_settled(&self) -> bool {
        self.packets.sockets.is_empty()
            || (self
                .packets
                .sockets
                .iter()
                .flatten()
                .all(|port| port.queue.is_empty() && port.outbox.is_empty())
                && self
                    .events
                    .iter()
                    .flatten()
                    .all(|lane| lane.consumed() >= lane.packets.end))
    }

    /// Closes every packet socket at once.
    pub(super) fn close_packets(&mut self) {
        self.packets.sockets.clear();
    }
}

impl EventLane {
    /// Whether a packet of `record` bytes may be written now. If not, the worker is asked for space.
    fn takes_packet(&mut self, port: u16, record: u32) -> bool {
        if self.packets.paused & (1 << port) != 0 {
            return false;
        }
        if self.packets.room >= record {
            return true;
        }
        // Once more after the question: the worker may have read on before it could see it.
        for is_asked in [false, true] {
            if is_asked {
                self.packets.asked = true;
                self.ask_for_space();
            }
            let used = self.ring.position().wrapping_sub(self.ring.consumed());
            self.packets.room = RING_SHARE.saturating_sub(used);
            if self.packets.room >= record {
                return true;
            }
        }
        false
    }

    /// Whether the worker has made room that a packet waits for; true once.
    pub(super) fn takes_packets_again(&mut self) -> bool {
        let is_news = self.packets.asked && self.has_space_news();
        self.packets.asked &= !is_news;
        is_news
    }

    /// Whether the worker has read all that was written.
    fn is_read(&self) -> bool {
        self.ring.position() == self.ring.consumed()
    }

    fn push_packet(
        &mut self,
        words: Words,
        parts: &[&[u8]],
        record: u32,
    ) -> Result<(), sluice_shared::PushError> {
        let position = self.push(words, parts)?;
        self.packets.room = self.packets.room.saturating_sub(record);
        self.packets.end = position + u64::from(record);
        Ok(())
    }
}
