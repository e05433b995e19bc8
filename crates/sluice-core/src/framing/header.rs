//! Lengths that come before their messages.

use super::{Fault, Length, Number};

/// What a header says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// The header is not complete.
    Unknown,
    /// The message is the bytes from `start` to `end`; `tail` more belong to it.
    Known { start: usize, end: u64, tail: usize },
}

/// Bytes of the longest varint (protobuf: ten for 64 bits).
const VARINT_BYTES: usize = 10;
/// Bytes of the longest length in MQTT (5.0, 1.5.5).
const MQTT_BYTES: usize = 4;

impl Number {
    /// How many bytes it has.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16Be | Self::U16Le | Self::I16Be => 2,
            Self::U32Be | Self::U32Le | Self::I32Be => 4,
            Self::U64Be | Self::U64Le => 8,
        }
    }

    /// Reads a number of [`bytes`](Self::bytes) bytes; a negative one is a fault.
    fn read(self, bytes: &[u8]) -> Result<u64, Fault> {
        let mut wide = [0; 8];
        let is_little = matches!(self, Self::U16Le | Self::U32Le | Self::U64Le);
        if is_little {
            wide[..bytes.len()].copy_from_slice(bytes);
            return Ok(u64::from_le_bytes(wide));
        }
        wide[8 - bytes.len()..].copy_from_slice(bytes);
        let value = u64::from_be_bytes(wide);
        match self {
            Self::I16Be if value > i16::MAX as u64 => Err(Fault::Length),
            Self::I32Be if value > i32::MAX as u64 => Err(Fault::Length),
            _ => Ok(value),
        }
    }
}

impl Length {
    pub(super) fn read(&self, input: &[u8]) -> Result<Span, Fault> {
        let offset = usize::from(self.offset);
        let header = offset + self.number.bytes();
        let Some(number) = input.get(offset..header) else {
            return Ok(Span::Unknown);
        };
        let end = self
            .number
            .read(number)?
            .saturating_add(u64::from(self.body_offset));
        let header = header.max(usize::from(self.body_offset));
        if end < header as u64 {
            return Err(Fault::Length);
        }
        Ok(Span::Known {
            start: if self.strip { header } else { 0 },
            end,
            tail: 0,
        })
    }
}

/// Reads a LEB128 number of at most `bytes` bytes: its value, and how many bytes it has.
fn leb128(input: &[u8], bytes: usize) -> Result<Option<(u64, usize)>, Fault> {
    let mut value = 0_u64;
    for (index, byte) in input.iter().take(bytes).enumerate() {
        let part = u64::from(byte & 0x7f);
        let shift = 7 * index as u32;
        if part << shift >> shift != part {
            return Err(Fault::Malformed);
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if input.len() >= bytes {
        return Err(Fault::Malformed);
    }
    Ok(None)
}

pub(super) fn varint(input: &[u8]) -> Result<Span, Fault> {
    Ok(match leb128(input, VARINT_BYTES)? {
        Some((len, start)) => Span::Known {
            start,
            end: len.saturating_add(start as u64),
            tail: 0,
        },
        None => Span::Unknown,
    })
}

/// MQTT 5.0, 2.1: a byte of type and flags, the length of the rest, the rest. Type 0 is reserved in every version.
pub(super) fn mqtt(input: &[u8]) -> Result<Span, Fault> {
    let Some((first, rest)) = input.split_first() else {
        return Ok(Span::Unknown);
    };
    if first >> 4 == 0 {
        return Err(Fault::Malformed);
    }
    Ok(match leb128(rest, MQTT_BYTES)? {
        Some((len, bytes)) => Span::Known {
            start: 0,
            end: len + 1 + bytes as u64,
            tail: 0,
        },
        None => Span::Unknown,
    })
}

/// A netstring's length: digits without a leading zero, and a colon. No more digits are waited for than `max` has.
pub(super) fn netstring(input: &[u8], max: u32) -> Result<Span, Fault> {
    let mut len = 0_u64;
    for (index, &byte) in input.iter().enumerate() {
        match byte {
            b':' if index > 0 => {
                return Ok(Span::Known {
                    start: index + 1,
                    end: len + index as u64 + 1,
                    tail: 1,
                });
            }
            b'0'..=b'9' if index == 0 || len > 0 => {
                len = len * 10 + u64::from(byte - b'0');
                if len > u64::from(max) {
                    return Err(Fault::TooLarge);
                }
            }
            _ => return Err(Fault::Malformed),
        }
    }
    Ok(Span::Unknown)
}
