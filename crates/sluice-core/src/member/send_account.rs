//! How much one connection has been sent that its peer has not been given yet.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

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
