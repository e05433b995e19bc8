//! The sending half of permessage-deflate (RFC 7692 section 7.2.1), and what both ends agreed on.

use flate2::{Compress, Compression, FlushCompress};

use super::{
    Opcode,
    frame::{HEADER_BYTES_MAX, header_len, write_frame_header},
    inflate::TAIL,
};

/// The parameters of permessage-deflate that both ends agreed on (RFC 7692 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// Whether the server may refer to its earlier messages: then each connection has a [`Deflater`] of its own.
    pub server_takeover: bool,
    /// Whether the client may refer to its earlier messages: then each connection has an inflater of its own.
    pub client_takeover: bool,
    /// How far back the server may refer, as a power of two: 8 to 15.
    pub server_window_bits: u8,
    /// How far back the client refers, as a power of two: 8 to 15.
    pub client_window_bits: u8,
}

/// A compressor of messages.
///
/// It holds 368 KiB for a window of 15 bits, 242 KiB for one of 9: 128 KiB for hashes and 112 KiB for what is
/// about to be written whatever the window, and the rest four times the window. Share one wherever there is no context
/// takeover. Without takeover the 128 KiB are cleared for each message, which is most of what a short one costs.
#[derive(Debug)]
pub struct Deflater {
    stream: Compress,
    level: u8,
    window_bits: u8,
    takeover: bool,
}

impl Deflater {
    /// A compressor for connections whose agreed window has at least `window_bits`, 9 to 15.
    ///
    /// `level` is 0 to 9 as in zlib; a higher one is taken as 9. With `takeover` it serves one connection only.
    ///
    /// None for other window bits. zlib-rs cannot keep to a window of 256 bytes (8 bits), so a peer that demands it
    /// gets its messages uncompressed, which is always allowed, and may compress its own.
    pub fn new(level: u8, window_bits: u8, takeover: bool) -> Option<Self> {
        if !(9..=15).contains(&window_bits) {
            return None;
        }
        let level = level.min(9);
        Some(Self {
            stream: new_stream(level, window_bits),
            level,
            window_bits,
            takeover,
        })
    }

    /// The window that receivers must have.
    pub fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// Forgets the messages before, so that the next refers to none of them.
    ///
    /// To be called when the connection was sent a compressed message that this compressor has not made.
    pub fn forget(&mut self) {
        self.stream.reset();
    }

    /// Appends the compressed form of `payload`, without the four bytes that RFC 7692 leaves out.
    ///
    /// False, with nothing appended, if that would not be shorter than `payload`: send it as it is.
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        // Level 0 makes nothing shorter, and zlib-rs 0.6.8 can panic in it.
        if self.level == 0 || payload.is_empty() {
            return false;
        }
        if !self.takeover {
            self.forget();
        }
        let start = out.len();
        // Room for the worst, although what is not shorter is of no use: the reset of zlib-rs 0.6.8 leaves the block
        // open in which it ran out of room (`block_open`, level 1), and a later message makes it panic.
        out.resize(start + worst_len(payload.len()), 0);
        let (read, written) = (self.stream.total_in(), self.stream.total_out());
        let result = self
            .stream
            .compress(payload, &mut out[start..], FlushCompress::Sync);
        let read = self.stream.total_in() - read;
        // At most the length of the room.
        let end = start + (self.stream.total_out() - written) as usize;
        let is_whole = result.is_ok()
            && read == payload.len() as u64
            && end < out.len()
            && out[..end].ends_with(TAIL);
        if is_whole && end - start < payload.len() + TAIL.len() {
            out.truncate(end - TAIL.len());
            return true;
        }
        out.truncate(start);
        // The receiver will not see what this compressor now remembers.
        if is_whole {
            self.forget();
        } else {
            self.stream = new_stream(self.level, self.window_bits);
        }
        false
    }

    /// Appends an unmasked frame that is a whole compressed message, `opcode` Text or Binary.
    ///
    /// False, with nothing appended, if it would not be shorter than the payload.
    pub fn compress_frame(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        // Compressed it is shorter, and so is its header at most as long.
        let room = header_len(payload.len());
        out.resize(start + room, 0);
        if !self.compress(payload, out) {
            out.truncate(start);
            return false;
        }
        let len = out.len() - start - room;
        let mut header = Vec::with_capacity(HEADER_BYTES_MAX);
        write_frame_header(&mut header, opcode, true, true, len, None);
        let body = start + header.len();
        out[start..body].copy_from_slice(&header);
        out.copy_within(start + room.., body);
        out.truncate(body + len);
        true
    }
}

