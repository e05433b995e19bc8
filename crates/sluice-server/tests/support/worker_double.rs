//! A worker in Rust, driven step by step by its test: what it reads, begins, answers, and when it dies.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use sluice_core::id::WorkerSlot;
use sluice_server::{
    AnswerBody, AnswerMeta, ExchangeName, Outcome, PacketPeer, Part, Server, Worker,
};
use sluice_shared::record::{AbortReason, EventKind, Words, event_flag};
use sluice_shared::{Consumer, Current, WorkerBlock};

use super::{Held, LIMIT};

/// A request as the worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub name: ExchangeName,
    pub position: u32,
    pub flags: u8,
    /// 0 no WebSocket handshake, 1 a valid one, 2 of another version, 3 a malformed one.
    pub handshake: u8,
    /// The request line.
    pub line: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    pub fn is_replay(&self) -> bool {
        self.flags & event_flag::REPLAY != 0
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Request(Asked),
    Chunk(ExchangeName, Vec<u8>),
    /// The end of a body; false when it is cut short.
    End(ExchangeName, bool),
    Abort(ExchangeName, AbortReason),
    Drain(ExchangeName),
    /// Something about a WebSocket or an event stream.
    Socket(SocketEvent),
    Packet(PacketEvent),
    Task(TaskEvent),
    TaskEnd(TaskEnd),
    TaskProgress {
        task: u64,
        bytes: Vec<u8>,
    },
    TaskAbort {
        call: u64,
        why: u32,
    },
}

/// The end of a task as whoever has delivered it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    pub task: u64,
    pub end: u32,
    pub attempts: u32,
    pub bytes: Vec<u8>,
}

/// A call of a task as the worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEvent {
    pub id: u64,
    pub task: String,
    pub input: Vec<u8>,
}

/// A packet as the worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketEvent {
    pub lane: u32,
    pub words: Words,
    /// Payload and address, as they lie in the ring.
    pub bytes: Vec<u8>,
    pub position: u32,
}

impl PacketEvent {
    pub fn payload(&self) -> &[u8] {
        &self.bytes[..self.words.event_body_len() as usize]
    }

    /// The peer of the packet, to be replied to.
    pub fn peer(&self) -> PacketPeer<'_> {
        let flags = self.words.flags();
        let address = if flags == 0 {
            0
        } else {
            self.words.peer() as usize
        };
        PacketPeer {
            flags,
            peer: self.words.peer(),
            port: self.words.peer_port(),
            local: self.words.local(),
            address: &self.bytes[self.payload().len()..][..address],
        }
    }

    /// The whole record, as JavaScript gives it back.
    pub fn record(&self) -> Vec<u8> {
        let words = self.words;
        let mut record = vec![0; 32];
        let mut put = |index: usize, word: u32| {
            record[index * 4..][..4].copy_from_slice(&word.to_le_bytes());
        };
        put(0, words.len_bytes());
        let kind = u32::from(words.kind()) | u32::from(words.flags()) << 8;
        put(1, kind | u32::from(words.port()) << 26);
        put(3, words.peer());
        put(4, words.peer_port().into());
        put(5, words.event_body_len());
        put(6, words.received());
        put(7, words.local());
        record.extend_from_slice(&self.bytes);
        record
    }
}

/// See the module. Dropping it is the death of the worker: nothing more is flushed or released than was.
pub struct WorkerDouble {
    pub slot: WorkerSlot,
    pub worker: Worker,
    lanes: Vec<Consumer>,
    block: WorkerBlock,
    wakes: Receiver<()>,
    /// Read while waiting for something else.
    kept: VecDeque<Event>,
    /// The connections in its hands.
    pub(super) connections: Vec<Held>,
    /// Events of connections that it has given back.
    pub returned: usize,
    /// Releases a record as soon as it is read; else only [`release`](Self::release) does.
    pub eager: bool,
}

impl WorkerDouble {
    pub fn attach(server: &Server, slot: WorkerSlot) -> Self {
        let (send, wakes) = sync_channel(1);
        let wake = move || {
            // Full means that a wake is on the way already.
            let _ = send.try_send(());
        };
        let mut worker = server
            .attach_worker(slot, Box::new(wake))
            .expect("the slot was just made");
        Self {
            slot,
            lanes: worker.take_readers(),
            block: worker.block().clone(),
            worker,
            wakes,
            kept: VecDeque::new(),
            connections: Vec::new(),
            returned: 0,
            eager: true,
        }
    }

    /// The next record that is there, or `None`.
    pub fn poll(&mut self) -> Option<Event> {
        if let Some(event) = self.kept.pop_front() {
            return Some(event);
        }
        self.read()
    }

