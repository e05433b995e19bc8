//! The body of a request, freed from its framing.

use super::{
    Framing, Reject,
    framing::LENGTH_MAX,
    octets::{first_unclean, is_token},
};

/// Takes the payload out of the bytes of one request body.
///
/// Keeps no bytes: it may be fed in pieces of any size, and payload is handed on where it lies. Trailers
/// are checked and dropped, since nothing above asks for them (RFC 9112 section 7.1.2 allows it).
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// Bytes of extensions in all chunks so far.
    extension_bytes: u16,
}

/// What one call of [`BodyDecoder::decode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that belong to this body and are done with. What follows them was not read.
    pub consumed: usize,
    /// Bytes of payload among them, as the sink has seen them.
    pub payload: usize,
    /// Whether the body is complete. The input after `consumed` is the next request.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This much of a body of known length is missing.
    Length(u64),
    /// In a chunk size.
    Size { digits: u8, size: u64 },
    /// In the extensions of a chunk.
    Extension { size: u64, bytes: u16, last: u8 },
    /// After the CR of a chunk's first line.
    SizeLf { size: u64 },
    /// This much of a chunk is missing.
    Data(u64),
    /// After a chunk's data.
    DataCr,
    /// After the CR that follows a chunk's data.
    DataLf,
    /// In the trailer section.
    Trailer {
        at: TrailerAt,
        fields: u8,
        bytes: u16,
    },
    /// After the last byte.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrailerAt {
    LineStart,
    Name { last: u8 },
    Value { last: u8 },
    FinalLf,
}

const CHUNK_SIZE_DIGITS_MAX: u8 = 16;
const CHUNK_EXTENSION_BYTES_MAX: u16 = 256;
const BODY_EXTENSION_BYTES_MAX: u16 = 4 * 1024;
const TRAILER_BYTES_MAX: u16 = 8 * 1024;
const TRAILER_FIELDS_MAX: u8 = 32;

impl BodyDecoder {
    /// A decoder for one body.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { digits: 0, size: 0 },
        };
        Self {
            state,
            extension_bytes: 0,
        }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads `input` until it, the body or `max` bytes of payload are used up, and gives payload to `sink`
    /// piece by piece, never an empty piece.
    ///
    /// `max` is the room that flow control leaves. With 0, framing is still read up to the next payload
    /// byte, so that a body whose payload is complete can end without credit.
    ///
    /// # Errors
    ///
    /// The framing is broken or over a bound. Payload that stood before the fault has been given to `sink`;
    /// the decoder must not be used again.
    pub fn decode(
        &mut self,
        input: &[u8],
        max: usize,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<Decoded, Reject> {
        let mut consumed = 0;
        let mut payload = 0;
        while self.state != State::Done {
            let rest = &input[consumed..];
            if let State::Length(missing) | State::Data(missing) = self.state {
                // Saturating: on 32 bits a chunk may be larger than memory.
                let take = rest
                    .len()
                    .min(max - payload)
                    .min(usize::try_from(missing).unwrap_or(usize::MAX));
                if take == 0 {
                    break;
                }
                sink(&rest[..take]);
                consumed += take;
                payload += take;
                self.state = after_payload(self.state, take as u64);
            } else {
                let Some(&byte) = rest.first() else { break };
                self.state = self.step(byte)?;
                consumed += 1;
            }
        }
        Ok(Decoded {
            consumed,
            payload,
            done: self.is_done(),
        })
    }

    /// The state after one byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, Reject> {
        match self.state {
            State::Size { digits, size } => match byte {
                b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => {
                    let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                    if digits == CHUNK_SIZE_DIGITS_MAX || size > LENGTH_MAX >> 4 {
                        return Err(Reject::ChunkSizeOverflow);
                    }
                    Ok(State::Size {
                        digits: digits + 1,
                        size: size << 4 | digit,
                    })
                }
                _ if digits == 0 => Err(Reject::ChunkSize),
                b'\r' => Ok(State::SizeLf { size }),
                b';' => self.extension(size, 0, byte),
                b'\n' => Err(Reject::BareLf),
                _ => Err(Reject::ChunkSize),
            },
            State::Extension { size, bytes, last } => match byte {
                b'\r' => Ok(State::SizeLf { size }),
                _ => match first_unclean(last, &[byte]) {
                    Some((_, reason)) => Err(reason),
                    None => self.extension(size, bytes, byte),
                },
            },
            State::SizeLf { size } => match (byte, size) {
                (b'\n', 0) => Ok(State::Trailer {
                    at: TrailerAt::LineStart,
                    fields: 0,
                    bytes: 0,
                }),
                (b'\n', _) => Ok(State::Data(size)),
                _ => Err(Reject::BareCr),
            },
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::Size { digits: 0, size: 0 }),
            State::DataCr | State::DataLf => Err(Reject::ChunkEnd),
            State::Trailer { at, fields, bytes } => trailer(at, fields, bytes, byte),
            State::Length(_) | State::Data(_) | State::Done => Ok(self.state),
        }
    }

    fn extension(&mut self, size: u64, bytes: u16, last: u8) -> Result<State, Reject> {
        if bytes == CHUNK_EXTENSION_BYTES_MAX || self.extension_bytes == BODY_EXTENSION_BYTES_MAX {
            return Err(Reject::ChunkExtension);
        }
        self.extension_bytes += 1;
        Ok(State::Extension {
            size,
            bytes: bytes + 1,
            last,
        })
    }
}

