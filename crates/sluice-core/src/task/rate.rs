//! How often tasks of a queue may begin.

/// A token bucket: it holds `limit` tokens, is full at first, and gets `limit` more evenly over each `per` milliseconds. Each call takes one. So within
/// any time t there are at most `limit + t · limit / per` calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens; 0 is 1.
    pub limit: u32,
    /// Milliseconds; 0: no bound.
    pub per: u64,
}

/// The state of a bucket, as the generic cell rate algorithm keeps it (ITU-T I.371): the time at which it would be full, here in
/// milliseconds times the limit, so that nothing is rounded.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    limit: u128,
    per: u128,
    full_at: u128,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            limit: u128::from(rate.limit.max(1)),
            per: u128::from(rate.per),
            full_at: 0,
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// When there will be one.
    pub(super) fn take(&mut self, now: u64) -> Result<(), u64> {
        let now = u128::from(now) * self.limit;
        let full_at = self.full_at.max(now) + self.per;
        let room = self.per * self.limit;
        if full_at > now + room {
            let wait_until = (full_at - room).div_ceil(self.limit);
            return Err(u64::try_from(wait_until).unwrap_or(u64::MAX));
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_gives_all_at_once_and_then_one_by_one() {
        let mut bucket = Bucket::new(Rate { limit: 3, per: 100 });
        for _ in 0..3 {
            assert_eq!(bucket.take(1_000), Ok(()));
        }
        assert_eq!(bucket.take(1_000), Err(1_034));
        assert_eq!(bucket.take(1_033), Err(1_034));
        assert_eq!(bucket.take(1_034), Ok(()));
        assert_eq!(bucket.take(1_034), Err(1_067));
        assert_eq!(bucket.take(1_067), Ok(()));
        assert_eq!(bucket.take(1_099), Err(1_100), "nothing is rounded");
        assert_eq!(bucket.take(1_100), Ok(()));
        for _ in 0..3 {
            assert_eq!(bucket.take(9_000), Ok(()));
        }
        assert!(bucket.take(9_000).is_err(), "no more than it holds");
    }

    #[test]
    fn there_are_never_more_than_it_holds_and_gets() {
        for (limit, per) in [(1, 10), (7, 1), (5, 1_000), (1_000, 3)] {
            let mut bucket = Bucket::new(Rate { limit, per });
            let (mut taken, mut now) = (0u64, 0);
            while now < 100 * per {
                match bucket.take(now) {
                    Ok(()) => taken += 1,
                    Err(next) => {
                        assert!(next > now);
                        now = next;
                    }
                }
                let most = u64::from(limit) + now * u64::from(limit) / per;
                assert!(taken <= most, "{taken} of {most}");
            }
            assert!(taken >= 100 * u64::from(limit), "all of it can be had");
        }
    }

    #[test]
    fn odd_rates_do_no_harm() {
        let mut none = Bucket::new(Rate { limit: 0, per: 0 });
        assert!((0..1_000).all(|_| none.take(5).is_ok()));
        let mut widest = Bucket::new(Rate {
            limit: u32::MAX,
            per: u64::MAX,
        });
        assert_eq!(widest.take(u64::MAX), Ok(()));
        let mut rarest = Bucket::new(Rate {
            limit: 0,
            per: u64::MAX,
        });
        assert_eq!(rarest.take(9), Ok(()));
        assert_eq!(rarest.take(9), Err(u64::MAX));
    }
}
