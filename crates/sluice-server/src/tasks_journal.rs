//! The journal of durable tasks, for those who look after a server.

use serde::Serialize;
use sluice_journal::JournalStats;

/// What the journal of durable tasks has done since the start, and what is in it.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TasksJournal {
    /// Bytes of the file.
    pub bytes: u64,
    /// Tasks in it, failed ones that are kept included.
    pub records: u64,
    /// Bytes of those.
    pub record_bytes: u64,
    /// What waits to be written.
    pub waiting: usize,
    /// Bytes that are neither stored nor refused.
    pub waiting_bytes: usize,
    /// Writes to the file: each is all that came while the one before was written.
    pub commits: u64,
    /// How often the disk was waited for.
    pub fsyncs: u64,
    /// How long in all, in milliseconds.
    pub fsync_ms: f64,
    /// Times that the file was written anew, without what is over.
    pub rewrites: u64,
    /// Writes that failed.
    pub failed_writes: u64,
    /// Times that a task was not stored, because a write failed or too much waited.
    pub refused: u64,
    /// Bytes at the end of the file that were no whole write when the server started.
    pub cut: u64,
}

impl From<JournalStats> for TasksJournal {
    fn from(stats: JournalStats) -> Self {
        Self {
            bytes: stats.bytes,
            records: stats.records,
            record_bytes: stats.record_bytes,
            waiting: stats.waiting,
            waiting_bytes: stats.waiting_bytes,
            commits: stats.commits,
            fsyncs: stats.fsyncs,
            fsync_ms: stats.fsync_us as f64 / 1000.0,
            rewrites: stats.rewrites,
            failed_writes: stats.failed_writes,
            refused: stats.refused,
            cut: stats.cut,
        }
    }
}
