//! What each framing does with chosen bytes, in one piece and byte by byte.

use super::*;

/// All messages in `bytes`, given in pieces of `step` bytes, and the fault that ends them.
pub(super) fn read(
    framing: Framing,
    max: u32,
    bytes: &[u8],
    step: usize,
) -> (Vec<Vec<u8>>, Option<Fault>) {
    let mut framer = Framer::new(framing, max);
    let mut kept = Vec::new();
    let mut messages = Vec::new();
    for piece in bytes.chunks(step) {
        kept.extend_from_slice(piece);
        loop {
            match framer.next(&kept) {
                Ok(Some(frame)) => {
                    messages.push(kept[frame.start..frame.end].to_vec());
                    kept.drain(..frame.consumed);
                }
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
        assert!(kept.is_empty() || framer.wanted() > kept.len());
    }
    (messages, None)
}

fn check(framing: Framing, max: u32, bytes: &[u8], messages: &[&[u8]], fault: Option<Fault>) {
    for step in 1..=bytes.len() {
        let (read, end) = read(framing, max, bytes, step);
        assert_eq!(read, messages, "{framing:?}, {step} at a time");
        assert_eq!(end, fault, "{framing:?}, {step} at a time");
    }
}

fn eof(mark: &[u8], split: bool, keep: bool) -> Framing {
    Framing::Eof(Eof::new(mark, split, keep).expect("1 to 8 bytes"))
}

fn length(number: Number, offset: u16, body_offset: u16, strip: bool) -> Framing {
    Framing::Length(Length {
        number,
        offset,
        body_offset,
        strip,
    })
}

#[test]
fn a_framer_is_small() {
    assert!(size_of::<Framer>() <= 40, "{}", size_of::<Framer>());
}

#[test]
fn without_framing_what_has_come_is_given_in_bounded_pieces() {
    let bytes = vec![7; 3 * CHUNK_BYTES + 1];
    let (messages, fault) = read(Framing::Raw, u32::MAX, &bytes, bytes.len());
    assert_eq!(fault, None);
    let lengths: Vec<_> = messages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 1]);
    let (messages, _) = read(Framing::Raw, 3, b"abcdefg", 7);
    assert_eq!(messages, [&b"abc"[..], b"def", b"g"]);
}

#[test]
fn a_line_ends_with_lf_or_crlf() {
    let bytes = b"one\ntwo\r\n\n\r\nthr\ree\nrest";
    let lines: &[&[u8]] = &[b"one", b"two", b"", b"", b"thr\ree"];
    check(Framing::Lines, 100, bytes, lines, None);
}

#[test]
fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
    check(
        Framing::Lines,
        4,
        b"abcd\r\nabcd\n",
        &[b"abcd", b"abcd"],
        None,
    );
    let too_large = Some(Fault::TooLarge);
    check(Framing::Lines, 4, b"ok\nabcde\n", &[b"ok"], too_large);
    check(Framing::Lines, 4, b"abcdefgh", &[], too_large);
}

#[test]
fn every_mark_ends_a_message_of_its_own() {
    let bytes = b"a\r\nb\r\r\n\r\n\r";
    let kept: &[&[u8]] = &[b"a\r\n", b"b\r\r\n", b"\r\n"];
    check(eof(b"\r\n", true, true), 100, bytes, kept, None);
    let bare: &[&[u8]] = &[b"a", b"b\r", b""];
    check(eof(b"\r\n", true, false), 100, bytes, bare, None);
    let overlapping: &[&[u8]] = &[b"aaab", b"aab"];
    check(
        eof(b"aab", true, true),
        100,
        b"aaabaabaa",
        overlapping,
        None,
    );
}

#[test]
fn without_split_the_last_mark_ends_all_that_has_come() {
    let glued = eof(b";;", false, true);
    assert_eq!(read(glued, 100, b"a;;b;;c", 7).0, [b"a;;b;;"]);
    let apart: &[&[u8]] = &[b"a;;", b"b;;"];
    assert_eq!(read(glued, 100, b"a;;b;;c", 1).0, apart);
    assert_eq!(
        read(eof(b";;", false, false), 100, b"a;;b;;c", 7).0,
        [b"a;;b"]
    );
    // What is glued is bounded, too.
    let bounded: &[&[u8]] = &[b"a;;", b"b;;"];
    assert_eq!(read(glued, 5, b"a;;b;;", 6).0, bounded);
}

#[test]
fn a_message_with_a_mark_may_be_as_long_as_the_limit_and_no_longer() {
    let too_large = Some(Fault::TooLarge);
    for split in [true, false] {
        check(eof(b"\r\n", split, true), 4, b"ab\r\n", &[b"ab\r\n"], None);
        check(eof(b"\r\n", split, true), 4, b"abc\r\n", &[], too_large);
        check(eof(b"\r\n", split, false), 4, b"abcd\r\n", &[b"abcd"], None);
        check(eof(b"\r\n", split, false), 4, b"abcde\r\n", &[], too_large);
    }
}

