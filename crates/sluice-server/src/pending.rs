//! Exchanges awaiting their answers.

use bytes::Bytes;
use sluice_core::id::WorkerSlot;
use sluice_shared::record::{AbortReason, Words};

use crate::output::Output;

/// How far an exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No worker has it.
    Waiting,
    /// A worker has it and has not begun to answer.
    Dispatched,
    /// Its worker has let go of it; another one may claim it.
    Detached,
    /// The head of a streamed answer is written. `left` is what its content-length still promises.
    Answering { chunked: bool, left: Option<u64> },
    /// The answer is complete and waits for its turn on the connection.
    Answered,
}

/// One request with its answer.
pub(crate) struct Exchange {
    pub(crate) generation: u32,
    pub(crate) connection: u32,
    /// The next exchange of the connection.
    pub(crate) next: Option<u32>,
    pub(crate) stage: Stage,
    pub(crate) worker: Option<WorkerSlot>,
    /// Where its record lies in the worker's event ring.
    pub(crate) position: u64,
    pub(crate) safe: bool,
    pub(crate) head_request: bool,
    pub(crate) http10: bool,
    pub(crate) keep_alive: bool,
    pub(crate) replayed: bool,
    /// Its body is, or was, streamed to the worker.
    pub(crate) streamed_body: bool,
    /// The body is complete (or there is none).
    pub(crate) body_done: bool,
    /// The client waits for `100 Continue`.
    pub(crate) expects_continue: bool,
    /// The worker wants a DRAIN record when the connection's buffer is low.
    pub(crate) wants_drain: bool,
    /// The worst its worker has been told of its client.
    pub(crate) told: Option<AbortReason>,
    /// The soft time limit has passed.
    pub(crate) is_late: bool,
    /// The connection closes after this answer.
    pub(crate) close: bool,
    pub(crate) words: Words,
    /// Field table and bytes of the record, kept so that it can be delivered again.
    pub(crate) record: Vec<u8>,
    pub(crate) blob: Option<Bytes>,
    /// Answer bytes before it is this exchange's turn.
    pub(crate) held: Output,
    /// What is said behind this answer before the connection closes: the pipeline's next request was refused.
    pub(crate) refusal: Option<Bytes>,
    /// A worker other than the one that had its record answers it.
    pub(crate) is_claimed: bool,
    /// The value of `dispatch: { key }`.
    pub(crate) key: Option<Box<[u8]>>,
}

/// The exchanges of one reactor. A generation tells the holders of one place apart, so that a late
/// answer can never reach somebody else's client.
#[derive(Default)]
pub(crate) struct Pending {
    entries: Vec<Entry>,
    /// When each entry must have moved on; `u64::MAX` = never. Dense, because it is scanned.
    deadlines: Vec<u64>,
    free: Vec<u32>,
    used: usize,
}

struct Entry {
    generation: u32,
    exchange: Option<Exchange>,
}

impl Pending {
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Stores an exchange and returns its index. The generation is filled in.
    pub(crate) fn insert(&mut self, mut exchange: Exchange) -> u32 {
        self.used += 1;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.entries.push(Entry {
                    generation: 0,
                    exchange: None,
                });
                self.deadlines.push(u64::MAX);
                self.entries.len() as u32 - 1
            }
        };
        let entry = &mut self.entries[index as usize];
        exchange.generation = entry.generation;
        entry.exchange = Some(exchange);
        index
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Exchange> {
        self.entries.get(index as usize)?.exchange.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Exchange> {
        self.entries.get_mut(index as usize)?.exchange.as_mut()
    }

    /// The exchange, if `generation` is its current one and `worker` still holds it.
    pub(crate) fn held_by(
        &mut self,
        index: u32,
        generation: u32,
        worker: WorkerSlot,
    ) -> Option<&mut Exchange> {
        self.get_mut(index)
            .filter(|exchange| exchange.generation == generation && exchange.worker == Some(worker))
    }

    /// Whether that exchange is still there and no worker has it.
    pub(crate) fn is_waiting(&self, index: u32, generation: u32) -> bool {
        self.get(index).is_some_and(|exchange| {
            exchange.generation == generation && exchange.stage == Stage::Waiting
        })
    }

    /// Makes every name of the exchange that is out there stale; it goes on under a new one.
    pub(crate) fn renew(&mut self, index: u32) {
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.generation = entry.generation.wrapping_add(1);
            if let Some(exchange) = &mut entry.exchange {
                exchange.generation = entry.generation;
            }
        }
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<Exchange> {
        let entry = self.entries.get_mut(index as usize)?;
        let exchange = entry.exchange.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.deadlines[index as usize] = u64::MAX;
        self.free.push(index);
        self.used -= 1;
        Some(exchange)
    }

    pub(crate) fn set_deadline(&mut self, index: u32, at: u64) {
        if let Some(deadline) = self.deadlines.get_mut(index as usize) {
            *deadline = at;
        }
    }

    /// Whether an entry must move on at some time.
    pub(crate) fn is_timed(&self, index: u32) -> bool {
        self.deadlines
            .get(index as usize)
            .is_some_and(|&deadline| deadline != u64::MAX)
    }

    /// Collects the entries whose deadline has passed, and clears it.
    pub(crate) fn expire(&mut self, now: u64, expired: &mut Vec<u32>) {
        expire(&mut self.deadlines, now, expired);
    }

    /// Every exchange in the hands of `worker`.
    pub(crate) fn of_worker(&self, worker: WorkerSlot) -> Vec<u32> {
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| {
                entry
                    .exchange
                    .as_ref()
                    .is_some_and(|exchange| exchange.worker == Some(worker))
            })
            .map(|(index, _)| index as u32)
            .collect()
    }
}

