//! What waits for the threads of a journal, and what they say about it.

use std::collections::HashSet;
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
        drop(state);
        if sleeps {
            self.news.notify_one();
        }
    }

    /// What has come, in place of `ops`; waits for it, or for so long.
    pub(crate) fn take(&self, ops: &mut Vec<Op>, wait: Option<Duration>) -> Taken {
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
}
