//! What a connection has that is a WebSocket or an event stream, or has come by a TCP port.

use std::sync::Arc;

use sluice_core::framing::Framer;
use sluice_core::id::WorkerSlot;
use sluice_core::member::Member;
use sluice_shared::record::{AdoptReason, Words};

use crate::delivery::Delivery;
use crate::fanout::{EventId, Post};
use crate::session::Session;
use crate::websocket::{Decoder, Deflater, Deflaters};

/// Who gets the connection's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody, until there is an event.
    None,
    /// A worker.
    Worker(WorkerSlot),
    /// A worker that was asked to let go.
    Leaving(WorkerSlot),
}

impl Owner {
    /// The worker that is or was asked to let go.
    pub(crate) fn worker(self) -> Option<WorkerSlot> {
        match self {
            Self::None => None,
            Self::Worker(slot) | Self::Leaving(slot) => Some(slot),
        }
    }
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum By {
    Peer = 0,
    Server = 1,
    /// A time limit.
    Idle = 2,
    /// A broken rule or connection.
    Error = 3,
    /// The server stops.
    Shutdown = 4,
    /// It did not read what it was sent.
    Overflow = 5,
}

/// How a connection ended, as its close handler is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) by: By,
    pub(crate) code: u16,
    pub(crate) reason: String,
    /// Both sides have said that they close.
    pub(crate) clean: bool,
}

impl Ending {
    pub(crate) fn new(by: By, code: u16, reason: impl Into<String>) -> Self {
        Self {
            by,
            code,
            reason: reason.into(),
            clean: false,
        }
    }

    /// As w4 of a SOCKET_CLOSE record.
    pub(crate) fn detail(&self) -> u32 {
        u32::from(self.code) | (self.by as u32) << 16 | u32::from(self.clean) << 24
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Open,
    /// Our Close frame is sent; waiting for the peer's.
    Closing,
    /// Nothing is sent or received any more; its worker may still have to be told.
    Ended,
}

/// Compression of what is sent to one WebSocket.
pub(crate) struct Compression {
    pub(crate) min_bytes: usize,
    pub(crate) level: u8,
    /// What the client can look back, as a power of two.
    pub(crate) window_bits: u8,
    /// Only with context takeover; else the reactor's is used.
    pub(crate) own: Option<Deflater>,
}

impl Compression {
    /// The compressor for this connection: its own, or the one it shares.
    pub(crate) fn deflater<'a>(
        &'a mut self,
        shared: &'a mut Deflaters,
    ) -> Option<&'a mut Deflater> {
        match &mut self.own {
            Some(own) => Some(own),
            None => shared.get(self.level, self.window_bits),
        }
    }
}

/// What is spoken on the connection.
pub(crate) enum Protocol {
    WebSocket {
        decoder: Decoder,
        compression: Option<Box<Compression>>,
    },
    EventStream {
        /// Events have their topic as name.
        named: bool,
        /// The answer is chunked; to an HTTP/1.0 client it ends with the connection.
        chunked: bool,
        /// The place in the history up to which it needs nothing.
        seen: u64,
    },
    Tcp {
        framer: Framer,
    },
}

/// What a worker has asked for when it accepted a WebSocket: 40 bytes from JavaScript, ten words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketSettings {
    /// 0: the port's limit.
    pub(crate) max_payload: u32,
    pub(crate) compression: bool,
    pub(crate) context_takeover: bool,
    pub(crate) deliver_frames: bool,
    pub(crate) wants: Wants,
    pub(crate) level: u32,
    pub(crate) compress_min_bytes: u32,
    pub(crate) close_timeout: u32,
    pub(crate) resume_window: u32,
    pub(crate) resume_buffer: u32,
}

/// Records that the worker has a handler for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) ping: bool,
    pub(crate) pong: bool,
    pub(crate) high: bool,
}

impl SocketSettings {
    pub(crate) const BYTES: usize = 40;

    /// Reads the words; `None` when there are too few.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (words, rest) = bytes.split_at_checked(Self::BYTES)?;
        let word = |index: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&words[index * 4..index * 4 + 4]);
            u32::from_le_bytes(word)
        };
        let flags = word(1);
        let settings = Self {
            max_payload: word(0),
            compression: flags & 1 != 0,
            context_takeover: flags & 2 != 0,
            deliver_frames: flags & 4 != 0,
            wants: Wants {
                ping: flags & 8 != 0,
                pong: flags & 16 != 0,
                high: flags & 32 != 0,
            },
            level: word(2),
            compress_min_bytes: word(3),
            close_timeout: word(4),
            resume_window: word(5),
            resume_buffer: word(6),
        };
        Some((settings, rest))
    }
}

/// The request that the connection began with, kept for workers that adopt it.
pub(crate) struct Handshake {
    pub(crate) words: Words,
    /// The request's record: field table and head.
    pub(crate) record: Box<[u8]>,
    /// The subprotocol that was chosen; empty = none.
    pub(crate) protocol: Box<str>,
}

/// Messages allowed per second, counted per second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    pub(crate) second: u64,
    pub(crate) count: u32,
    /// It is in the engine's list of those that wait for the next second.
    pub(crate) is_waiting: bool,
}

