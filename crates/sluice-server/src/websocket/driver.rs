//! Runs a decoder over bytes that arrive in pieces.

use super::{Decoded, Decoder, Deflate, Event, Fault, Opcode, Role, Settings, Tools};

/// An [`Event`] that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Message {
        opcode: Opcode,
        fin: bool,
        compressed: bool,
        payload: Vec<u8>,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close {
        code: u16,
        reason: String,
    },
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message {
                opcode,
                fin,
                compressed,
                payload,
            } => Self::Message {
                opcode,
                fin,
                compressed,
                payload: payload.to_vec(),
            },
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Close { code, reason } => Self::Close {
                code,
                reason: reason.to_owned(),
            },
        }
    }
}

/// What came out: the events, and the fault that ended them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) events: Vec<Seen>,
    pub(super) fault: Option<Fault>,
}

pub(super) const SETTINGS: Settings = Settings {
    max_message: 1 << 20,
    role: Role::Server,
    deliver_frames: false,
    deflate: None,
};

pub(super) const DEFLATE: Deflate = Deflate {
    server_takeover: false,
    client_takeover: false,
    server_window_bits: 15,
    client_window_bits: 15,
};

pub(super) const TAKEOVER: Deflate = Deflate {
    server_takeover: true,
    client_takeover: true,
    ..DEFLATE
};

pub(super) fn run<'b>(settings: &Settings, pieces: impl IntoIterator<Item = &'b [u8]>) -> Run {
    let mut decoder = Decoder::new(settings);
    let mut tools = Tools::new();
    let mut kept = Vec::new();
    let mut events = Vec::new();
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut kept, &mut tools) {
                Ok(Decoded {
                    consumed: 0,
                    event: None,
                }) => break,
                Ok(Decoded { consumed, event }) => {
                    events.extend(event.map(Seen::from));
                    kept.drain(..consumed);
                }
                Err(fault) => {
                    // Nothing is read after a fault, not even a frame that is sound.
                    let mut rest = *b"\x81\x01a";
                    let after = decoder.decode(&mut rest, &mut tools);
                    assert_eq!(
                        after,
                        Ok(Decoded {
                            consumed: 3,
                            event: None
                        })
                    );
                    return Run {
                        events,
                        fault: Some(fault),
                    };
                }
            }
        }
        assert!(kept.len() <= 138, "{} bytes left to the caller", kept.len());
    }
    Run {
        events,
        fault: None,
    }
}

/// Runs the bytes whole, one by one, and cut in two at every place; all must come to the same.
///
/// Of long input the places far from both ends are tried by samples.
pub(super) fn every_split(name: &str, settings: &Settings, bytes: &[u8]) -> Run {
    let whole = run(settings, [bytes]);
    let single = run(settings, bytes.chunks(1));
    assert_eq!(single, whole, "{name}: byte by byte");
    let step = (bytes.len() / 512).max(1);
    let places = (1..bytes.len()).filter(|&at| at % step == 0 || at < 64 || bytes.len() - at < 64);
    for at in places {
        let (left, right) = bytes.split_at(at);
        assert_eq!(run(settings, [left, right]), whole, "{name}: cut at {at}");
    }
    whole
}
