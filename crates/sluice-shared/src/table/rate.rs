//! Rate limits on a row: a token bucket in one integer (GCRA).
//!
//! The integer is the moment at which the bucket is full again, in ns of a clock of the caller's. A row that is not there is a
//! full bucket, so it does no harm when an idle one is evicted.

use super::spec::ColumnKind;
use super::write::{Mode, Ttl};
use super::{Table, TableError};

/// How many tokens there are, and how fast they come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRate {
    /// One token comes back in so many ns.
    pub interval_ns: u64,
    /// Tokens of a full bucket.
    pub burst: u64,
    /// Tokens that are wanted.
    pub cost: u64,
}

/// What came of taking tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// They were taken.
    pub ok: bool,
    /// Whole tokens that are left.
    pub remaining: u64,
    /// After so many ns there will be enough of them; `u64::MAX` when there never are. 0 when they were taken.
    pub retry_after_ns: u64,
}

impl Table {
    /// Now, in ns of the machine's monotonic clock: the same in all processes.
    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Takes tokens from the bucket in an integer column of a row, all or none.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn take_tokens(
        &self,
        key: &[u8],
        column: usize,
        rate: &TokenRate,
        now_ns: u64,
    ) -> Result<Taken, TableError> {
        let key = self.key(key)?;
        let at = match self.columns.get(column) {
            Some(found) if found.kind == ColumnKind::Int => found.word(),
            _ => return Err(TableError::Column { column }),
        };
        let taken = self.write_word(&key, Mode::Upsert, Ttl::Keep, at, |full_at| {
            let (taken, full_at) = rate.take(full_at, now_ns);
            Ok((full_at, taken))
        })?;
        Ok(taken.expect("an upsert applies to every row"))
    }
}

impl TokenRate {
    /// Takes from a bucket that is full at `full_at`; says when it will be then.
    fn take(&self, full_at: u64, now: u64) -> (Taken, u64) {
        let interval = u128::from(self.interval_ns.max(1));
        let depth = interval * u128::from(self.burst);
        // A clock that went back, or bytes that were no moment: never emptier than empty.
        let missing = u128::from(full_at.saturating_sub(now)).min(depth);
        let wanted = missing + interval * u128::from(self.cost);
        let remaining = |missing: u128| ((depth - missing) / interval) as u64;
        if wanted <= depth {
            let full_at = u64::try_from(u128::from(now) + wanted).unwrap_or(u64::MAX);
            return (
                Taken {
                    ok: true,
                    remaining: remaining(wanted),
                    retry_after_ns: 0,
                },
                full_at,
            );
        }
        let retry_after_ns = if self.cost > self.burst {
            u64::MAX
        } else {
            u64::try_from(wanted - depth).unwrap_or(u64::MAX)
        };
        let full_at = u64::try_from(u128::from(now) + missing).unwrap_or(u64::MAX);
        (
            Taken {
                ok: false,
                remaining: remaining(missing),
                retry_after_ns,
            },
            full_at,
        )
    }
}
