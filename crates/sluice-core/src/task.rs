//! Tasks without threads and without a clock: [`Tasks`] says which worker is to run what and who is to hear of it; whoever calls it says what
//! time it is, and carries what it says.
//!
//! ```text
//!                 due             assigned             begin            end: done
//!  ──▶ Delayed ───────▶ Queued ─────────────▶ in a ───────────▶ begun ────────────▶ Done
//!         ▲               ▲                  worker's hands       │
//!         │               ├───── its worker dies ──┘              ├─ last try, or nobody knows it: Failed
//!         └───────────────┴── back-off, and tries are left ───────┘
//!                                       (fails, times out, its worker dies)
//! ```
//!
//! At any place of that a task can be cancelled. What a task carries are bytes that only JavaScript understands.
//!
//! A call counts as a try once its worker has begun it. A call whose task is cancelled or has timed out while it runs keeps its place in the worker, and
//! in the bound of its queue, until its handler ends or the worker is gone: the handler goes on, whatever the task does.

mod backoff;
mod entry;
mod failed;
mod hands;
mod id_table;
mod queue;
mod rate;
mod ready;
mod stored;
mod tasks;

use std::sync::Arc;

use crate::timer::Calling;

use crate::id::WorkerSlot;

pub use backoff::Backoff;
pub use failed::FailedTask;
pub use queue::{QueueCounts, QueueSpec};
pub use rate::Rate;
pub use stored::StoredError;
pub use tasks::Tasks;

/// Names a task, for users too; fits in 53 bits and is never used again.
pub type TaskId = u64;

/// Names a call of a task in the hands of a worker; fits in 53 bits and is never used again.
pub type CallId = u64;

/// Bytes that only JavaScript understands.
pub type Payload = Arc<[u8]>;

/// A set of workers: 0 those that serve, 1 task workers, 2 cron, 3 those that run tasks of no queue, from 4 on those of a queue of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u16);

/// How much may be kept at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tasks that are not over, those whose `finish` or `failed` is to run yet included.
    pub tasks: usize,
    /// Bytes of their inputs, keys and results. Failed tasks that are kept have as many for themselves.
    pub bytes: usize,
    /// Failed tasks that are kept; beyond it the oldest is forgotten.
    pub keep_failed: usize,
    /// Whether [`Output::Journal`] is wanted, for durable tasks.
    pub journal: bool,
    /// Ids of workers are below this.
    pub worker_ids: u32,
    /// Milliseconds that a task for one worker alone waits for it while it is not there.
    pub pinned_wait: u64,
}

/// Who wants a task, and hears how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Nobody,
    /// A worker, while it is there.
    Worker {
        /// Its slot.
        slot: WorkerSlot,
        /// Of its slot, to tell it from who had the slot before.
        generation: u32,
    },
    /// A part of the core, which knows what the number means. Such a task is not kept when it fails.
    Inner(u64),
}

/// A task that is wanted.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// What is to be called.
    pub name: Arc<str>,
    /// What with.
    pub input: Payload,
    /// The index of its queue.
    pub queue: u16,
    /// Higher ones go first; those of one priority in the order in which they came.
    pub priority: i32,
    /// Milliseconds until it may run.
    pub delay: u64,
    /// How often it may be tried in all; 0 is 1.
    pub tries: u32,
    /// The wait before it is tried again.
    pub backoff: Backoff,
    /// Milliseconds that a try may take from its begin on; 0: any.
    pub timeout: u64,
    /// While a task of this name and key is not over, this one is that one.
    pub key: Option<Box<str>>,
    /// The id of the only worker that may run it, whatever the pool of its queue. It waits until that worker is there, up to [`Limits::pinned_wait`].
    pub worker: Option<u16>,
    /// Whether its result is to be handed to its origin's worker, or to any of pool 0 if that is gone.
    pub has_finish: bool,
    /// Whether its error is to be handed to a worker of its queue's pool.
    pub has_failed: bool,
    /// Whether it outlives the process, where there is a journal.
    pub durable: bool,
    /// Who wants it.
    pub origin: Origin,
}

impl NewTask {
    /// A task with nothing said about it: at once, once, in the first queue, for nobody.
    pub fn new(name: Arc<str>, input: Payload) -> Self {
        Self::called(name, input, Calling::default())
    }

    /// A task that is called so: at once, for nobody.
    pub fn called(name: Arc<str>, input: Payload, calling: Calling) -> Self {
        let Calling {
            queue,
            priority,
            tries,
            backoff,
            timeout,
            worker,
            has_finish,
            has_failed,
        } = calling;
        Self {
            name,
            input,
            queue,
            priority,
            delay: 0,
            tries,
            backoff,
            timeout,
            key: None,
            worker,
            has_finish,
            has_failed,
            durable: false,
            origin: Origin::Nobody,
        }
    }

    /// Bytes that it has of [`Limits::bytes`].
    fn bytes(&self) -> usize {
        let key = self.key.as_ref().map_or(0, |key| key.len());
        self.input.len().saturating_add(key)
    }
}

/// What came of submitting a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The task.
    pub id: TaskId,
    /// False: there was one of that key.
    pub is_new: bool,
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// [`Limits::tasks`].
    Tasks,
    /// [`Limits::bytes`].
    Bytes,
    /// Origins of one task that share it by its key: 1024.
    Origins,
}

/// Why a task is not taken. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// A bound is reached.
    Full {
        /// Which.
        what: What,
    },
    /// There is no queue of that index.
    Queue,
    /// There is never a worker of that id.
    Worker,
}

