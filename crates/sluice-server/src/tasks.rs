//! Tasks from thread to thread: a mutex around [`Tasks`], which decides everything, and the lanes that calls and results travel by.
//!
//! Whoever changes something runs [`Shared::on_tasks`]: under the mutex the change, what follows from it, and the records; after it the wakes, the
//! reports and the clock. So a delivery takes one wake to the worker that runs it and one back, and no reactor.

use std::hint;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};

use sluice_core::config::TasksConfig;
use sluice_core::cron::RunId;
use sluice_core::id::WorkerSlot;
use sluice_core::task::{
    CallId, Cancel, Limits, Mode, NewTask, Origin, Outcome, Output, Payload, PoolId, QueueSpec,
    Rate, Status, SubmitError, Submitted, TaskId, Tasks, Why,
};
use sluice_core::timer::TimerCall;

use sluice_journal::{Journal, JournalError};

use crate::clock::{Clock, NEVER};
use crate::cron::{self, RunEnd};
use crate::error::Error;
use crate::notice::Notice;
use crate::server::{Server, Shared};
use crate::task_lane::{Call, Part, Role, TaskLane};
use crate::task_store::{self, TaskStore};
use crate::tasks_journal::TasksJournal;
use crate::wake::lock;
use crate::worker::{Worker, WorkerLink};

/// Calls in the hands of one worker at once, where the configuration does not say it.
const IN_HAND_MAX: u32 = 256;
/// Milliseconds that a task for one worker alone waits for it while it is not there: longer than a worker takes to come back.
const PINNED_WAIT: u64 = 300_000;
/// Tries to get the tasks before a thread sleeps for them.
const SPINS: u32 = 100;
/// The pool that no queue has.
const NO_QUEUE: u16 = 3;
/// The id of a worker that has none.
const NO_NUMBER: u16 = u16::MAX;

/// The tasks of a server.
pub(crate) struct TaskBoard {
    state: Mutex<State>,
    /// Not used under the mutex: its thread takes that too.
    journal: Option<Arc<Journal>>,
    /// What was found in the journal that should not be there.
    warning: Option<String>,
    concurrency: u32,
    worker_ids: u32,
    /// The index of the queue of cron jobs, behind those that users know.
    pub(crate) cron_queue: u16,
}

pub(crate) struct State {
    pub(crate) tasks: Tasks,
    /// By slot.
    lanes: Vec<Option<TaskLane>>,
    /// Where durable ones are kept.
    pub(crate) store: Option<TaskStore>,
    /// Lanes that something was written to.
    dirty: Vec<WorkerSlot>,
    /// Somebody waits for the end of what can be run.
    is_finishing: bool,
}

/// What is done after the mutex is free.
#[derive(Default)]
struct News {
    wakes: Vec<Arc<WorkerLink>>,
    released: Vec<WorkerSlot>,
    timers: Vec<TimerCall>,
    /// Runs of cron jobs that are over.
    runs: Vec<(RunId, RunEnd)>,
    is_done: bool,
}

impl State {
    pub(crate) fn lane(&mut self, slot: WorkerSlot) -> Option<&mut TaskLane> {
        self.lanes.get_mut(slot.index())?.as_mut()
    }

    /// The lane of whoever has delivered a task, if that is a worker that lives.
    pub(crate) fn lane_of(&mut self, origin: Origin) -> Option<(WorkerSlot, &mut TaskLane)> {
        let Origin::Worker { slot, generation } = origin else {
            return None;
        };
        let lane = self.lane(slot)?;
        (lane.generation == generation).then_some((slot, lane))
    }

    pub(crate) fn mark(&mut self, slot: WorkerSlot) {
        if !self.dirty.contains(&slot) {
            self.dirty.push(slot);
        }
    }