#[test]
fn every_type_of_length_is_read() {
    let cases: &[(Number, &[u8])] = &[
        (Number::U8, b"\x03abc"),
        (Number::U16Be, b"\0\x03abc"),
        (Number::U16Le, b"\x03\0abc"),
        (Number::I16Be, b"\0\x03abc"),
        (Number::U32Be, b"\0\0\0\x03abc"),
        (Number::U32Le, b"\x03\0\0\0abc"),
        (Number::I32Be, b"\0\0\0\x03abc"),
        (Number::U64Be, b"\0\0\0\0\0\0\0\x03abc"),
        (Number::U64Le, b"\x03\0\0\0\0\0\0\0abc"),
    ];
    for &(number, bytes) in cases {
        let header = number.bytes() as u16;
        let twice = [bytes, bytes].concat();
        check(
            length(number, 0, header, false),
            100,
            &twice,
            &[bytes, bytes],
            None,
        );
        check(
            length(number, 0, header, true),
            100,
            &twice,
            &[b"abc", b"abc"],
            None,
        );
    }
}

#[test]
fn a_length_may_lie_anywhere_in_a_header_and_count_it() {
    let far = length(Number::U16Be, 2, 6, false);
    check(far, 100, b"xx\0\x02yyab!", &[b"xx\0\x02yyab"], None);
    let far = length(Number::U16Be, 2, 6, true);
    check(far, 100, b"xx\0\x02yyab!", &[b"ab"], None);
    let whole = length(Number::U16Be, 0, 0, true);
    check(whole, 100, b"\0\x04ab\0\x02", &[b"ab", b""], None);
}

#[test]
fn a_length_that_cannot_be_is_a_fault_at_once() {
    let fault = |framing, max, bytes: &[u8], fault| check(framing, max, bytes, &[], Some(fault));
    fault(
        length(Number::I16Be, 0, 2, false),
        100,
        b"\xff\xff",
        Fault::Length,
    );
    fault(
        length(Number::I32Be, 0, 4, false),
        100,
        b"\x80\0\0\0",
        Fault::Length,
    );
    // It counts its own two bytes, so it cannot be less.
    fault(
        length(Number::U16Be, 0, 0, false),
        100,
        b"\0\x01",
        Fault::Length,
    );
    fault(
        length(Number::U16Be, 0, 0, false),
        100,
        b"\0\0",
        Fault::Length,
    );
    fault(length(Number::U8, 0, 1, true), 4, b"\x05", Fault::TooLarge);
    fault(length(Number::U8, 0, 1, false), 4, b"\x04", Fault::TooLarge);
    let most = [0xff; 8];
    fault(
        length(Number::U64Be, 0, 8, true),
        u32::MAX,
        &most,
        Fault::TooLarge,
    );
    fault(
        length(Number::U64Le, 0, 9, true),
        u32::MAX,
        &most,
        Fault::TooLarge,
    );
}

#[test]
fn a_varint_comes_before_each_message() {
    let mut bytes = vec![3, b'a', b'b', b'c', 0, 0x80, 1];
    bytes.extend([b'x'; 128]);
    check(
        Framing::Varint,
        128,
        &bytes,
        &[b"abc", b"", &[b'x'; 128]],
        None,
    );
    check(Framing::Varint, 127, &[0x80, 1], &[], Some(Fault::TooLarge));
    // Longer than it needs to be, as protobuf allows.
    check(Framing::Varint, 9, &[0x81, 0x80, 0, b'a'], &[b"a"], None);
    check(Framing::Varint, 9, &[0x80; 10], &[], Some(Fault::Malformed));
    let over = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
    check(Framing::Varint, 9, &over, &[], Some(Fault::Malformed));
}

#[test]
fn a_netstring_is_a_length_a_colon_bytes_and_a_comma() {
    check(
        Framing::Netstring,
        9,
        b"5:hello,0:,1:,,",
        &[b"hello", b"", b","],
        None,
    );
    for bytes in [&b":,"[..], b"a:", b"05:", b"00:", b"-1:", b"1:ab", b" 1:a,"] {
        check(Framing::Netstring, 9, bytes, &[], Some(Fault::Malformed));
    }
    check(Framing::Netstring, 9, b"10", &[], Some(Fault::TooLarge));
    let digits = [b'9'; 400];
    check(
        Framing::Netstring,
        u32::MAX,
        &digits,
        &[],
        Some(Fault::TooLarge),
    );
}

#[test]
fn a_packet_of_mqtt_is_given_with_its_header() {
    let mut publish = vec![0x30, 0x80, 1];
    publish.extend([b'x'; 128]);
    let bytes = [&[0xc0, 0][..], &publish].concat();
    check(Framing::Mqtt, 131, &bytes, &[&[0xc0, 0], &publish], None);
    check(Framing::Mqtt, 130, &publish, &[], Some(Fault::TooLarge));
    check(Framing::Mqtt, 131, &[0x0f, 0], &[], Some(Fault::Malformed));
    let long = [0x30, 0x80, 0x80, 0x80, 0x80, 1];
    check(Framing::Mqtt, 131, &long, &[], Some(Fault::Malformed));
}
