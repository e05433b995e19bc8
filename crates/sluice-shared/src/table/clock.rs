//! The machine's monotonic clock, the same in all its processes.

use rustix::time::{ClockId, clock_gettime};

/// Where the time of a table comes from.
#[derive(Default)]
pub(super) struct Clock {
    #[cfg(test)]
    ahead_ms: std::sync::atomic::AtomicU64,
}

impl Clock {
    pub(super) fn now_ns(&self) -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
        #[cfg(test)]
        let now = now + self.ahead_ms.load(std::sync::atomic::Ordering::Relaxed) * 1_000_000;
        now
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ns() / 1_000_000
    }

    #[cfg(test)]
    pub(super) fn go_on(&self, ms: u64) {
        self.ahead_ms
            .fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    }
}
