//! The shared timers: the clock of [`NamedTimers`], which decides everything, and their way into the queue of tasks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use sluice_core::task::{NewTask, Origin, Payload, TaskId};
use sluice_core::timer::{Calling, Clear, Full, NamedTimers, NewTimer, TimerCall, TimerLimits};

use crate::clock::NEVER;
use crate::server::{Server, Shared};
use crate::wake::lock;

/// Calls that go to the queue of tasks at once.
const CALLS_AT_ONCE: usize = 256;
/// Milliseconds after which a queue that was full is tried again.
const FULL_MS: u64 = 16;
/// Longest input of a call.
pub const INPUT_MAX: usize = 64 * 1024;
/// Longest name of a timer or a task, in bytes of UTF-8.
pub const NAME_MAX: usize = 255;
/// Names collected before others get their turn with the timers.
const NAMES_AT_ONCE: usize = 4096;

/// Why a timer was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// There are as many as `timers.max` allows, or they carry as much as `timers.bytes` does.
    #[error("there are as many timers as `timers.max` and `timers.bytes` allow")]
    Full,
    /// The name of the timer or of its task has no or more than [`NAME_MAX`] bytes.
    #[error("a name has 1 to 255 bytes")]
    Name,
    /// Its task is for a queue or a worker that there never is.
    #[error("there is never such a queue or worker")]
    Place,
    /// The input has more than [`INPUT_MAX`] bytes.
    #[error("the input has {0} bytes, more than 65536")]
    Input(usize),
}

/// What is known of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerInfo {
    /// When it is due next, Unix ms; of one whose call waits for a worker, when it was.
    pub next: u64,
    /// 0 for one that is due once.
    pub interval: u64,
    /// Calls that have begun.
    pub count: u32,
}

/// The timers of a server.
pub(crate) struct Timers {
    /// Nothing is called, sent or waited for under it.
    state: Mutex<NamedTimers>,
    /// A server that stops begins nothing new by itself.
    is_stopped: AtomicBool,
}

/// A call on its way to the queue of tasks.
struct Fired {
    id: TimerCall,
    task: Arc<str>,
    calling: Calling,
    input: Payload,
}

impl Fired {
    /// The task that it becomes. It is for this process alone, and of no key: with the timer it ends.
    fn task(&self) -> NewTask {
        let (name, input) = (Arc::clone(&self.task), Arc::clone(&self.input));
        NewTask {
            origin: Origin::Inner(self.id),
            ..NewTask::called(name, input, self.calling)
        }
    }
}

impl Timers {
    pub(crate) fn new(limits: TimerLimits) -> Self {
        Self {
            state: Mutex::new(NamedTimers::new(limits)),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// No timer calls any more.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, NamedTimers> {
        lock(&self.state)
    }

    /// How many timers there are, how many calls wait to be handed over, and how many ticks were skipped.
    pub(crate) fn stats(&self) -> (usize, usize, u64) {
        let timers = self.lock();
        (timers.len(), timers.waiting(), timers.skipped())
    }

    /// The handler of a call is about to run.
    pub(crate) fn begun(&self, id: TimerCall) {
        self.lock().begun(id);
    }

    /// A call is over.
    pub(crate) fn over(&self, id: TimerCall) {
        self.lock().over(id);
    }

    /// Calls that wait to be handed over, some of them.
    fn take_calls(&self) -> Vec<Fired> {
        let mut timers = self.lock();
        let mut calls = Vec::new();
        timers.skip_cleared();
        while calls.len() < CALLS_AT_ONCE
            && let Some(call) = timers.next_call()
        {
            let (task, input) = (Arc::from(call.task), Payload::from(call.input));
            let calling = call.calling;
            let id = timers.handed();
            calls.push(Fired {
                id,
                task,
                calling,
                input,
            });
            timers.skip_cleared();
        }
        calls
    }
}

impl Shared {
    /// Lets time pass for the timers. When to do so again.
    pub(crate) fn run_timers(&self, now: u64) -> u64 {
        self.timers.lock().tick(now);
        while !self.timers.is_stopped.load(Ordering::Relaxed) {
            let calls = self.timers.take_calls();
            if calls.is_empty() {
                break;
            }
            if !self.call_timers(&calls) {
                return now + FULL_MS;
            }
        }
        self.timers.lock().next_due().unwrap_or(NEVER)
    }

