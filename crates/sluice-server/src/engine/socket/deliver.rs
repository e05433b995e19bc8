//! From messages to the worker that owns their connection.

use bytes::Bytes;
use sluice_core::id::{ReactorId, WorkerSlot};
use sluice_shared::record::{EventKind, Words, event_flag};

use super::Engine;
use crate::delivery::{Delivery, Event};
use crate::lane::EventLane;
use crate::socket::Owner;

/// A message up to this size travels inside its record; above, it waits to be fetched.
const INLINE_MESSAGE: usize = 4 * 1024;

impl Engine {
    /// Hands over what waits, as far as the connection has a worker, which is not busy and has room for it.
    pub(in crate::engine) fn deliver_waiting(&mut self, slot: u32) {
        loop {
            let Some(socket) = self.socket_of(slot) else {
                return;
            };
            if socket.delivery.is_empty() {
                break;
            }
            let worker = match socket.owner {
                Owner::Worker(worker) => worker,
                Owner::Leaving(_) => return,
                Owner::None => {
                    if socket.is_event_stream() {
                        // Its worker has let go of it, and no other one knows it.
                        return socket.delivery.forget();
                    }
                    if !self.adopt_socket(slot) {
                        return;
                    }
                    continue;
                }
            };
            let words = self.socket_words(EventKind::SocketMessage, 0, slot);
            let Self {
                connections,
                events,
                ..
            } = self;
            let (Some(socket), Some(lane)) = (
                connections[slot as usize]
                    .as_deref_mut()
                    .and_then(|connection| connection.socket.as_deref_mut()),
                events.get_mut(worker.index()).and_then(Option::as_mut),
            ) else {
                return;
            };
            if !socket.delivery.may_burst(lane.consumed()) {
                lane.ask_for_space();
                // Once more: it may have read on before it could see that we wait.
                if !socket.delivery.may_burst(lane.consumed()) {
                    return self.wait_for_room(slot);
                }
            }
            let Some((number, event)) = socket.delivery.due() else {
                return;
            };
            let epoch = socket.delivery.epoch();
            match push(lane, words, slot, number, epoch, &event) {
                Some(place) => socket.delivery.handed(event.payload.len(), place),
                None => {
                    socket.delivery.put_back(number, event);
                    self.counters.ring_full += 1;
                    return self.wait_for_room(slot);
                }
            }
        }
        let Some(connection) = self.connections[slot as usize].as_deref() else {
            return;
        };
        // There may be input that was not read because too much waited.
        if connection.stalled || !connection.input.is_empty() {
            self.mark_dirty(slot);
        }
        self.peer_ends(slot);
    }

    /// Tries again when the worker has read on.
    fn wait_for_room(&mut self, slot: u32) {
        self.block_on_ring(slot);
        let now = self.now;
        let generation = self.generations[slot as usize];
        // Then it is flushed, which is where it goes on; but not if its own socket takes nothing or is gone. The next tick
        // looks at those.
        if let Some(socket) = self.socket_of(slot)
            && !std::mem::replace(&mut socket.is_retrying, true)
        {
            self.paced.push((slot, generation, now));
        }
    }

    /// The worker's handlers are busy, or no longer.
    pub(in crate::engine) fn pause_socket(&mut self, slot: u32) {
        if let Some(socket) = self.socket_of(slot) {
            socket.delivery.pause();
        }
    }

    pub(in crate::engine) fn resume_socket(&mut self, slot: u32, next: u32) {
        if let Some(socket) = self.socket_of(slot) {
            socket.delivery.resume(next);
            self.deliver_waiting(slot);
            self.mark_dirty(slot);
        }
    }

    /// A message comes back from the worker that owns its connection.
    pub(in crate::engine) fn return_event(
        &mut self,
        slot: u32,
        worker: WorkerSlot,
        words: Words,
        payload: Bytes,
    ) {
        let word = words.returned();
        let flags = (word >> 8) as u8;
        let is_close = word as u8 == EventKind::SocketClose as u8;
        let payload = if !is_close && flags & event_flag::MESSAGE_BLOB != 0 {
            self.lane(worker)
                .and_then(|lane| lane.shared.take_message(slot, words.sequence()))
                .unwrap_or(payload)
        } else {
            payload
        };
        let event = Event {
            detail: words.detail(),
            flags: flags & (event_flag::FIN | event_flag::COMPRESSED),
            is_close,
            payload,
        };
        if let Some(socket) = self.socket_of(slot) {
            socket.delivery.returned(words.sequence(), event);
            self.deliver_waiting(slot);
        }
    }
}

/// Hands a message straight to its worker, without a copy of its own. False when it has to wait.
#[expect(
    clippy::too_many_arguments,
    reason = "the hot path: parts of an engine that is borrowed already"
)]
pub(super) fn hand_over(
    events: &mut [Option<EventLane>],
    worker: WorkerSlot,
    slot: u32,
    reactor: u8,
    generation: u32,
    delivery: &mut Delivery,
    (detail, flags): (u32, u8),
    payload: &[u8],
) -> bool {
    let Some(lane) = events.get_mut(worker.index()).and_then(Option::as_mut) else {
        return false;
    };
    if payload.len() > INLINE_MESSAGE || !delivery.is_clear(lane.consumed()) {
        return false;
    }
    let epoch = if delivery.epoch() {
        event_flag::EPOCH
    } else {
        0
    };
    let words = Words::event(EventKind::SocketMessage, flags | epoch)
        .with_connection(slot, ReactorId(reactor))
        .with_socket(slot, generation)
        .with_detail(detail)
        .with_event_body_len(payload.len() as u32)
        .with_sequence(delivery.number());
    match lane.push(words, &[payload]) {
        Ok(place) => {
            delivery.handed(payload.len(), place);
            true
        }
        Err(_) => false,
    }
}

/// Appends the record of an event. `None` when there is no room.
fn push(
    lane: &mut EventLane,
    words: Words,
    slot: u32,
    number: u32,
    epoch: bool,
    event: &Event,
) -> Option<u64> {
    let kind = if event.is_close {
        EventKind::SocketClose
    } else {
        EventKind::SocketMessage
    };
    let epoch = if epoch { event_flag::EPOCH } else { 0 };
    let is_blob = event.payload.len() > INLINE_MESSAGE;
    let blob = if is_blob { event_flag::MESSAGE_BLOB } else { 0 };
    let words = words
        .with_kind(kind, event.flags | epoch | blob)
        .with_detail(event.detail)
        .with_event_body_len(event.payload.len() as u32)
        .with_sequence(number);
    let inline: &[u8] = if is_blob { &[] } else { &event.payload };
    let place = lane.push(words, &[inline]).ok()?;
    if is_blob {
        lane.shared.put_message(slot, number, event.payload.clone());
    }
    Some(place)
}
