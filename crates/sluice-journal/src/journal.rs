//! The journal: who uses it, and the thread that writes it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::backlog::Backlog;
use crate::disk::{self, Disk, Found, RealDisk};
use crate::error::JournalError;
use crate::log::{Log, LogError, Op};
use crate::read::{self, Contents, ReadError};

/// When a commit counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// When it is on the disk. Survives the machine.
    Always,
    /// When the system has it, which puts it on the disk so often. Survives the process; the machine takes with it what came since the last time.
    Interval(Duration),
}

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file. Beside it there is another one at times, with `.new` behind its name.
    pub path: PathBuf,
    /// See [`Fsync`].
    pub fsync: Fsync,
    /// Bytes that may wait to be written.
    pub backlog_max: usize,
}

/// Something that was put, and not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it was put as.
    pub id: u64,
    /// What was put.
    pub bytes: Vec<u8>,
}

/// The number of a put: later ones are larger.
pub type Ticket = u64;

/// What the thread of a journal has to say.
#[derive(Clone, Debug)]
pub enum Event {
    /// All puts up to this one are stored, if they were not refused before.
    Committed {
        /// The last of them.
        upto: Ticket,
    },
    /// Puts are not stored. What was stored of their ids before still is; deletes that came with them are tried again.
    Refused {
        /// Those after this one.
        after: Ticket,
        /// The last of them.
        upto: Ticket,
        /// Why.
        error: JournalError,
    },
    /// Nothing is stored any more, until it is opened again.
    Broken {
        /// Why.
        error: JournalError,
    },
}

/// A journal that was opened.
#[derive(Debug)]
pub struct Opened {
    /// To be [started](Journal::start).
    pub journal: Journal,
    /// What is in it, by id.
    pub stored: Vec<Stored>,
    /// The largest id that was ever put; 0 if none was.
    pub last_id: u64,
    /// Bytes at its end that were no whole commit, of a process or a machine that was killed.
    pub cut: u64,
}

/// See the crate. Ends when it is dropped, as by [`close`](Self::close).
pub struct Journal {
    backlog: Arc<Backlog>,
    path: PathBuf,
    fsync: Fsync,
    backlog_max: usize,
    /// Taken by [`start`](Self::start).
    log: Mutex<Option<Log>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("path", &self.path)
            .field("fsync", &self.fsync)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Reads what is in the file, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: it is not changed.
    pub fn open(options: Options) -> Result<Opened, JournalError> {
        Self::open_on(Arc::new(RealDisk), options)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Opened, JournalError> {
        let path = &options.path;
        loop {
            let found = disk::open(path, false)
                .map_err(|error| JournalError::system("open", path, error))?;
            let (contents, old) = match found {
                Found::Locked => return Err(JournalError::Locked { path: path.clone() }),
                Found::Nothing => (Contents::default(), None),
                Found::File(file) => (read_all(&file, path)?, Some(file)),
            };
            let by_id = contents.live.iter().map(|(id, bytes)| (*id, &bytes[..]));
            let created = Log::create(Arc::clone(&disk), path, contents.last_id, by_id);
            let mut log = match created {
                Ok(log) => log,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Err(JournalError::Locked { path: path.clone() });
                }
                Err(error) => return Err(JournalError::system("write", path, error)),
            };
            // Another one may have been made by now; its file is locked, or has something in it.
            if old.is_none() && path.exists() {
                log.remove();
                continue;
            }
            log.replace()
                .map_err(|error| JournalError::system("write", path, error))?;
            drop(old);
            let mut stored: Vec<Stored> = contents
                .live
                .into_iter()
                .map(|(id, bytes)| Stored { id, bytes })
                .collect();
            stored.sort_unstable_by_key(|stored| stored.id);
            return Ok(Opened {
                stored,
                last_id: contents.last_id,
                cut: contents.cut,
                journal: Self {
                    backlog: Arc::default(),
                    path: options.path,
                    fsync: options.fsync,
                    backlog_max: options.backlog_max,
                    log: Mutex::new(Some(log)),
                    thread: Mutex::default(),
                },
            });
        }
    }

