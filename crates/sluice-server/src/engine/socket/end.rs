//! How a connection ends: closing handshakes, the event that tells of the end, and the place that is given back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use sluice_core::member::MemberKind;
use sluice_shared::record::EventKind;

use super::Engine;
use crate::connection::Phase;
use crate::delivery::Event;
use crate::socket::{By, Ending, Owner, Protocol, Socket, Stage};
use crate::stream::Stream;
use crate::websocket;

impl Engine {
    /// Begins the closing handshake of a WebSocket, or ends an event stream, behind what was sent before.
    pub(in crate::engine) fn close_socket(&mut self, slot: u32, ending: Ending) {
        let now = self.now;
        let Some(socket) = self.socket_of(slot) else {
            return;
        };
        if socket.stage != Stage::Open {
            return;
        }
        match socket.protocol {
            Protocol::WebSocket { .. } if socket.is_half_closed => {
                // The peer's Close has come already: this is the answer to it.
                self.write_close(slot, ending.code, &ending.reason);
                let clean = true;
                self.end_socket(slot, Ending { clean, ..ending });
                return self.begin_close(slot);
            }
            Protocol::WebSocket { .. } => {}
            Protocol::EventStream { .. } => return self.end_stream(slot, ending),
            Protocol::Tcp { .. } => {
                // If everything gets out.
                let clean = true;
                return self.close_tcp(slot, Ending { clean, ..ending });
            }
        }
        socket.stage = Stage::Closing;
        socket.latest.clear();
        let (code, reason) = (ending.code, ending.reason.clone());
        socket.ending = Some(Box::new(ending));
        let close_at = now + socket.close_timeout();
        socket.close_at = close_at;
        let member = Arc::clone(&socket.member);
        self.shared.registry.close(&member);
        self.write_close(slot, code, &reason);
        // Not put off by a peer that reads nothing.
        self.set_send_deadline(slot, close_at);
        self.mark_dirty(slot);
    }

    /// The last chunk of an event stream, and its end.
    fn end_stream(&mut self, slot: u32, mut ending: Ending) {
        if let Some(Socket {
            protocol: Protocol::EventStream { chunked: true, .. },
            ..
        }) = self.socket_of(slot)
        {
            self.write_small(slot, b"0\r\n\r\n");
        }
        ending.clean = true;
        self.end_socket(slot, ending);
        self.begin_close(slot);
    }

    /// Cuts a connection off.
    pub(in crate::engine) fn cut_socket(&mut self, slot: u32, ending: Ending) {
        self.end_socket(slot, ending);
        if let Some(connection) = self.connection(slot) {
            connection.stream.abort_on_drop();
        }
        self.lose(slot);
    }

    /// Nothing is sent or received any more: its worker is told, once, behind its last message.
    pub(in crate::engine) fn end_socket(&mut self, slot: u32, ending: Ending) {
        let Some(socket) = self.socket_of(slot) else {
            return;
        };
        if socket.stage == Stage::Ended {
            return;
        }
        socket.stage = Stage::Ended;
        socket.latest.clear();
        let ending = match socket.ending.take() {
            Some(told) => Ending {
                clean: ending.clean,
                ..*told
            },
            None => ending,
        };
        // An event stream that no worker holds has nobody to tell; and of a connection that has come and gone without a word
        // before there was a worker nobody needs to hear.
        let is_unknown = socket.owner == Owner::None
            && (socket.is_event_stream() || !socket.is_opened && socket.delivery.is_empty());
        if !is_unknown {
            let reason = Bytes::from(ending.reason.clone().into_bytes());
            socket.delivery.wait(Event {
                detail: ending.detail(),
                flags: 0,
                is_close: true,
                payload: reason,
            });
        }
        let member = Arc::clone(&socket.member);
        if !self.suspend_session(slot, &ending) {
            self.shared.registry.close(&member);
        }
        self.counters.socket_close_count += 1;
        if member.kind != MemberKind::EventStream {
            self.shared.web_sockets[usize::from(member.port)].fetch_sub(1, Ordering::Relaxed);
        }
        let is_held = member.kind == MemberKind::EventStream
            && self
                .socket_of(slot)
                .is_some_and(|socket| matches!(socket.owner, Owner::Leaving(_)));
        // Whoever waits for a slow peer waits in vain, and may hold up the event of the end by it. A worker that is to go and
        // still writes to an event stream gets no other record about it.
        if member.account.take_wants_drain(usize::MAX) || is_held {
            self.socket_signal(slot, EventKind::SocketDrain);
        }
        self.deliver_waiting(slot);
    }

