//! The wake flag: who sleeps says so, and exactly one producer wakes it.

use crate::sync::{AtomicU32, Ordering, fence};

/// A consumer's "I am about to sleep" flag.
///
/// Dekker's protocol, so that no wake-up is lost and few are sent:
///
/// | producer | consumer |
/// |---|---|
/// | publish (Release) | [`prepare`](Self::prepare) |
/// | [`try_unpark`](Self::try_unpark); if true, wake it | look at everything again; if there is work, [`cancel`](Self::cancel) |
/// | | else sleep; whoever wakes it has cleared the flag |
///
/// Both sides fence between their store and their load, so at least one sees the other. The worker
/// block has the same flag at offset 0, where JavaScript is the consumer.
#[derive(Debug)]
#[repr(transparent)]
pub struct Parked(AtomicU32);

impl Parked {
    /// An awake consumer.
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Consumer: announces sleep. Look at every source of work after this and before sleeping.
    #[inline]
    pub fn prepare(&self) {
        // A store would do. The models want the swap: they do not know that a producer's swap and a
        // store that follows the value it has read cannot change places.
        self.0.swap(1, Ordering::AcqRel);
        // Pairs with the fence in `try_unpark`.
        fence(Ordering::SeqCst);
    }

    /// Consumer: stays awake after all. False when a producer has cleared the flag first: its wake
    /// is on the way and will find the consumer awake, which does no harm.
    #[inline]
    pub fn cancel(&self) -> bool {
        self.0.swap(0, Ordering::AcqRel) == 1
    }

    /// Producer, after publishing: true when the consumer sleeps and this caller is the one to wake it.
    #[inline]
    #[must_use = "true means that nobody else will wake the consumer"]
    pub fn try_unpark(&self) -> bool {
        // Pairs with the fence in `prepare` (JavaScript: with its SeqCst store): either this load
        // sees the flag, or the consumer's second look sees what was published.
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) == 1 && self.0.swap(0, Ordering::AcqRel) == 1
    }

    /// True between [`prepare`](Self::prepare) and a wake-up. A hint for statistics and watchdogs.
    #[inline]
    pub fn is_parked(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }
}

impl Default for Parked {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_producer_wakes_a_parked_consumer() {
        let parked = Parked::new();
        parked.prepare();
        assert!(parked.is_parked());
        assert!(parked.try_unpark());
        assert!(!parked.try_unpark());
        assert!(!parked.is_parked());
    }

    #[test]
    fn an_awake_consumer_is_not_woken() {
        assert!(!Parked::new().try_unpark());
    }

    #[test]
    fn cancel_tells_who_was_first() {
        let parked = Parked::new();
        parked.prepare();
        assert!(parked.cancel());
        parked.prepare();
        assert!(parked.try_unpark());
        assert!(!parked.cancel());
    }

    #[test]
    fn a_value_other_than_one_is_not_parked() {
        // The flag in a worker block is JavaScript's to write.
        let parked = Parked(AtomicU32::new(7));
        assert!(!parked.is_parked());
        assert!(!parked.try_unpark());
    }
}
