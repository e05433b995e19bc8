//! The state chart of all tasks, and what follows from each step.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::backoff::Random;
use super::entry::{Entries, Entry, State};
use super::failed::{Failed, FailedTask};
use super::hands::Hands;
use super::id_table::IdTable;
use super::queue::{Queue, QueueCounts, QueueSpec};
use super::ready::{Ready, Stand};
use super::{
    CallId, Cancel, End, JournalOp, Limits, Mode, NewTask, Origin, Outcome, Output, Payload,
    PoolId, RestoredTask, Stats, Status, StoredTask, SubmitError, Submitted, TaskId, What, Why,
};
use crate::id::WorkerSlot;
use crate::timer::{TimerKey, Wheel};

/// Origins of one task.
const ORIGINS_MAX: usize = 1024;
/// Delays and time-outs that end in one [`Tasks::tick`]; whoever shares them does not wait longer than for that.
const TICK_MAX: usize = 1024;

/// See the [module](super). Times are milliseconds.
///
/// After each call ask for [`next_output`](Self::next_output) until there is none, under the same lock: what is not asked for piles up.
#[derive(Debug)]
pub struct Tasks {
    limits: Limits,
    bytes: usize,
    entries: Entries,
    /// Indices of tasks that are not over.
    ids: IdTable<u32>,
    /// Of those that have a key, by its hash with that of the name.
    keys: HashTable<u32>,
    hasher: RandomState,
    /// Those of the specs, and behind them one for each pool, for calls of `finish` and `failed`.
    queues: Vec<Queue>,
    spec_count: usize,
    ready: Ready,
    hands: Hands,
    failed: Failed,
    /// Ends of delays and of tries.
    wheel: Wheel<u32>,
    outputs: VecDeque<Output>,
    random: Random,
    next_id: TaskId,
    now: u64,
    /// When a token comes for which a task waits.
    token_due: Option<u64>,
    /// The index from which on tasks have not been stopped yet.
    stopped: Option<u32>,
    empty: Payload,
    /// Scratch.
    expired: Vec<TimerKey>,
}

impl Tasks {
    /// Without tasks and workers. `first_id` is the id of the first task, at least 1. The queue of index 0 is the default one.
    pub fn new(limits: Limits, queues: Vec<QueueSpec>, first_id: TaskId) -> Self {
        let spec_count = queues.len();
        let last_pool = queues.iter().map(|queue| queue.pool.0).max().unwrap_or(0);
        let mut queues: Vec<Queue> = queues.into_iter().map(Queue::new).collect();
        queues.extend((0..=last_pool).map(|pool| Queue::after(PoolId(pool))));
        let hasher = RandomState::new();
        let seed = hasher.hash_one(first_id);
        Self {
            limits,
            bytes: 0,
            entries: Entries::default(),
            ids: IdTable::default(),
            keys: HashTable::new(),
            hasher,
            ready: Ready::new(queues.len()),
            queues,
            spec_count,
            hands: Hands::default(),
            failed: Failed::new(limits.keep_failed, limits.bytes),
            wheel: Wheel::new(),
            outputs: VecDeque::new(),
            random: Random::new(seed),
            next_id: first_id.max(1),
            now: 0,
            token_due: None,
            stopped: None,
            empty: Payload::from(&[][..]),
            expired: Vec::new(),
        }
    }

