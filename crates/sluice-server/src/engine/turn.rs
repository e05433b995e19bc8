//! The exchanges of a connection in their order: whose answer is next, and what becomes of them when an answer
//! is complete, the client leaves, or the connection ends.

use sluice_shared::record::{AbortReason, EventKind, Words, event_flag};

use super::Engine;
use crate::connection::Phase;
use crate::http1::BodyDecoder;
use crate::pending::{Exchange, Stage};
use crate::socket::Socket;

/// The rest of an unread body that is skipped to keep the connection; above, it is closed.
const DISCARD: usize = 64 * 1024;

impl Engine {
    /// An answer is complete: frees its worker, and lets what waited behind it on the connection go.
    pub(super) fn answered(&mut self, index: u32, close: bool) {
        self.counters.response_count += 1;
        self.pending.set_deadline(index, u64::MAX);
        let Some(exchange) = self.pending.get_mut(index) else {
            return;
        };
        exchange.stage = Stage::Answered;
        exchange.close |= close;
        let slot = exchange.connection;
        let worker = exchange.worker.take();
        let has_blob = exchange.blob.take().is_some();
        let unread = !exchange.body_done;
        if let Some(worker) = worker {
            if has_blob {
                self.drop_blob(worker, index);
            }
            self.settle(worker);
            if !self.waiting.is_empty() {
                self.retry_waiting = true;
            }
        }
        if unread {
            self.leave_body(slot, index);
        }
        self.release_answers(slot);
        self.mark_dirty(slot);
    }

