//! Cron jobs: the clocks for [`Schedule`], which decides everything, and a task for each of its runs.
//!
//! A worker says which jobs there are before it is activated; with its activation they hold, and no worker before it gets another run.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::tz::TimeZone;
use serde::Serialize;
use sluice_core::cron::{
    Counts, JobSpec, JobsError, Last, Missed, Now, Overlap, Run, RunId, Schedule, Trigger, When,
    parse_jobs,
};
use sluice_core::id::WorkerSlot;
use sluice_core::task::{End, NewTask, Origin, Payload};

use crate::clock::{NEVER, unix_ms};
use crate::notice::Notice;
use crate::server::{Server, Shared};
use crate::wake::lock;
use crate::worker::Worker;

/// Next times of each job that are told: nothing is begun while they are looked for.
const NEXT_MAX: usize = 10;
/// What tells the runs of jobs from other tasks of the core.
const RUN: u64 = 1 << 62;
/// In front of a job's name: what its runs are called as tasks.
const PREFIX: &str = "cron:";
/// In front of a payload that is a text; `src-ts/tasks/payload.ts`.
const TEXT: u8 = 5;

/// The schedule of a server.
#[derive(Default)]
pub(crate) struct CronBoard {
    state: Mutex<State>,
    is_stopped: AtomicBool,
}

/// What the mutex guards. No other is taken under it.
#[derive(Default)]
struct State {
    schedule: Schedule,
    /// What workers have said that are not activated.
    staged: HashMap<WorkerSlot, Staged>,
    /// The worker for runs, until it leaves.
    worker: Option<WorkerSlot>,
}

struct Staged {
    jobs: Vec<JobSpec>,
    revives: bool,
}

impl CronBoard {
    /// Nothing is run any more.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// How many jobs there are, and what has happened to them.
    pub(crate) fn stats(&self) -> (usize, Counts) {
        let state = lock(&self.state);
        (state.schedule.len(), state.schedule.counts())
    }
}

/// How a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    Done,
    /// In its worker, which has told of it.
    Failed,
    /// With its worker.
    Lost,
}

impl From<End> for RunEnd {
    fn from(end: End) -> Self {
        match end {
            End::Done => Self::Done,
            End::WorkerLost => Self::Lost,
            _ => Self::Failed,
        }
    }
}

/// Which run a task of the core is, if it is one.
pub(crate) fn run_of(inner: u64) -> Option<RunId> {
    (inner & RUN != 0).then_some(RunId(inner & !RUN))
}

impl Shared {
    /// Changes something about the schedule, and begins the runs that follow from it.
    fn on_cron<T>(&self, act: impl FnOnce(&mut State, Now) -> T) -> T {
        let mut state = lock(&self.cron.state);
        let result = act(&mut state, self.both_clocks());
        let mut runs: Vec<Run> = std::iter::from_fn(|| state.schedule.next_run()).collect();
        if self.cron.is_stopped.load(Ordering::Relaxed) {
            // What waited for its predecessor, say.
            runs.clear();
        }
        let next = state.schedule.next_due();
        drop(state);
        if let Some(next) = next {
            self.clock.wake_by(next);
        }
        for run in runs {
            self.begin_run(&run);
        }
        result
    }

    fn both_clocks(&self) -> Now {
        Now {
            clock: self.clock.now(),
            unix: unix_ms() as u64,
        }
    }

    fn begin_run(&self, run: &Run) {
        let mut input = vec![TEXT];
        input.extend_from_slice(format!("{} {} {}", run.tick, run.planned, run.fence).as_bytes());
        let name = format!("{PREFIX}{}", run.name);
        let task = NewTask {
            queue: self.tasks.cron_queue,
            // Tried once, whatever the end: nobody knows how far it had come.
            timeout: run.timeout,
            origin: Origin::Inner(RUN | run.id.0),
            ..NewTask::new(name.into(), Payload::from(input))
        };
        if self
            .on_tasks(|state, now| state.tasks.submit(now, task))
            .is_err()
        {
            self.cron_over(run.id, RunEnd::Failed);
        }
    }

    /// A run has come to its end. Of one that was lost with its worker the master is told: nobody else could say so.
    pub(crate) fn cron_over(&self, id: RunId, end: RunEnd) {
        let name = self.on_cron(|state, now| {
            let name = state.schedule.job_of(id).map(str::to_owned);
            state.schedule.ended(now, id, end == RunEnd::Done);
            name
        });
        if let Some(name) = name.filter(|_| end == RunEnd::Lost) {
            self.notices.push(Notice::CronLost { name });
        }
    }

    /// Begins what is due. When the next is.
    pub(crate) fn run_cron(&self) -> u64 {
        if self.cron.is_stopped.load(Ordering::Relaxed) {
            return NEVER;
        }
        self.on_cron(|state, now| {
            state.schedule.tick(now);
            state.schedule.next_due().unwrap_or(NEVER)
        })
    }

