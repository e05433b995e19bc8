//! The state chart of all tasks, and what follows from each step.

mod calls;
mod ends;
mod list;
mod submit;
mod workers;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::backoff::Random;
use super::entry::{Entries, Entry, State};
use super::failed::Failed;
use super::hands::Hands;
use super::id_table::IdTable;
use super::queue::{Queue, QueueCounts, QueueSpec};
use super::ready::{Ready, Stand};
use super::{CallId, Limits, Mode, Output, Payload, PoolId, TaskId, Why};
use crate::timer::{TimerKey, Wheel};

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
    /// The index from which on idle tasks are to be ended yet.
    sweeps_from: Option<u32>,
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
            sweeps_from: None,
            empty: Payload::from(&[][..]),
            expired: Vec::new(),
        }
    }

    /// Makes waits with jitter the same for the same seed.
    pub fn seed(&mut self, seed: u64) {
        self.random = Random::new(seed);
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
        self.watch_pin(index, self.now.saturating_add(self.limits.pinned_wait));
    }

    /// A task that waits for one worker alone is looked at then.
    fn watch_pin(&mut self, index: u32, due: u64) {
        if let Some(entry) = self.entries.get_mut(index)
            && entry.task.worker.is_some()
            && entry.mode == Mode::Run
        {
            entry.timer = self.wheel.insert(due, index);
        }
    }

    /// A task in no state, that was assigned, waits for a worker where it stood.
    fn give_back(&mut self, index: u32) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.state = State::Queued;
            self.ready.give_back(index);
            self.watch_pin(index, self.now.saturating_add(self.limits.pinned_wait));
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
