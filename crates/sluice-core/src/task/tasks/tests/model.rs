//! Random actions against a slow model that keeps everything in sorted maps and looks at all of it each time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const SLOTS: u16 = 4;
const LIMITS: Limits = Limits {
    tasks: 12,
    bytes: 100,
    keep_failed: 3,
    journal: true,
    worker_ids: 4,
    pinned_wait: 1_000_000,
};

fn queues() -> Vec<QueueSpec> {
    let queue = |name: &str, pool, concurrency, rate| QueueSpec {
        name: name.to_owned(),
        pool: PoolId(pool),
        concurrency,
        rate,
        is_bounded: true,
    };
    vec![
        queue("default", 1, 0, None),
        queue("narrow", 1, 1, None),
        queue("slow", 1, 0, Some(Rate { limit: 2, per: 30 })),
        queue("own", 0, 2, None),
    ]
}

#[derive(Clone, Debug)]
enum Act {
    Submit(Wanted),
    Cancel(usize),
    Begin(usize),
    End(usize, Outcome),
    Progress(usize),
    Tick(u64),
    Here { slot: u16, pool: u16, places: u32 },
    Leaving(u16),
    Gone(u16),
    Blocked(u16, bool),
    Retry(usize),
    Forget(usize),
    EndIdle,
}

#[derive(Clone, Debug)]
struct Wanted {
    queue: u16,
    priority: i32,
    delay: u64,
    tries: u32,
    backoff: u64,
    timeout: u64,
    key: Option<u8>,
    pin: Option<u16>,
    flags: u8,
    origin: u8,
    bytes: usize,
}

fn act() -> impl Strategy<Value = Act> {
    let wanted = (
        (0u16..4, -1i32..2, prop_oneof![2 => Just(0), 1 => 1u64..40]),
        (
            0u32..4,
            prop_oneof![Just(0), 1u64..30],
            prop_oneof![Just(0), 1u64..30],
        ),
        (
            prop::option::weighted(0.3, 0u8..3),
            prop::option::weighted(0.2, 0u16..5),
        ),
        (0u8..8, 0u8..8, 0usize..20),
    )
        .prop_map(|(first, second, third, last)| Wanted {
            queue: first.0,
            priority: first.1,
            delay: first.2,
            tries: second.0,
            backoff: second.1,
            timeout: second.2,
            key: third.0,
            pin: third.1,
            flags: last.0,
            origin: last.1,
            bytes: last.2,
        });
    let outcome = prop_oneof![
        4 => Just(Outcome::Done),
        4 => Just(Outcome::Failed),
        1 => Just(Outcome::Unknown)
    ];
    let slot = || 0..SLOTS;
    prop_oneof![
        60 => wanted.prop_map(Act::Submit),
        10 => any::<usize>().prop_map(Act::Cancel),
        60 => any::<usize>().prop_map(Act::Begin),
        50 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Act::End(which, outcome)),
        4 => any::<usize>().prop_map(Act::Progress),
        30 => (0u64..30).prop_map(Act::Tick),
        20 => (slot(), 0u16..2, 0u32..4).prop_map(|(slot, pool, places)| Act::Here { slot, pool, places }),
        5 => slot().prop_map(Act::Leaving),
        6 => slot().prop_map(Act::Gone),
        8 => (slot(), any::<bool>()).prop_map(|(slot, yes)| Act::Blocked(slot, yes)),
        5 => any::<usize>().prop_map(Act::Retry),
        3 => any::<usize>().prop_map(Act::Forget),
        1 => Just(Act::EndIdle),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Until then; the second number tells those of one time apart.
    Delayed(u64, u64),
    Queued(u64),
    Handed(CallId),
    /// With the end of its time.
    Begun(CallId, Option<(u64, u64)>),
}

