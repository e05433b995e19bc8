//! Reaching connections from any thread: by id, uid, group, topic, or all of them.
//!
//! What a worker sends goes through its lanes, behind everything it has sent before. Other threads use the reactors'
//! inboxes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde::Deserialize;
use sluice_core::channel::ChannelKind;
use sluice_core::config::DispatchConfig;
use sluice_core::member::{Claim, Member, MemberKind, SendLimits};
use sluice_shared::record::{CommandKind, Words};

use crate::fanout::{Fanout, Post, Slow, Target, plain_event};
use crate::reactor::Message;
use crate::server::Shared;
use crate::udp::{Peer, PeerFamily};
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

/// Bounds what is on its way to the reactors.
#[derive(Debug, Default)]
pub(crate) struct PostAccount {
    bytes: Arc<AtomicUsize>,
}

impl PostAccount {
    /// Counts a message to many; `None` when too much is on its way.
    fn claim(&self, len: usize) -> Option<PostClaim> {
        let claim = PostClaim {
            bytes: Arc::clone(&self.bytes),
            len,
        };
        // Relaxed: a bound, not an order.
        let before = self.bytes.fetch_add(len, Ordering::Relaxed);
        (before <= POST_BYTES).then_some(claim)
    }
}

/// The part of one message in the account. It ends when the last reactor has the message, or when the way to it is gone.
#[derive(Debug)]
pub(crate) struct PostClaim {
    bytes: Arc<AtomicUsize>,
    len: usize,
}

impl Drop for PostClaim {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.len, Ordering::Relaxed);
    }
}

/// The way to the reactors from one thread.
pub(crate) trait Carrier {
    /// False when nobody is there any more to carry it out.
    fn command(&mut self, reactor: u8, words: Words, body: &[u8]) -> bool;
    fn fan_out(&mut self, fanout: &Arc<Fanout>);
}

/// The way of threads that are no workers.
pub(crate) struct Inboxes<'a>(pub(crate) &'a Shared);

