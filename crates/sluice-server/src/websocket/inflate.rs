//! The receiving half of permessage-deflate (RFC 7692 section 7.2.2).

use flate2::{Decompress, FlushDecompress, Status};

use super::Fault;

/// What all decoders of a reactor share: memory that lives from one event to the next, and one inflater.
///
/// About 45 KiB once a compressed message has come, and up to 64 KiB of room for what was inflated. A larger
/// message is kept until the next call of [`Decoder::decode`](super::Decoder::decode) with these tools, not longer.
#[derive(Debug, Default)]
pub struct Tools {
    pub(super) inflater: Option<Inflater>,
    pub(super) inflated: Inflated,
    /// The last message that was put together from pieces.
    pub(super) assembled: Vec<u8>,
}

impl Tools {
    /// Tools that hold no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives back what the event before needed beyond the usual.
    pub(super) fn release(&mut self) {
        if self.assembled.capacity() > 0 {
            self.assembled = Vec::new();
        }
        if self.inflated.room.len() > INFLATED_BYTES_KEPT {
            self.inflated = Inflated::default();
        }
    }
}

const INFLATED_BYTES_KEPT: usize = 64 * 1024;

/// Where inflated bytes go.
#[derive(Debug, Default)]
pub(super) struct Inflated {
    /// All of it is initialized, so that no call of the inflater has to clear it.
    room: Vec<u8>,
    len: usize,
}

impl Inflated {
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// Makes room for at least one more byte; in all for at most one more than `bytes_max`, which proves the excess.
    fn grow(&mut self, bytes_max: usize) {
        if self.len == self.room.len() {
            let ceiling = bytes_max.saturating_add(1).max(self.len + 1);
            let len = (self.len * 2).max(ROOM_BYTES_MIN).min(ceiling);
            self.room.reserve_exact(len - self.len);
            self.room.resize(len, 0);
        }
    }
}

const ROOM_BYTES_MIN: usize = 4096;

