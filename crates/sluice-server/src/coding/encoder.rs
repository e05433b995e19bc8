//! Compressing bodies.

use std::io::{self, Write};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::stream::raw::{CParameter, Encoder as ZstdContext, InBuffer, Operation, OutBuffer};

use super::Coding;

/// Levels where the configuration names none: each about where more time stops paying on answers of some KiB.
const GZIP_LEVEL: u32 = 5;
const BROTLI_LEVEL: u32 = 4;
const ZSTD_LEVEL: u32 = 3;
/// Above it, brotli takes 20 to 50 times as long for bodies of this size, and a worker stands still meanwhile.
const BROTLI_LEVEL_MAX: u32 = 4;
/// How far back a stream of unknown length may refer, as a power of two: it is what a stream costs in memory.
const STREAM_WINDOW_BITS: u32 = 18;
/// Of gzip; its format knows no more.
const GZIP_WINDOW_BITS: u8 = 15;
/// What brotli collects before it writes.
const BROTLI_BUFFER: usize = 4 * 1024;

/// A compressor of one body.
pub(crate) struct Encoder(Kind);

enum Kind {
    Gzip(Box<Compress>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(Box<ZstdContext<'static>>),
}

impl Encoder {
    /// For a body of unknown length. `level` 1 to 9; `None`: the usual one of each coding.
    pub(crate) fn new(coding: Coding, level: Option<u32>) -> io::Result<Self> {
        Ok(Self(match coding {
            Coding::Gzip => Kind::Gzip(Box::new(gzip(level))),
            Coding::Brotli => Kind::Brotli(Box::new(brotli(level, None))),
            Coding::Zstd => {
                let mut context = zstd(level)?;
                context.set_parameter(CParameter::WindowLog(STREAM_WINDOW_BITS))?;
                Kind::Zstd(Box::new(context))
            }
        }))
    }

    /// Appends to `out` all that is known of `data`: whoever gets it can decode everything up to here.
    pub(crate) fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.0 {
            Kind::Gzip(stream) => deflate(stream, data, FlushCompress::Sync, out),
            Kind::Brotli(writer) => {
                writer.write_all(data)?;
                writer.flush()?;
                out.append(writer.get_mut());
                Ok(())
            }
            Kind::Zstd(context) => {
                feed(context, data, out)?;
                drain(out, |out| context.flush(out))
            }
        }
    }

    /// Appends the end.
    pub(crate) fn finish(self, out: &mut Vec<u8>) -> io::Result<()> {
        match self.0 {
            Kind::Gzip(mut stream) => deflate(&mut stream, b"", FlushCompress::Finish, out),
            Kind::Brotli(writer) => {
                out.append(&mut writer.into_inner());
                Ok(())
            }
            Kind::Zstd(mut context) => drain(out, |out| context.finish(out, true)),
        }
    }
}

/// What compresses whole bodies, one after the other: the state of gzip and of zstd is made once and used again.
#[derive(Default)]
pub(crate) struct Encoders {
    gzip: Option<Box<Compress>>,
    zstd: Option<Box<ZstdContext<'static>>>,
}

impl Encoders {
    /// Appends the coded form of `data` to `out`. After an error `out` holds rubbish.
    pub(crate) fn encode(
        &mut self,
        coding: Coding,
        level: Option<u32>,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        match coding {
            Coding::Gzip => {
                let mut stream = match self.gzip.take() {
                    Some(mut stream) => {
                        stream.reset();
                        stream
                    }
                    None => Box::new(gzip(level)),
                };
                deflate(&mut stream, data, FlushCompress::Finish, out)?;
                // Kept only if it ended well.
                self.gzip = Some(stream);
                Ok(())
            }
            Coding::Brotli => {
                let mut writer = brotli(level, Some(data.len()));
                writer.write_all(data)?;
                out.append(&mut writer.into_inner());
                Ok(())
            }
            Coding::Zstd => {
                let mut context = match self.zstd.take() {
                    Some(mut context) => {
                        context.reinit()?;
                        context
                    }
                    None => Box::new(zstd(level)?),
                };
                context.set_pledged_src_size(Some(data.len() as u64))?;
                feed(&mut context, data, out)?;
                drain(out, |out| context.finish(out, true))?;
                self.zstd = Some(context);
                Ok(())
            }
        }
    }
}

fn gzip(level: Option<u32>) -> Compress {
    let level = Compression::new(level.unwrap_or(GZIP_LEVEL).min(9));
    Compress::new_gzip(level, GZIP_WINDOW_BITS)
}

fn brotli(level: Option<u32>, length: Option<usize>) -> CompressorWriter<Vec<u8>> {
    let window = length.map_or(STREAM_WINDOW_BITS, |length| {
        // A window larger than the body is only memory that has to be cleared.
        length.max(1).next_power_of_two().ilog2().clamp(10, 22)
    });
    let params = BrotliEncoderParams {
        quality: level.unwrap_or(BROTLI_LEVEL).min(BROTLI_LEVEL_MAX) as i32,
        lgwin: window as i32,
        size_hint: length.unwrap_or(0),
        ..BrotliEncoderParams::default()
    };
    CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &params)
}

fn zstd(level: Option<u32>) -> io::Result<ZstdContext<'static>> {
    ZstdContext::new(level.unwrap_or(ZSTD_LEVEL) as i32)
}