/// What came of cancelling a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// There is none of that id, or it is over.
    Unknown,
    /// It does not begin any more.
    Done,
    /// It is over for its origins; its handler runs on, and is told by [`Output::Abort`].
    Running,
}

/// Where a task is that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It waits for a worker.
    Queued,
    /// It waits for its time.
    Delayed,
    /// It is in a worker's hands.
    Running,
}

/// What a call is to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The task's handler.
    Run,
    /// Its `finish`, with the result.
    Finish,
    /// Its `failed`, with the error of the last try.
    Failed,
}

/// How a call ended, as its worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its handler returned.
    Done,
    /// Its handler threw.
    Failed,
    /// The worker has no task of that name.
    Unknown,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its handler returned.
    Done,
    /// Its handler threw, in its last try.
    Failed,
    /// There was no task of that name in the worker.
    Unknown,
    /// Its last try took too long.
    TimedOut,
    /// The worker of its last try died, or the only one that may run it did not come.
    WorkerLost,
    /// It was cancelled.
    Cancelled,
    /// The server stops, and it could not be run any more. A durable one goes on when there is a server again.
    Stopped,
}

impl End {
    /// Its number, in TASK_RESULT records and in the journal.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Unknown => 2,
            Self::TimedOut => 3,
            Self::WorkerLost => 4,
            Self::Cancelled => 5,
            Self::Stopped => 6,
        }
    }

    /// Whether tasks that end so are kept as failed.
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Unknown | Self::TimedOut | Self::WorkerLost
        )
    }
}

/// Why a handler is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its task was cancelled.
    Cancelled,
    /// It took too long.
    TimedOut,
}

/// What the journal is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalOp {
    /// Keep what [`Tasks::stored`] says of this task, in place of what it said before. When it says nothing the task is gone by now: a
    /// [`Delete`](Self::Delete) follows.
    Put(TaskId),
    /// Forget it.
    Delete(TaskId),
}

/// What is to be done next; see [`Tasks::next_output`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Hand a call to a worker. Every call is followed by one [`Released`](Self::Released) of its slot, however it leaves the worker's hands.
    Call {
        /// The worker.
        slot: WorkerSlot,
        /// Its call.
        call: CallId,
        /// The task.
        task: TaskId,
        /// What to call.
        mode: Mode,
        /// 1 for the first try. Of `Finish` and `Failed` the last one.
        attempt: u32,
        /// How many there may be.
        tries: u32,
        /// The task's name.
        name: Arc<str>,
        /// What the task was submitted with.
        input: Payload,
        /// The result for `Finish`, the error for `Failed`; empty for `Run`, and for an error without bytes.
        extra: Payload,
        /// How the task has ended: [`End::Done`] but for `Failed`, whose error has no bytes if it timed out or its worker died.
        end: End,
        /// Who submitted it first.
        origin: Origin,
    },
    /// Tell somebody how a task ended; never [`Origin::Nobody`], and no worker that is known to be gone.
    Result {
        /// Whom.
        origin: Origin,
        /// Which.
        task: TaskId,
        /// How.
        end: End,
        /// Tries that had begun.
        attempts: u32,
        /// The result or the error; empty if there is none.
        bytes: Payload,
    },
    /// Tell somebody how far a task is.
    Progress {
        /// Whom.
        origin: Origin,
        /// Which.
        task: TaskId,
        /// How far.
        bytes: Payload,
    },
    /// A handler that has begun is to stop: nobody waits for it any more.
    Abort {
        /// Its worker.
        slot: WorkerSlot,
        /// Its call.
        call: CallId,
        /// Why.
        why: Why,
    },
    /// The worker has one call less in its hands.
    Released {
        /// Which.
        slot: WorkerSlot,
    },
    /// Only with [`Limits::journal`], for durable tasks.
    Journal(JournalOp),
}

/// What has happened so far, and what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tasks that [`Limits::tasks`] counts.
    pub tasks: usize,
    /// Bytes that [`Limits::bytes`] counts.
    pub bytes: usize,
    /// Failed tasks that are kept.
    pub kept: usize,
    /// Calls in the hands of workers, also those whose task is over or waits again.
    pub handed: usize,
    /// Calls of `finish` and `failed` that wait or run.
    pub after: usize,
    /// Of all queues together.
    pub total: QueueCounts,
    /// Of each queue, by its index: its name and counts.
    pub queues: Vec<(String, QueueCounts)>,
}

/// What a journal keeps of a task. Times are of the clock that `now` is of everywhere.
#[derive(Clone, Copy, Debug)]
pub struct StoredTask<'a> {
    /// The task.
    pub id: TaskId,
    /// What it was submitted with.
    pub task: &'a NewTask,
    /// The name of its queue, which is the same one after a change of the configuration.
    pub queue_name: &'a str,
    /// When it may run (next); of one that waits or runs, some time before now.
    pub due: i64,
    /// Tries that have failed.
    pub attempts: u32,
    /// Of one that has failed for good.
    pub failure: Option<(End, &'a Payload, i64)>,
}

/// What a journal had kept, to be [restored](Tasks::restore). Times are of the clock that `now` is of everywhere, and negative before its begin.
#[derive(Clone, Debug)]
pub struct RestoredTask {
    /// The task.
    pub id: TaskId,
    /// See [`NewTask`]; its delay is not looked at, its origin is nobody, and it is durable.
    pub task: NewTask,
    /// When it may run.
    pub due: i64,
    /// Tries that have failed.
    pub attempts: u32,
    /// How, with what error and when it failed for good.
    pub failure: Option<(End, Payload, i64)>,
}