impl Carrier for Inboxes<'_> {
    fn command(&mut self, reactor: u8, words: Words, body: &[u8]) -> bool {
        let words = words.with_command_body_len(body.len() as u32);
        let bytes = body.to_vec();
        self.0.send(reactor, Message::Command { words, bytes });
        true
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

/// An IP address, that of an IPv6 link with its scope (`fe80::1%2`), and a port.
fn parse_address(address: &str, port: u16) -> Option<SocketAddr> {
    match address.parse::<IpAddr>() {
        Ok(address) => Some(SocketAddr::new(address, port)),
        Err(_) => format!("[{address}]:{port}").parse().ok(),
    }
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
        if !carrier.command(member.place.reactor, words, data) {
            // It was counted and will never arrive.
            member.account.arrived(data.len());
            return 0;
        }
        match claim {
            Claim::Slow => -1,
            // An empty message is sent, too: it counts as one byte, because 0 means that it was not.
            _ => i32::try_from(data.len().max(1)).unwrap_or(i32::MAX),
        }
    }

    /// Sends to any connection, by id, in the form that it needs.
    pub(crate) fn push_to(
        &self,
        carrier: &mut dyn Carrier,
        id: u64,
        data: &[u8],
        kind: MessageKind,
    ) -> i32 {
        let Some(member) = self.registry.get(id) else {
            return 0;
        };
        match member.kind {
            MemberKind::WebSocket | MemberKind::Tcp => self.send_to(carrier, &member, data, kind),
            MemberKind::EventStream => {
                let event = plain_event(kind.opcode(), data);
                self.send_to(carrier, &member, &event, kind)
            }
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
        let Some(claim) = self.posts.claim(data.len()) else {
            return 0;
        };
        let fanout = if has_history {
            self.registry
                .publish(&found, post(), data.len(), self.now());
            Fanout {
                target: Target::Published,
                post: None,
                _claim: claim,
            }
        } else {
            Fanout {
                target: Target::Channel(found),
                post: Some(post()),
                _claim: claim,
            }
        };
        carrier.fan_out(&Arc::new(fanout));
        // Whoever is left out and in the channel would be one too many.
        let left_out = except
            .and_then(|id| self.registry.get(id))
            .is_some_and(|member| member.is_in(channel, name));
        (count - usize::from(left_out && count > 0)) as u32
    }

    /// Sends to every WebSocket that fits, and with a port, a group or uids to connections of TCP ports, too; returns how many
    /// may get it.
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
        let port = options.port;
        let (target, count) = match &options.uids {
            Some(uids) => {
                let mut channels: Vec<_> = uids
                    .iter()
                    .filter_map(|uid| self.registry.channel(ChannelKind::Uid, uid))
                    .collect();
                channels.sort_unstable_by_key(Arc::as_ptr);
                channels.dedup_by(|one, other| Arc::ptr_eq(one, other));
                let count = channels.iter().map(|channel| channel.len()).sum();
                let group = group.clone();
                let target = Target::Uids {
                    channels,
                    port,
                    group,
                };
                (target, count)
            }
            None => {
                let count = group
                    .as_ref()
                    .map_or_else(|| self.count_receivers(port), |group| group.len());
                let group = group.clone();
                (Target::All { port, group }, count)
            }
        };
        if count == 0 {
            return 0;
        }
        let Some(claim) = self.posts.claim(data.len()) else {
            return 0;
        };
        let uids = options.uids.as_deref();
        let post = Post::new(
            websocket::Message::new(kind.opcode(), Bytes::copy_from_slice(data)),
            kind.is_compressed(),
            Slow::from_bits(flags.0),
            options.except,
        );
        // Only whoever would have got it is one less.
        let would_get = |member: &Member| {
            port.is_none_or(|port| member.port == port)
                && group
                    .as_ref()
                    .is_none_or(|group| member.is_in(ChannelKind::Group, &group.name))
                && uids.is_none_or(|uids| {
                    member
                        .uid()
                        .is_some_and(|uid| uids.iter().any(|other| **other == *uid))
                })
        };
        let excepted = post
            .except
            .iter()
            .filter_map(|id| self.registry.get(*id))
            .filter(|member| would_get(member))
            .count();
        carrier.fan_out(&Arc::new(Fanout {
            target,
            post: Some(Arc::new(post)),
            _claim: claim,
        }));
        count.saturating_sub(excepted) as u32
    }

    /// Says whose connection it is. False when it is gone, or the name is none.
    pub(crate) fn bind(
        &self,
        carrier: &mut dyn Carrier,
        member: &Arc<Member>,
        uid: Option<&str>,
    ) -> bool {
        if self.registry.bind(member, uid).is_err() {
            return false;
        }
        let own = &self.config.ports[usize::from(member.port)].dispatch;
        if uid.is_some() && *own.as_ref().unwrap_or(&self.config.dispatch) == DispatchConfig::Uid {
            let words = about(member, CommandKind::SocketRebalance);
            carrier.command(member.place.reactor, words, &[]);
        }
        true
    }

    /// Sends a packet by a UDP port to an IP address and port, or to the path of a unix socket. False when there is no such UDP
    /// port, when it cannot reach such an address, or the packet is too large.
    pub(crate) fn send_packet_to(
        &self,
        carrier: &mut dyn Carrier,
        port: u16,
        address: &str,
        udp_port: u16,
        data: &[u8],
    ) -> bool {
        let Some(family) = self.packet_family(port) else {
            return false;
        };
        let peer = match family {
            PeerFamily::Unix => Peer::unix(address.as_bytes()),
            PeerFamily::V4 | PeerFamily::V6 => match parse_address(address, udp_port) {
                Some(address) => Peer::new(address, None),
                None => return false,
            },
        };
        if !peer.is_reachable_by(family) || data.len() > family.packet_bytes() {
            return false;
        }
        let mut body = Vec::new();
        let words = peer.write(
            Words::command(CommandKind::PacketSend, 0, 0).with_port(port),
            &mut body,
        );
        body.extend_from_slice(data);
        carrier.command(self.packet_reactor(port), words, &body)
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
            carrier.command(member.place.reactor, words, &[])
        } else {
            let words = about(member, CommandKind::SocketClose).with_detail(u32::from(code));
            carrier.command(member.place.reactor, words, reason.as_bytes())
        }
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

    /// What the connection with this id is: 0 none, 2 an open WebSocket, 3 an event stream, 4 one of a TCP port.
    pub(crate) fn connection_kind(&self, id: u64) -> u32 {
        match self.registry.get(id) {
            Some(member) if member.is_open() => match member.kind {
                MemberKind::WebSocket => 2,
                MemberKind::EventStream => 3,
                MemberKind::Tcp => 4,
            },
            _ => 0,
        }
    }
}
