//! From a worker's commands to bytes on the right connection, in the right order.

use bytes::Bytes;
use sluice_core::id::WorkerSlot;
use sluice_shared::record::{AbortReason, CommandKind, Words, command_flag};

use super::Engine;
use crate::http1::{AnswerHead, Length, answer};
use crate::lane::{CommandLane, Parcel};
use crate::output::Output;
use crate::pending::Stage;

/// The body of an answer as it comes from the ring or beside it.
pub(super) enum Body<'a> {
    Inline(&'a [u8]),
    Shared(Bytes),
}

impl Body<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Body::Inline(bytes) => bytes.len(),
            Body::Shared(bytes) => bytes.len(),
        }
    }
}

impl Engine {
    /// Carries out everything a worker has published.
    pub(super) fn run_commands(&mut self, lane: &mut CommandLane) {
        self.run_ring(lane);
        if !lane.has_spill() {
            return;
        }
        // Once more: what is older than the first spilled command is published by now, but it may not have been when the
        // ring was read.
        self.run_ring(lane);
        for (words, bytes) in lane.take_spill() {
            let parcel = if words.has(command_flag::BLOB) {
                lane.shared.take_parcel()
            } else {
                None
            };
            self.command(lane.slot, words, &bytes, parcel);
        }
    }

    fn run_ring(&mut self, lane: &mut CommandLane) {
        loop {
            let record = match lane.ring.next_command() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                // Only our own code writes this ring.
                Err(corrupt) => {
                    debug_assert!(false, "{corrupt}");
                    break;
                }
            };
            let words = record.words;
            let parcel = if words.has(command_flag::BLOB) {
                lane.shared.take_parcel()
            } else {
                None
            };
            self.command(lane.slot, words, record.bytes, parcel);
        }
        lane.ring.release();
    }

    fn command(&mut self, worker: WorkerSlot, words: Words, bytes: &[u8], parcel: Option<Parcel>) {
        let Some(kind) = CommandKind::from_u8(words.kind()) else {
            return;
        };
        if kind.is_packet() {
            return self.packet_command(kind, Some(worker), words, bytes, parcel);
        }
        if kind as u8 >= CommandKind::SocketSend as u8 && kind != CommandKind::File {
            return self.socket_command(kind, Some(worker), words, bytes, parcel);
        }
        let index = words.index();
        // Stale: answered, timed out, left by its client, or taken from this worker. Nobody waits for it.
        if self
            .pending
            .held_by(index, words.generation(), worker)
            .is_none()
        {
            return;
        }
        let block_len = (words.block_len() as usize).min(bytes.len());
        let (block, inline) = bytes.split_at(block_len);
        if let Some(Parcel::File(file, name)) = parcel {
            return self.respond_file(index, words, block, file, &name);
        }
        let body = match parcel {
            Some(Parcel::Body(bytes)) => Body::Shared(bytes),
            Some(Parcel::Fanout(_) | Parcel::File(..)) | None => {
                let len = match kind {
                    CommandKind::Respond
                    | CommandKind::Chunk
                    | CommandKind::Upgrade
                    | CommandKind::EventStream => words.command_body_len() as usize,
                    _ => 0,
                };
                Body::Inline(&inline[..len.min(inline.len())])
            }
        };
        match kind {
            CommandKind::Respond => self.respond(index, words, block, body),
            CommandKind::Head => self.respond_head(index, words, block),
            CommandKind::Chunk => {
                self.respond_chunk(index, body, words.has(command_flag::WANT_DRAIN));
            }
            CommandKind::End => self.respond_end(index),
            CommandKind::Reset => self.respond_reset(index),
            CommandKind::Credit => self.credit(index, words.command_body_len()),
            CommandKind::Idempotent => {
                if let Some(exchange) = self.pending.get_mut(index) {
                    exchange.safe = true;
                }
            }
            CommandKind::Upgrade => self.upgrade(index, worker, block, &body),
            CommandKind::EventStream => self.open_event_stream(index, worker, block, &body),
            // Taken above: they name no exchange.
            _ => {}
        }
    }

    /// A whole answer.
    pub(super) fn respond(&mut self, index: u32, words: Words, block: &[u8], body: Body<'_>) {
        let Some(exchange) = self.pending.get(index) else {
            return;
        };
        if exchange.stage != Stage::Dispatched {
            return;
        }
        let status = words.status();
        let has_body = !exchange.head_request && !is_bodiless(status);
        let length = match status {
            304 if body.len() == 0 => Length::None,
            _ => Length::Known(body.len() as u64),
        };
        let close = !self.body_can_be_skipped(exchange);
        let close = self.write_answer_head(index, words, block, length, close);
        if has_body {
            self.write_body(index, body);
        }
        self.answered(index, close);
    }

    /// The head of a streamed answer.
    fn respond_head(&mut self, index: u32, words: Words, block: &[u8]) {
        let Some(exchange) = self.pending.get(index) else {
            return;
        };
        if exchange.stage != Stage::Dispatched {
            return;
        }
        let bodiless = exchange.head_request || is_bodiless(words.status());
        let http10 = exchange.http10;
        // The answer may be made of the body, and `100 Continue` cannot be said once its head is out.
        if words.status() < 300
            && let Some(exchange) = self.pending.get_mut(index)
            && std::mem::take(&mut exchange.expects_continue)
            && let Some(out) = self.answer_tail(index)
        {
            out.extend_from_slice(answer::CONTINUE);
        }
        let known = words
            .has(command_flag::LENGTH_KNOWN)
            .then(|| words.content_length())
            .flatten();
        // To HEAD the framing of the answer to GET is told, as node:http does; nothing is framed by it.
        let (length, chunked) = match known {
            Some(length) => (Length::Known(length), false),
            None if is_bodiless(words.status()) => (Length::None, false),
            None if http10 => (Length::Close, false),
            None => (Length::Chunked, !bodiless),
        };
        // Whether the request's body will have been read is known when the answer ends.
        let close = length == Length::Close;
        let close = self.write_answer_head(index, words, block, length, close);
        if let Some(exchange) = self.pending.get_mut(index) {
            let slot = exchange.connection;
            exchange.close = close;
            exchange.stage = Stage::Answering {
                chunked,
                left: if bodiless { Some(0) } else { known },
            };
            // The first part of the body may be long in coming.
            self.mark_dirty(slot);
        }
        self.pending.set_deadline(index, u64::MAX);
    }

    /// More of a streamed answer.
    fn respond_chunk(&mut self, index: u32, body: Body<'_>, wants_drain: bool) {
        let Some(exchange) = self.pending.get_mut(index) else {
            return;
        };
        let Stage::Answering { chunked, left } = &mut exchange.stage else {
            return;
        };
        exchange.wants_drain |= wants_drain;
        let slot = exchange.connection;
        if *chunked {
            self.write_chunk(index, body);
        } else {
            // A source that gives more than its content-length is cut: the rest would be read as the next answer.
            let body = match left {
                Some(left) => {
                    let take = (body.len() as u64).min(*left) as usize;
                    *left -= take as u64;
                    match body {
                        Body::Inline(bytes) => Body::Inline(&bytes[..take]),
                        Body::Shared(bytes) => Body::Shared(bytes.slice(..take)),
                    }
                }
                None => body,
            };
            self.write_body(index, body);
        }
        self.mark_dirty(slot);
    }

    /// The end of a streamed answer.
    fn respond_end(&mut self, index: u32) {
        let Some(exchange) = self.pending.get(index) else {
            return;
        };
        let Stage::Answering { chunked, left } = exchange.stage else {
            return;
        };
        let close = exchange.close;
        if chunked {
            if let Some(out) = self.answer_tail(index) {
                answer::write_last_chunk(out);
            }
        } else if left.is_some_and(|left| left > 0) {
            // Less than the content-length promised: only a broken connection tells the client.
            return self.respond_reset(index);
        }
        self.answered(index, close);
    }

    /// A streamed answer that cannot be completed: the connection breaks, so that it cannot look complete.
    pub(super) fn respond_reset(&mut self, index: u32) {
        let Some(exchange) = self.pending.get(index) else {
            return;
        };
        let slot = exchange.connection;
        if exchange.stage == Stage::Dispatched || self.take_back(index) {
            return self.refuse(index, 500, "answer-abandoned");
        }
        self.flush(slot);
        if let Some(connection) = self.connection(slot) {
            connection.stream.abort_on_drop();
        }
        if let Some(exchange) = self.pending.get_mut(index) {
            // Its own worker knows.
            exchange.told = Some(AbortReason::ClientGone);
        }
        self.abort_exchanges(slot, AbortReason::ClientGone);
        self.drop_exchanges(slot);
        self.close(slot);
    }

    /// Forgets an answer that was begun behind others, of which nothing is on the wire. False when it was not.
    pub(super) fn take_back(&mut self, index: u32) -> bool {
        let Some(exchange) = self.pending.get(index) else {
            return false;
        };
        let is_first = self.connections[exchange.connection as usize]
            .as_deref()
            .is_none_or(|connection| connection.first == Some(index));
        if is_first {
            return false;
        }
        if let Some(exchange) = self.pending.get_mut(index) {
            exchange.held = Output::default();
            exchange.stage = Stage::Dispatched;
            exchange.close = false;
        }
        true
    }

    /// Writes the head of an answer; returns whether the connection closes after it.
    pub(super) fn write_answer_head(
        &mut self,
        index: u32,
        words: Words,
        block: &[u8],
        length: Length,
        close: bool,
    ) -> bool {
        let date = *self.date.get(self.shared.unix_seconds(self.now));
        let shared = std::sync::Arc::clone(&self.shared);
        let Some(exchange) = self.pending.get(index) else {
            return true;
        };
        let close =
            close || words.has(command_flag::CLOSE) || !exchange.keep_alive || self.stopping;
        let head = AnswerHead {
            status: words.status(),
            template: words.template(),
            headers: block,
            length,
            close,
            keep_alive_10: exchange.http10 && !close,
            date: (!words.has(command_flag::HAS_DATE)).then_some(&date),
            server: shared
                .config
                .server_header
                .as_deref()
                .filter(|_| !words.has(command_flag::HAS_SERVER)),
            http10: exchange.http10,
        };
        match self.answer_tail(index) {
            Some(out) => {
                let sound = answer::write_head(out, &head);
                close || !sound
            }
            None => true,
        }
    }

    /// Where the bytes of this exchange's answer go: straight to the connection when it is its turn.
    pub(super) fn answer_tail(&mut self, index: u32) -> Option<&mut Vec<u8>> {
        let exchange = self.pending.get_mut(index)?;
        let connection = self.connections[exchange.connection as usize].as_deref_mut()?;
        let output = if connection.first == Some(index) {
            &mut connection.output
        } else {
            &mut exchange.held
        };
        if output.wants_buffer() {
            output.give_buffer(self.pool.pop().unwrap_or_default());
        }
        Some(output.tail())
    }

    fn write_body(&mut self, index: u32, body: Body<'_>) {
        match body {
            Body::Inline(bytes) => {
                if let Some(out) = self.answer_tail(index) {
                    out.extend_from_slice(bytes);
                }
            }
            Body::Shared(bytes) => self.push_shared(index, bytes),
        }
    }

    fn write_chunk(&mut self, index: u32, body: Body<'_>) {
        match body {
            Body::Inline(bytes) => {
                if let Some(out) = self.answer_tail(index) {
                    answer::write_chunk(out, bytes);
                }
            }
            Body::Shared(bytes) if bytes.is_empty() => {}
            Body::Shared(bytes) => {
                if let Some(out) = self.answer_tail(index) {
                    answer::write_chunk_size(out, bytes.len());
                }
                self.push_shared(index, bytes);
                if let Some(out) = self.answer_tail(index) {
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    fn push_shared(&mut self, index: u32, bytes: Bytes) {
        let Some(exchange) = self.pending.get_mut(index) else {
            return;
        };
        let Some(connection) = self.connections[exchange.connection as usize].as_deref_mut() else {
            return;
        };
        if connection.first == Some(index) {
            connection.output.push(bytes);
        } else {
            exchange.held.push(bytes);
        }
    }
}

fn is_bodiless(status: u16) -> bool {
    status < 200 || status == 204 || status == 304
}
