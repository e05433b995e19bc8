//! How a request becomes a WebSocket or an event stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Deserialize;
use sluice_core::channel::ChannelKind;
use sluice_core::id::{ConnectionId, WorkerSlot};
use sluice_core::member::{Member, MemberKind, Place};
use sluice_shared::record::{AbortReason, AdoptReason, EventKind, Words, event_flag};

use super::super::answer::Body;
use super::Engine;
use crate::connection::Phase;
use crate::delivery::Delivery;
use crate::fanout::EventId;
use crate::http1::head::known_id;
use crate::http1::{AnswerHead, Length, answer};
use crate::pending::{Exchange, Stage as ExchangeStage};
use crate::recorded::Recorded;
use crate::session::Session;
use crate::socket::{Compression, Handshake, Owner, Protocol, Rate, Socket, SocketSettings, Stage};
use crate::websocket::{self, Decoder, Deflater, Offer, Role, Settings};

const ORIGIN: u8 = known_id("origin");

/// What a worker wants an event stream to be; JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamOptions {
    topics: Vec<String>,
    /// What clients wait before they connect again, ms.
    retry: Option<u32>,
    /// Whether messages that a client missed are sent again.
    replay: bool,
    last_event_id: Option<String>,
    named: bool,
}

impl Engine {
    /// Answers a handshake: 101, and the connection is a WebSocket from there on.
    pub(in crate::engine) fn upgrade(
        &mut self,
        index: u32,
        worker: WorkerSlot,
        block: &[u8],
        body: &Body<'_>,
    ) {
        let Some((settings, rest)) = SocketSettings::parse(body.bytes()) else {
            return;
        };
        let Some((protocol, state)) = take_text(rest) else {
            return;
        };
        let Some(exchange) = self.pending.get(index) else {
            return;
        };
        if exchange.stage != ExchangeStage::Dispatched {
            return;
        }
        let slot = exchange.connection;
        let Some(connection) = self.connections[slot as usize].as_deref() else {
            return;
        };
        let limits = &self.limits[usize::from(connection.port)].0;
        let recorded = Recorded::new(exchange.words, &exchange.record);
        let Some(Ok(key)) = recorded
            .values("sec-websocket-key")
            .next()
            .map(<&[u8; 24]>::try_from)
        else {
            return;
        };
        let accept = websocket::accept_key(key);
        let offer = Offer {
            compression: settings.compression,
            takeover: settings.context_takeover,
        };
        let agreed = websocket::negotiate(recorded.values("sec-websocket-extensions"), &offer);
        let (deflate, extensions) = match agreed {
            Some((deflate, header)) => (Some(deflate), Some(header)),
            None => (None, None),
        };
        let max_message = match settings.max_payload {
            0 => limits.message as usize,
            bytes => bytes as usize,
        };
        let level = settings.level.min(9) as u8;
        let compression = deflate.map(|deflate| {
            let bits = deflate.server_window_bits;
            Box::new(Compression {
                min_bytes: settings.compress_min_bytes as usize,
                level,
                window_bits: bits,
                own: deflate
                    .server_takeover
                    .then(|| Deflater::new(level, bits, true))
                    .flatten(),
            })
        });
        let decoder = Decoder::new(&Settings {
            max_message,
            role: Role::Server,
            deliver_frames: settings.deliver_frames,
            deflate,
        });
        let protocol_name: Box<str> = protocol.into();
        let target = recorded.target().to_vec();
        let session = self.new_session(slot, &settings);
        let mut fields = block.to_vec();
        if let Some(session) = &session {
            self.write_session_fields(&mut fields, session, &target);
        }
        let mut head = self.buffer();
        let is_sound = websocket::write_switching(
            &mut head,
            &accept,
            (!protocol_name.is_empty()).then_some(&*protocol_name),
            extensions.as_deref(),
            &fields,
        );
        if !is_sound {
            if let Some(session) = session {
                self.shared.sessions.remove(&session.token);
            }
            return self.refuse(index, 500, "bad-headers");
        }
        let state = (!state.is_empty()).then(|| Box::from(state));
        let Some((slot, exchange)) = self.leave_exchange(index) else {
            return;
        };
        if let Some(connection) = self.connection(slot) {
            connection.output.append(head);
        }
        let socket = Protocol::WebSocket {
            decoder,
            compression,
        };
        let (member, is_resumed) = self.begin_socket(
            slot,
            worker,
            index,
            exchange,
            socket,
            protocol_name,
            &settings,
            session,
        );
        if let Some(state) = state.filter(|_| !is_resumed) {
            member.set_state(Some(state));
        }
    }

