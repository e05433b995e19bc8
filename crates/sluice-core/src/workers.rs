//! The worker table: who exists, in which state, and how much is in whose hands.
//!
//! One table per server, shared by the master and all reactors. The hot path ([`Workers::begin`],
//! [`Workers::finish`]) takes no lock and touches the cache line of one slot.
//!
//! # Orderings
//!
//! State, inflight and guards of a slot are one atomic word, changed by read-modify-write operations
//! only. They therefore have one order of changes that all threads agree on, and "the last one of a
//! draining worker" is decided by that order alone: exactly one call sees the word become
//! (`Draining`, 0, 0) by a decrement. Decrements and state changes are `AcqRel`, loads `Acquire`: whoever is told that
//! a worker is drained, or sees a new state, also sees what the others did to it before. Increments are `Relaxed`;
//! they publish nothing, as the exchange itself crosses by the lane.
//!
//! Generation, requests and since are written apart from that word and are for holders of a slot,
//! who learn of it from the claimer, and for statistics.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::id::WorkerSlot;

/// Number of worker slots of a server, dying workers included.
pub const SLOTS: usize = 256;

/// Where a slot is in its life.
///
/// ```text
/// Free ─claim→ Starting → Running → Draining → Gone ─free→ Free
///                  └─────────┴────────────────→ Gone
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum WorkerState {
    /// Nobody holds the slot.
    Free,
    /// Claimed; its thread is loading the application.
    Starting,
    /// The dispatcher may choose it.
    Running,
    /// Gets nothing new and finishes what it has.
    Draining,
    /// Detached, died or written off; reactors are settling what it had in hand.
    Gone,
}

impl WorkerState {
    /// Whether [`Workers::set_state`] goes from `self` to `to`. Entering and leaving
    /// [`WorkerState::Free`] is for [`Workers::claim`] and [`Workers::free`].
    pub fn may_become(self, to: WorkerState) -> bool {
        use WorkerState::{Draining, Gone, Running, Starting};
        matches!(
            (self, to),
            (Starting, Running | Gone) | (Running, Draining | Gone) | (Draining, Gone)
        )
    }
}

/// The table. All methods may be called from any thread; a slot outside the table reads as
/// [`WorkerState::Free`] with zero counts and cannot be changed.
#[derive(Debug)]
pub struct Workers {
    slots: Box<[Slot]>,
}

/// Two cache lines: the prefetcher of x86-64 pulls lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    /// A [`Hands`].
    hands: AtomicU64,
    /// Requests since the claim.
    requests: AtomicU64,
    since: AtomicU64,
    generation: AtomicU32,
}

impl Default for Workers {
    fn default() -> Self {
        Self::new()
    }
}