    /// A worker for runs is activated: its list holds, and the worker before it gets no more.
    pub(crate) fn cron_activated(&self, slot: WorkerSlot) {
        let before = lock(&self.cron.state).worker.replace(slot);
        if let Some(before) = before {
            self.on_tasks(|state, now| state.tasks.worker_leaving(now, before));
        }
        self.on_cron(|state, now| {
            if let Some(Staged { jobs, revives }) = state.staged.remove(&slot) {
                state.schedule.set(now, jobs, revives);
            }
            state.schedule.set_workers(now, true);
        });
    }

    /// A worker gets no more runs: it leaves, or is gone.
    pub(crate) fn cron_left(&self, slot: WorkerSlot) {
        self.on_cron(|state, now| {
            state.staged.remove(&slot);
            if state.worker == Some(slot) {
                state.worker = None;
                state.schedule.set_workers(now, false);
            }
        });
    }
}

impl Worker {
    /// Says which jobs there are, JSON as [`parse_jobs`] reads it, from the moment on in which this worker is activated. With `revives` jobs that
    /// were stopped go on.
    ///
    /// # Errors
    ///
    /// [`JobsError`]: the list is what it was.
    pub fn set_cron(&self, jobs: &str, revives: bool) -> Result<(), JobsError> {
        let jobs = parse_jobs(jobs, |name| TimeZone::get(name).ok())?;
        lock(&self.shared.cron.state)
            .staged
            .insert(self.slot(), Staged { jobs, revives });
        Ok(())
    }
}

/// What is known of a cron job; see `CronJobInfo` in `src-ts/cron/cron-jobs.ts`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CronJobInfo {
    /// Its name.
    pub name: String,
    /// Its interval, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// Its expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The time zone of its expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What becomes of a run whose predecessor is not over.
    pub overlap: &'static str,
    /// What becomes of runs that are missed.
    pub missed: &'static str,
    /// Its next times, Unix ms.
    pub next: Vec<u64>,
    /// Whether it was stopped.
    pub is_stopped: bool,
    /// Runs that are not over.
    pub running: usize,
    /// Runs that have begun.
    pub runs: u64,
    /// Runs that have failed.
    pub failures: u64,
    /// Runs that were left out because of others.
    pub skipped: u64,
    /// Runs that were left out because it was too late.
    pub missed_runs: u64,
    /// Its last run that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRun>,
}

/// A run that is over.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LastRun {
    /// When it began, Unix ms.
    pub began: u64,
    /// How long it took, ms.
    pub ms: u64,
    /// Whether it succeeded.
    pub ok: bool,
}

impl From<Last> for LastRun {
    fn from(Last { began, ms, ok }: Last) -> Self {
        Self { began, ms, ok }
    }
}

impl Server {
    /// Every cron job in the order of the list, with its next `count` times, 10 at most.
    pub fn cron_jobs(&self, count: usize) -> Vec<CronJobInfo> {
        let now = self.shared.both_clocks();
        let state = lock(&self.shared.cron.state);
        let jobs = state.schedule.jobs(now, count.min(NEXT_MAX)).map(|job| {
            let (every, expression) = match &job.spec.when {
                When::Every(every) => (Some(*every), None),
                When::Cron(expression) => (None, Some(expression)),
            };
            CronJobInfo {
                name: job.spec.name.to_string(),
                every,
                cron: expression.map(|expression| expression.text().to_owned()),
                time_zone: expression.map(|expression| expression.zone().to_owned()),
                overlap: match job.spec.overlap {
                    Overlap::Skip => "skip",
                    Overlap::Queue => "queue",
                    Overlap::Allow => "allow",
                },
                missed: match job.spec.missed {
                    Missed::Skip => "skip",
                    Missed::Once => "once",
                },
                next: job.next,
                is_stopped: job.is_stopped,
                running: job.running,
                runs: job.counts.runs,
                failures: job.counts.failures,
                skipped: job.counts.skipped,
                missed_runs: job.counts.missed,
                last: job.last.map(LastRun::from),
            }
        });
        jobs.collect()
    }

    /// Runs a job now. None, [`Trigger::Busy`], while the server stops.
    pub fn run_cron_job(&self, name: &str) -> Trigger {
        let is_stopped = self.shared.cron.is_stopped.load(Ordering::Relaxed);
        self.shared.on_cron(|state, now| match is_stopped {
            true if state.schedule.has(name) => Trigger::Busy,
            _ => state.schedule.trigger(now, name),
        })
    }

    /// A job is not run any more. False when there is none of that name.
    pub fn stop_cron_job(&self, name: &str) -> bool {
        self.shared.on_cron(|state, _| state.schedule.stop(name))
    }
}
