//! One direction of a lane: a byte ring with one producer and one consumer.
//!
//! 256 bytes of header, then 2^k bytes of data. `tail` and `head` are free-running byte counts that
//! wrap at 2^32; both are multiples of 8. A record never wraps: PAD fills the end of the data. A
//! record is at most an eighth of the data, so that an empty ring takes any, wherever it stands.

mod consumer;
mod producer;

use std::ptr::NonNull;

pub use consumer::{Consumer, Corrupt, Record};
pub use producer::{Producer, PushError};

use crate::memory::Region;
use crate::record::{RECORD_HEADER_BYTES, Words};
use crate::sync::{Arc, AtomicU32};

/// Smallest ring: 256 bytes, whose eighth is one record without bytes.
pub const CAPACITY_LOG2_MIN: u32 = 8;

/// Largest ring: 64 MiB.
pub const CAPACITY_LOG2_MAX: u32 = 26;

/// Makes both ends of a ring of `2^capacity_log2` data bytes. Usual: 20 for events, 18 for commands.
///
/// Its memory goes back to a pool when both ends and every [`MemoryView`](crate::MemoryView) of it
/// are dropped.
///
/// ```
/// # #[cfg(not(loom))] {
/// use sluice_shared::{record::{EventKind, Words}, ring};
///
/// let (mut producer, mut consumer) = ring(12);
/// producer.push(Words::event(EventKind::Drain, 0).with_exchange(7, 1), &[]).unwrap();
/// assert!(producer.publish());
/// assert_eq!(consumer.next_event().unwrap().unwrap().words.index(), 7);
/// consumer.release();
/// assert!(producer.is_drained());
/// # }
/// ```
///
/// # Panics
///
/// When `capacity_log2` is outside [`CAPACITY_LOG2_MIN`]`..=`[`CAPACITY_LOG2_MAX`].
pub fn ring(capacity_log2: u32) -> (Producer, Consumer) {
    assert!(
        (CAPACITY_LOG2_MIN..=CAPACITY_LOG2_MAX).contains(&capacity_log2),
        "a ring of 2^{capacity_log2} bytes is not supported"
    );
    ring_from(capacity_log2, 0)
}

/// A ring whose counts start at `position`, a multiple of 8: at 0, but for tests of their wrap.
fn ring_from(capacity_log2: u32, position: u32) -> (Producer, Consumer) {
    let memory = Arc::new(RingMemory::take(1 << capacity_log2, position));
    (
        Producer::new(memory.clone(), position),
        Consumer::new(memory, position),
    )
}

/// The header's size in bytes: where the data starts.
pub const RING_HEADER_BYTES: usize = size_of::<Header>();

/// The shared words, each on a cache line of its own, for each has another writer.
#[repr(C, align(64))]
struct Header {
    tail: Line,
    head: Line,
    flags: Line,
    /// Up to where records are whole, published or not: what is left of a producer that stopped in between.
    written: Line,
}

#[repr(C, align(64))]
struct Line(AtomicU32);

impl Line {
    fn new(word: u32) -> Self {
        Self(AtomicU32::new(word))
    }
}

/// Flags bit 0: the producer waits for space.
const SPACE_WANTED: u32 = 1;

#[cfg(not(loom))]
const _: () = {
    assert!(std::mem::offset_of!(Header, tail) == 0);
    assert!(std::mem::offset_of!(Header, head) == 64);
    assert!(std::mem::offset_of!(Header, flags) == 128);
    assert!(std::mem::offset_of!(Header, written) == 192);
    assert!(RING_HEADER_BYTES == 256);
};

/// The memory of a ring, as both ends hold it.
struct RingMemory {
    region: Arc<Region>,
    data: NonNull<u8>,
    capacity: u32,
}

impl RingMemory {
    fn take(capacity: u32, position: u32) -> Self {
        let region = Region::take(RING_HEADER_BYTES + capacity as usize, capacity as usize);
        let header = Header {
            tail: Line::new(position),
            head: Line::new(position),
            flags: Line::new(0),
            written: Line::new(position),
        };
        // SAFETY: the region starts with room for a header, is aligned to 4096 and nobody else's yet.
        unsafe { region.start().cast::<Header>().write(header) };
        // SAFETY: the data begins right behind the header, inside the region.
        let data = unsafe { region.start().add(RING_HEADER_BYTES) };
        Self {
            region: Arc::new(region),
            data,
            capacity,
        }
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: `take` wrote it, the region outlives `self`, and all its words are atomics, which
        // JavaScript may write at any time.
        unsafe { self.region.start().cast::<Header>().as_ref() }
    }

    fn max_record(&self) -> u32 {
        self.capacity / 8
    }

    /// Where the byte of that position is. A position is any free-running count.
    #[inline]
    fn offset(&self, position: u32) -> u32 {
        position & (self.capacity - 1)
    }

    /// The address of a data byte.
    ///
    /// # Safety
    ///
    /// `offset` is at most the capacity.
    #[inline]
    unsafe fn at(&self, offset: u32) -> *mut u8 {
        // SAFETY: by the caller's promise it is inside the data, or one past its end.
        unsafe { self.data.as_ptr().add(offset as usize) }
    }
}

// SAFETY: the addresses are of process-lifetime memory that `region` holds. The header is atomics;
// the data is written by the one producer and read by the one consumer, ordered by tail and head.
unsafe impl Send for RingMemory {}
// SAFETY: as above.
unsafe impl Sync for RingMemory {}

const _: () = assert!(RECORD_HEADER_BYTES as usize == size_of::<Words>());
const _: () = assert!((1 << CAPACITY_LOG2_MIN) / 8 >= RECORD_HEADER_BYTES);

#[cfg(all(test, not(loom)))]
mod tests;
