//! What may be compressed, and what the header of an answer says when it was.

use sluice_core::config::CompressionConfig;
use sluice_shared::record::template;

use super::Coding;

/// Whether an answer is of the kind that is worth compressing and may be: its type is on the list, nobody has coded it
/// already or forbids it, and it is no part of something.
///
/// `length` is that of the body, if it is known.
pub(crate) fn may_encode(
    config: &CompressionConfig,
    status: u16,
    template: u8,
    block: &[u8],
    length: Option<u64>,
) -> bool {
    if matches!(status, 0..=199 | 204 | 206 | 304) {
        return false;
    }
    if length.is_some_and(|length| length < u64::from(config.min_bytes)) {
        return false;
    }
    let mut is_listed = match template {
        template::TEXT => config.has_type(b"text/plain"),
        template::JSON => config.has_type(b"application/json"),
        template::HTML => config.has_type(b"text/html"),
        template::BYTES => config.has_type(b"application/octet-stream"),
        _ => false,
    };
    for (name, value) in lines(block) {
        match name {
            b"content-encoding" | b"content-range" => return false,
            b"cache-control" if has_token(value, b"no-transform") => return false,
            b"content-type" => {
                let end = value.iter().position(|&byte| byte == b';');
                is_listed = config.has_type(value[..end.unwrap_or(value.len())].trim_ascii());
            }
            _ => {}
        }
    }
    is_listed
}

/// Appends the header lines of an answer that [`may_encode`] to `out`, changed for `coding`; `None`: this client gets it as
/// it is, but another one would not.
pub(crate) fn rewrite(block: &[u8], coding: Option<Coding>, out: &mut Vec<u8>) {
    let mut varies = false;
    for line in block.split_inclusive(|&byte| byte == b'\n') {
        let (name, value) = split(line);
        match name {
            b"vary" => {
                varies = true;
                out.extend_from_slice(line.trim_ascii_end());
                if !has_token(value, b"accept-encoding") && !has_token(value, b"*") {
                    let is_empty = value.is_empty();
                    out.extend_from_slice(if is_empty { b" " } else { b", " });
                    out.extend_from_slice(b"accept-encoding");
                }
                out.extend_from_slice(b"\r\n");
            }
            // The bytes are others now (RFC 9110 section 8.8.1).
            b"etag" if coding.is_some() && value.starts_with(b"\"") => {
                out.extend_from_slice(b"etag: W/");
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
            // A range of what was compressed on the fly cannot be asked for.
            b"accept-ranges" if coding.is_some() => {}
            _ => out.extend_from_slice(line),
        }
    }
    if !varies {
        out.extend_from_slice(b"vary: accept-encoding\r\n");
    }
    if let Some(coding) = coding {
        out.extend_from_slice(b"content-encoding: ");
        out.extend_from_slice(coding.name().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

fn lines(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    block.split_inclusive(|&byte| byte == b'\n').map(split)
}

/// Name and value of a line; names are in lower case in every block.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        Some(colon) => (&line[..colon], line[colon + 1..].trim_ascii()),
        None => (line, b""),
    }
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|&byte| byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(status: u16, template: u8, block: &str, length: Option<u64>) -> bool {
        let config = CompressionConfig::default();
        may_encode(&config, status, template, block.as_bytes(), length)
    }

    fn rewritten(block: &str, coding: Option<Coding>) -> String {
        let mut out = Vec::new();
        rewrite(block.as_bytes(), coding, &mut out);
        String::from_utf8(out).expect("the test wrote text")
    }

    #[test]
    fn listed_types_are_compressed_and_others_are_not() {
        for (value, expected) in [
            ("text/css", true),
            ("TEXT/CSS; charset=utf-8", true),
            ("application/problem+json", true),
            ("image/svg+xml", true),
            ("application/javascript", true),
            ("text/event-stream", false),
            ("image/png", false),
            ("video/mp4", false),
            ("application/zip", false),
            ("json", false),
        ] {
            let block = format!("content-type: {value}\r\n");
            assert_eq!(may(200, 0, &block, None), expected, "{value}");
        }
        for (template, expected) in [(0, false), (1, true), (2, true), (3, true), (4, false)] {
            assert_eq!(may(200, template, "", None), expected, "{template}");
        }
    }

    #[test]
    fn a_body_of_min_bytes_is_compressed_and_a_shorter_one_is_not() {
        assert!(may(200, 1, "", Some(1024)));
        assert!(!may(200, 1, "", Some(1023)));
    }

    #[test]
    fn what_is_coded_forbidden_or_a_part_is_left_alone() {
        for line in [
            "content-encoding: gzip\r\n",
            "content-range: bytes 0-1/2\r\n",
            "cache-control: public, No-Transform\r\n",
        ] {
            assert!(!may(200, 1, line, None), "{line}");
        }
        for status in [101, 204, 206, 304] {
            assert!(!may(status, 1, "", None), "{status}");
        }
        assert!(may(500, 1, "cache-control: no-cache\r\n", None));
    }

    #[test]
    fn the_header_names_the_coding_and_what_it_depends_on() {
        assert_eq!(
            rewritten("x-a: 1\r\n", Some(Coding::Brotli)),
            "x-a: 1\r\nvary: accept-encoding\r\ncontent-encoding: br\r\n"
        );
        assert_eq!(rewritten("", None), "vary: accept-encoding\r\n");
    }

    #[test]
    fn a_vary_that_is_there_is_extended_once() {
        assert_eq!(
            rewritten("vary: origin\r\n", None),
            "vary: origin, accept-encoding\r\n"
        );
        for line in ["vary: *\r\n", "vary: origin, Accept-Encoding\r\n"] {
            assert_eq!(rewritten(line, None), line);
        }
    }

    #[test]
    fn a_strong_etag_becomes_weak_where_the_bytes_change() {
        let gzip = Some(Coding::Gzip);
        assert!(rewritten("etag: \"a\"\r\n", gzip).starts_with("etag: W/\"a\"\r\n"));
        assert!(rewritten("etag: W/\"a\"\r\n", gzip).starts_with("etag: W/\"a\"\r\n"));
        assert!(rewritten("etag: \"a\"\r\n", None).starts_with("etag: \"a\"\r\n"));
        assert!(!rewritten("accept-ranges: bytes\r\n", gzip).contains("accept-ranges"));
    }
}
