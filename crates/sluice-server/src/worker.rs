//! A worker's side of the bridge: what its thread holds, and how others wake it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sluice_core::id::WorkerSlot;
use sluice_core::task::Origin;
use sluice_shared::record::{CommandKind, Words, command_flag};
use sluice_shared::{Consumer, MemoryView, Producer, PushError, WorkerBlock};

use crate::coding;
use crate::connection_info::ConnectionInfo;
use crate::fanout::Fanout;
use crate::lane::{LaneShared, Parcel};
use crate::reactor::Reactor;
use crate::server::Shared;
use crate::static_files::OpenFile;
use crate::task_ends::Ended;
use crate::wake::{WakeFn, lock};

mod coded;
mod forms;
mod held;
mod packets;

use coded::{Choice, Coded, Form};
use forms::Forms;
pub use forms::{FormContent, FormFile};
pub use held::HandshakeInfo;
use held::Held;
pub use packets::PacketPeer;

/// A body above this goes beside the ring.
const INLINE_BODY: usize = 16 * 1024;
/// The same for a message.
const INLINE_MESSAGE: usize = 4 * 1024;
/// Commands after which a lane is published and its reactor woken before the batch ends, so that a slow
/// batch does not hold back its first answers.
const EAGER_COMMANDS: u32 = 64;
/// Batches of at most this many commands are written to the sockets by the worker's own thread when the reactor
/// sleeps: at light load that is cheaper, and quicker, than waking another thread to do it.
const COMBINE_COMMANDS: u32 = 4;

/// How the rest of the process sees a worker thread. Outlives the thread.
pub(crate) struct WorkerLink {
    pub(crate) block: WorkerBlock,
    /// Emptied when the thread detaches; held while it is called, so that a wake cannot race with the end of
    /// the thread's event loop.
    wake: Mutex<Option<WakeFn>>,
}

impl WorkerLink {
    pub(crate) fn new(block: WorkerBlock, wake: WakeFn) -> Self {
        Self {
            block,
            wake: Mutex::new(Some(wake)),
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(wake) = &*lock(&self.wake) {
            wake();
        }
    }

    fn forget_wake(&self) {
        *lock(&self.wake) = None;
    }
}

/// One lane as the worker's thread holds it.
pub(crate) struct WorkerLane {
    pub(crate) reactor: Arc<Reactor>,
    pub(crate) commands: Producer,
    pub(crate) shared: Arc<LaneShared>,
    pub(crate) events: MemoryView,
    /// Until a consumer in Rust takes it; JavaScript reads the memory itself.
    pub(crate) reader: Option<Consumer>,
    /// Commands pushed since the last flush.
    pub(crate) unflushed: u32,
}

/// The body of an answer.
pub enum AnswerBody<'a> {
    /// Copied into the command ring when small, else into memory of its own.
    Bytes(&'a [u8]),
    /// None.
    Empty,
}

impl AnswerBody<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            AnswerBody::Bytes(bytes) => bytes,
            AnswerBody::Empty => &[],
        }
    }
}

/// A file to answer with.
#[derive(Clone, Copy, Debug)]
pub struct FileToSend<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// The name that tells its media type.
    pub media_name: &'a [u8],
    /// Whether it is removed once it is sent, or nobody wants it any more.
    pub remove: bool,
}

/// An exchange as a worker names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeName {
    /// The lane it came by.
    pub lane: u32,
    /// Its place in the reactor's slab.
    pub index: u32,
    /// The generation of that place.
    pub generation: u32,
}

/// How an answer's head is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerMeta {
    /// The status.
    pub status: u16,
    /// Bits 0–4: a usual header line by number, 0 = none. Bits 5–7: what the body may be compressed with, 0 = not looked at,
    /// 1 not at all, 2 gzip, 3 br, 4 zstd.
    pub template: u8,
    /// [`command_flag`]s: CLOSE, HAS_DATE, HAS_SERVER.
    pub flags: u8,
}

