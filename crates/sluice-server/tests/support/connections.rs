//! What a worker does with WebSockets and event streams, as the JavaScript side does it: runs events in their turn, gives
//! the others back, pauses while it is busy, lets go when asked to.

use std::time::Instant;

use sluice_core::channel::ChannelKind;
use sluice_server::MessageKind;
use sluice_shared::Current;
use sluice_shared::record::{EventKind, event_flag};

use super::{Asked, Event, LIMIT, SocketEvent, WorkerDouble};

pub const TEXT: MessageKind = MessageKind(1 | 16);
pub const BINARY: MessageKind = MessageKind(2 | 16);

/// A connection in a worker's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub id: u64,
    pub handle: u32,
    pub lane: u32,
    pub slot: u32,
    pub generation: u32,
    /// The number of the event that is to be run next.
    pub next: u32,
    epoch: bool,
    /// A handler runs, or the application has paused it.
    pub busy: bool,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub code: u16,
    /// 0 peer, 1 server, 2 idle, 3 error, 4 shutdown, 5 overflow.
    pub by: u8,
    pub clean: bool,
    pub reason: String,
}

/// Something about a connection, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// With the index of the exchange that it came from.
    Open(u64, u32),
    Adopt {
        id: u64,
        /// 0 reload, 1 crash, 2 stuck, 3 recycle.
        reason: u8,
        home: u16,
        next: u32,
    },
    Message(u64, Message),
    Close(u64, Closed),
    Drain(u64),
    High(u64),
    Handover(u64),
    /// The core wants to know when no handler runs.
    Settle(u64),
}

/// A message in its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub opcode: u8,
    pub fin: bool,
    pub compressed: bool,
    pub payload: Vec<u8>,
    /// Its record, for [`WorkerDouble::execute`].
    pub at: (u32, u32),
}

impl Message {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("it is text")
    }
}

/// What `upgrade()` is called with.
#[derive(Clone, Debug, Default)]
pub struct Upgrade {
    pub headers: &'static str,
    pub protocol: &'static str,
    pub state: &'static [u8],
    pub max_payload: u32,
    /// 1 compression, 2 context takeover, 4 frames, 8 pings, 16 pongs, 32 HIGH.
    pub flags: u32,
    pub compress_min_bytes: u32,
    /// Milliseconds; 0: the default.
    pub close_timeout: u32,
}

impl WorkerDouble {
    /// Accepts a handshake and flushes. The news of it follows.
    pub fn upgrade(&mut self, asked: &Asked, with: &Upgrade) {
        let words = [
            with.max_payload,
            with.flags,
            6,
            with.compress_min_bytes,
            with.close_timeout,
            0,
            0,
            0,
            0,
            0,
        ];
        let settings: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        let headers = with.headers.as_bytes();
        assert!(
            self.worker
                .upgrade(asked.name, headers, with.protocol, &settings, with.state)
        );
        self.worker.flush();
    }

    /// Answers by an event stream and flushes. The news of it follows.
    pub fn event_stream(&mut self, asked: &Asked, options: &serde_json::Value) {
        let options = options.to_string();
        assert!(self.worker.event_stream(asked.name, b"", &options));
        self.worker.flush();
    }

    /// The next news of any connection; what else comes before it is kept. What is not in its turn goes back.
    pub fn news(&mut self, what: &str) -> News {
        self.news_before(Instant::now() + LIMIT)
            .unwrap_or_else(|| panic!("waited in vain for {what}"))
    }

    /// The next news that is there, or `None`.
    pub fn poll_news(&mut self) -> Option<News> {
        loop {
            let event = match self.take_kept() {
                Some(event) => event,
                None => match self.read()? {
                    Event::Socket(event) => event,
                    other => {
                        self.keep(other);
                        continue;
                    }
                },
            };
            if let Some(news) = self.look_at(event) {
                return Some(news);
            }
        }
    }