    /// The server stops: what has come is still handled, and answered, before a connection is closed. Called again with
    /// every tick until it is.
    pub(in crate::engine) fn stop_socket(&mut self, slot: u32) {
        let Some(socket) = self.socket_of(slot) else {
            return;
        };
        if socket.stage != Stage::Open {
            return;
        }
        socket.is_stopping = true;
        let is_empty = socket.delivery.is_empty();
        match socket.owner {
            // Its worker lets go of it first, and a stop goes on then. Of an event stream only when its code has ended it.
            Owner::Leaving(_) if !socket.is_event_stream() => {}
            Owner::Worker(_) => {
                // Behind the last message: the worker answers when none of its handlers runs any more. For an event stream,
                // behind its beginning: there may be events that its handler has sent already.
                if is_empty && !std::mem::replace(&mut socket.is_asked, true) {
                    self.socket_signal(slot, EventKind::SocketSettle);
                }
            }
            Owner::None if !is_empty => self.deliver_waiting(slot),
            Owner::None | Owner::Leaving(_) => self.close_by_stop(slot),
        }
    }

    /// No handler of a connection runs any more; everything before `next` is handled.
    pub(in crate::engine) fn socket_settled(&mut self, slot: u32, next: u32) {
        let Some(socket) = self.socket_of(slot) else {
            return;
        };
        socket.is_asked = false;
        let is_settled = socket.delivery.is_empty() && socket.delivery.number() == next;
        if !socket.is_stopping {
            return self.peer_settled(slot, is_settled);
        }
        if is_settled {
            self.close_by_stop(slot);
        } else {
            // It gave some back because it was busy, and may have got them again since: they come first.
            self.deliver_waiting(slot);
            self.stop_socket(slot);
        }
    }

    fn close_by_stop(&mut self, slot: u32) {
        let code = self.stop_code;
        self.close_socket(slot, Ending::new(By::Shutdown, code, ""));
    }

    /// Looks again at the connections that a stop has not closed yet.
    pub(in crate::engine) fn stop_sockets(&mut self) {
        if self.stopping {
            for slot in 0..self.connections.len() as u32 {
                self.stop_socket(slot);
            }
        }
    }

    pub(in crate::engine) fn write_close(&mut self, slot: u32, code: u16, reason: &str) {
        if let Some(out) = self.tail(slot) {
            websocket::write_close(out, code, reason);
        }
        self.mark_dirty(slot);
    }

    /// The socket of a connection is closed; the connection keeps its place as long as its worker has to be told.
    /// Returns whether it does.
    pub(in crate::engine) fn keep_closed(&mut self, slot: u32) -> bool {
        self.take_rest(slot);
        // A Close frame of the peer's that is not answered yet is its word all the same.
        let clean = self
            .socket_of(slot)
            .is_some_and(|socket| socket.is_web_socket() && socket.is_half_closed);
        let ending = Ending::new(By::Peer, 1006, "");
        self.end_socket(slot, Ending { clean, ..ending });
        let Some(connection) = self.connection(slot) else {
            return false;
        };
        if connection.socket.as_deref().is_none_or(Socket::is_released) {
            return false;
        }
        connection.stream = Stream::Gone;
        connection.phase = Phase::Gone;
        connection.input = Vec::new();
        connection.output = crate::output::Output::default();
        connection.stalled = false;
        connection.write_blocked = false;
        connection.send_timed = false;
        self.set_send_deadline(slot, u64::MAX);
        true
    }

    /// Gives the place of a connection back once it is closed and its worker knows.
    pub(in crate::engine) fn free_socket(&mut self, slot: u32) {
        let is_over = self.connection(slot).is_some_and(|connection| {
            matches!(connection.phase, Phase::Gone)
                && connection.socket.as_deref().is_none_or(Socket::is_released)
        });
        if is_over {
            self.free_place(slot);
        }
    }
}