impl AnswerMeta {
    /// Takes apart the number that JavaScript sends: status | template << 16 | flags << 24.
    pub fn unpack(packed: u32) -> Self {
        const ALLOWED: u8 = command_flag::CLOSE | command_flag::HAS_DATE | command_flag::HAS_SERVER;
        Self {
            status: packed as u16,
            template: (packed >> 16) as u8,
            flags: (packed >> 24) as u8 & ALLOWED,
        }
    }
}

/// What the thread of a worker holds while it is attached. Dropping it hands over what is in its hands.
pub struct Worker {
    pub(crate) shared: Arc<Shared>,
    slot: WorkerSlot,
    /// Also tells this holder of the slot from the next, which may be there by the time this thread ends.
    link: Arc<WorkerLink>,
    lanes: Vec<WorkerLane>,
    /// Connections that the thread holds, by handle.
    held: Held,
    coded: Coded,
    /// Forms that are being read, or whose files are in use.
    forms: Forms,
    tasks: TaskReader,
    /// Calls whose end is told with the next begin or flush.
    pub(crate) ended: Ended,
}

/// The task lane as the worker's thread holds it.
pub(crate) struct TaskReader {
    events: MemoryView,
    /// Until a consumer in Rust takes it.
    reader: Option<Consumer>,
    /// Records wait for room.
    wants_space: Arc<AtomicBool>,
}

