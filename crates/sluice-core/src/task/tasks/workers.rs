//! Who can have tasks, and who gets one next.

use super::{Tasks, stand_of};
use crate::id::WorkerSlot;
use crate::task::entry::State;
use crate::task::{End, Mode, Output, PoolId};

impl Tasks {
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
    pub fn worker_leaving(&mut self, now: u64, slot: WorkerSlot) {
        self.advance_to(now);
        self.hands.leave(self.now, slot);
        self.free_pinned(slot);
    }

    /// A worker is gone. What it had begun has failed in this try, the rest waits again where it stood.
    pub fn worker_gone(&mut self, now: u64, slot: WorkerSlot) {
        self.advance_to(now);
        for id in self.hands.depart(self.now, slot) {
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
    pub(super) fn free_pinned(&mut self, slot: WorkerSlot) {
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

    /// What is to be done next; a call is in its worker's hands as soon as it comes out of here.
    pub fn next_output(&mut self, now: u64) -> Option<Output> {
        self.advance_to(now);
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            match self.sweeps_from {
                None => return self.assign(),
                Some(from) => self.sweeps_from = self.sweep(from),
            }
        }
    }

    /// Gives a task that waits to a worker that has a place for it.
    pub(super) fn assign(&mut self) -> Option<Output> {
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
    pub(super) fn choose(&mut self, queue: u16) -> Option<(u32, WorkerSlot)> {
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
    pub(super) fn hand(&mut self, index: u32, slot: WorkerSlot) -> Option<Output> {
        let entry = self.entries.get_mut(index)?;
        let call = self.hands.take(slot, index, entry.task.queue);
        entry.state = State::Handed(call);
        if let Some(timer) = entry.timer.take() {
            self.wheel.remove(timer);
        }
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

    /// Ends what is in nobody's hands as [`End::Stopped`]: the server stops, and it cannot be run any more. What is durable stays in the journal. What comes
    /// later is taken as before.
    pub fn end_idle(&mut self) {
        self.sweeps_from = Some(0);
    }

    /// Ends the first task from an index on that is in nobody's hands. Where to go on; none at the end.
    fn sweep(&mut self, from: u32) -> Option<u32> {
        let is_idle = |index: &u32| {
            let entry = self.entries.get(*index);
            entry.is_some_and(|entry| matches!(entry.state, State::Delayed | State::Queued))
        };
        let index = (from..self.entries.end()).find(is_idle)?;
        self.leave_state(index);
        match self.mode(index) {
            Mode::Run => self.over(index, End::Stopped, self.empty.clone()),
            Mode::Finish | Mode::Failed => self.forget(index),
        }
        Some(index + 1)
    }
}