    fn submit(&mut self, now: u64, task: NewTask, clock: &Clock) -> Result<Submitted, SubmitError> {
        let (is_durable, origin) = (task.durable, task.origin);
        let submitted = self.tasks.submit(now, task)?;
        if is_durable && let Some(store) = &mut self.store {
            store.wanted(submitted.id, origin, clock, &self.tasks);
        }
        Ok(submitted)
    }

    /// Carries out what the tasks want done.
    fn settle(&mut self, shared: &Shared, now: u64, news: &mut News) {
        self.carry_out_all(shared, now, news);
        // What could be assigned has been: what is in nobody's hands now waits for its time, or for a worker that is not there.
        news.is_done = self.is_finishing && !self.tasks.has_calls();
        if news.is_done {
            self.is_finishing = false;
            // Whoever waits for that hears that it does not come any more.
            self.tasks.end_idle();
            self.carry_out_all(shared, now, news);
        }
        self.settle_store(shared);
        while let Some(slot) = self.dirty.pop() {
            news.wakes
                .extend(self.lane(slot).and_then(TaskLane::publish));
        }
    }

    fn carry_out_all(&mut self, shared: &Shared, now: u64, news: &mut News) {
        while let Some(output) = self.tasks.next_output(now) {
            self.carry_out(output, shared, news);
        }
    }

    fn carry_out(&mut self, output: Output, shared: &Shared, news: &mut News) {
        match output {
            Output::Call {
                slot,
                call,
                task,
                mode,
                attempt,
                tries,
                name,
                input,
                extra,
                end,
                origin,
            } => {
                // Until it is over the worker is not drained.
                shared.workers.guard(slot);
                let from = self.lane_of(origin).and_then(|(_, lane)| lane.place);
                let Some(lane) = self.lane(slot) else {
                    return;
                };
                let is_full = lane.call(&Call {
                    id: call,
                    task,
                    mode: match mode {
                        Mode::Run => 0,
                        Mode::Finish => 1,
                        Mode::Failed => 2,
                    },
                    attempt,
                    tries,
                    end: end.code(),
                    name: &name,
                    input,
                    extra,
                    from,
                });
                if is_full {
                    self.tasks.blocked(slot, true);
                }
                self.mark(slot);
            }
            Output::Result {
                origin,
                task,
                end,
                attempts,
                bytes,
            } => {
                if let Origin::Inner(id) = origin {
                    match cron::run_of(id) {
                        Some(run) => news.runs.push((run, end.into())),
                        None => news.timers.push(id),
                    }
                } else if let Some((slot, lane)) = self.lane_of(origin) {
                    lane.result(task, end.code(), attempts, &bytes);
                    self.mark(slot);
                }
            }
            Output::Progress {
                origin,
                task,
                bytes,
            } => {
                if let Some((slot, lane)) = self.lane_of(origin) {
                    lane.progress(task, &bytes);
                    self.mark(slot);
                }
            }
            Output::Abort { slot, call, why } => {
                if let Some(lane) = self.lane(slot) {
                    lane.abort(call, (why == Why::TimedOut).into());
                    self.mark(slot);
                }
            }
            Output::Released { slot } => news.released.push(slot),
            Output::Journal(op) => {
                if let Some(store) = &mut self.store {
                    store.carry_out(op, &shared.clock, &self.tasks);
                }
            }
        }
    }
}

