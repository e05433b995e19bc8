//! What must hold for any bytes that a peer may send to a TCP port. Shared by the fuzz target and by an ordinary test.

use super::framing::{Eof, Fault, Framer, Framing, Length, Number};

/// What one reading came to: messages, and the fault.
type Reading = (Vec<Vec<u8>>, Option<Fault>);

const MAX: u32 = 64;
/// The longest header: an offset, a number and more before the body; and the longest end.
const AROUND: usize = 32;

/// Panics if a framer breaks a promise on `input`.
///
/// The first byte chooses the framing, the second the length of the pieces; the rest is what the peer sends.
pub(crate) fn check(input: &[u8]) {
    let [choice, step, bytes @ ..] = input else {
        return;
    };
    let framing = framing(*choice);
    let whole = read(framing, [bytes]);
    let pieces = read(framing, bytes.chunks(usize::from(*step).max(1)));
    match framing {
        Framing::Raw => assert_eq!(pieces.0.concat(), whole.0.concat()),
        // What comes together is given together, and marks may overlap.
        Framing::Eof(Eof { split: false, .. }) => check_messages(framing, bytes, &pieces.0),
        _ => assert_eq!(pieces, whole, "pieces of {step} bytes"),
    }
    check_messages(framing, bytes, &whole.0);
}

fn framing(choice: u8) -> Framing {
    let has = |bit: u8| choice >> bit & 1 == 1;
    let marks: [&[u8]; 4] = [b"\n", b"\r\n", b"aab", b"abababab"];
    let numbers = [
        Number::U8,
        Number::U16Be,
        Number::U16Le,
        Number::U32Be,
        Number::U32Le,
        Number::U64Be,
        Number::U64Le,
        Number::I16Be,
        Number::I32Be,
    ];
    match choice & 7 {
        0 => Framing::Raw,
        1 => Framing::Lines,
        2 => Framing::Varint,
        3 => Framing::Netstring,
        4 => Framing::Mqtt,
        5 => {
            let mark = marks[usize::from(choice >> 5 & 3)];
            Framing::Eof(Eof::new(mark, has(3), has(4)).expect("1 to 8 bytes"))
        }
        _ => Framing::Length(Length {
            number: numbers[usize::from(choice >> 3) % numbers.len()],
            offset: u16::from(choice & 1) * 3,
            body_offset: u16::from(choice >> 5) * 2,
            strip: has(7),
        }),
    }
}

fn read<'b>(framing: Framing, pieces: impl IntoIterator<Item = &'b [u8]>) -> Reading {
    let mut framer = Framer::new(framing, MAX);
    let mut kept = Vec::new();
    let mut messages = Vec::new();
    for piece in pieces {
        kept.extend_from_slice(piece);
        while !kept.is_empty() {
            match framer.next(&kept) {
                Ok(Some(frame)) => {
                    assert!(frame.start <= frame.end && frame.end <= frame.consumed);
                    assert!(frame.consumed > 0 && frame.consumed <= kept.len());
                    messages.push(kept[frame.start..frame.end].to_vec());
                    kept.drain(..frame.consumed);
                }
                Ok(None) => {
                    // What is kept is bounded, and asked for.
                    assert!(framer.wanted() > kept.len());
                    assert!(framer.wanted() <= MAX as usize + AROUND);
                    break;
                }
                Err(fault) => return (messages, Some(fault)),
            }
        }
    }
    (messages, None)
}

fn check_messages(framing: Framing, bytes: &[u8], messages: &[Vec<u8>]) {
    for message in messages {
        assert!(message.len() <= MAX as usize);
        match framing {
            Framing::Raw => assert!(!message.is_empty()),
            Framing::Lines => assert!(!message.contains(&b'\n')),
            Framing::Eof(eof) if eof.keep => assert!(message.ends_with(eof.mark())),
            _ => {}
        }
    }
    let is_all_kept = match framing {
        Framing::Raw | Framing::Mqtt => true,
        Framing::Eof(eof) => eof.keep,
        Framing::Length(length) => !length.strip,
        _ => false,
    };
    if is_all_kept {
        assert!(bytes.starts_with(&messages.concat()));
    }
}
