//! The file of a journal, as its thread writes it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, LogFile};
use crate::format::Commit;
use crate::rewrite::Rewrite;
use crate::written::{NEW, Written, beside};

/// A file is not written anew before it has so many bytes.
const ANEW_MIN: u64 = 16 << 20;
/// What a put takes beside its bytes.
const OP_LEN: usize = 32;

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

pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    written: Written,
    /// Bytes of the file at which it is written anew.
    anew_at: u64,
    commit: Commit,
    /// Of each id of a batch its last operation: the others need not be written.
    last_of: HashMap<u64, usize>,
    /// The file is being written anew.
    rewrite: Option<Rewrite>,
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
            written.append_large(&mut commit)?;
        }
        written.append(&mut commit)?;
        let mut log = Self {
            disk,
            path: path.to_owned(),
            written,
            anew_at: 0,
            commit,
            last_of: HashMap::new(),
            rewrite: None,
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
        if let Some(rewrite) = &mut self.rewrite {
            rewrite.changed.extend(places.iter().map(|(id, _)| *id));
        }
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

    /// Whether most of the file is about what is not there any more, and it is not being written anew.
    pub(crate) fn is_stale(&self) -> bool {
        self.written.end >= self.anew_at && self.rewrite.is_none()
    }

    fn anew_at(&self) -> u64 {
        // Entries have bytes of their own.
        let live = self.written.live_bytes + 16 * self.written.live.len() as u64;
        ANEW_MIN.max(3 * live)
    }

    /// Begins to write the file anew with what is there, in another thread, which calls `tell` when [`put_anew`](Self::put_anew) is to be called. `Err`: it
    /// goes on with the file it has, until that is larger.
    pub(crate) fn write_anew(&mut self, tell: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let begun = Rewrite::begin(Arc::clone(&self.disk), &self.path, &self.written, tell);
        match begun {
            Ok(rewrite) => {
                self.rewrite = Some(rewrite);
                Ok(())
            }
            Err(error) => {
                self.goes_on();
                Err(error)
            }
        }
    }

    /// Puts the file that was written anew in the place of this one, if there is one. Whether there was. `Refused`: it goes on with the file it has, until
    /// that is larger.
    pub(crate) fn put_anew(&mut self) -> Result<bool, LogError> {
        let Some(rewrite) = self.rewrite.take_if(|rewrite| rewrite.is_done()) else {
            return Ok(false);
        };
        match rewrite.finish(&self.written) {
            Ok(written) => {
                // From here on nobody knows which of the two is there after a crash of the machine.
                self.disk
                    .replace(&beside(&self.path, NEW), &self.path)
                    .map_err(LogError::Broken)?;
                self.written = written;
                self.anew_at = self.anew_at();
                Ok(true)
            }
            Err(error) => {
                self.disk.remove(&beside(&self.path, NEW));
                self.goes_on();
                Err(LogError::Refused(error))
            }
        }
    }

    /// It is tried again when the file is half as long again.
    fn goes_on(&mut self) {
        self.anew_at = self.written.end + self.written.end / 2;
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.rewrite.take().is_some() {
            self.disk.remove(&beside(&self.path, NEW));
        }
    }
}
