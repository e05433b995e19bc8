//! Sessions: a WebSocket whose connection broke goes on in the next one of its client.
//!
//! The client says in the query of its handshake who it was and how many messages it has got: `resume=TOKEN&received=N`.
//! The old connection keeps its place, closed, for as long as it can be taken up; what is sent to its channels
//! meanwhile is remembered. The new one gets its channels, its uid, its state and the messages it has missed.

use std::sync::Arc;

use sluice_core::channel::ChannelKind;
use sluice_core::member::{Member, Place};

use super::Engine;
use crate::fanout::Post;
use crate::recorded::Recorded;
use crate::session::{Sent, Session};
use crate::socket::{By, Ending, SocketSettings};
use crate::websocket;

/// Random bytes in a token.
const TOKEN_BYTES: usize = 16;
/// Broken connections of one reactor that can be taken up.
const SUSPENDED_MAX: usize = 10_000;
/// A session's memory when its worker has not said how much, bytes.
const BUFFER: u32 = 64 * 1024;

/// What a handshake says of an earlier connection.
struct Claim<'a> {
    token: &'a str,
    received: u64,
}

impl<'a> Claim<'a> {
    /// Reads the query of a request target.
    fn parse(target: &'a [u8]) -> Option<Self> {
        let target = std::str::from_utf8(target).ok()?;
        let (_, query) = target.split_once('?')?;
        let value = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        Some(Self {
            token: value("resume")?,
            received: value("received")?.parse().ok()?,
        })
    }
}

impl Engine {
    /// A session for a new WebSocket, if its worker wants one.
    pub(super) fn new_session(
        &mut self,
        slot: u32,
        settings: &SocketSettings,
    ) -> Option<Box<Session>> {
        if settings.resume_window == 0 {
            return None;
        }
        let mut random = [0; TOKEN_BYTES];
        // Without randomness there is no secret, and without a secret no session.
        getrandom::fill(&mut random).ok()?;
        let token: Box<str> = data_encoding::BASE64URL_NOPAD.encode(&random).into();
        let bytes = match settings.resume_buffer {
            0 => BUFFER,
            bytes => bytes,
        };
        let place = Place {
            reactor: self.id,
            slot,
            generation: self.generations[slot as usize],
        };
        self.shared.sessions.insert(token.clone(), place);
        Some(Box::new(Session::new(
            token,
            u64::from(settings.resume_window),
            bytes as usize,
        )))
    }

    /// Tells a client in the answer to its handshake how it can come back, and whether it has: browsers do not show these
    /// fields to a page, other clients do.
    pub(super) fn write_session_fields(
        &mut self,
        fields: &mut Vec<u8>,
        new: &Session,
        target: &[u8],
    ) {
        let (token, missed) = match self.resumable(target) {
            Some((token, missed)) => (token, Some(missed)),
            None => (new.token.clone(), None),
        };
        fields.extend_from_slice(b"sluice-resume: ");
        fields.extend_from_slice(token.as_bytes());
        fields.extend_from_slice(b"\r\n");
        if let Some(missed) = missed {
            fields.extend_from_slice(format!("sluice-resumed: {missed}\r\n").as_bytes());
        }
    }

    /// The session that a handshake can go on with, and how many messages its client has missed.
    fn resumable(&mut self, target: &[u8]) -> Option<(Box<str>, usize)> {
        let claim = Claim::parse(target)?;
        let place = self
            .session_place(target)
            .filter(|place| place.reactor == self.id)?;
        let (old, _) = self.socket(place.slot, place.generation)?;
        let session = old.socket.as_deref()?.session.as_deref()?;
        let missed = session.missed(claim.received)?.count();
        Some((session.token.clone(), missed))
    }

    /// Where the session lives that a handshake asks for, if there is such a session.
    pub(in crate::engine) fn session_place(&self, target: &[u8]) -> Option<Place> {
        if self.shared.sessions.is_empty() {
            return None;
        }
        let claim = Claim::parse(target)?;
        self.shared.sessions.get(claim.token).map(|place| *place)
    }

