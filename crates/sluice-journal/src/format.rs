//! The bytes of a journal, all numbers little-endian.
//!
//! ```text
//! header   "SluiceTaskLog\r\n\x1a"  version u32  0 u32  0 u32  checksum u32
//! commit   length u32  checksum u32  entries…        any number of them, up to the end of the file or to zeros
//! entry    1  id u64  length u32  bytes              put
//!          2  id u64                                 delete
//!          3  id u64                                 no id up to this one is used again
//! ```
//!
//! A commit's checksum is the CRC-32 of its length and its entries, begun with the checksum of the commit before it, or of the header.

use crate::error::Fault;

pub(crate) const MAGIC: &[u8; 16] = b"SluiceTaskLog\r\n\x1a";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_LEN: usize = 32;
pub(crate) const FRAME_LEN: usize = 8;
/// Of a put, before its bytes.
pub(crate) const PUT_LEN: usize = 13;

pub(crate) const PUT: u8 = 1;
pub(crate) const DELETE: u8 = 2;
pub(crate) const LAST_ID: u8 = 3;

pub(crate) fn header() -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..16].copy_from_slice(MAGIC);
    bytes[16..20].copy_from_slice(&VERSION.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The checksum that the first commit's begins with.
pub(crate) fn first_sum() -> u32 {
    number(&header()[28..])
}

pub(crate) fn check_header(bytes: &[u8; HEADER_LEN]) -> Result<(), Fault> {
    if &bytes[..16] != MAGIC {
        return Err(Fault::Foreign);
    }
    let found = number(&bytes[16..20]);
    if found != VERSION {
        return Err(Fault::Version {
            found,
            expected: VERSION,
        });
    }
    let (found, expected) = (number(&bytes[28..]), crc32fast::hash(&bytes[..28]));
    if found != expected {
        return Err(Fault::Header { found, expected });
    }
    Ok(())
}

/// A commit that is being written into a buffer, which begins with room for its frame.
#[derive(Debug)]
pub(crate) struct Commit {
    buffer: Vec<u8>,
}

impl Commit {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; FRAME_LEN],
        }
    }

    pub(crate) fn clear(&mut self) {
        // One that was very large is not kept.
        if self.buffer.capacity() > 4 << 20 {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        self.buffer.resize(FRAME_LEN, 0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.len() == FRAME_LEN
    }

    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Where its bytes will be, from the begin of the commit.
    pub(crate) fn put(&mut self, id: u64, bytes: &[u8]) -> usize {
        self.buffer.push(PUT);
        self.buffer.extend(id.to_le_bytes());
        self.buffer
            .extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        let at = self.buffer.len();
        self.buffer.extend(bytes);
        at
    }

    pub(crate) fn delete(&mut self, id: u64) {
        self.buffer.push(DELETE);
        self.buffer.extend(id.to_le_bytes());
    }

    pub(crate) fn last_id(&mut self, id: u64) {
        self.buffer.push(LAST_ID);
        self.buffer.extend(id.to_le_bytes());
    }

    /// Its bytes and its checksum, after a commit of checksum `before`.
    pub(crate) fn finish(&mut self, before: u32) -> (&[u8], u32) {
        let len = u32::try_from(self.buffer.len() - FRAME_LEN).unwrap_or(u32::MAX);
        self.buffer[..4].copy_from_slice(&len.to_le_bytes());
        let sum = checksum(before, len, &self.buffer[FRAME_LEN..]);
        self.buffer[4..8].copy_from_slice(&sum.to_le_bytes());
        (&self.buffer, sum)
    }
}

pub(crate) fn checksum(before: u32, len: u32, entries: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(before);
    hasher.update(&len.to_le_bytes());
    hasher.update(entries);
    hasher.finalize()
}

/// The first four bytes as a number; 0 if there are fewer.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// An entry of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// Its bytes are at this place of the commit's entries.
    Put(u64, usize, &'a [u8]),
    Delete(u64),
    LastId(u64),
}

/// The entry at `at` and where the next one is. `Err`: the kind of one that is not known or not whole.
pub(crate) fn entry(entries: &[u8], at: usize) -> Result<(Entry<'_>, usize), u8> {
    let rest = &entries[at..];
    let kind = rest[0];
    let Some(id) = rest[1..].first_chunk().map(|id| u64::from_le_bytes(*id)) else {
        return Err(kind);
    };
    match kind {
        PUT => {
            let begin = at + PUT_LEN;
            let len = rest.get(9..PUT_LEN).map(number).ok_or(kind)? as usize;
            let bytes = begin
                .checked_add(len)
                .and_then(|end| entries.get(begin..end))
                .ok_or(kind)?;
            Ok((Entry::Put(id, begin, bytes), begin + len))
        }
        DELETE => Ok((Entry::Delete(id), at + 9)),
        LAST_ID => Ok((Entry::LastId(id), at + 9)),
        _ => Err(kind),
    }
}