    /// Makes waits with jitter the same for the same seed.
    pub fn seed(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// Takes a task. One whose name and key another has that is not over is that one: its own options do not count, and its origin hears, too.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: nothing has changed.
    pub fn submit(&mut self, now: u64, task: NewTask) -> Result<Submitted, SubmitError> {
        self.advance_to(now);
        if self.stopped.is_some() {
            return Err(SubmitError::Stopping);
        }
        if let Some(index) = task
            .key
            .as_deref()
            .and_then(|key| self.find(&task.name, key))
        {
            return self.join(index, task.origin);
        }
        if usize::from(task.queue) >= self.spec_count {
            return Err(SubmitError::Queue);
        }
        let id = self.next_id;
        let due = self.now.saturating_add(task.delay);
        self.check_room(&task)?;
        let full = SubmitError::Full { what: What::Tasks };
        self.insert(id, task, 0, due).ok_or(full)?;
        self.next_id += 1;
        Ok(Submitted { id, is_new: true })
    }

    fn join(&mut self, index: u32, origin: Origin) -> Result<Submitted, SubmitError> {
        let Some(entry) = self.entries.get_mut(index) else {
            return Err(SubmitError::Queue);
        };
        if origin != Origin::Nobody {
            if entry.task.origin == Origin::Nobody {
                entry.task.origin = origin;
            } else if entry.more.len() + 1 < ORIGINS_MAX {
                entry.more.push(origin);
            } else {
                return Err(SubmitError::Full {
                    what: What::Origins,
                });
            }
        }
        Ok(Submitted {
            id: entry.id,
            is_new: false,
        })
    }

    fn check_room(&self, task: &NewTask) -> Result<(), SubmitError> {
        if self.entries.len() >= self.limits.tasks {
            return Err(SubmitError::Full { what: What::Tasks });
        }
        let bytes = self.bytes.saturating_add(task.bytes());
        if bytes > self.limits.bytes {
            return Err(SubmitError::Full { what: What::Bytes });
        }
        Ok(())
    }

    /// Takes a task for which there is room. None when there are as many as can be counted.
    fn insert(&mut self, id: TaskId, mut task: NewTask, attempts: u32, due: u64) -> Option<()> {
        let bytes = task.bytes();
        task.tries = task.tries.max(1);
        task.durable &= self.limits.journal;
        let durable = task.durable;
        let key = task.key.as_deref();
        let hash = key.map(|key| self.hash(&task.name, key));
        let entry = Entry {
            id,
            task,
            extra: self.empty.clone(),
            more: Vec::new(),
            state: State::Queued,
            mode: Mode::Run,
            end: End::Done,
            attempts,
            timer: None,
            due,
            bytes,
        };
        let index = self.entries.insert(entry)?;
        self.bytes += bytes;
        self.ids.insert(id, index);
        if let Some(hash) = hash {
            let Self {
                keys,
                entries,
                hasher,
                ..
            } = self;
            keys.insert_unique(hash, index, |&index| {
                entries.get(index).map_or(0, |entry| {
                    hasher.hash_one((&*entry.task.name, entry.task.key.as_deref().unwrap_or("")))
                })
            });
        }
        self.counts(index).submitted += 1;
        if durable {
            self.outputs.push_back(Output::Journal(JournalOp::Put(id)));
        }
        self.wait(index, due);
        Some(())
    }

    /// Cancels a task, for all its origins.
    pub fn cancel(&mut self, now: u64, id: TaskId) -> Cancel {
        self.advance_to(now);
        let Some(&index) = self.ids.get(id) else {
            return Cancel::Unknown;
        };
        let Some(state) = self.entries.get(index).map(|entry| entry.state) else {
            return Cancel::Unknown;
        };
        self.leave_state(index);
        match state {
            State::Delayed | State::Queued => {}
            State::Handed(call) => self.let_go(call),
            State::Begun(call) => self.abandon(call, Why::Cancelled),
        }
        let empty = self.empty.clone();
        self.over(index, End::Cancelled, empty);
        match state {
            State::Begun(_) => Cancel::Running,
            _ => Cancel::Done,
        }
    }

    /// Where a task is; `None` when there is none of that id, or it is over.
    pub fn status(&self, id: TaskId) -> Option<Status> {
        let entry = self.entries.get(*self.ids.get(id)?)?;
        Some(match entry.state {
            State::Delayed => Status::Delayed,
            State::Queued => Status::Queued,
            State::Handed(_) | State::Begun(_) => Status::Running,
        })
    }

    /// A worker is there: it is an origin that hears, and may have up to `concurrency` calls in its hands. Of one that is there already this changes what
    /// it may have; of another generation than before it also means that the one before is gone.
    pub fn worker_here(
        &mut self,
        slot: WorkerSlot,
        generation: u32,
        id: u16,
        pool: PoolId,
        concurrency: u32,
    ) {
        if self
            .hands
            .generation(slot)
            .is_some_and(|own| own != generation)
        {
            self.worker_gone(self.now, slot);
        }
        self.hands.arrive(slot, generation, id, pool, concurrency);
    }

    /// A worker gets nothing new; what it has in its hands it may begin and end, and it hears of what it wants.
    pub fn worker_leaving(&mut self, slot: WorkerSlot) {
        self.hands.leave(slot);
        self.free_pinned(slot);
    }

    /// A worker is gone. What it had begun has failed in this try, the rest waits again where it stood.
    pub fn worker_gone(&mut self, now: u64, slot: WorkerSlot) {
        self.advance_to(now);
        for id in self.hands.depart(slot) {
            let Some(&call) = self.hands.call(id) else {
                continue;
            };
            if let Some(index) = call.task {
                self.leave_state(index);
                if call.has_begun {
                    self.try_failed(index, End::WorkerLost, self.empty.clone());
                } else {
                    self.give_back(index);
                }
            }
            self.let_go(id);
        }
        self.free_pinned(slot);
    }

    /// Calls of `finish` for a worker that takes none any more are for anyone.
    fn free_pinned(&mut self, slot: WorkerSlot) {
        let queue = self.after_queue(PoolId(0));
        let Some(id) = self.hands.id(slot).filter(|&id| !self.hands.has_taker(id)) else {
            return;
        };
        while let Some((_, index)) = self.ready.next_for(queue, id) {
            self.ready.remove(index);
            let Some(entry) = self.entries.get_mut(index) else {
                continue;
            };
            entry.task.worker = None;
            let stand = stand_of(entry);
            self.ready.push(index, stand);
        }
    }

    /// A worker's lane has no room: it gets nothing until it has.
    pub fn blocked(&mut self, slot: WorkerSlot, yes: bool) {
        self.hands.block(slot, yes);
    }

    /// How many calls a worker has in its hands.
    pub fn in_hand(&self, slot: WorkerSlot) -> u32 {
        self.hands.in_hand(slot)
    }

    /// Whether any call is in a worker's hands.
    pub fn has_calls(&self) -> bool {
        self.hands.len() > 0
    }

    /// Whether a worker still runs what is over for everybody else: what has timed out, or was cancelled.
    pub fn is_overdue(&self, slot: WorkerSlot) -> bool {
        self.hands.is_overdue(slot)
    }

    /// A worker wants to begin a call. False: it is not to, since the task was cancelled, or somebody else has it.
    pub fn begin(&mut self, now: u64, slot: WorkerSlot, id: CallId) -> bool {
        self.advance_to(now);
        let Some(call) = self.hands.call_mut(id) else {
            return false;
        };
        let Some(index) = call.task.filter(|_| call.slot == slot && !call.has_begun) else {
            return false;
        };
        let Some(entry) = self.entries.get_mut(index) else {
            return false;
        };
        call.has_begun = true;
        entry.state = State::Begun(id);
        if entry.task.timeout > 0 {
            let end = self.now.saturating_add(entry.task.timeout);
            entry.timer = self.wheel.insert(end, index);
        }
        if entry.mode == Mode::Run {
            entry.attempts = entry.attempts.saturating_add(1);
            self.queues[usize::from(entry.task.queue)].counts.begun += 1;
        }
        true
    }

    /// Who submitted the task of a call that is in a worker's hands.
    pub fn origin(&self, id: CallId) -> Option<Origin> {
        let entry = self.entries.get(self.hands.call(id)?.task?)?;
        Some(entry.task.origin)
    }

    /// A handler has ended. True: it was in this worker's hands, and is not any more.
    pub fn end(
        &mut self,
        now: u64,
        slot: WorkerSlot,
        id: CallId,
        outcome: Outcome,
        bytes: Payload,
    ) -> bool {
        self.advance_to(now);
        let task = match self.hands.call(id) {
            Some(call) if call.slot == slot && call.has_begun => call.task,
            _ => return false,
        };
        self.let_go(id);
        let Some(index) = task else {
            return true;
        };
        self.leave_state(index);
        match (self.mode(index), outcome) {
            (Mode::Run, Outcome::Done) => self.over(index, End::Done, bytes),
            (Mode::Run, Outcome::Unknown) => self.over(index, End::Unknown, bytes),
            (Mode::Run, Outcome::Failed) => self.try_failed(index, End::Failed, bytes),
            (Mode::Finish | Mode::Failed, _) => self.forget(index),
        }
        true
    }

    /// A handler tells how far it is. False: nobody waits for it any more.
    pub fn progress(&mut self, slot: WorkerSlot, id: CallId, bytes: Payload) -> bool {
        let index = match self.hands.call(id) {
            Some(call) if call.slot == slot && call.has_begun => call.task,
            _ => None,
        };
        let Some(entry) = index.and_then(|index| self.entries.get(index)) else {
            return false;
        };
        if entry.mode != Mode::Run {
            return false;
        }
        for &origin in std::iter::once(&entry.task.origin).chain(&entry.more) {
            if self.hands.hears(origin) {
                self.outputs.push_back(Output::Progress {
                    origin,
                    task: entry.id,
                    bytes: bytes.clone(),
                });
            }
        }
        true
    }

    /// Goes on to `now`: delays and tries end. With a thousand or more of them time stands still before the rest: then
    /// [`next_due`](Self::next_due) is not after `now`.
    pub fn tick(&mut self, now: u64) {
        self.advance_to(now);
        let mut expired = std::mem::take(&mut self.expired);
        expired.clear();
        self.wheel.advance(self.now, TICK_MAX, &mut expired);
        for &key in &expired {
            let Some(index) = self.wheel.remove(key) else {
                continue;
            };
            let Some(entry) = self.entries.get_mut(index) else {
                continue;
            };
            entry.timer = None;
            match entry.state {
                State::Delayed => {
                    self.leave_state(index);
                    self.queue(index);
                }
                State::Begun(call) => {
                    self.leave_state(index);
                    self.abandon(call, Why::TimedOut);
                    self.try_failed(index, End::TimedOut, self.empty.clone());
                }
                State::Queued | State::Handed(_) => {}
            }
        }
        self.expired = expired;
    }

    /// When to [`tick`](Self::tick) and ask for [`next_output`](Self::next_output) again, if nothing else happens before.
    pub fn next_due(&self) -> Option<u64> {
        match (self.wheel.next_due(), self.token_due) {
            (Some(timer), Some(token)) => Some(timer.min(token)),
            (timer, token) => timer.or(token),
        }
    }

    /// What is to be done next; a call is in its worker's hands as soon as it comes out of here.
    pub fn next_output(&mut self, now: u64) -> Option<Output> {
        self.advance_to(now);
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            match self.stopped {
                None => return self.assign(),
                Some(from) => self.stop_next(from)?,
            }
        }
    }

