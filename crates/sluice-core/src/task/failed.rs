//! Tasks that have failed for good, kept to be looked at and tried again: the newest ones, within their bounds.

use std::collections::VecDeque;

use super::{End, NewTask, Payload, TaskId};

/// A task that has failed for good.
#[derive(Clone, Debug)]
pub struct FailedTask {
    /// The task.
    pub id: TaskId,
    /// What it was submitted with. Its origin has heard of it.
    pub task: NewTask,
    /// Tries that had begun.
    pub attempts: u32,
    /// How it failed.
    pub end: End,
    /// With what error; empty if it has none.
    pub error: Payload,
    /// When, by the clock that `now` is of; negative if that was before the clock began.
    pub at: i64,
}

impl FailedTask {
    fn bytes(&self) -> usize {
        self.task.bytes() + self.error.len()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Failed {
    /// The oldest first.
    tasks: VecDeque<FailedTask>,
    bytes: usize,
    tasks_max: usize,
    bytes_max: usize,
}

impl Failed {
    pub(super) fn new(tasks_max: usize, bytes_max: usize) -> Self {
        Self {
            tasks: VecDeque::new(),
            bytes: 0,
            tasks_max,
            bytes_max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &FailedTask> {
        self.tasks.iter()
    }

    pub(super) fn push(&mut self, task: FailedTask) {
        self.bytes += task.bytes();
        self.tasks.push_back(task);
    }

    /// The oldest one, while there are too many.
    pub(super) fn evict(&mut self) -> Option<FailedTask> {
        if self.tasks.len() <= self.tasks_max && self.bytes <= self.bytes_max {
            return None;
        }
        let task = self.tasks.pop_front()?;
        self.bytes -= task.bytes();
        Some(task)
    }

    /// One that has failed lately is found at once.
    pub(super) fn get(&self, id: TaskId) -> Option<&FailedTask> {
        self.tasks.iter().rev().find(|task| task.id == id)
    }

    pub(super) fn remove(&mut self, id: TaskId) -> Option<FailedTask> {
        let index = self.tasks.iter().position(|task| task.id == id)?;
        let task = self.tasks.remove(index)?;
        self.bytes -= task.bytes();
        Some(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: TaskId, bytes: usize) -> FailedTask {
        FailedTask {
            id,
            task: NewTask::new("task".into(), vec![0; bytes].into()),
            attempts: 1,
            end: End::Failed,
            error: Payload::from(&b"!"[..]),
            at: 0,
        }
    }

    fn ids(failed: &Failed) -> Vec<TaskId> {
        failed.iter().map(|task| task.id).collect()
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_they_are_too_long() {
        let mut failed = Failed::new(3, 100);
        for id in 1..=4 {
            failed.push(task(id, 9));
        }
        assert_eq!(failed.evict().map(|task| task.id), Some(1));
        assert!(failed.evict().is_none());
        failed.push(task(5, 89));
        assert_eq!(failed.evict().map(|task| task.id), Some(2));
        assert_eq!(failed.evict().map(|task| task.id), Some(3));
        assert!(failed.evict().is_none());
        assert_eq!(ids(&failed), [4, 5]);
        failed.push(task(6, 100));
        while failed.evict().is_some() {}
        assert_eq!((failed.len(), failed.bytes), (0, 0));
    }

    #[test]
    fn one_is_found_by_its_id_and_removed() {
        let mut failed = Failed::new(3, 100);
        for id in 1..=3 {
            failed.push(task(id, 10));
        }
        assert_eq!(failed.get(2).map(|task| task.id), Some(2));
        assert_eq!(failed.remove(2).map(|task| task.id), Some(2));
        assert!(failed.get(2).is_none() && failed.remove(2).is_none());
        assert_eq!((ids(&failed), failed.bytes), (vec![1, 3], 22));
    }
}
