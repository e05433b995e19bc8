//! A message that is sent to many.

use std::sync::OnceLock;

use bytes::Bytes;

use super::{
    Deflater, Opcode,
    frame::{HEADER_BYTES_MAX, write_frame_header},
};

/// A whole message whose frame is made once for all receivers, on whatever thread the first of them is served.
#[derive(Debug)]
pub struct Message {
    opcode: Opcode,
    payload: Bytes,
    frame: OnceLock<Bytes>,
    /// By window bits, 9 to 15.
    compressed: [OnceLock<Option<Bytes>>; 7],
}

impl Message {
    /// A message; `opcode` is Text, whose payload must be UTF-8, or Binary.
    pub fn new(opcode: Opcode, payload: Bytes) -> Self {
        Self {
            opcode,
            payload,
            frame: OnceLock::new(),
            compressed: Default::default(),
        }
    }

    /// Text or Binary.
    pub fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// The payload.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The unmasked frame, header and payload in one piece.
    pub fn frame(&self) -> &Bytes {
        self.frame.get_or_init(|| {
            let mut frame = Vec::with_capacity(HEADER_BYTES_MAX + self.payload.len());
            write_frame_header(
                &mut frame,
                self.opcode,
                true,
                false,
                self.payload.len(),
                None,
            );
            frame.extend_from_slice(&self.payload);
            frame.into()
        })
    }

    /// The unmasked compressed frame; None if the payload has fewer than `min_bytes` or does not get shorter.
    ///
    /// Made once for each size of window, by the first `deflater` that comes; the level of the others has no effect.
    /// The deflater must be one without context takeover. The frame is for every connection whose agreed window
    /// is at least the deflater's; one with a deflater of its own must [`forget`](Deflater::forget) then.
    pub fn compressed_frame(&self, deflater: &mut Deflater, min_bytes: usize) -> Option<&Bytes> {
        if self.payload.len() < min_bytes {
            return None;
        }
        let kept = self
            .compressed
            .get(usize::from(deflater.window_bits().checked_sub(9)?))?;
        kept.get_or_init(|| {
            let mut frame = Vec::new();
            deflater
                .compress_frame(self.opcode, &self.payload, &mut frame)
                .then(|| {
                    // It lives as long as the slowest receiver needs, so without the room that was not used.
                    frame.shrink_to_fit();
                    frame.into()
                })
        })
        .as_ref()
    }
}
