//! A WebSocket client that says frame by frame what it is told to.

use super::Client;

/// The key of the example in RFC 6455 section 1.3, whose answer everybody knows.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// That answer.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn opcode(&self) -> u8 {
        self.first & 15
    }

    /// Of a Close frame.
    pub fn code(&self) -> Option<u16> {
        assert_eq!(self.opcode(), 8, "{self:?}");
        let code = self.payload.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*code))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("it is text")
    }
}

/// The bytes of a handshake; `fields` are further lines.
pub fn handshake(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-key: {KEY}\r\nsec-websocket-version: 13\r\n{fields}\r\n"
    )
}

/// The bytes of a masked frame; `first` is FIN (0x80), the reserved bits and the opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=65_535 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
    out
}

/// The bytes of a text message.
pub fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

/// The bytes of a Close frame.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

impl Client {
    /// Checks that the server agrees to a WebSocket, and returns the head of its answer.
    pub fn switched(&mut self) -> String {
        let answer = self.head();
        assert_eq!(answer.status, 101, "{}", answer.head);
        let accept = format!("sec-websocket-accept: {}", ACCEPT.to_ascii_lowercase());
        assert!(answer.head.contains(&accept), "{}", answer.head);
        answer.head
    }

    /// The next frame.
    pub fn frame(&mut self) -> Frame {
        let head = self.exactly(2);
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let len = match head[1] {
            126 => {
                let len = self.exactly(2);
                usize::from(u16::from_be_bytes([len[0], len[1]]))
            }
            127 => {
                let mut len = [0; 8];
                len.copy_from_slice(&self.exactly(8));
                u64::from_be_bytes(len) as usize
            }
            len => usize::from(len),
        };
        Frame {
            first: head[0],
            payload: self.exactly(len),
        }
    }

    /// The next frame, which must be a text message.
    pub fn text(&mut self) -> String {
        let frame = self.frame();
        assert_eq!(frame.first, 0x81, "{frame:?}");
        frame.text().to_owned()
    }
}