fn new_stream(level: u8, window_bits: u8) -> Compress {
    Compress::new_with_window_bits(Compression::new(level.into()), false, window_bits)
}

/// The most bytes that a message of `len` bytes can become, its flush included.
///
/// A literal of the static code has at most 9 bits; blocks and the flush have headers of a few bytes.
const fn worst_len(len: usize) -> usize {
    len + len / 8 + len / 256 + 64
}

/// The compressors of a reactor for all connections without context takeover, made when they are needed.
///
/// One for each size of window that a client may demand, 2.1 MiB if every size is in use.
#[derive(Debug, Default)]
pub struct Deflaters {
    by_window: [Option<Box<Deflater>>; 7],
}

impl Deflaters {
    /// The compressor for a window of `window_bits` at this `level`; None where [`Deflater::new`] gives none.
    pub fn get(&mut self, level: u8, window_bits: u8) -> Option<&mut Deflater> {
        let slot = self
            .by_window
            .get_mut(usize::from(window_bits.checked_sub(9)?))?;
        if slot.as_ref().is_none_or(|kept| kept.level != level.min(9)) {
            *slot = Deflater::new(level, window_bits, false).map(Box::new);
        }
        slot.as_deref_mut()
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress};
    use proptest::prelude::*;

    use super::*;

