//! Timers by name, and the calls that they make when they are due: who is due, and what becomes of its call.
//!
//! ```text
//!            due              handed             begin            over
//!  in time ────────▶ waiting ────────▶ in the ────────▶ begun ───────▶ (in time again, or gone)
//!                                      queue of tasks
//! ```
//!
//! A timer has at most one call that is not over: what comes due meanwhile is skipped and counted. So everything here is bound
//! by the number of timers.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::callees::{Callees, Calling};
use super::wheel::{TimerKey, Wheel};
use crate::task::TaskId;

/// Timers that come due in one [`NamedTimers::tick`]; whoever shares them does not wait longer than for that.
const TICK_MAX: usize = 1024;

/// Names a call of a timer; never used again.
pub type TimerCall = u64;

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

/// What came of clearing a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// There is none of that name.
    Unknown,
    /// It is cleared.
    Done,
    /// It is cleared, and its call is not to begin.
    Withdrawn(Withdrawn),
}

/// The task that a call became and that is to be cancelled; none while it is on its way to the queue, which then learns from
/// [`NamedTimers::became`].
pub type Withdrawn = Option<TaskId>;

/// All timers that there were. Dropping it takes a while: do it where nobody waits.
#[derive(Debug)]
pub struct ClearedAll {
    /// How many there were.
    pub count: usize,
    /// Calls that are not to begin.
    pub withdrawn: Vec<TaskId>,
    _wheel: Wheel<Timer>,
    _names: HashTable<u32>,
    _tasks: Callees,
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
    /// How.
    pub calling: Calling,
    /// What with: bytes that only JavaScript understands.
    pub input: &'a [u8],
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
    tasks: Callees,
    /// Timers whose call waits for a worker. A key without a timer is of one that was cleared.
    waiting: VecDeque<TimerKey>,
    calls: HashMap<TimerCall, Call>,
    last_id: TimerCall,
    skipped: u64,
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

/// A call in the queue of tasks.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// None when it was cleared after it had begun, or is gone by having begun.
    timer: Option<TimerKey>,
    task: Option<TaskId>,
    has_begun: bool,
}

/// A timer that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct NewTimer<'a> {
    /// Up to 255 bytes.
    pub name: &'a str,
    /// The task it calls.
    pub task: &'a str,
    /// How.
    pub calling: Calling,
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
            tasks: Callees::default(),
            waiting: VecDeque::new(),
            calls: HashMap::new(),
            last_id: 0,
            skipped: 0,
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
            task: self.tasks.take(timer.task, timer.calling),
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
                .calls
                .iter_mut()
                .find(|(_, call)| call.timer == Some(key));
            match call.map(|(id, call)| (*id, call)) {
                Some((_, call)) if call.has_begun => call.timer = None,
                Some((id, call)) => {
                    clear = Clear::Withdrawn(call.task);
                    self.calls.remove(&id);
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
        self.calls.retain(|_, call| {
            call.timer = None;
            if !call.has_begun {
                withdrawn.extend(call.task);
            }
            call.has_begun
        });
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
            self.skipped += passed + u64::from(!is_over);
            self.wheel.schedule(key, next);
        }
        if is_over {
            self.waiting.push_back(key);
        }
    }

    /// How many calls wait to be handed over.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Ticks that were skipped so far: too late, or the call before was not over.
    pub fn skipped(&self) -> u64 {
        self.skipped
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
        let (task, calling) = self.tasks.get(timer.task);
        Some(Due {
            task,
            calling,
            input: timer.input(),
        })
    }

    /// The call that [`next_call`](Self::next_call) has shown is on its way to the queue of tasks.
    pub fn handed(&mut self) -> TimerCall {
        self.last_id += 1;
        if let Some(key) = self.waiting.pop_front() {
            let call = Call {
                timer: Some(key),
                task: None,
                has_begun: false,
            };
            self.calls.insert(self.last_id, call);
        }
        self.last_id
    }

    /// The queue has no room for a call; it waits again, before all others.
    pub fn refused(&mut self, id: TimerCall) {
        if let Some(key) = self.calls.remove(&id).and_then(|call| call.timer) {
            self.waiting.push_front(key);
        }
    }

    /// A call is a task now. False: its timer was cleared meanwhile, and the task is to be cancelled.
    pub fn became(&mut self, id: TimerCall, task: TaskId) -> bool {
        let call = self.calls.get_mut(&id);
        if let Some(call) = call {
            call.task = Some(task);
            return true;
        }
        false
    }

    /// The handler of a call is about to run, for the first time or again. The name of a timer that is due once is free from now on, for the handler itself, too.
    pub fn begun(&mut self, id: TimerCall) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut call.has_begun, true) {
            return;
        }
        let Some(key) = call.timer else {
            return;
        };
        let Some(timer) = self.wheel.get_mut(key) else {
            return;
        };
        timer.count_call();
        if timer.interval == 0 {
            call.timer = None;
            self.forget(key);
        }
    }

    /// A call is over, or will never begin; its timer may call again.
    pub fn over(&mut self, id: TimerCall) {
        let Some(key) = self.calls.remove(&id).and_then(|call| call.timer) else {
            return;
        };
        let Some(timer) = self.wheel.get_mut(key) else {
            return;
        };
        timer.set_busy(false);
        if timer.interval == 0 {
            self.forget(key);
        }
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
