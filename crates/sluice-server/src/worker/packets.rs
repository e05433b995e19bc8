//! Packets in the hands of a worker.

use sluice_shared::record::{CommandKind, Words};

use super::Worker;
use super::held::Lanes;

/// The peer of a packet, as its record names it.
#[derive(Clone, Copy, Debug)]
pub struct PacketPeer<'a> {
    /// [`packet_flag`](sluice_shared::record::packet_flag)s.
    pub flags: u8,
    /// The IPv4 address.
    pub peer: u32,
    /// The port of the peer.
    pub port: u16,
    /// The address of ours, 0 = as bound.
    pub local: u32,
    /// With flags: what stands in the record in place of an IPv4 address.
    pub address: &'a [u8],
}

impl Worker {
    /// Sends a packet to the peer of another one. False when it is too large, or there is no such UDP port.
    pub fn reply_packet(&mut self, lane: u32, port: u16, to: &PacketPeer<'_>, data: &[u8]) -> bool {
        let Some(family) = self.shared.packet_family(port) else {
            return false;
        };
        let Some(lane) = self.lanes.get_mut(lane as usize) else {
            return false;
        };
        if data.len() > family.packet_bytes() || !lane.shared.is_open() {
            return false;
        }
        let peer = if to.flags == 0 {
            to.peer
        } else {
            to.address.len() as u32
        };
        let words = Words::command(CommandKind::PacketSend, to.flags, 0)
            .with_port(port)
            .with_peer(peer, to.port, to.local)
            .with_command_body_len((to.address.len() + data.len()) as u32);
        lane.command(words, to.address, data);
        true
    }

    /// Sends a packet by a UDP port, from wherever: see [`Server::send_to`](crate::Server::send_to).
    pub fn send_to(&mut self, port: u16, address: &str, udp_port: u16, data: &[u8]) -> bool {
        let carrier = &mut Lanes(&mut self.lanes);
        self.shared
            .send_packet_to(carrier, port, address, udp_port, data)
    }

    /// Gives a packet back that no handler has begun; `record` is what was in the ring, words and all.
    pub fn return_packet(&mut self, lane: u32, record: &[u8]) -> bool {
        let words = Words::command(CommandKind::PacketReturn, 0, 0)
            .with_command_body_len(record.len() as u32);
        self.packet_command(lane, words, record)
    }

    /// No more packets of a port from a reactor, or packets again.
    pub fn pause_packets(&mut self, lane: u32, port: u16, yes: bool) -> bool {
        let kind = if yes {
            CommandKind::PacketPause
        } else {
            CommandKind::PacketResume
        };
        self.packet_command(lane, Words::command(kind, 0, 0).with_port(port), &[])
    }

    fn packet_command(&mut self, lane: u32, words: Words, body: &[u8]) -> bool {
        match self.lanes.get_mut(lane as usize) {
            Some(lane) if lane.shared.is_open() => {
                lane.command(words, &[], body);
                true
            }
            _ => false,
        }
    }
}