    /// Whether a handshake is refused by the port's limits, and how.
    pub(in crate::engine) fn refuse_handshake(
        &mut self,
        slot: u32,
        input: &[u8],
    ) -> Option<(u16, &'static str)> {
        let port = self.connections[slot as usize].as_deref()?.port;
        let limits = &self.limits[usize::from(port)].0;
        if !limits.allow_origins.is_empty() {
            // Only browsers send an origin, and only they act for a page that somebody else wrote.
            let mut origins = self
                .head
                .fields
                .iter()
                .filter(|field| field.name_id == ORIGIN)
                .map(|field| self.head.bytes(input, field.value));
            let is_allowed = |origin: &[u8]| {
                limits.allow_origins.iter().any(|allowed| {
                    allowed == "*" || allowed.as_bytes().eq_ignore_ascii_case(origin)
                })
            };
            if !origins.all(is_allowed) {
                self.rejected.origin += 1;
                return Some((403, "origin-not-allowed"));
            }
        }
        if limits.open_per_second > 0
            && !self.shared.may_open(port, limits.open_per_second, self.now)
        {
            self.rejected.open_per_second += 1;
            return Some((503, "too-many-handshakes"));
        }
        None
    }

    /// Answers a request by an event stream that goes on without the worker.
    pub(in crate::engine) fn open_event_stream(
        &mut self,
        index: u32,
        worker: WorkerSlot,
        block: &[u8],
        body: &Body<'_>,
    ) {
        let Ok(options) = serde_json::from_slice::<StreamOptions>(body.bytes()) else {
            return;
        };
        let Some(exchange) = self.pending.get(index) else {
            return;
        };
        if exchange.stage != ExchangeStage::Dispatched || exchange.head_request {
            return;
        }
        let is_first = self.connections[exchange.connection as usize]
            .as_deref()
            .is_some_and(|connection| connection.first == Some(index));
        if !is_first {
            // An answer without an end cannot wait behind others that came in the same pipeline: who asks for it does so
            // alone. Its worker hears that nothing will come of it.
            self.abort(index, AbortReason::ClientGone);
            return self.refuse(index, 503, "pipelined");
        }
        let chunked = !exchange.http10;
        let mut fields = block.to_vec();
        fields.extend_from_slice(
            b"content-type: text/event-stream\r\ncache-control: no-store\r\nx-accel-buffering: no\r\n",
        );
        let date = *self.date.get(self.shared.unix_seconds(self.now));
        let head = AnswerHead {
            status: 200,
            template: 0,
            headers: &fields,
            length: if chunked {
                Length::Chunked
            } else {
                Length::Close
            },
            close: !chunked,
            keep_alive_10: false,
            date: Some(&date),
            server: self.shared.config.server_header.as_deref(),
            http10: exchange.http10,
        };
        let mut out = Vec::new();
        answer::write_head(&mut out, &head);
        let Some((slot, exchange)) = self.leave_exchange(index) else {
            return;
        };
        if let Some(connection) = self.connection(slot) {
            connection.output.append(out);
        }
        let protocol = Protocol::EventStream {
            named: options.named,
            chunked,
            seen: 0,
        };
        let settings = SocketSettings::default();
        let (member, _) = self.begin_socket(
            slot,
            worker,
            index,
            exchange,
            protocol,
            Box::from(""),
            &settings,
            None,
        );
        if let Some(retry) = options.retry {
            let line = format!("retry: {retry}\n\n");
            self.append_event_bytes(slot, line.as_bytes());
        }
        self.subscribe_stream(slot, &member, &options);
    }