/// An inflater: 43 KiB, whatever the window is, because zlib-rs always has room for the largest.
///
/// So the window bits that were agreed on for the peer need no attention here: a window of 15 bits inflates what was
/// made with any smaller one, 8 included.
#[derive(Debug)]
pub(super) struct Inflater {
    stream: Decompress,
    /// Whether a block with BFINAL was the last; what follows begins a new stream.
    has_ended: bool,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self {
            stream: Decompress::new(false),
            has_ended: false,
        }
    }

    /// Forgets all that came before.
    pub(super) fn reset(&mut self) {
        self.stream.reset(false);
        self.has_ended = false;
    }

    /// Inflates a piece of a message and appends it to `out`, which may hold `bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// 1009 as soon as there is one byte more, 1007 for data that cannot be inflated.
    pub(super) fn feed(
        &mut self,
        mut data: &[u8],
        out: &mut Inflated,
        bytes_max: usize,
    ) -> Result<(), Fault> {
        loop {
            if self.has_ended {
                if data.is_empty() {
                    return Ok(());
                }
                // Section 7.2.3.4. Whoever ended a stream with zlib begins the next with an empty window.
                self.reset();
            }
            out.grow(bytes_max);
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(data, &mut out.room[out.len..], FlushDecompress::None)
                .map_err(|_| Fault::invalid("Invalid compressed data"))?;
            // Both differences are at most the length of a slice in memory.
            let read = (self.stream.total_in() - read) as usize;
            let written = (self.stream.total_out() - written) as usize;
            data = &data[read..];
            out.len += written;
            if out.len > bytes_max {
                return Err(Fault::TOO_BIG);
            }
            match status {
                Status::StreamEnd => self.has_ended = true,
                // Room to spare: nothing is left inside.
                Status::Ok | Status::BufError if data.is_empty() && out.len < out.room.len() => {
                    return Ok(());
                }
                Status::Ok | Status::BufError if read == 0 && written == 0 => {
                    return Err(Fault::invalid("Invalid compressed data"));
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }

    /// Ends a message: gives the inflater the four bytes that the sender left out.
    ///
    /// Without takeover the end is proved: the data must end with a block. With takeover zlib-rs cannot be asked
    /// for that; a message that is cut off then makes the next one unreadable. Data that ended with BFINAL needs
    /// no more, whether the byte of section 7.2.3.4 follows it or not.
    ///
    /// # Errors
    ///
    /// 1007 for data that is cut off.
    pub(super) fn finish(&mut self, takeover: bool, out: &mut Inflated) -> Result<(), Fault> {
        const CUT_OFF: Fault = Fault::invalid("Compressed data cut off");
        if self.has_ended {
            return Ok(());
        }
        let len = out.len;
        // These bytes hold nothing, unless the block before them is not complete.
        let mut feed = |bytes: &[u8]| match self.feed(bytes, out, len) {
            Ok(()) => Ok(self.has_ended),
            Err(_) => Err(CUT_OFF),
        };
        if feed(TAIL)? || !takeover && !feed(FINAL_BLOCK)? {
            return Err(CUT_OFF);
        }
        Ok(())
    }
}

/// What the sender takes away from the end of a message (section 7.2.1).
pub(super) const TAIL: &[u8] = &[0x00, 0x00, 0xff, 0xff];

/// An empty block with BFINAL.
const FINAL_BLOCK: &[u8] = &[0x01, 0x00, 0x00, 0xff, 0xff];

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    /// As another user of zlib would do it: one stream, flushed.
    fn deflated(data: &[u8], bits: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() * 2 + 64);
        let status = Compress::new_with_window_bits(Compression::best(), false, bits).compress_vec(
            data,
            &mut out,
            FlushCompress::Sync,
        );
        assert!(status.is_ok() && out.ends_with(TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }

    #[test]
    fn a_bomb_gets_no_more_room_than_the_limit_and_a_byte() {
        let bomb = deflated(&vec![0; 64 << 20], 15);
        assert!(bomb.len() < 70_000);
        for bytes_max in [0, 1, 5000, 1 << 20] {
            let mut out = Inflated::default();
            let fault = Inflater::new().feed(&bomb, &mut out, bytes_max);
            assert_eq!(fault, Err(Fault::TOO_BIG));
            assert!(
                out.room.capacity() <= bytes_max + 1,
                "{} for {bytes_max}",
                out.room.capacity()
            );
        }
    }

    #[test]
    fn room_beyond_the_usual_is_given_back() {
        let mut tools = Tools::new();
        let data = deflated(&[1; 100_000], 15);
        let fed = Inflater::new().feed(&data, &mut tools.inflated, usize::MAX);
        assert_eq!((fed, tools.inflated.len), (Ok(()), 100_000));
        tools.release();
        assert_eq!(tools.inflated.room.capacity(), 0);
    }

    proptest! {
        #[test]
        fn what_another_made_is_inflated_from_any_pieces(
            data in prop_oneof!["(ab|cde|f){0,9000}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..9000)],
            bits in 9..=15u8, cut: prop::sample::Index,
        ) {
            let compressed = deflated(&data, bits);
            let (left, right) = compressed.split_at(cut.index(compressed.len() + 1));
            for takeover in [false, true] {
                let mut inflater = Inflater::new();
                let mut out = Inflated::default();
                prop_assert_eq!(inflater.feed(left, &mut out, data.len()), Ok(()));
                prop_assert_eq!(inflater.feed(right, &mut out, data.len()), Ok(()));
                prop_assert_eq!(inflater.finish(takeover, &mut out), Ok(()));
                prop_assert_eq!(out.bytes(), &data);
            }
        }

        #[test]
        fn data_that_is_cut_off_is_refused(data in "[a-z]{1,300}", cut: prop::sample::Index) {
            let compressed = deflated(data.as_bytes(), 15);
            // The last byte alone may be without a bit of the data.
            let part = &compressed[..1 + cut.index(compressed.len() - 1)];
            prop_assume!(part.len() + 1 < compressed.len());
            let mut inflater = Inflater::new();
            let mut out = Inflated::default();
            let verdict = inflater.feed(part, &mut out, data.len()).and_then(|()| inflater.finish(false, &mut out));
            prop_assert_eq!(verdict.map_err(|fault| fault.code), Err(1007));
        }
    }
}
