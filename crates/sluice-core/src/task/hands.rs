//! Workers, and the calls that they have in their hands.

use std::collections::HashMap;

use super::id_table::IdTable;
use super::{CallId, Origin, PoolId};
use crate::id::WorkerSlot;

/// A call in a worker's hands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// The index of its task; none when that is over or waits again.
    pub(super) task: Option<u32>,
    pub(super) slot: WorkerSlot,
    pub(super) queue: u16,
    pub(super) has_begun: bool,
}

/// A worker that was there once.
#[derive(Clone, Copy, Debug, Default)]
struct Worker {
    generation: u32,
    id: u16,
    pool: PoolIndex,
    /// Calls that it may have in its hands.
    places: u32,
    in_hand: u32,
    is_here: bool,
    is_leaving: bool,
    is_blocked: bool,
}

type PoolIndex = u16;

impl Worker {
    /// Whether it gets calls, now or later.
    fn takes_calls(&self) -> bool {
        self.is_here && !self.is_leaving
    }

    fn has_place(&self) -> bool {
        self.takes_calls() && !self.is_blocked && self.in_hand < self.places
    }
}

#[derive(Debug, Default)]
struct Pool {
    slots: Vec<WorkerSlot>,
    /// Where to look first: workers with as many calls take turns.
    turn: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Hands {
    /// By slot.
    workers: Vec<Worker>,
    pools: Vec<Pool>,
    calls: IdTable<Call>,
    last_call: CallId,
    /// By id, when a worker last left.
    left_at: HashMap<u16, u64>,
}

impl Hands {
    /// How many calls there are.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn call(&self, id: CallId) -> Option<&Call> {
        self.calls.get(id)
    }

    pub(super) fn call_mut(&mut self, id: CallId) -> Option<&mut Call> {
        self.calls.get_mut(id)
    }

    /// A worker takes calls from now on.
    pub(super) fn arrive(
        &mut self,
        slot: WorkerSlot,
        generation: u32,
        id: u16,
        pool: PoolId,
        places: u32,
    ) {
        self.leave_pool(slot);
        if self.workers.len() <= slot.index() {
            self.workers.resize(slot.index() + 1, Worker::default());
        }
        if self.pools.len() <= usize::from(pool.0) {
            self.pools
                .resize_with(usize::from(pool.0) + 1, Pool::default);
        }
        self.pools[usize::from(pool.0)].slots.push(slot);
        let worker = &mut self.workers[slot.index()];
        *worker = Worker {
            generation,
            id,
            pool: pool.0,
            places,
            in_hand: worker.in_hand,
            is_here: true,
            is_leaving: false,
            is_blocked: false,
        };
    }

    /// A worker gets nothing new from now on.
    pub(super) fn leave(&mut self, now: u64, slot: WorkerSlot) {
        self.leave_pool(slot);
        if let Some(worker) = self.workers.get_mut(slot.index()) {
            if worker.takes_calls() {
                self.left_at.insert(worker.id, now);
            }
            worker.is_leaving = true;
        }
    }