    /// Subscribes an event stream to its topics, and sends what its client has missed.
    fn subscribe_stream(&mut self, slot: u32, member: &Arc<Member>, options: &StreamOptions) {
        let shared = Arc::clone(&self.shared);
        let registry = &shared.registry;
        let mut channels = Vec::new();
        for topic in &options.topics {
            if let Ok(channel) = registry.join(member, ChannelKind::Topic, topic) {
                if options.replay {
                    registry.keep_history(&channel);
                }
                channels.push(channel);
            }
        }
        let epoch = shared.started_unix_ms();
        let after = options
            .last_event_id
            .as_deref()
            .filter(|_| options.replay)
            .and_then(EventId::parse)
            .filter(|id| id.epoch == epoch)
            .map(|id| id.sequence);
        let replay = registry.replay(&channels, after.unwrap_or(u64::MAX), self.now);
        if let Some(socket) = self.socket_of(slot)
            && let Protocol::EventStream { seen, .. } = &mut socket.protocol
        {
            *seen = replay.latest;
        }
        for entry in replay.entries {
            let id = EventId {
                epoch,
                sequence: entry.sequence,
            };
            self.append_post(slot, Some(&entry.channel), Some(id), &entry.message);
        }
        if after.is_none() {
            for channel in &channels {
                if let Some(post) = registry.retained(channel) {
                    self.append_post(slot, Some(channel), None, &post);
                }
            }
        }
    }

    fn append_event_bytes(&mut self, slot: u32, bytes: &[u8]) {
        let chunked = matches!(
            self.socket_of(slot).map(|socket| &socket.protocol),
            Some(Protocol::EventStream { chunked: true, .. })
        );
        if let Some(out) = self.tail(slot) {
            if chunked {
                answer::write_chunk(out, bytes);
            } else {
                out.extend_from_slice(bytes);
            }
        }
        self.mark_dirty(slot);
    }