#[derive(Clone, Debug)]
struct Own {
    id: TaskId,
    spec: NewTask,
    origins: Vec<Origin>,
    attempts: u32,
    mode: Mode,
    end: End,
    /// Where it waits: that of its spec, or one after them for `finish` and `failed`.
    pool: PoolId,
    pin: Option<u16>,
    priority: i32,
    extra: usize,
    at: At,
    /// Of when it waited for a worker last.
    number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Hand {
    slot: u16,
    queue: usize,
    task: Option<usize>,
    has_begun: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    generation: u32,
    id: u16,
    pool: u16,
    places: u32,
    is_here: bool,
    is_leaving: bool,
    is_blocked: bool,
}

/// What is expected to come out, but for calls; in no order.
type Expected = Vec<String>;

struct Model {
    now: u64,
    next_id: TaskId,
    next: usize,
    numbers: u64,
    tasks: BTreeMap<usize, Own>,
    hands: BTreeMap<CallId, Hand>,
    seats: BTreeMap<u16, Seat>,
    failed: Vec<(TaskId, Own, End)>,
    /// Tokens times the milliseconds in which all of them come, and when that was so.
    tokens: (u64, u64),
    expected: Expected,
    /// By queue, how often each other one was served while it could have been.
    passed: BTreeMap<usize, BTreeMap<usize, u32>>,
    journal: BTreeMap<TaskId, (u32, bool)>,
    /// Durable ones that were stopped: they stay in the journal.
    asleep: BTreeSet<TaskId>,
    begun: BTreeSet<CallId>,
}

fn show(output: &Output) -> String {
    match output {
        Output::Result {
            origin,
            task,
            end,
            attempts,
            bytes,
        } => format!(
            "result {origin:?} {task} {end:?} {attempts} {}",
            bytes.len()
        ),
        Output::Progress { origin, task, .. } => format!("progress {origin:?} {task}"),
        Output::Abort { slot, call, why } => format!("abort {slot} {call} {why:?}"),
        Output::Released { slot } => format!("released {slot}"),
        other => format!("{other:?}"),
    }
}

impl Model {
    fn new() -> Self {
        Self {
            now: 0,
            next_id: 1,
            next: 0,
            numbers: 0,
            tasks: BTreeMap::new(),
            hands: BTreeMap::new(),
            seats: BTreeMap::new(),
            failed: Vec::new(),
            tokens: (60, 0),
            expected: Vec::new(),
            passed: BTreeMap::new(),
            journal: BTreeMap::new(),
            asleep: BTreeSet::new(),
            begun: BTreeSet::new(),
        }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn bytes(&self) -> usize {
        self.tasks
            .values()
            .map(|task| task.spec.bytes() + task.extra)
            .sum()
    }

    /// The task of that id that is not over.
    fn by_id(&self, id: TaskId) -> Option<usize> {
        let mut tasks = self.tasks.iter();
        tasks
            .find(|(_, task)| task.id == id && task.mode == Mode::Run)
            .map(|(&index, _)| index)
    }

    fn hears(&self, origin: Origin) -> bool {
        match origin {
            Origin::Nobody => false,
            Origin::Worker { slot, generation } => match self.seats.get(&slot.0) {
                None => true,
                Some(seat) => {
                    generation > seat.generation || generation == seat.generation && seat.is_here
                }
            },
            _ => true,
        }
    }

    fn in_hand(&self, slot: u16) -> u32 {
        self.hands.values().filter(|hand| hand.slot == slot).count() as u32
    }

    fn takes(&self, id: u16) -> bool {
        self.seats
            .values()
            .any(|seat| seat.id == id && seat.is_here && !seat.is_leaving)
    }

    fn has_place(&self, slot: u16) -> bool {
        self.seats.get(&slot).is_some_and(|seat| {
            seat.is_here && !seat.is_leaving && !seat.is_blocked && self.in_hand(slot) < seat.places
        })
    }

    fn queue_of(&self, task: &Own) -> usize {
        match task.mode {
            Mode::Run => usize::from(task.spec.queue),
            _ => 4 + usize::from(task.pool.0),
        }
    }

    fn settle_tokens(&mut self) {
        let passed = self.now - self.tokens.1;
        self.tokens = ((self.tokens.0 + 2 * passed).min(60), self.now);
    }

    fn queue_is_open(&self, queue: usize) -> bool {
        let held = self
            .hands
            .values()
            .filter(|hand| hand.queue == queue)
            .count();
        match queue {
            1 => held < 1,
            2 => self.tokens.0 >= 30,
            3 => held < 2,
            _ => true,
        }
    }

    /// What of a queue could go to some worker now, but for its tokens and its bound: the first.
    fn first(&self, queue: usize) -> Option<(usize, bool)> {
        let fits = |task: &Own| match task.pin {
            Some(id) => self
                .seats
                .iter()
                .any(|(&slot, seat)| seat.id == id && self.has_place(slot)),
            None => self
                .seats
                .iter()
                .any(|(&slot, seat)| seat.pool == task.pool.0 && self.has_place(slot)),
        };
        let waiting = self
            .tasks
            .iter()
            .filter_map(|(&index, task)| match task.at {
                At::Queued(number) if self.queue_of(task) == queue => {
                    Some((-task.priority, number, index, task))
                }
                _ => None,
            });
        waiting
            .filter(|(.., task)| fits(task))
            .min_by_key(|&(priority, number, ..)| (priority, number))
            .map(|(_, _, index, task)| (index, task.pin.is_some()))
    }

    fn expect(&mut self, text: String) {
        self.expected.push(text);
    }

    fn let_go(&mut self, call: CallId) {
        if let Some(hand) = self.hands.remove(&call) {
            self.expect(format!("released {}", hand.slot));
        }
    }

    fn over(&mut self, index: usize, end: End, bytes: usize) {
        let task = self.tasks.remove(&index).expect("it is there");
        for &origin in &task.origins {
            if self.hears(origin) {
                let (id, attempts) = (task.id, task.attempts);
                self.expect(format!("result {origin:?} {id} {end:?} {attempts} {bytes}"));
            }
        }
        if end == End::Stopped && task.spec.durable {
            self.asleep.insert(task.id);
        }
        let inner = matches!(task.origins.first(), Some(Origin::Inner(_)));
        if end.is_failure() && !inner {
            let mut kept = task.clone();
            kept.extra = bytes;
            self.failed.push((task.id, kept, end));
            let size = |failed: &[(TaskId, Own, End)]| {
                let sizes = failed
                    .iter()
                    .map(|(_, task, _)| task.spec.bytes() + task.extra);
                sizes.sum::<usize>()
            };
            while self.failed.len() > LIMITS.keep_failed || size(&self.failed) > LIMITS.bytes {
                self.failed.remove(0);
            }
        }
        let mode = match end {
            End::Done if task.spec.has_finish => Mode::Finish,
            End::Failed | End::TimedOut | End::WorkerLost if task.spec.has_failed => Mode::Failed,
            _ => return,
        };
        let mut after = task;
        let origin = after.origins.first().copied();
        after.pin = match origin {
            Some(Origin::Worker { slot, generation }) if mode == Mode::Finish => self
                .seats
                .get(&slot.0)
                .filter(|seat| {
                    seat.generation == generation
                        && seat.is_here
                        && !seat.is_leaving
                        && seat.places > 0
                })
                .map(|seat| seat.id),
            _ => None,
        };
        if mode == Mode::Finish {
            after.pool = PoolId(0);
        }
        after.mode = mode;
        after.end = end;
        after.extra = bytes;
        after.priority = 0;
        after.number = self.number();
        after.at = At::Queued(after.number);
        self.next += 1;
        self.tasks.insert(self.next, after);
    }

    fn try_failed(&mut self, index: usize, end: End, bytes: usize) {
        let task = &self.tasks[&index];
        if task.mode != Mode::Run {
            self.tasks.remove(&index);
        } else if task.attempts >= task.spec.tries.max(1) {
            self.over(index, end, bytes);
        } else {
            let Backoff::Fixed(wait) = task.spec.backoff else {
                unreachable!("all are")
            };
            self.wait(index, self.now + wait);
        }
    }

    fn wait(&mut self, index: usize, due: u64) {
        let number = self.number();
        let now = self.now;
        let task = self.tasks.get_mut(&index).expect("it is there");
        if due > now {
            task.at = At::Delayed(due, number);
        } else {
            task.number = number;
            task.at = At::Queued(number);
        }
    }

    /// Both take a task.
    fn submit(&mut self, tasks: &mut Tasks, wanted: &Wanted) {
        let origin = match wanted.origin {
            0 => Origin::Nobody,
            1 => ME,
            2 => Origin::Inner(5),
            slot => {
                let slot = u16::from(slot) % SLOTS;
                let seat = self.seats.get(&slot);
                let generation = seat.map_or(1, |seat| seat.generation);
                Origin::Worker {
                    slot: WorkerSlot(slot),
                    generation,
                }
            }
        };
        let spec = NewTask {
            name: "task".into(),
            input: vec![0; wanted.bytes].into(),
            queue: wanted.queue,
            priority: wanted.priority,
            delay: wanted.delay,
            tries: wanted.tries,
            backoff: Backoff::Fixed(wanted.backoff),
            timeout: wanted.timeout,
            key: wanted.key.map(|key| key.to_string().into()),
            worker: wanted.pin,
            has_finish: wanted.flags & 1 > 0,
            has_failed: wanted.flags & 2 > 0,
            durable: wanted.flags & 4 > 0,
            origin,
        };
        let got = tasks.submit(self.now, spec.clone());
        let same = self.tasks.iter_mut().find(|(_, task)| {
            task.mode == Mode::Run && task.spec.key.is_some() && task.spec.key == spec.key
        });
        let full = |what| Err(SubmitError::Full { what });
        let expected = if let Some((_, task)) = same {
            task.spec.durable |= spec.durable;
            task.origins.push(origin);
            task.origins.retain(|&own| own != Origin::Nobody);
            Ok(Submitted {
                id: task.id,
                is_new: false,
            })
        } else if spec.worker == Some(4) {
            Err(SubmitError::Worker)
        } else if self.tasks.len() >= LIMITS.tasks {
            full(What::Tasks)
        } else if self.bytes() + spec.bytes() > LIMITS.bytes {
            full(What::Bytes)
        } else {
            let id = self.next_id;
            self.next_id += 1;
            self.insert(id, spec, vec![origin]);
            Ok(Submitted { id, is_new: true })
        };
        assert_eq!(got, expected);
    }

    fn insert(&mut self, id: TaskId, spec: NewTask, origins: Vec<Origin>) {
        let due = self.now + spec.delay;
        self.next += 1;
        let task = Own {
            id,
            origins,
            attempts: 0,
            mode: Mode::Run,
            end: End::Done,
            pool: queues()[usize::from(spec.queue)].pool,
            pin: spec.worker,
            priority: spec.priority,
            extra: 0,
            at: At::Queued(0),
            number: 0,
            spec,
        };
        self.tasks.insert(self.next, task);
        self.wait(self.next, due);
    }

    fn gone(&mut self, slot: u16) {
        let Some(seat) = self.seats.get_mut(&slot) else {
            return;
        };
        seat.is_here = false;
        let own: Vec<(CallId, Hand)> = self
            .hands
            .iter()
            .filter(|(_, hand)| hand.slot == slot)
            .map(|(&call, &hand)| (call, hand))
            .collect();
        for (call, hand) in own {
            self.let_go(call);
            let Some(index) = hand.task else {
                continue;
            };
            if hand.has_begun {
                self.try_failed(index, End::WorkerLost, 0);
            } else {
                let task = self.tasks.get_mut(&index).expect("it is there");
                task.at = At::Queued(task.number);
            }
        }
        self.free_pinned(slot);
    }

    fn free_pinned(&mut self, slot: u16) {
        let Some(id) = self.seats.get(&slot).map(|seat| seat.id) else {
            return;
        };
        if self.takes(id) {
            return;
        }
        let mut own: Vec<(u64, usize)> = self
            .tasks
            .iter()
            .filter(|(_, task)| {
                task.mode == Mode::Finish
                    && task.pin == Some(id)
                    && matches!(task.at, At::Queued(_))
            })
            .map(|(&index, task)| (task.number, index))
            .collect();
        own.sort_unstable();
        for (_, index) in own {
            let number = self.number();
            let task = self.tasks.get_mut(&index).expect("it is there");
            task.pin = None;
            task.number = number;
            task.at = At::Queued(number);
        }
    }

    fn tick(&mut self, by: u64) {
        self.now += by;
        let mut due: Vec<(u64, u64, usize)> = Vec::new();
        for (&index, task) in &self.tasks {
            let timer = match task.at {
                At::Delayed(due, number) => Some((due, number)),
                At::Begun(_, end) => end,
                _ => None,
            };
            due.extend(
                timer
                    .filter(|timer| timer.0 <= self.now)
                    .map(|timer| (timer.0, timer.1, index)),
            );
        }
        due.sort_unstable();
        for (_, _, index) in due {
            match self.tasks[&index].at {
                At::Begun(call, _) => {
                    let hand = self.hands.get_mut(&call).expect("it is there");
                    hand.task = None;
                    let slot = hand.slot;
                    self.expect(format!("abort {slot} {call} TimedOut"));
                    self.try_failed(index, End::TimedOut, 0);
                }
                _ => self.wait(index, 0),
            }
        }
    }

    fn act(&mut self, tasks: &mut Tasks, act: &Act) {
        let calls: Vec<CallId> = self.hands.keys().copied().collect();
        let pick = |which: usize| calls.get(which % calls.len().max(1)).copied();
        match *act {
            Act::Submit(ref wanted) => self.submit(tasks, wanted),
            Act::Cancel(which) => {
                let id = which as u64 % (self.next_id + 1);
                let got = tasks.cancel(self.now, id);
                let Some(index) = self.by_id(id) else {
                    assert_eq!(got, Cancel::Unknown);
                    return;
                };
                let mut expected = Cancel::Done;
                match self.tasks[&index].at {
                    At::Handed(call) => self.let_go(call),
                    At::Begun(call, _) => {
                        expected = Cancel::Running;
                        let hand = self.hands.get_mut(&call).expect("it is there");
                        hand.task = None;
                        let slot = hand.slot;
                        self.expect(format!("abort {slot} {call} Cancelled"));
                    }
                    _ => {}
                }
                assert_eq!(got, expected);
                self.over(index, End::Cancelled, 0);
            }
            Act::Begin(which) => {
                let Some(call) = pick(which) else {
                    assert!(!tasks.begin(self.now, WorkerSlot(0), which as u64));
                    return;
                };
                let hand = self.hands[&call];
                let other = WorkerSlot((hand.slot + 1) % SLOTS);
                assert!(!tasks.begin(self.now, other, call));
                let got = tasks.begin(self.now, WorkerSlot(hand.slot), call);
                let may = !hand.has_begun && hand.task.is_some();
                assert_eq!(got, may);
                if !may {
                    return;
                }
                assert!(self.begun.insert(call), "it has begun before");
                self.hands.get_mut(&call).expect("it is there").has_begun = true;
                let number = self.number();
                let index = hand.task.expect("it is there");
                let task = self.tasks.get_mut(&index).expect("it is there");
                assert_eq!(task.at, At::Handed(call));
                let end = (task.spec.timeout > 0).then_some((self.now + task.spec.timeout, number));
                task.at = At::Begun(call, end);
                task.attempts += u32::from(task.mode == Mode::Run);
            }
            Act::End(which, outcome) => {
                let bytes = which % 7;
                let payload = Payload::from(vec![1; bytes]);
                let Some(call) = pick(which) else {
                    let none = which as u64 % 50;
                    assert!(!tasks.end(self.now, WorkerSlot(0), none, outcome, payload));
                    return;
                };
                let hand = self.hands[&call];
                let got = tasks.end(self.now, WorkerSlot(hand.slot), call, outcome, payload);
                assert_eq!(got, hand.has_begun);
                if !got {
                    return;
                }
                self.let_go(call);
                let Some(index) = hand.task else {
                    return;
                };
                match (self.tasks[&index].mode, outcome) {
                    (Mode::Run, Outcome::Done) => self.over(index, End::Done, bytes),
                    (Mode::Run, Outcome::Unknown) => self.over(index, End::Unknown, bytes),
                    (Mode::Run, Outcome::Failed) => self.try_failed(index, End::Failed, bytes),
                    _ => {
                        self.tasks.remove(&index);
                    }
                }
            }
            Act::Progress(which) => {
                let Some(call) = pick(which) else {
                    return;
                };
                let hand = self.hands[&call];
                let got = tasks.progress(WorkerSlot(hand.slot), call, bytes("half"));
                let task = hand.task.filter(|_| hand.has_begun);
                let task = task.map(|index| self.tasks[&index].clone());
                let task = task.filter(|task| task.mode == Mode::Run);
                assert_eq!(got, task.is_some());
                for (task, origin) in task
                    .iter()
                    .flat_map(|task| task.origins.iter().map(move |origin| (task, origin)))
                {
                    if self.hears(*origin) {
                        self.expect(format!("progress {origin:?} {}", task.id));
                    }
                }
            }
            Act::Tick(by) => {
                self.tick(by);
                tasks.tick(self.now);
            }
            Act::Here { slot, pool, places } => {
                let seat = self.seats.get(&slot);
                // Sometimes told twice, mostly anew.
                let again = seat.is_some_and(|seat| seat.is_here) && places == 3;
                let generation = seat.map_or(1, |seat| seat.generation + u32::from(!again));
                if seat.is_some_and(|seat| seat.is_here) && !again {
                    self.gone(slot);
                }
                let seat = Seat {
                    generation,
                    // Two slots may have one id, as when a worker follows another.
                    id: slot % 3,
                    pool,
                    places,
                    is_here: true,
                    is_leaving: false,
                    is_blocked: false,
                };
                self.seats.insert(slot, seat);
                tasks.worker_here(WorkerSlot(slot), generation, seat.id, PoolId(pool), places);
            }
            Act::Leaving(slot) => {
                if let Some(seat) = self.seats.get_mut(&slot) {
                    seat.is_leaving = true;
                }
                self.free_pinned(slot);
                tasks.worker_leaving(self.now, WorkerSlot(slot));
            }
            Act::Gone(slot) => {
                if let Some(seat) = self.seats.get_mut(&slot) {
                    seat.is_leaving = true;
                }
                self.gone(slot);
                tasks.worker_gone(self.now, WorkerSlot(slot));
            }
            Act::Blocked(slot, yes) => {
                if let Some(seat) = self.seats.get_mut(&slot) {
                    seat.is_blocked = yes;
                }
                tasks.blocked(WorkerSlot(slot), yes);
            }
            Act::Retry(which) => {
                let id = self.failed.get(which % 4).map_or(99, |failed| failed.0);
                let got = tasks.retry(self.now, id);
                let Some(at) = self.failed.iter().position(|failed| failed.0 == id) else {
                    assert!(!got);
                    return;
                };
                let mut spec = self.failed[at].1.spec.clone();
                let taken = self.tasks.values().any(|task| {
                    task.mode == Mode::Run && task.spec.key.is_some() && task.spec.key == spec.key
                });
                if taken {
                    spec.key = None;
                }
                spec.delay = 0;
                let fits =
                    self.tasks.len() < LIMITS.tasks && self.bytes() + spec.bytes() <= LIMITS.bytes;
                assert_eq!(got, fits);
                if fits {
                    self.failed.remove(at);
                    self.insert(id, spec, vec![Origin::Nobody]);
                }
            }
            Act::Forget(which) => {
                let id = self.failed.get(which % 4).map_or(99, |failed| failed.0);
                let got = tasks.forget_failed(id);
                let count = self.failed.len();
                self.failed.retain(|failed| failed.0 != id);
                assert_eq!(got, self.failed.len() < count);
            }
            Act::EndIdle => {
                tasks.end_idle();
                let idle: Vec<usize> = self
                    .tasks
                    .iter()
                    .filter(|(_, task)| matches!(task.at, At::Delayed(..) | At::Queued(_)))
                    .map(|(&index, _)| index)
                    .collect();
                for index in idle {
                    if self.tasks[&index].mode == Mode::Run {
                        self.over(index, End::Stopped, 0);
                    } else {
                        self.tasks.remove(&index);
                    }
                }
            }
        }
    }

    /// A call came out: it is the right one.
    fn assigned(&mut self, output: &Output) {
        let Output::Call {
            slot,
            call,
            task: id,
            mode,
            attempt,
            extra,
            end,
            ..
        } = output
        else {
            unreachable!("it is one")
        };
        self.settle_tokens();
        let slot = slot.0;
        let could: Vec<usize> = (0..6)
            .filter(|&queue| self.queue_is_open(queue) && self.first(queue).is_some())
            .collect();
        let own = self.tasks.iter().find(|(_, task)| {
            task.id == *id && task.mode == *mode && matches!(task.at, At::Queued(_))
        });
        let (&index, task) = own.expect("it waits");
        let queue = self.queue_of(task);
        assert!(could.contains(&queue), "no bound is passed: {queue}");
        let (first, is_pinned) = self.first(queue).expect("it could go");
        assert_eq!(first, index, "it is the first of its queue");
        assert!(self.has_place(slot));
        let seat = self.seats[&slot];
        if is_pinned {
            assert_eq!(Some(seat.id), task.pin);
        } else {
            assert_eq!(seat.pool, task.pool.0);
            let fewest = self
                .seats
                .iter()
                .filter(|(other, own)| own.pool == seat.pool && self.has_place(**other))
                .map(|(&other, _)| self.in_hand(other))
                .min();
            assert_eq!(Some(self.in_hand(slot)), fewest, "it has the fewest");
        }
        let tried = task.attempts + u32::from(*mode == Mode::Run);
        assert_eq!((*attempt, *end, extra.len()), (tried, task.end, task.extra));
        if queue == 2 {
            self.tokens.0 -= 30;
        }
        self.passed.remove(&queue);
        for other in could.into_iter().filter(|&other| other != queue) {
            let times = self
                .passed
                .entry(other)
                .or_default()
                .entry(queue)
                .or_default();
            *times += 1;
            assert!(*times <= 1, "{other} waits while {queue} is served again");
        }
        self.tasks.get_mut(&index).expect("it is there").at = At::Handed(*call);
        let hand = Hand {
            slot,
            queue,
            task: Some(index),
            has_begun: false,
        };
        assert!(self.hands.insert(*call, hand).is_none());
    }

    /// Both say the same of everything.
    fn compare(&mut self, tasks: &mut Tasks) {
        let mut got = Vec::new();
        while let Some(output) = tasks.next_output(self.now) {
            match output {
                Output::Call { .. } => self.assigned(&output),
                Output::Journal(JournalOp::Put(id)) => {
                    let stored = tasks.stored(id);
                    let stored = stored.map(|task| (task.attempts, task.failure.is_some()));
                    match stored {
                        Some(stored) => self.journal.insert(id, stored),
                        None => self.journal.insert(id, (u32::MAX, false)),
                    };
                }
                Output::Journal(JournalOp::Delete(id)) => {
                    assert!(self.journal.remove(&id).is_some(), "it was put before");
                }
                other => got.push(show(&other)),
            }
        }
        got.sort();
        self.expected.sort();
        assert_eq!(got, std::mem::take(&mut self.expected));

        // A queue in which nothing waits gives up its turn.
        let waiting: BTreeSet<usize> = self
            .tasks
            .values()
            .filter(|task| matches!(task.at, At::Queued(_)))
            .map(|task| self.queue_of(task))
            .collect();
        self.passed.retain(|queue, _| waiting.contains(queue));
        self.settle_tokens();
        let idle = (0..6).all(|queue| !self.queue_is_open(queue) || self.first(queue).is_none());
        assert!(idle, "something could run");
        let mut due: Vec<u64> = Vec::new();
        for task in self.tasks.values() {
            due.extend(match task.at {
                At::Delayed(due, _) => Some(due),
                At::Begun(_, end) => end.map(|end| end.0),
                At::Queued(_) if task.mode == Mode::Run && task.pin.is_some() => {
                    Some(self.now + LIMITS.pinned_wait)
                }
                _ => None,
            });
        }
        if self.tokens.0 < 30 && self.first(2).is_some() {
            due.push(self.now + (30 - self.tokens.0).div_ceil(2));
        }
        let (first, next) = (due.into_iter().min(), tasks.next_due());
        assert_eq!(first.is_some(), next.is_some());
        assert!(next <= first, "{next:?} {first:?}");

        let stats = tasks.stats();
        let after = self
            .tasks
            .values()
            .filter(|task| task.mode != Mode::Run)
            .count();
        assert_eq!(
            (
                stats.tasks,
                stats.bytes,
                stats.kept,
                stats.handed,
                stats.after
            ),
            (
                self.tasks.len(),
                self.bytes(),
                self.failed.len(),
                self.hands.len(),
                after
            )
        );
        for slot in 0..SLOTS {
            assert_eq!(tasks.in_hand(WorkerSlot(slot)), self.in_hand(slot));
            let overdue = self
                .hands
                .values()
                .any(|hand| hand.slot == slot && hand.task.is_none());
            assert_eq!(tasks.is_overdue(WorkerSlot(slot)), overdue);
        }
        let mut counts = (0, 0, 0);
        for id in 0..self.next_id + 1 {
            let task = self.by_id(id).map(|index| &self.tasks[&index]);
            let status = task.map(|task| match task.at {
                At::Delayed(..) => Status::Delayed,
                At::Queued(_) => Status::Queued,
                At::Handed(_) | At::Begun(..) => Status::Running,
            });
            assert_eq!(tasks.status(id), status);
            match status {
                Some(Status::Delayed) => counts.0 += 1,
                Some(Status::Queued) => counts.1 += 1,
                Some(Status::Running) => counts.2 += 1,
                None => {}
            }
        }
        let total = stats.total;
        assert_eq!((total.delayed, total.waiting, total.running), counts);
        let failed: Vec<TaskId> = tasks.failed().map(|task| task.id).collect();
        let expected: Vec<TaskId> = self.failed.iter().map(|failed| failed.0).collect();
        assert_eq!(failed, expected);

        let mut journal: BTreeMap<TaskId, (u32, bool)> = BTreeMap::new();
        for task in self.tasks.values() {
            if task.spec.durable && task.mode == Mode::Run {
                let runs = matches!(task.at, At::Begun(..));
                journal.insert(task.id, (task.attempts - u32::from(runs), false));
            }
        }
        for (id, task, _) in &self.failed {
            if task.spec.durable {
                journal.insert(*id, (task.attempts, true));
            }
        }
        // Of those that sleep it has what was said last.
        self.journal.retain(|id, _| {
            !self.asleep.contains(id) || {
                journal.remove(id);
                false
            }
        });
        assert_eq!(self.journal, journal);
    }

    /// Everything comes to its end, once workers are there that do what they get.
    fn finish(&mut self, tasks: &mut Tasks) {
        for slot in 0..SLOTS {
            self.act(tasks, &Act::Gone(slot));
            self.compare(tasks);
        }
        for slot in 0..SLOTS {
            let pool = slot % 2;
            self.act(
                tasks,
                &Act::Here {
                    slot,
                    pool,
                    places: 2,
                },
            );
            self.compare(tasks);
        }
        for round in 0..10_000 {
            if self.tasks.is_empty() && self.hands.is_empty() {
                return;
            }
            while let Some((&call, hand)) = self.hands.iter().next() {
                let outcome = Outcome::Done;
                if !hand.has_begun {
                    self.act(tasks, &Act::Begin(0));
                }
                assert!(self.hands.contains_key(&call));
                self.act(tasks, &Act::End(0, outcome));
                self.compare(tasks);
            }
            // Nobody has this id.
            let stuck = self
                .tasks
                .values()
                .find(|task| task.pin == Some(3) && task.mode == Mode::Run)
                .map(|task| task.id);
            match stuck {
                Some(id) => self.act(tasks, &Act::Cancel(id as usize)),
                None => self.act(tasks, &Act::Tick(10)),
            }
            self.compare(tasks);
            assert!(round < 9_999, "it does not end: {:?}", self.tasks);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_task_ends_once_and_nothing_passes_its_bound(acts in prop::collection::vec(act(), 1..250)) {
        let mut tasks = Tasks::new(LIMITS, queues(), 1);
        let mut model = Model::new();
        for act in &acts {
            model.act(&mut tasks, act);
            model.compare(&mut tasks);
        }
        model.finish(&mut tasks);
        prop_assert_eq!(tasks.stats().tasks, 0);
        prop_assert_eq!(tasks.stats().bytes, 0);
    }
}
