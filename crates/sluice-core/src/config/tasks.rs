use serde::Deserialize;

/// Tasks: where they run, and how many may wait.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TasksConfig {
    /// Workers that run tasks and nothing else, 0 to 128; with 0 the workers that serve run them. Default 0.
    pub workers: u16,
    /// Calls in the hands of one task worker at once, 1 to 256. Default 16.
    pub concurrency: u32,
    /// How many there may be at once, waiting, delayed and running, 0 to 16 777 216. Default 100 000.
    pub max: u32,
    /// Bytes of their inputs, 0 to 4 GiB - 1. Default 64 MiB.
    pub bytes: u32,
    /// How many failed ones are kept, 0 to 1 000 000. Default 1000.
    pub keep_failed: u32,
    /// Queues, at most 256; the first is the one of tasks that name none. Empty (default): that one alone.
    pub queues: Vec<QueueConfig>,
    /// Ids of workers and processes are below this. Default 65 536: all that there can be.
    pub worker_ids: u32,
    /// Where durable tasks are kept; `None` (default): tasks end with the process.
    pub durable: Option<DurableConfig>,
}

/// Where tasks are kept that are to outlive the process.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DurableConfig {
    /// The file.
    pub path: String,
    /// When a task counts as stored.
    pub fsync: FsyncConfig,
}

/// When something counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FsyncConfig {
    /// When the disk has it.
    Always,
    /// When the system has it, which gives it to the disk every second.
    Interval,
}

/// A queue of tasks.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QueueConfig {
    /// Its name, 1 to 255 bytes.
    pub name: String,
    /// The workers that run its tasks: 0 those that serve, 1 the task workers, 4 and more workers of its own.
    pub pool: u16,
    /// How many of its tasks run at once in the whole server; 0 (default): no bound.
    #[serde(default)]
    pub concurrency: u32,
    /// How many of its tasks may begin in a time; `None` (default): no bound.
    #[serde(default)]
    pub rate: Option<RateConfig>,
}

/// So many in so much time.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateConfig {
    /// How many, 1 to 1 000 000.
    pub limit: u32,
    /// Milliseconds, 1 to 2 147 483 647.
    pub per: u64,
}

impl Default for TasksConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            concurrency: 16,
            max: 100_000,
            bytes: 64 * 1024 * 1024,
            keep_failed: 1000,
            worker_ids: 65_536,
            queues: Vec::new(),
            durable: None,
        }
    }
}
