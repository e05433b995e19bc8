//! The life of a row: found or made, changed, linked, unlinked, freed.

use crate::sync::{AtomicU64, Ordering};

use super::geometry::row;
use super::key::Key;
use super::recover::Guard;
use super::row_guard::RowGuard;
use super::sight::Sight;
use super::spec::{Evict, TTL_MAX};
use super::stripe::{Counter, Intent};
use super::write::{Mode, Ttl};
use super::{Found, READ_TRIES, Table, TableError};

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Inserted,
    Updated,
    Deleted,
    Expired,
    Evicted,
}

/// How often room is made for one row before the table counts as full.
const ROOM_TRIES: u32 = 64;

impl Table {
    /// Finds or makes a row and lets `apply` write its columns. `None`: `mode` did not apply. A death in the middle is undone. What
    /// `apply` refuses leaves no trace.
    pub(super) fn write<T>(
        &self,
        key: &Key<'_>,
        mode: Mode,
        ttl: Ttl,
        mut apply: impl FnMut(&[AtomicU64]) -> Result<T, TableError>,
    ) -> Result<Option<T>, TableError> {
        let stripe = self.stripe_of(key);
        let mut candidate = None;
        for _ in 0..ROOM_TRIES {
            let guard = self.lock(stripe)?;
            if let Some(found) = self.find_live(&guard, key)? {
                if mode == Mode::Insert {
                    return Ok(None);
                }
                let number = found.row;
                let row = self.lock_row(&guard, number)?;
                let before = self.row(number)[row::EXPIRY].load(Ordering::Relaxed);
                self.save(stripe, number);
                row.hand_over();
                // On an error the guard undoes what was saved, and lets go of the row.
                let answer = apply(self.data(number))?;
                self.set_expiry(number, self.expiry(ttl, Some(before)));
                guard.words().intend(Intent::None);
                self.touch(number);
                self.tell(Change::Updated, number);
                self.unlock_row(number);
                return Ok(Some(answer));
            }
            if mode == Mode::Update {
                return Ok(None);
            }
            if let Some(number) = self.own_row(&guard, key, candidate) {
                self.fill(number, key, self.expiry(ttl, None))?;
                let answer = apply(self.data(number))?;
                self.link(&guard, number, key);
                return Ok(Some(answer));
            }
            // The lock is not held while room is made: that takes the locks of others.
            drop(guard);
            match self.make_room()? {
                Room::Row(number) => candidate = Some(number),
                Room::Some => candidate = None,
                Room::None => break,
            }
        }
        Err(TableError::Full {
            size: self.geometry.rows,
        })
    }

    /// As [`write`](Self::write), of a column of one word that starts at `at`: `apply` gives the new word for the old one. A word is
    /// written or it is not, so a row that is there needs no lock but its own, and nothing that a death could be undone with.
    #[inline]
    pub(super) fn write_word<T>(
        &self,
        key: &Key<'_>,
        mode: Mode,
        ttl: Ttl,
        at: usize,
        mut apply: impl FnMut(u64) -> Result<(u64, T), TableError>,
    ) -> Result<Option<T>, TableError> {
        if mode != Mode::Insert
            && let Some(answer) = self.write_word_of_row(key, ttl, at, &mut apply)?
        {
            return Ok(Some(answer));
        }
        self.write(key, mode, ttl, |data| {
            let (word, answer) = apply(data[at].load(Ordering::Relaxed))?;
            data[at].store(word, Ordering::Relaxed);
            Ok(answer)
        })
    }

    /// `None`: it takes more, or there is no such row.
    #[inline]
    fn write_word_of_row<T>(
        &self,
        key: &Key<'_>,
        ttl: Ttl,
        at: usize,
        apply: &mut impl FnMut(u64) -> Result<(u64, T), TableError>,
    ) -> Result<Option<T>, TableError> {
        for _ in 0..READ_TRIES {
            let (number, seen) = match self.sight(key) {
                Sight::Row(number, seen) => (number, seen),
                Sight::Nothing => return Ok(None),
                other => {
                    self.wait_for_sight(key, other)?;
                    continue;
                }
            };
            let expiry = self.row(number)[row::EXPIRY].load(Ordering::Relaxed);
            if self.is_over(expiry) || self.expiry(ttl, Some(expiry)) != expiry {
                return Ok(None);
            }
            if !self.row_word(number).try_lock(seen, self.slot) {
                continue;
            }
            let row = RowGuard {
                table: self,
                row: number,
            };
            let word = &self.data(number)[at];
            let (value, answer) = apply(word.load(Ordering::Relaxed))?;
            word.store(value, Ordering::Relaxed);
            self.touch(number);
            self.tell(Change::Updated, number);
            row.written();
            return Ok(Some(answer));
        }
        Ok(None)
    }

    fn own_row(&self, guard: &Guard<'_>, key: &Key<'_>, candidate: Option<u32>) -> Option<u32> {
        let may_look =
            candidate.is_some() || !self.is_exhausted.load(std::sync::atomic::Ordering::Relaxed);
        let number = may_look
            .then(|| {
                self.take_row(guard.stripe, key.bytes.len(), candidate, |number| {
                    guard.words().intend(Intent::Owning(number))
                })
            })
            .flatten();
        if number.is_none() {
            guard.words().intend(Intent::None);
        }
        number
    }

