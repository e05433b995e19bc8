//! The lane of a worker that tasks travel by. Any thread writes it, one at a time: its owner is behind the mutex of the tasks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluice_core::task::{CallId, Payload, TaskId};
use sluice_shared::Producer;
use sluice_shared::record::{EventKind, Words, event_flag};

use crate::worker::WorkerLink;

/// Bytes above which a payload does not go through the ring.
const INLINE: usize = 16 * 1024;
/// Bytes in front of a task's name: its id, who has delivered it, how it has ended.
const PREFIX: usize = 16;

/// Which bytes of a task or a call a worker fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The input of a call.
    Input,
    /// What a call has beside its input.
    Extra,
    /// The result of a task.
    Result,
}

/// What a worker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Requests, connections and packets, and tasks where no worker is for them.
    Serve = 0,
    /// Tasks.
    Task = 1,
    /// Jobs of the schedule.
    Cron = 2,
    /// A process of the application's own.
    Process = 3,
}

/// A call on its way to a worker.
pub(crate) struct Call<'a> {
    pub(crate) id: CallId,
    pub(crate) task: TaskId,
    pub(crate) mode: u8,
    /// How the task has ended, of a call that comes after it.
    pub(crate) end: u8,
    pub(crate) attempt: u32,
    pub(crate) tries: u32,
    pub(crate) name: &'a str,
    pub(crate) input: Payload,
    pub(crate) extra: Payload,
    /// Who has delivered it: a worker's number and role, or nobody who could be named.
    pub(crate) from: Option<(u16, Role)>,
}

/// See the module.
pub(crate) struct TaskLane {
    ring: Producer,
    pub(crate) link: Arc<WorkerLink>,
    /// Tells this holder of the slot from others.
    pub(crate) generation: u32,
    /// The worker's number and what it is for, once it is activated.
    pub(crate) place: Option<(u16, Role)>,
    /// Something waits for room; the worker's next flush looks.
    pub(crate) wants_space: Arc<AtomicBool>,
    /// Records that found the ring full.
    overflow: VecDeque<(Words, Vec<u8>)>,
    parcels: HashMap<(u64, Part), Payload>,
    is_dirty: bool,
}

impl TaskLane {
    pub(crate) fn new(
        ring: Producer,
        link: Arc<WorkerLink>,
        generation: u32,
        wants_space: Arc<AtomicBool>,
    ) -> Self {
        Self {
            ring,
            link,
            generation,
            place: None,
            wants_space,
            overflow: VecDeque::new(),
            parcels: HashMap::new(),
            is_dirty: false,
        }
    }

    /// A call. True: the lane has become full, and should get no more of them.
    pub(crate) fn call(&mut self, call: &Call<'_>) -> bool {
        let is_parcel = call.input.len() + call.extra.len() > INLINE;
        let flags = call.mode | if is_parcel { event_flag::PARCEL } else { 0 };
        let small = |number: u32| number.min(u32::from(u16::MAX)) as u16;
        let words = Words::event(EventKind::Task, 0)
            .with_kind(EventKind::Task, flags)
            .with_call(call.id, call.name.len() as u32)
            .with_event_body_len(call.input.len() as u32)
            .with_attempt(
                call.extra.len() as u32,
                small(call.attempt),
                small(call.tries),
            );
        let mut prefix = [0; PREFIX];
        prefix[..8].copy_from_slice(&call.task.to_le_bytes());
        let from = call
            .from
            .map_or(u32::MAX, |(id, role)| u32::from(id) | (role as u32) << 16);
        prefix[8..12].copy_from_slice(&from.to_le_bytes());
        prefix[12] = call.end;
        let name = call.name.as_bytes();
        if is_parcel {
            self.put(call.id, Part::Input, &call.input);
            self.put(call.id, Part::Extra, &call.extra);
            self.push(words, &[&prefix, name])
        } else {
            self.push(words, &[&prefix, name, &call.input, &call.extra])
        }
    }

    /// The end of a task.
    pub(crate) fn result(&mut self, task: TaskId, end: u8, attempts: u32, bytes: &Payload) {
        let words = Words::event(EventKind::TaskResult, 0)
            .with_task(task, end.into(), attempts)
            .with_event_body_len(bytes.len() as u32);
        if bytes.len() > INLINE {
            self.put(task, Part::Result, bytes);
            self.push(words.with_flag(event_flag::PARCEL), &[]);
        } else {
            self.push(words, &[bytes]);
        }
    }

    /// News of a task. Left out when there is no room: what comes later says more.
    pub(crate) fn progress(&mut self, task: TaskId, bytes: &Payload) {
        let words = Words::event(EventKind::TaskProgress, 0)
            .with_task(task, 0, 0)
            .with_event_body_len(bytes.len() as u32);
        if self.overflow.is_empty() && self.ring.push(words, &[bytes]).is_ok() {
            self.is_dirty = true;
        }
    }

    /// A call is to hurry.
    pub(crate) fn abort(&mut self, call: CallId, why: u32) {
        let words = Words::event(EventKind::TaskAbort, 0).with_task(call, why, 0);
        self.push(words, &[]);
    }

    fn put(&mut self, id: u64, part: Part, bytes: &Payload) {
        if !bytes.is_empty() {
            self.parcels.insert((id, part), bytes.clone());
        }
    }

    /// What a record refers to, once.
    pub(crate) fn take_parcel(&mut self, id: u64, part: Part) -> Option<Payload> {
        self.parcels.remove(&(id, part))
    }

    /// Nobody will fetch what belongs to a call.
    pub(crate) fn forget_call(&mut self, call: CallId) {
        if !self.parcels.is_empty() {
            self.parcels.remove(&(call, Part::Input));
            self.parcels.remove(&(call, Part::Extra));
        }
    }

    /// True when the record has to wait for room.
    fn push(&mut self, words: Words, parts: &[&[u8]]) -> bool {
        if self.overflow.is_empty() && self.write(words, parts) {
            return false;
        }
        self.overflow.push_back((words, parts.concat()));
        true
    }

    fn write(&mut self, words: Words, parts: &[&[u8]]) -> bool {
        let is_in = self.ring.push(words, parts).is_ok() || {
            self.wants_space.store(true, Ordering::SeqCst);
            // Once more: the worker may have made room before it could see that we wait.
            self.ring.push(words, parts).is_ok()
        };
        self.is_dirty |= is_in;
        is_in
    }

    /// Moves what waits for room into the ring. True when nothing is left.
    pub(crate) fn drain_overflow(&mut self) -> bool {
        while let Some((words, payload)) = self.overflow.pop_front() {
            if !self.write(words, &[&payload]) {
                self.overflow.push_front((words, payload));
                return false;
            }
        }
        true
    }

    /// Publishes what was written. The link, when its worker sleeps and is to be woken.
    pub(crate) fn publish(&mut self) -> Option<Arc<WorkerLink>> {
        let must_wake = std::mem::take(&mut self.is_dirty)
            && self.ring.publish()
            && self.link.block.try_unpark();
        must_wake.then(|| {
            self.link.block.count_wake();
            Arc::clone(&self.link)
        })
    }
}