impl TaskBoard {
    /// `epoch`: the Unix time in milliseconds at which the clock begins.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] and [`Error::StoredTask`].
    pub(crate) fn new(config: &TasksConfig, epoch: u64) -> Result<Self, Error> {
        let limits = Limits {
            tasks: config.max as usize,
            bytes: config.bytes as usize,
            keep_failed: config.keep_failed as usize,
            journal: config.durable.is_some(),
            worker_ids: config.worker_ids,
            pinned_wait: PINNED_WAIT,
        };
        let mut queues: Vec<QueueSpec> = config
            .queues
            .iter()
            .map(|queue| QueueSpec {
                name: queue.name.clone(),
                pool: PoolId(queue.pool),
                concurrency: queue.concurrency,
                rate: queue.rate.map(|rate| Rate {
                    limit: rate.limit,
                    per: rate.per,
                }),
                is_bounded: true,
            })
            .collect();
        if queues.is_empty() {
            queues.push(QueueSpec {
                name: "default".to_owned(),
                pool: PoolId(u16::from(config.workers > 0)),
                concurrency: 0,
                rate: None,
                is_bounded: true,
            });
        }
        let cron_queue = u16::try_from(queues.len()).unwrap_or(u16::MAX);
        queues.push(QueueSpec {
            name: "cron".to_owned(),
            pool: PoolId(2),
            concurrency: 0,
            rate: None,
            // The schedule bounds them: what users deliver does not keep a job from its time.
            is_bounded: false,
        });
        let own = &queues[..usize::from(cron_queue)];
        let open = |durable| TaskStore::open(durable, epoch as i64, own);
        let kept = config.durable.as_ref().map(open).transpose()?;
        let first_id = kept.as_ref().map_or(1, |kept| kept.first_id);
        let mut tasks = Tasks::new(limits, queues, first_id);
        let warning = kept.as_ref().and_then(|kept| kept.warning.clone());
        let store = kept.map(|kept| {
            tasks.restore(0, kept.tasks);
            kept.store
        });
        Ok(Self {
            journal: store.as_ref().map(TaskStore::journal),
            state: Mutex::new(State {
                tasks,
                lanes: Vec::new(),
                store,
                dirty: Vec::new(),
                is_finishing: false,
            }),
            warning,
            concurrency: config.concurrency,
            worker_ids: config.worker_ids,
            cron_queue,
        })
    }

    /// Starts what works for it.
    pub(crate) fn start(&self, shared: &Weak<Shared>) -> Result<(), JournalError> {
        if let (Some(warning), Some(shared)) = (&self.warning, shared.upgrade()) {
            shared.notices.push(Notice::Journal {
                message: warning.clone(),
            });
        }
        match &self.journal {
            Some(journal) => task_store::start(shared, journal),
            None => Ok(()),
        }
    }

    /// Waits until what is to be kept is on the disk, and keeps nothing any more.
    pub(crate) fn close(&self) {
        if let Some(journal) = &self.journal {
            journal.close();
        }
    }

    /// Whether there is a queue of that index, and can be a worker of that id.
    pub(crate) fn has_place(&self, queue: u16, worker: Option<u16>) -> bool {
        queue < self.cron_queue && worker.is_none_or(|id| u32::from(id) < self.worker_ids)
    }

    pub(crate) fn journal_stats(&self) -> Option<TasksJournal> {
        Some(self.journal.as_ref()?.stats().into())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // What is done under it takes less than a sleep; and once one sleeps here, the next ones would not even try.
        for _ in 0..SPINS {
            match self.state.try_lock() {
                Ok(state) => return state,
                Err(TryLockError::Poisoned(error)) => return error.into_inner(),
                Err(TryLockError::WouldBlock) => hint::spin_loop(),
            }
        }
        lock(&self.state)
    }
}

impl Shared {
    /// Changes something about tasks, and sees to what follows from it.
    pub(crate) fn on_tasks<T>(&self, act: impl FnOnce(&mut State, u64) -> T) -> T {
        let mut news = News::default();
        let mut state = self.tasks.lock();
        let now = self.clock.now();
        let result = act(&mut state, now);
        state.settle(self, now, &mut news);
        let next = state.tasks.next_due().unwrap_or(NEVER);
        drop(state);
        if next != NEVER {
            self.clock.wake_by(next);
        }
        for link in news.wakes {
            link.wake();
        }
        for slot in news.released {
            if self.workers.unguard(slot) {
                self.drained(slot);
            }
        }
        for call in news.timers {
            self.timers.over(call);
        }
        for (run, end) in news.runs {
            self.cron_over(run, end);
        }
        if news.is_done {
            self.notices.push(Notice::TasksDone);
        }
        result
    }