    pub(super) fn news_before(&mut self, end: Instant) -> Option<News> {
        loop {
            if let Some(news) = self.poll_news() {
                return Some(news);
            }
            match self.fresh_before(end)? {
                Event::Socket(event) => {
                    if let Some(news) = self.look_at(event) {
                        return Some(news);
                    }
                }
                other => self.keep(other),
            }
        }
    }

    /// The id of the connection that is opened next.
    pub fn opened(&mut self) -> u64 {
        match self.news("an open connection") {
            News::Open(id, _) => id,
            other => panic!("expected SOCKET_OPEN, got {other:?}"),
        }
    }

    /// The connection that is adopted next: id, reason, home of the worker before, next number.
    pub fn adopted(&mut self) -> (u64, u8, u16, u32) {
        match self.news("an adopted connection") {
            News::Adopt {
                id,
                reason,
                home,
                next,
            } => (id, reason, home, next),
            other => panic!("expected SOCKET_ADOPT, got {other:?}"),
        }
    }

    /// The next message, which must come from this connection.
    pub fn message(&mut self, id: u64) -> Message {
        match self.news("a message") {
            News::Message(from, message) if from == id => message,
            other => panic!("expected a message of {id}, got {other:?}"),
        }
    }

    /// The end of a connection, which must come next, and lets go of it.
    pub fn closed(&mut self, id: u64) -> Closed {
        match self.news("the end of a connection") {
            News::Close(from, closed) if from == id => {
                self.let_go(id);
                closed
            }
            other => panic!("expected the end of {id}, got {other:?}"),
        }
    }

    /// The request to let go of a connection, which must come next.
    pub fn asked_for(&mut self, id: u64) {
        match self.news("a hand-over") {
            News::Handover(of) if of == id => {}
            other => panic!("expected SOCKET_HANDOVER of {id}, got {other:?}"),
        }
    }

    /// The record of this message is the one whose handler runs.
    pub fn execute(&self, message: &Message) {
        let (lane, position) = message.at;
        self.set_current(Some(Current {
            lane: lane as u8,
            position,
        }));
    }

    /// The handler of a message runs on.
    pub fn run_on(&mut self, id: u64) {
        self.hold_message();
        self.pause(id);
    }

    /// The application pauses.
    pub fn pause(&mut self, id: u64) {
        let held = self.held(id);
        assert!(!held.busy);
        held.busy = true;
        let handle = held.handle;
        self.worker.pause_connection(handle);
        self.worker.flush();
    }

    /// No handler runs any more.
    pub fn resume(&mut self, id: u64) {
        let held = self.held(id);
        assert!(held.busy);
        held.busy = false;
        held.epoch = !held.epoch;
        let (handle, next) = (held.handle, held.next);
        self.worker.resume_connection(handle, next);
        self.worker.flush();
    }

    /// Waits to be asked whether a handler runs, and says that none does.
    pub fn settle(&mut self, id: u64) {
        self.settle_after(id, |_| ());
    }

    /// The same for one that is busy when it is asked, and `ends` to be.
    pub fn settle_after(&mut self, id: u64, ends: impl FnOnce(&mut Self)) {
        match self.news("the question whether it has settled") {
            News::Settle(of) if of == id => {}
            other => panic!("expected SOCKET_SETTLE, got {other:?}"),
        }
        ends(self);
        let Held { handle, next, .. } = *self.held(id);
        self.worker.settled(handle, next);
        self.worker.flush();
    }

    /// Gives a connection back, and its handle.
    pub fn let_go(&mut self, id: u64) {
        let Held { handle, next, .. } = *self.held(id);
        self.worker.release(handle, next);
        self.worker.detach_connection(handle);
        self.connections.retain(|held| held.id != id);
        self.worker.flush();
    }

    /// Sends and flushes.
    pub fn send(&mut self, id: u64, data: &[u8], kind: MessageKind) -> i32 {
        let handle = self.held(id).handle;
        let sent = self.worker.send(handle, data, kind);
        self.worker.flush();
        sent
    }

