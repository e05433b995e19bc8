//! Close codes and Close frames (RFC 6455 sections 5.5.1 and 7.4).

use super::{
    Fault, Opcode,
    frame::{CONTROL_BYTES_MAX, write_frame_header},
};

/// The code that is reported for a Close frame without one. Never sent.
pub const NO_STATUS: u16 = 1005;

/// The longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Whether a Close frame may hold this code: 1000 to 1003, 1007 to 1014 and 3000 to 4999.
pub fn is_close_code(code: u16) -> bool {
    // 1012 to 1014 were registered after RFC 6455; 1004 is reserved, 1005, 1006 and 1015 are never sent.
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Appends an unmasked Close frame with the code and the reason.
///
/// A code that no Close frame may hold gives a frame without code and reason, which a peer reads as 1005. A reason
/// over [`REASON_BYTES_MAX`] bytes is cut before the character that does not fit.
pub fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    if !is_close_code(code) {
        write_frame_header(out, Opcode::Close, true, false, 0, None);
        return;
    }
    let reason = cut(reason);
    write_frame_header(out, Opcode::Close, true, false, 2 + reason.len(), None);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// As much of `reason` as fits.
fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

/// Reads the payload of a Close frame.
///
/// # Errors
///
/// 1002 for a single byte or a code that may not be sent, 1007 for a reason that is not UTF-8.
pub(super) fn read_close(payload: &[u8]) -> Result<(u16, &str), Fault> {
    match payload {
        [] => Ok((NO_STATUS, "")),
        [_] => Err(Fault::protocol("Close payload of one byte")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_close_code(code) {
                return Err(Fault::protocol("Invalid close code"));
            }
            let reason = simdutf8::basic::from_utf8(reason).map_err(|_| Fault::NOT_UTF8)?;
            Ok((code, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::frame::coding::CloseCode;

    use super::*;

    #[test]
    fn codes_are_those_of_the_registry() {
        for code in 0..=u16::MAX {
            // 1014 (Bad Gateway) is registered, but this other implementation does not know it.
            let expected = code == 1014 || CloseCode::from(code).is_allowed() && code != 0;
            assert_eq!(is_close_code(code), expected, "{code}");
        }
    }

    #[test]
    fn a_reason_is_cut_before_the_character_that_does_not_fit() {
        let fits = format!("{}é", "a".repeat(121));
        for (reason, expected) in [
            (fits.clone(), &fits[..]),
            (format!("{}é", "a".repeat(122)), &"a".repeat(122)),
        ] {
            let mut out = Vec::new();
            write_close(&mut out, 4000, &reason);
            assert_eq!(out[0], 0x88);
            assert_eq!(usize::from(out[1]), 2 + expected.len());
            assert_eq!(read_close(&out[2..]), Ok((4000, expected)));
        }
    }

    #[test]
    fn a_code_that_may_not_be_sent_is_left_out() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            let mut out = Vec::new();
            write_close(&mut out, code, "x");
            assert_eq!(out, [0x88, 0], "{code}");
        }
    }
}
