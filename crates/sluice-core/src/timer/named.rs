//! Timers by name, and the calls that they make when they are due: who has which call, and what becomes of it.
//!
//! ```text
//!            due                 delivered               begin            end
//!  in time ────────▶ waiting ────────────────▶ in a ────────────▶ begun ───────▶ (in time again, or over)
//!                       ▲                    worker's ring          │
//!                       └──── its worker dies ────┘                 └─ its worker dies: lost
//! ```
//!
//! A timer has at most one call that is not over: what comes due meanwhile is skipped and counted. So everything here is bound
//! by the number of timers, and the calls that have begun by [`IN_HAND_MAX`] per worker.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::task_names::TaskNames;
use super::wheel::{TimerKey, Wheel};
use crate::id::WorkerSlot;

/// Calls in the hands of one worker at once.
pub const IN_HAND_MAX: u32 = 256;
/// Timers that come due in one [`NamedTimers::tick`]; whoever shares them does not wait longer than for that.
const TICK_MAX: usize = 1024;

/// Names a call in a worker's hands; never used again.
pub type CallId = u64;

/// There are as many timers as there may be, or what they carry is as long as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// How many timers there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerLimits {
    /// Timers.
    pub timers: usize,
    /// Bytes of their names and inputs.
    pub bytes: usize,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its handler returned.
    Done,
    /// Its handler threw.
    Failed,
    /// The worker has no task of that name.
    Unknown,
}

/// What came of clearing a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// There is none of that name.
    Unknown,
    /// It is cleared.
    Done,
    /// It is cleared, and this worker has one call less in its hands.
    Withdrawn(WorkerSlot),
}

/// All timers that there were. Dropping it takes a while: do it where nobody waits.
#[derive(Debug)]
pub struct ClearedAll {
    /// How many there were.
    pub count: usize,
    /// The workers that have one call less in their hands, each as often as that.
    pub withdrawn: Vec<WorkerSlot>,
    _wheel: Wheel<Timer>,
    _names: HashTable<u32>,
    _tasks: TaskNames,
    _waiting: VecDeque<TimerKey>,
}

/// What is told of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerInfo {
    /// When it is due next; of a call that waits, when it was.
    pub due: u64,
    /// 0 for one that is due once.
    pub interval: u64,
    /// Calls that have begun.
    pub count: u32,
}

/// A call that is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<'a> {
    /// The task it calls.
    pub task: &'a str,
    /// What with: bytes that only JavaScript understands.
    pub input: &'a [u8],
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Calls that have begun.
    pub begun: u64,
    /// Of those, calls whose handler threw.
    pub failed: u64,
    /// Of those, calls whose worker died.
    pub lost: u64,
    /// Calls of tasks that nobody knew.
    pub unknown: u64,
    /// Ticks that were skipped: too late, or the call before was not over.
    pub skipped: u64,
}

/// See the module. Times are milliseconds.
#[derive(Debug)]
pub struct NamedTimers {
    limits: TimerLimits,
    /// Bytes of names and inputs.
    bytes: usize,
    wheel: Wheel<Timer>,
    /// Places in the wheel, by the hash of the name.
    names: HashTable<u32>,
    hasher: RandomState,
    tasks: TaskNames,
    /// Timers whose call waits for a worker. A key without a timer is of one that was cleared.
    waiting: VecDeque<TimerKey>,
    hands: HashMap<CallId, Call>,
    /// By slot: how many of `hands` it has.
    in_hand: Vec<u32>,
    last_id: CallId,
    counts: CallCounts,
    /// Scratch.
    expired: Vec<TimerKey>,
}

/// 32 bytes, which a test watches: there are a million of them.
#[derive(Debug)]
struct Timer {
    /// The length of the name in a byte, the name, the input.
    text: Box<[u8]>,
    interval: u64,
    task: u32,
    /// Calls that have begun, and [`BUSY`].
    count: u32,
}

/// The bit of a timer's count that says: it has a call that is not over.
const BUSY: u32 = 1 << 31;

impl Timer {
    fn name(&self) -> &[u8] {
        let (len, rest) = self.text.split_at(1);
        &rest[..usize::from(len[0])]
    }

    fn input(&self) -> &[u8] {
        &self.text[1 + usize::from(self.text[0])..]
    }

