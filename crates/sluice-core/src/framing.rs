//! Where one message of a TCP stream ends and the next begins.
//!
//! A [`Framer`] is shown what was received and not consumed, again and again as it grows, and finds one message at a time. It
//! keeps no bytes: it only remembers how far it has looked, so that every byte is looked at once.

use thiserror::Error;

use memchr::{memchr, memrchr};

pub use self::config::{FramingError, MARK_BYTES_MAX};

mod config;
mod header;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod model;

/// The longest piece of a stream without framing.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// How messages are told apart: `framing` of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// They are not: what has come is given in pieces of at most [`CHUNK_BYTES`].
    #[default]
    Raw,
    /// Each ends with LF or CRLF, which is not part of it.
    Lines,
    /// Each ends with a mark.
    Eof(Eof),
    /// Each says how long it is by a number of fixed size.
    Length(Length),
    /// Each has its length before it as LEB128, as in streams of protobuf messages. The length is not part of it.
    Varint,
    /// `5:hello,` (<https://cr.yp.to/proto/netstrings.txt>); only `hello` is given.
    Netstring,
    /// Control packets of MQTT, each with its fixed header.
    Mqtt,
}

/// An end mark of 1 to [`MARK_BYTES_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eof {
    mark: [u8; MARK_BYTES_MAX],
    len: u8,
    /// Every mark ends a message; else only the last one that has come does.
    pub split: bool,
    /// The mark is part of the message.
    pub keep: bool,
}

impl Eof {
    /// `None` for a mark that is empty or too long.
    pub fn new(mark: &[u8], split: bool, keep: bool) -> Option<Self> {
        let mut bytes = [0; MARK_BYTES_MAX];
        bytes.get_mut(..mark.len())?.copy_from_slice(mark);
        (!mark.is_empty()).then_some(Self {
            mark: bytes,
            len: mark.len() as u8,
            split,
            keep,
        })
    }

    /// The bytes that end a message.
    pub fn mark(&self) -> &[u8] {
        &self.mark[..usize::from(self.len)]
    }
}

/// A length before each message: the whole has `body_offset` bytes and as many more as the number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// The number's type.
    pub number: Number,
    /// Bytes before the number.
    pub offset: u16,
    /// Bytes that the number does not count.
    pub body_offset: u16,
    /// The header, the first `body_offset` bytes and at least the number, is not part of the message.
    pub strip: bool,
}

/// The type of a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Number {
    U8,
    U16Be,
    U16Le,
    U32Be,
    U32Le,
    U64Be,
    U64Le,
    I16Be,
    I32Be,
}

/// What makes a stream unreadable from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// A message is, or says it is, longer than allowed.
    #[error("message too large")]
    TooLarge,
    /// A length below zero, or below that of its own header.
    #[error("invalid message length")]
    Length,
    /// A length that is no number, or not followed by what the format wants.
    #[error("malformed message")]
    Malformed,
}

/// A message in what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it begins, without what is not part of it.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What is used up with it.
    pub consumed: usize,
}

impl Frame {
    fn plain(end: usize) -> Self {
        Self {
            start: 0,
            end,
            consumed: end,
        }
    }
}

/// Finds the messages of one connection. 32 bytes.
#[derive(Clone, Debug)]
pub struct Framer {
    framing: Framing,
    /// The longest message that is given.
    max: u32,
    /// Bytes at the beginning of the input that hold no end.
    scanned: usize,
    /// How much input there must be before looking again is of use.
    wanted: usize,
}

impl Framer {
    /// A framer at the beginning of a stream. `max` is the longest message that it gives, at least 1.
    pub fn new(framing: Framing, max: u32) -> Self {
        Self {
            framing,
            max: max.max(1),
            scanned: 0,
            wanted: 0,
        }
    }

    /// Bytes that have to be there before the message that has begun can be complete: what has come is kept until then. 0 when
    /// none has begun. At most `max` and a header, or an end, more.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Finds the first message in `input`, which begins where the last one ended: the caller takes `consumed` bytes off.
    /// `None`: it is not complete; call again with the same bytes and more.
    ///
    /// # Errors
    ///
    /// The stream is of no use any more.
    pub fn next(&mut self, input: &[u8]) -> Result<Option<Frame>, Fault> {
        if input.is_empty() || input.len() < self.wanted {
            return Ok(None);
        }
        let found = self.find(input)?;
        if found.is_some() {
            self.scanned = 0;
            self.wanted = 0;
        }
        Ok(found)
    }