    /// Lets a new connection go on where an earlier one of its client broke; returns how many messages it had missed.
    /// `None` when there is nothing to go on with: it begins anew then.
    pub(super) fn take_up(&mut self, slot: u32, member: &Arc<Member>) -> Option<u32> {
        let socket = self.socket_of(slot)?;
        let handshake = socket.handshake.as_deref()?;
        let recorded = Recorded::new(handshake.words, &handshake.record);
        let target = recorded.target().to_vec();
        let claim = Claim::parse(&target)?;
        let place = self
            .session_place(&target)
            .filter(|place| place.reactor == self.id)?;
        let (old, _) = self.socket(place.slot, place.generation)?;
        let session = old.socket.as_deref_mut()?.session.as_deref()?;
        let missed: Vec<Sent> = session.missed(claim.received)?.cloned().collect();
        if session.until.is_none() {
            // Its client has noticed before us that it is broken.
            self.cut_socket(place.slot, Ending::new(By::Peer, 1006, "taken up"));
        }
        let (old, _) = self.socket(place.slot, place.generation)?;
        let old = old.socket.as_deref_mut()?;
        let session = old.session.take()?;
        let old = Arc::clone(&old.member);
        let registry = &self.shared.registry;
        for kind in [ChannelKind::Topic, ChannelKind::Group] {
            for name in old.names(kind) {
                // It was in as many before.
                let _ = registry.join(member, kind, &name);
            }
        }
        if let Some(uid) = old.uid() {
            let _ = registry.bind(member, Some(&uid));
        }
        member.set_state(old.state());
        registry.close(&old);
        self.shared
            .sessions
            .insert(session.token.clone(), member.place);
        let mut session = session;
        session.until = None;
        for sent in &missed {
            if let Some(out) = self.tail(slot) {
                let (opcode, payload) = (sent.opcode(), sent.payload());
                websocket::write_frame_header(out, opcode, true, false, payload.len(), None);
                out.extend_from_slice(payload);
            }
        }
        if let Some(socket) = self.socket_of(slot)
            && let Some(unused) = socket.session.replace(session)
        {
            self.shared.sessions.remove(&unused.token);
        }
        self.free_socket(place.slot);
        self.mark_dirty(slot);
        Some(missed.len() as u32)
    }

    /// The connection of a session has ended. Returns whether its client may come back.
    pub(super) fn suspend_session(&mut self, slot: u32, ending: &Ending) -> bool {
        let now = self.now;
        let is_stopping = self.stopping;
        let Some(socket) = self.socket_of(slot) else {
            return false;
        };
        // Who has said goodbye does not come back; nor does anybody to a server that stops.
        let is_broken = ending.code == 1006 && !matches!(ending.by, By::Server | By::Shutdown);
        let Some(session) = socket.session.as_deref_mut() else {
            return false;
        };
        if is_stopping || !is_broken {
            self.end_session(slot);
            return false;
        }
        let until = now + session.window;
        session.until = Some(until);
        let member = Arc::clone(&socket.member);
        self.shared.registry.suspend(&member);
        let generation = self.generations[slot as usize];
        if self.suspended.len() >= SUSPENDED_MAX
            && let Some((slot, generation, _)) = self.suspended.pop_front()
            && self.socket(slot, generation).is_some()
        {
            self.end_session(slot);
            self.free_socket(slot);
        }
        self.suspended.push_back((slot, generation, until));
        true
    }

    /// Forgets a session: nobody can take it up any more.
    pub(super) fn end_session(&mut self, slot: u32) {
        if let Some(socket) = self.socket_of(slot)
            && let Some(session) = socket.session.take()
        {
            let member = Arc::clone(&socket.member);
            self.shared.sessions.remove(&session.token);
            self.shared.registry.close(&member);
        }
    }

    /// Ends sessions whose time is up.
    pub(in crate::engine) fn end_old_sessions(&mut self) {
        let now = self.now;
        let mut over = Vec::new();
        self.suspended.retain(|&(slot, generation, until)| {
            let is_over = until <= now;
            if is_over {
                over.push((slot, generation));
            }
            !is_over
        });
        for (slot, generation) in over {
            if self.socket(slot, generation).is_some() {
                self.end_session(slot);
                self.free_socket(slot);
            }
        }
    }

    /// Remembers a message for the client of a broken connection.
    pub(super) fn record_missed(&mut self, slot: u32, post: &Arc<Post>) {
        if let Some(socket) = self.socket_of(slot)
            && let Some(session) = socket.session.as_deref_mut()
            && session.until.is_some()
        {
            session.record(Sent::Many(Arc::clone(post)));
        }
    }

    /// The session of a live connection cannot be taken up any more.
    pub(super) fn forget_session(&mut self, slot: u32) {
        if let Some(socket) = self.socket_of(slot)
            && let Some(session) = socket.session.take()
        {
            self.shared.sessions.remove(&session.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Claim;

    #[test]
    fn a_claim_is_a_token_and_a_count() {
        let claim = Claim::parse(b"/chat?a=1&received=7&resume=abc").expect("both are there");
        assert_eq!((claim.token, claim.received), ("abc", 7));
        for target in [
            &b"/chat"[..],
            b"/chat?resume=abc",
            b"/chat?resume=abc&received=-1",
            b"/chat?resume=abc&received=99999999999999999999",
            b"/chat?resume=\xff&received=1",
        ] {
            assert!(Claim::parse(target).is_none());
        }
    }
}
