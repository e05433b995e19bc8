//! Columns between a row and an image of it.

use crate::sync::{AtomicU64, Ordering};

use super::key::word_of;
use super::spec::{Column, ColumnKind};
use super::{Table, TableError};

/// Up to this many words a row is copied as a whole, whatever its columns use.
const WHOLE_ROW_WORDS: usize = 32;

impl Table {
    /// Every column of `mask` is there, and its value fits.
    pub(super) fn check_image(&self, image: &[u64], mask: u64) -> Result<(), TableError> {
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
    pub(super) fn apply(&self, data: &[AtomicU64], image: &[u64], mask: u64) {
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

    pub(super) fn is_equal(&self, data: &[AtomicU64], image: &[u64], mask: u64) -> bool {
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

    /// Copies the columns of a row, of long texts only what is used.
    #[inline]
    pub(super) fn copy(&self, data: &[AtomicU64], image: &mut [u64]) {
        let copy = |image: &mut [u64], from: usize, len: usize| {
            for (word, value) in image[from..from + len]
                .iter_mut()
                .zip(&data[from..from + len])
            {
                *word = value.load(Ordering::Relaxed);
            }
        };
        if data.len() <= WHOLE_ROW_WORDS {
            copy(image, 0, data.len());
            return;
        }
        for column in &self.columns {
            let used = match column.kind.bytes() {
                Some(size) => (4
                    + (data[column.word()].load(Ordering::Relaxed) as u32).min(size) as usize)
                    .div_ceil(8),
                None => 1,
            };
            copy(image, column.word(), used);
        }
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
pub(super) fn store_bytes(words: &[AtomicU64], bytes: &[u8]) {
    let (first, rest) = bytes.split_at(bytes.len().min(4));
    words[0].store(bytes.len() as u64 | word_of(first) << 32, Ordering::Relaxed);
    for (word, chunk) in words[1..].iter().zip(rest.chunks(8)) {
        word.store(word_of(chunk), Ordering::Relaxed);
    }
}
