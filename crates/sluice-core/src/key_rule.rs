//! The value of a request that decides its worker.

use serde::Deserialize;
use thiserror::Error;

/// Where the key of a request is found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum KeyRule {
    /// The value of this cookie. Names are case-sensitive (RFC 6265).
    Cookie(String),
    /// The value of this header, named in lower case.
    Header(String),
    /// The value of this parameter of the query, compared as sent.
    Query(String),
    /// The path segment with this index: in `/a/b`, `a` has 0.
    Path(u8),
}

/// A key rule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyRuleError {
    /// Not one of the four kinds.
    #[error("\"{0}\" must be cookie:NAME, header:NAME, query:NAME or path:N")]
    Kind(String),
    /// A cookie or header name that is no token (RFC 9110, 5.6.2) of 1 to 256 bytes.
    #[error("\"{0}\" must name a token of 1 to 256 characters")]
    Token(String),
    /// A query parameter that is empty, longer than 256 bytes or contains what no query contains unencoded.
    #[error(
        "\"{0}\" must name a query parameter as it is sent, percent-encoded, of 1 to 256 characters"
    )]
    Query(String),
    /// A segment index that is no number of 0 to 255.
    #[error("\"{0}\" must number a path segment from 0 to 255")]
    Path(String),
}

/// Longest name in a rule, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// How many pairs of a `Cookie` header are looked at; browsers keep at most 180 per site.
const COOKIE_PAIRS_MAX: usize = 180;

impl KeyRule {
    /// Reads `cookie:NAME`, `header:NAME`, `query:NAME` or `path:N`.
    pub fn parse(rule: &str) -> Result<Self, KeyRuleError> {
        let Some((kind, name)) = rule.split_once(':') else {
            return Err(KeyRuleError::Kind(rule.to_owned()));
        };
        match kind {
            "cookie" if is_token(name) => Ok(KeyRule::Cookie(name.to_owned())),
            "header" if is_token(name) => Ok(KeyRule::Header(name.to_ascii_lowercase())),
            "cookie" | "header" => Err(KeyRuleError::Token(rule.to_owned())),
            "query" if is_parameter(name) => Ok(KeyRule::Query(name.to_owned())),
            "query" => Err(KeyRuleError::Query(rule.to_owned())),
            "path" => match name.parse() {
                // `parse` also takes "+1".
                Ok(index) if name.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Ok(KeyRule::Path(index))
                }
                _ => Err(KeyRuleError::Path(rule.to_owned())),
            },
            _ => Err(KeyRuleError::Kind(rule.to_owned())),
        }
    }

    /// The key of a request, or `None` if it has none; an empty value is none.
    ///
    /// `target` is the request target in origin or absolute form; `header` gives the value of a
    /// header by its lower-case name. The key is the bytes as sent: nothing is percent-decoded, so `a%62` and `ab`
    /// are two keys. Of several parameters or cookies with the name the first counts. Cookies are read strictly: a value with
    /// bytes that RFC 6265, 4.1.1 does not allow is no key, and at most 180 pairs are looked at.
    pub fn extract<'a>(
        &self,
        target: &'a [u8],
        header: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Option<&'a [u8]> {
        let key = match self {
            KeyRule::Cookie(name) => cookie(header("cookie")?, name.as_bytes()),
            KeyRule::Header(name) => header(name),
            KeyRule::Query(name) => query(target, name.as_bytes()),
            KeyRule::Path(index) => segment(target, usize::from(*index)),
        };
        key.filter(|key| !key.is_empty())
    }
}

impl TryFrom<String> for KeyRule {
    type Error = KeyRuleError;

    fn try_from(rule: String) -> Result<Self, Self::Error> {
        Self::parse(&rule)
    }
}

fn is_token(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_parameter(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"&=#".contains(&byte))
}

