//! The thread that writes: what comes is with the system as soon as it has written what came before.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::announce::{Announcer, Step};
use crate::backlog::{Backlog, Taken};
use crate::error::JournalError;
use crate::journal::{Event, Fsync, Ticket};
use crate::log::{Log, LogError, Op};
use crate::syncer::Unsynced;

/// After so long deletes that the disk refused are tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Room for operations that is kept for the next ones.
const OPS_KEPT: usize = 1 << 14;

pub(crate) struct Writer<F> {
    pub(crate) log: Log,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) unsynced: Arc<Unsynced>,
    pub(crate) announcer: Arc<Announcer<F>>,
    pub(crate) path: PathBuf,
    pub(crate) fsync: Fsync,
    /// The last ticket that something was said about.
    pub(crate) done: Ticket,
    pub(crate) is_broken: bool,
}

impl<F: FnMut(Event)> Writer<F> {
    pub(crate) fn run(mut self) {
        let mut ops = Vec::new();
        // Deletes that were refused, of what is there.
        let mut again: Vec<Op> = Vec::new();
        self.count();
        loop {
            let wait = (!again.is_empty()).then_some(AGAIN);
            let taken = self.backlog.take(&mut ops, wait);
            self.is_broken |= taken.is_broken;
            // Then it only keeps the file locked: what is in it runs in this process.
            if !self.is_broken {
                if !again.is_empty() {
                    again.append(&mut ops);
                    std::mem::swap(&mut ops, &mut again);
                }
                self.write(&mut ops, &mut again, &taken);
            } else {
                again = Vec::new();
            }
            ops.clear();
            ops.shrink_to(OPS_KEPT);
            if taken.is_closing {
                if !self.is_broken {
                    self.log.trim();
                }
                return self.unsynced.close();
            }
        }
    }

    /// Writes it, and says what came of it; deletes are tried again.
    fn write(&mut self, ops: &mut Vec<Op>, again: &mut Vec<Op>, taken: &Taken) {
        let &Taken { ticket, bytes, .. } = taken;
        match self.log.commit(ops) {
            Ok(has_written) => {
                if has_written {
                    self.unsynced.wrote();
                    let commits = &self.announcer.counts.commits;
                    commits.fetch_add(1, Ordering::Relaxed);
                    self.count();
                }
                if ticket > self.done {
                    self.done = ticket;
                    self.say(Step::Committed {
                        upto: ticket,
                        bytes,
                    });
                }
            }
            Err(LogError::Refused(error)) => {
                self.failed();
                let error = JournalError::system("write to", &self.path, error);
                let puts = ops.iter().filter(|op| matches!(op, Op::Put(..)));
                let ids = puts.map(Op::id).collect();
                if ticket > self.done {
                    let after = std::mem::replace(&mut self.done, ticket);
                    self.say(Step::Refused {
                        after,
                        upto: ticket,
                        ids,
                        error,
                        bytes,
                    });
                }
                // Of what is not there nothing is to be deleted: a disk that stays full does not make them pile up.
                let deletes = ops.drain(..).filter(|op| matches!(op, Op::Delete(_)));
                again.extend(deletes.filter(|op| self.log.has(op.id())));
                return;
            }
            Err(LogError::Broken(error)) => return self.breaks(error),
        }
        self.put_anew();
        if !self.is_broken && self.log.is_stale() {
            let backlog = Arc::clone(&self.backlog);
            if self.log.write_anew(move || backlog.poke()).is_err() {
                self.failed();
            }
        }
    }

    /// Puts the file that was written anew in the place of the other, when it is done.
    fn put_anew(&mut self) {
        match self.log.put_anew() {
            Ok(false) => {}
            Ok(true) => {
                self.unsynced.replaced(self.log.file());
                let rewrites = &self.announcer.counts.rewrites;
                rewrites.fetch_add(1, Ordering::Relaxed);
                self.count();
            }
            // There is what there was, and it is tried again when the file is half as long again.
            Err(LogError::Refused(_)) => self.failed(),
            Err(LogError::Broken(error)) => self.breaks(error),
        }
    }

    /// With [`Fsync::Always`] behind what is not on the disk yet.
    fn say(&self, step: Step) {
        match self.fsync {
            Fsync::Always => self.unsynced.say(step),
            Fsync::Interval(_) => self.announcer.say(step),
        }
    }

    fn breaks(&mut self, error: std::io::Error) {
        self.is_broken = true;
        self.failed();
        self.say(Step::Broken(error));
    }

    fn failed(&self) {
        let failed = &self.announcer.counts.failed_writes;
        failed.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) {
        let counts = &self.announcer.counts;
        let (bytes, records, record_bytes) = self.log.size();
        counts.bytes.store(bytes, Ordering::Relaxed);
        counts.records.store(records, Ordering::Relaxed);
        counts.record_bytes.store(record_bytes, Ordering::Relaxed);
    }
}
