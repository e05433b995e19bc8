//! The word of a row that says whose it is and who writes to it.
//!
//! | bits | |
//! |---|---|
//! | 0 to 9 | the slot of the process that writes; 0: nobody |
//! | 10 to 26 | the row's stripe + 1; 0: the row is free |
//! | 27 to 34 | bytes of its key |
//! | 35 to 63 | how often it was written: made, changed, removed |
//!
//! A writer takes the row by putting its slot there, provided that the word is still as it was when the row was looked at: then its
//! key is, too. A reader takes nothing: it looks at the word, reads the row, looks again, and does it over when the two differ.

use crate::sync::{AtomicU64, Ordering, fence};

const SLOT: u64 = (1 << 10) - 1;
const STRIPE_SHIFT: u32 = 10;
const STRIPE: u64 = (1 << 17) - 1;
const KEY_SHIFT: u32 = 27;
const KEY: u64 = 0xFF;
const WRITE_SHIFT: u32 = 35;
const WRITE: u64 = 1 << WRITE_SHIFT;

/// After so many writes the count of a row begins anew.
pub(super) const WRITES_MAX: u64 = 1 << (64 - WRITE_SHIFT);

/// What the word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowState(u64);

impl RowState {
    /// Who writes; 0: nobody.
    #[inline]
    pub(super) fn slot(self) -> u16 {
        (self.0 & SLOT) as u16
    }

    /// `None`: the row is free.
    #[inline]
    pub(super) fn stripe(self) -> Option<u32> {
        ((self.0 >> STRIPE_SHIFT & STRIPE) as u32).checked_sub(1)
    }

    /// Of a row that nobody is just taking, either.
    #[inline]
    pub(super) fn is_free(self) -> bool {
        self.0 & (STRIPE << STRIPE_SHIFT | SLOT) == 0
    }

    #[inline]
    pub(super) fn key_len(self) -> usize {
        (self.0 >> KEY_SHIFT & KEY) as usize
    }

    /// Whether the row is one of a stripe with a key of so many bytes, and nobody writes.
    #[inline]
    pub(super) fn is(self, stripe: u32, key_len: usize) -> bool {
        self.0 & (WRITE - 1) == owned(stripe, key_len)
    }

    pub(super) fn writes(self) -> u64 {
        self.0 >> WRITE_SHIFT
    }

    /// The same after a write, when nobody writes any more.
    #[inline]
    fn written(self) -> Self {
        Self((self.0 & !SLOT).wrapping_add(WRITE))
    }
}

#[inline]
fn owned(stripe: u32, key_len: usize) -> u64 {
    u64::from(stripe + 1) << STRIPE_SHIFT | (key_len as u64 & KEY) << KEY_SHIFT
}

/// The word of one row.
#[derive(Clone, Copy)]
pub(super) struct RowWord<'a>(pub(super) &'a AtomicU64);

