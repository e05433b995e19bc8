//! Calls that change rows.

use crate::sync::{AtomicU64, Ordering};

use super::change::Change;
use super::image::store_bytes;
use super::key::Key;
use super::spec::ColumnKind;
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
        let done = self.write(&key, mode, ttl, |data| {
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
        let done = self.write_word(&key, mode, ttl, at, |_| Ok((word, ())))?;
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
        let done = self.write(&key, mode, ttl, |data| {
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
        let done = self.write_word(&key, Mode::Upsert, Ttl::Keep, at, |word| {
            let sum = sum(word)?;
            Ok((sum, sum))
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
        let done = self.write(&key, Mode::Update, Ttl::Default, |data| {
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
                let at = self.geometry.bucket(bucket);
                while let Some(row) = self.follow(self.halves()[at].load(Ordering::Relaxed)) {
                    let held = self.lock_row(&guard, row)?;
                    self.unlink(&guard, held, Found { row, at }, Change::Deleted);
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
        let Some(found) = self.find_live(&guard, key)? else {
            return Ok(false);
        };
        let row = self.lock_row(&guard, found.row)?;
        let is_wanted = is_wanted(self.data(found.row));
        if is_wanted {
            self.unlink(&guard, row, found, Change::Deleted);
        }
        Ok(is_wanted)
    }
}
