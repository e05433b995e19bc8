//! Which worker gets a connection's events, and how it passes from one to another.
//!
//! A connection that its worker has let go of stays without one until there is something to tell: then a new worker
//! adopts it. So a reload costs an idle connection one record.

use bytes::Bytes;
use sluice_core::id::WorkerSlot;
use sluice_shared::record::{AdoptReason, EventKind, event_flag};

use super::Engine;
use crate::delivery::Event;
use crate::lane::EventLane;
use crate::socket::Owner;

impl Engine {
    /// Gives the connection to the worker with the fewest. False when there is none to give it to.
    pub(super) fn adopt_socket(&mut self, slot: u32) -> bool {
        let Some(worker) = self.least_owning_worker() else {
            return false;
        };
        let words = self
            .socket_words(EventKind::SocketAdopt, 0, slot)
            .with_port(self.port_of(slot));
        let Some(socket) = self.socket_of(slot) else {
            return false;
        };
        socket.delivery.start_over();
        socket.is_asked = false;
        socket.owner = Owner::Worker(worker);
        let (home, reason) = socket.from;
        let words = words
            .with_detail(reason as u32 | u32::from(home) << 8)
            .with_id(socket.member.id.0)
            .with_sequence(socket.delivery.cursor());
        self.counters.adoptions += 1;
        if let Some(lane) = self.lane(worker) {
            lane.owned += 1;
            lane.push_signal(words);
        }
        true
    }

    /// The active worker that owns the fewest connections of this reactor.
    pub(in crate::engine) fn least_owning_worker(&self) -> Option<WorkerSlot> {
        self.active
            .iter()
            .map(|candidate| candidate.slot)
            .min_by_key(|slot| {
                self.events
                    .get(slot.index())
                    .and_then(Option::as_ref)
                    .map_or(usize::MAX, |lane| lane.owned)
            })
    }

    /// Adds to `owned`, by slot, how many connections each worker owns here.
    pub(crate) fn count_owned(&self, owned: &mut Vec<usize>) {
        if owned.len() < self.events.len() {
            owned.resize(self.events.len(), 0);
        }
        for (count, lane) in owned.iter_mut().zip(&self.events) {
            *count += lane.as_ref().map_or(0, |lane| lane.owned);
        }
    }

    /// The logical number of a worker.
    pub(crate) fn home_of(&self, worker: WorkerSlot) -> Option<u16> {
        let lane = self.events.get(worker.index())?.as_ref()?;
        Some(lane.home)
    }

    /// Asks a worker that is to go for all its connections. True when it has none.
    pub(in crate::engine) fn hand_over_sockets(&mut self, worker: WorkerSlot) -> bool {
        if self.lane(worker).is_none_or(|lane| lane.owned == 0) {
            return true;
        }
        for slot in 0..self.connections.len() as u32 {
            if let Some(socket) = self.socket_of(slot)
                && socket.owner == Owner::Worker(worker)
            {
                socket.owner = Owner::Leaving(worker);
                self.socket_signal(slot, EventKind::SocketHandover);
            }
        }
        false
    }

    /// A worker has let go of a connection: it has handled everything before `next`.
    pub(in crate::engine) fn release_socket(&mut self, slot: u32, worker: WorkerSlot, next: u32) {
        let from = self
            .lane(worker)
            .map_or((0, AdoptReason::Reload), |lane| (lane.home, lane.reason));
        let Some(socket) = self.socket_of(slot) else {
            return;
        };
        socket.delivery.resume(next);
        socket.owner = Owner::None;
        socket.from = from;
        self.disown(worker);
        self.deliver_waiting(slot);
        self.free_socket(slot);
    }

    /// The worker owns one connection less.
    pub(super) fn disown(&mut self, worker: WorkerSlot) {
        let Some(lane) = self.lane(worker) else {
            return;
        };
        lane.owned = lane.owned.saturating_sub(1);
        if lane.owned == 0
            && std::mem::take(&mut lane.leaving)
            && self.shared.workers.unguard(worker)
        {
            self.shared.drained(worker);
        }
    }

    /// Takes its connections from a worker that is dead. What it has not looked at waits for the next one; what it was
    /// handling is lost.
    pub(in crate::engine) fn take_sockets(
        &mut self,
        worker: WorkerSlot,
        lane: &EventLane,
        reason: AdoptReason,
    ) {
        let current = lane
            .link
            .block
            .current()
            .filter(|current| current.lane == self.id)
            .map(|current| current.position);
        let mut unread = Vec::new();
        let mut is_executing = current.is_some();
        let mut lost = 0;
        lane.unread(current.unwrap_or(lane.ring.consumed()), |words, payload| {
            let kind = words.kind();
            let is_close = kind == EventKind::SocketClose as u8;
            let is_message = kind == EventKind::SocketMessage as u8;
            // The first one is what it was executing.
            if std::mem::take(&mut is_executing) {
                lost = u64::from(is_message);
                return;
            }
            if is_close || is_message {
                let flags = words.flags();
                let payload = if !is_close && flags & event_flag::MESSAGE_BLOB != 0 {
                    lane.shared
                        .take_message(words.connection(), words.sequence())
                        .unwrap_or_default()
                } else {
                    let len = (words.event_body_len() as usize).min(payload.len());
                    Bytes::copy_from_slice(&payload[..len])
                };
                let event = Event {
                    detail: words.detail(),
                    flags: flags & (event_flag::FIN | event_flag::COMPRESSED),
                    is_close,
                    payload,
                };
                unread.push((
                    words.connection(),
                    words.generation(),
                    words.sequence(),
                    event,
                ));
            }
        });
        self.counters.messages_lost += lost;
        for (slot, generation, sequence, event) in unread {
            if self.generations.get(slot as usize) == Some(&generation)
                && let Some(socket) = self.socket_of(slot)
                && socket.owner.worker() == Some(worker)
            {
                socket.delivery.returned(sequence, event);
            }
        }
        for slot in 0..self.connections.len() as u32 {
            let Some(socket) = self.socket_of(slot) else {
                continue;
            };
            if socket.owner.worker() != Some(worker) {
                continue;
            }
            socket.delivery.start_over();
            socket.is_asked = false;
            socket.owner = Owner::None;
            socket.from = (lane.home, reason);
            self.deliver_waiting(slot);
            self.free_socket(slot);
        }
    }

    /// A worker can be chosen again: hands over what found none.
    pub(in crate::engine) fn deliver_orphans(&mut self) {
        for slot in 0..self.connections.len() as u32 {
            if let Some(socket) = self.socket_of(slot)
                && socket.owner == Owner::None
                && !socket.delivery.is_empty()
            {
                self.deliver_waiting(slot);
            }
        }
    }
}
