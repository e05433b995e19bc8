//! The connections that a worker's thread holds, and what it does with them.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use sluice_core::channel::ChannelKind;
use sluice_core::member::Member;
use sluice_shared::record::{CommandKind, Words};

use super::{Worker, WorkerLane};
use crate::fanout::Fanout;
use crate::push::{BroadcastOptions, Carrier, KickTarget, MessageKind, PostFlags, about};

/// Connections by handle. A handle is a small number that is used again.
#[derive(Default)]
pub(super) struct Held {
    members: Vec<Option<Arc<Member>>>,
    free: Vec<u32>,
}

impl Held {
    fn insert(&mut self, member: Arc<Member>) -> u32 {
        if let Some(handle) = self.free.pop() {
            self.members[handle as usize] = Some(member);
            return handle;
        }
        self.members.push(Some(member));
        self.members.len() as u32 - 1
    }

    fn remove(&mut self, handle: u32) {
        if let Some(place) = self.members.get_mut(handle as usize)
            && place.take().is_some()
        {
            self.free.push(handle);
        }
    }

    fn get(&self, handle: u32) -> Option<&Arc<Member>> {
        self.members.get(handle as usize)?.as_ref()
    }
}

/// The lanes of a worker as the way to the reactors.
pub(super) struct Lanes<'a>(pub(super) &'a mut [WorkerLane]);

impl Carrier for Lanes<'_> {
    fn command(&mut self, reactor: u8, words: Words, body: &[u8]) -> bool {
        let lane = self.0.get_mut(usize::from(reactor));
        let Some(lane) = lane.filter(|lane| lane.shared.is_open()) else {
            return false;
        };
        lane.command(words.with_command_body_len(body.len() as u32), &[], body);
        true
    }

    fn fan_out(&mut self, fanout: &Arc<Fanout>) {
        for lane in self.0.iter_mut() {
            lane.fan_out(fanout);
        }
    }
}

/// The request that a connection began with, as `handshakeOf` gives it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HandshakeInfo {
    /// The subprotocol; empty for none.
    pub protocol: String,
    /// The request target.
    pub url: String,
    /// Whether it came over TLS.
    pub secure: bool,
    /// Names and values in the order of arrival, as Latin-1.
    pub headers: Vec<(String, String)>,
    /// Messages may be compressed.
    pub compressed: bool,
    /// With it the client can come back when the connection breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_token: Option<String>,
}

impl Worker {
    /// A handle on a connection that is open, or whose end a worker has still to be told; `None` when it is gone. Waits for
    /// the pass of a reactor when the connection has ended.
    pub fn attach_connection(&mut self, id: u64) -> Option<u32> {
        let open = self.shared.registry.get(id);
        // Who is told of a connection has to release it, even if it has ended meanwhile.
        let member = open.or_else(|| {
            self.lanes
                .iter()
                .find_map(|lane| lane.reactor.lock().ended_member(id))
        })?;
        Some(self.held.insert(member))
    }

    /// Lets go of a handle.
    pub fn detach_connection(&mut self, handle: u32) {
        self.held.remove(handle);
    }

    /// Sends a message: bytes taken, -1 taken although much is unsent, 0 not taken.
    pub fn send(&mut self, handle: u32, data: &[u8], kind: MessageKind) -> i32 {
        let Some(member) = self.held.get(handle) else {
            return 0;
        };
        self.shared
            .send_to(&mut Lanes(&mut self.lanes), member, data, kind)
    }

    /// Bytes that are sent and not on the wire.
    pub fn buffered_amount(&self, handle: u32) -> usize {
        self.held
            .get(handle)
            .map_or(0, |member| member.account.queued())
    }

    /// Whether messages still reach the connection.
    pub fn is_connection_open(&self, handle: u32) -> bool {
        self.held.get(handle).is_some_and(|member| member.is_open())
    }

    /// Closes a connection: a WebSocket with the closing handshake.
    pub fn close_connection(&mut self, handle: u32, code: u16, reason: &str) -> bool {
        let Some(member) = self.held.get(handle) else {
            return false;
        };
        let carrier = &mut Lanes(&mut self.lanes);
        self.shared.close_one(carrier, member, code, reason, false)
    }

    /// Cuts a connection off.
    pub fn terminate_connection(&mut self, handle: u32) -> bool {
        let Some(member) = self.held.get(handle) else {
            return false;
        };
        let carrier = &mut Lanes(&mut self.lanes);
        self.shared.close_one(carrier, member, 1006, "", true)
    }

    /// Asks for no more messages.
    pub fn pause_connection(&mut self, handle: u32) {
        self.tell(handle, CommandKind::SocketPause, |words| words, &[]);
    }

    /// Asks for messages again, from the sequence number `next` on.
    pub fn resume_connection(&mut self, handle: u32, next: u32) {
        let with = |words: Words| words.with_sequence(next);
        self.tell(handle, CommandKind::SocketResume, with, &[]);
    }

    /// Gives an event back that could not be taken in its turn. `word` and `detail` are w1 and w4 of its record.
    pub fn return_message(&mut self, handle: u32, next: u32, word: u32, detail: u32, data: &[u8]) {
        let with = |words: Words| {
            words
                .with_sequence(next)
                .with_returned(word)
                .with_detail(detail)
        };
        self.tell(handle, CommandKind::SocketReturn, with, data);
    }

