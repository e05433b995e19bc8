//! Going through all rows.

use std::ops::ControlFlow;

use crate::sync::Ordering;

use super::geometry::row;
use super::key::KeyBytes;
use super::spec::KEY_BYTES_MAX;
use super::{READ_TRIES, Table, TableError};

/// A row as it was at one moment.
#[derive(Clone, Copy, Debug)]
pub struct ScannedRow<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its columns.
    pub image: &'a [u64],
    /// How long it still lives, in ms; `None`: for ever.
    pub expires_in: Option<u64>,
}

impl Table {
    /// Shows `visit` the rows whose key begins with `prefix`, from a position on, 0 being the first. Returns where to go on:
    /// [`capacity`](Self::capacity) at the end, else the row at which `visit` broke off, which it will see again.
    ///
    /// A row that lives through the whole scan is seen once, whole as it was at one moment. Rows that come or go meanwhile may
    /// be seen or not. Nothing is held between rows, so any number of scans can go on at once.
    ///
    /// # Errors
    ///
    /// [`TableError::Busy`].
    pub fn scan(
        &self,
        from: u32,
        prefix: &[u8],
        visit: &mut dyn FnMut(&ScannedRow<'_>) -> ControlFlow<()>,
    ) -> Result<u32, TableError> {
        let mut image = vec![0; self.geometry.data_words];
        let mut buffer = [0; KEY_BYTES_MAX + 1];
        for number in from..self.geometry.rows {
            let Some((key, expiry)) = self.copy_row(number, prefix, &mut image)? else {
                continue;
            };
            if self.is_over(expiry) {
                continue;
            }
            let len = key.copy_to(&mut buffer);
            let key = &buffer[..len];
            if !key.starts_with(prefix) {
                continue;
            }
            let expires_in = (expiry != 0).then(|| expiry.saturating_sub(self.clock.now_ms()));
            if visit(&ScannedRow {
                key,
                image: &image,
                expires_in,
            })
            .is_break()
            {
                return Ok(number);
            }
        }
        Ok(self.geometry.rows)
    }

    /// Copies a row whose key may begin with `prefix`; `None` when there is none.
    fn copy_row(
        &self,
        number: u32,
        prefix: &[u8],
        image: &mut [u64],
    ) -> Result<Option<(KeyBytes, u64)>, TableError> {
        let words = self.row(number);
        let word = self.row_word(number);
        let first = prefix.first().copied();
        let copy = |image: &mut [u64]| {
            let begins = words[self.geometry.key_at()].load(Ordering::Relaxed) as u8;
            first.is_none_or(|first| first == begins).then(|| {
                self.copy(self.data(number), image);
                let expiry = words[row::EXPIRY].load(Ordering::Relaxed);
                (self.read_key(number), expiry)
            })
        };
        for _ in 0..READ_TRIES {
            let seen = word.look();
            if seen.stripe().is_none() {
                return Ok(None);
            }
            if seen.slot() != 0 {
                self.wait_for_row(number, seen)?;
                continue;
            }
            // A row that has a stripe and that nobody writes to is linked.
            let copied = copy(image);
            if word.is_unchanged(seen) {
                return Ok(copied);
            }
        }
        // It is written all the time.
        let Some(stripe) = self.known_stripe(word.look()) else {
            return Ok(None);
        };
        let guard = self.lock(stripe)?;
        if word.look().stripe() != Some(stripe) {
            return Ok(None);
        }
        let _row = self.lock_row(&guard, number)?;
        Ok(copy(image))
    }
}
