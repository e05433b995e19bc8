//! Reaching connections from any thread that is no worker.

use sluice_core::channel::ChannelKind;

use super::Server;
use crate::connection_info::ConnectionInfo;
use crate::push::{BroadcastOptions, Inboxes, KickTarget, MessageKind, PostFlags};

impl Server {
    /// Sends to any connection, by id: bytes taken, -1 taken although much is unsent, 0 not taken.
    pub fn push_to(&self, id: u64, data: &[u8], kind: MessageKind) -> i32 {
        let carrier = &mut Inboxes(&self.shared);
        self.shared.push_to(carrier, id, data, kind)
    }

    /// Sends a packet by a UDP port to an IP address and port, or to the path of a unix socket. False when there is no such UDP
    /// port, when it cannot reach such an address, or the packet is too large.
    pub fn send_to(&self, port: u16, address: &str, udp_port: u16, data: &[u8]) -> bool {
        let carrier = &mut Inboxes(&self.shared);
        self.shared
            .send_packet_to(carrier, port, address, udp_port, data)
    }

    /// Closes any connection, by id. False when there is none.
    pub fn close_by_id(&self, id: u64, code: u16, reason: &str, terminate: bool) -> bool {
        self.shared.registry.get(id).is_some_and(|member| {
            let carrier = &mut Inboxes(&self.shared);
            self.shared
                .close_one(carrier, &member, code, reason, terminate)
        })
    }

    /// Sends to a channel; returns how many connections were in it.
    pub fn publish(
        &self,
        channel: ChannelKind,
        name: &str,
        data: &[u8],
        kind: MessageKind,
        flags: PostFlags,
        except: Option<u64>,
    ) -> u32 {
        let carrier = &mut Inboxes(&self.shared);
        self.shared
            .publish(carrier, channel, name, data, kind, flags, except)
    }

    /// Sends to every WebSocket that fits; returns how many may get it.
    pub fn broadcast(
        &self,
        options: BroadcastOptions,
        data: &[u8],
        kind: MessageKind,
        flags: PostFlags,
    ) -> u32 {
        let carrier = &mut Inboxes(&self.shared);
        self.shared.broadcast(carrier, options, data, kind, flags)
    }

    /// Closes every connection that fits; returns how many that are.
    pub fn kick(&self, target: &KickTarget, code: u16, reason: &str) -> u32 {
        self.shared
            .kick(&mut Inboxes(&self.shared), target, code, reason)
    }

    /// Says whose connection it is; `None`: nobody's. False when there is none with this id.
    pub fn bind_uid(&self, id: u64, uid: Option<&str>) -> bool {
        let shared = &self.shared;
        let member = shared.registry.get(id);
        member.is_some_and(|member| shared.bind(&mut Inboxes(shared), &member, uid))
    }

    /// The WebSocket or event stream with this id. Waits for its reactor's current pass.
    pub fn connection(&self, id: u64) -> Option<ConnectionInfo> {
        let member = self.shared.registry.get(id)?;
        let reactor = self.reactors.get(usize::from(member.place.reactor))?;
        reactor.lock().socket_info(&member.place)
    }

    /// What the connection with this id is: 0 none, 2 an open WebSocket, 3 an event stream.
    pub fn connection_kind(&self, id: u64) -> u32 {
        self.shared.connection_kind(id)
    }

    /// Ids of WebSockets and event streams after `after`, ascending; of one port, or of all.
    pub fn connection_ids(&self, port: Option<u16>, after: u64, limit: usize) -> Vec<u64> {
        self.shared.registry.ids(port, after, limit)
    }

    /// How many WebSockets and event streams there are, on one port or on all.
    pub fn connection_count(&self, port: Option<u16>) -> usize {
        self.shared.registry.count(port)
    }

    /// How many connections a channel has.
    pub fn channel_size(&self, kind: ChannelKind, name: &str) -> usize {
        self.shared.registry.channel_size(kind, name)
    }
}
