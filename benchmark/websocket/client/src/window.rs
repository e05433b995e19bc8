//! How long a load goes on.

use std::time::Duration;

/// Ends a load by time, or by time and count when the machine is busy with something else.
pub(crate) struct Window {
    least: Duration,
    count: u64,
    most: Duration,
}

impl Window {
    /// Long enough for a just-in-time compiler to have seen `count` of what is measured, if it gets there within 5 s.
    pub(crate) fn warm_up(count: u64) -> Self {
        Self {
            least: Duration::from_secs(1),
            count,
            most: Duration::from_secs(5),
        }
    }

    /// Exactly `length`; zero is one message on each connection.
    pub(crate) fn measured(length: Duration) -> Self {
        Self {
            least: length,
            count: 0,
            most: length,
        }
    }

    pub(crate) fn is_over(&self, elapsed: Duration, count: u64) -> bool {
        elapsed >= self.most || elapsed >= self.least && count >= self.count
    }

    /// When it is over at the latest and the last answers are there too.
    pub(crate) fn limit(&self) -> Duration {
        self.most + DRAIN_LIMIT
    }
}

/// How long the last answers may take once nothing new is sent.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_lasts_until_the_count_but_not_for_ever() {
        let window = Window::warm_up(10);
        assert!(!window.is_over(Duration::from_millis(999), 11));
        assert!(!window.is_over(Duration::from_secs(1), 9));
        assert!(window.is_over(Duration::from_secs(1), 10));
        assert!(window.is_over(Duration::from_secs(5), 0));
    }

    #[test]
    fn a_measured_window_has_its_length_whatever_was_done() {
        let window = Window::measured(Duration::from_secs(2));
        assert!(!window.is_over(Duration::from_millis(1_999), u64::MAX));
        assert!(window.is_over(Duration::from_secs(2), 0));
    }
}