impl TaskReader {
    pub(crate) fn new(reader: Consumer, wants_space: Arc<AtomicBool>) -> Self {
        Self {
            events: reader.memory(),
            reader: Some(reader),
            wants_space,
        }
    }
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        slot: WorkerSlot,
        link: Arc<WorkerLink>,
        lanes: Vec<WorkerLane>,
        tasks: TaskReader,
    ) -> Self {
        Self {
            shared,
            slot,
            link,
            lanes,
            tasks,
            held: Held::default(),
            coded: Coded::default(),
            forms: Forms::default(),
            ended: Ended::default(),
        }
    }

    /// The block that JavaScript sees.
    pub fn block(&self) -> &WorkerBlock {
        &self.link.block
    }

    /// The event ring of each reactor, and the one of tasks.
    pub fn events(&self) -> impl Iterator<Item = &MemoryView> {
        let reactors = self.lanes.iter().map(|lane| &lane.events);
        reactors.chain([&self.tasks.events])
    }

    pub(crate) fn slot(&self) -> WorkerSlot {
        self.slot
    }

    /// This worker, as whoever delivers a task.
    pub(crate) fn origin(&self) -> Origin {
        Origin::Worker {
            slot: self.slot,
            generation: self.shared.workers.generation(self.slot),
        }
    }

    /// The reading ends of the event rings, one for each lane, that of tasks last, once: for a worker that is written in Rust instead of
    /// JavaScript. Empty when they are taken already.
    pub fn take_readers(&mut self) -> Vec<Consumer> {
        self.lanes
            .iter_mut()
            .filter_map(|lane| lane.reader.take())
            .chain(self.tasks.reader.take())
            .collect()
    }

    /// Answers in one go. False when there is no such lane.
    pub fn respond(
        &mut self,
        name: ExchangeName,
        meta: AnswerMeta,
        headers: &[u8],
        body: &AnswerBody<'_>,
    ) -> bool {
        let (meta, choice) = meta.split_choice();
        let words = Words::command(CommandKind::Respond, meta.flags, meta.template)
            .with_status(meta.status)
            .with_exchange(name.index, name.generation);
        let given = body.bytes();
        if choice == Choice::Off || given.is_empty() {
            return self.push(name.lane, words, headers, given);
        }
        let shared = Arc::clone(&self.shared);
        let Some(config) = &shared.config.compression else {
            return self.push(name.lane, words, headers, given);
        };
        let form = self.coded.whole(config, meta, choice, headers, given);
        let (block, body) = self.coded.lend();
        let done = match form {
            Form::AsItWas => self.push(name.lane, words, headers, given),
            Form::OtherFields => self.push(name.lane, words, &block, given),
            Form::Coded => self.push(name.lane, words, &block, &body),
        };
        self.coded.put_back(block, body);
        done
    }

    /// Answers with a file, as the request's ranges and conditions ask for it. `media_name` tells its media type where the
    /// header lines do not. False when there is no such lane; the file is removed all the same, if it is to be.
    ///
    /// # Errors
    ///
    /// The system's, when the file cannot be opened: nothing is answered then.
    pub fn respond_file(
        &mut self,
        name: ExchangeName,
        meta: AnswerMeta,
        headers: &[u8],
        file: &FileToSend<'_>,
    ) -> io::Result<bool> {
        let open = OpenFile::open(file.path, file.remove)?;
        let (meta, _) = meta.split_choice();
        let words = Words::command(CommandKind::File, meta.flags, meta.template)
            .with_status(meta.status)
            .with_exchange(name.index, name.generation)
            .with_block_len(headers.len() as u32);
        let Some(lane) = self.lanes.get_mut(name.lane as usize) else {
            return Ok(false);
        };
        if !lane.shared.is_open() {
            return Ok(false);
        }
        lane.file(words, headers, open, file.media_name.to_vec());
        Ok(true)
    }

    /// Whether an answer with these header lines and a body of `length` bytes is compressed, if its `meta` names a coding.
    pub fn may_encode(&self, meta: AnswerMeta, headers: &[u8], length: u64) -> bool {
        let (meta, _) = meta.split_choice();
        self.shared
            .config
            .compression
            .as_ref()
            .is_some_and(|config| {
                coding::may_encode(config, meta.status, meta.template, headers, Some(length))
            })
    }

    /// Begins a streamed answer; `length` is its content-length, if known.
    pub fn respond_head(
        &mut self,
        name: ExchangeName,
        meta: AnswerMeta,
        headers: &[u8],
        length: Option<u64>,
    ) -> bool {
        let (meta, choice) = meta.split_choice();
        let words = Words::command(CommandKind::Head, meta.flags, meta.template)
            .with_status(meta.status)
            .with_exchange(name.index, name.generation);
        let with_length = |words: Words| match length {
            Some(length) => words
                .with_flag(command_flag::LENGTH_KNOWN)
                .with_content_length(length),
            None => words,
        };
        let shared = Arc::clone(&self.shared);
        let form = match &shared.config.compression {
            Some(config) if choice != Choice::Off => self
                .coded
                .stream(config, name, meta, choice, headers, length),
            _ => Form::AsItWas,
        };
        if form == Form::AsItWas {
            return self.push(name.lane, with_length(words), headers, &[]);
        }
        let words = if form == Form::Coded {
            // How long it becomes nobody knows.
            words
        } else {
            with_length(words)
        };
        let (block, body) = self.coded.lend();
        let done = self.push(name.lane, words, &block, &[]);
        self.coded.put_back(block, body);
        if !done {
            self.coded.forget(name);
        }
        done
    }

    /// More of a streamed answer. With `want_drain` a DRAIN record follows when the connection's buffer is low.
    pub fn respond_chunk(&mut self, name: ExchangeName, data: &[u8], want_drain: bool) -> bool {
        let flags = if want_drain {
            command_flag::WANT_DRAIN
        } else {
            0
        };
        let words =
            Words::command(CommandKind::Chunk, flags, 0).with_exchange(name.index, name.generation);
        match self.coded.chunk(name, data) {
            None => self.push(name.lane, words, &[], data),
            Some(Ok(())) => self.push_coded(name.lane, words),
            Some(Err(_)) => {
                // The transfer breaks off; the client does not take what it has for the whole.
                self.respond_reset(name);
                false
            }
        }
    }

    /// The end of a streamed answer.
    pub fn respond_end(&mut self, name: ExchangeName) -> bool {
        match self.coded.end(name) {
            None => {}
            Some(Ok(())) => {
                let words = Words::command(CommandKind::Chunk, 0, 0)
                    .with_exchange(name.index, name.generation);
                self.push_coded(name.lane, words);
            }
            Some(Err(_)) => return self.respond_reset(name),
        }
        self.signal(name, CommandKind::End)
    }

    /// Pushes the chunk that was just compressed.
    fn push_coded(&mut self, lane: u32, words: Words) -> bool {
        let (block, body) = self.coded.lend();
        let done = self.push(lane, words, &[], &body);
        self.coded.put_back(block, body);
        done
    }

    /// Gives a streamed answer up.
    pub fn respond_reset(&mut self, name: ExchangeName) -> bool {
        self.coded.forget(name);
        self.signal(name, CommandKind::Reset)
    }

    /// Lets the reactor send `bytes` more of a request body.
    pub fn credit(&mut self, name: ExchangeName, bytes: u32) -> bool {
        let words = Words::command(CommandKind::Credit, 0, 0)
            .with_command_body_len(bytes)
            .with_exchange(name.index, name.generation);
        self.push(name.lane, words, &[], &[])
    }

    /// Declares that the exchange may be repeated if this worker dies.
    pub fn mark_idempotent(&mut self, name: ExchangeName) -> bool {
        self.signal(name, CommandKind::Idempotent)
    }

    /// Lets go of an exchange that somebody else will answer, who [`claim`](Self::claim)s it by the token that this gives. `None`:
    /// there is no such exchange any more, or its answer has begun. Waits for the reactor's current pass.
    pub fn detach(&mut self, name: ExchangeName) -> Option<u64> {
        let lane = self.lanes.get(name.lane as usize)?;
        let slot = self.slot;
        let generation = lane
            .reactor
            .adjust(|engine| engine.detach(name.index, name.generation, slot))?;
        Some(u64::from(self.shared.nonce) << 32 | u64::from(generation))
    }

    /// Takes an exchange over that was detached: from now on its name, with the generation that this gives, is this worker's.
    /// `None`: it was answered, its client has left, or there was none. Waits for the reactor's current pass.
    pub fn claim(&mut self, lane: u32, index: u32, token: u64) -> Option<ExchangeName> {
        let generation = token as u32;
        let reactor = &self.lanes.get(lane as usize)?.reactor;
        let is_ours = token >> 32 == u64::from(self.shared.nonce);
        let slot = self.slot;
        let name = ExchangeName {
            lane,
            index,
            generation,
        };
        (is_ours && reactor.adjust(|engine| engine.claim(index, generation, slot))).then_some(name)
    }

    /// The out-of-line body of a request, once.
    pub fn take_blob(&self, name: ExchangeName) -> Option<Bytes> {
        self.lanes
            .get(name.lane as usize)?
            .shared
            .take_blob(name.index, name.generation)
    }

    /// The connection of an exchange, while it is open. Waits for the reactor's current pass.
    pub fn connection_info(&self, name: ExchangeName) -> Option<ConnectionInfo> {
        let lane = self.lanes.get(name.lane as usize)?;
        lane.reactor
            .lock()
            .connection_info(name.index, name.generation, self.slot)
    }

    /// Publishes every lane and wakes the reactors that sleep. The last act of a batch.
    pub fn flush(&mut self) {
        for lane in &mut self.lanes {
            flush(lane);
        }
        self.end_calls();
        // SeqCst, like JavaScript's store of `head` before it: one of us sees the other.
        if self.tasks.wants_space.load(Ordering::SeqCst)
            && self.tasks.wants_space.swap(false, Ordering::SeqCst)
        {
            self.flush_tasks();
        }
    }

    /// Makes the connection of an exchange a WebSocket. A SOCKET_OPEN record follows.
    ///
    /// `settings` are ten little-endian words, `protocol` is empty for none, `state` at most 16 KiB.
    pub fn upgrade(
        &mut self,
        name: ExchangeName,
        headers: &[u8],
        protocol: &str,
        settings: &[u8],
        state: &[u8],
    ) -> bool {
        let Ok(len) = u16::try_from(protocol.len()) else {
            return false;
        };
        let body = [settings, &len.to_le_bytes(), protocol.as_bytes(), state].concat();
        let words =
            Words::command(CommandKind::Upgrade, 0, 0).with_exchange(name.index, name.generation);
        self.push(name.lane, words, headers, &body)
    }

    /// Makes the answer of an exchange an event stream; `options` is JSON. A SOCKET_OPEN record follows.
    pub fn event_stream(&mut self, name: ExchangeName, headers: &[u8], options: &str) -> bool {
        let words = Words::command(CommandKind::EventStream, 0, 0)
            .with_exchange(name.index, name.generation);
        self.push(name.lane, words, headers, options.as_bytes())
    }

    fn signal(&mut self, name: ExchangeName, kind: CommandKind) -> bool {
        let words = Words::command(kind, 0, 0).with_exchange(name.index, name.generation);
        self.push(name.lane, words, &[], &[])
    }

    fn push(&mut self, lane: u32, words: Words, block: &[u8], body: &[u8]) -> bool {
        let Some(lane) = self.lanes.get_mut(lane as usize) else {
            return false;
        };
        if !lane.shared.is_open() {
            return false;
        }
        let words = words.with_block_len(block.len() as u32);
        let words = match CommandKind::from_u8(words.kind()) {
            Some(
                CommandKind::Respond
                | CommandKind::Chunk
                | CommandKind::Upgrade
                | CommandKind::EventStream,
            ) => words.with_command_body_len(body.len() as u32),
            _ => words,
        };
        lane.command(words, block, body);
        true
    }
}