    /// Starts the thread that writes. It calls `on_event`, which may call the journal but not [close](Self::close) it. Without effect the second time.
    ///
    /// # Errors
    ///
    /// [`JournalError::System`]: there is no thread to be had.
    pub fn start(&self, on_event: impl FnMut(Event) + Send + 'static) -> Result<(), JournalError> {
        let Some(log) = lock(&self.log).take() else {
            return Ok(());
        };
        let writer = Writer {
            log,
            backlog: Arc::clone(&self.backlog),
            path: self.path.clone(),
            fsync: self.fsync,
            done: 0,
            written_at: None,
            on_event,
        };
        let thread = thread::Builder::new()
            .name("sluice-journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| JournalError::system("start the thread of", &self.path, error))?;
        *lock(&self.thread) = Some(thread);
        Ok(())
    }

    /// Keeps `bytes` as `id`, in place of what was put as that before. It is stored when [`Event::Committed`] has come with this ticket or a later one.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: it is not kept; what was put as that before still is.
    pub fn put(&self, id: u64, bytes: Vec<u8>) -> Result<Ticket, JournalError> {
        let mut state = self.backlog.lock();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        if state.is_closing {
            return Err(JournalError::Closed {
                path: self.path.clone(),
            });
        }
        // One is always taken, however large it is.
        if state.bytes > 0 && state.bytes + bytes.len() > self.backlog_max {
            return Err(JournalError::Backlog {
                path: self.path.clone(),
                max: self.backlog_max,
            });
        }
        state.bytes += bytes.len() + OP_LEN;
        state.ops.push(Op::Put(id, bytes.into()));
        state.ticket += 1;
        let ticket = state.ticket;
        self.backlog.wake(state);
        Ok(ticket)
    }

    /// Forgets what was put as `id`. Without effect when it is broken or closed: then it is there again after the next start.
    pub fn delete(&self, id: u64) {
        let mut state = self.backlog.lock();
        if state.broken.is_some() || state.is_closing {
            return;
        }
        state.ops.push(Op::Delete(id));
        self.backlog.wake(state);
    }

    /// The ticket of the last put; 0 before the first.
    pub fn last_ticket(&self) -> Ticket {
        self.backlog.lock().ticket
    }

    /// Why it stores nothing any more, if that is so.
    pub fn broken(&self) -> Option<JournalError> {
        self.backlog.lock().broken.clone()
    }

    /// Waits until all that was put is on the disk, and lets go of the file.
    pub fn close(&self) {
        let mut state = self.backlog.lock();
        state.is_closing = true;
        self.backlog.wake(state);
        lock(&self.log).take();
        let thread = lock(&self.thread).take();
        // Who drops the last of it in `on_event` is the thread itself.
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_all(file: &File, path: &Path) -> Result<Contents, JournalError> {
    read::read(file).map_err(|error| match error {
        ReadError::System(error) => JournalError::system("read", path, error),
        ReadError::Fault(fault) => JournalError::File {
            path: path.to_owned(),
            fault,
        },
    })
}

/// What an operation takes beside its bytes.
const OP_LEN: usize = 32;
/// After so long deletes are on the disk, and those that the disk refused are tried again.
const DELETES_WAIT: Duration = Duration::from_secs(1);

/// The thread of a journal.
struct Writer<F> {
    log: Log,
    backlog: Arc<Backlog>,
    path: PathBuf,
    fsync: Fsync,
    /// The last ticket that an event was about.
    done: Ticket,
    /// When the first of what is not on the disk yet was written.
    written_at: Option<Instant>,
    on_event: F,
}

impl<F: FnMut(Event)> Writer<F> {
    fn run(mut self) {
        let mut ops = Vec::new();
        // Deletes that were refused.
        let mut again: Vec<Op> = Vec::new();
        loop {
            let (ticket, is_closing) = self.backlog.take(&mut ops, self.wait(!again.is_empty()));
            if !again.is_empty() {
                again.append(&mut ops);
                std::mem::swap(&mut ops, &mut again);
            }
            let done = self.write(&ops, ticket);
            match done {
                Ok(()) => {}
                Err(LogError::Refused(error)) => {
                    let error = JournalError::system("write to", &self.path, error);
                    if ticket > self.done {
                        let after = std::mem::replace(&mut self.done, ticket);
                        (self.on_event)(Event::Refused {
                            after,
                            upto: ticket,
                            error,
                        });
                    }
                    again.extend(ops.drain(..).filter(|op| matches!(op, Op::Delete(_))));
                }
                Err(LogError::Broken(error)) => return self.breaks(error),
            }
            ops.clear();
            if is_closing {
                if self.written_at.is_some()
                    && let Err(error) = self.log.sync()
                {
                    self.breaks(error);
                }
                return;
            }
        }
    }

    /// How long nothing need be done if nothing comes.
    fn wait(&self, again: bool) -> Option<Duration> {
        let interval = self.interval();
        match self.written_at {
            Some(at) => Some(interval.saturating_sub(at.elapsed())),
            None => again.then_some(DELETES_WAIT),
        }
    }

    fn interval(&self) -> Duration {
        match self.fsync {
            Fsync::Always => DELETES_WAIT,
            Fsync::Interval(interval) => interval,
        }
    }

    fn write(&mut self, ops: &[Op], ticket: Ticket) -> Result<(), LogError> {
        if self.log.commit(ops)? {
            self.written_at.get_or_insert_with(Instant::now);
        }
        let has_puts = ticket > self.done;
        let is_due = self
            .written_at
            .is_some_and(|at| at.elapsed() >= self.interval());
        if is_due || (has_puts && self.fsync == Fsync::Always && self.written_at.is_some()) {
            self.log.sync().map_err(LogError::Broken)?;
            self.written_at = None;
        }
        if has_puts {
            self.done = ticket;
            (self.on_event)(Event::Committed { upto: ticket });
        }
        if self.log.is_stale() {
            match self.log.write_anew() {
                Ok(()) => self.written_at = None,
                // There is what there was, and it is tried again when the file is half as long again.
                Err(LogError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn breaks(&mut self, error: std::io::Error) {
        let error = JournalError::Broken {
            path: self.path.clone(),
            source: Arc::new(error),
        };
        let mut state = self.backlog.lock();
        state.broken = Some(error.clone());
        state.ops = Vec::new();
        state.bytes = 0;
        drop(state);
        (self.on_event)(Event::Broken { error });
    }
}
