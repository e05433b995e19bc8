//! Calls that change rows.

use crate::sync::{AtomicU64, Ordering};

use super::geometry::row;
use super::key::{Key, word_of};
use super::recover::Guard;
use super::spec::{Column, ColumnKind, Evict, TTL_MAX};
use super::stripe::{Counter, Intent};
use super::{Found, Table, TableError};

/// Which rows a write applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Any: a row that is not there is made.
    Upsert,
    /// Only a row that is not there.
    Insert,
    /// Only a row that is there.
    Update,
}

/// How long the row of a write lives from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// As the table says; where it says nothing, a row keeps what it has.
    Default,
    /// What the row has; the table's for a new one.
    Keep,
    /// For ever.
    Never,
    /// So many ms.
    After(u64),
}

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
    /// Writes the columns of `mask` (a bit for each, the first is 1) as they are in `image`. The others of a new row are zero
    /// or empty. False: `mode` did not apply, nothing was changed.
    ///
    /// # Errors
    ///
    /// [`TableError::KeyLength`], [`TableError::Column`], [`TableError::TooLong`], [`TableError::Full`], [`TableError::Busy`].
    pub fn set(
        &self,
        key: &[u8],
        mode: Mode,
        image: &[u64],
        mask: u64,
        ttl: Ttl,
    ) -> Result<bool, TableError> {
        let key = self.key(key)?;
        self.check_image(image, mask)?;
        let done = self.write(&key, mode, ttl, true, |data, _| {
            self.apply(data, image, mask);
            Ok(())
        })?;
        Ok(done.is_some())
    }

    /// Writes one column of one word: an integer, the bits of a double, 0 or 1.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_word(
        &self,
        key: &[u8],
        mode: Mode,
        column: usize,
        word: u64,
        ttl: Ttl,
    ) -> Result<bool, TableError> {
        let key = self.key(key)?;
        let column = self.word_column(column)?;
        let at = column.word();
        let word = if column.kind == ColumnKind::Bool {
            u64::from(word != 0)
        } else {
            word
        };
        let done = self.write(&key, mode, ttl, false, |data, _| {
            data[at].store(word, Ordering::Relaxed);
            Ok(())
        })?;
        Ok(done.is_some())
    }

    /// Writes one column of text or bytes.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_bytes(
        &self,
        key: &[u8],
        mode: Mode,
        column: usize,
        bytes: &[u8],
        ttl: Ttl,
    ) -> Result<bool, TableError> {
        let key = self.key(key)?;
        let (found, size) = self.bytes_column(column)?;
        if bytes.len() > size as usize {
            return Err(TableError::TooLong {
                column,
                size,
                len: bytes.len(),
            });
        }
        let at = found.word();
        let done = self.write(&key, mode, ttl, true, |data, _| {
            store_bytes(&data[at..], bytes);
            Ok(())
        })?;
        Ok(done.is_some())
    }

    /// Adds to an integer, which wraps around beyond 64 bits, and says what it is then. A row that is not there is made.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn add_int(&self, key: &[u8], column: usize, by: i64) -> Result<i64, TableError> {
        self.add(key, column, ColumnKind::Int, |word| {
            Ok((word as i64).wrapping_add(by) as u64)
        })
        .map(|word| word as i64)
    }

    /// As [`add_int`](Self::add_int), but a sum that a double does not hold is refused.
    ///
    /// # Errors
    ///
    /// [`TableError::UnsafeInteger`], and as [`set`](Self::set).
    pub fn add_safe(&self, key: &[u8], column: usize, by: i64) -> Result<i64, TableError> {
        const SAFE_MAX: u64 = (1 << 53) - 1;
        let sum = self.add(key, column, ColumnKind::Int, |word| {
            let sum = (word as i64)
                .checked_add(by)
                .filter(|sum| sum.unsigned_abs() <= SAFE_MAX);
            sum.map(|sum| sum as u64).ok_or(TableError::UnsafeInteger)
        })?;
        Ok(sum as i64)
    }

    /// Adds to a double.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn add_float(&self, key: &[u8], column: usize, by: f64) -> Result<f64, TableError> {
        self.add(key, column, ColumnKind::Float, |word| {
            Ok((f64::from_bits(word) + by).to_bits())
        })
        .map(f64::from_bits)
    }

    #[inline]
    fn add(
        &self,
        key: &[u8],
        column: usize,
        kind: ColumnKind,
        sum: impl Fn(u64) -> Result<u64, TableError>,
    ) -> Result<u64, TableError> {
        let key = self.key(key)?;
        let at = match self.columns.get(column) {
            Some(found) if found.kind == kind => found.word(),
            _ => return Err(TableError::Column { column }),
        };
        let done = self.write(&key, Mode::Upsert, Ttl::Keep, false, |data, _| {
            let word = sum(data[at].load(Ordering::Relaxed))?;
            data[at].store(word, Ordering::Relaxed);
            Ok(word)
        })?;
        Ok(done.expect("an upsert applies to every row"))
    }

    /// As [`set`](Self::set), if the row is there and its columns of `expected_mask` are as in `expected`. Doubles are compared
    /// as numbers, except that NaN equals NaN.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn compare_set(
        &self,
        key: &[u8],
        expected: &[u64],
        expected_mask: u64,
        image: &[u64],
        mask: u64,
    ) -> Result<bool, TableError> {
        let key = self.key(key)?;
        self.check_image(expected, expected_mask)?;
        self.check_image(image, mask)?;
        let done = self.write(&key, Mode::Update, Ttl::Default, true, |data, _| {
            if !self.is_equal(data, expected, expected_mask) {
                return Ok(None);
            }
            self.apply(data, image, mask);
            Ok(Some(()))
        })?;
        Ok(done.flatten().is_some())
    }

    /// Deletes the row if it is there and its columns of `expected_mask` are as in `expected`.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn compare_delete(
        &self,
        key: &[u8],
        expected: &[u64],
        expected_mask: u64,
    ) -> Result<bool, TableError> {
        let key = self.key(key)?;
        self.check_image(expected, expected_mask)?;
        self.remove(&key, |data| self.is_equal(data, expected, expected_mask))
    }

    /// Deletes the row and copies what it was to `image`. False: it is not there.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn take(&self, key: &[u8], image: &mut [u64]) -> Result<bool, TableError> {
        let key = self.key(key)?;
        self.remove(&key, |data| {
            self.copy(data, image);
            true
        })
    }

    /// Deletes the row. False: it is not there.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn delete(&self, key: &[u8]) -> Result<bool, TableError> {
        let key = self.key(key)?;
        self.remove(&key, |_| true)
    }

    /// Deletes all rows, stripe by stripe: rows that are made meanwhile may stay.
    ///
    /// # Errors
    ///
    /// [`TableError::Busy`]; some rows are deleted then.
    pub fn clear(&self) -> Result<(), TableError> {
        for stripe in 0..self.geometry.stripes {
            let guard = self.lock(stripe)?;
            for bucket in self.geometry.buckets_of(stripe) {
                let at = self.geometry.bucket_start + bucket as usize;
                while let Some((row, _)) = self.follow(self.words()[at].load(Ordering::Relaxed)) {
                    self.unlink(&guard, Found { row, at }, Change::Deleted);
                }
            }
        }
        Ok(())
    }

    fn remove(
        &self,
        key: &Key<'_>,
        mut is_wanted: impl FnMut(&[AtomicU64]) -> bool,
    ) -> Result<bool, TableError> {
        let guard = self.lock(self.stripe_of(key))?;
        let Some(found) = self.find_live(&guard, key) else {
            return Ok(false);
        };
        let is_wanted = is_wanted(self.data(found.row));
        if is_wanted {
            self.unlink(&guard, found, Change::Deleted);
        }
        Ok(is_wanted)
    }

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
    fn note(&self, guard: &Guard<'_>, change: Change, _row: u32) {
        guard.words().count(match change {
            Change::Inserted => Counter::Inserts,
            Change::Updated => Counter::Updates,
            Change::Deleted => Counter::Deletes,
            Change::Expired => Counter::Expired,
            Change::Evicted => Counter::Evicted,
        });
    }

    /// Finds a row whose time is not over; one whose time is over is removed.
    #[inline]
    fn find_live(&self, guard: &Guard<'_>, key: &Key<'_>) -> Option<Found> {
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

    /// Every column of `mask` is there, and its value fits.
    fn check_image(&self, image: &[u64], mask: u64) -> Result<(), TableError> {
        if self.columns.len() < 64 && mask >> self.columns.len() != 0
            || image.len() < self.geometry.data_words
        {
            return Err(TableError::Column {
                column: 63 - mask.leading_zeros() as usize,
            });
        }
        for (column, size) in self
            .masked(mask)
            .filter_map(|(position, column)| Some(((position, column), column.kind.bytes()?)))
        {
            let (position, column) = column;
            let len = image[column.word()] as u32;
            if len > size {
                return Err(TableError::TooLong {
                    column: position,
                    size,
                    len: len as usize,
                });
            }
        }
        Ok(())
    }

    fn masked(&self, mask: u64) -> impl Iterator<Item = (usize, &Column)> {
        self.columns
            .iter()
            .enumerate()
            .filter(move |(position, _)| mask >> position & 1 != 0)
    }

    /// Writes columns of an image that was checked.
    fn apply(&self, data: &[AtomicU64], image: &[u64], mask: u64) {
        for (_, column) in self.masked(mask) {
            let (at, len) = (column.word(), used_words(column, image));
            let words = data[at..at + len].iter().zip(&image[at..at + len]);
            match column.kind {
                ColumnKind::Bool => data[at].store(u64::from(image[at] != 0), Ordering::Relaxed),
                ColumnKind::Int | ColumnKind::Float => data[at].store(image[at], Ordering::Relaxed),
                ColumnKind::Text { .. } | ColumnKind::Bytes { .. } => {
                    words.for_each(|(word, value)| word.store(*value, Ordering::Relaxed))
                }
            }
        }
    }

    fn is_equal(&self, data: &[AtomicU64], image: &[u64], mask: u64) -> bool {
        self.masked(mask).all(|(_, column)| {
            let at = column.word();
            let word = data[at].load(Ordering::Relaxed);
            match column.kind {
                ColumnKind::Int => word == image[at],
                ColumnKind::Bool => (word != 0) == (image[at] != 0),
                ColumnKind::Float => {
                    let (now, expected) = (f64::from_bits(word), f64::from_bits(image[at]));
                    now == expected || (now.is_nan() && expected.is_nan())
                }
                ColumnKind::Text { .. } | ColumnKind::Bytes { .. } => {
                    let len = image[at] as u32 as usize;
                    word as u32 as usize == len
                        && (4..4 + len).all(|byte| {
                            byte_of(|word| data[at + word].load(Ordering::Relaxed), byte)
                                == byte_of(|word| image[at + word], byte)
                        })
                }
            }
        })
    }
}

/// A byte of a column that is kept in words.
fn byte_of(word: impl Fn(usize) -> u64, byte: usize) -> u8 {
    word(byte / 8).to_le_bytes()[byte % 8]
}

/// How many words of a column its value in a checked image uses.
fn used_words(column: &Column, image: &[u64]) -> usize {
    match column.kind.bytes() {
        Some(size) => (4 + (image[column.word()] as u32).min(size) as usize).div_ceil(8),
        None => 1,
    }
}

/// Stores text or bytes: their length, themselves, and zero to the end of the word.
fn store_bytes(words: &[AtomicU64], bytes: &[u8]) {
    let (first, rest) = bytes.split_at(bytes.len().min(4));
    words[0].store(bytes.len() as u64 | word_of(first) << 32, Ordering::Relaxed);
    for (word, chunk) in words[1..].iter().zip(rest.chunks(8)) {
        word.store(word_of(chunk), Ordering::Relaxed);
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
