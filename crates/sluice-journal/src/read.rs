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
    contents.cut = len - at;
    Ok(contents)
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