impl Workers {
    /// A table of [`SLOTS`] free slots.
    pub fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
        }
    }

    /// Takes a free slot: it is [`WorkerState::Starting`], its generation is one higher and its
    /// counters are 0. `None` when all [`SLOTS`] are taken.
    pub fn claim(&self) -> Option<WorkerSlot> {
        let free = Hands::default();
        let index = self.slots.iter().position(|slot| {
            slot.hands
                .compare_exchange(
                    free.pack(),
                    free.with_state(WorkerState::Starting).pack(),
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                )
                .is_ok()
        })?;
        let slot = &self.slots[index];
        slot.requests.store(0, Ordering::Relaxed);
        slot.since.store(0, Ordering::Relaxed);
        slot.generation.fetch_add(1, Ordering::Release);
        Some(WorkerSlot(index as u16))
    }

    /// Gives a [`WorkerState::Gone`] slot back. False, and nothing changes, while it is in another state,
    /// or anything is in its hands, or a reactor guards it: a slot still in use is never claimed again.
    pub fn free(&self, slot: WorkerSlot) -> bool {
        let free = Hands::default();
        self.slot(slot).is_some_and(|slot| {
            slot.hands
                .compare_exchange(
                    free.with_state(WorkerState::Gone).pack(),
                    free.pack(),
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                )
                .is_ok()
        })
    }

    /// How often the slot was claimed, wrapping; tells two holders of one slot apart. The claimer sees its own number;
    /// others see it once the claimer has told them of the slot.
    pub fn generation(&self, slot: WorkerSlot) -> u32 {
        self.slot(slot)
            .map_or(0, |slot| slot.generation.load(Ordering::Acquire))
    }

    /// The state now.
    pub fn state(&self, slot: WorkerSlot) -> WorkerState {
        self.hands(slot).state
    }

    /// Compare-exchange of the state. False, and nothing changes, if the slot is not in `from` or the
    /// step is not one of [`WorkerState::may_become`].
    ///
    /// After a step to [`WorkerState::Draining`] look at [`is_drained`](Self::is_drained) once: a
    /// worker that nobody guards and that has nothing in hand gets no report from
    /// [`finish`](Self::finish) or [`unguard`](Self::unguard).
    pub fn set_state(&self, slot: WorkerSlot, from: WorkerState, to: WorkerState) -> bool {
        from.may_become(to)
            && self
                .update(slot, |hands| {
                    (hands.state == from).then(|| hands.with_state(to))
                })
                .is_some()
    }

    /// Requests in the worker's hands, over all reactors.
    pub fn inflight(&self, slot: WorkerSlot) -> u32 {
        self.hands(slot).inflight
    }

    /// Whether the worker drains with nothing in its hands and no guard.
    pub fn is_drained(&self, slot: WorkerSlot) -> bool {
        self.hands(slot).is_drained()
    }

    /// Counts a request into the worker's hands. The caller guards the slot, so it is claimed; the
    /// bound is the dispatcher's limit.
    pub fn begin(&self, slot: WorkerSlot) {
        if let Some(slot) = self.slot(slot) {
            slot.hands.fetch_add(Hands::ONE_INFLIGHT, Ordering::Relaxed);
            slot.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a request out of the worker's hands. True if that was the last one of a draining worker that
    /// nobody guards: the caller reports it drained. Once per drain, whoever calls, together with
    /// [`unguard`](Self::unguard). Without a [`begin`](Self::begin) before it, it changes nothing.
    pub fn finish(&self, slot: WorkerSlot) -> bool {
        self.update(slot, |hands| {
            let inflight = hands.inflight.checked_sub(1)?;
            Some(Hands { inflight, ..hands })
        })
        .is_some_and(Hands::is_drained)
    }

    /// Keeps "drained" from being reported. Each reactor guards a worker from the moment it may
    /// dispatch to it until it has seen the drain (or the death), because between a choice and its
    /// [`begin`](Self::begin) the counts alone look drained. Not part of [`inflight`](Self::inflight).
    pub fn guard(&self, slot: WorkerSlot) {
        if let Some(slot) = self.slot(slot) {
            slot.hands.fetch_add(Hands::ONE_GUARD, Ordering::Relaxed);
        }
    }

    /// Ends one [`guard`](Self::guard). True under the same condition as [`finish`](Self::finish).
    pub fn unguard(&self, slot: WorkerSlot) -> bool {
        self.update(slot, |hands| {
            let guards = hands.guards.checked_sub(1)?;
            Some(Hands { guards, ..hands })
        })
        .is_some_and(Hands::is_drained)
    }

    /// Requests given to the worker since its claim.
    pub fn requests(&self, slot: WorkerSlot) -> u64 {
        self.slot(slot)
            .map_or(0, |slot| slot.requests.load(Ordering::Relaxed))
    }

    /// The time the claimer noted with [`set_since`](Self::set_since), 0 until then.
    pub fn since(&self, slot: WorkerSlot) -> u64 {
        self.slot(slot)
            .map_or(0, |slot| slot.since.load(Ordering::Relaxed))
    }

    /// Notes when the worker began, in milliseconds of the server's clock.
    pub fn set_since(&self, slot: WorkerSlot, now_ms: u64) {
        if let Some(slot) = self.slot(slot) {
            slot.since.store(now_ms, Ordering::Relaxed);
        }
    }

    /// The slots that are not free, in order. A snapshot: each may change at once.
    pub fn taken(&self) -> impl Iterator<Item = WorkerSlot> + '_ {
        (0..SLOTS)
            .map(|index| WorkerSlot(index as u16))
            .filter(|&slot| self.state(slot) != WorkerState::Free)
    }

    fn slot(&self, slot: WorkerSlot) -> Option<&Slot> {
        self.slots.get(slot.index())
    }

    fn hands(&self, slot: WorkerSlot) -> Hands {
        self.slot(slot).map_or_else(Hands::default, |slot| {
            Hands::unpack(slot.hands.load(Ordering::Acquire))
        })
    }

    /// Replaces the word by what `change` makes of it and gives the new one; `None` if `change` refuses.
    /// A loop instead of a plain subtraction, so that a count that is already 0 never borrows from its neighbour.
    fn update(&self, slot: WorkerSlot, change: impl Fn(Hands) -> Option<Hands>) -> Option<Hands> {
        let word = &self.slot(slot)?.hands;
        word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |packed| {
            change(Hands::unpack(packed)).map(Hands::pack)
        })
        .ok()
        .and_then(|before| change(Hands::unpack(before)))
    }
}