/// RFC 6265, 4.2.1: pairs separated by "; ". Tabs and missing blanks after the semicolon, which some
/// clients send, are taken; a pair without "=" is skipped.
fn cookie<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let pair = header
        .split(|&byte| byte == b';')
        .take(COOKIE_PAIRS_MAX)
        .find_map(|pair| value_of(pair.trim_ascii(), name))?;
    let value = match pair {
        [b'"', value @ .., b'"'] => value,
        value => value,
    };
    value
        .iter()
        .all(|&byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte))
        .then_some(value)
}

fn query<'a>(target: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = target.iter().position(|&byte| byte == b'?')? + 1;
    target[start..]
        .split(|&byte| byte == b'&')
        .find_map(|pair| value_of(pair, name))
}

/// The value of `name=value` if the name is this one.
fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    pair.strip_prefix(name)?.strip_prefix(b"=")
}

fn segment(target: &[u8], index: usize) -> Option<&[u8]> {
    let target = target.split(|&byte| byte == b'?').next()?;
    let path = match target {
        [b'/', path @ ..] => path,
        // Absolute form: the path begins at the first slash after "scheme://authority".
        _ => {
            let authority = target.windows(3).position(|three| three == b"://")? + 3;
            let slash = target[authority..].iter().position(|&byte| byte == b'/')?;
            &target[authority + slash + 1..]
        }
    };
    path.split(|&byte| byte == b'/').nth(index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extract<'a>(rule: &str, target: &'a str, headers: &[(&str, &'a str)]) -> Option<&'a str> {
        KeyRule::parse(rule)
            .expect("the rule of the test is right")
            .extract(target.as_bytes(), |name| {
                let (_, value) = headers.iter().find(|(header, _)| *header == name)?;
                Some(value.as_bytes())
            })
            .map(|key| std::str::from_utf8(key).expect("it is a part of a string"))
    }

    #[test]
    fn parse_takes_the_four_kinds() {
        assert_eq!(
            KeyRule::parse("cookie:Sid"),
            Ok(KeyRule::Cookie("Sid".into()))
        );
        assert_eq!(
            KeyRule::parse("header:X-Room"),
            Ok(KeyRule::Header("x-room".into()))
        );
        assert_eq!(
            KeyRule::parse("query:a%20b"),
            Ok(KeyRule::Query("a%20b".into()))
        );
        assert_eq!(KeyRule::parse("path:0"), Ok(KeyRule::Path(0)));
        assert_eq!(KeyRule::parse("path:255"), Ok(KeyRule::Path(255)));
    }

    #[test]
    fn parse_refuses_everything_else_by_name() {
        for rule in ["", "sid", "body:sid", "Cookie:sid", " cookie:sid"] {
            assert_eq!(KeyRule::parse(rule), Err(KeyRuleError::Kind(rule.into())));
        }
        for rule in [
            "cookie:",
            "cookie:a b",
            "cookie:a=b",
            "header:",
            "header:a:b",
            "header:é",
        ] {
            assert_eq!(KeyRule::parse(rule), Err(KeyRuleError::Token(rule.into())));
        }
        for rule in [
            "query:",
            "query:a b",
            "query:a=b",
            "query:a&b",
            "query:a#",
            "query:é",
        ] {
            assert_eq!(KeyRule::parse(rule), Err(KeyRuleError::Query(rule.into())));
        }
        for rule in [
            "path:", "path:256", "path:-1", "path:+1", "path: 1", "path:a",
        ] {
            assert_eq!(KeyRule::parse(rule), Err(KeyRuleError::Path(rule.into())));
        }
    }

    #[test]
    fn a_name_has_at_most_256_bytes() {
        for kind in ["cookie", "header", "query"] {
            assert!(KeyRule::parse(&format!("{kind}:{}", "a".repeat(256))).is_ok());
            assert!(KeyRule::parse(&format!("{kind}:{}", "a".repeat(257))).is_err());
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_exact_name() {
        for (header, key) in [
            ("sid=1", Some("1")),
            ("a=0; sid=1; b=2", Some("1")),
            ("a=0;sid=1", Some("1")),
            ("sid=\"1\"", Some("1")),
            ("sid=1=2", Some("1=2")),
            ("sid=first; sid=second", Some("first")),
            ("flag; sid=1", Some("1")),
            ("Sid=1", None),
            ("xsid=1; sidx=2", None),
            ("a=sid=1", None),
            ("sid=", None),
            ("sid=\"\"", None),
            ("sid", None),
            ("", None),
            ("sid=a b", None),
            ("sid=a,b", None),
            ("sid=a\\b", None),
            ("sid=\"a", None),
            ("sid=\u{e9}", None),
            ("sid=a b; sid=1", None),
        ] {
            assert_eq!(
                extract("cookie:sid", "/", &[("cookie", header)]),
                key,
                "{header}"
            );
        }
        assert_eq!(extract("cookie:sid", "/?sid=1", &[]), None);
    }

    #[test]
    fn the_180th_cookie_counts_and_the_next_does_not() {
        let header = |before: usize| format!("{}sid=1", "a=b; ".repeat(before));
        let (within, beyond) = (header(179), header(180));
        assert_eq!(
            extract("cookie:sid", "/", &[("cookie", &within)]),
            Some("1")
        );
        assert_eq!(extract("cookie:sid", "/", &[("cookie", &beyond)]), None);
    }

    #[test]
    fn a_header_is_asked_for_in_lower_case() {
        assert_eq!(
            extract("header:X-Room", "/", &[("x-room", "a b")]),
            Some("a b")
        );
        assert_eq!(extract("header:X-Room", "/", &[("x-room", "")]), None);
        assert_eq!(extract("header:X-Room", "/", &[]), None);
    }

    #[test]
    fn a_query_parameter_is_compared_as_sent() {
        for (target, key) in [
            ("/?sid=1", Some("1")),
            ("/a?b=2&sid=1&c", Some("1")),
            ("http://host/a?sid=1", Some("1")),
            ("/?sid=%31", Some("%31")),
            ("/?sid=a=b?c", Some("a=b?c")),
            ("/?sid=1&sid=2", Some("1")),
            ("/?%73id=1", None),
            ("/?sid=", None),
            ("/?sid", None),
            ("/?xsid=1&sidx=1", None),
            ("/sid=1", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(extract("query:sid", target, &[]), key, "{target}");
        }
    }

    #[test]
    fn a_path_segment_is_counted_from_0_after_the_authority() {
        for (rule, target, key) in [
            ("path:0", "/room/7", Some("room")),
            ("path:1", "/room/7", Some("7")),
            ("path:1", "/room/7/", Some("7")),
            ("path:2", "/room/7/", None),
            ("path:1", "/room", None),
            ("path:0", "/", None),
            ("path:0", "//a", None),
            ("path:1", "//a", Some("a")),
            ("path:0", "/a?b/c", Some("a")),
            ("path:1", "/a?b/c", None),
            ("path:0", "http://host:80/room", Some("room")),
            ("path:0", "http://host", None),
            ("path:0", "http://host?a/b", None),
            ("path:0", "/http://host/room", Some("http:")),
            ("path:0", "*", None),
            ("path:0", "", None),
        ] {
            assert_eq!(extract(rule, target, &[]), key, "{rule} {target}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_client_sends_a_key_is_a_part_of_it(
            target in prop::collection::vec(any::<u8>(), 0..64),
            header in "(sid|=|;| |\"|a){0,12}",
        ) {
            for rule in ["cookie:sid", "header:a", "query:a", "path:0", "path:1"] {
                let rule = KeyRule::parse(rule).expect("the rule of the test is right");
                if let Some(key) = rule.extract(&target, |_| Some(header.as_bytes())) {
                    let source = match rule {
                        KeyRule::Cookie(_) | KeyRule::Header(_) => header.as_bytes(),
                        _ => &target,
                    };
                    prop_assert!(!key.is_empty());
                    prop_assert!(source.windows(key.len()).any(|part| part == key));
                }
            }
        }
    }
}
