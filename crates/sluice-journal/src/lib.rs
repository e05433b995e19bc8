//! A journal of things that are to be there after a crash: a log of puts and deletes by id, in one file.
//!
//! ```text
//!  put(id, bytes) ─┐              thread that writes        thread that waits for the disk
//!  put(id, bytes) ─┼─▶ backlog ─▶ one write for all    ───▶ one fsync for all that was written
//!  delete(id) ─────┘              that came meanwhile       meanwhile ─▶ Event::Committed { upto: the last ticket }
//! ```
//!
//! * What comes is with the system as soon as it has written what came before: a kill of the process does not wait for the disk.
//! * What is neither on the disk nor refused is bounded by [`Options::backlog_max`].
//! * A commit is whole or not there: each has a checksum that is chained to the one before. A log that is cut at any byte is read up to its last whole
//!   commit.
//! * [`Journal::open`] writes what it has read into a new file and puts that in place of the old one, so what it returns is on the disk, whatever an
//!   earlier process was told by `fsync`. The same happens, beside what is written meanwhile, when most of the file is about what is deleted.
//! * A write that fails is taken back, and its puts are refused; earlier ones stay. After an `fsync` that failed nobody knows what is on the disk: nothing is
//!   acknowledged from then on, until it is opened again.
//! * The file is locked until the journal is closed, also when it is broken: what is in it may still be run by this process.
#![forbid(unsafe_code)]

mod announce;
mod backlog;
mod disk;
mod error;
mod format;
mod journal;
mod log;
mod read;
mod rewrite;
mod stats;
mod syncer;
mod writer;
mod written;

#[cfg(test)]
mod tests;

pub use error::{Fault, JournalError};
pub use journal::{Event, Fsync, Journal, Opened, Options, Stored, Ticket};
pub use stats::JournalStats;