    fn find(&mut self, input: &[u8]) -> Result<Option<Frame>, Fault> {
        let max = self.max as usize;
        match self.framing {
            Framing::Raw => Ok(Some(Frame::plain(input.len().min(CHUNK_BYTES).min(max)))),
            Framing::Lines => self.find_line(input),
            Framing::Eof(eof) => self.find_mark(input, &eof),
            Framing::Length(length) => self.take(input, length.read(input)?),
            Framing::Varint => self.take(input, header::varint(input)?),
            Framing::Netstring => {
                let frame = self.take(input, header::netstring(input, self.max)?)?;
                match frame {
                    Some(frame) if input[frame.end] != b',' => Err(Fault::Malformed),
                    frame => Ok(frame),
                }
            }
            Framing::Mqtt => self.take(input, header::mqtt(input)?),
        }
    }

    /// Takes a message that has said how long it is.
    fn take(&mut self, input: &[u8], span: header::Span) -> Result<Option<Frame>, Fault> {
        let header::Span::Known { start, end, tail } = span else {
            self.wanted = input.len() + 1;
            return Ok(None);
        };
        if end.saturating_sub(start as u64) > u64::from(self.max) {
            return Err(Fault::TooLarge);
        }
        // Not above `max` and a header.
        let end = end as usize;
        self.wanted = end + tail;
        Ok((input.len() >= self.wanted).then_some(Frame {
            start,
            end,
            consumed: end + tail,
        }))
    }

    fn find_line(&mut self, input: &[u8]) -> Result<Option<Frame>, Fault> {
        let max = self.max as usize;
        // The longest line ends with CR and LF.
        let window = &input[..input.len().min(max + 2)];
        let Some(at) = memchr(b'\n', &window[self.scanned..]) else {
            return self.unfinished(window.len(), max + 2);
        };
        let end = self.scanned + at;
        let has_return = end > 0 && input[end - 1] == b'\r';
        let frame = Frame {
            start: 0,
            end: end - usize::from(has_return),
            consumed: end + 1,
        };
        if frame.end > max {
            return Err(Fault::TooLarge);
        }
        Ok(Some(frame))
    }

    fn find_mark(&mut self, input: &[u8], eof: &Eof) -> Result<Option<Frame>, Fault> {
        let mark = eof.mark();
        let limit = self.max as usize + if eof.keep { 0 } else { mark.len() };
        let window = &input[..input.len().min(limit)];
        let found = if eof.split {
            first_end(window, self.scanned, mark)
        } else {
            last_end(window, self.scanned, mark)
        };
        match found {
            Some(end) => Ok(Some(Frame {
                start: 0,
                end: if eof.keep { end } else { end - mark.len() },
                consumed: end,
            })),
            None => self.unfinished(window.len(), limit),
        }
    }

    /// The first `scanned` bytes have no end in them; a message with its end has at most `limit`.
    fn unfinished(&mut self, scanned: usize, limit: usize) -> Result<Option<Frame>, Fault> {
        if scanned >= limit {
            return Err(Fault::TooLarge);
        }
        self.scanned = scanned;
        self.wanted = scanned + 1;
        Ok(None)
    }
}

/// Where the first mark ends that is not wholly in the bytes already scanned. A mark is short: what looks like its end is
/// compared at once, and a peer that sends many of those costs a few times as much.
fn first_end(input: &[u8], scanned: usize, mark: &[u8]) -> Option<usize> {
    let (last, head) = mark.split_last()?;
    let mut from = scanned.max(head.len());
    while let Some(at) = memchr(*last, input.get(from..)?) {
        let end = from + at;
        if input[..end].ends_with(head) {
            return Some(end + 1);
        }
        from = end + 1;
    }
    None
}

/// The same of the last mark.
fn last_end(input: &[u8], scanned: usize, mark: &[u8]) -> Option<usize> {
    let (last, head) = mark.split_last()?;
    let from = scanned.max(head.len());
    let mut to = input.len();
    while let Some(at) = memrchr(*last, input.get(from..to)?) {
        let end = from + at;
        if input[..end].ends_with(head) {
            return Some(end + 1);
        }
        to = end;
    }
    None
}
