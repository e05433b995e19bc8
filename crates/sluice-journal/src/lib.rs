//! A journal of things that are to be there after a crash: a log of puts and deletes by id, in one file, with one thread that writes it.
//!
//! ```text
//!  put(id, bytes) ─┐                      ┌─ one write for all that came meanwhile
//!  put(id, bytes) ─┼─▶ backlog ─▶ thread ─┤
//!  delete(id) ─────┘   (bounded)          └─ one fsync ─▶ Event::Committed { upto: the last ticket }
//! ```
//!
//! * A commit is whole or not there: each has a checksum that is chained to the one before. A log that is cut at any byte is read up to its last whole
//!   commit.
//! * [`Journal::open`] writes what it has read into a new file and puts that in place of the old one, so what it returns is on the disk, whatever an
//!   earlier process was told by `fsync`. The same happens when most of the file is about what is deleted.
//! * A write that fails is taken back, and its puts are refused; earlier ones stay. After an `fsync` that failed nobody knows what is on the disk: nothing is
//!   acknowledged from then on, until it is opened again.
//! * The file is locked while it is open.
#![forbid(unsafe_code)]

mod backlog;
mod disk;
mod error;
mod format;
mod journal;
mod log;
mod read;

#[cfg(test)]
mod tests;

pub use error::{Fault, JournalError};
pub use journal::{Event, Fsync, Journal, Opened, Options, Stored, Ticket};
