//! The shared timers: a clock and a thread for [`NamedTimers`], which decides everything.
//!
//! The thread `sluice-timer` starts with the first timer and sleeps until the next one is due. What came due the reactor [`CARRIER`]
//! hands to workers (`engine/call.rs`), all of it with one message and one wake per worker.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sluice_core::id::WorkerSlot;
use sluice_core::timer::{
    CallCounts, CallId, Clear, Due, Full, NamedTimers, NewTimer, Outcome, TimerLimits,
};

use crate::reactor::Message;
use crate::server::{Server, Shared};
use crate::wake::lock;

/// The reactor that hands calls to workers.
pub(crate) const CARRIER: u8 = 0;
/// Longest input of a call.
pub const INPUT_MAX: usize = 64 * 1024;
/// Longest name of a timer or a task, in bytes of UTF-8.
pub const NAME_MAX: usize = 255;
/// Names collected before others get their turn with the timers.
const NAMES_AT_ONCE: usize = 4096;

/// Why a timer was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// There are as many as `timers.max` allows, or they carry as much as `timers.bytes` does.
    #[error("there are as many timers as `timers.max` and `timers.bytes` allow")]
    Full,
    /// The name of the timer or of its task has no or more than [`NAME_MAX`] bytes.
    #[error("a name has 1 to 255 bytes")]
    Name,
    /// The input has more than [`INPUT_MAX`] bytes.
    #[error("the input has {0} bytes, more than 65536")]
    Input(usize),
    /// The thread could not be started.
    #[error("cannot start the thread of the timers: {0}")]
    Thread(#[source] io::Error),
}

/// What is known of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerInfo {
    /// When it is due next, Unix ms; of one whose call waits for a worker, when it was.
    pub next: u64,
    /// 0 for one that is due once.
    pub interval: u64,
    /// Calls that have begun.
    pub count: u32,
}

/// What [`ServerStats`](crate::ServerStats) has of timers and their calls.
pub(crate) struct TimerStats {
    pub(crate) timers: usize,
    pub(crate) waiting: usize,
    pub(crate) handed: usize,
    pub(crate) counts: CallCounts,
}

/// The timers of a server.
pub(crate) struct Timers {
    started: Instant,
    state: Mutex<State>,
    /// The thread is to look again: something is due earlier, or there is nothing more to do.
    news: Condvar,
}

/// What the mutex guards. Nothing is called, sent or waited for under it, but that a call is copied into a ring: it comes after all others in
/// the order of locks.
struct State {
    timers: NamedTimers,
    thread: Thread,
    /// Until when the thread sleeps, ms; 0: it is awake.
    sleeps_until: u64,
    /// The carrier was told of calls, and has not looked since.
    is_announced: bool,
}

enum Thread {
    None,
    Runs(JoinHandle<()>),
    /// The server has ended.
    Ended,
}

