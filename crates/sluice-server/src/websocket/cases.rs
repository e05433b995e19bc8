//! Frames and what must come of them: one table, read by either role and cut at every byte.

use super::{
    Deflate, Fault, Opcode, Role, Settings,
    driver::{DEFLATE, Run, SETTINGS, Seen, TAKEOVER, every_split},
    mask::apply_mask,
};

/// Frames, how they are read, and what comes of them. `name` starts with the section of the RFC that decides.
struct Case {
    name: &'static str,
    frames: Vec<Frame>,
    max_message: usize,
    deliver_frames: bool,
    deflate: Option<Deflate>,
    events: Vec<Seen>,
    fault: Option<(u16, &'static str)>,
}

impl Case {
    fn new(name: &'static str, frames: impl Into<Vec<Frame>>) -> Self {
        Self {
            name,
            frames: frames.into(),
            max_message: SETTINGS.max_message,
            deliver_frames: false,
            deflate: None,
            events: Vec::new(),
            fault: None,
        }
    }

    fn gives(mut self, events: impl Into<Vec<Seen>>) -> Self {
        self.events = events.into();
        self
    }

    fn fails(mut self, code: u16, reason: &'static str) -> Self {
        self.fault = Some((code, reason));
        self
    }

    fn at_most(mut self, max_message: usize) -> Self {
        self.max_message = max_message;
        self
    }

    fn by_frame(mut self) -> Self {
        self.deliver_frames = true;
        self
    }

    fn deflate(mut self, deflate: Deflate) -> Self {
        self.deflate = Some(deflate);
        self
    }
}

/// One frame as it is written, right or wrong.
#[derive(Clone)]
struct Frame {
    first: u8,
    form: Form,
    /// As the peer of the reading role must: masked or not.
    masked_rightly: bool,
    payload: Vec<u8>,
}

/// How the length is written.
#[derive(Clone, Copy)]
enum Form {
    Shortest,
    Two,
    Eight,
    /// Eight bytes that say this, whatever the payload is.
    Declared(u64),
}

impl Frame {
    fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    fn wrongly_masked(mut self) -> Self {
        self.masked_rightly = false;
        self
    }

