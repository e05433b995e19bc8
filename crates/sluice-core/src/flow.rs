//! Flow control of a streamed request body: how much the reactor may hand over before the handler
//! has consumed what it has.

/// The credit of one streamed body, in bytes. Owned by the reactor; the worker returns credit by a command.
///
/// Invariant: `available() <= window`. What the worker holds unread is therefore never more than the
/// window, whatever it claims to have read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    window: usize,
    available: usize,
}

impl Credit {
    /// A full window of `window` bytes. 0 lets nothing through.
    pub fn new(window: usize) -> Self {
        Self {
            window,
            available: window,
        }
    }

    /// How many bytes may be handed over now. At 0 the reactor stops reading the socket.
    pub fn available(&self) -> usize {
        self.available
    }

    /// Spends `bytes`. False, and nothing is spent, if that is more than [`available`](Self::available).
    pub fn take(&mut self, bytes: usize) -> bool {
        match self.available.checked_sub(bytes) {
            Some(rest) => {
                self.available = rest;
                true
            }
            None => false,
        }
    }

    /// Returns `bytes` and gives the new [`available`](Self::available). The number comes from
    /// JavaScript, so a total above the window is cut to the window.
    pub fn give(&mut self, bytes: usize) -> usize {
        self.available = self.available.saturating_add(bytes).min(self.window);
        self.available
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn take_spends_up_to_the_window_and_no_byte_more() {
        let mut credit = Credit::new(10);
        assert!(credit.take(4));
        assert!(!credit.take(7));
        assert_eq!(credit.available(), 6);
        assert!(credit.take(6));
        assert_eq!(credit.available(), 0);
        assert!(!credit.take(1));
        assert!(credit.take(0));
    }

    #[test]
    fn give_returns_what_was_taken() {
        let mut credit = Credit::new(10);
        assert!(credit.take(10));
        assert_eq!(credit.give(3), 3);
        assert!(credit.take(3));
        assert!(!credit.take(1));
    }

    #[test]
    fn a_hostile_give_stops_at_the_window() {
        let mut credit = Credit::new(10);
        assert_eq!(credit.give(1), 10);
        assert!(credit.take(5));
        assert_eq!(credit.give(usize::MAX), 10);
    }

    proptest! {
        #[test]
        fn what_is_out_never_passes_the_window(
            window in 0usize..1000,
            steps in prop::collection::vec((any::<bool>(), 0usize..2000), 0..50),
        ) {
            let mut credit = Credit::new(window);
            let mut out = 0usize;
            for (taking, bytes) in steps {
                if taking {
                    let fits = out + bytes <= window;
                    prop_assert_eq!(credit.take(bytes), fits);
                    if fits {
                        out += bytes;
                    }
                } else {
                    credit.give(bytes);
                    out = out.saturating_sub(bytes);
                }
                prop_assert_eq!(credit.available(), window - out);
            }
        }
    }
}
