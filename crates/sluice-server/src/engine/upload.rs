//! Request bodies on their way to a worker, piece by piece and against credit.

use sluice_core::flow::Credit;
use sluice_shared::record::{AbortReason, EventKind, Words, event_flag};

use super::Engine;
use super::intake::Step;
use crate::connection::{Meter, Phase, Upload};
use crate::http1::{BodyDecoder, Reject, answer};
use crate::pending::{Exchange, Stage};

/// What a worker may have of a streamed body and not yet have consumed.
const UPLOAD_WINDOW: usize = 256 * 1024;
/// A streamed body travels in pieces of at most this.
const CHUNK: usize = 16 * 1024;

impl Engine {
    /// A request whose body is streamed: its worker gets the head now.
    pub(super) fn begin_upload(&mut self, slot: u32, input: &[u8], safe: bool) {
        let decoder = BodyDecoder::new(self.head.framing);
        let mut record = self.buffer();
        let words = self.record(slot, input, event_flag::STREAM, &mut record);
        let exchange = self.enqueue(slot, words, record, None, safe, true);
        let now = self.now;
        if let Some(exchange) = exchange
            && let Some(connection) = self.connection(slot)
        {
            connection.phase = Phase::Streaming(Upload {
                exchange,
                decoder,
                credit: None,
            });
            connection.meter = Meter {
                since: now,
                bytes: 0,
            };
            let port = connection.port;
            let at = now + self.port_limits(port).body_grace;
            self.set_deadline(slot, at);
        }
    }

