//! The life of a row: found or made, changed, linked, unlinked, freed.

use crate::sync::{AtomicU64, Ordering};

use super::geometry::row;
use super::key::Key;
use super::recover::Guard;
use super::spec::{Evict, TTL_MAX};
use super::stripe::{Counter, Intent};
use super::write::{Mode, Ttl};
use super::{Found, Table, TableError};

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
    /// Finds or makes a row and lets `apply` write its columns. `None`: `mode` did not apply. `is_wide`: more than one word may
    /// change, so that a death in the middle must be undone. What `apply` refuses leaves no trace.
    #[inline]
    pub(super) fn write<T>(
        &self,
        key: &Key<'_>,
        mode: Mode,
        ttl: Ttl,
        is_wide: bool,
        mut apply: impl FnMut(&[AtomicU64], bool) -> Result<T, TableError>,
    ) -> Result<Option<T>, TableError> {
        let stripe = self.stripe_of(key);
        let mut candidate = None;
        for _ in 0..ROOM_TRIES {
            let guard = self.lock(stripe)?;
            if let Some(found) = self.find_live(&guard, key) {
                if mode == Mode::Insert {
                    return Ok(None);
                }
                let words = self.row(found.row);
                let expiry = self.expiry(ttl, Some(words[row::EXPIRY].load(Ordering::Relaxed)));
                let is_wide = is_wide || expiry != words[row::EXPIRY].load(Ordering::Relaxed);
                if is_wide {
                    self.save(stripe, found.row);
                }
                // On an error the guard undoes what was saved.
                let answer = apply(self.data(found.row), false)?;
                self.set_expiry(found.row, expiry);
                if is_wide {
                    guard.words().intend(Intent::None);
                }
                self.touch(found.row);
                self.note(&guard, Change::Updated, found.row);
                return Ok(Some(answer));
            }
            if mode == Mode::Update {
                return Ok(None);
            }
            if let Some(number) = self.own_row(&guard, key, candidate) {
                self.fill(number, key, self.expiry(ttl, None))?;
                let answer = apply(self.data(number), true)?;
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

    /// Makes a filled row known: one word, so it is there or not.
    fn link(&self, guard: &Guard<'_>, number: u32, key: &Key<'_>) {
        let bucket =
            &self.words()[self.geometry.bucket_start + self.geometry.bucket_of(key.hash) as usize];
        self.row(number)[row::LINK].store(bucket.load(Ordering::Relaxed), Ordering::Relaxed);
        let link = u64::from(key.tag()) << 32 | u64::from(number + 1);
        bucket.store(link, Ordering::Release);
        guard.words().count(Counter::Rows);
        self.note(guard, Change::Inserted, number);
        guard.words().intend(Intent::None);
    }

    /// Takes a row out of its chain and frees it.
    pub(super) fn unlink(&self, guard: &Guard<'_>, found: Found, change: Change) {
        let stripe = guard.words();
        stripe.intend(Intent::Owning(found.row));
        let next = self.row(found.row)[row::LINK].load(Ordering::Relaxed);
        self.words()[found.at].store(next, Ordering::Release);
        stripe.set_rows(stripe.get(Counter::Rows).saturating_sub(1));
        self.note(guard, change, found.row);
        self.give_row(found.row);
        stripe.intend(Intent::None);
    }

    /// What became of a row, as all get to know it. The row can still be read.
    fn note(&self, guard: &Guard<'_>, change: Change, row: u32) {
        guard.words().count(match change {
            Change::Inserted => Counter::Inserts,
            Change::Updated => Counter::Updates,
            Change::Deleted => Counter::Deletes,
            Change::Expired => Counter::Expired,
            Change::Evicted => Counter::Evicted,
        });
        if self.is_watched() {
            self.publish(change, row);
        }
    }

    /// Finds a row whose time is not over; one whose time is over is removed.
    #[inline]
    pub(super) fn find_live(&self, guard: &Guard<'_>, key: &Key<'_>) -> Option<Found> {
        let found = self.find(key, &|| true)?;
        if self.is_over(self.row(found.row)[row::EXPIRY].load(Ordering::Relaxed)) {
            self.unlink(guard, found, Change::Expired);
            return None;
        }
        Some(found)
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