impl Timers {
    pub(crate) fn new(limits: TimerLimits, started: Instant) -> Self {
        Self {
            started,
            state: Mutex::new(State {
                timers: NamedTimers::new(limits),
                thread: Thread::None,
                sleeps_until: 0,
                is_announced: false,
            }),
            news: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Ends the thread. No timer is due any more.
    pub(crate) fn end(&self) {
        let thread = std::mem::replace(&mut self.lock().thread, Thread::Ended);
        self.news.notify_all();
        if let Thread::Runs(thread) = thread {
            // It panics on a bug alone, and then there is nothing to wait for.
            let _ = thread.join();
        }
    }

    pub(crate) fn stats(&self) -> TimerStats {
        let state = self.lock();
        TimerStats {
            timers: state.timers.len(),
            waiting: state.timers.waiting(),
            handed: state.timers.handed(),
            counts: state.timers.counts(),
        }
    }

    /// Takes the calls that wait to workers. `hand_over` gets how many calls each worker has, and the next one with its id; it says who has
    /// it in its ring now. When nobody has, the rest waits, and this is false.
    pub(crate) fn deliver(
        &self,
        mut hand_over: impl FnMut(&NamedTimers, CallId, Due<'_>) -> Option<WorkerSlot>,
    ) -> bool {
        let mut state = self.lock();
        state.is_announced = false;
        let timers = &mut state.timers;
        timers.skip_cleared();
        while let Some(call) = timers.next_call() {
            let Some(slot) = hand_over(timers, timers.next_id(), call) else {
                return false;
            };
            timers.delivered(slot);
            timers.skip_cleared();
        }
        true
    }

    /// See [`NamedTimers::worker_gone`].
    pub(crate) fn worker_gone(&self, slot: WorkerSlot) -> u32 {
        self.lock().timers.worker_gone(slot)
    }

    /// Sleeps until something is due, and tells the carrier; until the end of the server.
    fn run(&self, shared: &Weak<Shared>) {
        let mut state = self.lock();
        while !matches!(state.thread, Thread::Ended) {
            let waiting = state.timers.waiting();
            let now = self.started.elapsed().as_millis() as u64;
            state.timers.tick(now);
            let has_more = state.timers.waiting() > waiting;
            if has_more && !std::mem::replace(&mut state.is_announced, true) {
                drop(state);
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                shared.send(CARRIER, Message::Calls);
                drop(shared);
                state = self.lock();
                // Time has passed.
                continue;
            }
            let next = state.timers.next_due().unwrap_or(u64::MAX);
            if next <= now {
                continue;
            }
            state.sleeps_until = next;
            // A time beyond what the clock can name is none.
            let until = self.started.checked_add(Duration::from_millis(next));
            state = match until {
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    let waited = self.news.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .news
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
            state.sleeps_until = 0;
        }
    }
}

impl Shared {
    /// Tells the carrier, if calls wait and it does not know.
    fn announce_calls(&self, mut state: MutexGuard<'_, State>) {
        let must_tell =
            state.timers.waiting() > 0 && !std::mem::replace(&mut state.is_announced, true);
        drop(state);
        if must_tell {
            self.send(CARRIER, Message::Calls);
        }
    }

    /// A worker has one call less in its hands, and may have nothing any more.
    fn call_is_over(&self, slot: WorkerSlot) {
        if self.workers.unguard(slot) {
            self.drained(slot);
        }
    }

    /// A worker wants to begin a call; false: it is not to.
    pub(crate) fn begin_call(&self, slot: WorkerSlot, id: CallId) -> bool {
        self.timers.lock().timers.begin(slot, id)
    }

    /// A call has come to its end.
    pub(crate) fn end_call(&self, slot: WorkerSlot, id: CallId, outcome: Outcome) {
        let mut state = self.timers.lock();
        let is_over = state.timers.end(slot, id, outcome);
        self.announce_calls(state);
        if is_over {
            self.call_is_over(slot);
        }
    }
}

impl Server {
    /// Sets a timer that is due in `ms`, 1 or more, and with `repeats` every `ms` from then on: `task` is called with `input` in one worker. False,
    /// and nothing changes, when there is one of that name.
    ///
    /// # Errors
    ///
    /// [`SetError`]: nothing is set.
    pub fn set_timer(
        &self,
        name: &str,
        task: &str,
        input: &[u8],
        ms: u64,
        repeats: bool,
    ) -> Result<bool, SetError> {
        let is_name = |name: &str| (1..=NAME_MAX).contains(&name.len());
        if !is_name(name) || !is_name(task) {
            return Err(SetError::Name);
        }
        if input.len() > INPUT_MAX {
            return Err(SetError::Input(input.len()));
        }
        let timers = &self.shared.timers;
        let ms = ms.max(1);
        // The next whole millisecond: it is never due too early.
        let now = timers.started.elapsed().as_micros().div_ceil(1000) as u64;
        let due = now.saturating_add(ms);
        let mut state = timers.lock();
        if matches!(state.thread, Thread::None) {
            let thread = self.start_timers().map_err(SetError::Thread)?;
            state.thread = Thread::Runs(thread);
        }
        let timer = NewTimer {
            name,
            task,
            input,
            due,
            interval: if repeats { ms } else { 0 },
        };
        let is_new = match state.timers.set(&timer) {
            Ok(is_new) => is_new,
            Err(Full) => return Err(SetError::Full),
        };
        let must_wake = is_new && due < state.sleeps_until;
        drop(state);
        if must_wake {
            timers.news.notify_one();
        }
        Ok(is_new)
    }

    fn start_timers(&self) -> io::Result<JoinHandle<()>> {
        let timers = Arc::clone(&self.shared.timers);
        let shared = Arc::downgrade(&self.shared);
        std::thread::Builder::new()
            .name("sluice-timer".to_owned())
            .spawn(move || timers.run(&shared))
    }

    /// Clears a timer: a call of it that has not begun does not begin. False when there is none of that name.
    pub fn clear_timer(&self, name: &str) -> bool {
        let mut state = self.shared.timers.lock();
        let clear = state.timers.clear(name);
        if let Clear::Withdrawn(slot) = clear {
            // Another call may have waited for that place.
            self.shared.announce_calls(state);
            self.shared.call_is_over(slot);
        }
        clear != Clear::Unknown
    }

    /// Clears every timer; how many there were.
    pub fn clear_timers(&self) -> usize {
        let cleared = self.shared.timers.lock().timers.clear_all();
        for &slot in &cleared.withdrawn {
            self.shared.call_is_over(slot);
        }
        cleared.count
    }

    /// Whether there is a timer of that name.
    pub fn has_timer(&self, name: &str) -> bool {
        self.shared.timers.lock().timers.has(name)
    }

    /// What is known of a timer.
    pub fn timer_info(&self, name: &str) -> Option<TimerInfo> {
        let info = self.shared.timers.lock().timers.info(name)?;
        Some(TimerInfo {
            next: self.shared.started_unix_ms().saturating_add(info.due),
            interval: info.interval,
            count: info.count,
        })
    }

    /// The names of all timers, in no order. Those that come and go meanwhile may be among them or not.
    pub fn timer_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut from = Some(0);
        while let Some(at) = from {
            let state = self.shared.timers.lock();
            from = state.timers.names(at, NAMES_AT_ONCE, &mut names);
        }
        names
    }
}