    /// Writes everything of a row that no link leads to yet but its columns, which become zero.
    pub(super) fn fill(&self, number: u32, key: &Key<'_>, expiry: u64) -> Result<(), TableError> {
        let words = self.row(number);
        self.halves()[self.geometry.link(number) + 1].store(key.tag(), Ordering::Relaxed);
        for (word, part) in words[self.geometry.key_at()..]
            .iter()
            .zip(&key.inline)
            .take(self.geometry.key_words)
        {
            word.store(*part, Ordering::Relaxed);
        }
        if key.bytes.len() > self.geometry.key_words * 8 {
            self.reserve_overflow(number)?;
            let rest = &self.words()[self.geometry.overflow(number)..];
            for (word, part) in rest.iter().zip(key.overflow()) {
                word.store(part, Ordering::Relaxed);
            }
        }
        for word in self.data(number) {
            word.store(0, Ordering::Relaxed);
        }
        self.set_expiry(number, expiry);
        self.touch(number);
        Ok(())
    }

    /// Makes a filled row known: one link, so it is there or not.
    fn link(&self, guard: &Guard<'_>, number: u32, key: &Key<'_>) {
        let halves = self.halves();
        let bucket = &halves[self.geometry.bucket(self.geometry.bucket_of(key.hash))];
        halves[self.geometry.link(number)].store(bucket.load(Ordering::Relaxed), Ordering::Relaxed);
        bucket.store(number + 1, Ordering::Release);
        guard.words().count(Counter::Rows);
        guard.words().count(Counter::Inserts);
        self.tell(Change::Inserted, number);
        guard.words().intend(Intent::None);
        self.unlock_row(number);
    }

    /// Takes a row out of its chain and frees it.
    pub(super) fn unlink(
        &self,
        guard: &Guard<'_>,
        row: RowGuard<'_>,
        found: Found,
        change: Change,
    ) {
        let stripe = guard.words();
        let halves = self.halves();
        stripe.intend(Intent::Owning(found.row));
        row.hand_over();
        let next = halves[self.geometry.link(found.row)].load(Ordering::Relaxed);
        halves[found.at].store(next, Ordering::Release);
        stripe.set_rows(stripe.get(Counter::Rows).saturating_sub(1));
        stripe.count(match change {
            Change::Expired => Counter::Expired,
            Change::Evicted => Counter::Evicted,
            _ => Counter::Deletes,
        });
        self.tell(change, found.row);
        self.give_row(found.row);
        stripe.intend(Intent::None);
    }

    /// Tells those who watch what became of a row, whose lock the caller holds. It can still be read.
    #[inline]
    fn tell(&self, change: Change, row: u32) {
        if self.is_watched() {
            self.publish(change, row);
        }
    }

    /// Finds a row whose time is not over; one whose time is over is removed.
    pub(super) fn find_live(
        &self,
        guard: &Guard<'_>,
        key: &Key<'_>,
    ) -> Result<Option<Found>, TableError> {
        let Some(found) = self.find(key) else {
            return Ok(None);
        };
        if self.is_over(self.row(found.row)[row::EXPIRY].load(Ordering::Relaxed)) {
            let row = self.lock_row(guard, found.row)?;
            self.unlink(guard, row, found, Change::Expired);
            return Ok(None);
        }
        Ok(Some(found))
    }

    /// When a row ends that is written now and ended at `before`.
    #[inline]
    fn expiry(&self, ttl: Ttl, before: Option<u64>) -> u64 {
        let after = |ms: u64| self.clock.now_ms() + ms.min(TTL_MAX);
        match (ttl, self.spec.ttl, before) {
            (Ttl::After(ms), ..) => after(ms),
            (Ttl::Never, ..) => 0,
            (Ttl::Keep, _, Some(before)) | (Ttl::Default, None, Some(before)) => before,
            (Ttl::Default, Some(ms), _) | (Ttl::Keep, Some(ms), None) => after(ms),
            (Ttl::Default | Ttl::Keep, None, None) => 0,
        }
    }

    #[inline]
    fn set_expiry(&self, number: u32, expiry: u64) {
        self.row(number)[row::EXPIRY].store(expiry, Ordering::Relaxed);
        if expiry != 0 {
            self.expect_expiry(expiry);
        }
    }

    /// Promises the memory of a row's long key.
    fn reserve_overflow(&self, number: u32) -> Result<(), TableError> {
        const PAGE: u64 = 4096;
        let area = self.geometry.overflow_start as u64 * 8;
        let start = self.geometry.overflow(number) as u64 * 8 - area;
        let end = start + self.geometry.overflow_words as u64 * 8;
        for page in start / PAGE..end.div_ceil(PAGE) {
            let (word, bit) = (&self.reserved[page as usize / 64], 1 << (page % 64));
            if word.load(Ordering::Relaxed) & bit == 0 {
                let reserved = self.mapping.reserve(area + page * PAGE, PAGE);
                reserved.map_err(|source| TableError::System {
                    action: "get memory for",
                    path: self.path.clone(),
                    source,
                })?;
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// What making room came to.
enum Room {
    /// This row was freed.
    Row(u32),
    /// Some row is free.
    Some,
    /// No row can be had.
    None,
}

impl Table {
    #[cold]
    fn make_room(&self) -> Result<Room, TableError> {
        if self.sweep() > 0 {
            return Ok(Room::Some);
        }
        if self.spec.evict == Evict::Lru {
            // Others' rows come free, too; now and then it is worth a look.
            if self.roll().is_multiple_of(1024)
                && self.len() < self.geometry.rows
                && self.find_lost_rows()
            {
                return Ok(Room::Some);
            }
            let evicted = self.evict()?;
            self.is_exhausted
                .store(true, std::sync::atomic::Ordering::Relaxed);
            return Ok(evicted.map_or(Room::None, Room::Row));
        }
        let may_be = self.len() < self.geometry.rows && self.find_lost_rows();
        Ok(if may_be { Room::Some } else { Room::None })
    }
}
