//! Calls of tasks, from the shared timers to workers.

use sluice_core::id::WorkerSlot;
use sluice_core::timer::{CallId, Due, IN_HAND_MAX, NamedTimers};
use sluice_shared::record::{EventKind, RECORD_HEADER_BYTES, Words};

use super::Engine;
use crate::lane::EventLane;
use crate::timers::CARRIER;

/// Bytes of an event ring that may be unread for another call to go there: requests must not wait behind a crowd of them.
const RING_SHARE: u32 = 256 * 1024;

/// What the carrier knows of calls.
#[derive(Default)]
pub(super) struct Calls {
    /// Something happened that may let waiting calls go.
    pub(super) retry: bool,
    /// Some wait that no worker could take; tried again with every pass, as each may be one in which a worker has read on.
    pub(super) is_blocked: bool,
    /// Whose turn it is among workers that have equally much to do.
    turn: usize,
}

impl Engine {
    /// Hands calls that wait to workers.
    pub(super) fn deliver_calls(&mut self) {
        // A server that stops begins nothing new.
        if !std::mem::take(&mut self.calls.retry) || self.id != CARRIER || self.stopping {
            return;
        }
        let shared = std::sync::Arc::clone(&self.shared);
        let is_done = shared.timers.deliver(|timers, id, call| {
            let slot = self.choose_for_call(timers, &call)?;
            self.hand_over_call(slot, id, &call).then_some(slot)
        });
        self.calls.is_blocked = !is_done;
    }

    /// The worker with the least in its hands.
    fn choose_for_call(&mut self, timers: &NamedTimers, call: &Due<'_>) -> Option<WorkerSlot> {
        let record = RECORD_HEADER_BYTES + (call.task.len() + call.input.len()) as u32;
        let count = self.active.len();
        let mut least: Option<(u32, usize)> = None;
        for step in 0..count {
            let at = (self.calls.turn + step) % count;
            let slot = self.active[at].slot;
            let in_hand = timers.in_hand(slot);
            let load = in_hand + self.shared.workers.inflight(slot);
            let is_less = least.is_none_or(|(other, _)| load < other);
            let lane = self.events.get_mut(slot.index()).and_then(Option::as_mut);
            if in_hand < IN_HAND_MAX && is_less && lane.is_some_and(|lane| lane.takes_call(record))
            {
                least = Some((load, at));
            }
        }
        let (_, at) = least?;
        self.calls.turn = at + 1;
        Some(self.active[at].slot)
    }

    fn hand_over_call(&mut self, slot: WorkerSlot, id: CallId, call: &Due<'_>) -> bool {
        let Some(lane) = self.events.get_mut(slot.index()).and_then(Option::as_mut) else {
            return false;
        };
        let words = Words::event(EventKind::Task, 0)
            .with_call(id, call.task.len() as u32)
            .with_event_body_len(call.input.len() as u32);
        if lane
            .push(words, &[call.task.as_bytes(), call.input])
            .is_err()
        {
            self.counters.ring_full += 1;
            return false;
        }
        // Until it is over the worker is not drained.
        self.shared.workers.guard(slot);
        self.counters.dispatch_count += 1;
        true
    }

    /// Takes the calls from a dead worker; those that it had not begun go to another.
    pub(super) fn take_calls(&mut self, slot: WorkerSlot) {
        if self.id != CARRIER {
            return;
        }
        for _ in 0..self.shared.timers.worker_gone(slot) {
            // It is gone: that nothing is in its hands is no news.
            self.shared.workers.unguard(slot);
        }
        self.calls.retry = true;
    }
}

impl EventLane {
    /// Whether a call of `record` bytes may be written now. If not, the worker is asked for space.
    fn takes_call(&mut self, record: u32) -> bool {
        // Once more after the question: the worker may have read on before it could see it.
        for is_asked in [false, true] {
            if is_asked {
                self.ask_for_space();
            }
            let used = self.ring.position().wrapping_sub(self.ring.consumed());
            if used == 0 || used + record <= RING_SHARE {
                return true;
            }
        }
        false
    }
}
