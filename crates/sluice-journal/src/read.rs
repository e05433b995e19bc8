//! Reading a journal, up to its last whole commit.

use std::collections::HashMap;
use std::io;

use crate::disk::LogFile;
use crate::error::Fault;
use crate::format::{self, Entry, FRAME_LEN, HEADER_LEN};

/// What a journal says.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) live: HashMap<u64, Vec<u8>>,
    pub(crate) last_id: u64,
    /// Bytes behind the last whole commit.
    pub(crate) cut: u64,
    /// Whether there are whole commits among them: then it is no write that was cut off, but something has happened to what was there.
    pub(crate) is_damaged: bool,
}

pub(crate) enum ReadError {
    System(io::Error),
    Fault(Fault),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

pub(crate) fn read(file: &dyn LogFile) -> Result<Contents, ReadError> {
    let len = file.len()?;
    let mut contents = Contents::default();
    // Somebody has made it to have its rights set, perhaps.
    if len == 0 {
        return Ok(contents);
    }
    let mut header = [0; HEADER_LEN];
    if len < HEADER_LEN as u64 {
        return Err(ReadError::Fault(Fault::Short {
            len,
            expected: HEADER_LEN as u64,
        }));
    }
    file.read_exact_at(&mut header, 0)?;
    format::check_header(&header).map_err(ReadError::Fault)?;
    let (mut at, mut sum) = (HEADER_LEN as u64, format::first_sum());
    let mut entries = Vec::new();
    while len - at >= FRAME_LEN as u64 {
        let mut frame = [0; FRAME_LEN];
        file.read_exact_at(&mut frame, at)?;
        let (size, expected) = (format::number(&frame), format::number(&frame[4..]));
        if u64::from(size) > len - at - FRAME_LEN as u64 {
            break;
        }
        entries.resize(size as usize, 0);
        file.read_exact_at(&mut entries, at + FRAME_LEN as u64)?;
        if format::checksum(sum, size, &entries) != expected {
            break;
        }
        apply(&entries, at + FRAME_LEN as u64, &mut contents).map_err(ReadError::Fault)?;
        sum = expected;
        at += FRAME_LEN as u64 + u64::from(size);
    }
    if !is_blank(file, at, len)? {
        contents.cut = len - at;
        contents.is_damaged = has_commit_behind(file, at, len)?;
    }
    Ok(contents)
}

/// Whether what follows the commit at `at`, which is not whole, is a commit that was written after it.
fn has_commit_behind(file: &dyn LogFile, at: u64, len: u64) -> io::Result<bool> {
    let frame = |at: u64| -> io::Result<Option<(u32, u32)>> {
        if len.saturating_sub(at) < FRAME_LEN as u64 {
            return Ok(None);
        }
        let mut frame = [0; FRAME_LEN];
        file.read_exact_at(&mut frame, at)?;
        let size = format::number(&frame);
        let fits = u64::from(size) <= len - at - FRAME_LEN as u64;
        Ok(fits.then_some((size, format::number(&frame[4..]))))
    };
    let Some((size, sum)) = frame(at)? else {
        return Ok(false);
    };
    let next = at + FRAME_LEN as u64 + u64::from(size);
    let Some((size, expected)) = frame(next)?.filter(|(size, _)| *size > 0) else {
        return Ok(false);
    };
    let mut entries = vec![0; size as usize];
    file.read_exact_at(&mut entries, next + FRAME_LEN as u64)?;
    Ok(format::checksum(sum, size, &entries) == expected)
}

/// Whether there are but zeros from `at` on: room for what was to come.
fn is_blank(file: &dyn LogFile, mut at: u64, len: u64) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    while at < len {
        let part = bytes.len().min((len - at) as usize);
        file.read_exact_at(&mut bytes[..part], at)?;
        if bytes[..part].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += part as u64;
    }
    Ok(true)
}

fn apply(entries: &[u8], begin: u64, contents: &mut Contents) -> Result<(), Fault> {
    let mut at = 0;
    while at < entries.len() {
        let (entry, next) = format::entry(entries, at).map_err(|kind| Fault::Entry {
            kind,
            at: begin + at as u64,
        })?;
        match entry {
            Entry::Put(id, _, bytes) => {
                contents.last_id = contents.last_id.max(id);
                contents.live.insert(id, bytes.to_vec());
            }
            Entry::Delete(id) => {
                contents.live.remove(&id);
            }
            Entry::LastId(id) => contents.last_id = contents.last_id.max(id),
        }
        at = next;
    }
    Ok(())
}
