//! Looking for the row of a key without any lock.

use crate::sync::Ordering;

use super::key::Key;
use super::row_lock::Held;
use super::row_word::RowState;
use super::{Table, TableError};

/// What one who holds no lock has seen of a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sight {
    /// It has this row, as long as the row's word is as it was seen.
    Row(u32, RowState),
    /// It had none, at one moment at least.
    Nothing,
    /// Somebody writes to a row that may be it.
    Taken(u32, RowState),
    /// Somebody makes or removes rows of its stripe.
    Held(Held),
    /// Somebody did so meanwhile.
    Unclear,
}

impl Table {
    /// Looks for a row. A row that is found proves itself: nobody writes to it, and it has the key. That there is none is proved by
    /// the stripe, which nobody has changed meanwhile.
    #[inline]
    pub(super) fn sight(&self, key: &Key<'_>) -> Sight {
        let bucket = self.geometry.bucket_of(key.hash);
        let stripe = self.geometry.stripe_of(bucket);
        let lock = self.stripe(stripe).lock();
        let stable = lock.look();
        let halves = self.halves();
        let mut at = self.geometry.bucket(bucket);
        let mut steps = 0_u32;
        while let Some(number) = self.follow(halves[at].load(Ordering::Relaxed)) {
            at = self.geometry.link(number);
            if halves[at + 1].load(Ordering::Relaxed) == key.tag() {
                let seen = self.row_word(number).look();
                if seen.key_len() == key.bytes.len() && self.has_key(number, key) {
                    if seen.is(stripe, key.bytes.len()) {
                        return Sight::Row(number, seen);
                    }
                    if seen.slot() != 0 {
                        return Sight::Taken(number, seen);
                    }
                }
            }
            steps += 1;
            // Links of a row that became another stripe's meanwhile could lead in a circle.
            if steps.is_multiple_of(64)
                && (steps > self.geometry.rows || !stable.is_ok_and(|seen| lock.is_unchanged(seen)))
            {
                break;
            }
        }
        match stable {
            Ok(seen) if lock.is_unchanged(seen) => Sight::Nothing,
            Ok(_) => Sight::Unclear,
            Err(held) => Sight::Held(held),
        }
    }

    /// Waits until it is worth to look again.
    #[cold]
    pub(super) fn wait_for_sight(&self, key: &Key<'_>, sight: Sight) -> Result<(), TableError> {
        match sight {
            Sight::Taken(number, seen) => self.wait_for_row(number, seen),
            Sight::Held(held) => self.wait(self.stripe_of(key), held).map(drop),
            Sight::Row(..) | Sight::Nothing | Sight::Unclear => Ok(()),
        }
    }
}
