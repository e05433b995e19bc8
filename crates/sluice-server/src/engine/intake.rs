//! From bytes to exchanges: reading sockets, parsing heads.

use std::task::{Context, Poll};

use bytes::Bytes;
use sluice_core::id::ReactorId;
use sluice_shared::record::{EventKind, FIELD_BYTES, Handshake, Words, event_flag};
use tokio::io::ReadBuf;

use super::Engine;
use crate::connection::{Meter, Phase};
use crate::http1::{BodyDecoder, Framing, Method, Parse, Reject};
use crate::output::Output;
use crate::pending::{Exchange, Stage};
use crate::websocket::{self, Refusal};

/// A body up to this size travels inside the record; above, it waits to be fetched.
const INLINE_BODY: usize = 16 * 1024;
/// A body up to this size is waited for and handed over whole; above, it is streamed.
const BUFFERED_BODY: usize = 256 * 1024;
/// Reads from one socket in one pass.
const READS: usize = 4;

/// What a step of parsing came to.
pub(super) enum Step {
    /// Go on with what follows.
    Consumed(usize),
    /// Nothing more can be done with the input now.
    Stuck,
}

impl Engine {
    /// Reads what a socket has and acts on it.
    pub(super) fn read(&mut self, slot: u32) {
        if !self.go_on_opening(slot) {
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut reads = 0;
        while let Some(connection) = self.connections[slot as usize].as_deref_mut() {
            connection.stalled = !connection.may_read();
            if connection.stalled {
                break;
            }
            if reads == READS {
                // The others first; this socket is looked at again in the next pass.
                connection.waker.wake_by_ref();
                break;
            }
            reads += 1;
            let mut buffer = ReadBuf::new(&mut scratch);
            let mut cx = Context::from_waker(&connection.waker);
            let read = match connection.stream.poll_read(&mut cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            };
            match read {
                Ok(0) => {
                    self.on_eof(slot);
                    break;
                }
                Ok(count) => {
                    connection.bytes_in += count as u64;
                    // For `bodyMinRate`; started anew when a body begins.
                    connection.meter.bytes += count as u64;
                    if connection.parent.is_none() {
                        self.counters.bytes_in += count as u64;
                    }
                    self.deliver(slot, &mut scratch[..count]);
                }
                Err(_) => {
                    self.lose(slot);
                    break;
                }
            }
        }
        self.scratch = scratch;
    }

    /// Takes newly read bytes.
    pub(super) fn deliver(&mut self, slot: u32, bytes: &mut [u8]) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        if connection.input.is_empty() {
            let consumed = self.advance(slot, bytes);
            let rest = &bytes[consumed..];
            if !rest.is_empty() && self.connections[slot as usize].is_some() {
                let mut input = self.buffer();
                input.extend_from_slice(rest);
                if let Some(connection) = self.connection(slot) {
                    connection.input = input;
                }
            }
        } else {
            connection.input.extend_from_slice(bytes);
            self.resume(slot);
        }
    }

