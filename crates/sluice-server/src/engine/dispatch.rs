//! From exchanges to workers: choosing, waiting for one, and the event rings.

use std::net::SocketAddr;
use std::sync::Arc;

use sluice_core::dispatch::{Candidate, Facts};
use sluice_core::id::WorkerSlot;
use sluice_shared::record::{AdoptReason, Handshake, Words, event_flag};

use super::Engine;
use crate::http1::{Field, Reject, RequestHead};
use crate::lane::{CommandLane, EventLane};
use crate::pending::Stage;
use crate::worker::WorkerLink;

impl Engine {
    pub(super) fn attach_worker(
        &mut self,
        slot: WorkerSlot,
        events: EventLane,
        commands: CommandLane,
    ) {
        let index = slot.index();
        if self.events.len() <= index {
            self.events.resize_with(index + 1, || None);
            self.commands.resize_with(index + 1, || None);
        }
        self.events[index] = Some(events);
        self.commands[index] = Some(commands);
    }

    /// The dispatcher may choose this worker from now on.
    pub(super) fn activate(&mut self, slot: WorkerSlot, home: u16) {
        let Some(lane) = self.events.get_mut(slot.index()).and_then(Option::as_mut) else {
            return;
        };
        if !lane.active {
            lane.active = true;
            lane.home = home;
            self.active.push(Candidate { slot, home });
            self.retry_waiting = true;
            self.packets.retry = true;
            self.deliver_orphans();
        }
    }

    /// The dispatcher does not choose this worker any more; it keeps what it has.
    pub(super) fn deactivate(&mut self, slot: WorkerSlot, reason: AdoptReason) {
        self.active.retain(|candidate| candidate.slot != slot);
        let Some(lane) = self.events.get_mut(slot.index()).and_then(Option::as_mut) else {
            return;
        };
        if !std::mem::take(&mut lane.active) {
            return;
        }
        lane.reason = reason;
        // The guard ends once: here, with the last connection that the worker lets go of, or with its death.
        if !self.hand_over_sockets(slot) {
            if let Some(lane) = self.events.get_mut(slot.index()).and_then(Option::as_mut) {
                lane.leaving = true;
            }
        } else if self.shared.workers.unguard(slot) {
            self.shared.drained(slot);
        }
    }

    /// The value that `dispatch: { key }` looks at, taken from the record because the head parsed last may be another's.
    pub(super) fn dispatch_key(
        &self,
        port: u16,
        head: &RequestHead,
        bytes: &[u8],
    ) -> Option<Box<[u8]>> {
        let rule = self.dispatchers[usize::from(port)].key_rule()?;
        let target = head.target_bytes(bytes);
        let field = |name: &str| {
            head.fields
                .iter()
                .find(|field| is_named(field, head, bytes, name))
                .map(|field| head.bytes(bytes, field.value))
        };
        rule.extract(target, field).map(Box::from)
    }

    /// Hands an exchange to a worker, or puts it in the queue until one can take it. Refuses it when none will.
    pub(super) fn assign(&mut self, index: u32) {
        if self.is_deserted() {
            return self.refuse_deserted(index);
        }
        if self.waiting.is_empty() && self.try_assign(index) {
            return;
        }
        let Some(exchange) = self.pending.get_mut(index) else {
            return;
        };
        exchange.stage = Stage::Waiting;
        exchange.worker = None;
        let generation = exchange.generation;
        let slot = exchange.connection;
        let timeout = self.connections[slot as usize]
            .as_deref()
            .map_or(0, |connection| {
                self.port_limits(connection.port).queue_timeout
            });
        self.pending.set_deadline(index, self.now + timeout);
        // Clients that left the queue are in it still; no more of them than of those who wait.
        if self.waiting.len() > 64 && self.waiting.len() > 2 * self.pending.len() {
            let pending = &self.pending;
            self.waiting
                .retain(|&(index, generation)| pending.is_waiting(index, generation));
        }
        self.waiting.push_back((index, generation));
    }

    /// Hands waiting exchanges to workers, oldest first.
    pub(super) fn dispatch_waiting(&mut self) {
        if !std::mem::take(&mut self.retry_waiting) || self.waiting.is_empty() {
            return;
        }
        if self.is_deserted() {
            for (index, generation) in std::mem::take(&mut self.waiting) {
                if self.pending.is_waiting(index, generation) {
                    self.refuse_deserted(index);
                }
            }
            return;
        }
        for _ in 0..self.waiting.len() {
            let Some((index, generation)) = self.waiting.pop_front() else {
                break;
            };
            if self.pending.is_waiting(index, generation) && !self.try_assign(index) {
                self.waiting.push_front((index, generation));
                // Under a sticky rule one full worker says nothing about the others, but keeping the order
                // is worth more than overtaking: the head waits at most `queueTimeout`.
                break;
            }
        }
    }

    /// Nobody is left, and nobody will come: a server that stops starts no workers, so waiting would be in vain.
    fn is_deserted(&self) -> bool {
        self.stopping && self.active.is_empty()
    }

