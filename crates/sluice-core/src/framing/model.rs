//! Framing against a model that looks at everything from the beginning, for any bytes in any pieces.

use proptest::prelude::*;

use super::cases::read;
use super::*;

/// The first message of `bytes`, as (message, consumed), found the slow way.
fn first(framing: &Framing, max: usize, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Fault> {
    match framing {
        Framing::Lines => {
            let line = bytes.iter().position(|&byte| byte == b'\n');
            let Some(at) = line else {
                let is_over = bytes.len() >= max + 2;
                return if is_over {
                    Err(Fault::TooLarge)
                } else {
                    Ok(None)
                };
            };
            let line = bytes[..at].strip_suffix(b"\r").unwrap_or(&bytes[..at]);
            if line.len() > max {
                return Err(Fault::TooLarge);
            }
            Ok(Some((line.to_vec(), at + 1)))
        }
        Framing::Eof(eof) => {
            let mark = eof.mark();
            let end = (mark.len()..=bytes.len()).find(|&end| bytes[..end].ends_with(mark));
            let len = |end: usize| end - if eof.keep { 0 } else { mark.len() };
            match end {
                Some(end) if len(end) <= max => Ok(Some((bytes[..len(end)].to_vec(), end))),
                Some(_) => Err(Fault::TooLarge),
                None if bytes.len() >= max + mark.len() * usize::from(!eof.keep) => {
                    Err(Fault::TooLarge)
                }
                None => Ok(None),
            }
        }
        Framing::Netstring => {
            let Some(colon) = bytes.iter().position(|byte| !byte.is_ascii_digit()) else {
                let digits = std::str::from_utf8(bytes).expect("digits");
                let is_bad = digits.len() > 1 && digits.starts_with('0');
                let is_over = digits.parse::<u128>().is_ok_and(|len| len > max as u128);
                return match (is_bad, is_over) {
                    (true, _) => Err(Fault::Malformed),
                    (_, true) => Err(Fault::TooLarge),
                    _ => Ok(None),
                };
            };
            let digits = std::str::from_utf8(&bytes[..colon]).expect("digits");
            if digits.len() > 1 && digits.starts_with('0') {
                return Err(Fault::Malformed);
            }
            if digits.parse::<u128>().is_ok_and(|len| len > max as u128) {
                return Err(Fault::TooLarge);
            }
            if digits.is_empty() || bytes[colon] != b':' {
                return Err(Fault::Malformed);
            }
            let end = colon + 1 + digits.parse::<usize>().expect("below the limit");
            match bytes.get(end) {
                None => Ok(None),
                Some(b',') => Ok(Some((bytes[colon + 1..end].to_vec(), end + 1))),
                Some(_) => Err(Fault::Malformed),
            }
        }
        _ => unreachable!("has a length in binary"),
    }
}

fn model(framing: &Framing, max: u32, mut bytes: &[u8]) -> (Vec<Vec<u8>>, Option<Fault>) {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        match first(framing, max as usize, bytes) {
            Ok(Some((message, consumed))) => {
                messages.push(message);
                bytes = &bytes[consumed..];
            }
            Ok(None) => break,
            Err(fault) => return (messages, Some(fault)),
        }
    }
    (messages, None)
}

fn by_text() -> impl Strategy<Value = Framing> {
    let mark = prop::collection::vec(prop::sample::select(&b"ab\r\n"[..]), 1..=4);
    prop_oneof![
        Just(Framing::Lines),
        Just(Framing::Netstring),
        (mark, any::<bool>()).prop_map(|(mark, keep)| Framing::Eof(
            Eof::new(&mark, true, keep).expect("1 to 4 bytes")
        )),
    ]
}

fn number() -> impl Strategy<Value = Number> {
    prop::sample::select(vec![
        Number::U8,
        Number::U16Be,
        Number::U16Le,
        Number::U32Be,
        Number::U32Le,
        Number::U64Be,
        Number::U64Le,
        Number::I16Be,
        Number::I32Be,
    ])
}

fn any_framing() -> impl Strategy<Value = Framing> {
    let mark = prop::collection::vec(any::<u8>(), 1..=8);
    prop_oneof![
        by_text(),
        Just(Framing::Raw),
        Just(Framing::Varint),
        Just(Framing::Mqtt),
        (mark, any::<bool>(), any::<bool>()).prop_map(|(mark, split, keep)| Framing::Eof(
            Eof::new(&mark, split, keep).expect("1 to 8 bytes")
        )),
        (number(), 0..5_u16, 0..12_u16, any::<bool>()).prop_map(
            |(number, offset, body_offset, strip)| Framing::Length(Length {
                number,
                offset,
                body_offset,
                strip,
            })
        ),
    ]
}

/// A message with its length before it, as `framing` wants it.
fn wrap(framing: &Framing, message: &[u8]) -> Vec<u8> {
    let len = message.len();
    match framing {
        Framing::Varint => {
            let mut bytes = Vec::new();
            let mut rest = len;
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
            [&bytes, message].concat()
        }
        Framing::Netstring => [len.to_string().as_bytes(), b":", message, b","].concat(),
        Framing::Length(length) => {
            let size = length.number.bytes();
            let mut bytes = vec![0xee; usize::from(length.offset)];
            let number = (len as u64).to_be_bytes();
            let mut number = number[8 - size..].to_vec();
            if matches!(length.number, Number::U16Le | Number::U32Le | Number::U64Le) {
                number.reverse();
            }
            bytes.extend(number);
            bytes.resize(usize::from(length.body_offset), 0xee);
            [&bytes, message].concat()
        }
        _ => unreachable!("has no length"),
    }
}

fn with_length() -> impl Strategy<Value = Framing> {
    prop_oneof![
        Just(Framing::Varint),
        Just(Framing::Netstring),
        (number(), 0..5_u16, 0..5_u16).prop_map(|(number, offset, more)| Framing::Length(Length {
            number,
            offset,
            body_offset: offset + number.bytes() as u16 + more,
            strip: true,
        })),
    ]
}

proptest! {
    #[test]
    fn text_is_framed_as_the_model_does(
        framing in by_text(),
        max in 1..12_u32,
        bytes in prop::collection::vec(prop::sample::select(&b"ab01\r\n:,"[..]), 0..60),
        step in 1..9_usize,
    ) {
        prop_assert_eq!(read(framing, max, &bytes, step), model(&framing, max, &bytes));
    }

    #[test]
    fn any_bytes_are_framed_the_same_in_any_pieces(
        framing in any_framing(),
        max in 1..40_u32,
        bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..80),
        step in 1..20_usize,
    ) {
        let (messages, fault) = read(framing, max, &bytes, step);
        prop_assert!(messages.iter().all(|message| message.len() <= max as usize));
        let is_about_pieces =
            framing == Framing::Raw || matches!(framing, Framing::Eof(Eof { split: false, .. }));
        if is_about_pieces {
            let rest: usize = messages.iter().map(Vec::len).sum();
            prop_assert!(rest <= bytes.len());
        } else {
            prop_assert_eq!((messages, fault), read(framing, max, &bytes, bytes.len().max(1)));
        }
    }

    #[test]
    fn what_was_wrapped_comes_out(
        framing in with_length(),
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6),
        step in 1..50_usize,
    ) {
        // A signed byte less than it holds.
        let messages: Vec<_> = messages.into_iter().map(|mut one| { one.truncate(127); one }).collect();
        let bytes: Vec<u8> = messages.iter().flat_map(|message| wrap(&framing, message)).collect();
        prop_assert_eq!(read(framing, 127, &bytes, step), (messages, None));
    }
}
