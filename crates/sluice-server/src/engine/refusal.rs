//! What the reactor answers on its own: refusals, time-outs, the fixed answer of a port.

use sluice_shared::record::{CommandKind, Words, template};

use super::Engine;
use super::answer::Body;
use super::intake::Step;
use crate::connection::Phase;
use crate::http1::{Reject, answer};
use crate::pending::Stage;

impl Engine {
    /// Refuses what the client sends and closes: after a framing error nothing behind it can be trusted.
    pub(super) fn reject(&mut self, slot: u32, reject: Reject) {
        self.count_reject(reject);
        let date = *self.date.get(self.shared.unix_seconds(self.now));
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        self.counters.response_count += 1;
        connection.phase = Phase::Closing;
        let mut refusal = self.pool.pop().unwrap_or_default();
        answer::write_simple(
            &mut refusal,
            reject.status(),
            reject.name(),
            true,
            Some(&date),
        );
        match connection.last.and_then(|last| self.pending.get_mut(last)) {
            // Behind the answers of the requests before it, in the pipeline's order.
            Some(last) => last.refusal = Some(refusal.into()),
            None => connection.output.append(refusal),
        }
        self.mark_dirty(slot);
    }

    /// Refuses a handshake that only a limit stands against, and closes.
    pub(super) fn refuse_head(&mut self, slot: u32, status: u16, name: &'static str) -> Step {
        let date = *self.date.get(self.shared.unix_seconds(self.now));
        self.counters.response_count += 1;
        if let Some(out) = self.tail(slot) {
            answer::write_simple(out, status, name, true, Some(&date));
        }
        self.begin_close(slot);
        Step::Stuck
    }

    pub(super) fn count_reject(&mut self, reject: Reject) {
        match reject.status() {
            408 => self.rejected.header_timeout += 1,
            413 => self.rejected.body_bytes += 1,
            414 => self.rejected.target_bytes += 1,
            431 => self.rejected.header_bytes += 1,
            400 => self.rejected.malformed += 1,
            _ => self.rejected.unsupported += 1,
        }
    }

    /// Answers for a worker: 503 after a crash or without a worker, 504 after the deadline. `name` is the body.
    pub(super) fn refuse(&mut self, index: u32, status: u16, name: &str) {
        let date = *self.date.get(self.shared.unix_seconds(self.now));
        let Some(exchange) = self.pending.get(index) else {
            return;
        };
        if matches!(exchange.stage, Stage::Answering { .. }) {
            return self.respond_reset(index);
        }
        let close = !exchange.keep_alive || self.stopping || !self.body_can_be_skipped(exchange);
        let is_head = exchange.head_request;
        if let Some(out) = self.answer_tail(index) {
            if is_head {
                answer::write_simple_to_head(out, status, name, close, Some(&date));
            } else {
                answer::write_simple(out, status, name, close, Some(&date));
            }
        }
        self.answered(index, close);
    }

    /// Answers with the port's fixed text: the reactor alone, without JavaScript.
    pub(super) fn answer_fixed(&mut self, index: u32, port: usize) {
        let shared = std::sync::Arc::clone(&self.shared);
        let Some(text) = shared.config.ports[port].fixed_answer.as_deref() else {
            return;
        };
        if let Some(exchange) = self.pending.get_mut(index) {
            exchange.stage = Stage::Dispatched;
        }
        let words = Words::command(CommandKind::Respond, 0, template::TEXT).with_status(200);
        self.respond(index, words, b"", Body::Inline(text.as_bytes()));
    }

    /// Something a reactor says on its own, in front of any answer.
    pub(super) fn write_small(&mut self, slot: u32, bytes: &[u8]) {
        if let Some(tail) = self.tail(slot) {
            tail.extend_from_slice(bytes);
        }
        self.mark_dirty(slot);
    }

    /// The end of the connection's output.
    pub(super) fn tail(&mut self, slot: u32) -> Option<&mut Vec<u8>> {
        let connection = self.connections[slot as usize].as_deref_mut()?;
        if connection.output.wants_buffer() {
            connection
                .output
                .give_buffer(self.pool.pop().unwrap_or_default());
        }
        Some(connection.output.tail())
    }
}