    fn write(&self, reader: Role, out: &mut Vec<u8>) {
        let masked = (reader == Role::Server) == self.masked_rightly;
        let bit = u8::from(masked) << 7;
        let len = self.payload.len();
        out.push(self.first);
        match (self.form, len) {
            (Form::Shortest, 0..=125) => out.push(bit | len as u8),
            (Form::Shortest, 126..=0xffff) | (Form::Two, _) => {
                out.push(bit | 126);
                out.extend((len as u16).to_be_bytes());
            }
            (Form::Shortest | Form::Eight, _) => {
                out.push(bit | 127);
                out.extend((len as u64).to_be_bytes());
            }
            (Form::Declared(len), _) => {
                out.push(bit | 127);
                out.extend(len.to_be_bytes());
            }
        }
        let start = out.len();
        if masked {
            let mask = [0x37, 0xfa, 0x21, 0x3d];
            out.extend(mask);
            out.extend(&self.payload);
            apply_mask(&mut out[start + 4..], mask);
        } else {
            out.extend(&self.payload);
        }
    }
}

fn frame(first: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame {
        first,
        form: Form::Shortest,
        masked_rightly: true,
        payload: payload.as_ref().to_vec(),
    }
}

fn message(opcode: Opcode, payload: impl AsRef<[u8]>) -> Seen {
    part(opcode, true, payload)
}

fn part(opcode: Opcode, fin: bool, payload: impl AsRef<[u8]>) -> Seen {
    Seen::Message {
        opcode,
        fin,
        compressed: false,
        payload: payload.as_ref().to_vec(),
    }
}

fn inflated(opcode: Opcode, fin: bool, payload: impl AsRef<[u8]>) -> Seen {
    Seen::Message {
        opcode,
        fin,
        compressed: true,
        payload: payload.as_ref().to_vec(),
    }
}

fn text(payload: &str) -> Seen {
    message(Opcode::Text, payload)
}

fn closed(code: u16, reason: &str) -> Seen {
    Seen::Close {
        code,
        reason: reason.to_owned(),
    }
}

fn ping(payload: &str) -> Seen {
    Seen::Ping(payload.into())
}

const CONT: u8 = 0x80;
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const RSV1: u8 = 0x40;
const UNFINISHED: u8 = 0x80;

fn protocol_cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("5.6 a text message", [frame(TEXT, "Hello")]).gives([text("Hello")]),
        Case::new(
            "5.6 a binary message of any bytes",
            [frame(BINARY, b"\xff\xfe\x00")],
        )
        .gives([message(Opcode::Binary, b"\xff\xfe\x00")]),
        Case::new("5.6 empty messages", [frame(TEXT, ""), frame(BINARY, "")])
            .gives([text(""), message(Opcode::Binary, "")]),
        Case::new(
            "5.6 one message after the other",
            [frame(TEXT, "a"), frame(BINARY, "b"), frame(TEXT, "c")],
        )
        .gives([text("a"), message(Opcode::Binary, "b"), text("c")]),
        Case::new(
            "5.4 a message in fragments",
            [
                frame(TEXT ^ UNFINISHED, "Hel"),
                frame(CONT ^ UNFINISHED, "l"),
                frame(CONT, "o"),
            ],
        )
        .gives([text("Hello")]),
        Case::new(
            "5.4 fragments without payload",
            [
                frame(TEXT ^ UNFINISHED, ""),
                frame(CONT ^ UNFINISHED, ""),
                frame(CONT, ""),
            ],
        )
        .gives([text("")]),
        Case::new(
            "5.4 control frames between fragments",
            [
                frame(BINARY ^ UNFINISHED, "a"),
                frame(PING, "p"),
                frame(CONT ^ UNFINISHED, "b"),
                frame(PONG, "q"),
                frame(CONT, "c"),
                frame(TEXT, "d"),
            ],
        )
        .gives([
            ping("p"),
            Seen::Pong(b"q".into()),
            message(Opcode::Binary, "abc"),
            text("d"),
        ]),
        Case::new(
            "5.4 a Close between fragments",
            [
                frame(TEXT ^ UNFINISHED, "a"),
                frame(CLOSE, b"\x03\xe8bye"),
                frame(CONT, "b"),
            ],
        )
        .gives([closed(1000, "bye")]),
        Case::new("5.4 a continuation of nothing", [frame(CONT, "a")])
            .fails(1002, "Continuation without a message"),
        Case::new(
            "5.4 a continuation of nothing, unfinished",
            [frame(CONT ^ UNFINISHED, "a")],
        )
        .fails(1002, "Continuation without a message"),
        Case::new(
            "5.4 a continuation after the end",
            [
                frame(TEXT ^ UNFINISHED, "a"),
                frame(CONT, "b"),
                frame(CONT, "c"),
            ],
        )
        .gives([text("ab")])
        .fails(1002, "Continuation without a message"),
        Case::new(
            "5.4 a message within a message",
            [frame(TEXT ^ UNFINISHED, "a"), frame(TEXT, "b")],
        )
        .fails(1002, "New message within a message"),
        Case::new(
            "5.4 a message begins within a message",
            [
                frame(BINARY ^ UNFINISHED, "a"),
                frame(BINARY ^ UNFINISHED, "b"),
            ],
        )
        .fails(1002, "New message within a message"),
        Case::new("5.5 a fragmented Ping", [frame(PING ^ UNFINISHED, "a")])
            .fails(1002, "Fragmented control frame"),
        Case::new("5.5 a fragmented Close", [frame(CLOSE ^ UNFINISHED, "")])
            .fails(1002, "Fragmented control frame"),
        Case::new(
            "5.5 a control frame of 125 bytes",
            [frame(PING, "p".repeat(125))],
        )
        .gives([ping(&"p".repeat(125))]),
        Case::new(
            "5.5 a control frame of 126 bytes",
            [frame(PONG, "p".repeat(126))],
        )
        .fails(1002, "Control frame too long"),
        Case::new(
            "5.5 a control frame whose length has eight bytes",
            [frame(PING, "p").form(Form::Eight)],
        )
        .fails(1002, "Control frame too long"),
        Case::new("5.5.1 a Close without payload", [frame(CLOSE, "")]).gives([closed(1005, "")]),
        Case::new("5.5.1 a Close with a code", [frame(CLOSE, b"\x0f\xa0")])
            .gives([closed(4000, "")]),
        Case::new("5.5.1 a Close of one byte", [frame(CLOSE, b"\x03")])
            .fails(1002, "Close payload of one byte"),
        Case::new(
            "5.5.1 a reason of 123 bytes",
            [frame(CLOSE, [&b"\x03\xe8"[..], &[b'r'; 123]].concat())],
        )
        .gives([closed(1000, &"r".repeat(123))]),
        Case::new(
            "5.5.1 a reason that is not UTF-8",
            [frame(CLOSE, b"\x03\xe8a\xff")],
        )
        .fails(1007, "Invalid UTF-8"),
        Case::new(
            "5.5.1 a reason that is cut off",
            [frame(CLOSE, b"\x03\xe8\xe2\x82")],
        )
        .fails(1007, "Invalid UTF-8"),
        Case::new(
            "1.4 whatever follows a Close is thrown away",
            [
                frame(CLOSE, b"\x03\xe8"),
                frame(TEXT, "a"),
                frame(CLOSE, ""),
                frame(0xff, "junk"),
            ],
        )
        .gives([closed(1000, "")]),
        Case::new(
            "5.5.2 Pings with and without payload",
            [frame(PING, ""), frame(PING, "a")],
        )
        .gives([ping(""), ping("a")]),
        Case::new("5.5.3 a Pong that nobody asked for", [frame(PONG, "a")])
            .gives([Seen::Pong(b"a".into())]),
        Case::new(
            "5.1 a frame masked by the wrong side, or not by the right one",
            [frame(TEXT, "a"), frame(TEXT, "b").wrongly_masked()],
        )
        .gives([text("a")])
        .fails(1002, "mask"),
        Case::new(
            "5.1 a control frame likewise",
            [frame(PING, "").wrongly_masked()],
        )
        .fails(1002, "mask"),
        Case::new(
            "5.1 a continuation likewise",
            [
                frame(TEXT ^ UNFINISHED, "a"),
                frame(CONT, "b").wrongly_masked(),
            ],
        )
        .fails(1002, "mask"),
        Case::new(
            "5.2 lengths around the change of form",
            [
                frame(BINARY, vec![7; 125]),
                frame(BINARY, vec![8; 126]),
                frame(BINARY, vec![9; 127]),
            ],
        )
        .gives([125, 126, 127].map(|len| message(Opcode::Binary, vec![len as u8 - 118; len]))),
        Case::new(
            "5.2 the longest length of two bytes",
            [frame(BINARY, vec![7; 65_535])],
        )
        .gives([message(Opcode::Binary, vec![7; 65_535])]),
        Case::new(
            "5.2 the shortest length of eight bytes",
            [frame(BINARY, vec![7; 65_536])],
        )
        .gives([message(Opcode::Binary, vec![7; 65_536])]),
        Case::new(
            "5.2 two bytes for a length of 125",
            [frame(BINARY, [0; 125]).form(Form::Two)],
        )
        .fails(1002, "Length not in its shortest form"),
        Case::new(
            "5.2 two bytes for no length",
            [frame(BINARY, "").form(Form::Two)],
        )
        .fails(1002, "Length not in its shortest form"),
        Case::new(
            "5.2 eight bytes for a length of 126",
            [frame(BINARY, [0; 126]).form(Form::Eight)],
        )
        .fails(1002, "Length not in its shortest form"),
        Case::new(
            "5.2 eight bytes for a length of 65535",
            [frame(BINARY, vec![0; 65_535]).form(Form::Eight)],
        )
        .fails(1002, "Length not in its shortest form"),
        Case::new(
            "5.2 a length of 64 bits",
            [frame(BINARY, "").form(Form::Declared(1 << 63))],
        )
        .fails(1002, "Length over 63 bits"),
        Case::new(
            "5.2 a length of 63 bits",
            [frame(BINARY, "").form(Form::Declared(u64::MAX >> 1))],
        )
        .fails(1009, "Message too big"),
        Case::new("10.4 a message at the limit", [frame(BINARY, [1; 300])])
            .at_most(300)
            .gives([message(Opcode::Binary, [1; 300])]),
        Case::new("10.4 a message over the limit", [frame(BINARY, [1; 301])])
            .at_most(300)
            .fails(1009, "Message too big"),
        Case::new(
            "10.4 a message over the limit, before its payload",
            [frame(BINARY, "").form(Form::Declared(70_000))],
        )
        .at_most(69_999)
        .fails(1009, "Message too big"),
        Case::new(
            "10.4 fragments at the limit",
            [
                frame(TEXT ^ UNFINISHED, [b'a'; 200]),
                frame(CONT ^ UNFINISHED, [b'b'; 100]),
                frame(CONT, ""),
            ],
        )
        .at_most(300)
        .gives([text(&["a".repeat(200), "b".repeat(100)].concat())]),
        Case::new(
            "10.4 fragments over the limit",
            [
                frame(TEXT ^ UNFINISHED, [b'a'; 200]),
                frame(CONT ^ UNFINISHED, [b'b'; 100]),
                frame(CONT, "c"),
            ],
        )
        .at_most(300)
        .fails(1009, "Message too big"),
        Case::new(
            "10.4 fragments one by one, over the limit",
            [
                frame(TEXT ^ UNFINISHED, [b'a'; 200]),
                frame(CONT ^ UNFINISHED, [b'b'; 101]),
            ],
        )
        .at_most(300)
        .by_frame()
        .gives([part(Opcode::Text, false, [b'a'; 200])])
        .fails(1009, "Message too big"),
        Case::new(
            "10.4 a limit of nothing",
            [frame(TEXT, ""), frame(PING, "p"), frame(TEXT, "a")],
        )
        .at_most(0)
        .gives([text(""), ping("p")])
        .fails(1009, "Message too big"),
        Case::new(
            "5.4 fragments one by one",
            [
                frame(TEXT ^ UNFINISHED, "Hel"),
                frame(PING, "p"),
                frame(CONT ^ UNFINISHED, ""),
                frame(CONT, "lo"),
                frame(BINARY, "b"),
            ],
        )
        .by_frame()
        .gives([
            part(Opcode::Text, false, "Hel"),
            ping("p"),
            part(Opcode::Continuation, false, ""),
            part(Opcode::Continuation, true, "lo"),
            message(Opcode::Binary, "b"),
        ]),
        Case::new("8.1 all lengths of characters", [frame(TEXT, "aé€😀")]).gives([text("aé€😀")]),
        Case::new(
            "8.1 a character cut by fragments",
            [
                frame(TEXT ^ UNFINISHED, b"\xf0"),
                frame(CONT ^ UNFINISHED, b"\x9f\x98"),
                frame(CONT, b"\x80"),
            ],
        )
        .gives([text("😀")]),
        Case::new(
            "8.1 a character cut by fragments given out one by one",
            [
                frame(TEXT ^ UNFINISHED, b"\xf0"),
                frame(CONT ^ UNFINISHED, b"\x9f\x98"),
                frame(CONT, b"\x80"),
            ],
        )
        .by_frame()
        .gives([
            part(Opcode::Text, false, b"\xf0"),
            part(Opcode::Continuation, false, b"\x9f\x98"),
            part(Opcode::Continuation, true, b"\x80"),
        ]),
        Case::new(
            "8.1 a message that ends within a character",
            [frame(TEXT, b"a\xe2\x82")],
        )
        .fails(1007, "Invalid UTF-8"),
        Case::new(
            "8.1 fragments that end within a character",
            [frame(TEXT ^ UNFINISHED, b"a\xe2"), frame(CONT, b"\x82")],
        )
        .fails(1007, "Invalid UTF-8"),
        Case::new("8.1 an overlong character", [frame(TEXT, b"\xc0\xaf")])
            .fails(1007, "Invalid UTF-8"),
        Case::new(
            "8.1 half of a surrogate pair",
            [frame(TEXT, b"\xed\xa0\x80")],
        )
        .fails(1007, "Invalid UTF-8"),
        Case::new(
            "8.1 beyond the last character",
            [frame(TEXT, b"\xf4\x90\x80\x80")],
        )
        .fails(1007, "Invalid UTF-8"),
        Case::new(
            "8.1 a wrong byte is not waited for: the frame is incomplete",
            [frame(TEXT, b"abc\xff").form(Form::Declared(70_000))],
        )
        .fails(1007, "Invalid UTF-8"),
        Case::new(
            "8.1 a wrong byte is not waited for: the message is incomplete",
            [
                frame(TEXT ^ UNFINISHED, b"\xf4"),
                frame(CONT ^ UNFINISHED, b"\x90"),
            ],
        )
        .fails(1007, "Invalid UTF-8"),
    ];
    for first in [0x91, 0xa1, 0xb1, 0x99, 0xa9] {
        cases.push(
            Case::new("5.2 RSV2 or RSV3", [frame(first, "a")])
                .deflate(DEFLATE)
                .fails(1002, "Reserved bit set"),
        );
    }
    for first in [
        TEXT | RSV1,
        BINARY | RSV1,
        TEXT ^ UNFINISHED | RSV1,
        PING | RSV1,
        CLOSE | RSV1,
    ] {
        cases.push(
            Case::new("5.2 RSV1 without an agreement", [frame(first, "a")])
                .fails(1002, "Reserved bit set"),
        );
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        cases.push(
            Case::new("5.2 a reserved opcode", [frame(0x80 | opcode, "a")])
                .fails(1002, "Reserved opcode"),
        );
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535_u16,
    ] {
        cases.push(
            Case::new(
                "7.4 a code that may not be sent",
                [frame(CLOSE, code.to_be_bytes())],
            )
            .fails(1002, "Invalid close code"),
        );
    }
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999_u16,
    ] {
        cases.push(
            Case::new(
                "7.4 a code that may be sent",
                [frame(CLOSE, code.to_be_bytes())],
            )
            .gives([closed(code, "")]),
        );
    }
    cases
}