fn after_payload(state: State, taken: u64) -> State {
    match state {
        State::Length(missing) if missing == taken => State::Done,
        State::Length(missing) => State::Length(missing - taken),
        State::Data(missing) if missing == taken => State::DataCr,
        State::Data(missing) => State::Data(missing - taken),
        other => other,
    }
}

/// The state after one byte of the trailer section. The rules are those of the head's field lines.
fn trailer(at: TrailerAt, mut fields: u8, bytes: u16, byte: u8) -> Result<State, Reject> {
    let at = match (at, byte) {
        (TrailerAt::LineStart, b'\r') => TrailerAt::FinalLf,
        (TrailerAt::FinalLf, b'\n') => return Ok(State::Done),
        (TrailerAt::FinalLf, _) => return Err(Reject::BareCr),
        (TrailerAt::LineStart, b' ' | b'\t') => return Err(Reject::ObsFold),
        (TrailerAt::LineStart, b':') => return Err(Reject::EmptyFieldName),
        (TrailerAt::Name { last: b' ' | b'\t' }, b':') => return Err(Reject::SpaceBeforeColon),
        (TrailerAt::Name { .. }, b':') => TrailerAt::Value { last: byte },
        (TrailerAt::Name { last: b' ' | b'\t' }, _) => return Err(Reject::FieldName),
        (TrailerAt::Name { .. }, b' ' | b'\t') => TrailerAt::Name { last: byte },
        (TrailerAt::Name { .. }, b'\r') => return Err(Reject::FieldLine),
        (TrailerAt::LineStart, _) if is_token(byte) => {
            if fields == TRAILER_FIELDS_MAX {
                return Err(Reject::TrailersTooLong);
            }
            fields += 1;
            TrailerAt::Name { last: byte }
        }
        (TrailerAt::Name { .. }, _) if is_token(byte) => TrailerAt::Name { last: byte },
        (TrailerAt::LineStart | TrailerAt::Name { .. }, _) => {
            return Err(
                first_unclean(b' ', &[byte]).map_or(Reject::FieldName, |(_, reason)| reason)
            );
        }
        (TrailerAt::Value { last: b'\r' }, b'\n') => TrailerAt::LineStart,
        (TrailerAt::Value { last }, _) => match first_unclean(last, &[byte]) {
            Some((_, reason)) => return Err(reason),
            None => TrailerAt::Value { last: byte },
        },
    };
    if bytes == TRAILER_BYTES_MAX {
        return Err(Reject::TrailersTooLong);
    }
    Ok(State::Trailer {
        at,
        fields,
        bytes: bytes + 1,
    })
}
