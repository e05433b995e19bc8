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
        let stream =
            Compress::new_with_window_bits(Compression::new(level.into()), false, window_bits);
        Some(Self {
            stream,
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
        if !self.takeover {
            self.forget();
        }
        let start = out.len();
        // Just too little for data that does not get shorter.
        out.resize(start + payload.len() + TAIL.len(), 0);
        let (read, written) = (self.stream.total_in(), self.stream.total_out());
        let result = self
            .stream
            .compress(payload, &mut out[start..], FlushCompress::Sync);
        let read = self.stream.total_in() - read;
        // At most the length of the room.
        let written = (self.stream.total_out() - written) as usize;
        let is_whole = result.is_ok() && read == payload.len() as u64;
        out.truncate(start + written);
        if is_whole && written < payload.len() + TAIL.len() && out.ends_with(TAIL) {
            out.truncate(start + written - TAIL.len());
            return true;
        }
        // The receiver will not see what this compressor now remembers.
        out.truncate(start);
        self.forget();
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