    /// Lets go of a connection: everything before `next` is handled.
    pub fn release(&mut self, handle: u32, next: u32) {
        let with = |words: Words| words.with_sequence(next);
        self.tell(handle, CommandKind::SocketRelease, with, &[]);
    }

    /// Says that no handler of a connection runs, and that everything before `next` is handled, as SOCKET_SETTLE asks.
    pub fn settled(&mut self, handle: u32, next: u32) {
        let with = |words: Words| words.with_sequence(next);
        self.tell(handle, CommandKind::SocketSettled, with, &[]);
    }

    /// Exempts a connection from heartbeats, or no longer.
    pub fn protect_connection(&mut self, handle: u32, yes: bool) {
        let with = |words: Words| words.with_detail(u32::from(yes));
        self.tell(handle, CommandKind::SocketProtect, with, &[]);
    }

    /// A message too large for its record, once.
    pub fn take_message(&self, lane: u32, slot: u32, sequence: u32) -> Option<Bytes> {
        let lane = self.lanes.get(lane as usize)?;
        lane.shared.take_message(slot, sequence)
    }

    /// Puts a connection into a topic or group. False when it is gone, has too many names, or the name is too long.
    pub fn join_channel(&mut self, handle: u32, kind: ChannelKind, name: &str) -> bool {
        let Some(member) = self.held.get(handle) else {
            return false;
        };
        let registry = &self.shared.registry;
        let was_in = member.is_in(kind, name);
        let Ok(channel) = registry.join(member, kind, name) else {
            return false;
        };
        if !was_in && let Some(post) = registry.retained(&channel) {
            let kind = MessageKind(post.message.opcode() as u32 | 16);
            let payload = post.message.payload();
            self.shared
                .send_to(&mut Lanes(&mut self.lanes), member, payload, kind);
        }
        true
    }

    /// Takes a connection out of a topic or group. False when it was not in it.
    pub fn leave_channel(&self, handle: u32, kind: ChannelKind, name: &str) -> bool {
        self.held
            .get(handle)
            .is_some_and(|member| self.shared.registry.leave(member, kind, name))
    }

    /// The names of a connection's topics or groups.
    pub fn channels_of(&self, handle: u32, kind: ChannelKind) -> Vec<String> {
        self.held
            .get(handle)
            .map_or_else(Vec::new, |member| member.names(kind))
    }

    /// Says whose connection it is; `None`: nobody's.
    pub fn bind_uid(&mut self, handle: u32, uid: Option<&str>) -> bool {
        let carrier = &mut Lanes(&mut self.lanes);
        self.held
            .get(handle)
            .is_some_and(|member| self.shared.bind(carrier, member, uid))
    }

    /// Keeps a state for the connection that outlives this worker.
    pub fn set_connection_state(&self, handle: u32, state: Option<&[u8]>) -> bool {
        self.held
            .get(handle)
            .is_some_and(|member| member.set_state(state.map(Box::from)))
    }

    /// The state of a connection.
    pub fn connection_state(&self, handle: u32) -> Option<Box<[u8]>> {
        self.held.get(handle)?.state()
    }

    /// The request that a connection began with. Waits for the reactor's current pass.
    pub fn handshake_of(&self, handle: u32) -> Option<HandshakeInfo> {
        let member = self.held.get(handle)?;
        let lane = self.lanes.get(usize::from(member.place.reactor))?;
        lane.reactor.lock().handshake_info(&member.place)
    }

    /// Sends to any connection of the server.
    pub fn push_to(&mut self, id: u64, data: &[u8], kind: MessageKind) -> i32 {
        let carrier = &mut Lanes(&mut self.lanes);
        self.shared.push_to(carrier, id, data, kind)
    }

    /// Closes any connection of the server.
    pub fn close_by_id(&mut self, id: u64, code: u16, reason: &str, terminate: bool) -> bool {
        let carrier = &mut Lanes(&mut self.lanes);
        self.shared.registry.get(id).is_some_and(|member| {
            self.shared
                .close_one(carrier, &member, code, reason, terminate)
        })
    }

    /// Sends to a channel; returns how many connections were in it.
    pub fn publish(
        &mut self,
        channel: ChannelKind,
        name: &str,
        data: &[u8],
        kind: MessageKind,
        flags: PostFlags,
        except: Option<u64>,
    ) -> u32 {
        let carrier = &mut Lanes(&mut self.lanes);
        self.shared
            .publish(carrier, channel, name, data, kind, flags, except)
    }

    /// Sends to every WebSocket that fits; returns how many may get it.
    pub fn broadcast(
        &mut self,
        options: BroadcastOptions,
        data: &[u8],
        kind: MessageKind,
        flags: PostFlags,
    ) -> u32 {
        let carrier = &mut Lanes(&mut self.lanes);
        self.shared.broadcast(carrier, options, data, kind, flags)
    }

    /// Closes every connection that fits; returns how many that are.
    pub fn kick(&mut self, target: &KickTarget, code: u16, reason: &str) -> u32 {
        self.shared
            .kick(&mut Lanes(&mut self.lanes), target, code, reason)
    }

    fn tell(
        &mut self,
        handle: u32,
        kind: CommandKind,
        with: impl FnOnce(Words) -> Words,
        body: &[u8],
    ) {
        if let Some(member) = self.held.get(handle) {
            let words = with(about(member, kind));
            Lanes(&mut self.lanes).command(member.place.reactor, words, body);
        }
    }
}
