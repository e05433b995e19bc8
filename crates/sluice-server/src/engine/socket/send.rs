//! From messages of one sender to the output of one connection.

use bytes::Bytes;
use sluice_core::id::WorkerSlot;
use sluice_shared::record::{CommandKind, EventKind, Words};

use super::super::answer::Body;
use super::Engine;
use crate::http1::answer;
use crate::lane::Parcel;
use crate::session::Sent;
use crate::socket::{By, Ending, Protocol, Stage};
use crate::websocket::{self, Opcode};

/// Bits of w4 of a SEND command, above the opcode.
pub(crate) mod send_bits {
    /// The last frame of its message.
    pub(crate) const FIN: u32 = 16;
    /// To be compressed if that was agreed on.
    pub(crate) const COMPRESS: u32 = 32;
}
/// A payload up to this size is copied behind what is to be sent already; above, it keeps its own memory.
pub(super) const COPIED: usize = 4 * 1024;
/// Scratch memory that is kept.
const KEPT: usize = 64 * 1024;

impl Engine {
    /// Carries out a command that names a connection. `worker` is who sent it, if a worker did.
    pub(in crate::engine) fn socket_command(
        &mut self,
        kind: CommandKind,
        worker: Option<WorkerSlot>,
        words: Words,
        bytes: &[u8],
        parcel: Option<Parcel>,
    ) {
        if kind == CommandKind::Fanout {
            if let Some(Parcel::Fanout(fanout)) = parcel {
                self.fan_out(&fanout);
            }
            return;
        }
        let body = match parcel {
            Some(Parcel::Body(bytes)) => Body::Shared(bytes),
            _ => {
                let len = (words.command_body_len() as usize).min(bytes.len());
                Body::Inline(&bytes[..len])
            }
        };
        let slot = words.connection();
        let Some((connection, slot)) = self.socket(slot, words.generation()) else {
            return;
        };
        let Some(socket) = connection.socket.as_deref() else {
            return;
        };
        // Who has let go of a connection, or lost it, has no say in its flow any more.
        let is_owner = worker.is_some() && socket.owner.worker() == worker;
        match kind {
            CommandKind::SocketSend => self.send_to(slot, words, body),
            CommandKind::SocketClose => {
                let code = words.detail() as u16;
                let reason = String::from_utf8_lossy(body.bytes()).into_owned();
                self.close_socket(slot, Ending::new(By::Server, code, reason));
            }
            CommandKind::SocketTerminate => {
                self.cut_socket(slot, Ending::new(By::Server, 1006, ""));
            }
            CommandKind::SocketProtect => {
                if let Some(socket) = self.socket_of(slot) {
                    socket.is_protected = words.detail() != 0;
                }
                self.arm_socket(slot);
            }
            CommandKind::SocketRebalance => self.rebalance_socket(slot),
            CommandKind::SocketPause if is_owner => self.pause_socket(slot),
            CommandKind::SocketResume if is_owner => self.resume_socket(slot, words.sequence()),
            CommandKind::SocketSettled if is_owner => self.socket_settled(slot, words.sequence()),
            CommandKind::SocketReturn => {
                if let Some(worker) = worker.filter(|_| is_owner) {
                    self.return_event(slot, worker, words, body.into_bytes());
                }
            }
            CommandKind::SocketRelease => {
                if let Some(worker) = worker.filter(|_| is_owner) {
                    self.release_socket(slot, worker, words.sequence());
                }
            }
            _ => {}
        }
    }

    /// A command from a thread that is no worker.
    pub(in crate::engine) fn outside_command(&mut self, words: Words, bytes: &[u8]) {
        match CommandKind::from_u8(words.kind()) {
            Some(kind) if kind.is_packet() => {
                self.packet_command(kind, None, words, bytes, None);
            }
            Some(kind) if kind as u8 >= CommandKind::SocketSend as u8 => {
                self.socket_command(kind, None, words, bytes, None);
            }
            _ => {}
        }
    }

