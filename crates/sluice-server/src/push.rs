//! Reaching connections from any thread: by id, uid, group, topic, or all of them.
//!
//! What a worker sends goes through its lanes, behind everything it has sent before. Other threads use the reactors'
//! inboxes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde::Deserialize;
use sluice_core::channel::ChannelKind;
use sluice_core::member::{Claim, Member, MemberKind, SendLimits};
use sluice_shared::record::{CommandKind, Words};

use crate::fanout::{Fanout, Post, Slow, Target};
use crate::reactor::Message;
use crate::server::Shared;
use crate::websocket::{self, Opcode};

/// How a message is to be sent, as JavaScript packs it: the opcode in bits 0–3, 16 FIN, 32 COMPRESS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageKind(pub u32);

impl MessageKind {
    const COMPRESS: u32 = 32;

    /// Text, unless it says otherwise: a message to many is a whole one.
    fn opcode(self) -> Opcode {
        match Opcode::of((self.0 & 15) as u8) {
            Some(Opcode::Binary) => Opcode::Binary,
            _ => Opcode::Text,
        }
    }

    fn is_compressed(self) -> bool {
        self.0 & Self::COMPRESS != 0
    }
}

/// How a message to many is to be sent: bits 0–1 what happens to slow receivers, 4 keep it for later subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostFlags(pub u32);

impl PostFlags {
    fn retain(self) -> bool {
        self.0 & 4 != 0
    }
}

/// Whom a broadcast is for; JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BroadcastOptions {
    port: Option<u16>,
    uids: Option<Vec<String>>,
    group: Option<String>,
    except: Vec<u64>,
}

/// Whom to close; JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KickTarget {
    id: Option<u64>,
    uid: Option<String>,
    group: Option<String>,
}

/// Bytes of messages to many that the reactors have not seen yet; beyond, they are not taken.
const POST_BYTES: usize = 64 * 1024 * 1024;

/// Bounds what is on its way to the reactors: each has its share of a message to many.
#[derive(Debug, Default)]
pub(crate) struct PostAccount {
    bytes: AtomicUsize,
}

impl PostAccount {
    /// Counts a message that goes to `reactors`; false when too much is on its way.
    fn claim(&self, len: usize, reactors: usize) -> bool {
        let bytes = len.saturating_mul(reactors);
        // Relaxed: a bound, not an order.
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) > POST_BYTES {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// A reactor has a message.
    pub(crate) fn arrived(&self, len: usize) {
        self.bytes.fetch_sub(len, Ordering::Relaxed);
    }
}

/// The way to the reactors from one thread.
pub(crate) trait Carrier {
    fn command(&mut self, reactor: u8, words: Words, body: &[u8]);
    fn fan_out(&mut self, fanout: &Arc<Fanout>);
}

/// The way of threads that are no workers.
pub(crate) struct Inboxes<'a>(pub(crate) &'a Shared);

impl Carrier for Inboxes<'_> {
    fn command(&mut self, reactor: u8, words: Words, body: &[u8]) {
        let words = words.with_command_body_len(body.len() as u32);
        let bytes = body.to_vec();
        self.0.send(reactor, Message::Command { words, bytes });
    }

    fn fan_out(&mut self, fanout: &Arc<Fanout>) {
        for reactor in 0..self.0.config.reactors {
            self.0.send(reactor, Message::Fanout(Arc::clone(fanout)));
        }
    }
}

/// A command that names a connection.
pub(crate) fn about(member: &Member, kind: CommandKind) -> Words {
    Words::command(kind, 0, 0).with_socket(member.place.slot, member.place.generation)
}

impl Shared {
    /// Sends to one connection: bytes taken, -1 taken although much is unsent, 0 not taken.
    pub(crate) fn send_to(
        &self,
        carrier: &mut dyn Carrier,
        member: &Member,
        data: &[u8],
        kind: MessageKind,
    ) -> i32 {
        if !member.is_open() {
            return 0;
        }
        let limits = &self.config.ports[usize::from(member.port)].limits;
        let claim = member.account.claim(
            data.len(),
            &SendLimits {
                buffer: limits.send_buffer as usize,
                high: limits.high_water_mark as usize,
            },
        );
        if claim == Claim::Full {
            return 0;
        }
        let words = about(member, CommandKind::SocketSend).with_detail(kind.0);
        carrier.command(member.place.reactor, words, data);
        match claim {
            Claim::Slow => -1,
            // An empty message is sent, too: it counts as one byte, because 0 means that it was not.
            _ => i32::try_from(data.len().max(1)).unwrap_or(i32::MAX),
        }
    }

