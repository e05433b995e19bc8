//! From one message to the output of many connections.

use std::sync::Arc;

use bytes::Bytes;
use sluice_core::channel::{Channel, ChannelKind};

use super::Engine;
use super::send::COPIED;
use crate::connection::Connection;
use crate::fanout::{EventId, Fanout, Post, Slow, Target};
use crate::http1::answer;
use crate::session::Sent;
use crate::socket::{By, Ending, Latest, Protocol, Stage};

impl Engine {
    /// Gives a post to every connection of this reactor that it is meant for.
    pub(in crate::engine) fn fan_out(&mut self, fanout: &Fanout) {
        match (&fanout.target, &fanout.post) {
            (Target::Published, _) => self.fan_out_published(),
            (Target::Channel(channel), Some(post)) => self.fan_out_to(channel, post, None),
            (
                Target::Uids {
                    channels,
                    port,
                    group,
                },
                Some(post),
            ) => {
                let list = |id, members: &mut Vec<_>| {
                    for channel in channels {
                        channel.members_on(id, members);
                    }
                    // One that goes from one uid to another right now is in both lists.
                    members.sort_unstable();
                    members.dedup();
                };
                self.for_members(list, |engine, slot, generation| {
                    if engine.is_in_group(slot, group.as_deref()) {
                        engine.offer_on(*port, slot, generation, post);
                    }
                });
            }
            (Target::All { port, group }, Some(post)) => {
                if let Some(group) = group {
                    let list = |id, members: &mut Vec<_>| group.members_on(id, members);
                    self.for_members(list, |engine, slot, generation| {
                        engine.offer_on(*port, slot, generation, post);
                    });
                } else {
                    for slot in 0..self.connections.len() as u32 {
                        if port.is_none()
                            && self.socket_of(slot).is_none_or(|socket| socket.is_tcp())
                        {
                            continue;
                        }
                        let generation = self.generations[slot as usize];
                        self.offer_on(*port, slot, generation, post);
                    }
                }
            }
            (_, None) => {}
        }
    }

    /// Delivers what was published to topics with a history, in the order of its sequence, whichever reactor or worker
    /// said so first.
    fn fan_out_published(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut published = Vec::new();
        shared.registry.take_published(self.id, &mut published);
        for entry in published {
            let id = EventId {
                epoch: shared.started_unix_ms(),
                sequence: entry.sequence,
            };
            self.fan_out_to(&entry.channel, &entry.message, Some(id));
        }
    }

    fn fan_out_to(&mut self, channel: &Arc<Channel>, post: &Arc<Post>, id: Option<EventId>) {
        let list = |reactor, members: &mut Vec<_>| channel.members_on(reactor, members);
        self.for_members(list, |engine, slot, generation| {
            engine.offer(slot, generation, post, Some(channel), id);
        });
    }

    /// Calls `each` with the places that `list` finds on this reactor, in a list that is used again.
    fn for_members(
        &mut self,
        list: impl FnOnce(u8, &mut Vec<(u32, u32)>),
        mut each: impl FnMut(&mut Self, u32, u32),
    ) {
        let mut members = std::mem::take(&mut self.members);
        members.clear();
        list(self.id, &mut members);
        for &(slot, generation) in &members {
            each(self, slot, generation);
        }
        self.members = members;
    }

    /// Offers a post to a connection that takes messages, if it came by `port`. With neither a port nor a list of members that is
    /// asked for, only WebSockets are meant: devices on a TCP port speak a language of their own.
    fn offer_on(&mut self, port: Option<u16>, slot: u32, generation: u32, post: &Arc<Post>) {
        let fits = self.connections[slot as usize]
            .as_deref()
            .is_some_and(|connection| {
                port.is_none_or(|port| connection.port == port)
                    && connection
                        .socket
                        .as_deref()
                        .is_some_and(|socket| !socket.is_event_stream())
            });
        if fits {
            self.offer(slot, generation, post, None, None);
        }
    }

    fn is_in_group(&mut self, slot: u32, group: Option<&Channel>) -> bool {
        group.is_none_or(|group| {
            self.socket_of(slot)
                .is_some_and(|socket| socket.member.is_in(ChannelKind::Group, &group.name))
        })
    }

