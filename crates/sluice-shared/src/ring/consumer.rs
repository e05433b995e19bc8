//! The reading end of a ring.

use std::fmt;
use std::slice;

use super::{RingMemory, SPACE_WANTED};
use crate::memory::MemoryView;
use crate::record::{FIELD_BYTES, PAD, RECORD_HEADER_BYTES, Words};
use crate::sync::{Arc, Ordering, fence};

/// The end that reads records. One per ring; it may move between threads.
///
/// Where JavaScript consumes (event rings), it stores `head` itself: then this end reads nothing and
/// serves [`take_space_request`](Self::take_space_request) and [`memory`](Self::memory) alone.
pub struct Consumer {
    memory: Arc<RingMemory>,
    /// Where the next record starts.
    read: u32,
    /// The last tail that was seen: records before it may be read without another look.
    tail: u32,
}

/// A record in the ring, valid until the next call on its [`Consumer`].
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its words.
    pub words: Words,
    /// An event's field table, [`FIELD_BYTES`] for each field. Empty for a command.
    pub fields: &'a [u8],
    /// The bytes behind the words and fields, with up to 7 bytes of padding whose content is
    /// undefined: cut them by the lengths in the words, which are not checked here.
    pub bytes: &'a [u8],
    /// Where it starts, as [`Producer::push`](crate::Producer::push) has returned it.
    pub position: u32,
}

/// The ring's content makes no sense at this position; nothing can be read from it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Where the reading stopped.
    pub position: u32,
}

impl Consumer {
    pub(super) fn new(memory: Arc<RingMemory>, position: u32) -> Self {
        Self {
            memory,
            read: position,
            tail: position,
        }
    }

    /// The next record of a ring of events, `None` when all are read.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when a length or the tail is impossible, and again on every later call.
    #[inline]
    pub fn next_event(&mut self) -> Result<Option<Record<'_>>, Corrupt> {
        self.next(true)
    }

    /// The next record of a ring of commands, `None` when all are read.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when a length or the tail is impossible, and again on every later call.
    #[inline]
    pub fn next_command(&mut self) -> Result<Option<Record<'_>>, Corrupt> {
        self.next(false)
    }

    /// Publishes what the producer has pushed and not published. For a producer that hangs and will not do it any more;
    /// what one pushes that goes on all the same is seen as far as it is whole.
    pub fn salvage(&mut self) {
        let header = self.memory.header();
        // Acquire: pairs with the Release in `Producer::push`. The tail is stored for `is_empty` and the next look.
        let written = header.written.0.load(Ordering::Acquire);
        header.tail.0.store(written, Ordering::Release);
    }

    /// Gives the space of every record read so far back to the producer.
    #[inline]
    pub fn release(&mut self) {
        // Release: reads of the records come before it, so the producer may overwrite them.
        self.memory
            .header()
            .head
            .0
            .store(self.read, Ordering::Release);
    }

    /// True when nothing published is unread. The second look before sleeping: call it after
    /// [`Parked::prepare`](crate::Parked::prepare) or [`WorkerBlock::park`](crate::WorkerBlock::park).
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.memory.header().tail.0.load(Ordering::SeqCst) == self.read
    }

    /// Takes the producer's request for space; true when there was one, and the producer must be
    /// told. Call after releasing, once per batch.
    #[inline]
    #[must_use = "true means that nobody else will tell the producer"]
    pub fn take_space_request(&self) -> bool {
        // Pairs with the fence in `Producer::request_space`: head was stored before it.
        fence(Ordering::SeqCst);
        let flags = &self.memory.header().flags.0;
        flags.load(Ordering::Relaxed) & SPACE_WANTED != 0
            && flags.fetch_and(!SPACE_WANTED, Ordering::AcqRel) & SPACE_WANTED != 0
    }

    /// The position behind the last record read.
    #[inline]
    pub fn position(&self) -> u32 {
        self.read
    }

    /// The memory, for JavaScript to see.
    pub fn memory(&self) -> MemoryView {
        MemoryView::new(self.memory.region.clone())
    }

    #[inline]
    fn next(&mut self, has_fields: bool) -> Result<Option<Record<'_>>, Corrupt> {
        loop {
            if self.read == self.tail {
                // Acquire: pairs with the Release in `Producer::publish`.
                self.tail = self.memory.header().tail.0.load(Ordering::Acquire);
                if self.read == self.tail {
                    return Ok(None);
                }
            }
            let position = self.read;
            let (len, kind) = self.measure(position)?;
            self.read = position.wrapping_add(len);
            if kind != PAD {
                return self.record(position, len, has_fields).map(Some);
            }
        }
    }

    /// The length and kind of what starts at `position`: whole, published, and not over the end.
    #[inline]
    fn measure(&self, position: u32) -> Result<(u32, u8), Corrupt> {
        let offset = self.memory.offset(position);
        let to_end = self.memory.capacity - offset;
        let published = self.tail.wrapping_sub(position);
        if published < 8 || published > self.memory.capacity || !position.is_multiple_of(8) {
            return Err(Corrupt { position });
        }
        self.memory.region.races().read(offset, 8);
        // SAFETY: an aligned position has 8 bytes up to the end of the data, and the producer does
        // not touch what is published and not released.
        let [len, w1] = unsafe { self.memory.at(offset).cast::<[u32; 2]>().read() };
        let kind = w1 as u8;
        let is_right = if kind == PAD {
            len == to_end
        } else {
            len >= RECORD_HEADER_BYTES && len <= self.memory.max_record() && len <= to_end
        };
        if is_right && len.is_multiple_of(8) && len <= published {
            Ok((len, kind))
        } else {
            Err(Corrupt { position })
        }
    }

    #[inline]
    fn record(&mut self, position: u32, len: u32, has_fields: bool) -> Result<Record<'_>, Corrupt> {
        let offset = self.memory.offset(position);
        self.memory.region.races().read(offset, len);
        // SAFETY: `measure` has found `len` bytes, at least the words, inside the data. The producer
        // does not touch them before `release`, which needs the borrow that this record holds.
        let (words, payload) = unsafe {
            let at = self.memory.at(offset);
            let payload_len = (len - RECORD_HEADER_BYTES) as usize;
            let payload = slice::from_raw_parts(at.add(RECORD_HEADER_BYTES as usize), payload_len);
            (at.cast::<Words>().read(), payload)
        };
        let fields_len = if has_fields {
            words.fields() as usize * FIELD_BYTES as usize
        } else {
            0
        };
        match payload.split_at_checked(fields_len) {
            Some((fields, bytes)) => Ok(Record {
                words,
                fields,
                bytes,
                position,
            }),
            None => {
                self.read = position;
                Err(Corrupt { position })
            }
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("capacity", &self.memory.capacity)
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ring is corrupt at position {}", self.position)
    }
}

impl std::error::Error for Corrupt {}
