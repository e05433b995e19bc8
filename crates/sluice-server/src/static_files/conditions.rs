//! What a request asks of a file beside its name (RFC 9110 sections 13 and 14).

use std::borrow::Cow;

use super::validators::{Validators, parse_date};
use crate::http1::head::known_id;

/// The fields of a request that matter for a file. What is repeated although it must not be counts as not valid.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions<'a> {
    if_match: Option<Cow<'a, [u8]>>,
    if_none_match: Option<Cow<'a, [u8]>>,
    if_modified_since: Option<&'a [u8]>,
    if_unmodified_since: Option<&'a [u8]>,
    if_range: Option<&'a [u8]>,
    range: Option<&'a [u8]>,
    pub(super) accept_encoding: Option<Cow<'a, [u8]>>,
}

/// What the preconditions come to (section 13.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The client has it already: 304.
    NotModified,
    /// It is not what the client takes it for: 412.
    Failed,
    /// It is sent, in the parts that Range asks for or as a whole.
    Send {
        /// Whether Range counts.
        ranged: bool,
    },
}

impl<'a> Conditions<'a> {
    /// Takes a field line by the id of its name.
    pub(crate) fn take(&mut self, name_id: u8, value: &'a [u8]) {
        match name_id {
            IF_MATCH => join(&mut self.if_match, value),
            IF_NONE_MATCH => join(&mut self.if_none_match, value),
            ACCEPT_ENCODING => join(&mut self.accept_encoding, value),
            IF_MODIFIED_SINCE => only(&mut self.if_modified_since, value),
            IF_UNMODIFIED_SINCE => only(&mut self.if_unmodified_since, value),
            IF_RANGE => only(&mut self.if_range, value),
            RANGE => only(&mut self.range, value),
            _ => {}
        }
    }

    /// The value of Range.
    pub(super) fn range(&self) -> Option<&'a [u8]> {
        self.range
    }

    pub(super) fn judge(&self, of: &Validators, is_head: bool) -> Verdict {
        if let Some(list) = &self.if_match {
            if !of.matches_strongly(list) {
                return Verdict::Failed;
            }
        } else if let (Some(since), Some(modified)) =
            (self.if_unmodified_since.and_then(parse_date), of.modified)
            && modified > since
        {
            return Verdict::Failed;
        }
        if let Some(list) = &self.if_none_match {
            if of.matches_weakly(list) {
                return Verdict::NotModified;
            }
        } else if let (Some(since), Some(modified)) =
            (self.if_modified_since.and_then(parse_date), of.modified)
            && modified <= since
        {
            return Verdict::NotModified;
        }
        let ranged = !is_head && self.range.is_some() && self.if_range_holds(of);
        Verdict::Send { ranged }
    }

    /// Section 13.1.5. A date that is equal is taken for strong: what changed twice in its second has another ETag, which
    /// is what clients send when they have one.
    fn if_range_holds(&self, of: &Validators) -> bool {
        let Some(value) = self.if_range.map(<[u8]>::trim_ascii) else {
            return true;
        };
        if value.starts_with(b"\"") || value.starts_with(b"W/") {
            return of.matches_strongly(value);
        }
        parse_date(value).is_some_and(|date| of.modified == Some(date))
    }
}

/// Several lines of a list are one list.
fn join<'a>(list: &mut Option<Cow<'a, [u8]>>, value: &'a [u8]) {
    *list = Some(match list.take() {
        None => Cow::Borrowed(value),
        Some(first) => Cow::Owned([&first, value].join(b", ".as_slice())),
    });
}

/// A field that may stand once: the empty value is none that any of them could have.
fn only<'a>(field: &mut Option<&'a [u8]>, value: &'a [u8]) {
    *field = Some(if field.is_some() { b"" } else { value });
}

const IF_MATCH: u8 = known_id("if-match");
const IF_NONE_MATCH: u8 = known_id("if-none-match");
const IF_MODIFIED_SINCE: u8 = known_id("if-modified-since");
const IF_UNMODIFIED_SINCE: u8 = known_id("if-unmodified-since");
const IF_RANGE: u8 = known_id("if-range");
const RANGE: u8 = known_id("range");
const ACCEPT_ENCODING: u8 = known_id("accept-encoding");

