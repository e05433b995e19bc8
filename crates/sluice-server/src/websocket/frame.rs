//! Frame headers (RFC 6455 section 5.2).

use super::{Fault, Role};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0,
    /// A text message, or its first fragment.
    Text = 1,
    /// A binary message, or its first fragment.
    Binary = 2,
    /// The end of the connection.
    Close = 8,
    /// To be answered with a Pong of the same payload.
    Ping = 9,
    /// The answer to a Ping, or a sign of life without one.
    Pong = 10,
}

impl Opcode {
    /// The opcode of this number; None if it is reserved.
    pub const fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether this is Close, Ping or Pong.
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// The longest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// The longest header, in bytes.
pub const HEADER_BYTES_MAX: usize = 14;

/// Appends the header of a frame with a payload of `len` bytes.
///
/// `rsv1` marks the first frame of a compressed message (RFC 7692 section 6). With a `mask`, which a client must
/// take from a good source of randomness, the caller masks the payload.
pub fn write_frame_header(
    out: &mut Vec<u8>,
    opcode: Opcode,
    fin: bool,
    rsv1: bool,
    len: usize,
    mask: Option<[u8; 4]>,
) {
    let mut header = [0; HEADER_BYTES_MAX];
    header[0] = u8::from(fin) << 7 | u8::from(rsv1) << 6 | opcode as u8;
    let mut end = match len {
        0..=125 => {
            header[1] = len as u8;
            2
        }
        126..=0xffff => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    if let Some(mask) = mask {
        header[1] |= 0x80;
        header[end..end + 4].copy_from_slice(&mask);
        end += 4;
    }
    out.extend_from_slice(&header[..end]);
}

/// How many bytes the header of an unmasked frame with a payload of `len` bytes has.
pub(super) const fn header_len(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// The header of a received frame that is sound by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    pub(super) rsv1: bool,
    pub(super) mask: Option<[u8; 4]>,
    /// Length of the payload. The top bit is not set.
    pub(super) len: u64,
    /// Bytes of the header itself.
    pub(super) size: usize,
}

impl Header {
    /// Reads the header at the beginning of `input` for a receiver of this role. None: more bytes are needed.
    ///
    /// The parser of tungstenite is not used, because it does not tell how the length was written, takes
    /// lengths with the top bit set, waits for the whole header before it objects, and logs.
    ///
    /// # Errors
    ///
    /// 1002 for the first byte that is wrong whatever the connection's state is.
    pub(super) fn parse(input: &[u8], role: Role) -> Result<Option<Self>, Fault> {
        let Some(&first) = input.first() else {
            return Ok(None);
        };
        if first & 0x30 != 0 {
            return Err(Fault::protocol("Reserved bit set"));
        }
        let Some(opcode) = Opcode::of(first & 0x0f) else {
            return Err(Fault::protocol("Reserved opcode"));
        };
        let fin = first & 0x80 != 0;
        let rsv1 = first & 0x40 != 0;
        if opcode.is_control() {
            if !fin {
                return Err(Fault::protocol("Fragmented control frame"));
            }
            if rsv1 {
                return Err(Fault::protocol("Reserved bit set"));
            }
        }

        let Some(&second) = input.get(1) else {
            return Ok(None);
        };
        let is_masked = second & 0x80 != 0;
        match role {
            Role::Server if !is_masked => return Err(Fault::protocol("Frame not masked")),
            Role::Client if is_masked => return Err(Fault::protocol("Frame masked")),
            _ => {}
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(Fault::protocol("Control frame too long"));
        }

        let (len, mask_at) = match short {
            126 => {
                let Some(bytes) = input[2..].first_chunk::<2>() else {
                    return Ok(None);
                };
                (u64::from(u16::from_be_bytes(*bytes)), 4)
            }
            127 => {
                let Some(bytes) = input[2..].first_chunk::<8>() else {
                    return Ok(None);
                };
                (u64::from_be_bytes(*bytes), 10)
            }
            _ => (u64::from(short), 2),
        };
        let is_minimal = match mask_at {
            4 => len > 125,
            10 => len > 0xffff,
            _ => true,
        };
        if !is_minimal {
            return Err(Fault::protocol("Length not in its shortest form"));
        }
        if len >> 63 != 0 {
            return Err(Fault::protocol("Length over 63 bits"));
        }

        let (mask, size) = if is_masked {
            let Some(mask) = input[mask_at..].first_chunk::<4>() else {
                return Ok(None);
            };
            (Some(*mask), mask_at + 4)
        } else {
            (None, mask_at)
        };
        Ok(Some(Self {
            opcode,
            fin,
            rsv1,
            mask,
            len,
            size,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;
    use tungstenite::protocol::frame::{FrameHeader, coding};

    use super::*;

    fn opcodes() -> impl Strategy<Value = Opcode> {
        prop::sample::select(vec![
            Opcode::Continuation,
            Opcode::Text,
            Opcode::Binary,
            Opcode::Close,
            Opcode::Ping,
            Opcode::Pong,
        ])
    }

    fn lengths() -> impl Strategy<Value = usize> {
        prop_oneof![
            0..130usize,
            65_530..65_540usize,
            prop::bits::u64::masked(u64::MAX >> 1).prop_map(|len| len as usize),
        ]
    }

    proptest! {
        #[test]
        fn headers_are_written_and_read_as_another_implementation_does(
            opcode in opcodes(), fin: bool, rsv1: bool, len in lengths(), mask: Option<[u8; 4]>,
        ) {
            let mut ours = Vec::new();
            write_frame_header(&mut ours, opcode, fin, rsv1, len, mask);
            let theirs = FrameHeader { is_final: fin, rsv1, rsv2: false, rsv3: false, opcode: coding::OpCode::from(opcode as u8), mask };
            let mut expected = Vec::new();
            theirs.format(len as u64, &mut expected).expect("a Vec takes all");
            prop_assert_eq!(&ours, &expected);
            if mask.is_none() {
                prop_assert_eq!(header_len(len), ours.len());
            }

            let parsed = FrameHeader::parse(&mut Cursor::new(&ours));
            prop_assert_eq!(parsed.ok().flatten(), Some((theirs, len as u64)));
            let role = if mask.is_some() { Role::Server } else { Role::Client };
            let is_sound = !opcode.is_control() || (fin && !rsv1 && len <= CONTROL_BYTES_MAX);
            let read = Header::parse(&ours, role);
            if is_sound {
                prop_assert_eq!(read, Ok(Some(Header { opcode, fin, rsv1, mask, len: len as u64, size: ours.len() })));
                for end in 0..ours.len() {
                    prop_assert_eq!(Header::parse(&ours[..end], role), Ok(None));
                }
            } else {
                prop_assert_eq!(read.map_err(|fault| fault.code), Err(1002));
            }
        }
    }
}
