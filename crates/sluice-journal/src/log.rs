//! The file of a journal, as its thread writes it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, LogFile};
use crate::format::{self, Commit, HEADER_LEN};

/// A file is not written anew before it has so many bytes.
const ANEW_MIN: u64 = 16 << 20;
/// Behind the name of a file that is to be in the place of another.
const NEW: &str = ".new";
/// What a put takes beside its bytes.
const OP_LEN: usize = 32;
/// Bytes of one commit when a file is written anew.
const COMMIT_MAX: usize = 1 << 20;
/// Zeros that are written at once behind the last commit, where commits are waited for: a file that does not grow is on the disk several times sooner, for
/// there is nothing about the file itself to be written.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// How often for one growth, at most; not more than is in the file.
const ZEROS_COUNT_MAX: u64 = 16;

/// Something that is to be in the journal.
#[derive(Debug)]
pub(crate) enum Op {
    Put(u64, Box<[u8]>),
    Delete(u64),
}

impl Op {
    /// Bytes that it has of those that may wait for the disk.
    pub(crate) fn waiting_bytes(&self) -> usize {
        match self {
            Self::Put(_, bytes) => bytes.len() + OP_LEN,
            Self::Delete(_) => 0,
        }
    }

    pub(crate) fn id(&self) -> u64 {
        match self {
            Self::Put(id, _) | Self::Delete(id) => *id,
        }
    }
}

/// Why a commit is not there.
pub(crate) enum LogError {
    /// It was taken back; what was there before is there.
    Refused(io::Error),
    /// Nobody knows what is there.
    Broken(io::Error),
}

/// Where the bytes of a put are.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    len: u32,
}

pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    written: Written,
    /// Bytes of the file at which it is written anew.
    anew_at: u64,
    commit: Commit,
    /// Of each id of a batch its last operation: the others need not be written.
    last_of: HashMap<u64, usize>,
}

/// A file and what is in it.
struct Written {
    file: Arc<dyn LogFile>,
    end: u64,
    /// Up to where the file has zeros for what comes, if it is to have them.
    zeros: Option<u64>,
    sum: u32,
    live: HashMap<u64, Place>,
    live_bytes: u64,
    last_id: u64,
}

impl Written {
    /// A file beside `like`, which it is to be in the place of.
    fn create(disk: &dyn Disk, like: &Path, last_id: u64, has_zeros: bool) -> io::Result<Self> {
        let file = disk.create(&beside(like, NEW), like)?;
        file.write_all_at(&format::header(), 0)?;
        let mut written = Self {
            file,
            end: HEADER_LEN as u64,
            zeros: has_zeros.then_some(0),
            sum: format::first_sum(),
            live: HashMap::new(),
            live_bytes: 0,
            last_id,
        };
        let mut commit = Commit::new();
        commit.last_id(last_id);
        written.append(&mut commit)?;
        Ok(written)
    }

    /// Writes a commit behind the others. After an error there may be a part of it.
    fn append(&mut self, commit: &mut Commit) -> io::Result<()> {
        if commit.is_empty() {
            return Ok(());
        }
        let (bytes, sum) = commit.finish(self.sum);
        let end = self.end + bytes.len() as u64;
        self.file.write_all_at(bytes, self.end)?;
        self.end = end;
        self.sum = sum;
        commit.clear();
        Ok(())
    }

    /// Writes zeros behind the last commit, when there are none left.
    fn grow(&mut self) {
        if self.zeros.is_none_or(|zeros| self.end < zeros) {
            return;
        }
        let mut at = self.end;
        for _ in 0..(self.end / ZEROS.len() as u64).clamp(1, ZEROS_COUNT_MAX) {
            if self.file.write_all_at(&ZEROS, at).is_err() {
                // The disk may have room for commits nevertheless. A part of them does no harm: zeros are no commit.
                break;
            }
            at += ZEROS.len() as u64;
        }
        self.zeros = Some(at);
    }

    /// Takes back what was written of a commit that failed.
    fn take_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.zeros = self.zeros.map(|_| self.end);
        Ok(())
    }

    fn has(&mut self, id: u64, at: u64, len: usize) {
        let place = Place {
            at,
            len: u32::try_from(len).unwrap_or(u32::MAX),
        };
        self.live_bytes += len as u64;
        if let Some(before) = self.live.insert(id, place) {
            self.live_bytes -= u64::from(before.len);
        }
        self.last_id = self.last_id.max(id);
    }

    fn has_not(&mut self, id: u64) {
        if let Some(before) = self.live.remove(&id) {
            self.live_bytes -= u64::from(before.len);
        }
    }
}

/// The file that has this behind its name.
pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