    fn is_busy(&self) -> bool {
        self.count & BUSY != 0
    }

    fn set_busy(&mut self, yes: bool) {
        self.count = self.count() | if yes { BUSY } else { 0 };
    }

    fn count(&self) -> u32 {
        self.count & !BUSY
    }

    /// One call more has begun; the last number stands for all beyond it.
    fn count_call(&mut self) {
        if self.count() < !BUSY {
            self.count += 1;
        }
    }
}

/// A call in a worker's hands.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// None when it was cleared after it had begun.
    timer: Option<TimerKey>,
    slot: WorkerSlot,
    has_begun: bool,
}

/// A timer that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct NewTimer<'a> {
    /// Up to 255 bytes.
    pub name: &'a str,
    /// The task it calls.
    pub task: &'a str,
    /// What with.
    pub input: &'a [u8],
    /// When it is due, for the first time.
    pub due: u64,
    /// 0: once.
    pub interval: u64,
}

impl NamedTimers {
    /// Without timers; allocates for those that are set.
    pub fn new(limits: TimerLimits) -> Self {
        Self {
            limits,
            bytes: 0,
            wheel: Wheel::new(),
            names: HashTable::new(),
            hasher: RandomState::new(),
            tasks: TaskNames::default(),
            waiting: VecDeque::new(),
            hands: HashMap::new(),
            in_hand: Vec::new(),
            last_id: 0,
            counts: CallCounts::default(),
            expired: Vec::new(),
        }
    }

