//! Frames, RFC 6455 section 5.

/// The opcodes that a message can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text = 0x1,
    Binary = 0x2,
}

const CONTINUATION: u8 = 0x0;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// The mask of every frame we send. Not zero, so that nobody is spared the unmasking.
pub(crate) const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// The longest head of a frame that is not masked.
const HEAD_BYTES_MAX: usize = 10;
const CONTROL_BYTES_MAX: u64 = 125;

/// A whole message in one frame, masked as a client must.
pub(crate) fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    frame(opcode as u8, payload)
}

/// The answer to a ping.
pub(crate) fn masked_pong(payload: &[u8]) -> Vec<u8> {
    frame(PONG, payload)
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FIN | opcode];
    match payload.len() {
        length @ 0..=125 => frame.push(MASKED | length as u8),
        length @ 126..=0xFFFF => {
            frame.push(MASKED | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(MASKED | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    let start = frame.len();
    frame.extend(payload);
    apply_mask(&mut frame[start..], MASK);
    frame
}

/// Masks or unmasks, eight bytes at a time.
pub(crate) fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = [
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ];
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(wide)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(wide) {
        *byte ^= mask;
    }
}

/// What a server sent, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A part of a message, `offset` bytes into it.
    Payload { offset: usize, bytes: &'a [u8] },
    /// The message is over; its payload was `length` bytes.
    End { text: bool, length: usize },
    /// To be answered with the same payload.
    Ping(Vec<u8>),
}

/// Takes a server's bytes apart, however they are cut. Keeps no payload but that of pings.
#[derive(Default)]
pub(crate) struct FrameReader {
    head: [u8; HEAD_BYTES_MAX],
    head_length: usize,
    /// The frame being read; `None` while its head is.
    frame: Option<Frame>,
    /// The message being read: its first opcode and how much of it there was.
    message: Option<(u8, usize)>,
    ping: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Frame {
    opcode: u8,
    is_final: bool,
    missing: u64,
}

impl FrameReader {
    /// The next piece of `input`, which is shortened by what was read; `None` when it is used up.
    ///
    /// # Errors
    /// What the server did that the protocol does not allow, or that it closes: neither is part of a run.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Piece<'a>>, &'static str> {
        loop {
            let Some(mut frame) = self.frame else {
                if !self.read_head(input)? {
                    return Ok(None);
                }
                continue;
            };
            if frame.missing > 0 {
                if input.is_empty() {
                    return Ok(None);
                }
                let taken = input
                    .len()
                    .min(usize::try_from(frame.missing).unwrap_or(usize::MAX));
                let (bytes, rest) = input.split_at(taken);
                *input = rest;
                frame.missing -= taken as u64;
                self.frame = Some(frame);
                if frame.opcode >= CLOSE {
                    self.ping.extend(bytes);
                    continue;
                }
                let (_, length) = self
                    .message
                    .as_mut()
                    .expect("a data frame is part of a message");
                let offset = *length;
                *length += taken;
                return Ok(Some(Piece::Payload { offset, bytes }));
            }
            self.frame = None;
            self.head_length = 0;
            match frame.opcode {
                CLOSE => return Err("closed a connection"),
                PING => return Ok(Some(Piece::Ping(std::mem::take(&mut self.ping)))),
                PONG => self.ping.clear(),
                _ if frame.is_final => {
                    let (opcode, length) = self
                        .message
                        .take()
                        .expect("a data frame is part of a message");
                    return Ok(Some(Piece::End {
                        text: opcode == Opcode::Text as u8,
                        length,
                    }));
                }
                _ => {}
            }
        }
    }

    /// True when the head is complete and `frame` is set.
    fn read_head(&mut self, input: &mut &[u8]) -> Result<bool, &'static str> {
        loop {
            let wanted = if self.head_length < 2 {
                2
            } else {
                2 + extended_bytes(self.head[1])
            };
            if self.head_length == wanted {
                break;
            }
            let Some((byte, rest)) = input.split_first() else {
                return Ok(false);
            };
            *input = rest;
            self.head[self.head_length] = *byte;
            self.head_length += 1;
        }
        let opcode = self.head[0] & 0x0F;
        let is_final = self.head[0] & FIN != 0;
        if self.head[0] & RESERVED != 0 {
            return Err("set a reserved bit");
        }
        if self.head[1] & MASKED != 0 {
            return Err("masked a frame");
        }
        let missing = match extended_bytes(self.head[1]) {
            0 => u64::from(self.head[1]),
            bytes => self.head[2..2 + bytes]
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        match opcode {
            CLOSE | PING | PONG if is_final && missing <= CONTROL_BYTES_MAX => {}
            CONTINUATION if self.message.is_some() => {}
            0x1 | 0x2 if self.message.is_none() => self.message = Some((opcode, 0)),
            _ => return Err("sent a frame that cannot be here"),
        }
        self.frame = Some(Frame {
            opcode,
            is_final,
            missing,
        });
        Ok(true)
    }
}

fn extended_bytes(second: u8) -> usize {
    match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `chunks` say together, neighbouring payloads joined.
    fn read(chunks: &[&[u8]]) -> Result<Vec<(String, Vec<u8>)>, &'static str> {
        let mut reader = FrameReader::default();
        let (mut seen, mut payload) = (Vec::new(), Vec::new());
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(piece) = reader.next(&mut input)? {
                match piece {
                    Piece::Payload { offset, bytes } => {
                        assert_eq!(offset, payload.len());
                        payload.extend(bytes);
                    }
                    Piece::End { text, length } => {
                        assert_eq!(length, payload.len());
                        let kind = if text { "text" } else { "binary" };
                        seen.push((kind.to_owned(), std::mem::take(&mut payload)));
                    }
                    Piece::Ping(payload) => seen.push(("ping".to_owned(), payload)),
                }
            }
        }
        Ok(seen)
    }

    /// Two messages, one of them in two frames with a ping and a pong between.
    fn conversation() -> Vec<u8> {
        let mut bytes = vec![
            0x01, 2, b'H', b'e', 0x89, 3, 1, 2, 3, 0x8A, 1, 9, 0x80, 3, b'l', b'l', b'o',
        ];
        bytes.extend([0x82, 126, 0, 200]);
        bytes.extend([7; 200]);
        bytes.extend([0x81, 0]);
        bytes
    }

    #[test]
    fn frames_are_read_however_the_bytes_are_cut() {
        let bytes = conversation();
        let expected = vec![
            ("ping".to_owned(), vec![1, 2, 3]),
            ("text".to_owned(), b"Hello".to_vec()),
            ("binary".to_owned(), vec![7; 200]),
            ("text".to_owned(), Vec::new()),
        ];
        for at in 0..=bytes.len() {
            let (before, after) = bytes.split_at(at);
            assert_eq!(
                read(&[before, after]).as_ref(),
                Ok(&expected),
                "cut at {at}"
            );
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(read(&single), Ok(expected));
    }

    #[test]
    fn what_a_server_may_not_send_is_an_error() {
        for bytes in [
            &[0xC1, 0][..],
            &[0x81, 0x80],
            &[0x80, 0],
            &[0x83, 0],
            &[0x09, 0],
            &[0x89, 126, 0, 126],
            &[0x01, 0, 0x01, 0],
            &[0x88, 0],
        ] {
            assert!(read(&[bytes]).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn masked_frames_have_the_shortest_head_and_unmask_to_the_payload() {
        for (length, head) in [(0, 6), (125, 6), (126, 8), (0xFFFF, 8), (0x10000, 14)] {
            let payload: Vec<_> = (0..length).map(|at| at as u8).collect();
            let mut frame = masked(Opcode::Binary, &payload);
            assert_eq!(frame.len(), head + length);
            assert_eq!(frame[head - 4..head], MASK);
            apply_mask(&mut frame[head..], MASK);
            assert_eq!(frame[head..], payload);
        }
        assert_eq!(masked_pong(b"")[0], 0x8A);
    }
}