    /// Goes on with input that could not be taken before.
    pub(super) fn resume(&mut self, slot: u32) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        let mut input = std::mem::take(&mut connection.input);
        if input.is_empty() {
            return;
        }
        let consumed = self.advance(slot, &mut input);
        if consumed == input.len() {
            self.recycle(input);
        } else if let Some(connection) = self.connection(slot) {
            input.drain(..consumed);
            connection.input = input;
        }
    }

    /// Understands as much of `input` as can be acted on now; returns how much that was.
    fn advance(&mut self, slot: u32, input: &mut [u8]) -> usize {
        let mut at = 0;
        while at < input.len() {
            let Some(connection) = self.connection(slot) else {
                return input.len();
            };
            let rest = &mut input[at..];
            let step = match &connection.phase {
                Phase::Head => self.take_head(slot, rest),
                Phase::Buffering { need } if rest.len() < *need => Step::Stuck,
                Phase::Buffering { .. } => {
                    connection.phase = Phase::Head;
                    self.take_head(slot, rest)
                }
                Phase::Streaming(_) => self.take_upload(slot, rest),
                Phase::Discarding { .. } => self.discard(slot, rest),
                Phase::Socket => self.take_frame(slot, rest),
                // Read by itself, and kept until it is whole.
                Phase::ProxyHeader => Step::Stuck,
                Phase::Handshake
                | Phase::Http2
                | Phase::Closing
                | Phase::Lingering
                | Phase::Gone => {
                    return input.len();
                }
            };
            match step {
                Step::Consumed(count) => at += count,
                Step::Stuck => break,
            }
        }
        at
    }

    fn take_head(&mut self, slot: u32, input: &[u8]) -> Step {
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return Step::Stuck;
        };
        if input[0] == b'P'
            && connection.is_fresh
            && let Some(step) = self.take_preface(slot, input)
        {
            return step;
        }
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return Step::Stuck;
        };
        let (limits, head_limits) = &self.limits[usize::from(connection.port)];
        if connection.output.len() >= limits.send_buffer as usize {
            connection.output_blocked = true;
            return Step::Stuck;
        }
        if connection.barrier || connection.in_flight >= limits.pipeline {
            return Step::Stuck;
        }
        let scanned = std::mem::take(&mut connection.scanned);
        match self.head.parse(input, scanned, head_limits) {
            Ok(Parse::Complete) => connection.is_fresh = false,
            Ok(Parse::Incomplete) => {
                connection.scanned = input.len();
                // The clock of a head starts with its first byte and is not reset by the next ones.
                if scanned == 0 && connection.first.is_none() {
                    let at = self.now + limits.header_timeout;
                    self.set_deadline(slot, at);
                }
                return Step::Stuck;
            }
            Err(reject) => {
                self.reject(slot, reject);
                return Step::Stuck;
            }
        }
        let is_stream = connection.parent.is_some();
        // An answer ends its stream.
        self.head.keep_alive &= !is_stream;
        let head_end = self.head.start + self.head.head_len;
        let body = &input[head_end..];
        let safe = matches!(
            self.head.method,
            Method::Get | Method::Head | Method::Options
        );
        let handshake = if self.head.upgrade {
            match websocket::check(&self.head, input) {
                Ok(Some(_)) => Handshake::Valid,
                Ok(None) => Handshake::None,
                Err(Refusal::Version) => Handshake::Version,
                Err(_) => Handshake::Malformed,
            }
        } else {
            Handshake::None
        };
        let is_alone = safe && self.head.framing == Framing::None && handshake != Handshake::Valid;
        if connection.first.is_some() && !is_alone {
            // RFC 9112 9.3.2: only safe requests may be carried out beside each other.
            return Step::Stuck;
        }
        if handshake == Handshake::Valid
            && let Some((status, name)) = self.refuse_handshake(slot, input)
        {
            return self.refuse_head(slot, status, name);
        }
        if handshake == Handshake::Valid
            && let Some(place) = self.session_place(self.head.target_bytes(input))
            && place.reactor != self.id
            // A stream cannot leave its connection.
            && !is_stream
            && self.connections[slot as usize]
                .as_deref()
                .is_some_and(|connection| connection.first.is_none())
        {
            // Its client had a connection on another reactor and wants to go on with it.
            self.move_connection(slot, place.reactor, input);
            return Step::Stuck;
        }
        self.handshake = handshake;
        if !self.sites.is_empty()
            && let Some(step) = self.take_file(slot, input)
        {
            return step;
        }
        match self.head.framing {
            Framing::None => {
                self.begin(slot, input, &[], safe);
                Step::Consumed(head_end)
            }
            Framing::Length(length) if body.len() as u64 >= length => {
                let length = length as usize;
                self.begin(slot, input, &body[..length], safe);
                Step::Consumed(head_end + length)
            }
            // A client that waits for `100 Continue` gets it when the body is first read, and not before: the worker
            // must have the head to decide.
            Framing::Length(length)
                if length <= BUFFERED_BODY as u64 && !self.head.expect_continue =>
            {
                self.wait_for_body(slot, head_end + length as usize);
                Step::Stuck
            }
            Framing::Chunked if !self.head.expect_continue => {
                let mut decoder = BodyDecoder::new(Framing::Chunked);
                let mut decoded = std::mem::take(&mut self.decoded);
                decoded.clear();
                let result = decoder.decode(body, BUFFERED_BODY, |piece| {
                    decoded.extend_from_slice(piece);
                });
                let step = match result {
                    Ok(progress) if progress.done => {
                        self.begin(slot, input, &decoded, safe);
                        Step::Consumed(head_end + progress.consumed)
                    }
                    Ok(_) => {
                        self.begin_upload(slot, input, safe);
                        Step::Consumed(head_end)
                    }
                    Err(reject) => {
                        self.reject(slot, reject);
                        Step::Stuck
                    }
                };
                self.decoded = decoded;
                step
            }
            Framing::Length(_) | Framing::Chunked => {
                self.begin_upload(slot, input, safe);
                Step::Consumed(head_end)
            }
        }
    }

    /// Waits until `need` bytes, head and body, are in.
    fn wait_for_body(&mut self, slot: u32, need: usize) {
        let now = self.now;
        let Some(connection) = self.connection(slot) else {
            return;
        };
        connection.phase = Phase::Buffering { need };
        connection.meter = Meter {
            since: now,
            bytes: 0,
        };
        let port = connection.port;
        let at = now + self.port_limits(port).body_grace;
        self.set_deadline(slot, at);
    }

    /// A request is complete: makes an exchange of it and hands it to a worker.
    fn begin(&mut self, slot: u32, input: &[u8], body: &[u8], safe: bool) {
        let mut record = self.buffer();
        let (flags, blob) = if body.len() <= INLINE_BODY {
            (0, None)
        } else {
            (event_flag::BLOB, Some(Bytes::copy_from_slice(body)))
        };
        let words = self
            .record(slot, input, flags, &mut record)
            .with_event_body_len(body.len() as u32);
        if blob.is_none() {
            record.extend_from_slice(body);
        }
        self.enqueue(slot, words, record, blob, safe, false);
    }

    /// Writes the field table and the head into `record` and returns the words that describe them.
    pub(super) fn record(&self, slot: u32, input: &[u8], flags: u8, record: &mut Vec<u8>) -> Words {
        let head = &self.head;
        head.write_fields(record);
        record.extend_from_slice(&input[head.start..head.start + head.head_len]);
        let is_https = self.connections[slot as usize]
            .as_deref()
            .is_some_and(|connection| connection.stream.is_encrypted());
        let flags = flags
            | if head.http10 { event_flag::HTTP10 } else { 0 }
            | if is_https { event_flag::HTTPS } else { 0 };
        Words::event(EventKind::Http, flags)
            .with_method(head.method as u8)
            .with_fields(head.fields.len() as u16)
            .with_port(self.port_of(slot))
            .with_connection(slot, ReactorId(self.id))
            .with_target(head.target_len, head.target_off)
            .with_head_len(head.head_len as u32)
            .with_handshake(self.handshake)
    }

    pub(super) fn enqueue(
        &mut self,
        slot: u32,
        words: Words,
        record: Vec<u8>,
        blob: Option<Bytes>,
        safe: bool,
        upload: bool,
    ) -> Option<u32> {
        self.counters.request_count += 1;
        let fields = self.head.fields.len() * FIELD_BYTES as usize;
        let key = self.dispatch_key(words.port(), &self.head, &record[fields..]);
        let connection = self.connections[slot as usize].as_deref_mut()?;
        let is_stream = connection.parent.is_some();
        let port = usize::from(connection.port);
        self.ports[port].request_count += 1;
        let limits = &self.limits[port].0;
        let over = self
            .shared
            .over_concurrency(self.id, self.pending.len(), limits.concurrency);
        let index = self.pending.insert(Exchange {
            generation: 0,
            connection: slot,
            next: None,
            stage: Stage::Waiting,
            worker: None,
            position: 0,
            safe,
            head_request: self.head.method == Method::Head,
            // The end of a stream needs no chunks to be seen, as that of a connection with HTTP/1.0.
            http10: self.head.http10 || is_stream,
            keep_alive: self.head.keep_alive,
            replayed: false,
            streamed_body: upload,
            body_done: !upload,
            expects_continue: upload && self.head.expect_continue && !self.head.http10,
            wants_drain: false,
            told: None,
            is_late: false,
            close: false,
            words,
            record,
            blob,
            held: Output::default(),
            refusal: None,
            is_claimed: false,
            key,
        });
        match connection.last {
            Some(last) => {
                if let Some(last) = self.pending.get_mut(last) {
                    last.next = Some(index);
                }
            }
            None => connection.first = Some(index),
        }
        connection.last = Some(index);
        connection.in_flight += 1;
        connection.barrier =
            !safe || upload || !self.head.keep_alive || words.handshake() == Handshake::Valid;
        let fixed = self.shared.config.ports[port].fixed_answer.is_some();
        self.set_deadline(slot, u64::MAX);
        if fixed {
            self.answer_fixed(index, port);
        } else if over {
            self.rejected.concurrency += 1;
            self.refuse(index, 503, Reject::Overloaded.name());
        } else {
            self.assign(index);
        }
        self.pending.get(index).map(|_| index)
    }
}