impl WorkerLane {
    /// Appends a command with its bytes, those that the ring does not take beside it.
    pub(crate) fn command(&mut self, words: Words, block: &[u8], body: &[u8]) {
        // A message for a socket goes out from where it lies; an answer is gathered with its head.
        let inline = if words.kind() == CommandKind::SocketSend as u8 {
            INLINE_MESSAGE
        } else {
            INLINE_BODY
        };
        if block.len() + body.len() <= inline {
            push(self, words, &[block, body]);
        } else {
            let body = Parcel::Body(Bytes::copy_from_slice(body));
            lock(&self.shared.parcels).push_back(body);
            push(self, words.with_flag(command_flag::BLOB), &[block]);
        }
        self.pushed();
    }

    /// Appends an answer with a file.
    fn file(&mut self, words: Words, block: &[u8], file: OpenFile, media_name: Vec<u8>) {
        lock(&self.shared.parcels).push_back(Parcel::File(file, media_name));
        push(self, words.with_flag(command_flag::BLOB), &[block]);
        self.pushed();
    }

    /// Appends a message to many.
    pub(crate) fn fan_out(&mut self, fanout: &Arc<Fanout>) {
        if !self.shared.is_open() {
            return;
        }
        lock(&self.shared.parcels).push_back(Parcel::Fanout(Arc::clone(fanout)));
        let words = Words::command(CommandKind::Fanout, command_flag::BLOB, 0);
        push(self, words, &[]);
        self.pushed();
    }

