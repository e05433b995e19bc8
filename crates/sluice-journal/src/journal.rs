//! The journal: who uses it, and its two threads.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::announce::Announcer;
use crate::backlog::Backlog;
use crate::disk::{self, Disk, Found, RealDisk};
use crate::error::{Fault, JournalError};
use crate::log::{Log, Op};
use crate::read::{self, Contents, ReadError};
use crate::stats::{Counts, JournalStats};
use crate::syncer::{Syncer, Unsynced};
use crate::writer::Writer;
use crate::written::beside;

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
    /// The file, or a link to it. Beside it there is another one at times, with `.new` behind its name, and one with `.damaged` if that was found.
    pub path: PathBuf,
    /// See [`Fsync`].
    pub fsync: Fsync,
    /// Bytes that may wait for the disk.
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
        /// What they were put as.
        ids: Vec<u64>,
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
    /// Where the file was kept as it was found, because there is more behind what could be read: something has happened to it.
    pub damaged: Option<PathBuf>,
}

/// See the crate. Ends when it is dropped, as by [`close`](Self::close).
pub struct Journal {
    backlog: Arc<Backlog>,
    path: PathBuf,
    fsync: Fsync,
    backlog_max: usize,
    /// Taken by [`start`](Self::start).
    log: Mutex<Option<Log>>,
    counts: Arc<Counts>,
    threads: Mutex<Vec<JoinHandle<()>>>,
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
        let path = &target(options.path)?;
        let begun = Instant::now();
        loop {
            let found = disk::open(path, false)
                .map_err(|error| JournalError::system("open", path, error))?;
            let (contents, old) = match found {
                Found::Locked if begun.elapsed() < LOCK_WAIT => {
                    thread::sleep(LOCK_LOOK);
                    continue;
                }
                Found::Locked => return Err(JournalError::Locked { path: path.clone() }),
                Found::Nothing => (Contents::default(), None),
                Found::File(file) => (read_all(&file, path)?, Some(file)),
            };
            let by_id = contents.live.iter().map(|(id, bytes)| (*id, &bytes[..]));
            let created = Log::create(
                Arc::clone(&disk),
                path,
                contents.last_id,
                options.fsync == Fsync::Always,
                by_id,
            );
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
            let damaged = contents.is_damaged.then(|| beside(path, ".damaged"));
            if let Some(kept) = &damaged {
                let _ = fs::remove_file(kept);
                fs::hard_link(path, kept)
                    .map_err(|error| JournalError::system("keep a copy of", path, error))?;
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
            let backlog = Arc::<Backlog>::default();
            backlog.lock().known = stored.iter().map(|stored| stored.id).collect();
            let counts = Arc::<Counts>::default();
            counts.cut.store(contents.cut, Ordering::Relaxed);
            return Ok(Opened {
                stored,
                last_id: contents.last_id,
                cut: contents.cut,
                damaged,
                journal: Self {
                    backlog,
                    path: path.clone(),
                    fsync: options.fsync,
                    backlog_max: options.backlog_max,
                    log: Mutex::new(Some(log)),
                    counts,
                    threads: Mutex::default(),
                },
            });
        }
    }

    /// Starts the threads. One of them calls `on_event`, which may call the journal but not [close](Self::close) it. Without effect the second time.
    ///
    /// # Errors
    ///
    /// [`JournalError::System`]: there is no thread to be had.
    pub fn start(&self, on_event: impl FnMut(Event) + Send + 'static) -> Result<(), JournalError> {
        let Some(log) = lock(&self.log).take() else {
            return Ok(());
        };
        let unsynced = Arc::new(Unsynced::new(log.file()));
        let announcer = Arc::new(Announcer::new(
            Arc::clone(&self.backlog),
            self.path.clone(),
            Arc::clone(&self.counts),
            on_event,
        ));
        let syncer = Syncer {
            unsynced: Arc::clone(&unsynced),
            announcer: Arc::clone(&announcer),
            interval: match self.fsync {
                Fsync::Always => DELETES_WAIT,
                Fsync::Interval(interval) => interval,
            },
        };
        let writer = Writer {
            log,
            backlog: Arc::clone(&self.backlog),
            unsynced: Arc::clone(&unsynced),
            announcer,
            path: self.path.clone(),
            fsync: self.fsync,
            done: 0,
            is_broken: false,
        };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(run)
                .map_err(|error| JournalError::system("start a thread of", &self.path, error))
        };
        let syncer = spawn("sluice-fsync", Box::new(move || syncer.run()))?;
        let writer = spawn("sluice-journal", Box::new(move || writer.run()))
            .inspect_err(|_| unsynced.close())?;
        *lock(&self.threads) = vec![writer, syncer];
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
        if state.bytes > 0 && state.bytes.saturating_add(bytes.len()) > self.backlog_max {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return Err(JournalError::Backlog {
                path: self.path.clone(),
                max: self.backlog_max,
            });
        }
        let op = Op::Put(id, bytes.into());
        state.bytes += op.waiting_bytes();
        state.ops.push(op);
        state.known.insert(id);
        state.ticket += 1;
        let ticket = state.ticket;
        self.backlog.wake(state);
        Ok(ticket)
    }

    /// Forgets what was put as `id`. Without effect when nothing was, and when it is broken or closed: then it is there again after the next start.
    pub fn delete(&self, id: u64) {
        let mut state = self.backlog.lock();
        if state.is_closing || !state.known.remove(&id) {
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

    /// What it has done, and what is in it.
    pub fn stats(&self) -> JournalStats {
        self.counts.stats(&self.backlog)
    }

    /// Waits until all that was put is on the disk, and lets go of the file.
    pub fn close(&self) {
        let mut state = self.backlog.lock();
        state.is_closing = true;
        self.backlog.wake(state);
        lock(&self.log).take();
        let threads = std::mem::take(&mut *lock(&self.threads));
        // Who drops the last of it in `on_event` is one of them, and cannot wait for itself.
        let me = thread::current().id();
        if threads.iter().all(|thread| thread.thread().id() != me) {
            for thread in threads {
                // It panics on a bug alone, and then there is nothing to wait for.
                let _ = thread.join();
            }
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

/// The file that a path means. It is put in the place of the old one at times, which a link is not to be.
fn target(path: PathBuf) -> Result<PathBuf, JournalError> {
    let Ok(found) = fs::metadata(&path) else {
        return Ok(path);
    };
    if !found.is_file() {
        let fault = Fault::NoFile;
        return Err(JournalError::File { path, fault });
    }
    match fs::canonicalize(&path) {
        Ok(target) if path.is_symlink() => Ok(target),
        _ => Ok(path),
    }
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

/// After so long deletes are on the disk.
const DELETES_WAIT: Duration = Duration::from_secs(1);
/// How long somebody else may have the file: a process that is being made has for a moment all that the one has which makes it, so a file that was closed
/// is locked a little longer.
const LOCK_WAIT: Duration = Duration::from_millis(250);
const LOCK_LOOK: Duration = Duration::from_millis(10);
