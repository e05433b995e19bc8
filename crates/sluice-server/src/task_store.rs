//! Durable tasks: what the tasks want kept goes to the journal, and who has delivered one hears when it is stored.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sluice_core::config::{DurableConfig, FsyncConfig};
use sluice_core::task::{JournalOp, Origin, Payload, QueueSpec, RestoredTask, TaskId, Tasks};
use sluice_journal::{Event, Fsync, Journal, JournalError, Options, Stored, Ticket};

use crate::clock::Clock;
use crate::error::Error;
use crate::notice::Notice;
use crate::server::Shared;
use crate::tasks::State;

/// Bytes that may wait for the disk.
const BACKLOG_MAX: usize = 64 << 20;
/// What can be lost with the machine when the disk is not waited for.
const INTERVAL: Duration = Duration::from_secs(1);

/// Milliseconds between two notices that the disk refuses.
const TELL_EVERY: u64 = 1000;

/// As the end of TASK_RESULT records: tasks are stored, their ends come later. The record is of none of them; its bytes are pairs of two doubles, the id
/// of the first of a row of tasks and how many these are.
const STORED: u8 = 7;
/// Bytes of such a record at most.
const RUNS_MAX: usize = 8 * 1024;
/// It is not, and why; it is run all the same.
const NOT_STORED: u8 = 8;

/// The journal of the tasks, and who waits for it.
pub(crate) struct TaskStore {
    journal: Arc<Journal>,
    /// By ticket.
    waiting: VecDeque<(Ticket, TaskId, Origin)>,
    /// Who has delivered something since the tasks were last asked what to keep.
    wants: Vec<(TaskId, Origin)>,
    /// What the journal did not take since then.
    refused: Vec<(TaskId, JournalError)>,
    /// Tasks that are not over and of which the journal does not have what it was last to keep.
    unstored: HashSet<TaskId>,
    /// All up to this one are stored, or were refused.
    done: Ticket,
    /// It was told that the disk refuses, and has not been otherwise since.
    is_told: bool,
    /// When it was told last.
    told_at: Option<u64>,
}

/// A journal and what it had kept.
pub(crate) struct Kept {
    pub(crate) store: TaskStore,
    pub(crate) tasks: Vec<RestoredTask>,
    pub(crate) first_id: TaskId,
    /// What its users are to be told of what was found.
    pub(crate) warning: Option<String>,
}

impl TaskStore {
    /// Opens the journal. `epoch`: the Unix time in milliseconds at which the clock of the tasks begins.
    pub(crate) fn open(
        config: &DurableConfig,
        epoch: i64,
        queues: &[QueueSpec],
    ) -> Result<Kept, Error> {
        let path = PathBuf::from(&config.path);
        let opened = Journal::open(Options {
            path: path.clone(),
            fsync: match config.fsync {
                FsyncConfig::Always => Fsync::Always,
                FsyncConfig::Interval => Fsync::Interval(INTERVAL),
            },
            backlog_max: BACKLOG_MAX,
        })?;
        let index = |name: &str| {
            let index = queues.iter().position(|queue| queue.name == name)?;
            u16::try_from(index).ok()
        };
        let restore = |Stored { id, bytes }| {
            RestoredTask::decode(id, &bytes, epoch, index).map_err(|source| Error::StoredTask {
                path: path.clone(),
                id,
                source,
            })
        };
        Ok(Kept {
            tasks: opened
                .stored
                .into_iter()
                .map(restore)
                .collect::<Result<_, _>>()?,
            warning: opened.damaged.map(|kept| {
                format!(
                    "{} was damaged, its last {} bytes are not read; it was kept as {}",
                    path.display(),
                    opened.cut,
                    kept.display()
                )
            }),
            first_id: opened.last_id.saturating_add(1),
            store: Self {
                journal: Arc::new(opened.journal),
                waiting: VecDeque::new(),
                wants: Vec::new(),
                refused: Vec::new(),
                unstored: HashSet::new(),
                done: 0,
                is_told: false,
                told_at: None,
            },
        })
    }

    pub(crate) fn journal(&self) -> Arc<Journal> {
        Arc::clone(&self.journal)
    }

    /// A durable task was delivered: its origin hears whether it is stored, once it is asked what to keep. What was there and could not be stored before
    /// is to be stored now.
    pub(crate) fn wanted(&mut self, task: TaskId, origin: Origin, clock: &Clock, tasks: &Tasks) {
        if self.unstored.contains(&task) {
            self.carry_out(JournalOp::Put(task), clock, tasks);
        }
        if matches!(origin, Origin::Worker { .. }) {
            self.wants.push((task, origin));
        }
    }

    pub(crate) fn carry_out(&mut self, op: JournalOp, clock: &Clock, tasks: &Tasks) {
        match op {
            JournalOp::Put(id) => {
                let Some(task) = tasks.stored(id) else {
                    return;
                };
                match self.journal.put(id, task.encode(clock.epoch())) {
                    Ok(_) => {
                        self.unstored.remove(&id);
                    }
                    Err(error) => {
                        self.unstored.insert(id);
                        self.refused.push((id, error));
                    }
                }
            }
            JournalOp::Delete(id) => {
                self.unstored.remove(&id);
                self.journal.delete(id);
            }
        }
    }
}

