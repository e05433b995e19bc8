//! The queues and the failed tasks, for those who look after a server.

use serde::Serialize;
use sluice_core::task::TaskId;

use crate::server::Server;

/// The queues and the failed tasks of a server.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskList {
    /// In the order of the configuration.
    pub queues: Vec<QueueInfo>,
    /// Those that are kept, the oldest first.
    pub failed: Vec<FailedInfo>,
}

/// A queue.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// Tasks that wait for a worker.
    pub waiting: usize,
    /// Tasks that wait for their time.
    pub delayed: usize,
    /// Tasks in the hands of workers.
    pub running: usize,
    /// Tasks that are done.
    pub done: u64,
    /// Tasks that have failed.
    pub failed: u64,
    /// Tries that have failed while others were left.
    pub retried: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
}

/// A task that has failed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedInfo {
    /// Its id.
    pub id: TaskId,
    /// What was called.
    pub name: String,
    /// The name of its queue.
    pub queue: String,
    /// Tries that had begun.
    pub attempts: u32,
    /// How it failed, as TASK_RESULT records have it.
    pub end: u8,
    /// The error as JavaScript has written it, if there is one.
    pub error: Option<String>,
    /// When, Unix ms.
    pub failed_at: i64,
}

impl Server {
    /// The queues, and the tasks that have failed.
    pub fn task_list(&self) -> TaskList {
        let state = self.shared.tasks.lock();
        let queues = state.tasks.stats().queues;
        let name = |index: u16| {
            queues
                .get(usize::from(index))
                .map_or_else(String::new, |(name, _)| name.clone())
        };
        let started = self.shared.started_unix_ms() as i64;
        let failed = state
            .tasks
            .failed()
            .map(|task| FailedInfo {
                id: task.id,
                name: task.task.name.to_string(),
                queue: name(task.task.queue),
                attempts: task.attempts,
                end: task.end.code(),
                error: (!task.error.is_empty())
                    .then(|| String::from_utf8_lossy(&task.error).into_owned()),
                failed_at: started.saturating_add(task.at),
            })
            .collect();
        drop(state);
        let queues = queues
            .iter()
            .take(usize::from(self.shared.tasks.cron_queue))
            .map(|(name, counts)| QueueInfo {
                name: name.clone(),
                waiting: counts.waiting,
                delayed: counts.delayed,
                running: counts.running,
                done: counts.done,
                failed: counts.failed,
                retried: counts.retried,
                cancelled: counts.cancelled,
            })
            .collect();
        TaskList { queues, failed }
    }
}