/// One worker's state and counts, as packed into a word: bits 0–31 inflight, 32–47 guards, 48–55 state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hands {
    state: WorkerState,
    guards: u16,
    inflight: u32,
}

impl Default for Hands {
    fn default() -> Self {
        Self {
            state: WorkerState::Free,
            guards: 0,
            inflight: 0,
        }
    }
}

impl Hands {
    const ONE_INFLIGHT: u64 = 1;
    const ONE_GUARD: u64 = 1 << 32;

    fn pack(self) -> u64 {
        u64::from(self.inflight) | u64::from(self.guards) << 32 | (self.state as u64) << 48
    }

    fn unpack(word: u64) -> Self {
        let state = match (word >> 48) as u8 {
            0 => WorkerState::Free,
            1 => WorkerState::Starting,
            2 => WorkerState::Running,
            3 => WorkerState::Draining,
            _ => WorkerState::Gone,
        };
        Self {
            state,
            guards: (word >> 32) as u16,
            inflight: word as u32,
        }
    }

    fn with_state(self, state: WorkerState) -> Self {
        Self { state, ..self }
    }

    fn is_drained(self) -> bool {
        self == Hands::default().with_state(WorkerState::Draining)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use proptest::prelude::*;

    use super::WorkerState::{Draining, Free, Gone, Running, Starting};
    use super::*;

    fn running(workers: &Workers) -> WorkerSlot {
        let slot = workers.claim().expect("the table is not full");
        assert!(workers.set_state(slot, Starting, Running));
        slot
    }

    #[test]
    fn claim_gives_every_slot_once_and_then_none() {
        let workers = Workers::new();
        let mut slots: Vec<_> = (0..SLOTS).filter_map(|_| workers.claim()).collect();
        assert_eq!(workers.claim(), None);
        slots.sort();
        slots.dedup();
        assert_eq!(slots.len(), SLOTS);
        assert!(workers.taken().eq(slots));
    }

    #[test]
    fn a_claim_raises_the_generation_and_clears_the_counters() {
        let workers = Workers::new();
        let slot = running(&workers);
        assert_eq!(workers.generation(slot), 1);
        workers.set_since(slot, 7);
        workers.begin(slot);
        assert_eq!((workers.requests(slot), workers.since(slot)), (1, 7));
        assert!(!workers.finish(slot));
        assert!(workers.set_state(slot, Running, Gone));
        assert!(workers.free(slot));
        assert_eq!(workers.claim(), Some(slot));
        assert_eq!(workers.generation(slot), 2);
        assert_eq!((workers.requests(slot), workers.since(slot)), (0, 0));
        assert_eq!(workers.state(slot), Starting);
    }

    #[test]
    fn a_slot_in_use_is_not_freed() {
        let workers = Workers::new();
        let slot = running(&workers);
        assert!(!workers.free(slot));
        workers.guard(slot);
        workers.begin(slot);
        assert!(workers.set_state(slot, Running, Gone));
        assert!(!workers.free(slot));
        workers.finish(slot);
        assert!(!workers.free(slot));
        workers.unguard(slot);
        assert!(workers.free(slot));
        assert!(!workers.free(slot));
        assert_eq!(workers.state(slot), Free);
    }

    #[test]
    fn only_the_drawn_steps_change_the_state() {
        let states = [Free, Starting, Running, Draining, Gone];
        let legal = [
            (Starting, Running),
            (Starting, Gone),
            (Running, Draining),
            (Running, Gone),
            (Draining, Gone),
        ];
        for from in states {
            for to in states {
                let workers = Workers::new();
                let slot = WorkerSlot(0);
                for step in [Starting, Running, Draining, Gone] {
                    if workers.state(slot) == from {
                        break;
                    }
                    match step {
                        Starting => assert_eq!(workers.claim(), Some(slot)),
                        _ => assert!(workers.set_state(slot, workers.state(slot), step)),
                    }
                }
                assert_eq!(workers.state(slot), from);
                let is_legal = legal.contains(&(from, to));
                assert_eq!(
                    workers.set_state(slot, from, to),
                    is_legal,
                    "{from:?} {to:?}"
                );
                assert_eq!(workers.state(slot), if is_legal { to } else { from });
            }
        }
    }

    #[test]
    fn set_state_refuses_when_the_slot_is_elsewhere() {
        let workers = Workers::new();
        let slot = running(&workers);
        assert!(!workers.set_state(slot, Draining, Gone));
        assert_eq!(workers.state(slot), Running);
    }

    #[test]
    fn the_last_finish_of_a_draining_worker_reports_it() {
        let workers = Workers::new();
        let slot = running(&workers);
        workers.begin(slot);
        workers.begin(slot);
        assert!(workers.set_state(slot, Running, Draining));
        assert!(!workers.is_drained(slot));
        assert!(!workers.finish(slot));
        assert!(workers.finish(slot));
        assert!(workers.is_drained(slot));
    }

    #[test]
    fn a_guard_holds_the_report_back_and_is_not_inflight() {
        let workers = Workers::new();
        let slot = running(&workers);
        workers.guard(slot);
        workers.guard(slot);
        workers.begin(slot);
        assert_eq!(workers.inflight(slot), 1);
        assert!(workers.set_state(slot, Running, Draining));
        assert!(!workers.finish(slot));
        assert!(!workers.unguard(slot));
        assert!(workers.unguard(slot));
    }

    #[test]
    fn a_finish_too_many_changes_nothing() {
        let workers = Workers::new();
        let slot = running(&workers);
        workers.guard(slot);
        assert!(!workers.finish(slot));
        assert_eq!((workers.inflight(slot), workers.state(slot)), (0, Running));
        workers.unguard(slot);
        assert!(!workers.unguard(slot));
        assert!(workers.set_state(slot, Running, Draining));
        assert!(!workers.finish(slot));
        assert!(!workers.unguard(slot));
        assert_eq!(workers.state(slot), Draining);
    }

    #[test]
    fn a_slot_outside_the_table_is_free_and_stays_so() {
        let workers = Workers::new();
        for slot in [WorkerSlot(256), WorkerSlot(u16::MAX)] {
            workers.begin(slot);
            workers.guard(slot);
            workers.set_since(slot, 1);
            assert_eq!(workers.state(slot), Free);
            assert_eq!(
                (
                    workers.inflight(slot),
                    workers.requests(slot),
                    workers.since(slot)
                ),
                (0, 0, 0)
            );
            assert_eq!(workers.generation(slot), 0);
            assert!(!workers.finish(slot) && !workers.unguard(slot) && !workers.free(slot));
            assert!(!workers.set_state(slot, Starting, Running));
        }
    }

    /// Reactors dispatch to a worker until they see it drain, while the master drains it.
    #[test]
    fn a_drain_is_reported_once_and_after_all_work() {
        const REACTORS: usize = 4;
        for _ in 0..200 {
            let workers = Workers::new();
            let slot = running(&workers);
            (0..REACTORS).for_each(|_| workers.guard(slot));
            let reports = AtomicUsize::new(0);
            let open = AtomicUsize::new(0);
            let barrier = Barrier::new(REACTORS + 1);
            let report = |is_last: bool| {
                if is_last {
                    assert_eq!(open.load(Ordering::SeqCst), 0);
                    reports.fetch_add(1, Ordering::SeqCst);
                }
            };
            thread::scope(|scope| {
                for _ in 0..REACTORS {
                    scope.spawn(|| {
                        open.fetch_add(1, Ordering::SeqCst);
                        barrier.wait();
                        while workers.state(slot) == Running {
                            // The choice is made; the count comes later, which is what the guard is for.
                            thread::yield_now();
                            workers.begin(slot);
                            report(workers.finish(slot));
                        }
                        workers.begin(slot);
                        report(workers.unguard(slot));
                        open.fetch_sub(1, Ordering::SeqCst);
                        report(workers.finish(slot));
                    });
                }
                barrier.wait();
                assert!(workers.set_state(slot, Running, Draining));
            });
            assert_eq!(reports.load(Ordering::SeqCst), 1);
            assert_eq!(workers.inflight(slot), 0);
        }
    }

    #[test]
    fn threads_never_share_a_claim() {
        let workers = Workers::new();
        let holders: Vec<AtomicUsize> = (0..SLOTS).map(|_| AtomicUsize::new(0)).collect();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let slot = running(&workers);
                        let generation = workers.generation(slot);
                        assert_eq!(holders[slot.index()].fetch_add(1, Ordering::SeqCst), 0);
                        assert_eq!(workers.generation(slot), generation);
                        holders[slot.index()].fetch_sub(1, Ordering::SeqCst);
                        assert!(workers.set_state(slot, Running, Gone));
                        assert!(workers.free(slot));
                    }
                });
            }
        });
        let claims: u32 = (0..SLOTS as u16)
            .map(|slot| workers.generation(WorkerSlot(slot)))
            .sum();
        assert_eq!(claims, 2000);
        assert_eq!(workers.taken().count(), 0);
    }

    #[derive(Clone, Copy, Debug)]
    enum Action {
        Claim,
        Free,
        Set(WorkerState, WorkerState),
        Begin,
        Finish,
        Guard,
        Unguard,
    }

    fn action() -> impl Strategy<Value = Action> {
        let state = || prop::sample::select(&[Free, Starting, Running, Draining, Gone][..]);
        prop_oneof![
            Just(Action::Claim),
            Just(Action::Free),
            (state(), state()).prop_map(|(from, to)| Action::Set(from, to)),
            Just(Action::Set(Starting, Running)),
            Just(Action::Set(Running, Draining)),
            Just(Action::Begin),
            Just(Action::Finish),
            Just(Action::Guard),
            Just(Action::Unguard),
        ]
    }

    #[derive(Default)]
    struct Model {
        state: Option<WorkerState>,
        generation: u32,
        inflight: u32,
        guards: u32,
        requests: u64,
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_plain_model(actions in prop::collection::vec(action(), 0..200)) {
            let workers = Workers::new();
            let slot = WorkerSlot(0);
            let mut model = Model::default();
            for action in actions {
                let state = model.state.unwrap_or(Free);
                match action {
                    Action::Claim if state == Free && model.inflight + model.guards == 0 => {
                        prop_assert_eq!(workers.claim(), Some(slot));
                        model = Model {
                            state: Some(Starting),
                            generation: model.generation + 1,
                            ..Model::default()
                        };
                    }
                    Action::Claim => {}
                    Action::Free => {
                        let is_legal = state == Gone && model.inflight + model.guards == 0;
                        prop_assert_eq!(workers.free(slot), is_legal);
                        if is_legal {
                            model.state = None;
                        }
                    }
                    Action::Set(from, to) => {
                        let is_legal = state == from && from.may_become(to);
                        prop_assert_eq!(workers.set_state(slot, from, to), is_legal);
                        if is_legal {
                            model.state = Some(to);
                        }
                    }
                    Action::Begin => {
                        workers.begin(slot);
                        model.inflight += 1;
                        model.requests += 1;
                    }
                    Action::Guard => {
                        workers.guard(slot);
                        model.guards += 1;
                    }
                    Action::Finish | Action::Unguard => {
                        let (count, is_last) = match action {
                            Action::Finish => (&mut model.inflight, workers.finish(slot)),
                            _ => (&mut model.guards, workers.unguard(slot)),
                        };
                        let was = *count;
                        *count = was.saturating_sub(1);
                        let is_empty = model.inflight + model.guards == 0;
                        prop_assert_eq!(is_last, was > 0 && is_empty && state == Draining);
                    }
                }
                prop_assert_eq!(workers.state(slot), model.state.unwrap_or(Free));
                prop_assert_eq!(workers.generation(slot), model.generation);
                prop_assert_eq!(workers.inflight(slot), model.inflight);
                prop_assert_eq!(workers.requests(slot), model.requests);
            }
        }
    }
}