    fn refuse_deserted(&mut self, index: u32) {
        let reject = Reject::Stopping;
        self.refuse(index, reject.status(), reject.name());
    }

    fn try_assign(&mut self, index: u32) -> bool {
        let Some(exchange) = self.pending.get_mut(index) else {
            return true;
        };
        let Some(connection) = self.connections[exchange.connection as usize].as_deref_mut() else {
            return true;
        };
        let port = usize::from(connection.port);
        let limits = &self.limits[port].0;
        let facts = Facts {
            peer: connection.peer.as_ref().map(SocketAddr::ip),
            connection_worker: connection.worker,
            key: exchange.key.as_deref(),
            uid: None,
        };
        let workers = &self.shared.workers;
        let events = &self.events;
        let is_handshake = exchange.words.handshake() == Handshake::Valid;
        let chosen = self.dispatchers[port].choose(
            &facts,
            &self.active,
            // A connection stays with the worker that its handshake goes to: its load is its connections.
            |slot| {
                let owned = match events.get(slot.index()) {
                    Some(Some(lane)) if is_handshake => lane.owned as u32,
                    _ => 0,
                };
                workers.inflight(slot) + owned
            },
            // Connections are not bound by it.
            if is_handshake {
                u32::MAX
            } else {
                limits.worker_concurrency
            },
        );
        let Some(slot) = chosen.filter(|&slot| workers.inflight(slot) < limits.worker_concurrency)
        else {
            return false;
        };
        let Some(lane) = self.events.get_mut(slot.index()).and_then(Option::as_mut) else {
            return false;
        };
        exchange.words = exchange.words.with_exchange(index, exchange.generation);
        let Ok(position) = lane.push(exchange.words, &[&exchange.record]) else {
            self.counters.ring_full += 1;
            return false;
        };
        if let Some(blob) = &exchange.blob {
            lane.shared
                .put_blob(index, exchange.generation, blob.clone());
        }
        exchange.position = position;
        exchange.stage = Stage::Dispatched;
        exchange.worker = Some(slot);
        connection.worker = Some(slot);
        workers.begin(slot);
        self.counters.dispatch_count += 1;
        let told = exchange.told.take();
        self.await_answer(index);
        if let Some(reason) = told {
            // It was told to nobody, or to a worker that is dead by now.
            self.abort(index, reason);
        }
        true
    }

    /// Sends a payload-free record to the worker that holds an exchange.
    pub(super) fn signal(&mut self, index: u32, words: Words) {
        let Some(worker) = self.pending.get(index).and_then(|exchange| exchange.worker) else {
            return;
        };
        if let Some(lane) = self.events.get_mut(worker.index()).and_then(Option::as_mut) {
            lane.push_signal(words);
        }
    }

    /// Remembers a connection that has body bytes and no room for them.
    pub(super) fn block_on_ring(&mut self, slot: u32) {
        if let Some(connection) = self.connections[slot as usize].as_deref_mut()
            && !connection.ring_blocked
        {
            connection.ring_blocked = true;
            self.ring_blocked.push(slot);
        }
    }

    /// Tries again what found an event ring full.
    pub(super) fn unblock_rings(&mut self) {
        for lane in self.events.iter_mut().flatten() {
            self.packets.retry |= lane.takes_packets_again();
            lane.drain_overflow();
        }
        if !self.waiting.is_empty() {
            self.retry_waiting = true;
        }
        if self.ring_blocked.is_empty() {
            return;
        }
        for slot in std::mem::take(&mut self.ring_blocked) {
            if let Some(connection) = self.connection(slot)
                && std::mem::take(&mut connection.ring_blocked)
            {
                let has_socket = connection.socket.is_some();
                if has_socket {
                    // What waits may be all there is: the end of a connection that will not be read again.
                    self.deliver_waiting(slot);
                }
                // Goes on with its input, and then reads its socket again.
                self.mark_dirty(slot);
            }
        }
    }

    /// Shows workers their records, and notes in `wakes` whom to wake. That is for the caller to do when it has let go of
    /// the engine: a worker that wakes at once on another core would only run into its lock.
    pub(super) fn publish_events(&mut self, wakes: &mut Vec<Arc<WorkerLink>>) {
        for lane in self.events.iter_mut().flatten() {
            if lane.publish() {
                wakes.push(Arc::clone(&lane.link));
            }
        }
    }

    /// The words of a replay: the same request, marked.
    pub(super) fn mark_replay(&mut self, index: u32) {
        if let Some(exchange) = self.pending.get_mut(index) {
            exchange.replayed = true;
            exchange.words = exchange.words.with_flag(event_flag::REPLAY);
        }
    }

    /// The blob of an exchange is no longer wanted.
    pub(super) fn drop_blob(&self, worker: WorkerSlot, index: u32) {
        if let Some(lane) = self.events.get(worker.index()).and_then(Option::as_ref) {
            lane.shared.drop_blob(index);
        }
    }
}

fn is_named(field: &Field, head: &RequestHead, bytes: &[u8], name: &str) -> bool {
    head.bytes(bytes, field.name)
        .eq_ignore_ascii_case(name.as_bytes())
}