    /// Sends to a channel; returns how many connections were in it.
    #[expect(clippy::too_many_arguments, reason = "one call, no options object")]
    pub(crate) fn publish(
        &self,
        carrier: &mut dyn Carrier,
        channel: ChannelKind,
        name: &str,
        data: &[u8],
        kind: MessageKind,
        flags: PostFlags,
        except: Option<u64>,
    ) -> u32 {
        let post = || {
            Arc::new(Post::new(
                websocket::Message::new(kind.opcode(), Bytes::copy_from_slice(data)),
                kind.is_compressed(),
                Slow::from_bits(flags.0),
                except.into_iter().collect(),
            ))
        };
        let retain = flags.retain() && channel == ChannelKind::Topic;
        let found = if retain {
            self.registry.retain(name, Some(post())).ok()
        } else {
            self.registry.channel(channel, name)
        };
        let Some(found) = found else { return 0 };
        let count = found.len();
        let has_history = found.has_history();
        if count == 0 && !has_history {
            return 0;
        }
        let reactors = usize::from(self.config.reactors);
        if !self.posts.claim(data.len(), reactors) {
            return 0;
        }
        let fanout = if has_history {
            self.registry
                .publish(&found, post(), data.len(), self.now());
            Fanout {
                target: Target::Published,
                post: None,
            }
        } else {
            Fanout {
                target: Target::Channel(found),
                post: Some(post()),
            }
        };
        carrier.fan_out(&Arc::new(fanout));
        // Whoever is left out and in the channel would be one too many.
        let left_out = except
            .and_then(|id| self.registry.get(id))
            .is_some_and(|member| member.is_in(channel, name));
        (count - usize::from(left_out && count > 0)) as u32
    }

    /// Sends to every WebSocket that fits; returns how many may get it.
    pub(crate) fn broadcast(
        &self,
        carrier: &mut dyn Carrier,
        options: BroadcastOptions,
        data: &[u8],
        kind: MessageKind,
        flags: PostFlags,
    ) -> u32 {
        let group = match &options.group {
            Some(name) => match self.registry.channel(ChannelKind::Group, name) {
                Some(group) => Some(group),
                None => return 0,
            },
            None => None,
        };
        let excepted = options
            .except
            .iter()
            .filter(|id| self.registry.get(**id).is_some())
            .count();
        let (target, count) = match &options.uids {
            Some(uids) => {
                let channels: Vec<_> = uids
                    .iter()
                    .filter_map(|uid| self.registry.channel(ChannelKind::Uid, uid))
                    .collect();
                let count = channels.iter().map(|channel| channel.len()).sum();
                (Target::Channels(channels), count)
            }
            None => {
                let count = group
                    .as_ref()
                    .map_or_else(|| self.registry.count(options.port), |group| group.len());
                let port = options.port;
                (Target::All { port, group }, count)
            }
        };
        if count == 0
            || !self
                .posts
                .claim(data.len(), usize::from(self.config.reactors))
        {
            return 0;
        }
        let post = Post::new(
            websocket::Message::new(kind.opcode(), Bytes::copy_from_slice(data)),
            kind.is_compressed(),
            Slow::from_bits(flags.0),
            options.except,
        );
        carrier.fan_out(&Arc::new(Fanout {
            target,
            post: Some(Arc::new(post)),
        }));
        count.saturating_sub(excepted) as u32
    }

    /// Closes one connection. False when it is gone.
    pub(crate) fn close_one(
        &self,
        carrier: &mut dyn Carrier,
        member: &Member,
        code: u16,
        reason: &str,
        terminate: bool,
    ) -> bool {
        if !member.is_open() {
            return false;
        }
        if terminate {
            let words = about(member, CommandKind::SocketTerminate);
            carrier.command(member.place.reactor, words, &[]);
        } else {
            let words = about(member, CommandKind::SocketClose).with_detail(u32::from(code));
            carrier.command(member.place.reactor, words, reason.as_bytes());
        }
        true
    }

    /// Closes every connection that fits; returns how many that are.
    pub(crate) fn kick(
        &self,
        carrier: &mut dyn Carrier,
        target: &KickTarget,
        code: u16,
        reason: &str,
    ) -> u32 {
        let mut ids: Vec<u64> = target.id.into_iter().collect();
        for (kind, name) in [
            (ChannelKind::Uid, &target.uid),
            (ChannelKind::Group, &target.group),
        ] {
            if let Some(name) = name
                && let Some(channel) = self.registry.channel(kind, name)
            {
                channel.for_each_id(|id| ids.push(id));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let mut count = 0;
        for id in ids {
            if let Some(member) = self.registry.get(id) {
                count += u32::from(self.close_one(carrier, &member, code, reason, false));
            }
        }
        count
    }

    /// What the connection with this id is: 0 none, 2 an open WebSocket, 3 an event stream.
    pub(crate) fn connection_kind(&self, id: u64) -> u32 {
        match self.registry.get(id) {
            Some(member) if member.is_open() => match member.kind {
                MemberKind::WebSocket => 2,
                MemberKind::EventStream => 3,
            },
            _ => 0,
        }
    }
}
