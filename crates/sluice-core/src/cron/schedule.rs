//! Which job runs when.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::{JobSpec, Missed, Overlap, When};

/// Later than this a run is missed, ms.
const LATE_MAX: u64 = 60_000;
/// A clock on the wall that has gone this much more or less than time did was set, ms.
const JUMP: u64 = 1000;
/// Differences below this come of rounding, ms.
const ROUNDING: u64 = 5;
/// How often the clock on the wall is looked at while jobs go by it: it may have been set, ms.
const LOOK: u64 = 5000;
/// A clock that is set back further was wrong before: what it was then does not count, ms.
const BACK_MAX: u64 = 3 * 3_600_000;
/// Runs of one job at a time, with [`Overlap::Allow`].
const AT_ONCE_MAX: usize = 16;

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// By a clock that is never set, ms since any moment.
    pub clock: u64,
    /// By the clock on the wall, Unix ms.
    pub unix: u64,
}

/// One run of a job; never used again in this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// A run that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its end is told under this id.
    pub id: RunId,
    /// Of the job.
    pub name: Arc<str>,
    /// Which run of the job it is, from 1.
    pub tick: u64,
    /// For when it was planned, Unix ms.
    pub planned: u64,
    /// Greater than that of every run before, also before a restart unless the clock was set back.
    pub fence: u64,
    /// Most it may take, ms; 0: no limit.
    pub timeout: u64,
}

/// How the last run of a job went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// When it was given to a worker, Unix ms.
    pub began: u64,
    /// How long it took, ms.
    pub ms: u64,
    /// Whether it succeeded.
    pub ok: bool,
}

/// What has happened, to one job or to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs that were given to a worker.
    pub runs: u64,
    /// Those of them that failed, timed out or were lost with their worker.
    pub failures: u64,
    /// Runs that were left out, as others of the job were not over.
    pub skipped: u64,
    /// Runs that were left out, as it was too late for them.
    pub missed: u64,
}

/// What is known of a job.
#[derive(Clone, Debug)]
pub struct JobState<'a> {
    /// As it is in the list.
    pub spec: &'a JobSpec,
    /// Its next times, Unix ms; none when it was stopped.
    pub next: Vec<u64>,
    /// Runs that are not over.
    pub running: usize,
    /// Whether it was [stopped](Schedule::stop).
    pub is_stopped: bool,
    /// Of this job.
    pub counts: Counts,
    /// Its last run that is over.
    pub last: Option<Last>,
}

/// What [`Schedule::trigger`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// There is no such job.
    Unknown,
    /// It runs, and may not run more.
    Busy,
    /// It runs when its predecessor is over.
    Queued,
    /// It runs, as soon as there is a worker.
    Begun,
}

#[derive(Debug)]
struct Job {
    spec: JobSpec,
    /// The next time: of an interval by the clock, of an expression by the wall. `None`: there is no more.
    planned: Option<u64>,
    /// When to look at it, by the clock; it is in `Schedule::due` under this.
    due: Option<u64>,
    /// The last planned time by the wall for which it ran or did not: named times are not passed again.
    passed: u64,
    is_stopped: bool,
    running: usize,
    /// A run that waits for its predecessor; for when it was planned.
    queued: Option<u64>,
    /// A run that waits for a worker; for when it was planned.
    owed: Option<u64>,
    tick: u64,
    counts: Counts,
    last: Option<Last>,
}

#[derive(Debug)]
struct Begun {
    job: u64,
    at: Now,
}

/// When every job of a list runs, and whether it may.
///
/// It does nothing on its own: after every call [`next_run`](Self::next_run) is asked until there is none, and at [`next_due`](Self::next_due)
/// it is to [`tick`](Self::tick).
#[derive(Debug, Default)]
pub struct Schedule {
    /// By a number that is never used again.
    jobs: HashMap<u64, Job>,
    names: HashMap<Arc<str>, u64>,
    /// In the order of the list.
    order: Vec<u64>,
    due: BTreeSet<(u64, u64)>,
    ready: VecDeque<Run>,
    begun: HashMap<RunId, Begun>,
    jobs_made: u64,
    runs_made: u64,
    fence: u64,
    counts: Counts,
    has_workers: bool,
    /// How many jobs go by the wall.
    by_wall: usize,
    looked: Option<Now>,
}