    /// Begins and ends what is due. When the next is.
    pub(crate) fn run_due(&self, now: u64) -> u64 {
        let timers = self.run_timers(now);
        let cron = self.run_cron();
        self.on_tasks(|state, now| state.tasks.tick(now));
        // After what it has led to: a queue may wait for a token.
        let tasks = self.tasks.lock().tasks.next_due().unwrap_or(NEVER);
        tasks.min(timers).min(cron)
    }

    fn submit_task(&self, mut task: NewTask) -> Result<Submitted, SubmitError> {
        if task.delay > 0 {
            // The clock is read rounded down; no delay is shorter than was asked for.
            task.delay = task.delay.saturating_add(1);
        }
        self.on_tasks(|state, now| state.submit(now, task, &self.clock))
    }

    /// A worker has a lane now.
    pub(crate) fn tasks_attached(&self, slot: WorkerSlot, lane: TaskLane) {
        let mut state = self.tasks.lock();
        if state.lanes.len() <= slot.index() {
            state.lanes.resize_with(slot.index() + 1, || None);
        }
        state.lanes[slot.index()] = Some(lane);
    }

    /// A worker is activated, and may get calls.
    pub(crate) fn tasks_activated(&self, slot: WorkerSlot, id: u16, role: Role, pool: Option<u16>) {
        let (pool, concurrency) = match (role, pool) {
            // The master: it hears of its tasks, and runs none, not even their `finish`.
            (Role::Process, _) if id == NO_NUMBER => (NO_QUEUE, 0),
            (Role::Task, Some(pool)) => (pool, self.tasks.concurrency),
            (Role::Task, None) => (1, self.tasks.concurrency),
            (Role::Serve, _) => (0, IN_HAND_MAX),
            (Role::Cron, _) => (2, IN_HAND_MAX),
            (Role::Process, _) => (NO_QUEUE, IN_HAND_MAX),
        };
        self.on_tasks(|state, _| {
            let Some(lane) = state.lane(slot) else {
                return;
            };
            lane.place = Some((id, role));
            let generation = lane.generation;
            state
                .tasks
                .worker_here(slot, generation, id, PoolId(pool), concurrency);
        });
    }

    /// A worker gets no more calls. What it is for, if it was activated.
    pub(crate) fn tasks_leaving(&self, slot: WorkerSlot) -> Option<Role> {
        self.on_tasks(|state, now| {
            state.tasks.worker_leaving(now, slot);
            Some(state.lane(slot)?.place?.1)
        })
    }

    /// A worker is gone; its calls go to others, or are lost. What it was for, if it was activated.
    pub(crate) fn tasks_gone(&self, slot: WorkerSlot) -> Option<Role> {
        self.on_tasks(|state, now| {
            state.tasks.worker_gone(now, slot);
            let lane = state.lanes.get_mut(slot.index())?.take()?;
            Some(lane.place?.1)
        })
    }

    /// Whether a worker is past the time-out of one of its calls.
    pub(crate) fn is_overdue(&self, slot: WorkerSlot) -> bool {
        self.tasks.lock().tasks.is_overdue(slot)
    }

    /// What a worker is for; `None` when it is not activated.
    pub(crate) fn role(&self, slot: WorkerSlot) -> Option<Role> {
        self.tasks.lock().lane(slot)?.place.map(|(_, role)| role)
    }
}

impl Worker {
    /// Delivers a task. Its end comes as a TASK_RESULT record.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: nothing is delivered.
    pub fn submit_task(&self, mut task: NewTask) -> Result<Submitted, SubmitError> {
        task.origin = self.origin();
        self.shared.submit_task(task)
    }

