//! A message that has not come whole.

use super::{
    Opcode,
    frame::Header,
    mask::{apply_mask, rotate},
    utf8::Utf8,
};

/// What is known of a message between its first byte and its last.
#[derive(Debug)]
pub(super) struct Progress {
    /// Text or Binary.
    pub(super) opcode: Opcode,
    pub(super) compressed: bool,
    /// The fragment whose payload is being read; None between two fragments.
    pub(super) frame: Option<Frame>,
    /// Whether a fragment has ended.
    pub(super) continues: bool,
    /// Bytes on the wire of all fragments, the whole of the one that is being read included.
    pub(super) declared: usize,
    /// Inflated bytes of the fragments that were given out.
    pub(super) inflated: usize,
    /// What has come and was not given out, unmasked.
    pub(super) payload: Vec<u8>,
    pub(super) utf8: Utf8,
}

/// A fragment whose header has been read.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) fin: bool,
    mask: Option<[u8; 4]>,
    /// Bytes of the payload that have not come.
    pub(super) missing: usize,
}

impl Progress {
    pub(super) fn new(header: &Header) -> Self {
        Self {
            opcode: header.opcode,
            compressed: header.rsv1,
            frame: None,
            continues: false,
            declared: 0,
            inflated: 0,
            payload: Vec::new(),
            utf8: Utf8::default(),
        }
    }

    /// Keeps a piece of the fragment's payload. The buffer grows with what has come, never by what was declared.
    pub(super) fn keep(&mut self, piece: &[u8], missing: usize) {
        let spare = self.payload.capacity() - self.payload.len();
        if spare < piece.len() {
            let step = self.payload.len().max(PAYLOAD_STEP_BYTES);
            self.payload.reserve_exact(piece.len() + missing.min(step));
        }
        self.payload.extend_from_slice(piece);
    }
}

const PAYLOAD_STEP_BYTES: usize = 2048;

impl Frame {
    /// `len` is the header's, which is known to fit.
    pub(super) fn new(header: &Header, len: usize) -> Self {
        Self {
            fin: header.fin,
            mask: header.mask,
            missing: len,
        }
    }

    /// Takes what `input` has of the payload and unmasks it in place.
    pub(super) fn take<'a>(&mut self, input: &'a mut [u8]) -> &'a mut [u8] {
        let len = self.missing.min(input.len());
        let piece = &mut input[..len];
        if let Some(mask) = &mut self.mask {
            apply_mask(piece, *mask);
            *mask = rotate(*mask, len);
        }
        self.missing -= len;
        piece
    }
}