/// See the module. Lives in its connection and stays there until its worker knows that it has ended.
pub(crate) struct Socket {
    pub(crate) member: Arc<Member>,
    pub(crate) protocol: Protocol,
    /// `None` on a TCP port.
    pub(crate) handshake: Option<Box<Handshake>>,
    pub(crate) owner: Owner,
    /// A worker was told that it is there: the next one adopts it.
    pub(crate) is_opened: bool,
    /// Its worker was asked to let go because another one has the connections of its uid.
    pub(crate) is_rebalanced: bool,
    /// The worker that had it before, by its logical number, and why it has it no longer.
    pub(crate) from: (u16, AdoptReason),
    pub(crate) delivery: Delivery,
    pub(crate) wants: Wants,
    pub(crate) stage: Stage,
    /// What is told when the closing handshake is over.
    pub(crate) ending: Option<Box<Ending>>,
    pub(crate) close_timeout: u32,
    /// When the closing handshake has taken too long; of use while it goes on.
    pub(crate) close_at: u64,
    pub(crate) last_received: u64,
    pub(crate) last_message: u64,
    pub(crate) last_sent: u64,
    /// When a ping was sent that nothing has come after.
    pub(crate) pinged: Option<u64>,
    /// The server stops: it is closed when what has come is handled.
    pub(crate) is_stopping: bool,
    /// The peer has sent its last byte, or its Close frame: it is closed when what has come is handled.
    pub(crate) is_half_closed: bool,
    /// Messages that still come are thrown away: the server stops and has enough to do.
    pub(crate) is_deaf: bool,
    /// Its worker was asked to say when no handler runs.
    pub(crate) is_asked: bool,
    /// Heartbeats do not close it.
    pub(crate) is_protected: bool,
    /// What is unsent has passed the high-water mark and not fallen to the low one since.
    pub(crate) is_high: bool,
    /// It is in the engine's list of those that try again to hand over what waits.
    pub(crate) is_retrying: bool,
    /// A sender may wait to be told that it can go on.
    pub(crate) may_owe_drain: bool,
    /// The account says that something is unsent.
    pub(crate) is_accounted: bool,
    /// With [`Slow::Latest`](crate::fanout::Slow::Latest): what goes out when everything before it is sent, by channel.
    pub(crate) latest: Vec<Latest>,
    /// With it the client can come back when the connection breaks.
    pub(crate) session: Option<Box<Session>>,
    pub(crate) rate: Rate,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
}

/// Closing takes this long when the worker has not said how long, ms.
const CLOSE_TIMEOUT: u32 = 5_000;

/// The last message of a channel that a slow receiver has not got.
pub(crate) struct Latest {
    pub(crate) topic: Option<Arc<sluice_core::channel::Channel>>,
    pub(crate) post: Arc<Post>,
    pub(crate) id: Option<EventId>,
}

impl Socket {
    /// Tells senders how much lies in the connection's output. What is written in this pass they need not know.
    pub(crate) fn account(&mut self, unsent: usize) {
        if unsent > 0 || self.is_accounted {
            self.is_accounted = unsent > 0;
            self.may_owe_drain = true;
            self.member.account.set_output(unsent);
        }
    }

    /// Whether a sender is to be told that it may go on. The account is shared with senders, and not looked at while no
    /// message of theirs has come: a connection that only gets what is published costs nothing here.
    pub(crate) fn take_drain(&mut self, low: usize) -> bool {
        if !self.may_owe_drain {
            return false;
        }
        // A sender that finds no room has seen bytes on their way, or unsent: those come by here again.
        let is_owed = self.member.account.take_wants_drain(low);
        self.may_owe_drain = self.is_accounted;
        is_owed
    }

    /// How long the closing handshake may take, ms.
    pub(crate) fn close_timeout(&self) -> u64 {
        match self.close_timeout {
            0 => u64::from(CLOSE_TIMEOUT),
            timeout => u64::from(timeout),
        }
    }

    pub(crate) fn is_web_socket(&self) -> bool {
        matches!(self.protocol, Protocol::WebSocket { .. })
    }

    pub(crate) fn is_event_stream(&self) -> bool {
        matches!(self.protocol, Protocol::EventStream { .. })
    }

    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self.protocol, Protocol::Tcp { .. })
    }

    /// Whether nobody has to be told anything any more.
    pub(crate) fn is_released(&self) -> bool {
        self.stage == Stage::Ended
            && self.owner == Owner::None
            && self.delivery.is_empty()
            && self.session.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_ten_words_and_what_follows_is_left() {
        let mut bytes: Vec<u8> = [7_u32, 0b11_1101, 6, 1024, 5000, 0, 0, 0, 0, 0]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        bytes.extend_from_slice(b"rest");
        let (settings, rest) = SocketSettings::parse(&bytes).expect("it is long enough");
        assert_eq!(rest, b"rest");
        assert!(settings.compression && !settings.context_takeover && settings.deliver_frames);
        assert!(settings.wants.ping && settings.wants.pong && settings.wants.high);
        assert_eq!((settings.max_payload, settings.level), (7, 6));
        assert_eq!(
            (settings.compress_min_bytes, settings.close_timeout),
            (1024, 5000)
        );
        assert!(SocketSettings::parse(&bytes[..39]).is_none());
    }

    #[test]
    fn an_ending_says_all_in_one_word() {
        let mut ending = Ending::new(By::Overflow, 1013, "slow");
        ending.clean = true;
        assert_eq!(ending.detail(), 1013 | 5 << 16 | 1 << 24);
    }
}