    /// Assigns nothing and takes nothing any more: what is not in a worker's hands ends as [`End::Stopped`], and so does what is to be tried again. What is
    /// durable stays in the journal.
    pub fn stop(&mut self) {
        self.stopped.get_or_insert(0);
        self.token_due = None;
    }

    /// Stops the first task from an index on that is in nobody's hands; none when there is none.
    fn stop_next(&mut self, from: u32) -> Option<()> {
        for index in from..self.entries.end() {
            self.stopped = Some(index + 1);
            let Some(entry) = self.entries.get(index) else {
                continue;
            };
            if matches!(entry.state, State::Handed(_) | State::Begun(_)) {
                continue;
            }
            self.leave_state(index);
            self.stop_one(index);
            return Some(());
        }
        None
    }

    /// Failed tasks that are kept, the oldest first.
    pub fn failed(&self) -> impl Iterator<Item = &FailedTask> {
        self.failed.iter()
    }

    /// Submits a failed task anew, under its id, for nobody. False when there is none, or no room for it.
    pub fn retry(&mut self, now: u64, id: TaskId) -> bool {
        self.advance_to(now);
        if self.stopped.is_some() {
            return false;
        }
        let Some(failed) = self.failed.get(id) else {
            return false;
        };
        // While another one has its key, it goes without.
        let mut task = failed.task.clone();
        task.key
            .take_if(|key| self.find(&failed.task.name, key).is_some());
        if self.check_room(&task).is_err() || self.insert(id, task, 0, self.now).is_none() {
            return false;
        }
        self.failed.remove(id);
        true
    }

