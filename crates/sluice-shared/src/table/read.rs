//! Calls that read rows.

use crate::sync::{AtomicU64, Ordering};

use super::geometry::row;
use super::sight::Sight;
use super::{READ_TRIES, Table, TableError};

impl Table {
    /// Copies the columns of a row to `image`, which has at least [`row_words`](Self::row_words). False: the row is not there.
    ///
    /// # Errors
    ///
    /// [`TableError::KeyLength`], [`TableError::Busy`].
    #[inline]
    pub fn get(&self, key: &[u8], image: &mut [u64]) -> Result<bool, TableError> {
        self.look_up(key, |data| self.copy(data, image))
            .map(|found| found.is_some())
    }

    /// Reads a column of one word.
    ///
    /// # Errors
    ///
    /// [`TableError::KeyLength`], [`TableError::Column`], [`TableError::Busy`].
    #[inline]
    pub fn get_word(&self, key: &[u8], column: usize) -> Result<Option<u64>, TableError> {
        let at = self.word_column(column)?.word();
        self.look_up(key, |data| data[at].load(Ordering::Relaxed))
    }

    /// Reads a column of text or bytes into `out`, whose content is replaced. False: the row is not there.
    ///
    /// # Errors
    ///
    /// As [`get_word`](Self::get_word).
    pub fn get_bytes(
        &self,
        key: &[u8],
        column: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, TableError> {
        let (found, size) = self.bytes_column(column)?;
        let (at, words) = (found.word(), found.words());
        let found = self.look_up(key, |data| {
            out.clear();
            let column = &data[at..at + words];
            let first = column[0].load(Ordering::Relaxed);
            let len = (first as u32).min(size) as usize;
            out.extend_from_slice(&first.to_le_bytes()[4..]);
            for word in &column[1..(4 + len).div_ceil(8)] {
                out.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
            out.truncate(len);
        })?;
        Ok(found.is_some())
    }

    /// Whether the row is there.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains(&self, key: &[u8]) -> Result<bool, TableError> {
        self.look_up(key, |_| ()).map(|found| found.is_some())
    }

    #[inline]
    fn look_up<T>(
        &self,
        key: &[u8],
        mut copy: impl FnMut(&[AtomicU64]) -> T,
    ) -> Result<Option<T>, TableError> {
        let key = self.key(key)?;
        let finish = |number: u32, expiry: u64, copied: T| {
            if self.is_over(expiry) {
                return None;
            }
            self.touch(number);
            Some(copied)
        };
        for _ in 0..READ_TRIES {
            match self.sight(&key) {
                Sight::Row(number, seen) => {
                    let expiry = self.row(number)[row::EXPIRY].load(Ordering::Relaxed);
                    let copied = copy(self.data(number));
                    if self.row_word(number).is_unchanged(seen) {
                        return Ok(finish(number, expiry, copied));
                    }
                }
                Sight::Nothing => return Ok(None),
                other => self.wait_for_sight(&key, other)?,
            }
        }
        // It is written all the time.
        let guard = self.lock(self.stripe_of(&key))?;
        let Some(found) = self.find(&key) else {
            return Ok(None);
        };
        let _row = self.lock_row(&guard, found.row)?;
        let expiry = self.row(found.row)[row::EXPIRY].load(Ordering::Relaxed);
        Ok(finish(found.row, expiry, copy(self.data(found.row))))
    }
}