/// One pass over a dense array of deadlines: a few ns per entry, nothing per request but a store.
pub(crate) fn expire(deadlines: &mut [u64], now: u64, expired: &mut Vec<u32>) {
    for (index, deadline) in deadlines.iter_mut().enumerate() {
        if *deadline <= now {
            *deadline = u64::MAX;
            expired.push(index as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    pub(crate) fn exchange(connection: u32, worker: Option<WorkerSlot>) -> Exchange {
        Exchange {
            generation: 0,
            connection,
            next: None,
            stage: Stage::Waiting,
            worker,
            position: 0,
            safe: true,
            head_request: false,
            http10: false,
            keep_alive: true,
            replayed: false,
            streamed_body: false,
            body_done: true,
            expects_continue: false,
            wants_drain: false,
            told: None,
            is_late: false,
            close: false,
            words: Words::default(),
            record: Vec::new(),
            blob: None,
            held: Output::default(),
            refusal: None,
            is_claimed: false,
            key: None,
        }
    }

    #[test]
    fn a_stale_name_finds_nothing() {
        let mut pending = Pending::default();
        let worker = WorkerSlot(3);
        let index = pending.insert(exchange(1, Some(worker)));
        let generation = pending.get(index).unwrap().generation;
        assert!(pending.held_by(index, generation, worker).is_some());
        assert!(pending.held_by(index, generation, WorkerSlot(4)).is_none());
        pending.renew(index);
        assert!(pending.held_by(index, generation, worker).is_none());
        pending.remove(index);
        let again = pending.insert(exchange(2, Some(worker)));
        assert_eq!(again, index);
        assert!(pending.held_by(index, generation, worker).is_none());
        assert!(pending.held_by(index, generation + 1, worker).is_none());
    }

    proptest! {
        #[test]
        fn names_are_unique_over_any_history(steps in prop::collection::vec((0u8..3, 0usize..8), 1..200)) {
            let mut pending = Pending::default();
            let mut live: Vec<(u32, u32)> = Vec::new();
            let mut model: HashMap<(u32, u32), u32> = HashMap::new();
            for (serial, (step, pick)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        let index = pending.insert(exchange(serial as u32, Some(WorkerSlot(0))));
                        let name = (index, pending.get(index).unwrap().generation);
                        prop_assert!(model.insert(name, serial as u32).is_none(), "a name was given twice");
                        live.push(name);
                    }
                    1 if !live.is_empty() => {
                        let name = live.swap_remove(pick % live.len());
                        prop_assert!(pending.remove(name.0).is_some());
                    }
                    2 if !live.is_empty() => {
                        let at = pick % live.len();
                        let (index, generation) = live[at];
                        pending.renew(index);
                        let renewed = (index, pending.get(index).unwrap().generation);
                        prop_assert_ne!(renewed.1, generation);
                        let connection = model[&(index, generation)];
                        prop_assert!(model.insert(renewed, connection).is_none());
                        live[at] = renewed;
                    }
                    _ => {}
                }
                prop_assert_eq!(pending.len(), live.len());
                for (&name, &connection) in &model {
                    let found = pending.held_by(name.0, name.1, WorkerSlot(0)).map(|e| e.connection);
                    prop_assert_eq!(found, live.contains(&name).then_some(connection));
                }
            }
        }

        #[test]
        fn expiry_returns_each_deadline_once(deadlines in prop::collection::vec(0u64..100, 0..50), now in 0u64..100) {
            let mut left = deadlines.clone();
            let mut expired = Vec::new();
            expire(&mut left, now, &mut expired);
            let due: Vec<u32> = (0..deadlines.len() as u32).filter(|&i| deadlines[i as usize] <= now).collect();
            prop_assert_eq!(&expired, &due);
            expired.clear();
            expire(&mut left, now, &mut expired);
            prop_assert!(expired.is_empty());
        }
    }
}
