//! From bytes to messages.

use bytes::Bytes;
use sluice_shared::record::event_flag;

use super::super::intake::Step;
use super::Engine;
use crate::delivery;
use crate::socket::{By, Ending, Owner, Protocol, Stage};
use crate::websocket::{self, Decoded, Event, Fault, Opcode};

/// What may wait of a connection whose socket is closed before the rest of its input is thrown away.
const REST_BYTES: usize = 1024 * 1024;

impl Engine {
    /// Takes the next thing out of what a WebSocket or a connection of a TCP port has received. What an event stream receives is thrown away: its
    /// client has nothing more to say.
    pub(in crate::engine) fn take_frame(&mut self, slot: u32, input: &mut [u8]) -> Step {
        let now = self.now;
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return Step::Consumed(input.len());
        };
        let limits = &self.limits[usize::from(connection.port)].0;
        let Some(socket) = connection.socket.as_deref_mut() else {
            return Step::Consumed(input.len());
        };
        socket.last_received = now;
        let is_closed = socket.is_web_socket() && socket.is_half_closed;
        if socket.is_event_stream() || is_closed || socket.stage == Stage::Ended {
            return Step::Consumed(input.len());
        }
        if socket.delivery.is_full() {
            // Its worker is behind.
            return Step::Stuck;
        }
        if connection.output.len() > limits.high_water_mark as usize {
            // It does not read what it is sent: then it may not send more either.
            connection.output_blocked = true;
            return Step::Stuck;
        }
        if limits.messages_per_second > 0 {
            let second = now / 1000;
            if socket.rate.second != second {
                socket.rate.second = second;
                socket.rate.count = 0;
            } else if socket.rate.count >= limits.messages_per_second {
                if !std::mem::replace(&mut socket.rate.is_waiting, true) {
                    self.rejected.messages_per_second += 1;
                    let at = (second + 1) * 1000;
                    self.paced.push((slot, self.generations[slot as usize], at));
                }
                return Step::Stuck;
            }
        }
        self.take_next(slot, input)
    }

    /// The socket is closed: takes the messages that were received and had to wait. What they inflate to is bounded.
    pub(super) fn take_rest(&mut self, slot: u32) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        let mut input = std::mem::take(&mut connection.input);
        let mut at = 0;
        while at < input.len()
            && self.socket_of(slot).is_some_and(|socket| {
                socket.stage != Stage::Ended && socket.delivery.bytes() < REST_BYTES
            })
        {
            match self.take_next(slot, &mut input[at..]) {
                Step::Consumed(count) => at += count,
                Step::Stuck => break,
            }
        }
    }

    fn take_next(&mut self, slot: u32, input: &mut [u8]) -> Step {
        let now = self.now;
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return Step::Consumed(input.len());
        };
        let Some(socket) = connection.socket.as_deref_mut() else {
            return Step::Consumed(input.len());
        };
        let decoder = match &mut socket.protocol {
            Protocol::WebSocket { decoder, .. } => decoder,
            Protocol::EventStream { .. } => return Step::Consumed(input.len()),
            Protocol::Tcp { .. } => return self.take_tcp(slot, input),
        };
        let (consumed, event) = match decoder.decode(input, &mut self.tools) {
            Ok(Decoded {
                consumed: 0,
                event: None,
            }) => return Step::Stuck,
            Ok(Decoded { consumed, event }) => (consumed, event),
            Err(fault) => {
                self.socket_fault(slot, fault);
                return Step::Consumed(input.len());
            }
        };
        let Some(event) = event else {
            return Step::Consumed(consumed);
        };
        socket.is_deaf |= socket.is_stopping && (socket.is_asked || !socket.delivery.is_empty());
        let is_closing = socket.stage == Stage::Closing;
        let is_deaf = socket.is_deaf;
        match event {
            // Behind our Close frame nothing is of use any more.
            Event::Message { .. } | Event::Ping(_) | Event::Pong(_) if is_closing => {}
            Event::Message { .. } if is_deaf => {}
            Event::Message {
                opcode,
                fin,
                compressed,
                payload,
            } => {
                socket.rate.count += 1;
                socket.messages_in += 1;
                socket.last_message = now;
                self.counters.messages_in += 1;
                let flags = if fin { event_flag::FIN } else { 0 }
                    | if compressed {
                        event_flag::COMPRESSED
                    } else {
                        0
                    };
                let handed = match socket.owner {
                    Owner::Worker(worker) => super::deliver::hand_over(
                        &mut self.events,
                        worker,
                        slot,
                        self.id,
                        self.generations[slot as usize],
                        &mut socket.delivery,
                        (opcode as u32, flags),
                        payload,
                    ),
                    Owner::None | Owner::Leaving(_) => false,
                };
                if !handed {
                    let event = delivery::Event {
                        detail: opcode as u32,
                        flags,
                        is_close: false,
                        payload: Bytes::copy_from_slice(payload),
                    };
                    socket.delivery.wait(event);
                    self.deliver_waiting(slot);
                }
            }
            Event::Ping(payload) => {
                let wanted = socket.wants.ping.then(|| Bytes::copy_from_slice(payload));
                // A flood of pings that nobody reads the answers of ends at the high-water mark, above.
                if connection.output.wants_buffer() {
                    connection
                        .output
                        .give_buffer(self.pool.pop().unwrap_or_default());
                }
                let out = connection.output.tail();
                websocket::write_frame_header(out, Opcode::Pong, true, false, payload.len(), None);
                out.extend_from_slice(payload);
                self.mark_dirty(slot);
                self.control_event(slot, Opcode::Ping, wanted);
            }
            Event::Pong(payload) => {
                socket.pinged = None;
                let wanted = socket.wants.pong.then(|| Bytes::copy_from_slice(payload));
                self.control_event(slot, Opcode::Pong, wanted);
            }
            Event::Close { code, reason } => {
                let reason = reason.to_owned();
                self.peer_closes(slot, code, reason);
                return Step::Consumed(input.len());
            }
        }
        Step::Consumed(consumed)
    }

    /// Lets WebSockets go on that had to wait for the next second, or for room.
    pub(in crate::engine) fn resume_paced(&mut self) {
        let now = self.now;
        let mut due = Vec::new();
        self.paced.retain(|&(slot, generation, at)| {
            let is_due = at <= now;
            if is_due {
                due.push((slot, generation));
            }
            !is_due
        });
        for (slot, generation) in due {
            if let Some((connection, _)) = self.socket(slot, generation)
                && let Some(socket) = connection.socket.as_deref_mut()
            {
                socket.rate.is_waiting = false;
                socket.is_retrying = false;
                self.deliver_waiting(slot);
                self.mark_dirty(slot);
            }
        }
    }

    /// A ping or pong that the worker has a handler for.
    fn control_event(&mut self, slot: u32, opcode: Opcode, payload: Option<Bytes>) {
        let Some(payload) = payload else { return };
        if let Some(socket) = self.socket_of(slot) {
            socket.delivery.wait(delivery::Event {
                detail: opcode as u32,
                flags: event_flag::FIN,
                is_close: false,
                payload,
            });
            self.deliver_waiting(slot);
        }
    }

    /// The peer breaks a rule: it is told which, and that is the end.
    fn socket_fault(&mut self, slot: u32, fault: Fault) {
        self.rejected.frames += 1;
        let is_closing = self
            .socket_of(slot)
            .is_some_and(|socket| socket.stage == Stage::Closing);
        if !is_closing {
            self.write_close(slot, fault.code, fault.reason);
        }
        self.end_socket(slot, Ending::new(By::Error, fault.code, fault.reason));
        self.begin_close(slot);
    }

    /// The peer's Close frame: answered by ours, unless it is the answer.
    fn peer_closes(&mut self, slot: u32, code: u16, reason: String) {
        let now = self.now;
        let Some(socket) = self.socket_of(slot) else {
            return;
        };
        if socket.stage == Stage::Open {
            // What came before it is handled, and answered, first (RFC 6455 section 5.5.1 lets us).
            socket.is_half_closed = true;
            socket.ending = Some(Box::new(Ending::new(By::Peer, code, reason)));
            socket.close_at = now + socket.close_timeout();
            self.arm_socket(slot);
            return self.peer_ends(slot);
        }
        let Some(ending) = socket.ending.take() else {
            return;
        };
        let clean = true;
        self.end_socket(slot, Ending { clean, ..*ending });
        self.begin_close(slot);
    }

    /// The peer of a WebSocket has closed it, and everything it sent before is handled.
    pub(super) fn answer_close(&mut self, slot: u32) {
        let Some(ending) = self
            .socket_of(slot)
            .and_then(|socket| socket.ending.as_deref().cloned())
        else {
            return;
        };
        self.write_close(slot, ending.code, "");
        let clean = true;
        self.end_socket(slot, Ending { clean, ..ending });
        self.begin_close(slot);
    }
}