/// "Hello" as RFC 7692 section 7.2.3 has it.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
const HELLO_FINAL: &[u8] = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
const HELLO_STORED: &[u8] = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
const HELLO_TWO_BLOCKS: &[u8] = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
const HELLO_AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

/// Names that begin with 7.2 are sections of RFC 7692, as are 6.1 and 6.2.
fn deflate_cases() -> Vec<Case> {
    let hello = || inflated(Opcode::Text, true, "Hello");
    let stored = |payload: &[u8]| {
        // One stored block, and the first byte of the empty block that the end stands for.
        let len = payload.len() as u16;
        [
            &[0],
            &len.to_le_bytes()[..],
            &(!len).to_le_bytes(),
            payload,
            &[0],
        ]
        .concat()
    };
    vec![
        Case::new("7.2.3.1 a compressed message", [frame(TEXT | RSV1, HELLO)])
            .deflate(DEFLATE)
            .gives([hello()]),
        Case::new(
            "7.2.3.1 a compressed message in fragments",
            [
                frame((TEXT | RSV1) ^ UNFINISHED, &HELLO[..3]),
                frame(PING, "p"),
                frame(CONT, &HELLO[3..]),
            ],
        )
        .deflate(DEFLATE)
        .gives([ping("p"), hello()]),
        Case::new(
            "6.2 a message that is not compressed",
            [
                frame(TEXT, "Hello"),
                frame(TEXT | RSV1, HELLO),
                frame(BINARY, "b"),
            ],
        )
        .deflate(TAKEOVER)
        .gives([text("Hello"), hello(), message(Opcode::Binary, "b")]),
        Case::new(
            "7.2.3.2 takeover: the same message again",
            [frame(TEXT | RSV1, HELLO), frame(TEXT | RSV1, HELLO_AGAIN)],
        )
        .deflate(TAKEOVER)
        .gives([hello(), hello()]),
        Case::new(
            "7.2.3.2 no takeover: a message that refers to another",
            [frame(TEXT | RSV1, HELLO), frame(TEXT | RSV1, HELLO_AGAIN)],
        )
        .deflate(DEFLATE)
        .gives([hello()])
        .fails(1007, "Invalid compressed data"),
        Case::new(
            "7.2.3.3 a block that is not compressed",
            [frame(TEXT | RSV1, HELLO_STORED)],
        )
        .deflate(DEFLATE)
        .gives([hello()]),
        Case::new(
            "7.2.3.4 a block with BFINAL",
            [frame(TEXT | RSV1, HELLO_FINAL), frame(TEXT | RSV1, HELLO)],
        )
        .deflate(DEFLATE)
        .gives([hello(), hello()]),
        Case::new(
            "7.2.3.4 a block with BFINAL, with takeover",
            [
                frame(TEXT | RSV1, HELLO_FINAL),
                frame(TEXT | RSV1, HELLO),
                frame(TEXT | RSV1, HELLO_AGAIN),
            ],
        )
        .deflate(TAKEOVER)
        .gives([hello(), hello(), hello()]),
        Case::new(
            "7.2.3.4 a block with BFINAL and nothing after it",
            [
                frame(TEXT | RSV1, &HELLO_FINAL[..7]),
                frame(TEXT | RSV1, HELLO),
            ],
        )
        .deflate(TAKEOVER)
        .gives([hello(), hello()]),
        Case::new(
            "7.2.3.4 blocks after one with BFINAL",
            [frame(TEXT | RSV1, [&HELLO_FINAL[..7], HELLO].concat())],
        )
        .deflate(DEFLATE)
        .gives([inflated(Opcode::Text, true, "HelloHello")]),
        Case::new("7.2.3.5 two blocks", [frame(TEXT | RSV1, HELLO_TWO_BLOCKS)])
            .deflate(DEFLATE)
            .gives([hello()]),
        Case::new(
            "7.2.3.6 an empty message",
            [frame(TEXT | RSV1, b"\x00"), frame(BINARY | RSV1, b"\x00")],
        )
        .deflate(TAKEOVER)
        .gives([
            inflated(Opcode::Text, true, ""),
            inflated(Opcode::Binary, true, ""),
        ]),
        Case::new(
            "7.2.3.6 an empty message without a block",
            [frame(TEXT | RSV1, ""), frame(TEXT | RSV1, HELLO)],
        )
        .deflate(TAKEOVER)
        .gives([inflated(Opcode::Text, true, ""), hello()]),
        Case::new(
            "7.2.3.6 an empty message in two empty fragments",
            [
                frame((TEXT | RSV1) ^ UNFINISHED, ""),
                frame(CONT, ""),
                frame(TEXT | RSV1, HELLO),
            ],
        )
        .deflate(TAKEOVER)
        .by_frame()
        .gives([
            inflated(Opcode::Text, false, ""),
            inflated(Opcode::Continuation, true, ""),
            hello(),
        ]),
        Case::new(
            "6.1 RSV1 on a continuation",
            [
                frame((TEXT | RSV1) ^ UNFINISHED, &HELLO[..3]),
                frame(CONT | RSV1, &HELLO[3..]),
            ],
        )
        .deflate(DEFLATE)
        .fails(1002, "Reserved bit set"),
        Case::new(
            "6.1 RSV1 on a continuation of a plain message",
            [frame(TEXT ^ UNFINISHED, "a"), frame(CONT | RSV1, "b")],
        )
        .deflate(DEFLATE)
        .fails(1002, "Reserved bit set"),
        Case::new("6.1 RSV1 on a control frame", [frame(PONG | RSV1, "")])
            .deflate(DEFLATE)
            .fails(1002, "Reserved bit set"),
        Case::new(
            "7.2.2 data that is no deflate",
            [frame(BINARY | RSV1, b"\xff\xff\xff\xff")],
        )
        .deflate(DEFLATE)
        .fails(1007, "Invalid compressed data"),
        Case::new(
            "7.2.2 data that is cut off within a block",
            [frame(TEXT | RSV1, &HELLO[..3])],
        )
        .deflate(DEFLATE)
        .fails(1007, "Compressed data cut off"),
        Case::new(
            "7.2.2 data that is cut off within a stored block",
            [frame(BINARY | RSV1, b"\x00\x05\x00\xfa\xffH")],
        )
        .deflate(DEFLATE)
        .fails(1007, "Compressed data cut off"),
        Case::new(
            "7.2.2 data that is cut off by just what is appended",
            [frame(BINARY | RSV1, b"\x00\x05\x00\xfa\xffH")],
        )
        .deflate(TAKEOVER)
        .fails(1007, "Compressed data cut off"),
        Case::new(
            "8.1 compressed text that is not UTF-8",
            [frame(TEXT | RSV1, stored(b"a\xff"))],
        )
        .deflate(DEFLATE)
        .fails(1007, "Invalid UTF-8"),
        Case::new(
            "8.1 compressed text that is not UTF-8, in fragments",
            [
                frame((TEXT | RSV1) ^ UNFINISHED, &stored(b"a\xff")[..4]),
                frame(CONT, &stored(b"a\xff")[4..]),
            ],
        )
        .deflate(DEFLATE)
        .fails(1007, "Invalid UTF-8"),
        Case::new(
            "8.1 compressed bytes that are not UTF-8",
            [frame(BINARY | RSV1, stored(b"a\xff"))],
        )
        .deflate(DEFLATE)
        .gives([inflated(Opcode::Binary, true, b"a\xff")]),
        Case::new(
            "8.1 a character cut by compressed fragments",
            [
                frame((TEXT | RSV1) ^ UNFINISHED, &stored("é".as_bytes())[..6]),
                frame(CONT, &stored("é".as_bytes())[6..]),
            ],
        )
        .deflate(DEFLATE)
        .by_frame()
        .gives([
            inflated(Opcode::Text, false, b"\xc3"),
            inflated(Opcode::Continuation, true, b"\xa9"),
        ]),
        Case::new(
            "8.1 compressed fragments that end within a character",
            [
                frame((TEXT | RSV1) ^ UNFINISHED, &stored(b"\xc3")[..6]),
                frame(CONT, b"\x00"),
            ],
        )
        .deflate(DEFLATE)
        .by_frame()
        .gives([inflated(Opcode::Text, false, b"\xc3")])
        .fails(1007, "Invalid UTF-8"),
        Case::new(
            "5.4 compressed fragments one by one",
            [
                frame((TEXT | RSV1) ^ UNFINISHED, &HELLO_STORED[..7]),
                frame(PING, "p"),
                frame(CONT ^ UNFINISHED, ""),
                frame(CONT, &HELLO_STORED[7..]),
                frame(TEXT | RSV1, HELLO),
            ],
        )
        .deflate(DEFLATE)
        .by_frame()
        .gives([
            inflated(Opcode::Text, false, "He"),
            ping("p"),
            inflated(Opcode::Continuation, false, ""),
            inflated(Opcode::Continuation, true, "llo"),
            hello(),
        ]),
        Case::new("10.4 inflated at the limit", [frame(TEXT | RSV1, HELLO)])
            .deflate(DEFLATE)
            .at_most(5)
            .gives([hello()]),
        Case::new("10.4 inflated over the limit", [frame(TEXT | RSV1, HELLO)])
            .deflate(DEFLATE)
            .at_most(4)
            .fails(1009, "Message too big"),
        Case::new(
            "10.4 inflated fragments over the limit",
            [
                frame((TEXT | RSV1) ^ UNFINISHED, &HELLO_STORED[..7]),
                frame(CONT, &HELLO_STORED[7..]),
            ],
        )
        .deflate(DEFLATE)
        .by_frame()
        .at_most(4)
        .gives([inflated(Opcode::Text, false, "He")])
        .fails(1009, "Message too big"),
        Case::new(
            "10.4 at the limit, although longer when compressed",
            [frame(BINARY | RSV1, stored(&[7; 300]))],
        )
        .deflate(DEFLATE)
        .at_most(300)
        .gives([inflated(Opcode::Binary, true, [7; 300])]),
        Case::new(
            "10.4 compressed far over the limit",
            [frame(BINARY | RSV1, "").form(Form::Declared(70_000))],
        )
        .deflate(DEFLATE)
        .at_most(69_000)
        .fails(1009, "Message too big"),
    ]
}

