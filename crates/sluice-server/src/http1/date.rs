//! The text of the Date field, formatted once a second.

use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// The last second that has a four-digit year: 9999-12-31 23:59:59 UTC.
const UNIX_SECS_MAX: u64 = 253_402_300_799;

/// The current Date in IMF-fixdate (RFC 9110 section 5.6.7). One per reactor.
#[derive(Debug)]
pub struct DateCache {
    unix_secs: u64,
    text: [u8; 29],
}

impl DateCache {
    /// A cache that holds the epoch.
    pub fn new() -> Self {
        Self {
            unix_secs: 0,
            text: *b"Thu, 01 Jan 1970 00:00:00 GMT",
        }
    }

    /// The text for `unix_secs`, seconds since 1970 UTC. Times after the year 9999 read as its last second.
    pub fn get(&mut self, unix_secs: u64) -> &[u8; 29] {
        if unix_secs != self.unix_secs {
            let time = UNIX_EPOCH + Duration::from_secs(unix_secs.min(UNIX_SECS_MAX));
            let text = HttpDate::from(time).to_string();
            // IMF-fixdate is 29 bytes for every year of four digits; if it were not, yesterday's text is still a date.
            if let Ok(text) = text.as_bytes().try_into() {
                self.text = text;
            }
            self.unix_secs = unix_secs;
        }
        &self.text
    }
}

impl Default for DateCache {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_follows_the_second_in_both_directions() {
        let mut cache = DateCache::new();
        assert_eq!(cache.get(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(cache.get(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.get(784_111_778), b"Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(cache.get(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_clock_gone_wild_still_gives_a_date() {
        let mut cache = DateCache::new();
        assert_eq!(cache.get(UNIX_SECS_MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(cache.get(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