    /// A message from an application to one connection.
    fn send_to(&mut self, slot: u32, words: Words, body: Body<'_>) {
        let now = self.now;
        let Self {
            connections,
            pool,
            deflaters,
            compressed,
            counters,
            ..
        } = self;
        let Some(connection) = connections[slot as usize].as_deref_mut() else {
            return;
        };
        let Some(socket) = connection.socket.as_deref_mut() else {
            return;
        };
        if socket.stage != Stage::Open {
            return socket.member.account.arrived(body.len());
        }
        let arrived = body.len();
        socket.messages_out += 1;
        counters.messages_out += 1;
        socket.last_sent = now;
        if connection.output.wants_buffer() {
            connection
                .output
                .give_buffer(pool.pop().unwrap_or_default());
        }
        let detail = words.detail();
        let mut ends_session = false;
        match &mut socket.protocol {
            Protocol::WebSocket { compression, .. } => {
                let Some(opcode) = Opcode::of((detail & 15) as u8) else {
                    return socket.member.account.arrived(arrived);
                };
                let fin = detail & send_bits::FIN != 0;
                // A message in pieces is not compressed: each piece would have to be a part of one stream.
                let whole = fin && matches!(opcode, Opcode::Text | Opcode::Binary);
                if !opcode.is_control()
                    && let Some(session) = socket.session.as_deref_mut()
                {
                    if whole {
                        let payload = Bytes::copy_from_slice(body.bytes());
                        session.record(Sent::One(opcode, payload));
                    } else {
                        // The client counts messages, and this is a part of one.
                        ends_session = true;
                    }
                }
                compressed.clear();
                let is_compressed = whole
                    && detail & send_bits::COMPRESS != 0
                    && compression.as_deref_mut().is_some_and(|compression| {
                        body.len() >= compression.min_bytes
                            && compression
                                .deflater(deflaters)
                                .is_some_and(|deflater| deflater.compress(body.bytes(), compressed))
                    });
                if is_compressed {
                    let out = connection.output.tail();
                    websocket::write_frame_header(out, opcode, true, true, compressed.len(), None);
                    out.extend_from_slice(compressed);
                    if compressed.capacity() > KEPT {
                        *compressed = Vec::new();
                    }
                } else {
                    let out = connection.output.tail();
                    websocket::write_frame_header(out, opcode, fin, false, body.len(), None);
                    match body {
                        Body::Inline(bytes) => out.extend_from_slice(bytes),
                        Body::Shared(bytes) => connection.output.push(bytes),
                    }
                }
            }
            Protocol::EventStream { chunked, .. } => {
                let out = connection.output.tail();
                if *chunked {
                    answer::write_chunk(out, body.bytes());
                } else {
                    out.extend_from_slice(body.bytes());
                }
            }
            Protocol::Tcp { .. } => match body {
                Body::Inline(bytes) => connection.output.tail().extend_from_slice(bytes),
                Body::Shared(bytes) => connection.output.push(bytes),
            },
        }
        if let Some(socket) = connection.socket.as_deref_mut() {
            // In this order: for a moment it counts twice, but never not at all.
            socket.account(connection.output.len());
            socket.member.account.arrived(arrived);
        }
        if ends_session {
            self.forget_session(slot);
        }
        self.appended(slot);
    }

    /// Something was added to the output of a connection.
    pub(super) fn appended(&mut self, slot: u32) {
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        if connection.write_blocked {
            // There will be no write after which it would be looked at.
            let high = self.limits[usize::from(connection.port)].0.high_water_mark;
            if let Some(socket) = connection.socket.as_deref_mut()
                && connection.output.len() > high as usize
                && !std::mem::replace(&mut socket.is_high, true)
                && socket.wants.high
            {
                self.socket_signal(slot, EventKind::SocketHigh);
            }
        }
        self.mark_dirty(slot);
    }

    /// After a write: tells senders and the worker how much is still unsent, and lets the next messages go.
    pub(in crate::engine) fn socket_flushed(&mut self, slot: u32) {
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        let limits = &self.limits[usize::from(connection.port)].0;
        let (high, low) = (
            limits.high_water_mark as usize,
            limits.low_water_mark as usize,
        );
        let unsent = connection.output.len();
        let is_blocked = connection.write_blocked;
        let Some(socket) = connection.socket.as_deref_mut() else {
            return;
        };
        socket.account(unsent);
        let becomes_high = unsent > high && !socket.is_high;
        let becomes_low = unsent <= low && std::mem::take(&mut socket.is_high);
        socket.is_high |= unsent > high;
        let drained = socket.take_drain(low) || becomes_low;
        let wants_high = socket.wants.high;
        let waits = !socket.delivery.is_empty();
        let latest = if is_blocked {
            Vec::new()
        } else {
            std::mem::take(&mut socket.latest)
        };
        if becomes_high && wants_high {
            self.socket_signal(slot, EventKind::SocketHigh);
        }
        if drained {
            self.socket_signal(slot, EventKind::SocketDrain);
        }
        for latest in latest {
            self.append_post(slot, latest.topic.as_deref(), latest.id, &latest.post);
        }
        if waits {
            // It may have waited for room in its worker's ring.
            self.deliver_waiting(slot);
        }
    }
}

impl Body<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Body::Inline(bytes) => bytes,
            Body::Shared(bytes) => bytes,
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Body::Inline(bytes) => Bytes::copy_from_slice(bytes),
            Body::Shared(bytes) => bytes,
        }
    }
}