    /// Moves body bytes to the worker, as far as it is willing and its ring has room.
    pub(super) fn take_upload(&mut self, slot: u32, input: &[u8]) -> Step {
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return Step::Stuck;
        };
        let Phase::Streaming(upload) = &mut connection.phase else {
            return Step::Stuck;
        };
        let index = upload.exchange;
        let take = upload
            .credit
            .as_ref()
            .map_or(0, Credit::available)
            .min(CHUNK);
        let Some(worker) = self.pending.get(index).and_then(|exchange| exchange.worker) else {
            return Step::Stuck;
        };
        let Some(lane) = self.events.get_mut(worker.index()).and_then(Option::as_mut) else {
            return Step::Stuck;
        };
        if take == 0 {
            return Step::Stuck;
        }
        if !lane.has_room(take) {
            lane.ask_for_space();
            // Once more: the worker may have read on before it could see that we wait.
            if !lane.has_room(take) {
                self.counters.ring_full += 1;
                self.block_on_ring(slot);
                return Step::Stuck;
            }
        }
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        let result = upload
            .decoder
            .decode(input, take, |piece| decoded.extend_from_slice(piece));
        let step = match result {
            Ok(progress) => {
                if let Some(credit) = &mut upload.credit {
                    credit.take(decoded.len());
                }
                if !decoded.is_empty() {
                    self.push_chunk(index, &decoded);
                }
                if progress.done {
                    self.finish_upload(slot, index);
                }
                if progress.consumed == 0 && !progress.done {
                    Step::Stuck
                } else {
                    Step::Consumed(progress.consumed)
                }
            }
            Err(reject) => {
                self.fail_upload(index, reject);
                Step::Stuck
            }
        };
        self.decoded = decoded;
        step
    }

    /// The last byte of a streamed body is in.
    pub(super) fn finish_upload(&mut self, slot: u32, index: u32) {
        if let Some(connection) = self.connection(slot) {
            connection.phase = Phase::Head;
        }
        self.set_deadline(slot, u64::MAX);
        self.end_upload(index, 0);
        if self
            .pending
            .get(index)
            .is_some_and(|exchange| exchange.stage == Stage::Dispatched)
        {
            self.await_answer(index);
        }
    }

    /// The body of a request breaks the framing: the reactor answers in place of its worker, and closes.
    pub(super) fn fail_upload(&mut self, index: u32, reject: Reject) {
        self.count_reject(reject);
        let Some(exchange) = self.pending.get_mut(index) else {
            return;
        };
        exchange.keep_alive = false;
        self.abort(index, AbortReason::ClientGone);
        self.refuse(index, reject.status(), reject.name());
    }

    pub(super) fn end_upload(&mut self, index: u32, flags: u8) {
        let Some(exchange) = self.pending.get_mut(index) else {
            return;
        };
        exchange.body_done = flags == 0;
        let words =
            Words::event(EventKind::BodyEnd, flags).with_exchange(index, exchange.generation);
        self.signal(index, words);
    }

    pub(super) fn push_chunk(&mut self, index: u32, bytes: &[u8]) {
        let Some(exchange) = self.pending.get(index) else {
            return;
        };
        let words = Words::event(EventKind::BodyChunk, 0)
            .with_exchange(index, exchange.generation)
            .with_event_body_len(bytes.len() as u32);
        let lane = exchange
            .worker
            .and_then(|worker| self.events.get_mut(worker.index())?.as_mut());
        if let Some(lane) = lane {
            let pushed = lane.push(words, &[bytes]);
            debug_assert!(pushed.is_ok(), "room was checked before decoding");
        }
    }

    /// A worker takes more of a body. The first call opens the window.
    pub(super) fn credit(&mut self, index: u32, bytes: u32) {
        let Some(exchange) = self.pending.get_mut(index) else {
            return;
        };
        let slot = exchange.connection;
        // Behind the head of an answer it would be taken for a part of the body.
        let begun = matches!(exchange.stage, Stage::Answering { .. });
        let send_continue = std::mem::take(&mut exchange.expects_continue) && !begun;
        let now = self.now;
        let Some(connection) = self.connection(slot) else {
            return;
        };
        let port = connection.port;
        let Phase::Streaming(upload) = &mut connection.phase else {
            return;
        };
        if upload.exchange != index {
            return;
        }
        match &mut upload.credit {
            Some(credit) => {
                credit.give(bytes as usize);
            }
            None => {
                upload.credit = Some(Credit::new(UPLOAD_WINDOW));
                connection.meter = Meter {
                    since: now,
                    bytes: 0,
                };
            }
        }
        if send_continue {
            self.write_small(slot, answer::CONTINUE);
        }
        let at = now + self.port_limits(port).body_grace;
        self.set_deadline(slot, at);
        // The handler reads: it is waited for as long as the client sends.
        self.pending.set_deadline(index, u64::MAX);
        self.mark_dirty(slot);
    }

    /// The worker that reads the form of a request may go on.
    pub(super) fn tell_of_form(&mut self, index: u32, generation: u32) {
        let is_it = |exchange: &Exchange| exchange.generation == generation;
        if self.pending.get(index).is_some_and(is_it) {
            let words = Words::event(EventKind::Drain, event_flag::SPOOLED);
            self.signal(index, words.with_exchange(index, generation));
        }
    }

    /// Skips the rest of a body whose request was answered without it.
    pub(super) fn discard(&mut self, slot: u32, input: &[u8]) -> Step {
        let Some(connection) = self.connection(slot) else {
            return Step::Stuck;
        };
        let Phase::Discarding { decoder, left } = &mut connection.phase else {
            return Step::Stuck;
        };
        match decoder.decode(input, usize::MAX, |_| {}) {
            Ok(progress) if progress.done => {
                connection.phase = Phase::Head;
                let at = self.idle_deadline(slot);
                self.set_deadline(slot, at);
                Step::Consumed(progress.consumed)
            }
            Ok(progress) if progress.consumed <= *left => {
                *left -= progress.consumed;
                Step::Consumed(progress.consumed.max(1).min(input.len()))
            }
            Ok(_) | Err(_) => {
                connection.phase = Phase::Closing;
                self.mark_dirty(slot);
                Step::Stuck
            }
        }
    }
}
