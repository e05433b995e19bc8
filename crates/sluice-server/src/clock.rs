//! The thread that wakes when something is due: a timer, a delayed task, a time-out.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::server::Shared;
use crate::wake::lock;

/// Nothing is due.
pub(crate) const NEVER: u64 = u64::MAX;

/// The clock on the wall, Unix ms; one from before 1970 is one that nobody has set.
pub(crate) fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

/// The clock of a server. Times are milliseconds since it began.
pub(crate) struct Clock {
    started: Instant,
    /// Until when the thread sleeps; 0: it is awake.
    sleeps_until: AtomicU64,
    /// The earliest time that somebody has asked for since the thread looked last.
    wanted: AtomicU64,
    has_ended: Mutex<bool>,
    news: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Clock {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            sleeps_until: AtomicU64::new(0),
            wanted: AtomicU64::new(NEVER),
            has_ended: Mutex::new(false),
            news: Condvar::new(),
            thread: Mutex::new(None),
        }
    }

    /// Now, rounded down.
    pub(crate) fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Now, rounded up: what is due so and so long after it is never due too early.
    pub(crate) fn now_or_later(&self) -> u64 {
        self.started.elapsed().as_micros().div_ceil(1000) as u64
    }

    /// The Unix time in milliseconds at which [`now`](Self::now) was 0, as the clock on the wall has it that may have been set since.
    pub(crate) fn epoch(&self) -> i64 {
        unix_ms().saturating_sub(self.now() as i64)
    }

    /// The thread is to look at `due` or before. Cheap when it does so anyway.
    pub(crate) fn wake_by(&self, due: u64) {
        // SeqCst here and in `sleep`: either we see until when it sleeps, or it sees what we want.
        if due >= self.wanted.load(Ordering::SeqCst) {
            return;
        }
        self.wanted.fetch_min(due, Ordering::SeqCst);
        if due < self.sleeps_until.load(Ordering::SeqCst) {
            // Under the mutex, so that it does not fall between its last look and its sleep.
            let _awake = lock(&self.has_ended);
            self.news.notify_one();
        }
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system's, when there is no thread to be had.
    pub(crate) fn start(shared: Weak<Shared>, clock: &std::sync::Arc<Self>) -> io::Result<()> {
        let own = std::sync::Arc::clone(clock);
        let thread = std::thread::Builder::new()
            .name("sluice-timer".to_owned())
            .spawn(move || own.run(&shared))?;
        *lock(&clock.thread) = Some(thread);
        Ok(())
    }

    /// Ends the thread. Nothing is due any more.
    pub(crate) fn end(&self) {
        *lock(&self.has_ended) = true;
        self.news.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            // It panics on a bug alone, and then there is nothing to wait for.
            let _ = thread.join();
        }
    }

    fn run(&self, shared: &Weak<Shared>) {
        loop {
            // What is wanted from here on is looked for below, or wakes us.
            self.wanted.store(NEVER, Ordering::SeqCst);
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let next = shared.run_due(self.now());
            drop(shared);
            if !self.sleep(next) {
                return;
            }
        }
    }

    /// Sleeps until `next`, or until somebody wants something earlier. False: it is over.
    fn sleep(&self, next: u64) -> bool {
        let mut has_ended = lock(&self.has_ended);
        self.sleeps_until.store(next, Ordering::SeqCst);
        while !*has_ended {
            let until = next.min(self.wanted.load(Ordering::SeqCst));
            self.sleeps_until.store(until, Ordering::SeqCst);
            if until <= self.now() {
                break;
            }
            // A time beyond what the clock can name is none.
            has_ended = match self.started.checked_add(Duration::from_millis(until)) {
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    let waited = self.news.wait_timeout(has_ended, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .news
                    .wait(has_ended)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
        self.sleeps_until.store(0, Ordering::SeqCst);
        !*has_ended
    }
}
