//! A file that is written, and what is in it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, LogFile};
use crate::format::{self, Commit, HEADER_LEN};

/// Behind the name of a file that is to be in the place of another.
pub(crate) const NEW: &str = ".new";
/// Bytes of one commit when a file is written anew.
const COMMIT_MAX: usize = 1 << 20;
/// Zeros that are written at once behind the last commit, where commits are waited for: a file that does not grow is on the disk several times sooner, for
/// there is nothing about the file itself to be written.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// How often for one growth, at most; not more than is in the file.
const ZEROS_COUNT_MAX: u64 = 16;

/// Where the bytes of a put are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) at: u64,
    pub(crate) len: u32,
}

/// A file and what is in it.
pub(crate) struct Written {
    pub(crate) file: Arc<dyn LogFile>,
    pub(crate) end: u64,
    /// Up to where the file has zeros for what comes, if it is to have them.
    pub(crate) zeros: Option<u64>,
    sum: u32,
    pub(crate) live: HashMap<u64, Place>,
    pub(crate) live_bytes: u64,
    pub(crate) last_id: u64,
}

impl Written {
    /// A file beside `like`, which it is to be in the place of.
    pub(crate) fn create(
        disk: &dyn Disk,
        like: &Path,
        last_id: u64,
        has_zeros: bool,
    ) -> io::Result<Self> {
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
    pub(crate) fn append(&mut self, commit: &mut Commit) -> io::Result<()> {
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
    pub(crate) fn grow(&mut self) {
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
    pub(crate) fn take_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.zeros = self.zeros.map(|_| self.end);
        Ok(())
    }

    pub(crate) fn has(&mut self, id: u64, at: u64, len: usize) {
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

    pub(crate) fn has_not(&mut self, id: u64) {
        if let Some(before) = self.live.remove(&id) {
            self.live_bytes -= u64::from(before.len);
        }
    }

    /// Puts what `from` has at a place behind the others, in a commit of its own when that is large enough.
    pub(crate) fn copy(
        &mut self,
        id: u64,
        (from, place): (&dyn LogFile, Place),
        commit: &mut Commit,
    ) -> io::Result<()> {
        let mut bytes = vec![0; place.len as usize];
        from.read_exact_at(&mut bytes, place.at)?;
        let at = self.end + commit.put(id, &bytes) as u64;
        self.has(id, at, bytes.len());
        self.append_large(commit)
    }

    /// Writes a commit that is long enough.
    pub(crate) fn append_large(&mut self, commit: &mut Commit) -> io::Result<()> {
        if commit.len() > COMMIT_MAX {
            self.append(commit)?;
        }
        Ok(())
    }
}

/// The file that has this behind its name.
pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