impl Schedule {
    /// No jobs, no workers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the list. A job that is as it was goes on as if nothing had happened; one that is new or different begins anew, and one
    /// that is gone ends: its runs come to their end without it. With `revives` stopped jobs go on again.
    pub fn set(&mut self, now: Now, specs: Vec<JobSpec>, revives: bool) {
        let mut before = std::mem::take(&mut self.names);
        self.order.clear();
        for spec in specs {
            let name = Arc::clone(&spec.name);
            let known = before
                .remove(&name)
                .filter(|serial| self.jobs.get(serial).is_some_and(|job| job.spec == spec));
            let serial = match known {
                Some(serial) => {
                    if revives {
                        self.revive(now, serial);
                    }
                    serial
                }
                None => self.add(now, spec),
            };
            self.names.insert(name, serial);
            self.order.push(serial);
        }
        // Whatever is not in the list any more, and what has another of its name in its place.
        let kept: HashSet<u64> = self.order.iter().copied().collect();
        self.jobs.retain(|serial, _| kept.contains(serial));
        self.due.retain(|(_, serial)| kept.contains(serial));
        let begun = &mut self.begun;
        self.ready.retain(|run| {
            let is_kept = begun
                .get(&run.id)
                .is_some_and(|begun| kept.contains(&begun.job));
            if !is_kept {
                begun.remove(&run.id);
            }
            is_kept
        });
        self.by_wall = self
            .jobs
            .values()
            .filter(|job| matches!(job.spec.when, When::Cron(_)))
            .count();
        self.looked.get_or_insert(now);
    }

    fn add(&mut self, now: Now, spec: JobSpec) -> u64 {
        self.jobs_made += 1;
        let serial = self.jobs_made;
        let is_immediate = spec.immediate;
        let planned = first(&spec.when, now);
        let job = Job {
            spec,
            planned,
            due: None,
            passed: 0,
            is_stopped: false,
            running: 0,
            queued: None,
            owed: None,
            tick: 0,
            counts: Counts::default(),
            last: None,
        };
        self.jobs.insert(serial, job);
        self.arm(now, serial);
        if is_immediate {
            self.come(now, serial, now.unix);
        }
        serial
    }

    /// A job that was stopped begins anew, but for its counts.
    fn revive(&mut self, now: Now, serial: u64) {
        let Some(job) = self.jobs.get_mut(&serial) else {
            return;
        };
        if !std::mem::replace(&mut job.is_stopped, false) {
            return;
        }
        job.planned = first(&job.spec.when, now);
        let is_immediate = job.spec.immediate;
        self.arm(now, serial);
        if is_immediate {
            self.come(now, serial, now.unix);
        }
    }

    /// Whether there is a worker for runs. While there is none, of each job the last run is kept.
    pub fn set_workers(&mut self, now: Now, has_workers: bool) {
        if std::mem::replace(&mut self.has_workers, has_workers) || !has_workers {
            return;
        }
        for serial in self.order.clone() {
            let Some(job) = self.jobs.get_mut(&serial) else {
                continue;
            };
            let Some(planned) = job.owed.take() else {
                continue;
            };
            let is_late = now.unix.saturating_sub(planned) > LATE_MAX;
            if is_late && job.spec.missed == Missed::Skip {
                self.count(serial, |counts| counts.missed += 1);
            } else {
                self.come(now, serial, planned);
            }
        }
    }

    /// When to [`tick`](Self::tick), by the clock.
    pub fn next_due(&self) -> Option<u64> {
        let due = self.due.first().map(|&(due, _)| due);
        let look = (self.by_wall > 0)
            .then_some(self.looked)
            .flatten()
            .map(|looked| looked.clock.saturating_add(LOOK));
        due.into_iter().chain(look).min()
    }

    /// Goes on to `now`.
    pub fn tick(&mut self, now: Now) {
        self.look(now);
        while let Some(&(due, serial)) = self.due.first() {
            if due > now.clock {
                break;
            }
            self.due.pop_first();
            if let Some(job) = self.jobs.get_mut(&serial) {
                job.due = None;
            }
            self.come_due(now, serial);
            self.arm(now, serial);
        }
    }

    /// The next run that is to begin now. Its end is to be [told](Self::ended).
    pub fn next_run(&mut self) -> Option<Run> {
        self.ready.pop_front()
    }

    /// Whose run this is, while it is not over and its job is in the list.
    pub fn job_of(&self, id: RunId) -> Option<&str> {
        let job = self.jobs.get(&self.begun.get(&id)?.job)?;
        Some(&job.spec.name)
    }

