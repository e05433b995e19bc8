//! WebSockets, event streams and connections of TCP ports: what outlives a request, and the worker that it came to.

mod deliver;
mod end;
mod fan_out;
mod heartbeat;
mod open;
mod own;
mod receive;
mod resume;
mod send;
mod tcp;

use std::sync::Arc;

use sluice_core::id::{ReactorId, WorkerSlot};
use sluice_core::member::Member;
use sluice_shared::record::{EventKind, Words};

use super::Engine;
use crate::connection::Connection;
use crate::socket::Socket;

impl Engine {
    /// The connection in a slot with its socket, if it has one of this generation.
    fn socket(&mut self, slot: u32, generation: u32) -> Option<(&mut Connection, u32)> {
        if self.generations.get(slot as usize) != Some(&generation) {
            return None;
        }
        let connection = self.connections.get_mut(slot as usize)?.as_deref_mut()?;
        connection.socket.as_ref()?;
        Some((connection, slot))
    }

    pub(in crate::engine) fn socket_of(&mut self, slot: u32) -> Option<&mut Socket> {
        self.connections
            .get_mut(slot as usize)?
            .as_deref_mut()?
            .socket
            .as_deref_mut()
    }

    /// The connection with this id, if it has ended and its worker has still to be told.
    pub(crate) fn ended_member(&self, id: u64) -> Option<Arc<Member>> {
        self.connections
            .iter()
            .flatten()
            .filter(|connection| connection.id.0 == id)
            .find_map(|connection| connection.socket.as_deref())
            .map(|socket| Arc::clone(&socket.member))
    }

    /// The words of a record about the connection in a slot.
    fn socket_words(&self, kind: EventKind, flags: u8, slot: u32) -> Words {
        let generation = self.generations.get(slot as usize).copied().unwrap_or(0);
        Words::event(kind, flags)
            .with_connection(slot, ReactorId(self.id))
            .with_socket(slot, generation)
    }

    /// Sends a record without payload to the worker that owns the connection in a slot.
    fn socket_signal(&mut self, slot: u32, kind: EventKind) {
        let words = self.socket_words(kind, 0, slot);
        let worker = self
            .socket_of(slot)
            .and_then(|socket| socket.owner.worker());
        if let Some(lane) = worker.and_then(|worker| self.lane(worker)) {
            lane.push_signal(words);
        }
    }

    fn lane(&mut self, worker: WorkerSlot) -> Option<&mut crate::lane::EventLane> {
        self.events.get_mut(worker.index()).and_then(Option::as_mut)
    }
}
