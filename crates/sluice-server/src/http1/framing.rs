//! How a request body is delimited (RFC 9112 section 6.3), decided from the fields that say so.

use super::Reject;

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// A body of this many bytes, at most 2^63 - 1. `Length(0)` when the client said so.
    Length(u64),
    /// A chunked body.
    Chunked,
}

/// The largest length a peer may announce: it stays positive in every signed type on the way.
pub(super) const LENGTH_MAX: u64 = i64::MAX as u64;

/// What Content-Length and Transfer-Encoding of one head have said so far.
///
/// Stricter than RFC 9112 allows: whatever two parsers have been known to read differently is refused,
/// also where the RFC would let a server repair it (equal lengths, Content-Length beside chunked).
#[derive(Default)]
pub(super) struct FramingFields {
    length: Option<u64>,
    chunked: bool,
}

impl FramingFields {
    /// Takes the value of a Content-Length field.
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.length.is_some() {
            return Err(Reject::LengthDuplicate);
        }
        self.length = Some(parse_length(value)?);
        Ok(())
    }

    /// Takes the value of a Transfer-Encoding field.
    pub(super) fn transfer_encoding(&mut self, value: &[u8], http10: bool) -> Result<(), Reject> {
        if http10 {
            return Err(Reject::EncodingOnHttp10);
        }
        if self.chunked {
            return Err(Reject::EncodingDuplicate);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(refuse_encoding(value));
        }
        self.chunked = true;
        Ok(())
    }

    /// The verdict, once every field was seen.
    pub(super) fn finish(self) -> Result<Framing, Reject> {
        match (self.length, self.chunked) {
            (None, false) => Ok(Framing::None),
            (Some(length), false) => Ok(Framing::Length(length)),
            (None, true) => Ok(Framing::Chunked),
            (Some(_), true) => Err(Reject::LengthAndEncoding),
        }
    }
}

fn parse_length(value: &[u8]) -> Result<u64, Reject> {
    if value.contains(&b',') {
        return Err(Reject::LengthList);
    }
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Reject::LengthInvalid);
    }
    value
        .iter()
        .try_fold(0u64, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .filter(|&length| length <= LENGTH_MAX)
        .ok_or(Reject::LengthOverflow)
}

/// 501 for well-formed codings that end in one `chunked` and that we do not speak, 400 for the rest.
fn refuse_encoding(value: &[u8]) -> Reject {
    let chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    match codings.next_back() {
        Some(last) if chunked(last) => {}
        _ => return Reject::EncodingInvalid,
    }
    if codings.all(|coding| {
        !coding.is_empty()
            && !chunked(coding)
            && coding.iter().all(|&byte| super::octets::is_token(byte))
    }) {
        Reject::EncodingUnsupported
    } else {
        Reject::EncodingInvalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_length_is_digits_up_to_the_largest_signed_number() {
        assert_eq!(parse_length(b"0"), Ok(0));
        assert_eq!(parse_length(b"0010"), Ok(10));
        assert_eq!(parse_length(b"9223372036854775807"), Ok(LENGTH_MAX));
        assert_eq!(
            parse_length(b"9223372036854775808"),
            Err(Reject::LengthOverflow)
        );
        assert_eq!(
            parse_length(b"18446744073709551616"),
            Err(Reject::LengthOverflow)
        );
        assert_eq!(parse_length(b"5, 5"), Err(Reject::LengthList));
        assert_eq!(parse_length(b"5,"), Err(Reject::LengthList));
        for value in ["", "+5", "-5", "5 5", "0x5", "5.0", "5e1", "\u{665}"] {
            assert_eq!(
                parse_length(value.as_bytes()),
                Err(Reject::LengthInvalid),
                "{value:?}"
            );
        }
    }

    #[test]
    fn only_codings_before_one_final_chunked_are_unsupported_the_rest_is_invalid() {
        for value in [
            "gzip, chunked",
            "gzip,deflate , Chunked",
            "identity, chunked",
        ] {
            assert_eq!(
                refuse_encoding(value.as_bytes()),
                Reject::EncodingUnsupported,
                "{value:?}"
            );
        }
        for value in [
            "",
            "identity",
            "xchunked",
            "chunked, chunked",
            "chunked, gzip",
            "chunked,",
            ", chunked",
            "chunked;q=1",
            "\"chunked\"",
            "gz ip, chunked",
            "chunked chunked",
        ] {
            assert_eq!(
                refuse_encoding(value.as_bytes()),
                Reject::EncodingInvalid,
                "{value:?}"
            );
        }
    }
}