    fn pushed(&mut self) {
        self.unflushed += 1;
        if self.unflushed >= EAGER_COMMANDS {
            flush(self);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // In this order: nobody wakes the thread any more, then its last commands are seen, then its work moves on.
        self.link.forget_wake();
        for lane in &mut self.lanes {
            lane.commands.publish();
        }
        self.end_calls();
        self.shared.worker_gone(self.slot, Some(&self.link));
    }
}

/// Appends a command, behind the spilled ones if there are any. Never waits: the reactor may be waiting for us.
fn push(lane: &mut WorkerLane, words: Words, parts: &[&[u8]]) {
    if !lane.shared.spilled.load(Ordering::Acquire) {
        match lane.commands.push(words, parts) {
            Ok(_) => return,
            Err(PushError::Full | PushError::TooLarge) => {}
        }
    }
    let mut spill = lock(&lane.shared.spill);
    spill.push_back((words, parts.concat()));
    // Everything older must be in the ring and visible before the reactor looks at the spill.
    lane.commands.publish();
    lane.shared.spilled.store(true, Ordering::SeqCst);
}

fn flush(lane: &mut WorkerLane) {
    let commands = std::mem::take(&mut lane.unflushed);
    lane.commands.publish();
    // SeqCst, like JavaScript's store of `head` before it and the reactor's two steps: one of us sees the other.
    let space = lane.shared.wants_space.load(Ordering::SeqCst)
        && lane.shared.wants_space.swap(false, Ordering::SeqCst);
    if commands == 0 && !space {
        return;
    }
    if !lane.reactor.try_unpark() {
        return;
    }
    if commands > COMBINE_COMMANDS || space || !lane.reactor.combine(COMBINE_COMMANDS as usize) {
        lane.reactor.wake_task();
    }
}
