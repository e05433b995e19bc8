//! Which worker gets a connection's events, and how it passes from one to another.
//!
//! A connection that its worker has let go of stays without one until there is something to tell: then a new worker
//! adopts it. So a reload costs an idle connection one record.

use std::net::SocketAddr;

use bytes::Bytes;
use sluice_core::dispatch::Facts;
use sluice_core::id::WorkerSlot;
use sluice_shared::record::{AdoptReason, EventKind, event_flag};

use super::Engine;
use crate::delivery::Event;
use crate::lane::EventLane;
use crate::socket::Owner;

impl Engine {
    /// Gives the connection to the worker that the port's rule chooses. False when there is none to give it to.
    pub(super) fn adopt_socket(&mut self, slot: u32) -> bool {
        let Some(worker) = self.choose_owner(slot) else {
            return false;
        };
        self.give_socket(slot, worker);
        true
    }

    /// Makes a worker the owner of a connection that has none.
    fn give_socket(&mut self, slot: u32, worker: WorkerSlot) {
        let words = self
            .socket_words(EventKind::SocketAdopt, 0, slot)
            .with_port(self.port_of(slot));
        let Some(socket) = self.socket_of(slot) else {
            return;
        };
        socket.delivery.start_over();
        socket.is_asked = false;
        socket.owner = Owner::Worker(worker);
        let words = words
            .with_id(socket.member.id.0)
            .with_sequence(socket.delivery.cursor());
        let is_new = !std::mem::replace(&mut socket.is_opened, true);
        let words = if is_new {
            words.with_kind(EventKind::SocketOpen, 0)
        } else {
            let (home, reason) = socket.from;
            words.with_detail(reason as u32 | u32::from(home) << 8)
        };
        self.counters.adoptions += u64::from(!is_new);
        if let Some(lane) = self.lane(worker) {
            lane.owned += 1;
            lane.push_signal(words);
        }
    }

    /// The worker that is to own a connection, by the rule of its port. Its load are the connections that it owns here.
    fn choose_owner(&mut self, slot: u32) -> Option<WorkerSlot> {
        let connection = self.connections.get(slot as usize)?.as_deref()?;
        let port = usize::from(connection.port);
        let dispatcher = self.dispatchers.get_mut(port)?;
        let uid = connection
            .socket
            .as_deref()
            .filter(|_| dispatcher.needs_uid())
            .and_then(|socket| socket.member.uid());
        let facts = Facts {
            peer: connection.peer.as_ref().map(SocketAddr::ip),
            uid: uid.as_deref().map(str::as_bytes),
            ..Facts::default()
        };
        let events = &self.events;
        let owned = |slot: WorkerSlot| match events.get(slot.index()) {
            Some(Some(lane)) => lane.owned as u32,
            _ => u32::MAX,
        };
        dispatcher.choose(&facts, &self.active, owned, u32::MAX)
    }

    /// A connection was bound to a uid: it goes to the worker that has the others of this uid, if that is the rule.
    pub(super) fn rebalance_socket(&mut self, slot: u32) {
        let Some(socket) = self.socket_of(slot) else {
            return;
        };
        let Owner::Worker(owner) = socket.owner else {
            return;
        };
        // An event stream is of its handler's making: nobody else knows it.
        if socket.is_event_stream() {
            return;
        }
        let chosen = self.choose_owner(slot);
        if chosen.is_none_or(|chosen| chosen == owner) {
            return;
        }
        if let Some(socket) = self.socket_of(slot) {
            socket.owner = Owner::Leaving(owner);
            socket.is_rebalanced = true;
        }
        self.socket_signal(slot, EventKind::SocketHandover);
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
        socket.from = match std::mem::take(&mut socket.is_rebalanced) {
            true => (from.0, AdoptReason::Rebalance),
            false => from,
        };
        self.disown(worker);
        self.deliver_waiting(slot);
        self.peer_ends(slot);
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
        let mut unopened = Vec::new();
        let mut is_executing = current.is_some();
        let mut lost = 0;
        lane.unread(current.unwrap_or(lane.ring.consumed()), |words, payload| {
            let kind = words.kind();
            let is_close = kind == EventKind::SocketClose as u8;
            let is_message = kind == EventKind::SocketMessage as u8;
            let is_open = kind == EventKind::SocketOpen as u8;
            // The first one is what it was executing.
            if std::mem::take(&mut is_executing) {
                lost = u64::from(is_message);
                return;
            }
            if is_open {
                unopened.push((words.connection(), words.generation()));
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
        for (slot, generation) in unopened {
            if self.generations.get(slot as usize) == Some(&generation)
                && let Some(socket) = self.socket_of(slot)
                && socket.is_tcp()
                && socket.owner.worker() == Some(worker)
            {
                socket.is_opened = false;
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
            socket.is_rebalanced = false;
            socket.owner = Owner::None;
            socket.from = (lane.home, reason);
            if !socket.is_opened {
                self.adopt_socket(slot);
            }
            self.deliver_waiting(slot);
            self.peer_ends(slot);
            self.free_socket(slot);
        }
    }

    /// A worker can be chosen again: hands over what found none.
    pub(in crate::engine) fn deliver_orphans(&mut self) {
        for slot in 0..self.connections.len() as u32 {
            if let Some(socket) = self.socket_of(slot)
                && socket.owner == Owner::None
            {
                if !socket.is_opened {
                    self.adopt_socket(slot);
                }
                self.deliver_waiting(slot);
                self.peer_ends(slot);
            }
        }
    }
}
