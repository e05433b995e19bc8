//! The Range field (RFC 9110 section 14).

/// Ranges of one answer; more are not carried out.
const RANGES_MAX: usize = 16;

/// What of a file is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ranges {
    /// All of it: no Range, one that breaks the grammar or is of another unit, or one that is not worth its while.
    Whole,
    /// At least one range; in the order of the request.
    Parts(Vec<ByteRange>),
    /// None of the ranges lies in the file: 416.
    Unsatisfiable,
}

/// Some bytes of a file, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteRange {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl ByteRange {
    pub(super) fn len(self) -> u64 {
        self.last - self.first + 1
    }
}

/// The ranges of a file of `len` bytes that `value` asks for.
///
/// More than [`RANGES_MAX`], or more bytes in all than the file has, is how servers are made to send the same again and
/// again (CVE-2011-3192): such a field is ignored, as section 14.2 allows.
pub(super) fn parse(value: &[u8], len: u64) -> Ranges {
    let Some(set) = bytes_unit(value) else {
        return Ranges::Whole;
    };
    let mut parts = Vec::new();
    let mut specs = 0;
    let mut total = 0u64;
    for spec in set.split(|&byte| byte == b',') {
        let spec = spec.trim_ascii();
        if spec.is_empty() {
            // Empty list elements are to be tolerated (section 5.6.1.2).
            continue;
        }
        specs += 1;
        let Some(part) = part(spec, len) else {
            return Ranges::Whole;
        };
        if let Some(part) = part {
            total = total.saturating_add(part.len());
            if parts.len() < RANGES_MAX {
                parts.push(part);
            }
        }
    }
    if specs == 0 || specs > RANGES_MAX || total > len {
        return Ranges::Whole;
    }
    if parts.is_empty() {
        return Ranges::Unsatisfiable;
    }
    Ranges::Parts(parts)
}

fn bytes_unit(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at(value.iter().position(|&byte| byte == b'=')?);
    unit.trim_ascii()
        .eq_ignore_ascii_case(b"bytes")
        .then(|| &set[1..])
}

/// One range; the outer `None` for what is no range, the inner for one that lies outside the file.
#[expect(
    clippy::option_option,
    reason = "two ways of being nothing, both named"
)]
fn part(spec: &[u8], len: u64) -> Option<Option<ByteRange>> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (spec[..dash].trim_ascii(), spec[dash + 1..].trim_ascii());
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(if suffix == 0 {
            None
        } else if len == 0 {
            // Satisfiable by the letter, but no Content-Range can say so: the whole of nothing is sent.
            return None;
        } else {
            Some(ByteRange {
                first: len.saturating_sub(suffix),
                last: len - 1,
            })
        });
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    Some((first < len).then(|| ByteRange {
        first,
        last: last.min(len - 1),
    }))
}

/// Digits; what is beyond 64 bits is beyond every file.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        byte.is_ascii_digit().then(|| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(byte - b'0'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(value: &str, len: u64) -> Vec<(u64, u64)> {
        match parse(value.as_bytes(), len) {
            Ranges::Parts(parts) => parts.iter().map(|part| (part.first, part.last)).collect(),
            other => panic!("{value:?} of {len}: {other:?}"),
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 9110 section 14.1.2, of 10000 bytes.
        assert_eq!(parts("bytes=0-499", 10_000), [(0, 499)]);
        assert_eq!(parts("bytes=500-999", 10_000), [(500, 999)]);
        assert_eq!(parts("bytes=-500", 10_000), [(9500, 9999)]);
        assert_eq!(parts("bytes=9500-", 10_000), [(9500, 9999)]);
        assert_eq!(parts("bytes=0-0,-1", 10_000), [(0, 0), (9999, 9999)]);
        assert_eq!(
            parts("bytes= 0-999, 4500-5499, -1000", 10_000),
            [(0, 999), (4500, 5499), (9000, 9999)]
        );
        assert_eq!(
            parts("bytes=500-700,601-999", 10_000),
            [(500, 700), (601, 999)]
        );
    }

    #[test]
    fn ends_are_cut_to_the_file() {
        assert_eq!(parts("bytes=5-99999999999999999999999", 10), [(5, 9)]);
        assert_eq!(parts("bytes=-99", 10), [(0, 9)]);
        assert_eq!(parts("BYTES=9-9", 10), [(9, 9)]);
        assert_eq!(parts("bytes=,0-1,,", 10), [(0, 1)]);
        assert_eq!(parts("bytes=0-1,50-60", 10), [(0, 1)]);
    }

    #[test]
    fn nothing_in_the_file_is_unsatisfiable() {
        for value in ["bytes=10-", "bytes=10-20,30-", "bytes=-0", "bytes=99-100"] {
            assert_eq!(
                parse(value.as_bytes(), 10),
                Ranges::Unsatisfiable,
                "{value}"
            );
        }
        assert_eq!(parse(b"bytes=0-", 0), Ranges::Unsatisfiable);
    }

    #[test]
    fn what_is_no_range_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "lines=0-1",
            "bytes=a-b",
            "bytes=1",
            "bytes=2-1",
            "bytes=1-2-3",
            "bytes=0x1-2",
            "bytes=--1",
            "bytes=-",
            "bytes=0-1;2-3",
            "bytes 0-1",
            "bytes=0-1,x",
            "bytes=+1-2",
        ] {
            assert_eq!(parse(value.as_bytes(), 10), Ranges::Whole, "{value}");
        }
        assert_eq!(parse(b"bytes=-5", 0), Ranges::Whole);
    }

    #[test]
    fn floods_are_ignored() {
        assert_eq!(parse(b"bytes=0-,0-", 10), Ranges::Whole);
        assert_eq!(parse(b"bytes=0-5,0-5", 10), Ranges::Whole);
        let many = |count: u64| {
            let ranges: Vec<_> = (0..count).map(|at| format!("{0}-{0}", at * 2)).collect();
            parse(format!("bytes={}", ranges.join(",")).as_bytes(), 1000)
        };
        assert!(matches!(many(16), Ranges::Parts(parts) if parts.len() == 16));
        assert_eq!(many(17), Ranges::Whole);
        // Nor can they hide behind others that lie outside.
        let outside = ["50-"; 40].join(",");
        assert_eq!(
            parse(format!("bytes=0-1,{outside}").as_bytes(), 10),
            Ranges::Whole
        );
    }

    proptest! {
        #[test]
        fn ranges_lie_in_the_file_and_are_no_more_than_it(value in "bytes=[0-9,-]{0,60}", len in 0u64..2000) {
            if let Ranges::Parts(parts) = parse(value.as_bytes(), len) {
                prop_assert!(!parts.is_empty() && parts.len() <= RANGES_MAX);
                for part in &parts {
                    prop_assert!(part.first <= part.last && part.last < len);
                }
                prop_assert!(parts.iter().map(|part| part.len()).sum::<u64>() <= len);
            }
        }

        #[test]
        fn any_bytes_are_taken(value in prop::collection::vec(any::<u8>(), 0..100), len in any::<u64>()) {
            let _ = parse(&value, len);
            let _ = parse(&[b"bytes=".as_slice(), &value].concat(), len);
        }
    }
}
