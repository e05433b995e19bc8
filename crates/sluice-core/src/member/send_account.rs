//! How much one connection has been sent that its peer has not been given yet.

use crate::sync::{AtomicBool, AtomicUsize, Ordering, fence};

/// The bounds of an account, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLimits {
    /// What may be queued: `limits.sendBuffer`.
    pub buffer: usize,
    /// Above this senders are asked to wait: `limits.highWaterMark`.
    pub high: usize,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is not to be sent: there is no room for it. The owner is told once there is.
    Full,
    /// It is to be sent, and what is queued is above the high-water mark. The owner is told when it no longer is.
    Slow,
    /// It is to be sent.
    Ok,
}

/// Bytes sent by any thread and not yet on the wire. Senders [`claim`](Self::claim), the connection's reactor does the rest.
///
/// # Orderings
///
/// The counts publish nothing, as the message itself crosses by a lane; they are changed by read-modify-write operations
/// or by the reactor alone, so `Relaxed` keeps them exact. The mark is different. A sender that finds no room sets it
/// and sends nothing, so no later write of the reactor is certain to look at it again; and the reactor that has just
/// made room looks at it once. Each therefore writes, passes a `SeqCst` fence and then reads what the other writes: of
/// two fences one is first, so the sender sees the room or the reactor the mark.
#[derive(Debug, Default)]
pub struct SendAccount {
    /// Claimed, and not yet with the reactor.
    under_way: AtomicUsize,
    /// In the reactor's output.
    output: AtomicUsize,
    /// The owner waits to be told that there is room.
    wants_drain: AtomicBool,
}

impl SendAccount {
    /// Counts a message of `len` bytes that is about to be sent, unless it finds no room. A message always finds room
    /// when nothing at all is queued, even if it is longer than the buffer. Call before it is sent; what is counted
    /// [`arrived`](Self::arrived) some day.
    pub fn claim(&self, len: usize, limits: &SendLimits) -> Claim {
        if let Some(claim) = self.try_claim(len, limits) {
            return claim;
        }
        self.wants_drain.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Room that came before the mark may have been the last to come.
        self.try_claim(len, limits).unwrap_or(Claim::Full)
    }

    fn try_claim(&self, len: usize, limits: &SendLimits) -> Option<Claim> {
        let output = self.output.load(Ordering::Relaxed);
        let fits = |under_way: usize| {
            let queued = under_way.saturating_add(output);
            let after = queued.checked_add(len)?;
            (queued == 0 || after <= limits.buffer).then_some(after - output)
        };
        let before = self
            .under_way
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .ok()?;
        if before.saturating_add(output).saturating_add(len) > limits.high {
            // Before the message is sent, so the reactor that gets the message sees the mark.
            self.wants_drain.store(true, Ordering::Relaxed);
            return Some(Claim::Slow);
        }
        Some(Claim::Ok)
    }

    /// The reactor has a message of `len` bytes; what is left of it is part of the next [`set_output`](Self::set_output).
    pub fn arrived(&self, len: usize) {
        // Never below nothing: the account would be full for ever.
        let less = |under_way: usize| Some(under_way.saturating_sub(len));
        let _ = self
            .under_way
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// What lies in the reactor's output now. By the reactor only.
    pub fn set_output(&self, bytes: usize) {
        self.output.store(bytes, Ordering::Relaxed);
    }

    /// Bytes sent and not yet on the wire.
    pub fn queued(&self) -> usize {
        let output = self.output.load(Ordering::Relaxed);
        self.under_way
            .load(Ordering::Relaxed)
            .saturating_add(output)
    }

    /// True once when a claim found the account full or slow and now at most `low` bytes are queued. By the reactor
    /// only, after every [`arrived`](Self::arrived) and [`set_output`](Self::set_output) that may have made room.
    pub fn take_wants_drain(&self, low: usize) -> bool {
        fence(Ordering::SeqCst);
        self.wants_drain.load(Ordering::Relaxed)
            && self.queued() <= low
            && self.wants_drain.swap(false, Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: SendLimits = SendLimits {
        buffer: 100,
        high: 80,
    };
    const LOW: usize = 25;

    #[test]
    fn messages_are_taken_up_to_the_buffer() {
        let account = SendAccount::default();
        assert_eq!(account.claim(80, &LIMITS), Claim::Ok);
        assert_eq!(account.claim(20, &LIMITS), Claim::Slow);
        assert_eq!(account.claim(1, &LIMITS), Claim::Full);
        assert_eq!(account.queued(), 100);
    }

    #[test]
    fn one_message_is_always_taken_when_nothing_is_queued() {
        let account = SendAccount::default();
        assert_eq!(account.claim(1000, &LIMITS), Claim::Slow);
        assert_eq!(account.claim(0, &LIMITS), Claim::Full);
        account.arrived(1000);
        account.set_output(1);
        assert_eq!(account.claim(100, &LIMITS), Claim::Full);
        account.set_output(0);
        assert_eq!(account.claim(100, &LIMITS), Claim::Slow);
    }

    #[test]
    fn the_owner_is_told_once_and_not_before_the_low_mark() {
        let account = SendAccount::default();
        account.claim(90, &LIMITS);
        assert!(!account.take_wants_drain(LOW));
        account.arrived(90);
        account.set_output(LOW + 1);
        assert!(!account.take_wants_drain(LOW));
        account.set_output(LOW);
        assert!(account.take_wants_drain(LOW));
        assert!(!account.take_wants_drain(LOW));
    }

    #[test]
    fn more_than_was_claimed_leaves_nothing() {
        let account = SendAccount::default();
        account.claim(10, &LIMITS);
        account.arrived(11);
        assert_eq!(account.queued(), 0);
    }

    proptest! {
        /// One thread, so every claim has the one right answer.
        #[test]
        fn it_counts_what_is_queued(steps in prop::collection::vec((0..4_u8, 0..150_usize), 0..200)) {
            let account = SendAccount::default();
            let (mut lane, mut output, mut waits) = (Vec::new(), 0, false);
            for (action, len) in steps {
                let queued = lane.iter().sum::<usize>() + output;
                match action {
                    0 | 1 => {
                        let expected = if queued > 0 && queued + len > LIMITS.buffer {
                            Claim::Full
                        } else if queued + len > LIMITS.high {
                            Claim::Slow
                        } else {
                            Claim::Ok
                        };
                        prop_assert_eq!(account.claim(len, &LIMITS), expected);
                        if expected != Claim::Full {
                            lane.push(len);
                        }
                        waits |= expected != Claim::Ok;
                    }
                    2 if !lane.is_empty() => {
                        let arrived = lane.remove(0);
                        account.arrived(arrived);
                        output += arrived;
                        account.set_output(output);
                    }
                    _ => {
                        output = output.saturating_sub(len);
                        account.set_output(output);
                    }
                }
                let queued = lane.iter().sum::<usize>() + output;
                prop_assert_eq!(account.queued(), queued);
                prop_assert_eq!(account.take_wants_drain(LOW), waits && queued <= LOW);
                waits &= queued > LOW;
            }
        }
    }
}
