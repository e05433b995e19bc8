//! Calls that have ended in a worker, until it tells of them.

use sluice_core::id::WorkerSlot;
use sluice_core::task::{CallId, Outcome, Payload};

use crate::tasks::State;

/// Ends that wait at most.
const ENDS_MAX: usize = 64;
/// Bytes of results after which they do not wait.
const BYTES_MAX: usize = 64 * 1024;

/// See the module. They are told in their order.
#[derive(Default)]
pub(crate) struct Ended {
    calls: Vec<(CallId, Outcome, Payload)>,
    bytes: usize,
}

impl Ended {
    pub(crate) fn push(&mut self, call: CallId, outcome: Outcome, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.calls.push((call, outcome, Payload::from(bytes)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.calls.len() >= ENDS_MAX || self.bytes > BYTES_MAX
    }

    /// Tells of all of them. False: the last was not in this worker's hands.
    pub(crate) fn tell(&mut self, state: &mut State, now: u64, slot: WorkerSlot) -> bool {
        self.bytes = 0;
        let mut done = false;
        for (call, outcome, bytes) in self.calls.drain(..) {
            if let Some(lane) = state.lane(slot) {
                lane.forget_call(call);
            }
            done = state.tasks.end(now, slot, call, outcome, bytes);
        }
        done
    }
}
