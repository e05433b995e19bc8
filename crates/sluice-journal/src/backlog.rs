//! What waits for the thread of a journal, and what it says about itself.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::JournalError;
use crate::log::Op;

#[derive(Default)]
pub(crate) struct Backlog {
    /// Guards what follows; held for no longer than it takes to add to it or to take it.
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) ops: Vec<Op>,
    pub(crate) bytes: usize,
    /// The last ticket given.
    pub(crate) ticket: u64,
    pub(crate) is_closing: bool,
    /// Set once; nothing is stored any more.
    pub(crate) broken: Option<JournalError>,
    sleeps: bool,
}

impl Backlog {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the thread have what was added.
    pub(crate) fn wake(&self, mut state: MutexGuard<'_, State>) {
        let sleeps = std::mem::take(&mut state.sleeps);
        drop(state);
        if sleeps {
            self.news.notify_one();
        }
    }

    /// What has come, in place of `ops`; waits for it, or for so long. The last ticket, and whether nothing will come any more.
    pub(crate) fn take(&self, ops: &mut Vec<Op>, wait: Option<Duration>) -> (u64, bool) {
        let mut state = self.lock();
        while state.ops.is_empty() && !state.is_closing {
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
        std::mem::swap(ops, &mut state.ops);
        state.bytes = 0;
        (state.ticket, state.is_closing)
    }
}