    /// Forgets a failed task. False when there is none.
    pub fn forget_failed(&mut self, id: TaskId) -> bool {
        let Some(task) = self.failed.remove(id) else {
            return false;
        };
        if task.task.durable {
            self.outputs
                .push_back(Output::Journal(JournalOp::Delete(id)));
        }
        true
    }

    /// What is there, and what has happened.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            tasks: self.entries.len(),
            bytes: self.bytes,
            kept: self.failed.len(),
            handed: self.hands.len(),
            after: self.entries.len() - self.ids.len(),
            ..Stats::default()
        };
        for (index, queue) in self.queues[..self.spec_count].iter().enumerate() {
            let mut counts = queue.counts;
            // There are no more queues than their indices can tell.
            counts.waiting = self.ready.len(index as u16);
            stats.total.add(&counts);
            stats.queues.push((queue.name.clone(), counts));
        }
        stats
    }

    /// What a journal is to keep of a task that is not over or is kept as failed.
    pub fn stored(&self, id: TaskId) -> Option<StoredTask<'_>> {
        if let Some(entry) = self.ids.get(id).and_then(|&index| self.entries.get(index)) {
            let has_begun = matches!(entry.state, State::Begun(_));
            return Some(StoredTask {
                id,
                task: &entry.task,
                queue_name: &self.queues[usize::from(entry.task.queue)].name,
                due: i64::try_from(entry.due).unwrap_or(i64::MAX),
                attempts: entry.attempts - u32::from(has_begun),
                failure: None,
            });
        }
        let failed = self.failed.get(id)?;
        Some(StoredTask {
            id,
            task: &failed.task,
            queue_name: &self.queues[usize::from(failed.task.queue)].name,
            due: failed.at,
            attempts: failed.attempts,
            failure: Some((failed.end, &failed.error, failed.at)),
        })
    }

    /// Takes what a journal had kept, beyond the limits too, in the order of when it was due. Ids go on after the highest of them. What has an id that is there
    /// is left out, and what has no queue is in the default one.
    pub fn restore(&mut self, now: u64, mut tasks: Vec<RestoredTask>) {
        self.advance_to(now);
        tasks.sort_by_key(|task| (task.due, task.id));
        for restored in tasks {
            let RestoredTask {
                id,
                mut task,
                due,
                attempts,
                failure,
            } = restored;
            if self.ids.get(id).is_some() || self.failed.get(id).is_some() {
                continue;
            }
            self.next_id = self.next_id.max(id.saturating_add(1));
            if usize::from(task.queue) >= self.spec_count {
                task.queue = 0;
            }
            task.origin = Origin::Nobody;
            task.durable = true;
            let Some((end, error, at)) = failure else {
                // It is in the journal already.
                let outputs = self.outputs.len();
                if self.spec_count > 0 {
                    let due = u64::try_from(due).unwrap_or(0);
                    self.insert(id, task, attempts, due);
                }
                self.outputs.truncate(outputs);
                continue;
            };
            task.durable = self.limits.journal;
            self.keep_failed(FailedTask {
                id,
                task,
                attempts,
                end,
                error,
                at,
            });
        }
    }

    /// Time does not go back.
    fn advance_to(&mut self, now: u64) {
        self.now = self.now.max(now);
    }

    fn mode(&self, index: u32) -> Mode {
        self.entries
            .get(index)
            .map_or(Mode::Run, |entry| entry.mode)
    }

    /// The counts of a task's queue; an index without a task counts nowhere that matters.
    fn counts(&mut self, index: u32) -> &mut QueueCounts {
        let queue = self.entries.get(index).map_or(0, |entry| entry.task.queue);
        &mut self.queues[usize::from(queue)].counts
    }

    fn hash(&self, name: &str, key: &str) -> u64 {
        self.hasher.hash_one((name, key))
    }

    fn find(&self, name: &str, key: &str) -> Option<u32> {
        let is_it = |&index: &u32| {
            self.entries.get(index).is_some_and(|entry| {
                &*entry.task.name == name && entry.task.key.as_deref() == Some(key)
            })
        };
        self.keys.find(self.hash(name, key), is_it).copied()
    }

    /// The queue of calls of `finish` and `failed` in a pool.
    fn after_queue(&self, pool: PoolId) -> u16 {
        // There are no more queues than their indices can tell.
        (self.spec_count as u16).saturating_add(pool.0)
    }

    /// A task in no state waits until it is due, and then for a worker.
    fn wait(&mut self, index: u32, due: u64) {
        if due > self.now
            && let Some(entry) = self.entries.get_mut(index)
            && let Some(timer) = self.wheel.insert(due, index)
        {
            entry.timer = Some(timer);
            entry.state = State::Delayed;
            self.counts(index).delayed += 1;
            return;
        }
        self.queue(index);
    }

    /// A task in no state waits for a worker, behind the others.
    fn queue(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        entry.state = State::Queued;
        let stand = stand_of(entry);
        self.ready.push(index, stand);
    }

    /// A task in no state, that was assigned, waits for a worker where it stood.
    fn give_back(&mut self, index: u32) {
        if self.stopped.is_some() {
            return self.stop_one(index);
        }
        if let Some(entry) = self.entries.get_mut(index) {
            entry.state = State::Queued;
            self.ready.give_back(index);
        }
    }

    /// A task in no state stops.
    fn stop_one(&mut self, index: u32) {
        match self.mode(index) {
            Mode::Run => self.over(index, End::Stopped, self.empty.clone()),
            Mode::Finish | Mode::Failed => self.forget(index),
        }
    }

    /// Takes a task out of where its state says that it is, but for the worker's hands.
    fn leave_state(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if let Some(timer) = entry.timer.take() {
            self.wheel.remove(timer);
        }
        match entry.state {
            State::Delayed => self.counts(index).delayed -= 1,
            State::Queued => self.ready.remove(index),
            State::Handed(_) | State::Begun(_) => self.counts(index).running -= 1,
        }
    }

    /// Takes a call out of its worker's hands.
    fn let_go(&mut self, id: CallId) {
        if let Some(call) = self.hands.let_go(id) {
            self.queues[usize::from(call.queue)].release();
            self.outputs.push_back(Output::Released { slot: call.slot });
        }
    }

    /// A call goes on without its task.
    fn abandon(&mut self, id: CallId, why: Why) {
        if let Some(call) = self.hands.call_mut(id) {
            call.task = None;
            let slot = call.slot;
            self.outputs.push_back(Output::Abort {
                slot,
                call: id,
                why,
            });
        }
    }

    /// A try of a task in no state has failed.
    fn try_failed(&mut self, index: u32, end: End, bytes: Payload) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if entry.mode != Mode::Run {
            return self.forget(index);
        }
        if entry.attempts >= entry.task.tries {
            return self.over(index, end, bytes);
        }
        let wait = entry.task.backoff.wait(entry.attempts, &mut self.random);
        let due = self.now.saturating_add(wait);
        entry.due = due;
        // Nothing else, or what is told to the journal now would count this try as one that runs.
        entry.state = State::Queued;
        if entry.task.durable {
            let put = JournalOp::Put(entry.id);
            self.outputs.push_back(Output::Journal(put));
        }
        if self.stopped.is_some() {
            return self.over(index, End::Stopped, bytes);
        }
        self.counts(index).retried += 1;
        self.wait(index, due);
    }

    /// A task in no state is over for its origins; what is left to be called is called.
    fn over(&mut self, index: u32, end: End, bytes: Payload) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let id = entry.id;
        self.ids.remove(id);
        let more = std::mem::take(&mut entry.more);
        for origin in std::iter::once(entry.task.origin).chain(more) {
            if self.hands.hears(origin) {
                self.outputs.push_back(Output::Result {
                    origin,
                    task: id,
                    end,
                    attempts: entry.attempts,
                    bytes: bytes.clone(),
                });
            }
        }
        self.queues[usize::from(entry.task.queue)]
            .counts
            .count_end(end);
        self.forget_key(index);
        let after = self.settle(index, end, &bytes);
        match after {
            Some(mode) if self.stopped.is_none() => self.call_after(index, mode, end, bytes),
            _ => self.forget(index),
        }
    }

    /// Tells the journal, and keeps what has failed; what is to be called now.
    fn settle(&mut self, index: u32, end: End, bytes: &Payload) -> Option<Mode> {
        let entry = self.entries.get(index)?;
        let id = entry.id;
        let durable = entry.task.durable;
        if !end.is_failure() {
            if durable && end != End::Stopped {
                let delete = JournalOp::Delete(id);
                self.outputs.push_back(Output::Journal(delete));
            }
            return (end == End::Done && entry.task.has_finish).then_some(Mode::Finish);
        }
        // Who is unknown has no `failed` in that worker either.
        let after = (entry.task.has_failed && end != End::Unknown).then_some(Mode::Failed);
        if matches!(entry.task.origin, Origin::Inner(_)) {
            if durable {
                let delete = JournalOp::Delete(id);
                self.outputs.push_back(Output::Journal(delete));
            }
            return after;
        }
        let failed = FailedTask {
            id,
            task: NewTask {
                origin: Origin::Nobody,
                ..entry.task.clone()
            },
            attempts: entry.attempts,
            end,
            error: bytes.clone(),
            at: i64::try_from(self.now).unwrap_or(i64::MAX),
        };
        if durable {
            self.outputs.push_back(Output::Journal(JournalOp::Put(id)));
        }
        self.keep_failed(failed);
        after
    }

    fn keep_failed(&mut self, task: FailedTask) {
        self.failed.push(task);
        while let Some(old) = self.failed.evict() {
            if old.task.durable {
                let delete = JournalOp::Delete(old.id);
                self.outputs.push_back(Output::Journal(delete));
            }
        }
    }

    /// What is over waits for a worker again, for its `finish` or its `failed`.
    fn call_after(&mut self, index: u32, mode: Mode, end: End, bytes: Payload) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        entry.mode = mode;
        entry.end = end;
        // Nobody is refused for the sake of a result: what is there too much of keeps new tasks out.
        entry.bytes += bytes.len();
        self.bytes += bytes.len();
        entry.extra = bytes;
        entry.task.priority = 0;
        let pool = match mode {
            Mode::Run | Mode::Finish => {
                entry.task.worker = self.hands.id_of(entry.task.origin);
                PoolId(0)
            }
            Mode::Failed => {
                entry.task.worker = None;
                self.queues[usize::from(entry.task.queue)].pool
            }
        };
        // There are no more queues than their indices can tell.
        entry.task.queue = (self.spec_count as u16).saturating_add(pool.0);
        self.queue(index);
    }

    fn forget_key(&mut self, index: u32) {
        let Some(entry) = self.entries.get(index) else {
            return;
        };
        if let Some(key) = entry.task.key.as_deref() {
            let hash = self.hash(&entry.task.name, key);
            if let Ok(found) = self.keys.find_entry(hash, |&own| own == index) {
                found.remove();
            }
        }
    }

    /// Forgets a task that is over and of which nothing is left to be called.
    fn forget(&mut self, index: u32) {
        if let Some(entry) = self.entries.get(index) {
            self.bytes -= entry.bytes;
            self.entries.remove(index);
        }
    }

    /// Gives a task that waits to a worker that has a place for it.
    fn assign(&mut self) -> Option<Output> {
        self.token_due = None;
        let mut turn = 0;
        while let Some(queue) = self.ready.queue_in_turn(turn) {
            if let Some((index, slot)) = self.choose(queue) {
                self.ready.remove(index);
                self.ready.served(turn);
                return self.hand(index, slot);
            }
            turn += 1;
        }
        None
    }

    /// The next task of a queue that can go to a worker.
    fn choose(&mut self, queue: u16) -> Option<(u32, WorkerSlot)> {
        let own = self.queues.get_mut(usize::from(queue))?;
        if !own.has_place() {
            return None;
        }
        let mut best = None;
        let mut turn = None;
        if let Some((rank, index)) = self.ready.next(queue)
            && let Some((slot, at)) = self.hands.least_loaded(own.pool)
        {
            best = Some((rank, index, slot));
            turn = Some(at);
        }
        if self.ready.has_pinned(queue) {
            for (slot, id) in self.hands.with_place() {
                if let Some((rank, index)) = self.ready.next_for(queue, id)
                    && best.is_none_or(|(first, ..)| rank < first)
                {
                    best = Some((rank, index, slot));
                    turn = None;
                }
            }
        }
        let (_, index, slot) = best?;
        if let Err(due) = own.take_token(self.now) {
            self.token_due = Some(self.token_due.map_or(due, |own| own.min(due)));
            return None;
        }
        if let Some(turn) = turn {
            let pool = own.pool;
            self.hands.took_turn(pool, turn);
        }
        Some((index, slot))
    }

    /// Puts a task in no state into a worker's hands.
    fn hand(&mut self, index: u32, slot: WorkerSlot) -> Option<Output> {
        let entry = self.entries.get_mut(index)?;
        let call = self.hands.take(slot, index, entry.task.queue);
        entry.state = State::Handed(call);
        let queue = &mut self.queues[usize::from(entry.task.queue)];
        queue.hold();
        queue.counts.running += 1;
        let attempt = match entry.mode {
            Mode::Run => entry.attempts.saturating_add(1),
            Mode::Finish | Mode::Failed => entry.attempts,
        };
        Some(Output::Call {
            slot,
            call,
            task: entry.id,
            mode: entry.mode,
            attempt,
            tries: entry.task.tries,
            name: entry.task.name.clone(),
            input: entry.task.input.clone(),
            extra: entry.extra.clone(),
            end: entry.end,
            origin: entry.task.origin,
        })
    }
}

fn stand_of(entry: &Entry) -> Stand {
    Stand {
        queue: entry.task.queue,
        pin: entry.task.worker,
        priority: entry.task.priority,
    }
}

#[cfg(test)]
mod tests;
