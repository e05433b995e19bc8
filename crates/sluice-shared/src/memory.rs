//! Process-lifetime memory, handed out from a pool and never unmapped.
//!
//! JavaScript sees this memory through external ArrayBuffers whose finalizers run when a worker
//! ends, while a reactor may still be writing. Unmapping at that moment would be a crash; a pool
//! makes it a free block instead.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::fmt;
use std::ptr::NonNull;
use std::sync::PoisonError;

use crate::sync::{Arc, Mutex, RaceCheck};

/// Keeps a piece of shared memory out of the pool while JavaScript can see it.
///
/// The binding makes an external ArrayBuffer of [`as_ptr`](Self::as_ptr) and [`len`](Self::len) and
/// drops the view in the buffer's finalizer. Cheap to clone.
#[derive(Clone)]
pub struct MemoryView(Arc<Region>);

impl MemoryView {
    pub(crate) fn new(region: Arc<Region>) -> Self {
        Self(region)
    }

    /// The first byte, aligned to 4096. Valid for reads and writes of [`len`](Self::len) bytes as
    /// long as a clone of this view lives; other threads use the same bytes by the rules of the
    /// bridge.
    pub fn as_ptr(&self) -> *mut u8 {
        self.0.start().as_ptr()
    }

    /// Size in bytes, header included.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.block.size
    }
}

impl fmt::Debug for MemoryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryView")
            .field("len", &self.len())
            .finish()
    }
}

/// A block in use. Goes back to the pool when dropped.
pub(crate) struct Region {
    block: Block,
    races: RaceCheck,
}

impl Region {
    /// Takes `size` initialised bytes from the pool, or from the allocator when none is free.
    /// `data_bytes` of them are plain data, watched for races under loom.
    ///
    /// The bytes are zero the first time and what the last user left later: the taker writes its
    /// own header.
    pub(crate) fn take(size: usize, data_bytes: usize) -> Self {
        let block = pool().take(size).unwrap_or_else(|| Block::allocate(size));
        Self {
            block,
            races: RaceCheck::new(data_bytes),
        }
    }

    /// The first byte, aligned to 4096.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.block.start
    }

    /// The race detector of the data bytes; nothing in ordinary builds.
    #[inline]
    pub(crate) fn races(&self) -> &RaceCheck {
        &self.races
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        pool().give(self.block);
    }
}

// SAFETY: a region only owns its bytes; those who read and write them through raw pointers state
// their own synchronisation. The loom-only race cells are made to be touched from any thread.
unsafe impl Send for Region {}
// SAFETY: as above; `&Region` gives out nothing but the address.
unsafe impl Sync for Region {}

/// An allocation, in use or free.
#[derive(Clone, Copy)]
struct Block {
    base: NonNull<u8>,
    start: NonNull<u8>,
    size: usize,
}

impl Block {
    const ALIGN: usize = 4096;

    fn allocate(size: usize) -> Self {
        let layout = Self::layout(size);
        // SAFETY: the layout has a non-zero size, for it includes `ALIGN`.
        let base = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else {
            handle_alloc_error(layout)
        };
        // SAFETY: `align_offset` is below ALIGN, and the layout has ALIGN bytes beyond `size`.
        let start = unsafe { base.add(base.align_offset(Self::ALIGN)) };
        Self { base, start, size }
    }

    /// Aligned by hand: asked for 4096-aligned zeroes, std's allocator writes them all and so
    /// touches every page, where a plain zeroed allocation of this size is fresh from the kernel
    /// and costs memory only as the ring fills.
    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size + Self::ALIGN, 16).expect("sizes are bounded by their makers")
    }
}

// SAFETY: a block is an address and a size; whoever holds it owns the bytes.
unsafe impl Send for Block {}

/// Free blocks by size. It never shrinks: it holds at most what was in use at once.
struct Pool {
    /// Guards the lists alone, never held across a call out of this file.
    free: Mutex<BTreeMap<usize, Vec<Block>>>,
}

impl Pool {
    fn take(&self, size: usize) -> Option<Block> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.get_mut(&size)?.pop()
    }

    fn give(&self, block: Block) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.entry(block.size).or_default().push(block);
    }
}

impl Drop for Pool {
    /// Only a loom execution ends its pool; the process's own is a static.
    fn drop(&mut self) {
        let free = self.free.get_mut().unwrap_or_else(PoisonError::into_inner);
        for block in free.values().flatten() {
            // SAFETY: `allocate` made it with this layout, and a free block has no user.
            unsafe { dealloc(block.base.as_ptr(), Block::layout(block.size)) };
        }
    }
}

#[cfg(not(loom))]
fn pool() -> &'static Pool {
    static POOL: Pool = Pool {
        free: Mutex::new(BTreeMap::new()),
    };
    &POOL
}

#[cfg(loom)]
fn pool() -> &'static Pool {
    loom::lazy_static! {
        static ref POOL: Pool = Pool { free: Mutex::new(BTreeMap::new()) };
    }
    &POOL
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    // Each test has a size of its own, for the pool is one for the process and tests run in parallel.

    #[test]
    fn a_block_is_page_aligned_and_zero() {
        let region = Region::take(12_288, 0);
        assert_eq!(region.start().as_ptr() as usize % 4096, 0);
        // SAFETY: the region's own bytes, initialised, and no one else's while it lives.
        let bytes = unsafe { std::slice::from_raw_parts(region.start().as_ptr(), 12_288) };
        assert!(bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_dropped_region_is_handed_out_again() {
        let first = Region::take(20_480, 0);
        let address = first.start();
        drop(first);
        assert_eq!(Region::take(20_480, 0).start(), address);
    }

    #[test]
    fn a_view_keeps_its_memory_out_of_the_pool() {
        let region = Arc::new(Region::take(24_576, 0));
        let view = MemoryView::new(region.clone());
        let copy = view.clone();
        drop(region);
        drop(view);
        let other = Region::take(24_576, 0);
        assert_ne!(other.start().as_ptr(), copy.as_ptr());

        let address = copy.as_ptr();
        assert_eq!(copy.len(), 24_576);
        drop(copy);
        assert_eq!(Region::take(24_576, 0).start().as_ptr(), address);
    }

    #[test]
    fn sizes_do_not_mix() {
        let small = Region::take(28_672, 0);
        let address = small.start();
        drop(small);
        assert_ne!(Region::take(32_768, 0).start(), address);
    }
}