    pub fn close(&mut self, id: u64, code: u16, reason: &str) {
        let handle = self.held(id).handle;
        assert!(self.worker.close_connection(handle, code, reason));
        self.worker.flush();
    }

    pub fn join(&mut self, id: u64, kind: ChannelKind, name: &str) {
        let handle = self.held(id).handle;
        assert!(self.worker.join_channel(handle, kind, name));
        self.worker.flush();
    }

    pub fn held(&mut self, id: u64) -> &mut Held {
        self.connections
            .iter_mut()
            .find(|held| held.id == id)
            .unwrap_or_else(|| panic!("connection {id} is not in its hands"))
    }

    /// Does with a record what JavaScript does; news if there is any.
    fn look_at(&mut self, event: SocketEvent) -> Option<News> {
        let SocketEvent {
            lane,
            words,
            payload,
            position,
        } = event;
        let kind = EventKind::from_u8(words.kind()).expect("a known kind");
        if let EventKind::SocketOpen | EventKind::SocketAdopt = kind {
            let id = words.id();
            // It may have ended already; its end has to be heard all the same.
            let handle = self
                .worker
                .attach_connection(id)
                .expect("who is told of a connection can hold it");
            let is_open = kind == EventKind::SocketOpen;
            let next = if is_open { 0 } else { words.sequence() };
            self.connections.push(Held {
                id,
                handle,
                lane,
                slot: words.connection(),
                generation: words.generation(),
                next,
                epoch: false,
                busy: false,
            });
            let detail = words.detail();
            return Some(if is_open {
                News::Open(id, detail)
            } else {
                News::Adopt {
                    id,
                    reason: detail as u8,
                    home: (detail >> 8) as u16,
                    next,
                }
            });
        }
        // One that was let go of is none of its business.
        let held = self.connections.iter_mut().find(|held| {
            held.lane == lane
                && held.slot == words.connection()
                && held.generation == words.generation()
        })?;
        let id = held.id;
        match kind {
            EventKind::SocketSettle => return Some(News::Settle(id)),
            EventKind::SocketDrain => return Some(News::Drain(id)),
            EventKind::SocketHigh => return Some(News::High(id)),
            EventKind::SocketHandover => return Some(News::Handover(id)),
            _ => {}
        }
        let payload =
            &payload[..if words.has(event_flag::MESSAGE_BLOB) && kind == EventKind::SocketMessage {
                0
            } else {
                words.event_body_len() as usize
            }];
        let sequence = words.sequence();
        let is_in_turn =
            !held.busy && sequence == held.next && words.has(event_flag::EPOCH) == held.epoch;
        if !is_in_turn {
            let word = u32::from(words.kind()) | u32::from(words.flags()) << 8;
            let handle = held.handle;
            self.returned += 1;
            self.worker
                .return_message(handle, sequence, word, words.detail(), payload);
            self.worker.flush();
            return None;
        }
        held.next = held.next.wrapping_add(1);
        let detail = words.detail();
        if kind == EventKind::SocketClose {
            let reason = String::from_utf8(payload.to_vec()).expect("a reason is text");
            let closed = Closed {
                code: detail as u16,
                by: (detail >> 16) as u8,
                clean: detail >> 24 != 0,
                reason,
            };
            return Some(News::Close(id, closed));
        }
        let payload = if words.has(event_flag::MESSAGE_BLOB) {
            self.worker
                .take_message(lane, words.connection(), sequence)
                .expect("the message waits")
                .to_vec()
        } else {
            payload.to_vec()
        };
        let message = Message {
            opcode: detail as u8,
            fin: words.has(event_flag::FIN),
            compressed: words.has(event_flag::COMPRESSED),
            payload,
            at: (lane, position),
        };
        Some(News::Message(id, message))
    }
}