    fn inflate(stream: &mut Decompress, compressed: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 << 20);
        for part in [compressed, TAIL] {
            let status = stream.decompress_vec(part, &mut out, FlushDecompress::Sync);
            assert!(status.is_ok(), "{status:?}");
        }
        out
    }

    #[test]
    fn window_bits_from_nine_to_fifteen_are_possible() {
        let mut shared = Deflaters::default();
        for bits in 0..=20 {
            let is_possible = (9..=15).contains(&bits);
            assert_eq!(Deflater::new(6, bits, false).is_some(), is_possible);
            let kept = shared.get(6, bits);
            assert_eq!(
                kept.map(|deflater| deflater.window_bits()),
                is_possible.then_some(bits)
            );
        }
    }

    #[test]
    fn a_shared_deflater_follows_the_level_that_is_asked_for() {
        let mut shared = Deflaters::default();
        let text = b"level level level".repeat(20);
        for (level, is_shorter) in [(0, false), (6, true), (200, true), (0, false)] {
            let mut out = Vec::new();
            let compressed = shared
                .get(level, 15)
                .is_some_and(|deflater| deflater.compress(&text, &mut out));
            assert_eq!(compressed, is_shorter, "level {level}");
        }
    }

    #[test]
    fn what_does_not_get_shorter_leaves_no_trace() {
        for payload in [
            &b""[..],
            b"a",
            b"abc",
            &std::array::from_fn::<u8, 256, _>(|at| at as u8),
        ] {
            let mut deflater = Deflater::new(6, 15, true).expect("15 is possible");
            let mut peer = Decompress::new(false);
            let text = b"text text text text text text";
            for _ in 0..2 {
                let mut out = b"before".to_vec();
                assert!(!deflater.compress(payload, &mut out));
                assert!(!deflater.compress_frame(Opcode::Binary, payload, &mut out));
                assert_eq!(out, b"before");
                assert!(deflater.compress(text, &mut out));
                assert_eq!(inflate(&mut peer, &out[6..]), text);
            }
        }
    }

    #[test]
    fn after_forgetting_nothing_before_is_referred_to() {
        let mut deflater = Deflater::new(6, 15, true).expect("15 is possible");
        let text = b"a sentence that is worth a reference, a sentence";
        let (mut first, mut again, mut forgotten) = (Vec::new(), Vec::new(), Vec::new());
        assert!(deflater.compress(text, &mut first));
        assert!(deflater.compress(text, &mut again));
        assert!(again.len() < first.len() / 2);
        deflater.forget();
        assert!(deflater.compress(text, &mut forgotten));
        assert_eq!(forgotten, first);
    }

    #[test]
    fn a_frame_has_the_shortest_header_whatever_the_payload_needed() {
        for (len, header) in [(100, 2), (126, 2), (40_000, 2), (70_000, 2), (1 << 20, 4)] {
            let payload = vec![b'a'; len];
            let mut frame = b"before".to_vec();
            let mut deflater = Deflater::new(6, 15, false).expect("15 is possible");
            assert!(deflater.compress_frame(Opcode::Text, &payload, &mut frame));
            let frame = &frame[6..];
            assert_eq!(frame[0], 0xc1);
            let stated = match frame[1] {
                126 => usize::from(u16::from_be_bytes([frame[2], frame[3]])),
                short => usize::from(short),
            };
            assert_eq!(frame.len(), header + stated);
            let mut peer = Decompress::new(false);
            assert_eq!(inflate(&mut peer, &frame[header..]).len(), len);
        }
    }

    /// Bytes that are hard to compress; `easy` of ten blocks are not.
    fn noise(mut seed: u64, len: usize, easy: u64) -> Vec<u8> {
        let block = |_| {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let is_easy = (seed >> 33) % 10 < easy;
            (0..512_u64).map(move |at| {
                let hard = (seed ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
                if is_easy { at as u8 / 16 } else { hard as u8 }
            })
        };
        (0..len.div_ceil(512)).flat_map(block).take(len).collect()
    }

    #[test]
    fn a_message_that_does_not_get_shorter_leaves_no_block_open() {
        // At level 1 both messages fill the room that their own length would be.
        for level in 0..=9 {
            let mut deflater = Deflater::new(level, 9, false).expect("9 is possible");
            for (seed, len) in [(0, 14_092), (13_719_096_482_428_161_089, 59_198)] {
                let message = noise(seed, len, 0);
                let mut out = Vec::new();
                let is_shorter = deflater.compress(&message, &mut out);
                assert!(
                    !is_shorter || level != 1,
                    "the case is not the one that is meant"
                );
                if is_shorter {
                    let mut peer = Decompress::new_with_window_bits(false, 9);
                    assert!(inflate(&mut peer, &out) == message, "level {level}");
                }
            }
            let (text, mut out) = (b"text text text text text text", Vec::new());
            if deflater.compress(text, &mut out) {
                let mut peer = Decompress::new_with_window_bits(false, 9);
                assert_eq!(inflate(&mut peer, &out), text, "level {level}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_room_that_is_too_small_does_harm(
            messages in prop::collection::vec((any::<u64>(), 0..200_000usize, 0..10u64), 1..4), takeover: bool, level in 0..=9u8, bits in 9..=15u8,
        ) {
            let mut deflater = Deflater::new(level, bits, takeover).expect("9 to 15 are possible");
            let mut peer = Decompress::new_with_window_bits(false, bits);
            for (seed, len, easy) in messages {
                let message = noise(seed, len, easy);
                let mut out = Vec::new();
                if deflater.compress(&message, &mut out) {
                    prop_assert!(out.len() < len);
                    prop_assert!(inflate(&mut peer, &out) == message);
                } else {
                    prop_assert!(out.is_empty());
                }
                if !takeover {
                    peer.reset(false);
                }
            }
        }

        #[test]
        fn another_inflates_what_is_made(
            messages in prop::collection::vec("([a-c]{1,9} ?){0,400}", 1..5), takeover: bool, level in 1..=9u8, bits in 9..=15u8,
        ) {
            let mut deflater = Deflater::new(level, bits, takeover).expect("9 to 15 are possible");
            let mut peer = Decompress::new_with_window_bits(false, bits);
            for message in &messages {
                let mut out = Vec::new();
                if deflater.compress(message.as_bytes(), &mut out) {
                    prop_assert!(out.len() < message.len());
                    prop_assert_eq!(inflate(&mut peer, &out), message.as_bytes());
                }
                if !takeover {
                    peer.reset(false);
                }
            }
        }
    }
}
