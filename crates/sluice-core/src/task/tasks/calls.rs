//! What the handlers of tasks say, and what time does to them.

use super::Tasks;
use crate::id::WorkerSlot;
use crate::task::entry::State;
use crate::task::{
    CallId, Cancel, End, JournalOp, Mode, Origin, Outcome, Output, Payload, TaskId, Why,
};

/// Delays and time-outs that end in one [`Tasks::tick`]; whoever shares them does not wait longer than for that.
const TICK_MAX: usize = 1024;

impl Tasks {
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
                State::Queued => self.look_at_pin(index),
                State::Handed(_) => {}
            }
        }
        self.expired = expired;
    }

    /// A task has waited for the only worker that may run it for so long that it should be there.
    fn look_at_pin(&mut self, index: u32) {
        let Some(entry) = self.entries.get(index) else {
            return;
        };
        let Some(id) = entry.task.worker else {
            return;
        };
        let wait = self.limits.pinned_wait;
        // Of one that is there, and busy, it is not known when it leaves.
        let since = self.hands.away_since(id).unwrap_or(self.now);
        let due = since.saturating_add(wait);
        if due > self.now {
            return self.watch_pin(index, due);
        }
        self.leave_state(index);
        self.over(index, End::WorkerLost, self.empty.clone());
    }

    /// When to [`tick`](Self::tick) and ask for [`next_output`](Self::next_output) again, if nothing else happens before.
    pub fn next_due(&self) -> Option<u64> {
        match (self.wheel.next_due(), self.token_due) {
            (Some(timer), Some(token)) => Some(timer.min(token)),
            (timer, token) => timer.or(token),
        }
    }

    /// A try of a task in no state has failed.
    pub(super) fn try_failed(&mut self, index: u32, end: End, bytes: Payload) {
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
        self.counts(index).retried += 1;
        self.wait(index, due);
    }
}
