//! The thread that waits for the disk, so that the one that writes need not: what the system has been given survives a kill of the process, whether it is
//! on the disk yet or not.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::announce::{Announcer, Step};
use crate::disk::LogFile;

/// What is written and not on the disk, and who is to hear when it is.
pub(crate) struct Unsynced {
    state: Mutex<State>,
    news: Condvar,
}

struct State {
    file: Arc<dyn LogFile>,
    /// When the first of what is not on the disk was written.
    written_at: Option<Instant>,
    /// What is to be said, in this order, of commits after they are on the disk. Puts that this is about count as bytes that wait, so it is bounded.
    steps: Vec<Step>,
    is_closing: bool,
}

impl Unsynced {
    pub(crate) fn new(file: Arc<dyn LogFile>) -> Self {
        Self {
            state: Mutex::new(State {
                file,
                written_at: None,
                steps: Vec::new(),
                is_closing: false,
            }),
            news: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was written to the file.
    pub(crate) fn wrote(&self) {
        let mut state = self.lock();
        if state.written_at.is_none() {
            state.written_at = Some(Instant::now());
            drop(state);
            self.news.notify_one();
        }
    }

    /// Something is to be said when all that was written before is on the disk.
    pub(crate) fn say(&self, step: Step) {
        let mut state = self.lock();
        match (state.steps.last_mut(), step) {
            (
                Some(Step::Committed { upto, bytes }),
                Step::Committed {
                    upto: later,
                    bytes: more,
                },
            ) => {
                *upto = later;
                *bytes += more;
            }
            (_, step) => state.steps.push(step),
        }
        drop(state);
        self.news.notify_one();
    }

    /// There is another file now, with all of that in it, and it is on the disk.
    pub(crate) fn replaced(&self, file: Arc<dyn LogFile>) {
        let mut state = self.lock();
        state.file = file;
        state.written_at = None;
    }

    /// Nothing will be written any more.
    pub(crate) fn close(&self) {
        self.lock().is_closing = true;
        self.news.notify_one();
    }
}

/// The thread.
pub(crate) struct Syncer<F> {
    pub(crate) unsynced: Arc<Unsynced>,
    pub(crate) announcer: Arc<Announcer<F>>,
    /// After so long what was written is on the disk, whether somebody waits for it or not.
    pub(crate) interval: Duration,
}

struct Work {
    /// What has to be on the disk first.
    file: Option<Arc<dyn LogFile>>,
    steps: Vec<Step>,
    is_closing: bool,
}

impl<F: FnMut(crate::Event)> Syncer<F> {
    pub(crate) fn run(self) {
        loop {
            let Work {
                file,
                steps,
                is_closing,
            } = self.wait();
            if let Some(file) = file {
                let begun = Instant::now();
                let synced = file.sync();
                let counts = &self.announcer.counts;
                counts.fsyncs.fetch_add(1, Ordering::Relaxed);
                let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                counts.fsync_us.fetch_add(took, Ordering::Relaxed);
                if let Err(error) = synced {
                    self.announcer.breaks(error);
                }
            }
            for step in steps {
                self.announcer.say(step);
            }
            if is_closing {
                return;
            }
        }
    }

    /// Waits until somebody waits for the disk, or what was written has waited for long enough.
    fn wait(&self) -> Work {
        let mut state = self.unsynced.lock();
        loop {
            let left = state
                .written_at
                .map(|at| self.interval.saturating_sub(at.elapsed()));
            if !state.steps.is_empty() || state.is_closing || left == Some(Duration::ZERO) {
                let is_awaited = state.is_closing || state.steps.iter().any(Step::waits);
                let must = is_awaited || left == Some(Duration::ZERO);
                // What is written from here on may or may not be on the disk with it: it counts for the next time.
                let file =
                    (must && state.written_at.take().is_some()).then(|| Arc::clone(&state.file));
                return Work {
                    file,
                    steps: std::mem::take(&mut state.steps),
                    is_closing: state.is_closing,
                };
            }
            let news = &self.unsynced.news;
            state = match left {
                Some(left) => {
                    news.wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => news.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}