    /// A run is over. False when nothing is known of it: its job is not in the list any more.
    pub fn ended(&mut self, now: Now, id: RunId, ok: bool) -> bool {
        let Some(begun) = self.begun.remove(&id) else {
            return false;
        };
        if !ok {
            self.counts.failures += 1;
        }
        let Some(job) = self.jobs.get_mut(&begun.job) else {
            return false;
        };
        job.running = job.running.saturating_sub(1);
        job.counts.failures += u64::from(!ok);
        job.last = Some(Last {
            began: begun.at.unix,
            ms: now.clock.saturating_sub(begun.at.clock),
            ok,
        });
        if let Some(planned) = job.queued.take() {
            self.come(now, begun.job, planned);
        }
        true
    }

    /// Runs a job now, beside its times; also one that was stopped.
    pub fn trigger(&mut self, now: Now, name: &str) -> Trigger {
        let Some(&serial) = self.names.get(name) else {
            return Trigger::Unknown;
        };
        let before = self.counts_of(serial);
        let was_queued = self
            .jobs
            .get(&serial)
            .is_some_and(|job| job.queued.is_some());
        self.come(now, serial, now.unix);
        if self.counts_of(serial).skipped > before.skipped {
            return Trigger::Busy;
        }
        let is_queued = self
            .jobs
            .get(&serial)
            .is_some_and(|job| job.queued.is_some());
        if is_queued && !was_queued {
            Trigger::Queued
        } else {
            Trigger::Begun
        }
    }

    /// A job does not run any more, until a list [revives](Self::set) it. What runs goes on. False when there is none of that name.
    pub fn stop(&mut self, name: &str) -> bool {
        let Some(serial) = self.names.get(name) else {
            return false;
        };
        let Some(job) = self.jobs.get_mut(serial) else {
            return false;
        };
        if let Some(due) = job.due.take() {
            self.due.remove(&(due, *serial));
        }
        job.is_stopped = true;
        job.planned = None;
        job.queued = None;
        job.owed = None;
        true
    }