    /// Begins a call that a TASK record names. False: it is not to begin; it was cancelled, or another worker has it.
    pub fn begin_call(&mut self, call: CallId) -> bool {
        let slot = self.slot();
        let ended = &mut self.ended;
        let (may, origin) = self.shared.on_tasks(|state, now| {
            ended.tell(state, now, slot);
            let may = state.tasks.begin(now, slot, call);
            if !may && let Some(lane) = state.lane(slot) {
                lane.forget_call(call);
            }
            (may, state.tasks.origin(call))
        });
        if may && let Some(Origin::Inner(id)) = origin {
            self.shared.timers.begun(id);
        }
        may
    }

    /// Ends a call that has begun, with its result or its error. False: it was not this worker's.
    pub fn end_call(&mut self, call: CallId, outcome: Outcome, bytes: &[u8]) -> bool {
        self.ended.push(call, outcome, bytes);
        self.end_calls()
    }

    /// As [`end_call`](Self::end_call), with the next call that begins or the next [`flush`](Self::flush): one visit for both.
    pub fn end_call_soon(&mut self, call: CallId, outcome: Outcome, bytes: &[u8]) {
        self.ended.push(call, outcome, bytes);
        if self.ended.is_full() {
            self.end_calls();
        }
    }

    /// Tells of the calls that have ended. False: the last of them was not this worker's.
    pub(crate) fn end_calls(&mut self) -> bool {
        if self.ended.is_empty() {
            return false;
        }
        let slot = self.slot();
        let ended = &mut self.ended;
        self.shared
            .on_tasks(|state, now| ended.tell(state, now, slot))
    }

    /// Tells whoever has delivered the task of a call how far it is. False: it was not this worker's.
    pub fn call_progress(&self, call: CallId, bytes: &[u8]) -> bool {
        let slot = self.slot();
        let bytes = Payload::from(bytes);
        self.shared
            .on_tasks(|state, _| state.tasks.progress(slot, call, bytes))
    }

    /// What a TASK or TASK_RESULT record refers to, once. `id`: the call, of a result the task.
    pub fn take_parcel(&self, id: u64, part: Part) -> Option<Payload> {
        let slot = self.slot();
        let mut state = self.shared.tasks.lock();
        let lane = state.lane(slot)?;
        lane.take_parcel(id, part)
    }

    /// Looks for room for records that wait for it.
    pub(crate) fn flush_tasks(&self) {
        let slot = self.slot();
        self.shared.on_tasks(|state, _| {
            let Some(lane) = state.lane(slot) else {
                return;
            };
            if lane.drain_overflow() {
                state.tasks.blocked(slot, false);
            }
            state.mark(slot);
        });
    }
}

impl Server {
    /// Delivers a task; nobody hears of its end.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: nothing is delivered.
    pub fn submit_task(&self, task: NewTask) -> Result<Submitted, SubmitError> {
        self.shared.submit_task(task)
    }

    /// Asks for a [`Notice::TasksDone`]. With it the tasks that wait and cannot be run end as [`End::Stopped`].
    pub fn finish_tasks(&self) {
        self.shared.on_tasks(|state, _| state.is_finishing = true);
    }

    /// Cancels a task.
    pub fn cancel_task(&self, id: TaskId) -> Cancel {
        self.shared
            .on_tasks(|state, now| state.tasks.cancel(now, id))
    }

    /// Where a task is; `None` when it is over, or never was.
    pub fn task_status(&self, id: TaskId) -> Option<Status> {
        self.shared.tasks.lock().tasks.status(id)
    }

    /// Delivers a failed task again.
    pub fn retry_task(&self, id: TaskId) -> bool {
        self.shared
            .on_tasks(|state, now| state.tasks.retry(now, id))
    }

    /// Forgets a failed task.
    pub fn forget_task(&self, id: TaskId) -> bool {
        self.shared
            .on_tasks(|state, _| state.tasks.forget_failed(id))
    }
}
