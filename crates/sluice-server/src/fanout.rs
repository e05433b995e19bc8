//! A message to many connections: built once, by the thread that sends it, and shared by all receivers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sluice_core::channel::Channel;

use crate::push::PostClaim;
use crate::websocket::{Message, Opcode};

/// What happens to a receiver that does not read as fast as it is sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Slow {
    /// The message waits, up to `sendBuffer`; beyond, this receiver misses it.
    #[default]
    Queue,
    /// A receiver with anything unsent misses it.
    Drop,
    /// Of the messages of one channel that a receiver with anything unsent has not got, only the last is kept.
    Latest,
    /// A receiver whose buffer is full is cut off.
    Close,
}

impl Slow {
    /// The policy of that number, as JavaScript gives it.
    pub(crate) fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            1 => Self::Drop,
            2 => Self::Latest,
            3 => Self::Close,
            _ => Self::Queue,
        }
    }
}

/// One message with the rules for its delivery, in every form that a receiver needs. Each form is made once.
pub(crate) struct Post {
    pub(crate) message: Message,
    /// Receivers that agreed on compression get it compressed.
    pub(crate) compress: bool,
    pub(crate) slow: Slow,
    /// Ids of connections that do not get it, ascending.
    pub(crate) except: Box<[u64]>,
    event: OnceLock<Bytes>,
    named_event: OnceLock<Bytes>,
}

impl Post {
    pub(crate) fn new(message: Message, compress: bool, slow: Slow, mut except: Vec<u64>) -> Self {
        except.sort_unstable();
        except.dedup();
        Self {
            message,
            compress,
            slow,
            except: except.into_boxed_slice(),
            event: OnceLock::new(),
            named_event: OnceLock::new(),
        }
    }

    /// Whether the connection with this id is left out.
    pub(crate) fn excepts(&self, id: u64) -> bool {
        self.except.binary_search(&id).is_ok()
    }

    /// As a server-sent event, with its place in the history and, if `named`, the topic as the event's name. A message
    /// is published once, so id and topic are the same for every caller.
    pub(crate) fn event(&self, topic: &str, id: Option<&EventId>, named: bool) -> &Bytes {
        let cell = if named {
            &self.named_event
        } else {
            &self.event
        };
        cell.get_or_init(|| self.encode_event(topic, id, named))
    }

    fn encode_event(&self, topic: &str, id: Option<&EventId>, named: bool) -> Bytes {
        let payload = self.message.payload();
        let mut out = Vec::with_capacity(payload.len() + 64);
        if let Some(id) = id {
            out.extend_from_slice(b"id: ");
            out.extend_from_slice(id.to_string().as_bytes());
            out.push(b'\n');
        }
        // A name with a line break cannot be said in an event stream.
        if named && !topic.contains(['\r', '\n']) {
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(topic.as_bytes());
            out.push(b'\n');
        }
        write_payload(&mut out, self.message.opcode(), payload);
        out.into()
    }
}

/// A message as a server-sent event without a name or a place in any history.
pub(crate) fn plain_event(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 16);
    write_payload(&mut out, opcode, payload);
    out
}

/// Writes what a message says, and the end of its event. An event stream is text: bytes become base64.
fn write_payload(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    match opcode {
        Opcode::Text => write_data(out, payload),
        _ => write_data(out, data_encoding::BASE64.encode(payload).as_bytes()),
    }
    out.push(b'\n');
}

/// Writes `data:` lines: one for each line of `text`, whichever way its lines end.
fn write_data(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        let end = memchr::memchr2(b'\r', b'\n', rest);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
        out.push(b'\n');
        let Some(end) = end else { return };
        let is_pair = rest[end] == b'\r' && rest.get(end + 1) == Some(&b'\n');
        rest = &rest[end + 1 + usize::from(is_pair)..];
    }
}

/// A place in the history as clients send it back: the server's start, then the sequence number. After a restart the
/// numbers begin anew, and the start tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}

impl EventId {
    /// Reads what a client sent as `Last-Event-ID`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (epoch, sequence) = text.split_once('-')?;
        Some(Self {
            epoch: u64::from_str_radix(epoch, 36).ok()?,
            sequence: sequence.parse().ok()?,
        })
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut digits = [0_u8; 13];
        let mut at = digits.len();
        let mut rest = self.epoch;
        loop {
            at -= 1;
            digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        let epoch = std::str::from_utf8(&digits[at..]).unwrap_or_default();
        write!(f, "{epoch}-{}", self.sequence)
    }
}

/// Who gets a post.
pub(crate) enum Target {
    /// The members of a channel.
    Channel(Arc<Channel>),
    /// Every WebSocket of these uids, or those of them of one port, or of one group.
    Uids {
        channels: Vec<Arc<Channel>>,
        port: Option<u16>,
        group: Option<Arc<Channel>>,
    },
    /// Every WebSocket, or those of one port, or of one group.
    All {
        port: Option<u16>,
        group: Option<Arc<Channel>>,
    },
    /// What was published to topics with a history: taken from there in the order of its sequence.
    Published,
}

/// A post on its way to a reactor.
pub(crate) struct Fanout {
    pub(crate) target: Target,
    /// `None` with [`Target::Published`].
    pub(crate) post: Option<Arc<Post>>,
    /// Counts it until every reactor has it.
    pub(crate) _claim: PostClaim,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn post(opcode: Opcode, payload: &[u8]) -> Post {
        Post::new(
            Message::new(opcode, Bytes::copy_from_slice(payload)),
            false,
            Slow::Queue,
            vec![9, 3],
        )
    }

    #[test]
    fn an_event_has_a_line_for_each_line_of_its_text() {
        let id = EventId {
            epoch: 36,
            sequence: 7,
        };
        let post = post(Opcode::Text, b"a\r\nb\rc\n");
        assert_eq!(
            post.event("t", Some(&id), true).as_ref(),
            b"id: 10-7\nevent: t\ndata: a\ndata: b\ndata: c\ndata: \n\n"
        );
    }

    #[test]
    fn bytes_become_base64_and_a_name_with_a_line_break_is_left_out() {
        let post = post(Opcode::Binary, &[0xff, 0]);
        assert_eq!(post.event("a\nb", None, true).as_ref(), b"data: /wA=\n\n");
    }

    #[test]
    fn the_excepted_are_found_in_any_order() {
        let post = post(Opcode::Text, b"");
        assert!(post.excepts(3) && post.excepts(9) && !post.excepts(4));
    }

    proptest! {
        #[test]
        fn an_event_id_comes_back(epoch in any::<u64>(), sequence in any::<u64>()) {
            let id = EventId { epoch, sequence };
            prop_assert_eq!(EventId::parse(&id.to_string()), Some(id));
        }

        #[test]
        fn what_a_client_sends_as_event_id_is_harmless(text in ".{0,40}") {
            let _ = EventId::parse(&text);
        }
    }
}
