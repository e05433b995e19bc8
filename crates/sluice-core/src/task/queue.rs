//! Queues: which workers run their tasks, how many at once and how often.

use super::rate::{Bucket, Rate};
use super::{End, PoolId};

/// A queue that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// For users.
    pub name: String,
    /// Who runs its tasks.
    pub pool: PoolId,
    /// How many run at once, in all workers together; 0: no bound.
    pub concurrency: u32,
    /// How often they begin.
    pub rate: Option<Rate>,
    /// Whether what is submitted to it is refused when there is too much; false where the core itself sees to that.
    pub is_bounded: bool,
}

/// Tasks of a queue: how many there are, and what has happened to them so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// They wait for a worker.
    pub waiting: usize,
    /// They wait for their time.
    pub delayed: usize,
    /// They are in workers' hands.
    pub running: usize,
    /// Submitted; what had the key of another is not counted again.
    pub submitted: u64,
    /// Tries that have begun.
    pub begun: u64,
    /// Ended: done.
    pub done: u64,
    /// Ended: failed, whichever way.
    pub failed: u64,
    /// Of those: nobody knew them.
    pub unknown: u64,
    /// Of those: too slow in the last try.
    pub timed_out: u64,
    /// Of those: the worker of the last try died.
    pub lost: u64,
    /// Ended: cancelled.
    pub cancelled: u64,
    /// Tries that have failed while others were left.
    pub retried: u64,
}

impl QueueCounts {
    pub(super) fn count_end(&mut self, end: End) {
        match end {
            End::Done => self.done += 1,
            End::Cancelled => self.cancelled += 1,
            End::Stopped => {}
            End::Failed | End::Unknown | End::TimedOut | End::WorkerLost => self.failed += 1,
        }
        match end {
            End::Unknown => self.unknown += 1,
            End::TimedOut => self.timed_out += 1,
            End::WorkerLost => self.lost += 1,
            _ => {}
        }
    }

    /// Counts those of another queue in.
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            waiting,
            delayed,
            running,
            submitted,
            begun,
            done,
            failed,
            unknown,
            timed_out,
            lost,
            cancelled,
            retried,
        } = other;
        self.waiting += waiting;
        self.delayed += delayed;
        self.running += running;
        self.submitted += submitted;
        self.begun += begun;
        self.done += done;
        self.failed += failed;
        self.unknown += unknown;
        self.timed_out += timed_out;
        self.lost += lost;
        self.cancelled += cancelled;
        self.retried += retried;
    }
}

/// A queue; what waits in it is in [`Ready`](super::ready::Ready).
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) pool: PoolId,
    concurrency: u32,
    bucket: Option<Bucket>,
    pub(super) is_bounded: bool,
    /// Calls in workers' hands, those included of which the task is not any more.
    held: u32,
    pub(super) counts: QueueCounts,
}

impl Queue {
    pub(super) fn new(spec: QueueSpec) -> Self {
        Self {
            name: spec.name,
            pool: spec.pool,
            concurrency: spec.concurrency,
            bucket: spec.rate.map(Bucket::new),
            is_bounded: spec.is_bounded,
            held: 0,
            counts: QueueCounts::default(),
        }
    }

    /// For calls of `finish` and `failed`, which are not bound further: there are no more of them than tasks.
    pub(super) fn after(pool: PoolId) -> Self {
        Self::new(QueueSpec {
            name: String::new(),
            pool,
            concurrency: 0,
            rate: None,
            is_bounded: false,
        })
    }

    /// Whether one may run more.
    pub(super) fn has_place(&self) -> bool {
        self.concurrency == 0 || self.held < self.concurrency
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// When there will be one.
    pub(super) fn take_token(&mut self, now: u64) -> Result<(), u64> {
        self.bucket
            .as_mut()
            .map_or(Ok(()), |bucket| bucket.take(now))
    }

    pub(super) fn hold(&mut self) {
        self.held += 1;
    }

    pub(super) fn release(&mut self) {
        self.held = self.held.saturating_sub(1);
    }
}