impl RowWord<'_> {
    /// Before reading.
    #[inline]
    pub(super) fn look(self) -> RowState {
        // Acquire: pairs with the Release of `unlock` and `free`.
        RowState(self.0.load(Ordering::Acquire))
    }

    /// After reading what nobody wrote to when it was looked at: still nobody has, so what was read belongs together.
    #[inline]
    pub(super) fn is_unchanged(self, seen: RowState) -> bool {
        // Pairs with the Release fence of `exchange`: who has read anything of a write sees here that the row was taken for it.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == seen.0
    }

    /// Takes a row that nobody writes to, if it is still as it was seen.
    #[inline]
    pub(super) fn try_lock(self, seen: RowState, slot: u16) -> bool {
        seen.slot() == 0 && self.exchange(seen, seen.0 | u64::from(slot))
    }

    /// Takes a free row for a key, and to write to it.
    pub(super) fn try_own(self, stripe: u32, key_len: usize, slot: u16) -> bool {
        let seen = self.look();
        let writes = seen.0 & !(WRITE - 1);
        seen.is_free() && self.exchange(seen, writes | owned(stripe, key_len) | u64::from(slot))
    }

    #[inline]
    fn exchange(self, seen: RowState, word: u64) -> bool {
        // Acquire: pairs with the Release of the last writer; what it wrote is seen.
        let done = self
            .0
            .compare_exchange(seen.0, word, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        fence(Ordering::Release);
        done
    }

    /// Lets go of a row that was taken by the caller and written to. True: the count of its writes has begun anew.
    #[inline]
    pub(super) fn unlock(self) -> bool {
        let state = RowState(self.0.load(Ordering::Relaxed)).written();
        self.0.store(state.0, Ordering::Release);
        state.writes() == 0
    }

    /// Lets go of a row that was taken by the caller and not written to: what was seen before still holds.
    pub(super) fn unlock_unchanged(self) {
        let word = self.0.load(Ordering::Relaxed);
        self.0.store(word & !SLOT, Ordering::Release);
    }

    /// Lets go of a row that a process had taken that does not live any more. False: somebody else was faster.
    pub(super) fn release(self, seen: RowState) -> bool {
        self.0
            .compare_exchange(
                seen.0,
                seen.written().0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Makes a row free that was taken by the caller, or by a process that does not live any more. True: as for `unlock`.
    pub(super) fn free(self) -> bool {
        let state = RowState(self.0.load(Ordering::Relaxed)).written();
        // Release: pairs with the Acquire of the next one who takes it; the row's words are its from then on.
        self.0.store(state.0 & !(WRITE - 1), Ordering::Release);
        state.writes() == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_goes_through_its_life(
            stripe in 0..65_536_u32, len in 1..=255_usize, slot in 1..1024_u16, writes in 0..WRITES_MAX,
        ) {
            let atomic = AtomicU64::new(writes << WRITE_SHIFT);
            let word = RowWord(&atomic);
            let free = word.look();
            prop_assert!(free.is_free() && free.stripe().is_none() && free.writes() == writes);

            prop_assert!(word.try_own(stripe, len, slot));
            prop_assert!(!word.try_own(stripe, len, slot));
            let taken = word.look();
            prop_assert_eq!((taken.stripe(), taken.key_len(), taken.slot()), (Some(stripe), len, slot));
            prop_assert!(!taken.is(stripe, len) && !taken.is_free());
            prop_assert!(!word.try_lock(taken, slot));
            prop_assert_eq!(word.unlock(), writes + 1 == WRITES_MAX);

            let made = word.look();
            prop_assert!(made.is(stripe, len) && !made.is(stripe ^ 1, len) && !made.is(stripe, len - 1));
            prop_assert!(!word.try_lock(free, slot));
            prop_assert!(word.try_lock(made, slot));
            word.unlock_unchanged();
            prop_assert!(word.is_unchanged(made));

            prop_assert!(word.try_lock(made, slot));
            let held = word.look();
            prop_assert!(word.release(held) && !word.release(held));
            prop_assert!(word.look().is(stripe, len) && !word.is_unchanged(made));

            prop_assert!(word.try_lock(word.look(), slot));
            word.free();
            prop_assert!(word.look().is_free());
            prop_assert_eq!(word.look().writes(), (writes + 3) % WRITES_MAX);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::Arc;

    const STRIPE: u32 = 3;

    struct Shared {
        word: AtomicU64,
        /// What the row's key stands for, and two columns that belong to it.
        data: [AtomicU64; 3],
    }

    /// A row with key 7.
    fn shared() -> Arc<Shared> {
        Arc::new(Shared {
            word: AtomicU64::new(owned(STRIPE, 1)),
            data: [AtomicU64::new(7), AtomicU64::new(0), AtomicU64::new(0)],
        })
    }

    fn put(shared: &Shared, key: u64, value: u64) {
        for (word, value) in shared.data.iter().zip([key, value, value]) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Adds to the columns of the row if it has key 7.
    fn add(shared: &Shared, slot: u16) -> bool {
        let word = RowWord(&shared.word);
        let seen = word.look();
        if !seen.is(STRIPE, 1)
            || shared.data[0].load(Ordering::Relaxed) != 7
            || !word.try_lock(seen, slot)
        {
            return false;
        }
        // It has had this key since it was seen.
        assert_eq!(shared.data[0].load(Ordering::Relaxed), 7);
        let value = shared.data[1].load(Ordering::Relaxed);
        put(shared, 7, value + 1);
        word.unlock();
        true
    }

    /// Removes the row and makes one with another key of it.
    fn replace(shared: &Shared, slot: u16) -> bool {
        let word = RowWord(&shared.word);
        let seen = word.look();
        if !word.try_lock(seen, slot) {
            return false;
        }
        word.free();
        if word.try_own(STRIPE, 1, slot) {
            put(shared, 8, 100);
            word.unlock();
        }
        true
    }

    fn read(shared: &Shared) {
        let word = RowWord(&shared.word);
        let seen = word.look();
        if !seen.is(STRIPE, 1) {
            return;
        }
        let [key, first, second] = [0, 1, 2].map(|at| shared.data[at].load(Ordering::Relaxed));
        if word.is_unchanged(seen) {
            assert_eq!(first, second);
            assert_eq!(key == 8, first == 100);
        }
    }

    #[test]
    fn a_reader_sees_a_row_whole_and_with_its_own_key() {
        loom::model(|| {
            let shared = shared();
            let writer = {
                let shared = shared.clone();
                loom::thread::spawn(move || {
                    add(&shared, 1);
                    replace(&shared, 1);
                })
            };
            read(&shared);
            writer.join().unwrap();
        });
    }

    #[test]
    fn two_who_add_lose_nothing() {
        loom::model(|| {
            let shared = shared();
            let other = {
                let shared = shared.clone();
                loom::thread::spawn(move || add(&shared, 1))
            };
            let mine = add(&shared, 2);
            let done = u64::from(mine) + u64::from(other.join().unwrap());
            assert!(done > 0);
            assert_eq!(shared.data[1].load(Ordering::Relaxed), done);
            assert_eq!(shared.data[2].load(Ordering::Relaxed), done);
        });
    }

    #[test]
    fn nobody_writes_to_a_row_that_has_become_anothers() {
        loom::model(|| {
            let shared = shared();
            let other = {
                let shared = shared.clone();
                loom::thread::spawn(move || replace(&shared, 1))
            };
            add(&shared, 2);
            if other.join().unwrap() {
                assert_eq!(shared.data[1].load(Ordering::Relaxed), 100);
            }
        });
    }

    #[test]
    fn of_two_who_release_a_dead_writers_row_one_does() {
        loom::model(|| {
            let shared = shared();
            let word = RowWord(&shared.word);
            assert!(word.try_lock(word.look(), 9));
            let release = |shared: &Shared| {
                let word = RowWord(&shared.word);
                let seen = word.look();
                seen.slot() == 9 && word.release(seen)
            };
            let other = {
                let shared = shared.clone();
                loom::thread::spawn(move || release(&shared))
            };
            let mine = release(&shared);
            assert!(mine != other.join().unwrap());
        });
    }
}