impl State {
    /// After all that is to be kept was handed to the journal.
    pub(crate) fn settle_store(&mut self, shared: &Shared) {
        let Some(store) = &mut self.store else {
            return;
        };
        if store.wants.is_empty() && store.refused.is_empty() {
            return;
        }
        let refused = std::mem::take(&mut store.refused);
        if let Some((_, error)) = refused.first() {
            store.tell(shared, error, false);
        }
        let ticket = store.journal.last_ticket();
        for (task, origin) in std::mem::take(&mut store.wants) {
            let Some(store) = &mut self.store else {
                return;
            };
            if let Some((_, error)) = refused.iter().find(|(id, _)| *id == task) {
                self.say(origin, task, NOT_STORED, &error.to_string());
            } else if let Some(error) = store.journal.broken() {
                self.say(origin, task, NOT_STORED, &error.to_string());
            } else if ticket > store.done {
                store.waiting.push_back((ticket, task, origin));
            } else {
                let mut run = Vec::new();
                end_run(&mut run, task, 1);
                self.say_runs(origin, &mut run);
            }
        }
    }

    /// The journal has something to say.
    fn heard(&mut self, event: &Event, shared: &Shared) {
        let Some(store) = &mut self.store else {
            return;
        };
        let (upto, end, message) = match event {
            Event::Committed { upto } => {
                store.is_told = false;
                (*upto, STORED, String::new())
            }
            Event::Refused {
                upto, ids, error, ..
            } => {
                let tasks = &self.tasks;
                let there = ids.iter().filter(|id| tasks.stored(**id).is_some());
                store.unstored.extend(there);
                store.tell(shared, error, false);
                (*upto, NOT_STORED, error.to_string())
            }
            Event::Broken { error } => {
                store.tell(shared, error, true);
                (Ticket::MAX, NOT_STORED, error.to_string())
            }
        };
        store.done = store.done.max(upto);
        if end == STORED {
            return self.say_stored(upto);
        }
        while let Some(store) = &mut self.store
            && let Some(&(ticket, task, origin)) = store.waiting.front()
            && ticket <= upto
        {
            store.waiting.pop_front();
            self.say(origin, task, end, &message);
        }
    }

    /// Tells who waits for what up to `upto`, all of one origin that are in a row at once.
    fn say_stored(&mut self, upto: Ticket) {
        let mut runs = Vec::new();
        let mut whose = Origin::Nobody;
        let (mut first, mut count) = (0, 0);
        while let Some(store) = &mut self.store
            && let Some(&(ticket, task, origin)) = store.waiting.front()
            && ticket <= upto
        {
            store.waiting.pop_front();
            if count > 0 && origin == whose && task == first + count {
                count += 1;
                continue;
            }
            end_run(&mut runs, first, count);
            if origin != whose || runs.len() >= RUNS_MAX {
                self.say_runs(whose, &mut runs);
            }
            (whose, first, count) = (origin, task, 1);
        }
        end_run(&mut runs, first, count);
        self.say_runs(whose, &mut runs);
    }

    fn say_runs(&mut self, origin: Origin, runs: &mut Vec<u8>) {
        if let Some((slot, lane)) = self.lane_of(origin)
            && !runs.is_empty()
        {
            lane.result(0, STORED, 0, &Payload::from(&runs[..]));
            self.mark(slot);
        }
        runs.clear();
    }

    fn say(&mut self, origin: Origin, task: TaskId, end: u8, message: &str) {
        if let Some((slot, lane)) = self.lane_of(origin) {
            lane.result(task, end, 0, &Payload::from(message.as_bytes()));
            self.mark(slot);
        }
    }
}

fn end_run(runs: &mut Vec<u8>, first: TaskId, count: u64) {
    if count > 0 {
        runs.extend_from_slice(&(first as f64).to_le_bytes());
        runs.extend_from_slice(&(count as f64).to_le_bytes());
    }
}

impl TaskStore {
    /// Tells the master; of a disk that goes on refusing only once, and of one that has room for some once a second.
    fn tell(&mut self, shared: &Shared, error: &JournalError, always: bool) {
        let now = shared.clock.now();
        let is_late = self
            .told_at
            .is_none_or(|at| now.saturating_sub(at) >= TELL_EVERY);
        if always || (!self.is_told && is_late) {
            self.is_told = true;
            self.told_at = Some(now);
            shared.notices.push(Notice::Journal {
                message: format!("Durable tasks are not stored: {error}"),
            });
        }
    }
}

/// Starts the thread of the journal, if there is one.
pub(crate) fn start(shared: &Weak<Shared>, journal: &Journal) -> Result<(), JournalError> {
    let shared = shared.clone();
    journal.start(move |event| {
        if let Some(shared) = shared.upgrade() {
            shared.on_tasks(|state, _| state.heard(&event, &shared));
        }
    })
}
