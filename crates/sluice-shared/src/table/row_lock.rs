//! The lock of a stripe of rows: one word that says who writes, and how often somebody has written.
//!
//! A writer puts its process's slot into the lower bits; when it is done it clears them and counts the upper ones. A reader
//! takes no lock: it reads the word, then the rows, then the word again, and does it over when the two differ.

use crate::sync::{AtomicU64, Ordering, fence};

const OWNER: u64 = 0xFFFF;
const COUNT: u64 = OWNER + 1;

/// The lock word of one stripe.
#[derive(Clone, Copy)]
pub(super) struct RowLock<'a>(pub(super) &'a AtomicU64);

/// Who holds a lock that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    word: u64,
}

impl Held {
    pub(super) fn owner(self) -> u16 {
        (self.word & OWNER) as u16
    }
}

/// A reader's view of the lock before it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen(u64);

impl RowLock<'_> {
    /// Takes the lock for the process in `slot`.
    #[inline]
    pub(super) fn try_lock(self, slot: u16) -> Result<(), Held> {
        let word = self.0.load(Ordering::Relaxed);
        if word & OWNER != 0 {
            return Err(Held { word });
        }
        // Acquire: pairs with the Release of `unlock`; what the last holder wrote is seen.
        self.0
            .compare_exchange(
                word,
                word | u64::from(slot),
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .map_err(|word| Held { word })?;
        // Pairs with the Acquire fence of `is_unchanged`: a reader that sees anything written from here on sees the lock taken, too.
        fence(Ordering::Release);
        Ok(())
    }

    /// Takes the lock from a holder that does not live any more.
    pub(super) fn steal(self, held: Held, slot: u16) -> bool {
        let stolen = (held.word & !OWNER) | u64::from(slot);
        let done = self
            .0
            .compare_exchange(held.word, stolen, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        fence(Ordering::Release);
        done
    }

    /// Lets go of the lock. The caller holds it.
    #[inline]
    pub(super) fn unlock(self) {
        let word = self.0.load(Ordering::Relaxed);
        self.0
            .store((word & !OWNER).wrapping_add(COUNT), Ordering::Release);
    }

    /// Before reading: the state of the lock, unless somebody writes.
    #[inline]
    pub(super) fn look(self) -> Result<Seen, Held> {
        // Acquire: pairs with the Release of `unlock`.
        let word = self.0.load(Ordering::Acquire);
        if word & OWNER == 0 {
            Ok(Seen(word))
        } else {
            Err(Held { word })
        }
    }

    /// After reading: nobody has written since [`look`](Self::look), so what was read belongs together.
    #[inline]
    pub(super) fn is_unchanged(self, seen: Seen) -> bool {
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == seen.0
    }

    /// Who holds it now.
    pub(super) fn owner(self) -> u16 {
        (self.0.load(Ordering::Relaxed) & OWNER) as u16
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::Arc;

    struct Shared {
        lock: AtomicU64,
        data: [AtomicU64; 2],
    }

    fn shared() -> Arc<Shared> {
        Arc::new(Shared {
            lock: AtomicU64::new(0),
            data: [AtomicU64::new(0), AtomicU64::new(0)],
        })
    }

    fn add(shared: &Shared, slot: u16) -> bool {
        let lock = RowLock(&shared.lock);
        if lock.try_lock(slot).is_err() {
            return false;
        }
        for word in &shared.data {
            word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        lock.unlock();
        true
    }

    #[test]
    fn a_reader_never_takes_half_a_write_for_a_whole_one() {
        loom::model(|| {
            let shared = shared();
            let writer = {
                let shared = shared.clone();
                loom::thread::spawn(move || add(&shared, 1))
            };
            let lock = RowLock(&shared.lock);
            if let Ok(seen) = lock.look() {
                let [first, second] = [0, 1].map(|word| shared.data[word].load(Ordering::Relaxed));
                if lock.is_unchanged(seen) {
                    assert_eq!(first, second);
                }
            }
            assert!(writer.join().unwrap());
        });
    }

    #[test]
    fn two_writers_never_write_at_once() {
        loom::model(|| {
            let shared = shared();
            let other = {
                let shared = shared.clone();
                loom::thread::spawn(move || add(&shared, 1))
            };
            let mine = add(&shared, 2);
            let done = u64::from(mine) + u64::from(other.join().unwrap());
            assert!(done > 0);
            assert_eq!(
                shared
                    .data
                    .each_ref()
                    .map(|word| word.load(Ordering::Relaxed)),
                [done, done]
            );
            assert_eq!(RowLock(&shared.lock).owner(), 0);
        });
    }

    #[test]
    fn of_two_who_steal_a_dead_holders_lock_one_gets_it() {
        loom::model(|| {
            let shared = shared();
            RowLock(&shared.lock).try_lock(9).unwrap();
            let steal = |shared: &Shared, slot| {
                let lock = RowLock(&shared.lock);
                let Err(held) = lock.look() else { return false };
                held.owner() == 9 && lock.steal(held, slot)
            };
            let other = {
                let shared = shared.clone();
                loom::thread::spawn(move || steal(&shared, 1))
            };
            let mine = steal(&shared, 2);
            assert!(mine != other.join().unwrap());
        });
    }
}