    /// Sends every answer whose turn it is.
    pub(super) fn release_answers(&mut self, slot: u32) {
        loop {
            let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
                return;
            };
            let Some(first) = connection.first else {
                break;
            };
            let Some(exchange) = self.pending.get_mut(first) else {
                break;
            };
            if !exchange.held.is_empty() {
                let held = std::mem::take(&mut exchange.held);
                held.append_to(&mut connection.output);
            }
            if exchange.stage != Stage::Answered {
                return;
            }
            connection.first = exchange.next;
            connection.in_flight -= 1;
            if connection.first.is_none() {
                connection.last = None;
                connection.barrier = false;
            }
            let close = exchange.close || exchange.refusal.is_some();
            if let Some(refusal) = exchange.refusal.take() {
                connection.output.push(refusal);
            }
            if let Some(exchange) = self.pending.remove(first) {
                self.recycle(exchange.record);
            }
            if close {
                if let Some(connection) = self.connection(slot) {
                    connection.phase = Phase::Closing;
                }
                self.abort_exchanges(slot, AbortReason::ClientGone);
                self.drop_exchanges(slot);
                return;
            }
        }
        // Idle, or between a request and the rest of the next one's head.
        let Some(connection) = self.connections[slot as usize].as_deref() else {
            return;
        };
        if matches!(connection.phase, Phase::Head) {
            let at = self.idle_deadline(slot);
            self.set_deadline(slot, at);
        }
    }

    /// An answer is out before the request's body is in.
    pub(super) fn leave_body(&mut self, slot: u32, index: u32) {
        let Some(exchange) = self.pending.get_mut(index) else {
            return;
        };
        let close = exchange.close;
        let Some(connection) = self.connection(slot) else {
            return;
        };
        if close {
            connection.phase = Phase::Closing;
            return;
        }
        let phase = std::mem::replace(&mut connection.phase, Phase::Closing);
        if let Phase::Streaming(upload) = phase {
            let decoder: BodyDecoder = upload.decoder;
            connection.phase = Phase::Discarding {
                decoder,
                left: DISCARD,
            };
            let at = self.now
                + self.connections[slot as usize]
                    .as_deref()
                    .map_or(0, |connection| self.port_limits(connection.port).body_grace);
            self.set_deadline(slot, at);
        } else {
            connection.phase = phase;
        }
    }

    pub(super) fn idle_deadline(&self, slot: u32) -> u64 {
        self.connections[slot as usize]
            .as_deref()
            .map_or(u64::MAX, |connection| {
                let limits = self.port_limits(connection.port);
                if connection.input.is_empty() {
                    (self.now + limits.keep_alive_timeout).min(self.stop_at)
                } else {
                    // The next head has begun to come.
                    self.now + limits.header_timeout
                }
            })
    }

    /// Whether what is left of a request body is small enough to be read and thrown away.
    pub(super) fn body_can_be_skipped(&self, exchange: &Exchange) -> bool {
        if exchange.body_done {
            return true;
        }
        if exchange.expects_continue {
            // The client may or may not send the body now; nobody can tell it from the next request.
            return false;
        }
        self.connections[exchange.connection as usize]
            .as_deref()
            .is_some_and(|connection| match &connection.phase {
                Phase::Streaming(upload) => upload
                    .decoder
                    .remaining()
                    .is_some_and(|left| left <= DISCARD as u64),
                _ => false,
            })
    }

    /// Tells the workers of a connection's exchanges what has become of their client.
    pub(super) fn abort_exchanges(&mut self, slot: u32, reason: AbortReason) {
        let mut next = self.connections[slot as usize]
            .as_deref()
            .and_then(|connection| connection.first);
        while let Some(index) = next {
            next = self.pending.get(index).and_then(|exchange| exchange.next);
            self.abort(index, reason);
        }
    }

    /// Tells the worker of an exchange what has become of its client; each thing once, and nothing after the worst.
    pub(super) fn abort(&mut self, index: u32, reason: AbortReason) {
        let Some(exchange) = self.pending.get_mut(index) else {
            return;
        };
        // The mild ones leave the exchange alive, and a worse one may follow.
        let is_mild = |reason| matches!(reason, AbortReason::HalfClosed | AbortReason::SoftTimeout);
        if exchange
            .told
            .is_some_and(|told| told == reason || !is_mild(told))
        {
            return;
        }
        exchange.told = Some(reason);
        let generation = exchange.generation;
        if !exchange.body_done && !is_mild(reason) {
            let end = Words::event(EventKind::BodyEnd, event_flag::BROKEN)
                .with_exchange(index, generation);
            self.signal(index, end);
        }
        let words = Words::event(EventKind::Abort, 0)
            .with_exchange(index, generation)
            .with_abort_reason(reason);
        self.signal(index, words);
    }

    /// Forgets a connection's exchanges; their answers will find nothing.
    pub(super) fn drop_exchanges(&mut self, slot: u32) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        let mut next = connection.first.take();
        connection.last = None;
        connection.in_flight = 0;
        while let Some(index) = next {
            let Some(exchange) = self.pending.remove(index) else {
                return;
            };
            next = exchange.next;
            if let Some(worker) = exchange.worker {
                if exchange.blob.is_some() {
                    self.drop_blob(worker, index);
                }
                self.settle(worker);
            }
            self.recycle(exchange.record);
        }
        if !self.waiting.is_empty() {
            self.retry_waiting = true;
        }
    }

    /// The peer has sent FIN. What it asked for is still answered: it may only have closed its side.
    pub(super) fn on_eof(&mut self, slot: u32) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        connection.eof = true;
        if connection.socket.as_deref().is_some_and(Socket::is_tcp) {
            return self.tcp_eof(slot);
        }
        if connection.socket.is_some() {
            // Without a closing handshake: whatever it still wanted to hear, it will not say so.
            return self.lose(slot);
        }
        if connection.first.is_none() {
            // Closes as soon as nothing of what has come can be taken any more.
            return self.mark_dirty(slot);
        }
        if matches!(connection.phase, Phase::Streaming(_)) {
            // The rest of the body will never come, so there is nothing to answer.
            return self.lose(slot);
        }
        self.abort_exchanges(slot, AbortReason::HalfClosed);
    }

    /// The connection is broken: nothing can be sent any more.
    pub(super) fn lose(&mut self, slot: u32) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        if connection.http2.is_some() {
            self.lose_streams(slot);
        }
        let Some(connection) = self.connection(slot) else {
            return;
        };
        if connection.first.is_some() {
            self.counters.abort_count += 1;
            self.abort_exchanges(slot, AbortReason::ClientGone);
            self.drop_exchanges(slot);
        }
        self.close(slot);
    }
}
