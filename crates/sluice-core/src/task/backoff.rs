//! The wait between two tries of a task.

/// How long a task waits before it is tried again, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backoff {
    /// Always as long.
    Fixed(u64),
    /// Twice as long each time.
    Exponential {
        /// After the first try.
        base: u64,
        /// Never longer.
        max: u64,
        /// Anything between half of that and all of it, so that what failed together is not tried together.
        jitter: bool,
    },
}

impl Backoff {
    /// The wait after the try number `attempt`, from 1 on.
    pub(super) fn wait(self, attempt: u32, random: &mut Random) -> u64 {
        match self {
            Self::Fixed(ms) => ms,
            Self::Exponential { base, max, jitter } => {
                let power = 1u64
                    .checked_shl(attempt.saturating_sub(1))
                    .unwrap_or(u64::MAX);
                let full = base.saturating_mul(power).min(max);
                if !jitter {
                    return full;
                }
                let half = full / 2;
                half + random.below((full - half).saturating_add(1))
            }
        }
    }
}

/// A source of numbers that are spread well enough for waits (xorshift64*, Marsaglia 2003, Vigna 2016).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub(super) fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.max(1))
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let spread = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        ((u128::from(spread) * u128::from(end)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(backoff: Backoff, attempts: std::ops::RangeInclusive<u32>) -> Vec<u64> {
        let mut random = Random::new(7);
        attempts.map(|n| backoff.wait(n, &mut random)).collect()
    }

    fn exponential(base: u64, max: u64, jitter: bool) -> Backoff {
        Backoff::Exponential { base, max, jitter }
    }

    #[test]
    fn it_is_fixed_or_doubles_up_to_its_bound() {
        assert_eq!(waits(Backoff::Fixed(30), 1..=3), [30, 30, 30]);
        assert_eq!(
            waits(exponential(100, 500, false), 1..=5),
            [100, 200, 400, 500, 500]
        );
        assert_eq!(
            waits(exponential(1, u64::MAX, false), 64..=66),
            [1 << 63, u64::MAX, u64::MAX]
        );
        assert_eq!(waits(exponential(0, 500, false), 1..=2), [0, 0]);
    }

    #[test]
    fn jitter_lies_between_half_and_all_of_it_and_reaches_both() {
        let mut random = Random::new(0);
        let mut seen = [0u32; 11];
        for _ in 0..1_000 {
            let wait = exponential(5, 20, true).wait(9, &mut random);
            assert!((10..=20).contains(&wait), "{wait}");
            seen[wait as usize - 10] += 1;
        }
        assert!(seen.iter().all(|&times| times > 40), "{seen:?}");
        assert_eq!(waits(exponential(0, 9, true), 1..=2), [0, 0]);
        let widest = exponential(u64::MAX, u64::MAX, true).wait(3, &mut random);
        assert!(widest >= u64::MAX / 2);
    }
}