/// At most so many bytes come out of `len`: what cannot be made shorter is stored, in blocks with a head of their own.
const fn worst_len(len: usize) -> usize {
    len + len / 8 + len / 256 + 64
}

fn deflate(
    stream: &mut Compress,
    mut data: &[u8],
    flush: FlushCompress,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    loop {
        // Room for the worst: zlib-rs 0.6.8 forgets in its reset that it had run out of room.
        out.reserve(worst_len(data.len()));
        let before = stream.total_in();
        let status = stream.compress_vec(data, out, flush)?;
        data = &data[(stream.total_in() - before) as usize..];
        let is_done = match flush {
            FlushCompress::Finish => status == Status::StreamEnd,
            _ => data.is_empty() && out.len() < out.capacity(),
        };
        if is_done {
            return Ok(());
        }
    }
}

fn feed(context: &mut ZstdContext<'static>, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut input = InBuffer::around(data);
    while input.pos() < data.len() {
        out.reserve(worst_len(data.len() - input.pos()));
        let at = out.len();
        context.run(&mut input, &mut OutBuffer::around_pos(out, at))?;
    }
    Ok(())
}

/// Calls `step` with room until nothing is left in the encoder.
fn drain(
    out: &mut Vec<u8>,
    mut step: impl FnMut(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
) -> io::Result<()> {
    loop {
        out.reserve(1024);
        let at = out.len();
        if step(&mut OutBuffer::around_pos(out, at))? == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coding::ContentDecoder;

    const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

    fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut decoder =
            ContentDecoder::for_codings(coding.name().as_bytes()).expect("it is known");
        let mut out = Vec::new();
        let mut at = 0;
        loop {
            let step = decoder
                .decode(&coded[at..], 1 << 20, &mut out)
                .expect("it is sound");
            at += step.consumed;
            if at == coded.len() && step.is_drained {
                break;
            }
        }
        assert!(decoder.is_complete());
        out
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![4 => b'a'..b'f', 1 => any::<u8>()], 0..3000)
    }

    proptest! {
        #[test]
        fn whole_bodies_come_back_one_after_the_other(bodies in prop::collection::vec(text(), 1..4), level in 1u32..=9) {
            let mut encoders = Encoders::default();
            for body in bodies {
                for coding in ALL {
                    let mut out = Vec::new();
                    encoders.encode(coding, Some(level), &body, &mut out).expect("it fits");
                    prop_assert_eq!(&decoded(coding, &out), &body);
                }
            }
        }

        #[test]
        fn what_was_written_can_be_decoded_before_the_next_is(pieces in prop::collection::vec(text(), 1..5)) {
            for coding in ALL {
                let mut encoder = Encoder::new(coding, None).expect("the level is right");
                let mut decoder = ContentDecoder::for_codings(coding.name().as_bytes()).expect("it is known");
                let (mut sent, mut got) = (Vec::new(), Vec::new());
                for piece in &pieces {
                    let mut out = Vec::new();
                    encoder.write(piece, &mut out).expect("it fits");
                    sent.extend_from_slice(piece);
                    let mut at = 0;
                    loop {
                        let step = decoder.decode(&out[at..], 1 << 20, &mut got).expect("it is sound");
                        at += step.consumed;
                        if at == out.len() && step.is_drained {
                            break;
                        }
                    }
                    prop_assert_eq!(&got, &sent);
                }
                let mut out = Vec::new();
                encoder.finish(&mut out).expect("it fits");
                decoder.decode(&out, 1 << 20, &mut got).expect("it is sound");
                prop_assert!(decoder.is_complete());
                prop_assert_eq!(&got, &sent);
            }
        }
    }

    #[test]
    fn text_becomes_shorter() {
        let body = "the quick brown fox jumps over the lazy dog. ".repeat(200);
        for coding in ALL {
            let mut out = Vec::new();
            Encoders::default()
                .encode(coding, None, body.as_bytes(), &mut out)
                .expect("it fits");
            assert!(out.len() < body.len() / 10, "{coding:?}: {}", out.len());
        }
    }

    #[test]
    #[ignore = "a measurement: cargo test --release -p sluice-server coding::encoder -- --ignored --nocapture"]
    fn how_long_it_takes() {
        let mut body = String::new();
        for id in 0..5000 {
            body += &format!(
                "{{\"id\":{id},\"name\":\"user {}\",\"mail\":\"u{}@example.com\",\"score\":{}}},",
                id * 7919 % 1000,
                id * 31 % 997,
                id * 104_729 % 100_003
            );
        }
        for size in [2 * 1024, 16 * 1024, 128 * 1024] {
            for coding in ALL {
                for level in [None, Some(1), Some(6), Some(9)] {
                    let mut encoders = Encoders::default();
                    let data = &body.as_bytes()[..size];
                    let mut out = Vec::new();
                    let rounds = (4 << 20) / size;
                    let start = std::time::Instant::now();
                    for _ in 0..rounds {
                        out.clear();
                        encoders
                            .encode(coding, level, data, &mut out)
                            .expect("it fits");
                    }
                    let micros = start.elapsed().as_secs_f64() * 1e6 / rounds as f64;
                    println!(
                        "{size:7} {:5} {level:?}: {micros:8.1} µs, {:.1} MB/s, 1:{:.2}",
                        coding.name(),
                        size as f64 / micros,
                        size as f64 / out.len() as f64
                    );
                }
            }
        }
    }
}
