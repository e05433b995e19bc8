//! The lock of a row, held; and waiting for one.

use crate::sync::Ordering;

use super::geometry::{SLOTS, header};
use super::recover::Guard;
use super::row_word::{RowState, RowWord};
use super::{Patience, Table, TableError};

/// A row's lock, held by the calling thread. Dropped, it says that nothing was written.
#[must_use]
pub(super) struct RowGuard<'t> {
    pub(super) table: &'t Table,
    pub(super) row: u32,
}

impl RowGuard<'_> {
    /// Lets go of a row that was written to.
    #[inline]
    pub(super) fn written(self) {
        self.table.unlock_row(self.row);
        std::mem::forget(self);
    }

    /// From here on the intent of the row's stripe says what becomes of the row.
    #[inline]
    pub(super) fn hand_over(self) {
        std::mem::forget(self);
    }
}

impl Drop for RowGuard<'_> {
    fn drop(&mut self) {
        self.table.row_word(self.row).unlock_unchanged();
    }
}

impl Table {
    #[inline]
    pub(super) fn row_word(&self, number: u32) -> RowWord<'_> {
        RowWord(&self.words()[self.geometry.row(number) + super::row::WORD])
    }

    /// Takes the lock of a row of a stripe whose lock the caller holds.
    #[inline]
    pub(super) fn lock_row(
        &self,
        guard: &Guard<'_>,
        number: u32,
    ) -> Result<RowGuard<'_>, TableError> {
        let word = self.row_word(number);
        if !word.try_lock(word.look(), self.slot) {
            self.lock_row_slowly(guard, number)?;
        }
        Ok(RowGuard {
            table: self,
            row: number,
        })
    }

    #[cold]
    fn lock_row_slowly(&self, guard: &Guard<'_>, number: u32) -> Result<(), TableError> {
        let word = self.row_word(number);
        let mut patience = Patience::new();
        let mut before = word.look();
        while !word.try_lock(before, self.slot) {
            if patience.is_time_to_ask() && self.is_dead(before.slot()) {
                self.release_row(guard, number, before);
            }
            before = self.next_look(number, &mut patience, before)?;
        }
        Ok(())
    }

    /// Waits until nobody writes to a row. The caller holds no lock.
    #[cold]
    pub(super) fn wait_for_row(&self, number: u32, seen: RowState) -> Result<(), TableError> {
        let mut patience = Patience::new();
        let mut before = seen;
        while before.slot() != 0 {
            if patience.is_time_to_ask()
                && self.is_dead(before.slot())
                && let Some(stripe) = self.known_stripe(before)
            {
                // Who gets the stripe of a dead holder mends what that was at, the row with it.
                let guard = self.lock(stripe)?;
                self.release_row(&guard, number, before);
            }
            before = self.next_look(number, &mut patience, before)?;
        }
        Ok(())
    }

    /// The stripe of a row, if it is one that there is: another process wrote it.
    pub(super) fn known_stripe(&self, seen: RowState) -> Option<u32> {
        seen.stripe()
            .filter(|stripe| *stripe < self.geometry.stripes)
    }

    /// Lets go of a row for a process that died while it held the row, but not in the middle of something: its stripe, which the caller
    /// holds, would know.
    pub(super) fn release_row(&self, _guard: &Guard<'_>, number: u32, seen: RowState) {
        if self.row_word(number).release(seen) {
            self.count_writes((seen.writes() + 1) == super::row_word::WRITES_MAX);
            self.recovered.fetch_add(1, Ordering::Relaxed);
            self.publish_gap();
        }
    }

    #[inline]
    pub(super) fn unlock_row(&self, number: u32) {
        self.count_writes(self.row_word(number).unlock());
    }

    /// Notes that the count of writes of some row has begun anew.
    #[inline]
    pub(super) fn count_writes(&self, is_anew: bool) {
        if is_anew {
            self.header(header::WRITES_ANEW)
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pauses. A row that changes hands starts the wait for it anew.
    fn next_look(
        &self,
        number: u32,
        patience: &mut Patience,
        before: RowState,
    ) -> Result<RowState, TableError> {
        let now = self.row_word(number).look();
        if now != before {
            patience.renew();
        }
        if now.slot() == 0 || patience.pause() {
            return Ok(now);
        }
        let pid = self.header(header::PIDS + usize::from(now.slot()) % SLOTS);
        Err(TableError::Busy {
            pid: pid.load(Ordering::Relaxed) as u32,
        })
    }
}
