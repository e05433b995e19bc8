//! Which rows are free. The truth is each row's word; a bitmap says where to look.

use crate::sync::Ordering;

use super::Table;

impl Table {
    /// Marks every row free in the bitmap of a new table.
    pub(super) fn init_free(&self) {
        let rows = self.geometry.rows;
        let words = &self.words()[self.geometry.free_start..];
        for (word, first) in words.iter().zip((0..rows).step_by(64)) {
            let left = rows - first;
            let bits = if left >= 64 {
                u64::MAX
            } else {
                (1 << left) - 1
            };
            word.store(bits, Ordering::Relaxed);
        }
    }

    /// Takes `candidate`, or else any free row, for a key of a stripe whose lock the caller holds, and the row's own lock.
    /// `announce` is told of each row before it is tried.
    pub(super) fn take_row(
        &self,
        stripe: u32,
        key_len: usize,
        candidate: Option<u32>,
        announce: impl Fn(u32),
    ) -> Option<u32> {
        // Announced before its bit is cleared: whoever mends this stripe sets the bit again.
        let take = |number: u32| {
            announce(number);
            self.clear_free(number) && self.row_word(number).try_own(stripe, key_len, self.slot)
        };
        if let Some(number) = candidate.filter(|number| take(*number)) {
            return Some(number);
        }
        let len = self.geometry.rows.div_ceil(64);
        let first = self.free_hint.load(Ordering::Relaxed).min(len - 1);
        for index in (first..len).chain(0..first) {
            let word = &self.words()[self.geometry.free_start + index as usize];
            let mut bits = word.load(Ordering::Relaxed);
            while bits != 0 {
                let number = index * 64 + bits.trailing_zeros();
                if number < self.geometry.rows && take(number) {
                    self.free_hint.store(index, Ordering::Relaxed);
                    return Some(number);
                }
                bits &= bits - 1;
            }
        }
        None
    }

    /// Gives a row back that no link leads to, and whose lock the caller holds.
    pub(super) fn give_row(&self, number: u32) {
        self.count_writes(self.row_word(number).free());
        self.set_free(number);
        self.is_exhausted
            .store(false, std::sync::atomic::Ordering::Relaxed);
    }

    /// True for the one who cleared the bit.
    fn clear_free(&self, number: u32) -> bool {
        let bit = 1 << (number % 64);
        let word = &self.words()[self.geometry.free_start + number as usize / 64];
        word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
    }

    pub(super) fn set_free(&self, number: u32) {
        let bit = 1 << (number % 64);
        let word = &self.words()[self.geometry.free_start + number as usize / 64];
        word.fetch_or(bit, Ordering::Relaxed);
    }

    /// Looks for rows that are free although the bitmap does not know, and for such as processes had in their hands that were
    /// killed.
    pub(super) fn find_lost_rows(&self) -> bool {
        let mut found = false;
        self.recover_dead();
        for number in 0..self.geometry.rows {
            if self.row_word(number).look().is_free() {
                self.set_free(number);
                found = true;
            }
        }
        found
    }
}
