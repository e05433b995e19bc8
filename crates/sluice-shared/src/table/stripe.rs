//! A stripe: the rows of some buckets, behind one lock, with what is needed to undo the write of a process that was killed.
//!
//! Who makes or removes a row or changes more than one word of it holds the stripe's lock, and then the row's. Who changes one word
//! holds the row's alone, and waits for no stripe meanwhile.

use crate::sync::{AtomicU64, Ordering};

use super::row_lock::RowLock;

/// What a stripe counts. The position of the word in the stripe's cache line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counter {
    Rows = 2,
    Inserts = 3,
    Deletes = 4,
    Expired = 5,
    Evicted = 6,
}

/// What the holder of a stripe's lock is about to do. Whoever takes the lock over from a dead holder finishes or undoes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// Nothing that could be left half done.
    None,
    /// The row is being taken and is not linked yet, or it is being unlinked and is not free yet.
    Owning(u32),
    /// The row is being changed in place; the undo image is what it was.
    Changing(u32),
}

const OWNING: u64 = 1 << 32;
const CHANGING: u64 = 2 << 32;

/// The words of one stripe.
#[derive(Clone, Copy)]
pub(super) struct Stripe<'a>(pub(super) &'a [AtomicU64]);

impl<'a> Stripe<'a> {
    #[inline]
    pub(super) fn lock(self) -> RowLock<'a> {
        RowLock(&self.0[0])
    }

    #[inline]
    pub(super) fn intent(self) -> Intent {
        let word = self.0[1].load(Ordering::Acquire);
        match word & !0xFFFF_FFFF {
            OWNING => Intent::Owning(word as u32),
            CHANGING => Intent::Changing(word as u32),
            _ => Intent::None,
        }
    }

    /// Release, both ways: what was written before is there when the intent is, and what is written after [`Intent::None`]
    /// comes after all that the intent was for.
    #[inline]
    pub(super) fn intend(self, intent: Intent) {
        let word = match intent {
            Intent::None => 0,
            Intent::Owning(row) => OWNING | u64::from(row),
            Intent::Changing(row) => CHANGING | u64::from(row),
        };
        // Release keeps what came before in front of it; the fence keeps what comes after behind it.
        self.0[1].store(word, Ordering::Release);
        crate::sync::fence(Ordering::Release);
    }

    /// Only the holder of the lock counts.
    #[inline]
    pub(super) fn count(self, counter: Counter) {
        let word = &self.0[counter as usize];
        word.store(
            word.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }

    pub(super) fn get(self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Ordering::Relaxed)
    }

    pub(super) fn set_rows(self, rows: u64) {
        self.0[Counter::Rows as usize].store(rows, Ordering::Relaxed);
    }
}
