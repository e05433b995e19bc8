//! What the core tells the master: rare events, queued until the master takes them.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde::Serialize;

use crate::wake::{WakeFn, lock};

/// One event for the master, as JSON in `takeNotices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Notice {
    /// Nothing is in this draining worker's hands any more.
    Drained {
        /// The worker.
        slot: u16,
    },
    /// The worker has not moved although work waits; it is already written off.
    Stuck {
        /// The worker.
        slot: u16,
        /// How long it has not moved, ms.
        ms: u64,
    },
    /// The worker has detached or died, and everything in its hands is settled.
    Gone {
        /// The worker.
        slot: u16,
        /// Exchanges it held.
        inflight: u32,
        /// Those that went to another worker.
        replayed: u32,
        /// Those that were answered for it.
        refused: u32,
    },
    /// The certificates of a port were read.
    Certificates {
        /// The name of the port.
        port: String,
        /// Why they cannot be used; the port goes on with those it had.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// What is wrong with those in use.
        warnings: Vec<String>,
    },
    /// The worker of a run of a cron job has died.
    CronLost {
        /// The job.
        name: String,
    },
    /// Durable tasks are not stored, or not all of those that were can be read.
    Journal {
        /// What has happened.
        message: String,
    },
    /// After a stop: no connection is left.
    Stopped,
    /// Nothing is in the hands of any worker, and nothing that waits can go to one.
    TasksDone,
    /// A listener cannot be used; its port accepts nothing.
    Failed {
        /// The system's error.
        message: String,
    },
}

/// The queue to the master. Bounded by its sources: a handful per worker life, and the calls that were in its hands.
#[derive(Default)]
pub(crate) struct Notices {
    queue: Mutex<VecDeque<Notice>>,
    /// Called after a push; emptied when the master's environment goes away.
    wake: Mutex<Option<WakeFn>>,
}

impl Notices {
    pub(crate) fn push(&self, notice: Notice) {
        lock(&self.queue).push_back(notice);
        if let Some(wake) = &*lock(&self.wake) {
            wake();
        }
    }

    pub(crate) fn take(&self) -> Vec<Notice> {
        lock(&self.queue).drain(..).collect()
    }

    pub(crate) fn set_wake(&self, wake: Option<WakeFn>) {
        let mut guard = lock(&self.wake);
        if let Some(wake) = &wake
            && !lock(&self.queue).is_empty()
        {
            wake();
        }
        *guard = wake;
    }
}
