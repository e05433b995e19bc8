//! What a journal has done, and what is in it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::backlog::Backlog;

/// What a journal has done since it was opened, and what is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Bytes of the file.
    pub bytes: u64,
    /// What is in it that was put and not deleted.
    pub records: u64,
    /// Bytes of that.
    pub record_bytes: u64,
    /// Puts and deletes that wait to be written.
    pub waiting: usize,
    /// Bytes of the puts that are neither stored nor refused.
    pub waiting_bytes: usize,
    /// Writes: each is all that came while the one before was written.
    pub commits: u64,
    /// How often the disk was waited for.
    pub fsyncs: u64,
    /// How long, in microseconds.
    pub fsync_us: u64,
    /// Times that the file was written anew.
    pub rewrites: u64,
    /// Writes that failed.
    pub failed_writes: u64,
    /// Puts that were not stored: for that, or because too much waited.
    pub refused: u64,
    /// Bytes at the end of the file that were no whole commit when it was opened.
    pub cut: u64,
}

/// What the threads count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) bytes: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) record_bytes: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) fsyncs: AtomicU64,
    pub(crate) fsync_us: AtomicU64,
    pub(crate) rewrites: AtomicU64,
    pub(crate) failed_writes: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) cut: AtomicU64,
}

impl Counts {
    pub(crate) fn stats(&self, backlog: &Backlog) -> JournalStats {
        let (waiting, waiting_bytes) = {
            let state = backlog.lock();
            (state.ops.len(), state.bytes)
        };
        // Numbers for people: they need not be of one moment.
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        JournalStats {
            bytes: of(&self.bytes),
            records: of(&self.records),
            record_bytes: of(&self.record_bytes),
            waiting,
            waiting_bytes,
            commits: of(&self.commits),
            fsyncs: of(&self.fsyncs),
            fsync_us: of(&self.fsync_us),
            rewrites: of(&self.rewrites),
            failed_writes: of(&self.failed_writes),
            refused: of(&self.refused),
            cut: of(&self.cut),
        }
    }
}
