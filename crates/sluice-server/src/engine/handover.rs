//! What happens to the work of a worker that is gone, and to everything when the server stops.

use std::sync::Arc;

use sluice_core::id::WorkerSlot;

use super::Engine;
use crate::connection::Phase;
use crate::http1::Reject;
use crate::pending::Stage;
use crate::server::GoneReport;

/// What becomes of one exchange of a dead worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its record was never looked at: another worker gets it as if nothing had happened.
    Forward,
    /// It was begun, may be repeated, and has not been yet.
    Replay,
    /// It was running when the worker died, or has side effects, or was replayed before.
    Refuse,
    /// Part of the answer is out; only the end of the connection tells the client.
    Break,
}

impl Engine {
    /// Takes everything out of the hands of a dead worker.
    pub(super) fn worker_gone(&mut self, slot: WorkerSlot, report: &Arc<GoneReport>) {
        self.active.retain(|candidate| candidate.slot != slot);
        // What it answered before it died counts: whole records only. One that hangs in the middle of a batch has not
        // published what it said about the records before.
        let commands = self.commands.get_mut(slot.index()).and_then(Option::take);
        let commands = commands.map(|mut lane| {
            lane.ring.salvage();
            self.run_commands(&mut lane);
            lane
        });
        self.counters.messages_lost += report.take_pending_messages();
        let lane = self.events.get_mut(slot.index()).and_then(Option::take);
        if let Some(lane) = &lane {
            self.take_sockets(slot, lane, report.reason);
            self.take_packets(lane, report);
            let consumed = lane.consumed();
            let current = lane
                .link
                .block
                .current()
                .filter(|current| current.lane == self.id)
                .map(|current| lane.place(current.position));
            for index in self.pending.of_worker(slot) {
                // One broken connection may have taken several with it.
                if self.pending.get(index).is_none() {
                    continue;
                }
                let fate = self.fate(index, consumed, current);
                self.meet(index, slot, fate, report);
            }
            if lane.active || lane.leaving {
                self.shared.workers.unguard(slot);
            }
        }
        if let Some(lane) = commands {
            lane.shared.close();
        }
        drop(lane);
        self.retry_waiting = true;
        self.packets.retry = true;
        report.done(&self.shared);
    }

    fn fate(&self, index: u32, consumed: u64, current: Option<u64>) -> Fate {
        let Some(exchange) = self.pending.get(index) else {
            return Fate::Refuse;
        };
        if matches!(exchange.stage, Stage::Answering { .. }) {
            return Fate::Break;
        }
        // Its record is not in this worker's ring, and was run to its end in another's.
        if exchange.is_claimed {
            return Fate::Refuse;
        }
        let begun = match current {
            Some(current) if exchange.position == current => return Fate::Refuse,
            Some(current) => exchange.position < current,
            None => exchange.position < consumed,
        };
        if !begun {
            return Fate::Forward;
        }
        let replay = &self.shared.config.replay;
        let body = exchange.blob.as_ref().map_or_else(
            || exchange.words.event_body_len() as usize,
            bytes::Bytes::len,
        );
        // A streamed body that the worker has begun to read is gone with it.
        let body_is_here = !exchange.streamed_body || !self.upload_begun(index);
        let repeatable = replay.safe_methods
            && exchange.safe
            && !exchange.replayed
            && body <= replay.max_body as usize
            && body_is_here;
        if repeatable {
            Fate::Replay
        } else {
            Fate::Refuse
        }
    }

    fn upload_begun(&self, index: u32) -> bool {
        let Some(exchange) = self.pending.get(index) else {
            return false;
        };
        exchange.body_done
            || self.connections[exchange.connection as usize]
                .as_deref()
                .is_some_and(|connection| match &connection.phase {
                    Phase::Streaming(upload) => upload.credit.is_some(),
                    _ => true,
                })
    }

    fn meet(&mut self, index: u32, slot: WorkerSlot, fate: Fate, report: &GoneReport) {
        report.count(fate == Fate::Replay || fate == Fate::Forward);
        match fate {
            Fate::Forward | Fate::Replay => {
                self.counters.replayed += 1;
                if fate == Fate::Replay {
                    self.mark_replay(index);
                }
                // A late answer of the old worker must not reach the client as the new one's.
                self.pending.renew(index);
                if let Some(exchange) = self.pending.get_mut(index) {
                    exchange.worker = None;
                    exchange.stage = Stage::Waiting;
                }
                self.settle(slot);
                self.assign(index);
            }
            Fate::Refuse => {
                self.counters.refused += 1;
                let status = self.shared.config.replay.status;
                self.refuse(index, status, Reject::WorkerLost.name());
            }
            Fate::Break => {
                self.counters.refused += 1;
                if self.take_back(index) {
                    let status = self.shared.config.replay.status;
                    self.refuse(index, status, Reject::WorkerLost.name());
                } else {
                    self.respond_reset(index);
                }
            }
        }
    }

    /// Stops accepting, closes connections after their current answers and, after `grace` ms, idle ones too.
    pub(super) fn stop(&mut self, grace: u64, code: u16) {
        self.stopping = true;
        self.stop_code = code;
        self.stop_accepting();
        let at = self.now + grace;
        self.stopped_at = self.now;
        self.stop_at = at;
        for slot in 0..self.connections.len() as u32 {
            self.stop_socket(slot);
            self.stop_http2(slot, grace);
            let idle = self.connections[slot as usize]
                .as_deref()
                .is_some_and(crate::connection::Connection::is_idle);
            if !idle {
                continue;
            }
            if grace == 0 {
                self.begin_close(slot);
            } else {
                self.set_deadline(slot, at);
            }
        }
    }

    /// Drops everything at once.
    pub(super) fn abort_all(&mut self) {
        self.stopping = true;
        self.stop_accepting();
        self.close_packets();
        for slot in 0..self.connections.len() as u32 {
            self.lose(slot);
            // Nobody is left to be told.
            self.free_place(slot);
        }
        self.waiting.clear();
        self.events.clear();
        self.commands.clear();
        self.active.clear();
    }
}
