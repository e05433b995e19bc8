//! Latencies, counted in buckets.

use std::time::Duration;

/// Buckets per power of two: a percentile is exact to 1/64 of its value.
const STEPS: usize = 64;
/// Powers of two that are told apart: up to 2^40 ns, eighteen minutes; more counts as that.
const OCTAVES: usize = 40 - STEPS.ilog2() as usize;

/// How often each latency was seen. Fixed in size, so that recording never allocates.
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![0; (OCTAVES + 1) * STEPS],
            count: 0,
            max: 0,
        }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = latency.as_nanos() as u64;
        let last = self.buckets.len() - 1;
        self.buckets[bucket(nanos).min(last)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The least latency that `percent` of all are not above; zero when none was recorded.
    pub(crate) fn percentile(&self, percent: u64) -> Duration {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return Duration::from_nanos(upper_end(index).min(self.max));
            }
        }
        Duration::ZERO
    }
}

/// Values below `2 * STEPS` have a bucket each; above, an octave is cut into `STEPS`.
fn bucket(nanos: u64) -> usize {
    let shift = (nanos | 1).ilog2().saturating_sub(STEPS.ilog2());
    shift as usize * STEPS + (nanos >> shift) as usize
}

fn upper_end(bucket: usize) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    let lower = ((bucket - shift * STEPS) as u64) << shift;
    lower + (1 << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_hold_what_they_say() {
        for nanos in (0..5_000).chain((1..40).map(|bit| (1 << bit) - 1)) {
            assert!(upper_end(bucket(nanos)) >= nanos, "{nanos}");
            assert!(
                bucket(nanos) == 0 || upper_end(bucket(nanos) - 1) < nanos,
                "{nanos}"
            );
        }
    }

    #[test]
    fn percentiles_are_exact_to_a_sixty_fourth() {
        let mut latencies = Histogram::new();
        for micros in 1..=1_000 {
            latencies.record(Duration::from_micros(micros));
        }
        for (percent, exact) in [(50, 500_000), (99, 990_000)] {
            let found = latencies.percentile(percent).as_nanos() as u64;
            assert!(
                found >= exact && found <= exact + exact / 64,
                "{percent} %: {found}"
            );
        }
        assert_eq!(latencies.percentile(100), Duration::from_millis(1));
        assert_eq!(latencies.max(), Duration::from_millis(1));
    }

    #[test]
    fn nothing_recorded_is_zero_and_the_longest_is_still_counted() {
        let mut latencies = Histogram::new();
        assert_eq!(latencies.percentile(99), Duration::ZERO);
        latencies.record(Duration::from_secs(1 << 20));
        assert_eq!(latencies.count(), 1);
    }
}
