//! The forms of a request target (RFC 9112 section 3.2).

use super::{Reject, host::is_authority};

/// The form of a request target that we serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `/path?query`.
    Origin,
    /// `http://authority/path?query`, with the place of the authority in the target.
    Absolute { offset: usize, len: usize },
    /// `*`.
    Asterisk,
}

/// Recognises the form of `target`, which must not be longer than its limit.
pub(super) fn form(method: &[u8], target: &[u8]) -> Result<Form, Reject> {
    if method == b"CONNECT" {
        return Err(Reject::Connect);
    }
    if !is_target(target) {
        return Err(Reject::Target);
    }
    match target {
        [b'/', ..] => Ok(Form::Origin),
        b"*" if method == b"OPTIONS" => Ok(Form::Asterisk),
        b"*" => Err(Reject::AsteriskForm),
        _ => absolute(target),
    }
}

/// Printable ASCII without `#`: a fragment never travels (RFC 9110 section 7.1), and raw bytes above
/// ASCII are read as different characters by different servers. What else RFC 3986 forbids (`|`, `{`, `"`)
/// is let through because browsers send it.
fn is_target(target: &[u8]) -> bool {
    // No short circuits: vector instructions.
    let mut bad = false;
    for &byte in target {
        bad |= (byte <= b' ') | (byte >= 0x7f) | (byte == b'#');
    }
    !bad
}

fn absolute(target: &[u8]) -> Result<Form, Reject> {
    let offset = ["http://", "https://"]
        .into_iter()
        .find(|scheme| {
            target
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        })
        .ok_or(Reject::Target)?
        .len();
    let rest = &target[offset..];
    let len = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    if is_authority(&rest[..len]) {
        Ok(Form::Absolute { offset, len })
    } else {
        Err(Reject::Target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_target_tells_where_its_authority_is() {
        assert_eq!(
            form(b"GET", b"http://a:81/x?y"),
            Ok(Form::Absolute { offset: 7, len: 4 })
        );
        assert_eq!(
            form(b"GET", b"HTTPS://[::1]?y"),
            Ok(Form::Absolute { offset: 8, len: 5 })
        );
        assert_eq!(
            form(b"GET", b"http://a"),
            Ok(Form::Absolute { offset: 7, len: 1 })
        );
    }

    #[test]
    fn targets_of_no_form_are_refused() {
        for target in [
            "",
            "a",
            "a/b",
            "example.com:80",
            "http:",
            "http:/a",
            "http://",
            "http:///x",
            "http://u@a/",
            "http://a b/",
            "ftp://a/",
            "/a#b",
            "/\u{fc}",
            "/\u{7f}",
            "**",
            "?a",
        ] {
            assert_eq!(
                form(b"GET", target.as_bytes()),
                Err(Reject::Target),
                "{target:?}"
            );
        }
    }

    #[test]
    fn the_asterisk_is_for_options_only_and_connect_is_not_served() {
        assert_eq!(form(b"OPTIONS", b"*"), Ok(Form::Asterisk));
        assert_eq!(form(b"GET", b"*"), Err(Reject::AsteriskForm));
        assert_eq!(form(b"CONNECT", b"a:443"), Err(Reject::Connect));
        assert_eq!(form(b"CONNECT", b"/"), Err(Reject::Connect));
    }
}
