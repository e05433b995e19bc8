//! What comes: tasks that are delivered, tried again by hand, or were kept by a journal.

use std::hash::BuildHasher;

use super::Tasks;
use crate::task::entry::{Entry, State};
use crate::task::failed::FailedTask;
use crate::task::{
    End, JournalOp, Mode, NewTask, Origin, Output, RestoredTask, SubmitError, Submitted, TaskId,
    What,
};

/// Origins of one task.
pub(super) const ORIGINS_MAX: usize = 1024;

impl Tasks {
    /// Takes a task. One whose name and key another has that is not over is that one: its own options do not count, and its origin hears, too.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: nothing has changed.
    pub fn submit(&mut self, now: u64, task: NewTask) -> Result<Submitted, SubmitError> {
        self.advance_to(now);
        let is_durable = task.durable && self.limits.journal;
        if let Some(index) = task
            .key
            .as_deref()
            .and_then(|key| self.find(&task.name, key))
        {
            return self.join(index, task.origin, is_durable);
        }
        if usize::from(task.queue) >= self.spec_count {
            return Err(SubmitError::Queue);
        }
        if task.worker.is_some_and(|id| !self.may_come(id)) {
            return Err(SubmitError::Worker);
        }
        let id = self.next_id;
        let due = self.now.saturating_add(task.delay);
        self.check_room(&task)?;
        let full = SubmitError::Full { what: What::Tasks };
        self.insert(id, task, 0, due).ok_or(full)?;
        self.next_id += 1;
        Ok(Submitted { id, is_new: true })
    }

    /// Whether there can be a worker of that id.
    fn may_come(&self, id: u16) -> bool {
        u32::from(id) < self.limits.worker_ids
    }

    pub(super) fn join(
        &mut self,
        index: u32,
        origin: Origin,
        is_durable: bool,
    ) -> Result<Submitted, SubmitError> {
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
        // Whoever wants it kept is told that it is.
        if is_durable && !std::mem::replace(&mut entry.task.durable, true) {
            let put = JournalOp::Put(entry.id);
            self.outputs.push_back(Output::Journal(put));
        }
        Ok(Submitted {
            id: entry.id,
            is_new: false,
        })
    }

    pub(super) fn check_room(&self, task: &NewTask) -> Result<(), SubmitError> {
        let queue = self.queues.get(usize::from(task.queue));
        if queue.is_some_and(|queue| !queue.is_bounded) {
            return Ok(());
        }
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
    pub(super) fn insert(
        &mut self,
        id: TaskId,
        mut task: NewTask,
        attempts: u32,
        due: u64,
    ) -> Option<()> {
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

    /// Submits a failed task anew, under its id, for nobody. False when there is none, or no room for it.
    pub fn retry(&mut self, now: u64, id: TaskId) -> bool {
        self.advance_to(now);
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

    /// Takes what a journal had kept, beyond the limits too, in the order of when it was due. Ids go on after the highest of them. What has an id that is there
    /// is left out, what has no queue is in the default one, and what is for a worker that never comes is for any.
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
            // The configuration may have changed.
            task.worker.take_if(|id| !self.may_come(*id));
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

    pub(super) fn hash(&self, name: &str, key: &str) -> u64 {
        self.hasher.hash_one((name, key))
    }

    pub(super) fn find(&self, name: &str, key: &str) -> Option<u32> {
        let is_it = |&index: &u32| {
            self.entries.get(index).is_some_and(|entry| {
                &*entry.task.name == name && entry.task.key.as_deref() == Some(key)
            })
        };
        self.keys.find(self.hash(name, key), is_it).copied()
    }

    pub(super) fn forget_key(&mut self, index: u32) {
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
}
