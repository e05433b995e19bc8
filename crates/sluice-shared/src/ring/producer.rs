//! The writing end of a ring.

use std::cell::Cell;
use std::fmt;
use std::ptr;

use super::{RingMemory, SPACE_WANTED};
use crate::memory::MemoryView;
use crate::record::{PAD, RECORD_HEADER_BYTES, Words};
use crate::sync::{Arc, Ordering, fence};

/// The end that writes records. One per ring; it may move between threads, not be shared.
///
/// The consumer may be JavaScript, so its `head` is checked: only a head that moves forward, to a
/// multiple of 8 and not past what was published, is believed. A wrong one can make this end wait for
/// ever or reuse bytes its own worker has not read, nothing else.
pub struct Producer {
    memory: Arc<RingMemory>,
    /// Where the next record goes. Ahead of `published` by what is pushed and not yet published.
    write: u32,
    published: u32,
    /// The last head that was believed.
    head: Cell<u32>,
}

/// Why a record was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// No space now. Publish what is pushed, then [`Producer::request_space`].
    Full,
    /// Larger than [`Producer::max_record`]: it will never fit and must travel out of line.
    TooLarge,
}

impl Producer {
    pub(super) fn new(memory: Arc<RingMemory>, position: u32) -> Self {
        Self {
            memory,
            write: position,
            published: position,
            head: Cell::new(position),
        }
    }

    /// Writes a record of `words` and then `parts` one behind the other, and returns its position.
    /// The consumer sees it after [`publish`](Self::publish). An event's field table is the first part.
    ///
    /// # Errors
    ///
    /// [`PushError`]; nothing is written then.
    #[inline]
    pub fn push(&mut self, words: Words, parts: &[&[u8]]) -> Result<u32, PushError> {
        let payload = parts
            .iter()
            .fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if payload > (self.max_record() - RECORD_HEADER_BYTES) as usize {
            return Err(PushError::TooLarge);
        }
        // Fits: it is at most an eighth of a ring, whose size is a multiple of 64.
        let len = (RECORD_HEADER_BYTES + payload as u32).next_multiple_of(8);
        let to_end = self.memory.capacity - self.memory.offset(self.write);
        let pad = if len > to_end { to_end } else { 0 };
        if !self.has_space(pad + len) {
            return Err(PushError::Full);
        }
        if pad > 0 {
            self.write_pad(pad);
        }
        let position = self.write;
        self.write_record(position, len, words, parts);
        self.write = position.wrapping_add(len);
        // Release: pairs with `Consumer::salvage`, which reads the record's bytes.
        self.memory
            .header()
            .written
            .0
            .store(self.write, Ordering::Release);
        Ok(position)
    }

    /// Shows every pushed record to the consumer. False when there was nothing new; the wake check
    /// ([`Parked::try_unpark`](crate::Parked::try_unpark)) is needed only after true.
    #[inline]
    pub fn publish(&mut self) -> bool {
        if self.write == self.published {
            return false;
        }
        // Release: the consumer's Acquire load of tail makes the records' bytes visible.
        self.memory
            .header()
            .tail
            .0
            .store(self.write, Ordering::Release);
        self.published = self.write;
        true
    }

    /// Up to where the consumer has released the ring: every record that starts before is done with.
    /// A head that cannot be right counts as no progress.
    #[inline]
    pub fn consumed(&self) -> u32 {
        // Acquire: pairs with the consumer's store of head, after which its bytes may be overwritten.
        let head = self.memory.header().head.0.load(Ordering::Acquire);
        let known = self.head.get();
        let is_possible = head.wrapping_sub(known) <= self.published.wrapping_sub(known);
        if is_possible && head.is_multiple_of(8) {
            self.head.set(head);
        }
        self.head.get()
    }

    /// The position of the next byte to be written, records not yet published included. The next
    /// record may start later, behind a PAD.
    #[inline]
    pub fn position(&self) -> u32 {
        self.write
    }