#[test]
fn every_case_comes_to_the_same_however_it_is_cut_for_either_role() {
    for case in protocol_cases().into_iter().chain(deflate_cases()) {
        for role in [Role::Server, Role::Client] {
            let settings = Settings {
                max_message: case.max_message,
                role,
                deliver_frames: case.deliver_frames,
                deflate: case.deflate,
            };
            let mut bytes = Vec::new();
            for frame in &case.frames {
                frame.write(role, &mut bytes);
            }
            let fault = case.fault.map(|(code, reason)| Fault {
                code,
                reason: match (reason, role) {
                    ("mask", Role::Server) => "Frame not masked",
                    ("mask", Role::Client) => "Frame masked",
                    _ => reason,
                },
            });
            let expected = Run {
                events: case.events.clone(),
                fault,
            };
            let name = format!("{} ({role:?})", case.name);
            assert_eq!(every_split(&name, &settings, &bytes), expected, "{name}");
        }
    }
}

#[test]
fn whole_messages_and_fragments_are_refused_for_the_same_reasons() {
    for case in protocol_cases().into_iter().chain(deflate_cases()) {
        let mut bytes = Vec::new();
        for frame in &case.frames {
            frame.write(Role::Server, &mut bytes);
        }
        let read = |deliver_frames| {
            let settings = Settings {
                max_message: case.max_message,
                deliver_frames,
                deflate: case.deflate,
                ..SETTINGS
            };
            every_split(case.name, &settings, &bytes).fault
        };
        assert_eq!(read(true), read(false), "{}", case.name);
    }
}