    pub(super) fn read(&mut self) -> Option<Event> {
        for (lane, ring) in (0..).zip(&mut self.lanes) {
            let Some(record) = ring.next_event().expect("the ring is sound") else {
                continue;
            };
            let words = record.words;
            let name = ExchangeName {
                lane,
                index: words.index(),
                generation: words.generation(),
            };
            let event = match EventKind::from_u8(words.kind()).expect("a known kind") {
                EventKind::Http => {
                    let (head, rest) = record.bytes.split_at(words.head_len() as usize);
                    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
                    let body = if words.has(event_flag::BLOB) {
                        self.worker
                            .take_blob(name)
                            .expect("the blob waits")
                            .to_vec()
                    } else if words.has(event_flag::STREAM) {
                        Vec::new()
                    } else {
                        rest[..words.event_body_len() as usize].to_vec()
                    };
                    Event::Request(Asked {
                        name,
                        position: record.position,
                        flags: words.flags(),
                        handshake: words.handshake() as u8,
                        line: String::from_utf8_lossy(line).into_owned(),
                        body,
                    })
                }
                EventKind::BodyChunk => Event::Chunk(
                    name,
                    record.bytes[..words.event_body_len() as usize].to_vec(),
                ),
                EventKind::BodyEnd => Event::End(name, !words.has(event_flag::BROKEN)),
                EventKind::Abort => Event::Abort(name, words.abort_reason()),
                EventKind::Drain => Event::Drain(name),
                EventKind::SocketOpen
                | EventKind::SocketMessage
                | EventKind::SocketClose
                | EventKind::SocketDrain
                | EventKind::SocketHigh
                | EventKind::SocketAdopt
                | EventKind::SocketHandover
                | EventKind::SocketSettle => Event::Socket(SocketEvent {
                    lane,
                    words,
                    payload: record.bytes.to_vec(),
                    position: record.position,
                }),
                EventKind::Task => {
                    let (_, named) = record.bytes.split_at(16);
                    let (task, rest) = named.split_at(words.task_len() as usize);
                    let input = match words.has(event_flag::PARCEL) {
                        false => rest[..words.event_body_len() as usize].to_vec(),
                        true => self
                            .worker
                            .take_parcel(words.call(), Part::Input)
                            .map_or_else(Vec::new, |input| input.to_vec()),
                    };
                    Event::Task(TaskEvent {
                        id: words.call(),
                        task: String::from_utf8_lossy(task).into_owned(),
                        input,
                    })
                }
                EventKind::TaskResult => Event::TaskEnd(TaskEnd {
                    task: words.call(),
                    end: words.detail(),
                    attempts: words.attempts(),
                    bytes: match words.has(event_flag::PARCEL) {
                        false => record.bytes[..words.event_body_len() as usize].to_vec(),
                        true => self
                            .worker
                            .take_parcel(words.call(), Part::Result)
                            .map_or_else(Vec::new, |bytes| bytes.to_vec()),
                    },
                }),
                EventKind::TaskProgress => Event::TaskProgress {
                    task: words.call(),
                    bytes: record.bytes[..words.event_body_len() as usize].to_vec(),
                },
                EventKind::TaskAbort => Event::TaskAbort {
                    call: words.call(),
                    why: words.detail(),
                },
                EventKind::Packet => Event::Packet(PacketEvent {
                    lane,
                    words,
                    bytes: record.bytes.to_vec(),
                    position: record.position,
                }),
            };
            if self.eager {
                ring.release();
            }
            return Some(event);
        }
        None
    }

    /// The next record; waits for it as JavaScript does, parked.
    pub fn event(&mut self, what: &str) -> Event {
        self.event_before(Instant::now() + LIMIT)
            .unwrap_or_else(|| panic!("waited in vain for {what}"))
    }

    fn event_before(&mut self, end: Instant) -> Option<Event> {
        if let Some(event) = self.kept.pop_front() {
            return Some(event);
        }
        self.fresh_before(end)
    }

    pub(super) fn keep(&mut self, event: Event) {
        self.kept.push_back(event);
    }

    /// The next packet; nothing else may come before it.
    pub fn packet(&mut self, what: &str) -> PacketEvent {
        match self.event(what) {
            Event::Packet(packet) => packet,
            other => panic!("waited for {what}, got {other:?}"),
        }
    }

    /// The next call of a task; nothing else may come before it.
    pub fn task(&mut self, what: &str) -> TaskEvent {
        match self.event(what) {
            Event::Task(task) => task,
            other => panic!("waited for {what}, got {other:?}"),
        }
    }

    /// Begins a call and ends it.
    pub fn run(&mut self, task: &TaskEvent) {
        assert!(self.worker.begin_call(task.id), "{task:?}");
        assert!(self.worker.end_call(task.id, Outcome::Done, b""));
    }

    /// Replies to a packet; the caller flushes.
    pub fn reply(&mut self, packet: &PacketEvent, data: &[u8]) -> bool {
        self.worker
            .reply_packet(packet.lane, packet.words.port(), &packet.peer(), data)
    }

    /// The record at `position` of `lane` is being run.
    pub fn executes(&self, packet: &PacketEvent) {
        self.block.set_current(Some(Current {
            lane: packet.lane as u8,
            position: packet.position,
        }));
    }