    /// Makes tasks of calls. False: the queue has no room for all of them, and the rest waits.
    fn call_timers(&self, calls: &[Fired]) -> bool {
        let ids: Vec<Option<TaskId>> = self.on_tasks(|state, now| {
            let mut submit = |call: &Fired| {
                state
                    .tasks
                    .submit(now, call.task())
                    .ok()
                    .map(|task| task.id)
            };
            calls.iter().map(&mut submit).collect()
        });
        let mut cleared = Vec::new();
        let mut timers = self.timers.lock();
        // The last one first: what is refused goes to the head of those that wait.
        for (call, task) in calls.iter().zip(&ids).rev() {
            match *task {
                Some(task) if !timers.became(call.id, task) => cleared.push(task),
                Some(_) => {}
                None => timers.refused(call.id),
            }
        }
        drop(timers);
        self.cancel_calls(&cleared);
        ids.iter().all(Option::is_some)
    }

    fn cancel_calls(&self, tasks: &[TaskId]) {
        if !tasks.is_empty() {
            self.on_tasks(|state, now| {
                for &task in tasks {
                    state.tasks.cancel(now, task);
                }
            });
        }
    }
}

impl Server {
    /// Sets a timer that is due in `ms`, 1 or more, and with `repeats` every `ms` from then on: `task` is called so with `input` in one worker. False,
    /// and nothing changes, when there is one of that name.
    ///
    /// # Errors
    ///
    /// [`SetError`]: nothing is set.
    pub fn set_timer(
        &self,
        name: &str,
        task: &str,
        calling: Calling,
        input: &[u8],
        ms: u64,
        repeats: bool,
    ) -> Result<bool, SetError> {
        let is_name = |name: &str| (1..=NAME_MAX).contains(&name.len());
        if !is_name(name) || !is_name(task) {
            return Err(SetError::Name);
        }
        if input.len() > INPUT_MAX {
            return Err(SetError::Input(input.len()));
        }
        if !self.shared.tasks.has_place(calling.queue, calling.worker) {
            return Err(SetError::Place);
        }
        let ms = ms.max(1);
        let due = self.shared.clock.now_or_later().saturating_add(ms);
        let timer = NewTimer {
            name,
            task,
            calling,
            input,
            due,
            interval: if repeats { ms } else { 0 },
        };
        let is_new = match self.shared.timers.lock().set(&timer) {
            Ok(is_new) => is_new,
            Err(Full) => return Err(SetError::Full),
        };
        if is_new {
            self.shared.clock.wake_by(due);
        }
        Ok(is_new)
    }

    /// Clears a timer: a call of it that has not begun does not begin. False when there is none of that name.
    pub fn clear_timer(&self, name: &str) -> bool {
        let clear = self.shared.timers.lock().clear(name);
        if let Clear::Withdrawn(Some(task)) = clear {
            self.shared.cancel_calls(&[task]);
        }
        clear != Clear::Unknown
    }

    /// Clears every timer; how many there were.
    pub fn clear_timers(&self) -> usize {
        let cleared = self.shared.timers.lock().clear_all();
        self.shared.cancel_calls(&cleared.withdrawn);
        cleared.count
    }

    /// Whether there is a timer of that name.
    pub fn has_timer(&self, name: &str) -> bool {
        self.shared.timers.lock().has(name)
    }

    /// What is known of a timer.
    pub fn timer_info(&self, name: &str) -> Option<TimerInfo> {
        let info = self.shared.timers.lock().info(name)?;
        Some(TimerInfo {
            next: self.shared.started_unix_ms().saturating_add(info.due),
            interval: info.interval,
            count: info.count,
        })
    }

    /// The names of all timers, in no order. Those that come and go meanwhile may be among them or not.
    pub fn timer_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut from = Some(0);
        while let Some(at) = from {
            let state = self.shared.timers.lock();
            from = state.names(at, NAMES_AT_ONCE, &mut names);
        }
        names
    }
}
