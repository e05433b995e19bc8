//! Connections of TCP ports: they have no request, so they are sockets from the first byte, and a worker is found for them
//! when they are accepted.
//!
//! Whoever has sent its last byte may still read: what it sent is handled, and answered, before the connection is closed.

use bytes::Bytes;
use sluice_core::framing::{Fault, Framer};
use sluice_shared::record::{EventKind, event_flag};

use super::super::intake::Step;
use super::Engine;
use crate::delivery;
use crate::socket::{By, Ending, Owner, Protocol, SocketSettings, Stage, Wants};
use crate::websocket::Opcode;

/// Codes of endings, as a WebSocket would have them.
const NORMAL: u16 = 1000;
const BROKEN_RULE: u16 = 1002;
const TOO_LARGE: u16 = 1009;

impl Engine {
    /// A connection was accepted on a TCP port.
    pub(in crate::engine) fn begin_tcp(&mut self, slot: u32, port: u16) {
        let config = &self.shared.config.ports[usize::from(port)];
        let limit = config.limits.open_per_second;
        if limit > 0 && !self.shared.may_open(port, limit, self.now) {
            self.rejected.open_per_second += 1;
            if let Some(connection) = self.connection(slot) {
                connection.stream.abort_on_drop();
            }
            return self.lose(slot);
        }
        let framer = Framer::new(config.framing, config.limits.message);
        let settings = SocketSettings {
            wants: Wants {
                high: true,
                ..Wants::default()
            },
            ..SocketSettings::default()
        };
        self.place_socket(slot, Protocol::Tcp { framer }, None, &settings, None);
        self.arm_socket(slot);
        // Without a worker it waits for one, as what it sends does.
        self.adopt_socket(slot);
        if self.stopping {
            self.stop_socket(slot);
        }
    }

    /// Takes a message out of what has come.
    pub(super) fn take_tcp(&mut self, slot: u32, input: &[u8]) -> Step {
        let now = self.now;
        let Some(socket) = self.connections[slot as usize]
            .as_deref_mut()
            .and_then(|connection| connection.socket.as_deref_mut())
        else {
            return Step::Consumed(input.len());
        };
        let Protocol::Tcp { framer } = &mut socket.protocol else {
            return Step::Consumed(input.len());
        };
        let frame = match framer.next(input) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Step::Stuck,
            Err(fault) => {
                self.tcp_fault(slot, fault);
                return Step::Consumed(input.len());
            }
        };
        socket.is_deaf |= socket.is_stopping && (socket.is_asked || !socket.delivery.is_empty());
        if socket.is_deaf || socket.stage != Stage::Open {
            return Step::Consumed(frame.consumed);
        }
        let payload = &input[frame.start..frame.end];
        socket.rate.count += 1;
        socket.messages_in += 1;
        socket.last_message = now;
        self.counters.messages_in += 1;
        let detail = Opcode::Binary as u32;
        let handed = match socket.owner {
            Owner::Worker(worker) => super::deliver::hand_over(
                &mut self.events,
                worker,
                slot,
                self.id,
                self.generations[slot as usize],
                &mut socket.delivery,
                (detail, event_flag::FIN),
                payload,
            ),
            Owner::None | Owner::Leaving(_) => false,
        };
        if !handed {
            socket.delivery.wait(delivery::Event {
                detail,
                flags: event_flag::FIN,
                is_close: false,
                payload: Bytes::copy_from_slice(payload),
            });
            self.deliver_waiting(slot);
        }
        Step::Consumed(frame.consumed)
    }

    /// What comes cannot be told apart any more.
    fn tcp_fault(&mut self, slot: u32, fault: Fault) {
        self.rejected.frames += 1;
        let code = match fault {
            Fault::TooLarge => TOO_LARGE,
            Fault::Length | Fault::Malformed => BROKEN_RULE,
        };
        self.end_socket(slot, Ending::new(By::Error, code, fault.to_string()));
        self.begin_close(slot);
    }

    /// The peer has sent its last byte.
    pub(in crate::engine) fn tcp_eof(&mut self, slot: u32) {
        if let Some(socket) = self.socket_of(slot)
            && socket.stage == Stage::Open
        {
            socket.is_half_closed = true;
        }
        // Goes on with what could not be taken yet, or closes if that is already the plan.
        self.mark_dirty(slot);
        self.peer_ends(slot);
    }

    /// Of a connection whose peer has said its last: asks for word when everything is handled.
    pub(in crate::engine) fn peer_ends(&mut self, slot: u32) {
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        let is_taken = connection.is_taken();
        let Some(socket) = connection.socket.as_deref_mut() else {
            return;
        };
        // Behind a Close frame nothing counts.
        let is_taken = is_taken || socket.is_web_socket();
        if !socket.is_half_closed || socket.stage != Stage::Open || !socket.delivery.is_empty() {
            return;
        }
        match socket.owner {
            Owner::Worker(_) if !is_taken => {}
            Owner::Worker(_) => {
                if !std::mem::replace(&mut socket.is_asked, true) {
                    self.socket_signal(slot, EventKind::SocketSettle);
                }
            }
            // It goes on when its worker has let go of it.
            Owner::Leaving(_) => {}
            Owner::None if is_taken => self.peer_is_done(slot),
            Owner::None => self.mark_dirty(slot),
        }
    }

    /// Its worker has nothing to do for it any more, if `is_settled`; or has got something back meanwhile.
    pub(super) fn peer_settled(&mut self, slot: u32, is_settled: bool) {
        if !self
            .socket_of(slot)
            .is_some_and(|socket| socket.is_half_closed)
        {
            return;
        }
        if is_settled {
            self.peer_is_done(slot);
        } else {
            self.deliver_waiting(slot);
            self.peer_ends(slot);
        }
    }

    /// The peer has said its last, and everything it sent is handled.
    pub(super) fn peer_is_done(&mut self, slot: u32) {
        if self
            .socket_of(slot)
            .is_some_and(|socket| socket.is_web_socket())
        {
            return self.answer_close(slot);
        }
        let is_whole = self.connections[slot as usize]
            .as_deref()
            .is_some_and(|connection| connection.input.is_empty());
        let reason = if is_whole { "" } else { "incomplete message" };
        let ending = Ending::new(By::Peer, NORMAL, reason);
        let clean = is_whole;
        self.close_tcp(slot, Ending { clean, ..ending });
    }

    /// Closes a connection behind what was sent: its end is told when all of that is out.
    pub(super) fn close_tcp(&mut self, slot: u32, ending: Ending) {
        let Some(socket) = self.socket_of(slot) else {
            return;
        };
        if socket.stage != Stage::Open {
            return;
        }
        socket.stage = Stage::Closing;
        socket.latest.clear();
        socket.ending = Some(Box::new(ending));
        let member = std::sync::Arc::clone(&socket.member);
        self.shared.registry.close(&member);
        self.begin_close(slot);
    }

    /// Everything is sent on a connection that closes.
    pub(in crate::engine) fn tcp_flushed(&mut self, slot: u32) {
        if let Some(socket) = self.socket_of(slot)
            && socket.is_tcp()
            && let Some(ending) = socket.ending.as_deref().cloned()
        {
            self.end_socket(slot, ending);
        }
    }
}