    /// So many packets are in handlers that have not ended.
    pub fn hold_packets(&self, count: u32) {
        self.block.set_pending_packets(count);
    }

    /// The oldest record about a connection that was kept.
    pub(super) fn take_kept(&mut self) -> Option<SocketEvent> {
        let at = self
            .kept
            .iter()
            .position(|event| matches!(event, Event::Socket(_)))?;
        match self.kept.remove(at) {
            Some(Event::Socket(event)) => Some(event),
            _ => None,
        }
    }

    pub(super) fn set_current(&self, current: Option<Current>) {
        self.block.set_current(current);
    }

    pub(super) fn hold_message(&self) {
        let pending = self.block.pending_messages();
        self.block.set_pending_messages(pending + 1);
    }

    pub(super) fn fresh_before(&mut self, end: Instant) -> Option<Event> {
        loop {
            self.block.beat();
            if let Some(event) = self.read() {
                return Some(event);
            }
            self.worker.flush();
            self.block.park();
            if self.lanes.iter().all(Consumer::is_empty) {
                let left = end.saturating_duration_since(Instant::now());
                if self.wakes.recv_timeout(left).is_err() {
                    self.block.unpark();
                    return None;
                }
            }
            self.block.unpark();
        }
    }

    /// The next request; what else comes before it is kept.
    pub fn request(&mut self, what: &str) -> Asked {
        let kept = self
            .kept
            .iter()
            .position(|event| matches!(event, Event::Request(_)));
        if let Some(Event::Request(asked)) = kept.and_then(|at| self.kept.remove(at)) {
            return asked;
        }
        let end = Instant::now() + LIMIT;
        loop {
            match self.fresh_before(end) {
                Some(Event::Request(asked)) => return asked,
                Some(other) => self.kept.push_back(other),
                None => panic!("waited in vain for {what}"),
            }
        }
    }

    /// Marks a record as the one whose handler runs.
    pub fn begin(&self, asked: &Asked) {
        self.block.set_current(Some(Current {
            lane: asked.name.lane as u8,
            position: asked.position,
        }));
    }

    /// No handler runs.
    pub fn rest(&self) {
        self.block.set_current(None);
    }

    /// Gives the space of everything read back.
    pub fn release(&mut self) {
        for lane in &mut self.lanes {
            lane.release();
        }
    }

    /// Answers 200 and flushes.
    pub fn answer(&mut self, asked: &Asked, body: &str) {
        self.answer_late(asked.name, body);
    }

    pub fn answer_late(&mut self, name: ExchangeName, body: &str) {
        self.queue(name, 200, body.as_bytes());
        self.worker.flush();
    }

    /// Answers without a flush.
    pub fn queue(&mut self, name: ExchangeName, status: u16, body: &[u8]) {
        let sent = self
            .worker
            .respond(name, meta(status), b"", &AnswerBody::Bytes(body));
        assert!(sent, "the lane exists");
    }

    /// Answers and flushes, whether anybody takes it or not.
    pub fn queue_lost(&mut self, name: ExchangeName) {
        let body = AnswerBody::Bytes(b"from the grave");
        self.worker.respond(name, meta(200), b"", &body);
        self.worker.flush();
    }

    /// Begins a streamed answer and flushes.
    pub fn head(&mut self, asked: &Asked, length: Option<u64>) {
        assert!(self.worker.respond_head(asked.name, meta(200), b"", length));
        self.worker.flush();
    }

    /// More of it.
    pub fn chunk(&mut self, asked: &Asked, data: &[u8], want_drain: bool) {
        assert!(self.worker.respond_chunk(asked.name, data, want_drain));
        self.worker.flush();
    }

    /// Its end.
    pub fn end(&mut self, asked: &Asked) {
        assert!(self.worker.respond_end(asked.name));
        self.worker.flush();
    }

    /// Takes `bytes` more of a body.
    pub fn credit(&mut self, asked: &Asked, bytes: u32) {
        assert!(self.worker.credit(asked.name, bytes));
        self.worker.flush();
    }

    /// Reads a streamed body to its end, giving credit for what it takes. `None` when it is cut short.
    pub fn body(&mut self, asked: &Asked) -> Option<Vec<u8>> {
        self.credit(asked, 0);
        let mut body = Vec::new();
        loop {
            match self.event("the rest of a body") {
                Event::Chunk(name, bytes) if name == asked.name => {
                    self.credit(asked, bytes.len() as u32);
                    body.extend(bytes);
                }
                Event::End(name, whole) if name == asked.name => return whole.then_some(body),
                other => panic!("expected more of the body, got {other:?}"),
            }
        }
    }
}

fn meta(status: u16) -> AnswerMeta {
    AnswerMeta {
        status,
        template: 0,
        flags: 0,
    }
}

/// A record about a WebSocket or an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketEvent {
    pub lane: u32,
    pub words: Words,
    pub payload: Vec<u8>,
    /// Where the record is in its ring.
    pub position: u32,
}