    /// Every job in the order of the list, with its next `count` times.
    pub fn jobs(&self, now: Now, count: usize) -> impl Iterator<Item = JobState<'_>> {
        self.order
            .iter()
            .filter_map(|serial| self.jobs.get(serial))
            .map(move |job| JobState {
                spec: &job.spec,
                next: next_times(job, now, count),
                running: job.running,
                is_stopped: job.is_stopped,
                counts: job.counts,
                last: job.last,
            })
    }

    /// Whether there is a job of that name.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// How many jobs there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no job.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Runs that are not over.
    pub fn running(&self) -> usize {
        self.begun.len()
    }

    /// What has happened to all jobs that there were.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Notices that the clock on the wall was set.
    fn look(&mut self, now: Now) {
        let before = self.looked.replace(now).unwrap_or(now);
        if self.by_wall == 0 {
            return;
        }
        let expected = before
            .unix
            .saturating_add(now.clock.saturating_sub(before.clock));
        if now.unix.abs_diff(expected) < ROUNDING {
            // What is lost to rounding adds up otherwise.
            self.looked = Some(Now {
                clock: now.clock,
                unix: expected,
            });
            return;
        }
        let is_set_back = expected.saturating_sub(now.unix) >= JUMP;
        for serial in self.order.clone() {
            let Some(job) = self.jobs.get_mut(&serial) else {
                continue;
            };
            let When::Cron(expression) = &job.spec.when else {
                continue;
            };
            if is_set_back && !job.is_stopped {
                // An interval goes by what the wall says now. A time by name that has been is not again, unless it was none.
                let has_been = job.passed > now.unix && job.passed - now.unix <= BACK_MAX;
                let after = if has_been && !expression.is_interval() {
                    job.passed
                } else {
                    job.passed = 0;
                    now.unix
                };
                job.planned = expression.next(after);
            }
            self.arm(now, serial);
        }
    }

    /// Has a job looked at when its planned time is there.
    fn arm(&mut self, now: Now, serial: u64) {
        let Some(job) = self.jobs.get_mut(&serial) else {
            return;
        };
        if let Some(due) = job.due.take() {
            self.due.remove(&(due, serial));
        }
        if job.is_stopped {
            return;
        }
        let due = match (&job.spec.when, job.planned) {
            (_, None) => return,
            (When::Every(_), Some(planned)) => planned,
            (When::Cron(_), Some(planned)) => {
                now.clock.saturating_add(planned.saturating_sub(now.unix))
            }
        };
        job.due = Some(due);
        self.due.insert((due, serial));
    }

    /// The planned time of a job is there, or the clock on the wall was not as fast as ours.
    fn come_due(&mut self, now: Now, serial: u64) {
        let Some(job) = self.jobs.get_mut(&serial) else {
            return;
        };
        let Some(planned) = job.planned else {
            return;
        };
        let (latest, passed_over, next) = match &job.spec.when {
            When::Every(every) => {
                let passed = now.clock.saturating_sub(planned) / every;
                let latest = planned + passed * every;
                let late = now.clock.saturating_sub(latest);
                let at = now.unix.saturating_sub(late);
                let next = latest.checked_add(*every);
                ((late <= LATE_MAX).then_some(at).ok_or(at), passed, next)
            }
            When::Cron(_) if planned > now.unix => return,
            When::Cron(expression) => {
                let recent = now.unix.saturating_sub(LATE_MAX);
                let mut at = Some(planned).filter(|&planned| planned >= recent);
                let mut passed_over = 0;
                if at.is_none() {
                    at = expression
                        .next(recent.saturating_sub(1))
                        .filter(|&at| at <= now.unix);
                    passed_over = u64::from(at.is_some());
                }
                // At most one for each second of a minute.
                while let Some(later) = at
                    .and_then(|at| expression.next(at))
                    .filter(|&later| later <= now.unix)
                {
                    at = Some(later);
                    passed_over += 1;
                }
                (at.ok_or(planned), passed_over, expression.next(now.unix))
            }
        };
        job.planned = next;
        job.passed = match latest {
            Ok(at) | Err(at) => at,
        };
        let is_made_up = job.spec.missed == Missed::Once;
        if passed_over > 0 {
            self.count(serial, |counts| counts.missed += passed_over);
        }
        match latest {
            Ok(at) => self.come(now, serial, at),
            Err(at) if is_made_up => self.come(now, serial, at),
            Err(_) => self.count(serial, |counts| counts.missed += 1),
        }
    }

    /// A run that was planned for `planned` begins, waits or is left out.
    fn come(&mut self, now: Now, serial: u64, planned: u64) {
        let Some(job) = self.jobs.get_mut(&serial) else {
            return;
        };
        let is_free = match job.spec.overlap {
            Overlap::Allow => job.running < AT_ONCE_MAX,
            Overlap::Skip | Overlap::Queue => job.running == 0,
        };
        if !is_free {
            if job.spec.overlap == Overlap::Queue && job.queued.is_none() {
                job.queued = Some(planned);
            } else {
                self.count(serial, |counts| counts.skipped += 1);
            }
            return;
        }
        if !self.has_workers {
            if job.owed.replace(planned).is_some() {
                self.count(serial, |counts| counts.missed += 1);
            }
            return;
        }
        job.running += 1;
        job.tick += 1;
        let tick = job.tick;
        let name = Arc::clone(&job.spec.name);
        let timeout = job.spec.timeout;
        self.runs_made += 1;
        self.fence = now.unix.max(self.fence + 1);
        let id = RunId(self.runs_made);
        self.begun.insert(
            id,
            Begun {
                job: serial,
                at: now,
            },
        );
        self.count(serial, |counts| counts.runs += 1);
        self.ready.push_back(Run {
            id,
            name,
            tick,
            planned,
            fence: self.fence,
            timeout,
        });
    }

    fn count(&mut self, serial: u64, count: impl Fn(&mut Counts)) {
        count(&mut self.counts);
        if let Some(job) = self.jobs.get_mut(&serial) {
            count(&mut job.counts);
        }
    }

    fn counts_of(&self, serial: u64) -> Counts {
        self.jobs
            .get(&serial)
            .map(|job| job.counts)
            .unwrap_or_default()
    }
}

/// The first time of a job that begins now.
fn first(when: &When, now: Now) -> Option<u64> {
    match when {
        When::Every(every) => now.clock.checked_add(*every),
        When::Cron(expression) => expression.next(now.unix),
    }
}

fn next_times(job: &Job, now: Now, count: usize) -> Vec<u64> {
    let to_unix = |clock: u64| (now.unix + clock).saturating_sub(now.clock);
    let next = |at: &u64| match &job.spec.when {
        When::Every(every) => at.checked_add(*every),
        When::Cron(expression) => expression.next(*at),
    };
    std::iter::successors(job.planned, next)
        .take(count)
        .map(|at| match job.spec.when {
            When::Every(_) => to_unix(at),
            When::Cron(_) => at,
        })
        .collect()
}

#[cfg(test)]
mod tests;
