//! Exchanges that a worker lets go of without an answer, for whichever worker has one later.

use sluice_core::id::WorkerSlot;

use super::Engine;
use crate::connection::Phase;
use crate::pending::Stage;

impl Engine {
    /// Takes an exchange out of its worker's hands; it stays with the core until somebody claims it, its time is up or its
    /// client leaves. Gives the generation by which it is known from now on. `None`: it is not that worker's, or its answer has begun.
    pub(crate) fn detach(
        &mut self,
        index: u32,
        generation: u32,
        worker: WorkerSlot,
    ) -> Option<u32> {
        let exchange = self.pending.held_by(index, generation, worker)?;
        if exchange.stage != Stage::Dispatched {
            return None;
        }
        exchange.stage = Stage::Detached;
        exchange.worker = None;
        let has_blob = exchange.blob.take().is_some();
        let is_read = exchange.body_done;
        let slot = exchange.connection;
        if has_blob {
            self.drop_blob(worker, index);
        }
        if !is_read {
            // Nobody reads the rest: the client may take its time for it, the answer may not.
            if let Some(connection) = self.connection(slot)
                && let Phase::Streaming(upload) = &mut connection.phase
            {
                upload.credit = None;
            }
            if !self.pending.is_timed(index) {
                self.start_answer_clock(index);
            }
        }
        // What the worker may still say about it must not be taken for the word of the next one.
        self.pending.renew(index);
        self.settle(worker);
        self.retry_waiting = true;
        self.pending.get(index).map(|exchange| exchange.generation)
    }

    /// Gives a detached exchange to a worker that has its answer. False when there is none of that name, not any more.
    pub(crate) fn claim(&mut self, index: u32, generation: u32, worker: WorkerSlot) -> bool {
        let Some(exchange) = self.pending.get_mut(index) else {
            return false;
        };
        if exchange.generation != generation || exchange.stage != Stage::Detached {
            return false;
        }
        exchange.stage = Stage::Dispatched;
        exchange.worker = Some(worker);
        exchange.is_claimed = true;
        let told = exchange.told.take();
        self.shared.workers.begin(worker);
        if let Some(reason) = told {
            self.abort(index, reason);
        }
        true
    }
}
