//! Undoing the codings of request bodies, a bounded piece at a time.

use std::io;

use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as ZstdContext, InBuffer, Operation, OutBuffer};

/// How far back a frame of zstd may refer, as a power of two: 8 MiB, as RFC 9659 allows.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// The first two bits of the second byte of no zlib header, but the first four of the first of each: RFC 1950 section 2.2.
const ZLIB_DEFLATE: u8 = 8;

type Brotli =
    BrotliState<brotli::enc::StandardAlloc, brotli::enc::StandardAlloc, brotli::enc::StandardAlloc>;

/// What one step of decoding came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Nothing more can come out of what was given so far.
    pub is_drained: bool,
}

/// A decoder of one body.
pub struct ContentDecoder {
    kind: Kind,
    is_complete: bool,
}

enum Kind {
    /// The coding "deflate" is a zlib stream; some senders leave its header out. The first byte tells.
    Undecided,
    Zlib(Box<Decompress>),
    Brotli(Box<Brotli>),
    Zstd(Box<ZstdContext<'static>>),
}

impl ContentDecoder {
    /// The decoder for the value of a `content-encoding`. None for a coding that is not known, and for several.
    pub fn for_codings(value: &[u8]) -> Option<Self> {
        let name = value.trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let kind = if is("gzip") || is("x-gzip") {
            Kind::Zlib(Box::new(Decompress::new_gzip(15)))
        } else if is("deflate") {
            Kind::Undecided
        } else if is("br") {
            let alloc = brotli::enc::StandardAlloc::default;
            Kind::Brotli(Box::new(BrotliState::new(alloc(), alloc(), alloc())))
        } else if is("zstd") {
            let mut context = ZstdContext::new().ok()?;
            context
                .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
                .ok()?;
            Kind::Zstd(Box::new(context))
        } else {
            return None;
        };
        Some(Self {
            kind,
            is_complete: false,
        })
    }

    /// Whether the coded form has come to its end.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Decodes `input` and appends at most `room` bytes to `out`.
    ///
    /// # Errors
    ///
    /// When the input breaks the rules of its coding, or goes on behind its end.
    pub fn decode(&mut self, input: &[u8], room: usize, out: &mut Vec<u8>) -> io::Result<Decoded> {
        if self.is_complete {
            if input.is_empty() {
                return Ok(Decoded {
                    consumed: 0,
                    is_drained: true,
                });
            }
            return Err(io::ErrorKind::InvalidData.into());
        }
        if let (Kind::Undecided, Some(first)) = (&self.kind, input.first()) {
            let has_header = first & 0x0f == ZLIB_DEFLATE;
            self.kind = Kind::Zlib(Box::new(Decompress::new(has_header)));
        }
        let start = out.len();
        out.resize(start + room, 0);
        let step = self.step(input, &mut out[start..]);
        let (consumed, produced) = match &step {
            Ok(step) => *step,
            Err(_) => (0, 0),
        };
        out.truncate(start + produced);
        step?;
        Ok(Decoded {
            consumed,
            is_drained: self.is_complete || (consumed == input.len() && produced < room),
        })
    }

    /// How much of `input` was taken, and how much of `out` was filled.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<(usize, usize)> {
        match &mut self.kind {
            Kind::Undecided => Ok((0, 0)),
            Kind::Zlib(stream) => {
                let (read, written) = (stream.total_in(), stream.total_out());
                let status = stream.decompress(input, out, FlushDecompress::None)?;
                self.is_complete = status == Status::StreamEnd;
                Ok((
                    (stream.total_in() - read) as usize,
                    (stream.total_out() - written) as usize,
                ))
            }
            Kind::Brotli(state) => {
                let (mut left_in, mut at_in) = (input.len(), 0);
                let (mut left_out, mut at_out) = (out.len(), 0);
                let mut total = 0;
                let result = BrotliDecompressStream(
                    &mut left_in,
                    &mut at_in,
                    input,
                    &mut left_out,
                    &mut at_out,
                    out,
                    &mut total,
                    state,
                );
                match result {
                    BrotliResult::ResultSuccess => self.is_complete = true,
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
                    BrotliResult::ResultFailure => return Err(io::ErrorKind::InvalidData.into()),
                }
                Ok((at_in, at_out))
            }
            Kind::Zstd(context) => {
                let mut from = InBuffer::around(input);
                let mut to = OutBuffer::around(out);
                let hint = context.run(&mut from, &mut to)?;
                self.is_complete = hint == 0 && from.pos() + to.pos() > 0;
                Ok((from.pos(), to.pos()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coding::{Coding, Encoders};

    fn coded(coding: Coding, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Encoders::default()
            .encode(coding, None, body, &mut out)
            .expect("it fits");
        out
    }

    /// Decodes `coded` in pieces of `piece` with `room` for each step; `None` when it is refused or cut short.
    fn decoded(name: &str, coded: &[u8], piece: usize, room: usize) -> Option<Vec<u8>> {
        let mut decoder = ContentDecoder::for_codings(name.as_bytes()).expect("it is known");
        let mut out = Vec::new();
        for part in coded.chunks(piece) {
            let mut at = 0;
            loop {
                let before = out.len();
                let step = decoder.decode(&part[at..], room, &mut out).ok()?;
                assert!(out.len() - before <= room);
                at += step.consumed;
                if at == part.len() && step.is_drained {
                    break;
                }
            }
        }
        decoder.is_complete().then_some(out)
    }

    proptest! {
        #[test]
        fn a_body_comes_back_however_it_is_cut(
            body in prop::collection::vec(b'a'..b'd', 0..2000),
            piece in 1usize..200,
            room in 1usize..200,
        ) {
            for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
                let coded = coded(coding, &body);
                let name = coding.name();
                prop_assert_eq!(decoded(name, &coded, piece, room), Some(body.clone()));
                prop_assert_eq!(decoded(name, &coded[..coded.len() - 1], piece, room), None);
            }
        }

        #[test]
        fn rubbish_is_refused_or_unfinished_and_never_more_than_the_room(
            rubbish in prop::collection::vec(any::<u8>(), 1..300),
            piece in 1usize..50,
        ) {
            for name in ["gzip", "deflate", "br", "zstd"] {
                decoded(name, &rubbish, piece, 64);
            }
        }
    }

    #[test]
    fn deflate_comes_with_the_header_of_zlib_or_without() {
        for has_header in [true, false] {
            let mut stream = flate2::Compress::new(flate2::Compression::new(6), has_header);
            let mut out = Vec::with_capacity(200);
            stream
                .compress_vec(b"hello", &mut out, flate2::FlushCompress::Finish)
                .expect("it fits");
            assert_eq!(decoded("Deflate", &out, 1, 64), Some(b"hello".to_vec()));
        }
    }

    #[test]
    fn what_follows_the_end_is_refused() {
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let mut coded = coded(coding, b"hello");
            coded.extend_from_slice(b"more");
            assert_eq!(decoded(coding.name(), &coded, 1000, 64), None, "{coding:?}");
        }
    }

    #[test]
    fn other_codings_are_not_known() {
        for value in ["", "identity", "compress", "gzip, br", "aes128gcm"] {
            assert!(
                ContentDecoder::for_codings(value.as_bytes()).is_none(),
                "{value}"
            );
        }
    }
}
