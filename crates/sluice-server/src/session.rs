//! What a WebSocket's client may have missed when its connection broke: messages sent to it, kept so that it can come back
//! within a while and go on where it was.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::fanout::Post;
use crate::websocket::Opcode;

/// A message that was sent.
#[derive(Clone)]
pub(crate) enum Sent {
    /// To this connection alone.
    One(Opcode, Bytes),
    /// To many.
    Many(Arc<Post>),
}

impl Sent {
    pub(crate) fn opcode(&self) -> Opcode {
        match self {
            Self::One(opcode, _) => *opcode,
            Self::Many(post) => post.message.opcode(),
        }
    }

    pub(crate) fn payload(&self) -> &Bytes {
        match self {
            Self::One(_, payload) => payload,
            Self::Many(post) => post.message.payload(),
        }
    }
}

/// Bookkeeping of a message, counted so that many empty ones are bounded, too.
const SENT_BYTES: usize = 64;

/// See the module. Messages are numbered as the client counts them: the first one it gets is number 1.
pub(crate) struct Session {
    /// Names the session; whoever has it may take it over.
    pub(crate) token: Box<str>,
    /// How long it can be taken up again, ms.
    pub(crate) window: u64,
    bytes_max: usize,
    sent: VecDeque<Sent>,
    bytes: usize,
    /// The number of the first message in `sent`.
    first: u64,
    /// When it ends, once its connection is broken.
    pub(crate) until: Option<u64>,
}

impl Session {
    pub(crate) fn new(token: Box<str>, window: u64, bytes_max: usize) -> Self {
        Self {
            token,
            window,
            bytes_max,
            sent: VecDeque::new(),
            bytes: 0,
            first: 1,
            until: None,
        }
    }

    /// Remembers a message; forgets the oldest when there is too much.
    pub(crate) fn record(&mut self, sent: Sent) {
        self.bytes += sent.payload().len() + SENT_BYTES;
        self.sent.push_back(sent);
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.sent.pop_front()
        {
            self.bytes -= oldest.payload().len() + SENT_BYTES;
            self.first += 1;
        }
    }

    /// What a client has missed that has got `received` messages; `None` when some of it is no longer there, or the
    /// client counts messages that were never sent.
    pub(crate) fn missed(&self, received: u64) -> Option<impl Iterator<Item = &Sent>> {
        let sent = self.first + self.sent.len() as u64 - 1;
        if received > sent || received + 1 < self.first {
            return None;
        }
        let known = (received + 1 - self.first) as usize;
        Some(self.sent.iter().skip(known))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str) -> Sent {
        Sent::One(Opcode::Text, Bytes::copy_from_slice(text.as_bytes()))
    }

    proptest! {
        #[test]
        fn a_client_gets_exactly_what_it_missed_or_nothing(count in 0u64..40, room in 0usize..40, received in 0u64..45) {
            let mut session = Session::new("t".into(), 1000, room * (SENT_BYTES + 2));
            for number in 1..=count {
                session.record(message(&format!("{number:02}")));
            }
            let missed = session
                .missed(received)
                .map(|missed| missed.map(|sent| String::from_utf8_lossy(sent.payload()).into_owned()).collect::<Vec<_>>());
            let is_there = received <= count && count - received <= room as u64;
            let expected = is_there.then(|| (received + 1..=count).map(|number| format!("{number:02}")).collect::<Vec<_>>());
            prop_assert_eq!(missed, expected);
        }
    }

    #[test]
    fn a_message_larger_than_the_room_is_counted_and_forgotten() {
        let mut session = Session::new("t".into(), 1000, 10);
        session.record(message("too long for this"));
        assert!(session.missed(0).is_none());
        assert_eq!(session.missed(1).map(Iterator::count), Some(0));
        assert!(session.missed(2).is_none());
        assert!(session.missed(u64::MAX).is_none());
    }
}