    /// Sets a timer. False, and nothing changes, when there is one of that name.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn set(&mut self, timer: &NewTimer<'_>) -> Result<bool, Full> {
        let name = timer.name.as_bytes();
        let Ok(name_len) = u8::try_from(name.len()) else {
            // Its caller has looked; a name that cannot be kept is none.
            return Ok(false);
        };
        let hash = self.hasher.hash_one(name);
        if self.find(hash, name).is_some() {
            return Ok(false);
        }
        let bytes = self.bytes + name.len() + timer.input.len();
        if self.wheel.len() >= self.limits.timers || bytes > self.limits.bytes {
            return Err(Full);
        }
        let mut text = Vec::with_capacity(1 + name.len() + timer.input.len());
        text.push(name_len);
        text.extend_from_slice(name);
        text.extend_from_slice(timer.input);
        let own = Timer {
            text: text.into_boxed_slice(),
            interval: timer.interval,
            task: self.tasks.take(timer.task),
            count: 0,
        };
        let key = self.wheel.insert(timer.due, own).ok_or(Full)?;
        self.bytes = bytes;
        let Self {
            names,
            wheel,
            hasher,
            ..
        } = self;
        names.insert_unique(hash, key.index(), |&index| {
            hasher.hash_one(wheel.at(index).map_or(&[][..], |(_, timer)| timer.name()))
        });
        Ok(true)
    }

    /// Clears a timer: a call of it that has not begun does not begin.
    pub fn clear(&mut self, name: &str) -> Clear {
        let name = name.as_bytes();
        let Some(key) = self.find(self.hasher.hash_one(name), name) else {
            return Clear::Unknown;
        };
        let mut clear = Clear::Done;
        if self.wheel.get(key).is_some_and(Timer::is_busy) {
            let call = self
                .hands
                .iter_mut()
                .find(|(_, call)| call.timer == Some(key));
            match call.map(|(id, call)| (*id, call)) {
                Some((_, call)) if call.has_begun => call.timer = None,
                Some((id, call)) => {
                    clear = Clear::Withdrawn(call.slot);
                    self.let_go(id);
                }
                None => {}
            }
        }
        self.forget(key);
        self.drop_stale();
        clear
    }

    /// Clears every timer.
    pub fn clear_all(&mut self) -> ClearedAll {
        let count = self.wheel.len();
        let mut withdrawn = Vec::new();
        self.hands.retain(|_, call| {
            call.timer = None;
            if !call.has_begun {
                withdrawn.push(call.slot);
            }
            call.has_begun
        });
        for slot in &withdrawn {
            self.in_hand[slot.index()] -= 1;
        }
        self.bytes = 0;
        ClearedAll {
            count,
            withdrawn,
            _wheel: std::mem::take(&mut self.wheel),
            _names: std::mem::take(&mut self.names),
            _tasks: std::mem::take(&mut self.tasks),
            _waiting: std::mem::take(&mut self.waiting),
        }
    }

    /// Whether there is a timer of that name.
    pub fn has(&self, name: &str) -> bool {
        self.find(self.hasher.hash_one(name.as_bytes()), name.as_bytes())
            .is_some()
    }

    /// What is known of a timer.
    pub fn info(&self, name: &str) -> Option<TimerInfo> {
        let key = self.find(self.hasher.hash_one(name.as_bytes()), name.as_bytes())?;
        let timer = self.wheel.get(key)?;
        Some(TimerInfo {
            due: self.wheel.due(key)?,
            interval: timer.interval,
            count: timer.count(),
        })
    }

    /// Appends names of timers to `names`, at most `limit`, in no order; `from` is 0 or what the call before has given. `None` after the last.
    pub fn names(&self, from: u32, limit: usize, names: &mut Vec<String>) -> Option<u32> {
        let mut index = from;
        let end = self.wheel.places();
        let mut left = limit;
        while index < end && left > 0 {
            if let Some((_, timer)) = self.wheel.at(index) {
                names.push(String::from_utf8_lossy(timer.name()).into_owned());
            }
            // Empty places cost time, too.
            left -= 1;
            index += 1;
        }
        (index < end).then_some(index)
    }

    /// How many timers there are.
    pub fn len(&self) -> usize {
        self.wheel.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.wheel.is_empty()
    }

    /// When to [`tick`](Self::tick) next.
    pub fn next_due(&self) -> Option<u64> {
        self.wheel.next_due()
    }

    /// Goes on to `now`: calls of timers that came due wait for workers from now on. With a thousand or more of them time stands still
    /// before the rest: then [`next_due`](Self::next_due) is not after `now`.
    pub fn tick(&mut self, now: u64) {
        let mut expired = std::mem::take(&mut self.expired);
        expired.clear();
        self.wheel.advance(now, TICK_MAX, &mut expired);
        for &key in &expired {
            self.come_due(key, now);
        }
        self.expired = expired;
    }

    fn come_due(&mut self, key: TimerKey, now: u64) {
        let Some(planned) = self.wheel.due(key) else {
            return;
        };
        let Some(timer) = self.wheel.get_mut(key) else {
            return;
        };
        let is_over = !timer.is_busy();
        timer.set_busy(true);
        // In whole intervals from the planned time: it keeps its phase however late this is.
        if let Some(passed) = now.saturating_sub(planned).checked_div(timer.interval) {
            let next = planned.saturating_add((passed + 1).saturating_mul(timer.interval));
            self.counts.skipped += passed + u64::from(!is_over);
            self.wheel.schedule(key, next);
        }
        if is_over {
            self.waiting.push_back(key);
        }
    }

    /// How many calls wait for a worker.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many calls are in the hands of workers.
    pub fn handed(&self) -> usize {
        self.hands.len()
    }

    /// How many calls are in the hands of one worker.
    pub fn in_hand(&self, slot: WorkerSlot) -> u32 {
        self.in_hand.get(slot.index()).copied().unwrap_or(0)
    }

    /// What has happened so far.
    pub fn counts(&self) -> CallCounts {
        self.counts
    }

    /// Forgets waiting calls of timers that were cleared, so that [`next_call`](Self::next_call) shows the next one.
    pub fn skip_cleared(&mut self) {
        while let Some(&key) = self.waiting.front()
            && self.wheel.get(key).is_none()
        {
            self.waiting.pop_front();
        }
    }

    /// The call that has waited longest, after [`skip_cleared`](Self::skip_cleared).
    pub fn next_call(&self) -> Option<Due<'_>> {
        let timer = self.wheel.get(*self.waiting.front()?)?;
        Some(Due {
            task: self.tasks.name(timer.task),
            input: timer.input(),
        })
    }

    /// The id that the next call gets when it is [`delivered`](Self::delivered).
    pub fn next_id(&self) -> CallId {
        self.last_id + 1
    }

    /// The call that [`next_call`](Self::next_call) has shown is in a worker's ring now, under [`next_id`](Self::next_id).
    pub fn delivered(&mut self, slot: WorkerSlot) {
        let Some(key) = self.waiting.pop_front() else {
            return;
        };
        self.last_id += 1;
        let call = Call {
            timer: Some(key),
            slot,
            has_begun: false,
        };
        self.hands.insert(self.last_id, call);
        if self.in_hand.len() <= slot.index() {
            self.in_hand.resize(slot.index() + 1, 0);
        }
        self.in_hand[slot.index()] += 1;
    }

    /// A worker wants to begin a call. False: it is not to, because the timer was cleared or somebody else has the call.
    pub fn begin(&mut self, slot: WorkerSlot, id: CallId) -> bool {
        let Some(call) = self.hands.get_mut(&id) else {
            return false;
        };
        let Some(key) = call.timer.filter(|_| call.slot == slot && !call.has_begun) else {
            return false;
        };
        call.has_begun = true;
        self.counts.begun += 1;
        let Some(timer) = self.wheel.get_mut(key) else {
            return true;
        };
        timer.count_call();
        if timer.interval == 0 {
            // From now on the name is free, for the handler itself, too.
            call.timer = None;
            self.forget(key);
        }
        true
    }

    /// A call has come to its end. True: the worker has one call less in its hands.
    pub fn end(&mut self, slot: WorkerSlot, id: CallId, outcome: Outcome) -> bool {
        if !self
            .hands
            .get(&id)
            .is_some_and(|call| call.slot == slot && call.has_begun)
        {
            return false;
        }
        match outcome {
            Outcome::Done => {}
            Outcome::Failed => self.counts.failed += 1,
            Outcome::Unknown => self.counts.unknown += 1,
        }
        self.rest(id);
        true
    }

    /// A worker is gone. What it had begun is lost, the rest waits again, before everything else. How many calls it had in its hands.
    pub fn worker_gone(&mut self, slot: WorkerSlot) -> u32 {
        let count = self.in_hand(slot);
        if count == 0 {
            return 0;
        }
        let mut ids: Vec<CallId> = self
            .hands
            .iter()
            .filter(|(_, call)| call.slot == slot)
            .map(|(&id, _)| id)
            .collect();
        ids.sort_unstable();
        for id in ids.into_iter().rev() {
            match self.hands.get(&id) {
                Some(call) if call.has_begun => {
                    self.counts.lost += 1;
                    self.rest(id);
                }
                Some(&Call { timer, .. }) => {
                    self.let_go(id);
                    if let Some(key) = timer {
                        self.waiting.push_front(key);
                    }
                }
                None => {}
            }
        }
        count
    }

    /// Takes a call that is over out of its worker's hands; its timer may call again.
    fn rest(&mut self, id: CallId) {
        let timer = self.hands.get(&id).and_then(|call| call.timer);
        if let Some(timer) = timer.and_then(|key| self.wheel.get_mut(key)) {
            timer.set_busy(false);
        }
        self.let_go(id);
    }

    fn let_go(&mut self, id: CallId) -> Option<WorkerSlot> {
        let call = self.hands.remove(&id)?;
        if let Some(count) = self.in_hand.get_mut(call.slot.index()) {
            *count -= 1;
        }
        Some(call.slot)
    }

    fn find(&self, hash: u64, name: &[u8]) -> Option<TimerKey> {
        let is_it = |&index: &u32| {
            self.wheel
                .at(index)
                .is_some_and(|(_, timer)| timer.name() == name)
        };
        let index = *self.names.find(hash, is_it)?;
        Some(self.wheel.at(index)?.0)
    }

    /// Removes a timer with its name.
    fn forget(&mut self, key: TimerKey) {
        let Some(timer) = self.wheel.get(key) else {
            return;
        };
        let hash = self.hasher.hash_one(timer.name());
        if let Ok(entry) = self.names.find_entry(hash, |&index| index == key.index()) {
            entry.remove();
        }
        if let Some(timer) = self.wheel.remove(key) {
            self.bytes -= timer.text.len() - 1;
            self.tasks.give_back(timer.task);
        }
    }

    /// Keys of timers that were cleared while their call waited: no more of them than of those that wait.
    fn drop_stale(&mut self) {
        if self.waiting.len() > 64 && self.waiting.len() > 2 * self.wheel.len() {
            let wheel = &self.wheel;
            self.waiting.retain(|&key| wheel.get(key).is_some());
        }
    }
}

#[cfg(test)]
mod tests;