    /// True when everything pushed is published and the consumer has released all of it.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.consumed() == self.write
    }

    /// Asks the consumer to report when it has released space. Call after [`PushError::Full`], then
    /// push once more before waiting: the consumer may have released before it saw the request.
    #[inline]
    pub fn request_space(&mut self) {
        self.memory
            .header()
            .flags
            .0
            .fetch_or(SPACE_WANTED, Ordering::Relaxed);
        // Pairs with the fence in `Consumer::take_space_request` (JavaScript: with its SeqCst
        // operations): either the consumer sees the flag, or the push that follows sees its head.
        fence(Ordering::SeqCst);
    }

    /// Size of the data area in bytes.
    #[inline]
    pub fn capacity(&self) -> u32 {
        self.memory.capacity
    }

    /// Largest record in bytes, its 32 bytes of words included: an eighth of the capacity.
    #[inline]
    pub fn max_record(&self) -> u32 {
        self.memory.max_record()
    }

    /// The memory, for JavaScript to see.
    pub fn memory(&self) -> MemoryView {
        MemoryView::new(self.memory.region.clone())
    }

    /// Looks at the consumer's word only when the last known head is not enough: each look takes a
    /// cache line from the consumer.
    /// Calls `visit` with every record from `position` on, published or not, oldest first: its words, what follows
    /// them, and its position. For work that its reader has left: no part of it may have been overwritten, so
    /// `position` must not lie before [`consumed`](Self::consumed); it is moved there if it does.
    pub fn unread(&self, position: u32, mut visit: impl FnMut(Words, &[u8], u32)) {
        let consumed = self.consumed();
        let ahead = self.write.wrapping_sub(consumed);
        let mut at = if position.wrapping_sub(consumed) <= ahead {
            position
        } else {
            consumed
        };
        while at != self.write {
            let offset = self.memory.offset(at);
            // SAFETY: a record of our own lies here, between what is consumed and what is written: nobody else writes
            // to it, and we do not while `self` is borrowed. Its first two words are there even if it is a PAD.
            let [len, w1] = unsafe { self.memory.at(offset).cast::<[u32; 2]>().read() };
            if w1 as u8 != PAD {
                // SAFETY: as above; `write_record` has filled in `len` bytes, words first.
                unsafe {
                    let start = self.memory.at(offset);
                    let payload = std::slice::from_raw_parts(
                        start.add(RECORD_HEADER_BYTES as usize),
                        (len - RECORD_HEADER_BYTES) as usize,
                    );
                    visit(start.cast::<Words>().read(), payload, at);
                }
            }
            at = at.wrapping_add(len);
        }
    }

    #[inline]
    fn has_space(&self, len: u32) -> bool {
        let is_free = |head: u32| self.memory.capacity - self.write.wrapping_sub(head) >= len;
        is_free(self.head.get()) || is_free(self.consumed())
    }

    fn write_pad(&mut self, pad: u32) {
        let offset = self.memory.offset(self.write);
        self.memory.region.races().write(offset, pad);
        // SAFETY: `push` has found `pad` bytes free from here to the end of the data; they are at
        // least 8, for positions are multiples of 8, and 4-aligned for the same reason.
        unsafe {
            self.memory
                .at(offset)
                .cast::<[u32; 2]>()
                .write([pad, u32::from(PAD)])
        };
        self.write = self.write.wrapping_add(pad);
    }

    #[inline]
    fn write_record(&mut self, position: u32, len: u32, mut words: Words, parts: &[&[u8]]) {
        words.0[0] = len;
        let offset = self.memory.offset(position);
        self.memory.region.races().write(offset, len);
        // SAFETY: `push` has found `len` bytes free from `offset` on without a wrap. They hold the
        // words (8-aligned, as positions are) and every part, whose lengths it has summed up; parts
        // are ordinary slices and cannot overlap bytes that no one has a reference to.
        unsafe {
            let mut at = self.memory.at(offset);
            at.cast::<Words>().write(words);
            at = at.add(RECORD_HEADER_BYTES as usize);
            for part in parts {
                ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("capacity", &self.memory.capacity)
            .field("write", &self.write)
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the ring is full",
            Self::TooLarge => "the record is larger than the ring takes",
        })
    }
}

impl std::error::Error for PushError {}
