//! The same bytes, read by another implementation (tungstenite, which knows no compression).

use std::io::{self, Cursor, Read, Write};

use proptest::prelude::*;
use tungstenite::{
    Message as Theirs, WebSocket,
    protocol::{self, WebSocketConfig},
};

use super::{
    Opcode, Role, Settings,
    driver::{SETTINGS, Seen, run},
    roundtrip::{Saying, Writer, pieces, saying},
};

/// How the other implementation came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    /// It needs more bytes.
    Waiting,
    Fault,
}

fn conversation(role: Role, sayings: &[Saying]) -> Vec<u8> {
    let mut writer = Writer::new(role, None);
    for saying in sayings {
        writer.say(saying);
    }
    writer.frame(Opcode::Close, true, false, b"\x03\xe8done");
    writer.bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn sound_bytes_are_read_alike(
        sayings in prop::collection::vec(saying(), 0..5), is_server: bool, cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let bytes = conversation(role, &sayings);
        let settings = Settings { role, ..SETTINGS };
        let ours = run(&settings, pieces(&bytes, &cuts));
        prop_assert_eq!(ours.fault, None);
        prop_assert_eq!((ours.events, End::Close), read_by_tungstenite(role, &bytes));
    }

    #[test]
    fn damaged_bytes_are_read_alike_or_refused_where_the_other_is_lax(
        sayings in prop::collection::vec(saying(), 0..5), is_server: bool, near_start: bool, place: prop::sample::Index, bits in 1..=255u8,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let mut bytes = conversation(role, &sayings);
        let place = place.index(if near_start { bytes.len().min(16) } else { bytes.len() });
        bytes[place] ^= bits;
        let settings = Settings { role, ..SETTINGS };
        let ours = run(&settings, pieces(&bytes, &cuts));
        let (theirs, end) = read_by_tungstenite(role, &bytes);
        match (ours.fault, end) {
            // It knows this code, registered later, as little as one that may not be sent.
            (None, End::Close) if matches!(ours.events.last(), Some(Seen::Close { code: 1014, .. })) => {}
            (None, _) => {
                prop_assert_eq!(&ours.events, &theirs);
                prop_assert_ne!(end, End::Fault);
            }
            // It does not see how a length was written, and goes on, ...
            (Some(fault), _) if fault.reason == "Length not in its shortest form" => prop_assert!(theirs.starts_with(&ours.events)),
            // ... turns codes that may not be sent into another Close, ...
            (Some(fault), End::Close) => {
                prop_assert_eq!(fault.reason, "Invalid close code");
                prop_assert!(theirs.starts_with(&ours.events));
            }
            // ... and waits for a whole frame before it looks into it.
            (Some(_), End::Waiting) => prop_assert!(theirs.starts_with(&ours.events)),
            (Some(_), End::Fault) => prop_assert_eq!(&ours.events, &theirs),
        }
    }
}

/// What tungstenite makes of the bytes.
fn read_by_tungstenite(role: Role, bytes: &[u8]) -> (Vec<Seen>, End) {
    struct Wire<'b>(Cursor<&'b [u8]>);
    impl Read for Wire<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buf) {
                Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
                read => read,
            }
        }
    }
    impl Write for Wire<'_> {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let role = match role {
        Role::Server => protocol::Role::Server,
        Role::Client => protocol::Role::Client,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(SETTINGS.max_message))
        .max_frame_size(Some(SETTINGS.max_message));
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(bytes)), role, Some(config));
    let mut events = Vec::new();
    loop {
        let message = |opcode, payload: &[u8]| Seen::Message {
            opcode,
            fin: true,
            compressed: false,
            payload: payload.to_vec(),
        };
        match socket.read() {
            Ok(Theirs::Text(text)) => events.push(message(Opcode::Text, text.as_bytes())),
            Ok(Theirs::Binary(bytes)) => events.push(message(Opcode::Binary, &bytes)),
            Ok(Theirs::Ping(bytes)) => events.push(Seen::Ping(bytes.to_vec())),
            Ok(Theirs::Pong(bytes)) => events.push(Seen::Pong(bytes.to_vec())),
            Ok(Theirs::Close(close)) => {
                let (code, reason) = close.map_or((1005, String::new()), |close| {
                    (close.code.into(), close.reason.to_string())
                });
                events.push(Seen::Close { code, reason });
                return (events, End::Close);
            }
            Ok(Theirs::Frame(_)) => unreachable!("reading gives no raw frames"),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (events, End::Waiting);
            }
            Err(_) => return (events, End::Fault),
        }
    }
}
