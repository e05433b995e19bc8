//! Locks, and what becomes of those whose holders were killed.

use crate::sync::Ordering;

use super::geometry::row;
use super::row_lock::Held;
use super::stripe::{Intent, Stripe};
use super::{Patience, Table, TableError};

/// A stripe's lock, held by the calling thread.
pub(super) struct Guard<'t> {
    pub(super) table: &'t Table,
    pub(super) stripe: u32,
}

impl<'t> Guard<'t> {
    #[inline]
    pub(super) fn words(&self) -> Stripe<'t> {
        self.table.stripe(self.stripe)
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        let words = self.words();
        // Something failed or panicked on the way.
        if words.intent() != Intent::None {
            self.table.recover(self.stripe, self.table.slot);
        }
        words.lock().unlock();
    }
}

impl Table {
    /// Takes the lock of a stripe.
    #[inline]
    pub(super) fn lock(&self, stripe: u32) -> Result<Guard<'_>, TableError> {
        match self.stripe(stripe).lock().try_lock(self.slot) {
            Ok(()) => Ok(Guard {
                table: self,
                stripe,
            }),
            Err(held) => self.lock_slowly(stripe, held),
        }
    }

    #[cold]
    fn lock_slowly(&self, stripe: u32, mut held: Held) -> Result<Guard<'_>, TableError> {
        let lock = self.stripe(stripe).lock();
        let mut patience = Patience::new();
        loop {
            if patience.is_time_to_ask()
                && self.is_dead(held.owner())
                && let Some(guard) = self.take_over(stripe, held)
            {
                return Ok(guard);
            }
            match lock.try_lock(self.slot) {
                Ok(()) => {
                    return Ok(Guard {
                        table: self,
                        stripe,
                    });
                }
                // A free lock that another took in the same moment is no reason to wait for long.
                Err(other) => held = self.next_try(&mut patience, held, other)?,
            }
        }
    }

    /// Takes the lock of a dead holder and mends what it left. `None`: somebody else was faster.
    pub(super) fn take_over(&self, stripe: u32, held: Held) -> Option<Guard<'_>> {
        self.stripe(stripe).lock().steal(held, self.slot).then(|| {
            self.recover(stripe, held.owner());
            self.recovered.fetch_add(1, Ordering::Relaxed);
            self.publish_gap();
            Guard {
                table: self,
                stripe,
            }
        })
    }

    /// Mends what an earlier process with our slot left, before anybody takes its locks for ours.
    pub(super) fn recover_slot(&self) {
        for stripe in 0..self.geometry.stripes {
            let lock = self.stripe(stripe).lock();
            if lock.owner() == self.slot {
                self.recover(stripe, self.slot);
                self.recovered.fetch_add(1, Ordering::Relaxed);
                self.publish_gap();
                lock.unlock();
            }
        }
        for number in 0..self.geometry.rows {
            let seen = self.row_word(number).look();
            // What cannot be had now is mended by who wants it, once this process is dead, too.
            if seen.slot() == self.slot
                && let Some(Ok(guard)) = self.known_stripe(seen).map(|stripe| self.lock(stripe))
            {
                self.release_row(&guard, number, seen);
            }
        }
    }

    /// Takes over what dead processes hold, wherever it is.
    pub(super) fn recover_dead(&self) {
        for stripe in 0..self.geometry.stripes {
            if let Err(held) = self.stripe(stripe).lock().look()
                && self.is_dead(held.owner())
            {
                drop(self.take_over(stripe, held));
            }
        }
    }

    /// Finishes or undoes what the holder of a stripe's lock was at, the process in slot `holder`. Can be killed itself: what it does can
    /// be done again. A row is let go last: while it is held nobody else changes it.
    fn recover(&self, stripe: u32, holder: u16) {
        let words = self.stripe(stripe);
        let mut held = None;
        match words.intent() {
            Intent::Changing(number) if number < self.geometry.rows => {
                self.restore(stripe, number);
                held = Some(number);
            }
            Intent::Owning(number) if number < self.geometry.rows => {
                let seen = self.row_word(number).look();
                if seen.is_free() {
                    self.set_free(number);
                } else if seen.stripe() == Some(stripe) {
                    if !self.rows_of(stripe).any(|linked| linked == number) {
                        self.give_row(number);
                    } else if seen.slot() == holder {
                        held = Some(number);
                    }
                }
            }
            _ => {}
        }
        words.set_rows(self.rows_of(stripe).count() as u64);
        words.intend(Intent::None);
        if let Some(number) = held {
            self.count_writes(self.row_word(number).unlock());
        }
    }

    /// The rows of a stripe whose lock the caller holds.
    pub(super) fn rows_of(&self, stripe: u32) -> impl Iterator<Item = u32> + '_ {
        self.geometry.buckets_of(stripe).flat_map(move |bucket| {
            let mut at = self.geometry.bucket(bucket);
            let mut left = self.geometry.rows;
            std::iter::from_fn(move || {
                let number = self.follow(self.halves()[at].load(Ordering::Relaxed))?;
                left = left.checked_sub(1)?;
                at = self.geometry.link(number);
                Some(number)
            })
        })
    }

    /// Remembers a row as it is, and says that it will change.
    pub(super) fn save(&self, stripe: u32, number: u32) {
        let undo = &self.words()[self.geometry.undo(stripe)..][..self.geometry.data_words + 1];
        let now = std::iter::once(&self.row(number)[row::EXPIRY]).chain(self.data(number));
        for (undo, now) in undo.iter().zip(now) {
            undo.store(now.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.stripe(stripe).intend(Intent::Changing(number));
    }

    fn restore(&self, stripe: u32, number: u32) {
        let undo = &self.words()[self.geometry.undo(stripe)..][..self.geometry.data_words + 1];
        let now = std::iter::once(&self.row(number)[row::EXPIRY]).chain(self.data(number));
        for (undo, now) in undo.iter().zip(now) {
            now.store(undo.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}
