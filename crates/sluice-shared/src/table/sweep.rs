//! Rows that go by themselves: those whose time is over, and those that make room.

use crate::sync::Ordering;

use super::change::Change;
use super::geometry::{header, row};
use super::key::{Key, KeyBytes};
use super::spec::KEY_BYTES_MAX;
use super::sweeper::SWEEPER;
use super::{Found, Table, TableError};

/// How many rows are compared to find one that was not used for long.
const SAMPLE: u32 = 16;
/// Tables of up to this many rows evict exactly the one that was not used for longest.
const EXACT_MAX: u32 = 64;
/// How often a row is chosen that is gone or was used meanwhile.
const EVICT_TRIES: u32 = 32;

impl Table {
    /// When the next row may end, in ms from now; `None` when no row has an end. It may have been given another since.
    pub fn next_expiry(&self) -> Option<u64> {
        match self.header(header::NEXT_EXPIRY).load(Ordering::Relaxed) {
            u64::MAX => None,
            expiry => Some(expiry.saturating_sub(self.clock.now_ms())),
        }
    }

    #[inline]
    pub(super) fn expect_expiry(&self, expiry: u64) {
        let next = self.header(header::NEXT_EXPIRY);
        if next.load(Ordering::Relaxed) > expiry
            && next.fetch_min(expiry, Ordering::Relaxed) > expiry
        {
            SWEEPER.expect(expiry);
        }
    }

    /// Removes the rows whose time is over, and says how many. Does nothing when no row can have ended.
    pub fn sweep(&self) -> u32 {
        let now = self.clock.now_ms();
        let next = self.header(header::NEXT_EXPIRY);
        if next.load(Ordering::Relaxed) > now {
            return 0;
        }
        // What gets an end from here on lowers it again.
        next.store(u64::MAX, Ordering::SeqCst);
        let (mut removed, mut earliest) = (0, u64::MAX);
        for number in 0..self.geometry.rows {
            let words = self.row(number);
            let Some(stripe) = self.row_word(number).look().stripe() else {
                continue;
            };
            let expiry = words[row::EXPIRY].load(Ordering::Relaxed);
            if expiry == 0 {
                continue;
            }
            if expiry > now {
                earliest = earliest.min(expiry);
            } else if matches!(
                self.remove_row(number, stripe, Change::Expired, |words| words[row::EXPIRY]
                    .load(Ordering::Relaxed)
                    == expiry),
                Ok(true)
            ) {
                removed += 1;
            } else {
                // It changed under us, or is locked by one who does not go on: look again soon.
                earliest = earliest.min(now + 1);
            }
        }
        if earliest != u64::MAX {
            self.expect_expiry(earliest);
        }
        removed
    }

    /// Removes a row that was not used for long.
    pub(super) fn evict(&self) -> Result<Option<u32>, TableError> {
        for _ in 0..EVICT_TRIES {
            let Some((number, stripe, stamp)) = self.choose_idle() else {
                return Ok(None);
            };
            if self.remove_row(number, stripe, Change::Evicted, |words| {
                words[row::STAMP].load(Ordering::Relaxed) == stamp
            })? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// The row of a sample that was not used for longest.
    fn choose_idle(&self) -> Option<(u32, u32, u64)> {
        let rows = self.geometry.rows;
        let sample: Box<dyn Iterator<Item = u32>> = if rows <= EXACT_MAX {
            Box::new(0..rows)
        } else {
            Box::new((0..SAMPLE).map(|_| (self.roll() % u64::from(rows)) as u32))
        };
        sample
            .filter_map(|number| {
                let words = self.row(number);
                let stripe = self.row_word(number).look().stripe()?;
                Some((number, stripe, words[row::STAMP].load(Ordering::Relaxed)))
            })
            .min_by_key(|(_, _, stamp)| *stamp)
    }

    /// Numbers that need not be good, only spread.
    pub(super) fn roll(&self) -> u64 {
        let mut mixed = self
            .dice
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Removes a row that was seen in `stripe`, if it is still the one that `is_same` knows.
    fn remove_row(
        &self,
        number: u32,
        stripe: u32,
        change: Change,
        is_same: impl Fn(&[crate::sync::AtomicU64]) -> bool,
    ) -> Result<bool, TableError> {
        if stripe >= self.geometry.stripes {
            return Ok(false);
        }
        let guard = self.lock(stripe)?;
        let words = self.row(number);
        if self.row_word(number).look().stripe() != Some(stripe) || !is_same(words) {
            return Ok(false);
        }
        let mut buffer = [0; KEY_BYTES_MAX + 1];
        let len = self.read_key(number).copy_to(&mut buffer);
        let Ok(key) = self.key(&buffer[..len]) else {
            return Ok(false);
        };
        let Some(found) = self.find_row(number, &key) else {
            return Ok(false);
        };
        let row = self.lock_row(&guard, number)?;
        self.unlink(&guard, row, found, change);
        Ok(true)
    }

    /// The link that leads to a row.
    fn find_row(&self, number: u32, key: &Key<'_>) -> Option<Found> {
        self.find(key).filter(|found| found.row == number)
    }

    /// The key of a row, as it stands.
    pub(super) fn read_key(&self, number: u32) -> KeyBytes {
        let words = self.row(number);
        let len = self.row_word(number).look().key_len();
        let mut key = KeyBytes { words: [0; _], len };
        let inline = words[self.geometry.key_at()..]
            .iter()
            .take(self.geometry.key_words);
        let rest = (len > self.geometry.key_words * 8).then(|| {
            &self.words()[self.geometry.overflow(number)..][..self.geometry.overflow_words]
        });
        for (word, value) in key
            .words
            .iter_mut()
            .zip(inline.chain(rest.unwrap_or_default()))
        {
            *word = value.load(Ordering::Relaxed);
        }
        key
    }
}
