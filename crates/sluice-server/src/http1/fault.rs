//! Finds the reason why a head cannot be parsed.
//!
//! The parser says only that something is wrong. This slow second look is taken for broken heads alone and
//! names the first line that is at fault, so that the answer, the log and the metric are of use.

use super::{
    Reject,
    method::METHOD_BYTES_MAX,
    octets::{first_unclean, is_token},
};

/// The fault of a head, or of the beginning of one, whose bytes are not clean or whose request line has no end in time.
///
/// Both are judged at the byte where they become certain, so that a head that arrives in pieces gets the
/// same verdict as a whole one. None when neither applies.
pub(super) fn in_bytes(bytes: &[u8], line_bytes_max: usize) -> Option<Reject> {
    let unclean = first_unclean(b' ', bytes);
    // The byte that proves the line too long is the one where its CRLF could have ended at the latest.
    let latest = line_bytes_max + 1;
    let is_long = bytes.len() > latest && !bytes[..=latest].contains(&b'\n');
    match unclean {
        Some((at, reason)) if !is_long || at <= latest => Some(reason),
        _ => is_long.then_some(Reject::TargetTooLong),
    }
}

/// The fault of a complete head of clean bytes that the parser refused.
pub(super) fn in_lines(head: &[u8], fields_max: usize) -> Reject {
    // Clean bytes: every LF is the end of a CRLF.
    let mut lines = head
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request_line = lines.next().unwrap_or_default();
    if let Some(reason) = in_request_line(request_line) {
        return reason;
    }
    let lines = lines.take_while(|line| !line.is_empty());
    for (index, line) in lines.enumerate() {
        if index == fields_max {
            return Reject::TooManyFields;
        }
        if let Some(reason) = in_field_line(line) {
            return reason;
        }
    }
    Reject::FieldLine
}

fn in_request_line(line: &[u8]) -> Option<Reject> {
    let mut parts = line.split(|&byte| byte == b' ');
    let method = parts.next().unwrap_or_default();
    if method.is_empty() {
        return Some(Reject::RequestLine);
    }
    if !method.iter().all(|&byte| is_token(byte)) {
        return Some(Reject::Method);
    }
    if method.len() > METHOD_BYTES_MAX {
        return Some(Reject::MethodTooLong);
    }
    match (parts.next(), parts.next(), parts.next()) {
        (None | Some(b""), _, _) | (_, Some(b""), _) | (_, _, Some(_)) => Some(Reject::RequestLine),
        // A request line of two parts is HTTP/0.9.
        (Some(_), None, _) => Some(Reject::UnsupportedVersion),
        (Some(target), Some(version), None) => {
            if target.iter().any(|byte| !byte.is_ascii_graphic()) {
                return Some(Reject::Target);
            }
            match version {
                b"HTTP/1.0" | b"HTTP/1.1" => None,
                [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                    if major.is_ascii_digit() && minor.is_ascii_digit() =>
                {
                    Some(Reject::UnsupportedVersion)
                }
                _ => Some(Reject::MalformedVersion),
            }
        }
    }
}

/// The fault of a field line, without its CRLF, of a head or a trailer section.
fn in_field_line(line: &[u8]) -> Option<Reject> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Some(Reject::ObsFold);
    }
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return Some(Reject::FieldLine);
    };
    let name = &line[..colon];
    match name.last() {
        None => Some(Reject::EmptyFieldName),
        Some(b' ' | b'\t') => Some(Reject::SpaceBeforeColon),
        Some(_) if !name.iter().all(|&byte| is_token(byte)) => Some(Reject::FieldName),
        Some(_) => None,
    }
}
