//! What tells one state of a file from another: ETag and Last-Modified (RFC 9110 section 8.8).

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// The validators of a representation; each may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Validators {
    /// With its quotes, and `W/` if it is weak.
    pub(super) etag: Option<Vec<u8>>,
    /// Seconds since 1970.
    pub(super) modified: Option<u64>,
}

/// Length and time of the last change to the nanosecond: strong, as two contents of one length at one time are not
/// expected of a file. `suffix` tells encodings apart.
pub(super) fn etag(len: u64, modified_ns: u64, suffix: &str) -> Vec<u8> {
    let mut tag = String::with_capacity(44);
    // Writing to a String does not fail.
    let _ = write!(tag, "\"{len:x}-{modified_ns:x}{suffix}\"");
    tag.into_bytes()
}

/// The text of a time, IMF-fixdate; none for a year that has not four digits.
pub(super) fn date(seconds: u64) -> Option<String> {
    (seconds <= YEAR_9999)
        .then(|| HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds)).to_string())
}

/// Seconds since 1970 of a date in any of the three forms (section 5.6.7).
pub(super) fn parse_date(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let time = httpdate::parse_http_date(text.trim()).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// 9999-12-31 23:59:59 UTC.
const YEAR_9999: u64 = 253_402_300_799;

impl Validators {
    /// Whether a list of tags has this representation's, byte for byte and not weak.
    pub(super) fn matches_strongly(&self, list: &[u8]) -> bool {
        let own = self.etag.as_deref().filter(|tag| !tag.starts_with(b"W/"));
        is_any(list) || own.is_some_and(|own| tags(list).any(|tag| tag == own))
    }

    /// The same, weakness aside.
    pub(super) fn matches_weakly(&self, list: &[u8]) -> bool {
        let Some(own) = self.etag.as_deref() else {
            return is_any(list);
        };
        is_any(list) || tags(list).any(|tag| opaque(tag) == opaque(own))
    }
}

fn is_any(list: &[u8]) -> bool {
    list.trim_ascii() == b"*"
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The tags of a list. Ends where the grammar does.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', more @ ..] = rest {
            rest = more;
        }
        let quoted = rest.strip_prefix(b"W/").unwrap_or(rest);
        let inside = quoted.strip_prefix(b"\"")?;
        let close = memchr::memchr(b'"', inside)?;
        let len = rest.len() - inside.len() + close + 1;
        let (tag, more) = rest.split_at(len);
        rest = more;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tagged(tag: &str) -> Validators {
        Validators {
            etag: Some(tag.into()),
            modified: None,
        }
    }

    #[test]
    fn tags_compare_as_the_rfc_has_it() {
        // RFC 9110 section 8.8.3.2.
        for (one, other, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "W/\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            let own = tagged(one);
            assert_eq!(
                own.matches_strongly(other.as_bytes()),
                strong,
                "{one} {other}"
            );
            assert_eq!(own.matches_weakly(other.as_bytes()), weak, "{one} {other}");
        }
    }

    #[test]
    fn lists_are_searched_to_where_they_break() {
        let own = tagged("\"b\"");
        for list in [
            "\"b\"",
            "\"a\", \"b\"",
            "W/\"a\",\"b\"",
            " ,, \"a,\"\t, \"b\"",
            "*",
            " * ",
        ] {
            assert!(own.matches_weakly(list.as_bytes()), "{list}");
        }
        for list in [
            "",
            "b",
            "\"a\"",
            "\"b",
            "a, \"b\"",
            "\"a\" b \"b\"",
            "w/\"b\"",
            "*, \"a\"",
        ] {
            assert!(!own.matches_weakly(list.as_bytes()), "{list}");
        }
        assert!(Validators::default().matches_weakly(b"*"));
        assert!(!Validators::default().matches_weakly(b"\"\""));
    }

    #[test]
    fn dates_are_read_in_all_three_forms() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_date(date.as_bytes()), Some(784_111_777), "{date}");
        }
        for date in [
            "",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37 +0100",
            "784111777",
            "\u{ff}",
        ] {
            assert_eq!(parse_date(date.as_bytes()), None, "{date}");
        }
        assert_eq!(
            date(784_111_777).as_deref(),
            Some("Sun, 06 Nov 1994 08:49:37 GMT")
        );
        assert_eq!(date(u64::MAX), None);
    }

    #[test]
    fn an_etag_is_of_length_time_and_coding() {
        assert_eq!(etag(255, 16, ""), b"\"ff-10\"");
        assert_ne!(etag(255, 16, "-br"), etag(255, 16, ""));
        assert_ne!(etag(255, 17, ""), etag(255, 16, ""));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            tagged("\"x\"").matches_strongly(&bytes);
            tagged("\"x\"").matches_weakly(&bytes);
            parse_date(&bytes);
        }

        #[test]
        fn a_list_is_split_where_it_was_joined(names in prop::collection::vec("[a-z, ]{0,5}", 0..6)) {
            let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
            let found: Vec<_> = tags(list.as_bytes()).map(|tag| String::from_utf8_lossy(tag).into_owned()).collect();
            prop_assert_eq!(found, names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>());
        }
    }
}
