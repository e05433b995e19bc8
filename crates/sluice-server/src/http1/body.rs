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

    /// How many bytes are missing, for a body of known length.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(missing) => Some(missing),
            State::Done => Some(0),
            _ => None,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http1::answer::{write_chunk, write_last_chunk};

    /// Decodes pieces one after the other; the payload, the bytes consumed, and whether the body is complete.
    fn decode<'p>(
        framing: Framing,
        pieces: impl IntoIterator<Item = &'p [u8]>,
    ) -> Result<(Vec<u8>, usize, bool), Reject> {
        let mut decoder = BodyDecoder::new(framing);
        let mut payload = Vec::new();
        let mut consumed = 0;
        for piece in pieces {
            let decoded =
                decoder.decode(piece, usize::MAX, |data| payload.extend_from_slice(data))?;
            consumed += decoded.consumed;
            assert!(
                decoded.done || decoded.consumed == piece.len(),
                "input is left and the body is not complete"
            );
        }
        Ok((payload, consumed, decoder.is_done()))
    }

    fn chunked(bytes: &[u8]) -> Result<(Vec<u8>, usize, bool), Reject> {
        decode(Framing::Chunked, [bytes])
    }

    #[test]
    fn a_request_without_body_is_complete_at_once() {
        for framing in [Framing::None, Framing::Length(0)] {
            assert!(BodyDecoder::new(framing).is_done());
            assert_eq!(decode(framing, [&b"GET"[..]]), Ok((vec![], 0, true)));
        }
    }

    #[test]
    fn bytes_after_the_end_are_not_touched() {
        assert_eq!(
            decode(Framing::Length(3), [&b"abcGET"[..]]),
            Ok((b"abc".to_vec(), 3, true))
        );
        assert_eq!(
            chunked(b"3\r\nabc\r\n0\r\n\r\nGET"),
            Ok((b"abc".to_vec(), 13, true))
        );
    }

    #[test]
    fn no_call_takes_more_payload_than_it_may() {
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let input = b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        let mut pieces = Vec::new();
        let mut at = 0;
        for (max, expected) in [(0, 0), (2, 2), (0, 0), (3, 3), (0, 0), (9, 1)] {
            let decoded = decoder
                .decode(&input[at..], max, |piece| pieces.push(piece.to_vec()))
                .expect("the body is sound");
            assert_eq!(decoded.payload, expected);
            at += decoded.consumed;
        }
        assert!(decoder.is_done());
        assert_eq!(at, input.len());
        assert_eq!(pieces, [&b"he"[..], b"llo", b"!"]);
    }

    #[test]
    fn without_credit_the_end_of_a_body_is_still_read() {
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let first = decoder
            .decode(b"5\r\nhello", 5, |_| {})
            .expect("the body is sound");
        assert_eq!(
            first,
            Decoded {
                consumed: 8,
                payload: 5,
                done: false
            }
        );
        let last = decoder
            .decode(b"\r\n0\r\n\r\n", 0, |_| {})
            .expect("the body is sound");
        assert_eq!(
            last,
            Decoded {
                consumed: 7,
                payload: 0,
                done: true
            }
        );
    }

    #[test]
    fn a_chunk_size_may_have_sixteen_digits_and_reach_the_largest_signed_number() {
        assert_eq!(
            chunked(b"0000000000000003\r\nabc\r\n0\r\n\r\n").map(|body| body.0),
            Ok(b"abc".to_vec())
        );
        assert_eq!(
            chunked(b"00000000000000003"),
            Err(Reject::ChunkSizeOverflow)
        );
        assert_eq!(
            chunked(b"7fffffffffffffff\r\nabc"),
            Ok((b"abc".to_vec(), 21, false))
        );
        assert_eq!(chunked(b"8000000000000000"), Err(Reject::ChunkSizeOverflow));
        assert_eq!(
            chunked(b"fffffffffffffffff"),
            Err(Reject::ChunkSizeOverflow)
        );
    }

    #[test]
    fn extensions_of_a_chunk_at_their_limit_pass_and_one_past_it_are_refused() {
        let body = |len: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(len - 1));
        assert!(chunked(body(256).as_bytes()).is_ok());
        assert_eq!(chunked(body(257).as_bytes()), Err(Reject::ChunkExtension));
    }

    #[test]
    fn extensions_of_a_body_at_their_limit_pass_and_one_past_it_are_refused() {
        let chunk = format!("1;{}\r\nx\r\n", "e".repeat(255));
        let body = chunk.repeat(16);
        assert!(chunked(format!("{body}1\r\nx\r\n0\r\n\r\n").as_bytes()).is_ok());
        assert_eq!(
            chunked(format!("{body}0;\r\n\r\n").as_bytes()),
            Err(Reject::ChunkExtension)
        );
    }

    #[test]
    fn trailers_at_their_limit_pass_and_one_past_it_are_refused() {
        let fields = |count: usize| format!("0\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert!(chunked(fields(32).as_bytes()).is_ok_and(|body| body.2));
        assert_eq!(chunked(fields(33).as_bytes()), Err(Reject::TrailersTooLong));
        // The last LF comes after the bytes are counted.
        let bytes = |len: usize| format!("0\r\nX:{}\r\n\r\n", "y".repeat(len - "X:\r\n\r".len()));
        assert!(chunked(bytes(8192).as_bytes()).is_ok_and(|body| body.2));
        assert_eq!(
            chunked(bytes(8193).as_bytes()),
            Err(Reject::TrailersTooLong)
        );
    }

    proptest! {
        #[test]
        fn a_chunked_body_comes_back_however_it_is_split(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8), size in 1usize..64,
        ) {
            let mut encoded = Vec::new();
            for chunk in &chunks {
                write_chunk(&mut encoded, chunk);
            }
            write_last_chunk(&mut encoded);
            let expected = Ok((chunks.concat(), encoded.len(), true));
            prop_assert_eq!(&decode(Framing::Chunked, [&encoded[..]]), &expected);
            prop_assert_eq!(&decode(Framing::Chunked, encoded.chunks(size)), &expected);
            prop_assert_eq!(&decode(Framing::Chunked, encoded.chunks(1)), &expected);
        }

        #[test]
        fn the_largest_piece_a_call_may_take_changes_nothing(body in proptest::collection::vec(any::<u8>(), 1..200), max in 1usize..50) {
            let mut encoded = Vec::new();
            body.chunks(17).for_each(|chunk| write_chunk(&mut encoded, chunk));
            write_last_chunk(&mut encoded);
            for (framing, input) in [(Framing::Chunked, &encoded), (Framing::Length(body.len() as u64), &body)] {
                let mut decoder = BodyDecoder::new(framing);
                let mut payload = Vec::new();
                let mut at = 0;
                while !decoder.is_done() {
                    let decoded = decoder.decode(&input[at..], max, |piece| payload.extend_from_slice(piece));
                    let decoded = decoded.expect("our own encoding is sound");
                    prop_assert!(decoded.payload <= max && decoded.consumed > 0);
                    at += decoded.consumed;
                }
                prop_assert_eq!(&payload, &body);
                prop_assert_eq!(at, input.len());
            }
        }

        #[test]
        fn bytes_of_any_kind_get_one_verdict_however_they_are_split(
            pieces in proptest::collection::vec(prop_oneof![
                Just(b"\r\n".to_vec()), Just(b"3\r\nabc\r\n".to_vec()), Just(b"0\r\n".to_vec()), Just(b"X: y\r\n".to_vec()), Just(b";e".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..4),
            ], 0..10),
        ) {
            let bytes = pieces.concat();
            prop_assert_eq!(decode(Framing::Chunked, bytes.chunks(1)), decode(Framing::Chunked, [&bytes[..]]));
        }
    }
}
