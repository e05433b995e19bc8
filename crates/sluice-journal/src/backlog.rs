//! What waits for the threads of a journal, and what they say about it.

use std::collections::HashSet;
use std::hint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::JournalError;
use crate::log::Op;

/// How long the thread looks for more before it sleeps. A sleep and its wake-up take about as much of two threads.
const LOOK: Duration = Duration::from_micros(30);
/// Most occasions that are let pass after looking was in vain.
const SKIPS_MAX: u32 = 255;
/// How long nothing must come before what has come is written: a commit takes a few times as long, whatever is in it.
const PAUSE: Duration = Duration::from_micros(2);
/// Longest time to wait for that.
const GATHER: Duration = Duration::from_micros(100);

#[derive(Default)]
pub(crate) struct Backlog {
    /// Guards what follows; held for no longer than it takes to add to it or to take it.
    state: Mutex<State>,
    news: Condvar,
    /// There is something to take.
    has_news: AtomicBool,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) ops: Vec<Op>,
    /// Bytes of the puts that are neither stored nor refused, those included that are written and not on the disk yet.
    pub(crate) bytes: usize,
    /// The last ticket given.
    pub(crate) ticket: u64,
    /// Ids that were put and not deleted. There is one delete for each, so no more of them wait than things are kept.
    pub(crate) known: HashSet<u64>,
    pub(crate) is_closing: bool,
    /// Set once; nothing is stored any more.
    pub(crate) broken: Option<JournalError>,
    sleeps: bool,
    is_poked: bool,
    /// How many occasions to look were let pass after the last time in vain, and how many of them are left.
    skips: u32,
    skips_left: u32,
}

/// What there is for the thread that writes.
pub(crate) struct Taken {
    /// The last ticket of what was taken.
    pub(crate) ticket: u64,
    /// Of what was taken, and not freed before [`Backlog::done`].
    pub(crate) bytes: usize,
    /// Nothing will come any more.
    pub(crate) is_closing: bool,
    /// Nothing is to be written any more.
    pub(crate) is_broken: bool,
}

impl Backlog {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the thread have what was added.
    pub(crate) fn wake(&self, mut state: MutexGuard<'_, State>) {
        let sleeps = std::mem::take(&mut state.sleeps);
        self.has_news.store(true, Ordering::Release);
        drop(state);
        if sleeps {
            self.news.notify_one();
        }
    }

    /// Lets the thread look, though nothing was added.
    pub(crate) fn poke(&self) {
        let mut state = self.lock();
        state.is_poked = true;
        self.wake(state);
    }

    /// What has come, in place of `ops`; waits for it, for a poke, or for so long.
    pub(crate) fn take(&self, ops: &mut Vec<Op>, wait: Option<Duration>) -> Taken {
        let mut state = self.look();
        while state.ops.is_empty() && !state.is_closing && !state.is_poked {
            state.sleeps = true;
            let Some(wait) = wait else {
                state = self
                    .news
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            (state, _) = self
                .news
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner);
            break;
        }
        state.sleeps = false;
        state.is_poked = false;
        state = self.gather(state);
        self.has_news.store(false, Ordering::Relaxed);
        std::mem::swap(ops, &mut state.ops);
        Taken {
            ticket: state.ticket,
            bytes: ops.iter().map(Op::waiting_bytes).sum(),
            is_closing: state.is_closing,
            is_broken: state.broken.is_some(),
        }
    }

    /// So many bytes do not wait for the disk any more.
    pub(crate) fn done(&self, bytes: usize) {
        if bytes > 0 {
            let mut state = self.lock();
            state.bytes = state.bytes.saturating_sub(bytes);
        }
    }

    /// Nothing is stored any more. False: that was so before.
    pub(crate) fn breaks(&self, error: &JournalError) -> bool {
        let mut state = self.lock();
        if state.broken.is_some() {
            return false;
        }
        state.broken = Some(error.clone());
        state.ops = Vec::new();
        state.bytes = 0;
        state.known = HashSet::new();
        true
    }

    /// Looks whether something comes in a moment, while that has paid.
    fn look(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if !state.ops.is_empty() || state.is_closing || state.is_poked {
            return state;
        }
        if state.skips_left > 0 {
            state.skips_left -= 1;
            return state;
        }
        drop(state);
        let begin = Instant::now();
        while !self.has_news.load(Ordering::Acquire) && begin.elapsed() < LOOK {
            hint::spin_loop();
        }
        let mut state = self.lock();
        state.skips = if state.ops.is_empty() {
            SKIPS_MAX.min(state.skips * 2 + 1)
        } else {
            0
        };
        state.skips_left = state.skips;
        state
    }

    /// Lets what comes at the same time come, too.
    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let begin = Instant::now();
        let mut seen = 0;
        while state.ops.len() > seen && !state.is_closing && begin.elapsed() < GATHER {
            seen = state.ops.len();
            drop(state);
            let pause = Instant::now();
            while pause.elapsed() < PAUSE {
                hint::spin_loop();
            }
            state = self.lock();
        }
        state
    }
}
