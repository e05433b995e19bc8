//! What the threads of a journal tell whoever uses it.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::backlog::Backlog;
use crate::error::JournalError;
use crate::journal::{Event, Ticket};
use crate::stats::Counts;

/// What became of puts.
pub(crate) enum Step {
    /// They are written.
    Committed {
        /// The last of them.
        upto: Ticket,
        /// What they had of the backlog.
        bytes: usize,
    },
    /// They are not.
    Refused {
        after: Ticket,
        upto: Ticket,
        ids: Vec<u64>,
        error: JournalError,
        bytes: usize,
    },
    /// Nothing is written any more.
    Broken(io::Error),
}

impl Step {
    /// Whether it is said only of what is on the disk.
    pub(crate) fn waits(&self) -> bool {
        matches!(self, Self::Committed { .. })
    }
}

pub(crate) struct Announcer<F> {
    backlog: Arc<Backlog>,
    path: PathBuf,
    pub(crate) counts: Arc<Counts>,
    /// Held while it is called: one event at a time.
    on_event: Mutex<F>,
}

impl<F: FnMut(Event)> Announcer<F> {
    pub(crate) fn new(
        backlog: Arc<Backlog>,
        path: PathBuf,
        counts: Arc<Counts>,
        on_event: F,
    ) -> Self {
        Self {
            backlog,
            path,
            counts,
            on_event: Mutex::new(on_event),
        }
    }

    /// Says it, unless nothing is acknowledged any more.
    pub(crate) fn say(&self, step: Step) {
        match step {
            Step::Committed { upto, bytes } => {
                self.backlog.done(bytes);
                self.tell(Event::Committed { upto });
            }
            Step::Refused {
                after,
                upto,
                ids,
                error,
                bytes,
            } => {
                self.backlog.done(bytes);
                let refused = ids.len() as u64;
                self.counts.refused.fetch_add(refused, Ordering::Relaxed);
                self.tell(Event::Refused {
                    after,
                    upto,
                    ids,
                    error,
                });
            }
            Step::Broken(error) => self.breaks(error),
        }
    }

    fn tell(&self, event: Event) {
        let mut on_event = self.on_event.lock().unwrap_or_else(PoisonError::into_inner);
        if self.backlog.lock().broken.is_none() {
            on_event(event);
        }
    }

    /// Nothing is stored any more.
    pub(crate) fn breaks(&self, error: io::Error) {
        let error = JournalError::Broken {
            path: self.path.clone(),
            source: Arc::new(error),
        };
        let mut on_event = self.on_event.lock().unwrap_or_else(PoisonError::into_inner);
        if self.backlog.breaks(&error) {
            on_event(Event::Broken { error });
        }
    }
}