    /// The exchange is over: its connection becomes something else.
    fn leave_exchange(&mut self, index: u32) -> Option<(u32, Exchange)> {
        let slot = self.pending.get(index)?.connection;
        let connection = self.connections[slot as usize].as_deref_mut()?;
        // Nothing is dispatched behind a handshake, and a stream's answer is the last of its connection.
        if connection.first != Some(index) {
            return None;
        }
        self.pending.set_deadline(index, u64::MAX);
        let exchange = self.pending.remove(index)?;
        if let Some(worker) = exchange.worker.filter(|_| exchange.blob.is_some()) {
            self.drop_blob(worker, index);
        }
        let connection = self.connections[slot as usize].as_deref_mut()?;
        let rest = exchange.next;
        connection.first = rest;
        if rest.is_some() {
            // Requests that came behind it in the pipeline will not be answered.
            self.abort_exchanges(slot, AbortReason::ClientGone);
            self.drop_exchanges(slot);
        }
        if let Some(connection) = self.connection(slot) {
            connection.last = None;
            connection.in_flight = 0;
            connection.barrier = false;
        }
        self.counters.response_count += 1;
        Some((slot, exchange))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of the socket it makes"
    )]
    fn begin_socket(
        &mut self,
        slot: u32,
        worker: WorkerSlot,
        index: u32,
        exchange: Exchange,
        protocol: Protocol,
        protocol_name: Box<str>,
        settings: &SocketSettings,
        session: Option<Box<Session>>,
    ) -> (Arc<Member>, bool) {
        let handshake = Some(Box::new(Handshake {
            words: exchange.words,
            record: exchange.record.into_boxed_slice(),
            protocol: protocol_name,
        }));
        self.rename_stream(slot);
        let member = self.place_socket(slot, protocol, handshake, settings, session);
        if let Some(socket) = self.socket_of(slot) {
            socket.owner = Owner::Worker(worker);
            socket.is_opened = true;
        }
        let (id, port) = (member.id, member.port);
        let resumed = self.take_up(slot, &member);
        let flags = if resumed.is_some() {
            event_flag::RESUMED
        } else {
            0
        };
        let words = self
            .socket_words(EventKind::SocketOpen, flags, slot)
            .with_port(port)
            .with_detail(index)
            .with_id(id.0)
            .with_sequence(resumed.unwrap_or(0));
        self.own(slot, worker, words);
        // Only now: the worker must not look empty-handed in between.
        self.settle(worker);
        if !self.waiting.is_empty() {
            self.retry_waiting = true;
        }
        self.arm_socket(slot);
        // Frames may have come right behind the handshake.
        self.mark_dirty(slot);
        if self.stopping {
            self.stop_socket(slot);
        }
        (member, resumed.is_some())
    }

    /// Makes a socket of the connection in a slot, which nobody owns and no worker knows yet.
    pub(super) fn place_socket(
        &mut self,
        slot: u32,
        protocol: Protocol,
        handshake: Option<Box<Handshake>>,
        settings: &SocketSettings,
        session: Option<Box<Session>>,
    ) -> Arc<Member> {
        let now = self.now;
        let generation = self.generations[slot as usize];
        let kind = match protocol {
            Protocol::WebSocket { .. } => MemberKind::WebSocket,
            Protocol::EventStream { .. } => MemberKind::EventStream,
            Protocol::Tcp { .. } => MemberKind::Tcp,
        };
        let (id, port) = self
            .connection(slot)
            .map_or((ConnectionId(0), 0), |connection| {
                (connection.id, connection.port)
            });
        let place = Place {
            reactor: self.id,
            slot,
            generation,
        };
        let member = Arc::new(Member::new(id, place, port, kind));
        let socket = Box::new(Socket {
            member: Arc::clone(&member),
            protocol,
            handshake,
            owner: Owner::None,
            is_opened: false,
            is_rebalanced: false,
            from: (0, AdoptReason::Reload),
            delivery: Delivery::default(),
            wants: settings.wants,
            stage: Stage::Open,
            ending: None,
            close_timeout: settings.close_timeout,
            close_at: u64::MAX,
            last_received: now,
            last_message: now,
            last_sent: now,
            pinged: None,
            is_stopping: false,
            is_half_closed: false,
            is_deaf: false,
            is_asked: false,
            is_protected: false,
            is_high: false,
            is_retrying: false,
            may_owe_drain: false,
            is_accounted: false,
            latest: Vec::new(),
            session,
            rate: Rate::default(),
            messages_in: 0,
            messages_out: 0,
        });
        if let Some(connection) = self.connection(slot) {
            connection.socket = Some(socket);
            connection.phase = Phase::Socket;
        }
        self.counters.socket_open_count += 1;
        if kind != MemberKind::EventStream {
            self.shared.web_sockets[usize::from(port)].fetch_add(1, Ordering::Relaxed);
        }
        self.shared.registry.insert(Arc::clone(&member));
        member
    }

    /// The worker that opened a connection owns it; if it is to go already, it is asked to let go at once.
    fn own(&mut self, slot: u32, worker: WorkerSlot, words: Words) {
        let Some(lane) = self.lane(worker) else {
            return;
        };
        lane.owned += 1;
        lane.push_signal(words);
        if lane.active {
            return;
        }
        // Guarded again until it has let go, or the master would take it for done.
        if !std::mem::replace(&mut lane.leaving, true) {
            self.shared.workers.guard(worker);
        }
        if let Some(socket) = self.socket_of(slot) {
            socket.owner = Owner::Leaving(worker);
        }
        self.socket_signal(slot, EventKind::SocketHandover);
    }
}

/// A text with its length, two bytes, before it; and what follows.
fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}
