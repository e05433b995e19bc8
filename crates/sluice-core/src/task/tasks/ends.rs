//! What follows from the end of a task.

use super::Tasks;
use crate::task::failed::FailedTask;
use crate::task::{End, JournalOp, Mode, NewTask, Origin, Output, Payload, PoolId, TaskId};

impl Tasks {
    /// A task in no state is over for its origins; what is left to be called is called.
    pub(super) fn over(&mut self, index: u32, end: End, bytes: Payload) {
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
            Some(mode) => self.call_after(index, mode, end, bytes),
            None => self.forget(index),
        }
    }

    /// Tells the journal, and keeps what has failed; what is to be called now.
    pub(super) fn settle(&mut self, index: u32, end: End, bytes: &Payload) -> Option<Mode> {
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

    pub(super) fn keep_failed(&mut self, task: FailedTask) {
        self.failed.push(task);
        while let Some(old) = self.failed.evict() {
            if old.task.durable {
                let delete = JournalOp::Delete(old.id);
                self.outputs.push_back(Output::Journal(delete));
            }
        }
    }

    /// What is over waits for a worker again, for its `finish` or its `failed`.
    pub(super) fn call_after(&mut self, index: u32, mode: Mode, end: End, bytes: Payload) {
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

    /// Forgets a task that is over and of which nothing is left to be called.
    pub(super) fn forget(&mut self, index: u32) {
        if let Some(entry) = self.entries.get(index) {
            self.bytes -= entry.bytes;
            self.entries.remove(index);
        }
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
}