impl Log {
    /// Writes a file with this in it beside `path`. It is there when [`replace`](Self::replace) is done.
    pub(crate) fn create<'a>(
        disk: Arc<dyn Disk>,
        path: &Path,
        last_id: u64,
        has_zeros: bool,
        stored: impl Iterator<Item = (u64, &'a [u8])>,
    ) -> io::Result<Self> {
        let mut commit = Commit::new();
        let mut written = Written::create(&*disk, path, last_id, has_zeros)?;
        for (id, bytes) in stored {
            let at = written.end + commit.put(id, bytes) as u64;
            written.has(id, at, bytes.len());
            if commit.len() > COMMIT_MAX {
                written.append(&mut commit)?;
            }
        }
        written.append(&mut commit)?;
        let mut log = Self {
            disk,
            path: path.to_owned(),
            written,
            anew_at: 0,
            commit,
            last_of: HashMap::new(),
        };
        log.anew_at = log.anew_at();
        Ok(log)
    }

    /// Puts what was created in the place of the file before.
    pub(crate) fn replace(&mut self) -> io::Result<()> {
        self.written.file.sync()?;
        self.disk.replace(&beside(&self.path, NEW), &self.path)
    }

    /// Undoes [`create`](Self::create).
    pub(crate) fn remove(self) {
        self.disk.remove(&beside(&self.path, NEW));
    }

    /// Writes what is to be there, in one commit. Whether anything was written.
    pub(crate) fn commit(&mut self, ops: &[Op]) -> Result<bool, LogError> {
        self.last_of.clear();
        self.last_of
            .extend(ops.iter().enumerate().map(|(index, op)| (op.id(), index)));
        let written = &mut self.written;
        let mut places = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            if self.last_of.get(&op.id()) != Some(&index) {
                continue;
            }
            match op {
                Op::Put(id, bytes) => {
                    let at = written.end + self.commit.put(*id, bytes) as u64;
                    places.push((*id, Some((at, bytes.len()))));
                }
                Op::Delete(id) if written.live.contains_key(id) => {
                    self.commit.delete(*id);
                    places.push((*id, None));
                }
                Op::Delete(id) => {
                    // What was put and deleted in one batch leaves its id, which is not used again.
                    if *id > written.last_id {
                        self.commit.last_id(*id);
                        places.push((*id, None));
                    }
                }
            }
        }
        if self.commit.is_empty() {
            return Ok(false);
        }
        if let Err(error) = written.append(&mut self.commit) {
            self.commit.clear();
            return Err(match written.take_back() {
                Ok(()) => LogError::Refused(error),
                Err(_) => LogError::Broken(error),
            });
        }
        written.grow();
        for (id, place) in places {
            match place {
                Some((at, len)) => written.has(id, at, len),
                None => {
                    written.has_not(id);
                    written.last_id = written.last_id.max(id);
                }
            }
        }
        Ok(true)
    }

    /// The file that is written.
    pub(crate) fn file(&self) -> Arc<dyn LogFile> {
        Arc::clone(&self.written.file)
    }

    /// Whether something was put as this and not deleted.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.written.live.contains_key(&id)
    }

    /// Bytes of the file, what is in it, and bytes of that.
    pub(crate) fn size(&self) -> (u64, u64, u64) {
        let Written {
            end,
            live,
            live_bytes,
            ..
        } = &self.written;
        (*end, live.len() as u64, *live_bytes)
    }

    /// Cuts off what is there for commits to come.
    pub(crate) fn trim(&mut self) {
        if self.written.zeros.is_some() {
            // It does no harm where it is.
            let _ = self.written.take_back();
        }
    }

    /// Whether most of the file is about what is not there any more.
    pub(crate) fn is_stale(&self) -> bool {
        self.written.end >= self.anew_at
    }

    fn anew_at(&self) -> u64 {
        // Entries have bytes of their own.
        let live = self.written.live_bytes + 16 * self.written.live.len() as u64;
        ANEW_MIN.max(3 * live)
    }

    /// Writes the file anew with what is there. `Refused`: it goes on with the file it has, until that is larger.
    pub(crate) fn write_anew(&mut self) -> Result<(), LogError> {
        let before = self.written.end;
        match self.copied() {
            Ok(written) => {
                // From here on nobody knows which of the two is there after a crash of the machine.
                self.disk
                    .replace(&beside(&self.path, NEW), &self.path)
                    .map_err(LogError::Broken)?;
                self.written = written;
                self.anew_at = self.anew_at();
                Ok(())
            }
            Err(error) => {
                self.disk.remove(&beside(&self.path, NEW));
                self.anew_at = before + before / 2;
                Err(LogError::Refused(error))
            }
        }
    }

    fn copied(&mut self) -> io::Result<Written> {
        let old = &self.written;
        let mut new = Written::create(&*self.disk, &self.path, old.last_id, old.zeros.is_some())?;
        let mut places: Vec<(u64, Place)> =
            old.live.iter().map(|(id, place)| (*id, *place)).collect();
        places.sort_unstable_by_key(|(_, place)| place.at);
        let mut bytes = Vec::new();
        let mut commit = Commit::new();
        for (id, place) in places {
            bytes.resize(place.len as usize, 0);
            old.file.read_exact_at(&mut bytes, place.at)?;
            let at = new.end + commit.put(id, &bytes) as u64;
            new.has(id, at, bytes.len());
            if commit.len() > COMMIT_MAX {
                new.append(&mut commit)?;
            }
        }
        new.append(&mut commit)?;
        new.file.sync()?;
        Ok(new)
    }
}
