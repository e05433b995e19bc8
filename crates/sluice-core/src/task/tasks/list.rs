//! What is told about tasks.

use super::Tasks;
use crate::task::entry::State;
use crate::task::failed::FailedTask;
use crate::task::{Stats, Status, StoredTask, TaskId};

impl Tasks {
    /// Where a task is; `None` when there is none of that id, or it is over.
    pub fn status(&self, id: TaskId) -> Option<Status> {
        let entry = self.entries.get(*self.ids.get(id)?)?;
        Some(match entry.state {
            State::Delayed => Status::Delayed,
            State::Queued => Status::Queued,
            State::Handed(_) | State::Begun(_) => Status::Running,
        })
    }

    /// Failed tasks that are kept, the oldest first.
    pub fn failed(&self) -> impl Iterator<Item = &FailedTask> {
        self.failed.iter()
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
}
