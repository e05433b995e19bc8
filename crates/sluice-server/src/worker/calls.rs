//! Calls of tasks in the hands of a worker.

use sluice_core::timer::{CallId, Outcome};

use super::Worker;

impl Worker {
    /// Begins a call that a TASK record names. False: it is not to begin; its timer was cleared, or another worker has it.
    pub fn begin_call(&self, id: CallId) -> bool {
        self.shared.begin_call(self.slot, id)
    }

    /// Ends a call that has begun.
    pub fn end_call(&self, id: CallId, outcome: Outcome) {
        self.shared.end_call(self.slot, id, outcome);
    }
}
