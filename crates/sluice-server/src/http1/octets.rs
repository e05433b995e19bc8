//! Which bytes may stand in a head or a trailer (RFC 9110 section 5.5, RFC 9112 section 2.2).

use super::Reject;

/// Whether `byte` may stand in a method or a field name (RFC 9110 section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `byte` is a control byte that no line may hold. CR and LF are judged by their neighbours.
pub(super) const fn is_control(byte: u8) -> bool {
    // No short circuits, so that the loop in `is_clean` becomes vector instructions.
    ((byte < 0x20) & (byte != b'\t') & (byte != b'\r') & (byte != b'\n')) | (byte == 0x7f)
}

/// Whether `bytes`, which follow the byte `before`, hold only what may stand in CRLF-ended lines.
///
/// A CR as the last byte is not judged: its LF may still be on the way.
pub(super) fn is_clean(before: u8, bytes: &[u8]) -> bool {
    let Some((&first, rest)) = bytes.split_first() else {
        return true;
    };
    let mut bad = is_control(first) | ((before == b'\r') != (first == b'\n'));
    for (&left, &right) in bytes.iter().zip(rest) {
        bad |= is_control(right) | ((left == b'\r') != (right == b'\n'));
    }
    !bad
}

/// The place and the reason of the first byte that [`is_clean`] objects to.
pub(super) fn first_unclean(mut before: u8, bytes: &[u8]) -> Option<(usize, Reject)> {
    for (at, &byte) in bytes.iter().enumerate() {
        let reason = match (before, byte) {
            (b'\r', b'\n') => None,
            (b'\r', _) => Some(Reject::BareCr),
            (_, b'\n') => Some(Reject::BareLf),
            (_, 0) => Some(Reject::Nul),
            _ if is_control(byte) => Some(Reject::Control),
            _ => None,
        };
        if let Some(reason) = reason {
            return Some((at, reason));
        }
        before = byte;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_are_the_seventy_seven_bytes_of_the_grammar() {
        assert_eq!((0..=255u8).filter(|&byte| is_token(byte)).count(), 77);
        for byte in b" \t\"(),/:;<=>?@[\\]{}\x7f\x80" {
            assert!(!is_token(*byte), "{byte}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_answer_agrees_with_the_slow_one(
            before in any::<u8>(),
            bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), any::<u8>()], 0..80),
        ) {
            prop_assert_eq!(is_clean(before, &bytes), first_unclean(before, &bytes).is_none());
        }
    }
}