    /// Gives a post to one connection, unless it is left out or too slow for it.
    pub(super) fn offer(
        &mut self,
        slot: u32,
        generation: u32,
        post: &Arc<Post>,
        topic: Option<&Arc<Channel>>,
        id: Option<EventId>,
    ) {
        let Some((connection, _)) = self.socket(slot, generation) else {
            return;
        };
        let port = usize::from(connection.port);
        let unsent = connection.output.len();
        let is_blocked = connection.write_blocked;
        let Some(socket) = connection.socket.as_deref_mut() else {
            return;
        };
        if !post.except.is_empty() && post.excepts(socket.member.id.0) {
            return;
        }
        if socket.stage != Stage::Open {
            return self.record_missed(slot, post);
        }
        if let (Protocol::EventStream { seen, .. }, Some(id)) = (&mut socket.protocol, id) {
            if id.sequence <= *seen {
                return;
            }
            *seen = id.sequence;
        }
        let is_full = unsent > 0
            && unsent + post.message.payload().len() > self.limits[port].0.send_buffer as usize;
        match post.slow {
            Slow::Latest if is_blocked => {
                let same = |latest: &&mut Latest| match (&latest.topic, topic) {
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                    (None, None) => true,
                    _ => false,
                };
                let Some(socket) = self.socket_of(slot) else {
                    return;
                };
                match socket.latest.iter_mut().find(same) {
                    Some(latest) => {
                        latest.post = Arc::clone(post);
                        latest.id = id;
                        self.counters.messages_dropped += 1;
                    }
                    None => socket.latest.push(Latest {
                        topic: topic.map(Arc::clone),
                        post: Arc::clone(post),
                        id,
                    }),
                }
            }
            Slow::Drop if is_blocked => self.counters.messages_dropped += 1,
            Slow::Close if is_full => {
                self.cut_socket(slot, Ending::new(By::Overflow, 1013, "too slow"));
            }
            _ if is_full => self.counters.messages_dropped += 1,
            _ => self.append_post(slot, topic.map(Arc::as_ref), id, post),
        }
    }

    /// Writes a post into the output of a connection, in the form that it needs.
    pub(super) fn append_post(
        &mut self,
        slot: u32,
        topic: Option<&Channel>,
        id: Option<EventId>,
        post: &Arc<Post>,
    ) {
        let now = self.now;
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        if connection.output.wants_buffer() {
            connection
                .output
                .give_buffer(self.pool.pop().unwrap_or_default());
        }
        let is_blocked = connection.write_blocked;
        let Connection { socket, output, .. } = connection;
        let Some(socket) = socket.as_deref_mut() else {
            return;
        };
        socket.messages_out += 1;
        socket.last_sent = now;
        self.counters.messages_out += 1;
        if let Some(session) = socket.session.as_deref_mut() {
            session.record(Sent::Many(Arc::clone(post)));
        }
        match &mut socket.protocol {
            Protocol::WebSocket { compression, .. } => {
                let shared = compression
                    .as_deref_mut()
                    .filter(|_| post.compress)
                    .and_then(|compression| {
                        let deflater = self
                            .deflaters
                            .get(compression.level, compression.window_bits)?;
                        let frame = post
                            .message
                            .compressed_frame(deflater, compression.min_bytes)?;
                        if let Some(own) = &mut compression.own {
                            // The client's window now holds what this compressor does not know.
                            own.forget();
                        }
                        Some(frame)
                    });
                let frame = shared.unwrap_or_else(|| post.message.frame());
                append(output, frame);
            }
            Protocol::EventStream { named, chunked, .. } => {
                let event = post.event(topic.map_or("", |topic| &topic.name), id.as_ref(), *named);
                if *chunked {
                    answer::write_chunk_size(output.tail(), event.len());
                    append(output, event);
                    output.tail().extend_from_slice(b"\r\n");
                } else {
                    append(output, event);
                }
            }
            Protocol::Tcp { .. } => append(output, post.message.payload()),
        }
        if is_blocked {
            // Else it is written at the end of this pass, and counted by what is left then.
            socket.account(output.len());
        }
        self.appended(slot);
    }
}

fn append(output: &mut crate::output::Output, bytes: &Bytes) {
    if bytes.len() <= COPIED {
        output.tail().extend_from_slice(bytes);
    } else {
        output.push(bytes.clone());
    }
}
