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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::{
        Role, Settings,
        driver::{DEFLATE, SETTINGS, Seen, run},
    };

    fn read(frame: &[u8]) -> Vec<Seen> {
        let settings = Settings {
            role: Role::Client,
            deflate: Some(DEFLATE),
            ..SETTINGS
        };
        let run = run(&settings, [frame]);
        assert_eq!(run.fault, None);
        run.events
    }

    fn deflater(bits: u8) -> Deflater {
        Deflater::new(6, bits, false).expect("9 to 15 are possible")
    }

    #[test]
    fn all_receivers_get_the_same_bytes() {
        let payload = Bytes::from("to all ".repeat(50));
        let message = Message::new(Opcode::Text, payload.clone());
        let seen = |compressed| {
            [Seen::Message {
                opcode: Opcode::Text,
                fin: true,
                compressed,
                payload: payload.to_vec(),
            }]
        };
        assert_eq!(read(message.frame()), seen(false));
        assert_eq!(message.frame().as_ptr(), message.frame().as_ptr());

        let compressed = message
            .compressed_frame(&mut deflater(15), 350)
            .expect("text gets shorter");
        assert_eq!(read(compressed), seen(true));
        let again = message.compressed_frame(&mut deflater(15), 350);
        assert_eq!(again.map(|frame| frame.as_ptr()), Some(compressed.as_ptr()));
        let narrow = message
            .compressed_frame(&mut deflater(9), 350)
            .expect("text gets shorter");
        assert_ne!(narrow.as_ptr(), compressed.as_ptr());
        assert_eq!(read(narrow), seen(true));
    }

    #[test]
    fn a_message_is_compressed_from_min_bytes_on_and_if_it_pays() {
        let text = Message::new(Opcode::Text, Bytes::from("a".repeat(100)));
        assert!(text.compressed_frame(&mut deflater(15), 101).is_none());
        assert!(text.compressed_frame(&mut deflater(15), 100).is_some());
        let short = Message::new(Opcode::Binary, Bytes::from_static(b"\x01\x02"));
        assert!(short.compressed_frame(&mut deflater(15), 0).is_none());
        assert_eq!(read(short.frame()).len(), 1);
    }
}