    /// A worker is gone; its calls, oldest first, are to be [let go](Self::let_go) of.
    pub(super) fn depart(&mut self, now: u64, slot: WorkerSlot) -> Vec<CallId> {
        self.leave(now, slot);
        let Some(worker) = self.workers.get_mut(slot.index()) else {
            return Vec::new();
        };
        worker.is_here = false;
        if worker.in_hand == 0 {
            return Vec::new();
        }
        let own = self.calls.iter().filter(|(_, call)| call.slot == slot);
        let mut ids: Vec<CallId> = own.map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    fn leave_pool(&mut self, slot: WorkerSlot) {
        let pool = self.workers.get(slot.index()).map(|worker| worker.pool);
        if let Some(pool) = pool.and_then(|pool| self.pools.get_mut(usize::from(pool))) {
            pool.slots.retain(|&own| own != slot);
        }
    }

    /// A worker's lane has no room, or has room again.
    pub(super) fn block(&mut self, slot: WorkerSlot, yes: bool) {
        if let Some(worker) = self.workers.get_mut(slot.index()) {
            worker.is_blocked = yes;
        }
    }

    /// The generation of the worker in a slot.
    pub(super) fn generation(&self, slot: WorkerSlot) -> Option<u32> {
        let worker = self.workers.get(slot.index())?;
        worker.is_here.then_some(worker.generation)
    }

    pub(super) fn id(&self, slot: WorkerSlot) -> Option<u16> {
        self.workers.get(slot.index()).map(|worker| worker.id)
    }

    /// How many calls a worker has.
    pub(super) fn in_hand(&self, slot: WorkerSlot) -> u32 {
        self.workers
            .get(slot.index())
            .map_or(0, |worker| worker.in_hand)
    }

    /// Whether a worker still runs what is over for everybody else. Looks at all calls.
    pub(super) fn is_overdue(&self, slot: WorkerSlot) -> bool {
        let mut calls = self.calls.iter().map(|(_, call)| call);
        self.in_hand(slot) > 0
            && calls.any(|call| call.slot == slot && call.has_begun && call.task.is_none())
    }

    /// Whether some worker of that id gets calls, now or later.
    pub(super) fn has_taker(&self, id: u16) -> bool {
        self.workers
            .iter()
            .any(|worker| worker.id == id && worker.takes_calls())
    }

    /// Since when there is no worker of that id that gets calls; 0 if there never was. None: there is one.
    pub(super) fn away_since(&self, id: u16) -> Option<u64> {
        (!self.has_taker(id)).then(|| self.left_at.get(&id).copied().unwrap_or(0))
    }

    /// Whether an origin may be there: a worker that is here, or one that nobody has told of yet.
    pub(super) fn hears(&self, origin: Origin) -> bool {
        match origin {
            Origin::Nobody => false,
            Origin::Inner(_) => true,
            Origin::Worker { slot, generation } => {
                self.workers.get(slot.index()).is_none_or(|worker| {
                    // Generations count up and around.
                    let newer = generation.wrapping_sub(worker.generation) as i32;
                    newer > 0 || newer == 0 && worker.is_here
                })
            }
        }
    }

    /// The id of a worker that is to have something back, if it gets calls.
    pub(super) fn id_of(&self, origin: Origin) -> Option<u16> {
        let Origin::Worker { slot, generation } = origin else {
            return None;
        };
        let worker = self.workers.get(slot.index())?;
        // One that has no place at all is never handed anything.
        let is_it = worker.generation == generation && worker.takes_calls() && worker.places > 0;
        is_it.then_some(worker.id)
    }

    /// The worker of a pool that has a free place and the fewest calls in its hands, and its turn.
    pub(super) fn least_loaded(&self, pool: PoolId) -> Option<(WorkerSlot, usize)> {
        let pool = self.pools.get(usize::from(pool.0))?;
        let count = pool.slots.len();
        let mut best: Option<(u32, usize)> = None;
        for step in 0..count {
            let at = pool.turn + step;
            let at = if at < count { at } else { at % count };
            let Some(worker) = self.workers.get(pool.slots[at].index()) else {
                continue;
            };
            if worker.has_place() && best.is_none_or(|(fewest, _)| worker.in_hand < fewest) {
                best = Some((worker.in_hand, at));
                if worker.in_hand == 0 {
                    break;
                }
            }
        }
        let (_, at) = best?;
        Some((pool.slots[at], at))
    }

    /// The worker of that turn was chosen.
    pub(super) fn took_turn(&mut self, pool: PoolId, turn: usize) {
        if let Some(pool) = self.pools.get_mut(usize::from(pool.0)) {
            pool.turn = turn + 1;
        }
    }

    /// Workers of any pool that have a free place, with their ids.
    pub(super) fn with_place(&self) -> impl Iterator<Item = (WorkerSlot, u16)> {
        let workers = self.workers.iter().enumerate();
        workers
            .filter(|(_, worker)| worker.has_place())
            // Slots are counted in 16 bits.
            .map(|(slot, worker)| (WorkerSlot(slot as u16), worker.id))
    }

    /// Puts a call into a worker's hands.
    pub(super) fn take(&mut self, slot: WorkerSlot, task: u32, queue: u16) -> CallId {
        self.last_call += 1;
        let call = Call {
            task: Some(task),
            slot,
            queue,
            has_begun: false,
        };
        self.calls.insert(self.last_call, call);
        if let Some(worker) = self.workers.get_mut(slot.index()) {
            worker.in_hand += 1;
        }
        self.last_call
    }

    /// Takes a call out of a worker's hands.
    pub(super) fn let_go(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(id)?;
        if let Some(worker) = self.workers.get_mut(call.slot.index()) {
            worker.in_hand = worker.in_hand.saturating_sub(1);
        }
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: PoolId = PoolId(1);

    fn three() -> Hands {
        let mut hands = Hands::default();
        for slot in 0..3 {
            hands.arrive(WorkerSlot(slot), 1, slot + 10, POOL, 2);
        }
        hands
    }

    fn next(hands: &mut Hands) -> Option<u16> {
        let (slot, turn) = hands.least_loaded(POOL)?;
        hands.took_turn(POOL, turn);
        hands.take(slot, 0, 0);
        Some(slot.0)
    }

    #[test]
    fn the_least_loaded_is_chosen_and_equals_take_turns() {
        let mut hands = three();
        let order: Vec<_> = (0..7).map(|_| next(&mut hands)).collect();
        assert_eq!(
            order,
            [0, 1, 2, 0, 1, 2]
                .map(Some)
                .into_iter()
                .chain([None])
                .collect::<Vec<_>>()
        );
        hands.let_go(2);
        hands.let_go(5);
        hands.let_go(1);
        assert_eq!([next(&mut hands), next(&mut hands)], [Some(1), Some(0)]);
        assert_eq!(hands.least_loaded(PoolId(9)), None);
    }

    #[test]
    fn who_is_blocked_leaving_or_gone_gets_nothing() {
        let mut hands = three();
        hands.block(WorkerSlot(0), true);
        hands.leave(5, WorkerSlot(1));
        assert_eq!([next(&mut hands), next(&mut hands)], [Some(2), Some(2)]);
        hands.block(WorkerSlot(0), false);
        assert_eq!(next(&mut hands), Some(0));
        assert_eq!(hands.depart(7, WorkerSlot(2)), [1, 2]);
        assert_eq!([next(&mut hands), next(&mut hands)], [Some(0), None]);
        assert!(hands.has_taker(10) && !hands.has_taker(11) && !hands.has_taker(12));
        let away = [10, 11, 12, 13].map(|id| hands.away_since(id));
        assert_eq!(away, [None, Some(5), Some(7), Some(0)]);
    }

    #[test]
    fn an_origin_is_there_until_its_generation_is_over() {
        let mut hands = Hands::default();
        let of = |generation| Origin::Worker {
            slot: WorkerSlot(0),
            generation,
        };
        assert!(hands.hears(of(5)), "nobody has told of it yet");
        hands.arrive(WorkerSlot(0), 5, 0, POOL, 1);
        assert!(hands.hears(of(5)) && !hands.hears(of(4)) && hands.hears(of(6)));
        hands.leave(0, WorkerSlot(0));
        assert!(hands.hears(of(5)), "it leaves, but is there");
        assert_eq!(hands.id_of(of(5)), None);
        hands.depart(0, WorkerSlot(0));
        assert!(!hands.hears(of(5)) && hands.hears(of(6)));
        assert!(hands.hears(Origin::Inner(1)) && !hands.hears(Origin::Nobody));
    }

    #[test]
    fn a_slot_is_in_one_pool_once() {
        let mut hands = three();
        hands.arrive(WorkerSlot(0), 1, 10, POOL, 1);
        hands.arrive(WorkerSlot(1), 2, 10, PoolId(2), 1);
        let order: Vec<_> = (0..4).filter_map(|_| next(&mut hands)).collect();
        assert_eq!(order, [2, 0, 2]);
        assert_eq!(hands.least_loaded(PoolId(2)), Some((WorkerSlot(1), 0)));
    }
}
