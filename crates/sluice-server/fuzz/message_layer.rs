//! What must hold for any bytes that a peer may send. Shared by the fuzz target and by an ordinary test.

use super::websocket::{
    Decoded, Decoder, Deflate, Deflater, Event, Fault, Opcode, Role, Settings, Tools, apply_mask,
    is_close_code, write_frame_header,
};

/// What one reading came to: events as (number, fin, compressed, payload), and the fault.
type Reading = (Vec<(u8, bool, bool, Vec<u8>)>, Option<Fault>);

const MAX_MESSAGE: usize = 4096;

/// Panics if the decoder breaks a promise on `input`.
///
/// The first byte chooses the settings, the second the length of the pieces; the rest is what the peer sends.
pub(crate) fn check(input: &[u8]) {
    let [choice, step, bytes @ ..] = input else {
        return;
    };
    let has = |bit: u8| choice >> bit & 1 == 1;
    let deflate = Deflate {
        server_takeover: has(3),
        client_takeover: has(3),
        server_window_bits: 15,
        client_window_bits: 15,
    };
    let settings = Settings {
        max_message: MAX_MESSAGE,
        role: if has(0) { Role::Client } else { Role::Server },
        deliver_frames: has(1),
        deflate: has(2).then_some(deflate),
    };
    let whole = read(&settings, [bytes]);
    let pieces = read(&settings, bytes.chunks(usize::from(*step).max(1)));
    assert_eq!(pieces, whole, "pieces of {step} bytes");
    check_events(&settings, &whole);
    if !settings.deliver_frames {
        check_again(&settings, &whole);
    }
}

fn read<'b>(settings: &Settings, pieces: impl IntoIterator<Item = &'b [u8]>) -> Reading {
    let mut decoder = Decoder::new(settings);
    let mut tools = Tools::new();
    let mut kept = Vec::new();
    let mut events = Vec::new();
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            let len = kept.len();
            let consumed = match decoder.decode(&mut kept, &mut tools) {
                Ok(Decoded {
                    consumed: 0,
                    event: None,
                }) => break,
                Ok(Decoded { consumed, event }) => {
                    events.extend(event.map(keep));
                    consumed
                }
                Err(fault) => return (events, Some(fault)),
            };
            assert!(consumed > 0 && consumed <= len);
            kept.drain(..consumed);
        }
        assert!(kept.len() <= 138);
    }
    (events, None)
}

fn keep(event: Event<'_>) -> (u8, bool, bool, Vec<u8>) {
    match event {
        Event::Message {
            opcode,
            fin,
            compressed,
            payload,
        } => (opcode as u8, fin, compressed, payload.to_vec()),
        Event::Ping(payload) => (9, true, false, payload.to_vec()),
        Event::Pong(payload) => (10, true, false, payload.to_vec()),
        Event::Close { code: 1005, reason } => {
            assert_eq!(reason, "");
            (8, true, false, Vec::new())
        }
        Event::Close { code, reason } => {
            assert!(is_close_code(code));
            let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
            (8, true, false, payload)
        }
    }
}

/// The rules that events keep among themselves.
fn check_events(settings: &Settings, (events, fault): &Reading) {
    let mut open = None;
    for (at, (number, fin, compressed, payload)) in events.iter().enumerate() {
        if *number >= 8 {
            assert!(payload.len() <= 125);
            assert!(*number != 8 || (at + 1 == events.len() && fault.is_none()));
            continue;
        }
        assert!(!compressed || settings.deflate.is_some());
        assert!(*fin || settings.deliver_frames);
        let (first, mut message) = match open.take() {
            None => (*number, Vec::new()),
            Some(message) => {
                assert_eq!(*number, 0);
                message
            }
        };
        message.extend_from_slice(payload);
        assert!(message.len() <= MAX_MESSAGE);
        if !fin {
            open = Some((first, message));
        } else if first == 1 {
            assert!(std::str::from_utf8(&message).is_ok());
        } else {
            assert_eq!(first, 2);
        }
    }
    if let Some(fault) = fault {
        assert!(matches!(fault.code, 1002 | 1007 | 1009) && fault.reason.len() <= 123);
    }
}

/// What was read can be written, and is read again as it was, compressed by us where the peer had compressed.
fn check_again(settings: &Settings, (events, _): &Reading) {
    let takeover = settings
        .deflate
        .is_some_and(|deflate| deflate.client_takeover);
    let mut deflater = None;
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for (number, fin, compressed, payload) in events {
        let opcode = Opcode::of(*number).expect("it was read");
        let mut sent = Vec::new();
        let rsv1 = *compressed
            && deflater
                .get_or_insert_with(|| Deflater::new(6, 15, takeover).expect("15 is possible"))
                .compress(payload, &mut sent);
        let sent = if rsv1 { &sent } else { payload };
        let mask = (settings.role == Role::Server).then_some([0x12, 0x34, 0x56, 0x78]);
        write_frame_header(&mut bytes, opcode, *fin, rsv1, sent.len(), mask);
        let start = bytes.len();
        bytes.extend_from_slice(sent);
        if let Some(mask) = mask {
            apply_mask(&mut bytes[start..], mask);
        }
        expected.push((*number, *fin, rsv1, payload.clone()));
    }
    assert_eq!(read(settings, [&bytes[..]]), (expected, None));
}