#[cfg(test)]
mod tests {
    use sluice_core::header;

    use super::*;

    const OLD: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn judge(fields: &[(&str, &str)]) -> Verdict {
        let of = Validators {
            etag: Some(b"\"x\"".to_vec()),
            modified: Some(784_111_777),
        };
        let mut conditions = Conditions::default();
        for (name, value) in fields {
            conditions.take(header::id(name.as_bytes()), value.as_bytes());
        }
        conditions.judge(&of, false)
    }

    const WHOLE: Verdict = Verdict::Send { ranged: false };
    const RANGED: Verdict = Verdict::Send { ranged: true };

    #[test]
    fn each_condition_alone() {
        for (name, value, expected) in [
            ("if-match", "\"x\"", WHOLE),
            ("if-match", "*", WHOLE),
            ("if-match", "\"y\"", Verdict::Failed),
            ("if-match", "W/\"x\"", Verdict::Failed),
            ("if-match", "", Verdict::Failed),
            ("if-unmodified-since", OLD, Verdict::Failed),
            ("if-unmodified-since", SAME, WHOLE),
            ("if-unmodified-since", NEW, WHOLE),
            ("if-unmodified-since", "soon", WHOLE),
            ("if-none-match", "\"x\"", Verdict::NotModified),
            ("if-none-match", "W/\"x\"", Verdict::NotModified),
            ("if-none-match", "*", Verdict::NotModified),
            ("if-none-match", "\"y\"", WHOLE),
            ("if-modified-since", OLD, WHOLE),
            ("if-modified-since", SAME, Verdict::NotModified),
            ("if-modified-since", NEW, Verdict::NotModified),
            (
                "if-modified-since",
                "Sunday, 06-Nov-94 08:49:37 GMT",
                Verdict::NotModified,
            ),
            (
                "if-modified-since",
                "Sun Nov  6 08:49:37 1994",
                Verdict::NotModified,
            ),
            ("if-modified-since", "lately", WHOLE),
            ("range", "bytes=0-", RANGED),
        ] {
            assert_eq!(judge(&[(name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn tags_come_before_dates_and_match_before_none_match() {
        assert_eq!(
            judge(&[("if-match", "\"x\""), ("if-unmodified-since", OLD)]),
            WHOLE
        );
        assert_eq!(
            judge(&[("if-none-match", "\"y\""), ("if-modified-since", NEW)]),
            WHOLE
        );
        assert_eq!(
            judge(&[("if-none-match", "\"x\""), ("if-modified-since", OLD)]),
            Verdict::NotModified
        );
        assert_eq!(
            judge(&[("if-match", "\"y\""), ("if-none-match", "\"x\"")]),
            Verdict::Failed
        );
        assert_eq!(
            judge(&[("if-match", "\"x\""), ("if-none-match", "\"x\"")]),
            Verdict::NotModified
        );
        assert_eq!(
            judge(&[("if-none-match", "\"x\""), ("range", "bytes=0-1")]),
            Verdict::NotModified
        );
    }

    #[test]
    fn a_range_counts_while_the_file_is_the_same() {
        for (value, expected) in [
            ("\"x\"", RANGED),
            ("\"y\"", WHOLE),
            ("W/\"x\"", WHOLE),
            (SAME, RANGED),
            (OLD, WHOLE),
            (NEW, WHOLE),
            ("*", WHOLE),
            ("", WHOLE),
        ] {
            assert_eq!(
                judge(&[("range", "bytes=0-"), ("if-range", value)]),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn lines_of_a_list_are_one_list_and_other_fields_stand_once() {
        assert_eq!(
            judge(&[("if-none-match", "\"y\""), ("if-none-match", "\"x\"")]),
            Verdict::NotModified
        );
        assert_eq!(
            judge(&[("if-modified-since", NEW), ("if-modified-since", NEW)]),
            WHOLE
        );
        assert_eq!(
            judge(&[
                ("range", "bytes=0-"),
                ("if-range", "\"x\""),
                ("if-range", "\"x\"")
            ]),
            WHOLE
        );
    }

    #[test]
    fn head_has_no_ranges() {
        let mut conditions = Conditions::default();
        conditions.take(RANGE, b"bytes=0-");
        assert_eq!(conditions.judge(&Validators::default(), true), WHOLE);
    }
}
