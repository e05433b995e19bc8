//! What a worker says about itself: 4 KiB that it writes and every reactor reads.

use std::fmt;

use crate::memory::{MemoryView, Region};
use crate::parker::Parked;
use crate::sync::{Arc, AtomicU32, Ordering};

/// Size of a worker block in bytes.
pub const WORKER_BLOCK_BYTES: usize = 4096;

/// A handle to one worker's block. Clones are handles to the same block; its memory goes back to the
/// pool with the last handle and [`MemoryView`], all zero for the next worker.
///
/// Most words are JavaScript's to write, so nothing here is more than a hint about a worker: a wrong
/// word harms that worker's own requests, never the memory of others.
#[derive(Clone)]
pub struct WorkerBlock {
    region: Arc<Region>,
}

/// Where a worker stands in its life, as the `state` word tells JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WorkerPhase {
    /// Nobody has the block.
    Free = 0,
    /// The thread starts.
    Starting = 1,
    /// It takes requests.
    Running = 2,
    /// It finishes what it has.
    Draining = 3,
    /// It has ended or was written off.
    Dead = 4,
}

/// The record whose handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    /// The lane, that is the index of its reactor.
    pub lane: u8,
    /// The record's position in that lane's event ring.
    pub position: u32,
}

/// Counters of a worker. They wrap at 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records handled.
    pub events: u32,
    /// Times the worker has drained its lanes.
    pub batches: u32,
    /// Wakes sent to it.
    pub wakes: u32,
}

impl WorkerBlock {
    /// Takes a block whose words are all 0: awake, [`WorkerPhase::Free`], no current record.
    pub fn acquire() -> Self {
        let region = Region::take(REGION_BYTES, 0);
        // SAFETY: the region has room for the words (asserted below), is aligned to 4096 and nobody
        // else's yet.
        unsafe {
            region
                .start()
                .cast::<BlockWords>()
                .write(BlockWords::default())
        };
        Self {
            region: Arc::new(region),
        }
    }

    /// True while the worker sleeps or is about to.
    #[inline]
    pub fn parked(&self) -> bool {
        self.words().parked.0.is_parked()
    }

    /// Producer, after publishing to one of the worker's rings: true when the worker sleeps and this
    /// caller is the one to wake it. See [`Parked`] for the protocol.
    #[inline]
    #[must_use = "true means that nobody else will wake the worker"]
    pub fn try_unpark(&self) -> bool {
        self.words().parked.0.try_unpark()
    }

    /// Consumer: announces sleep; look at every ring after this and before sleeping. JavaScript has
    /// its own; this is for a consumer in Rust.
    #[inline]
    pub fn park(&self) {
        self.words().parked.0.prepare();
    }

    /// Consumer: stays awake after all. False when a producer was first and a wake is on the way.
    #[inline]
    pub fn unpark(&self) -> bool {
        self.words().parked.0.cancel()
    }

    /// A count that moves whenever the worker starts or ends a batch.
    #[inline]
    pub fn heartbeat(&self) -> u32 {
        self.words().heartbeat.0.load(Ordering::Acquire)
    }

    /// Moves the heartbeat, as JavaScript does at the start and end of a batch.
    #[inline]
    pub fn beat(&self) {
        self.words().heartbeat.0.fetch_add(1, Ordering::Release);
    }

    /// Which thread has the worker's slot: the slot's generation.
    #[inline]
    pub fn epoch(&self) -> u32 {
        self.words().life.epoch.load(Ordering::Acquire)
    }

    /// Sets the epoch, before the thread starts.
    #[inline]
    pub fn set_epoch(&self, epoch: u32) {
        self.words().life.epoch.store(epoch, Ordering::Release);
    }

    /// Where the worker stands. A word that is no phase reads as [`WorkerPhase::Dead`]: whoever
    /// wrote it is not to be trusted with requests.
    #[inline]
    pub fn state(&self) -> WorkerPhase {
        match self.words().life.state.load(Ordering::Acquire) {
            0 => WorkerPhase::Free,
            1 => WorkerPhase::Starting,
            2 => WorkerPhase::Running,
            3 => WorkerPhase::Draining,
            _ => WorkerPhase::Dead,
        }
    }

    /// Tells the worker where it stands.
    #[inline]
    pub fn set_state(&self, phase: WorkerPhase) {
        self.words()
            .life
            .state
            .store(u32::from(phase as u8), Ordering::Release);
    }

    /// The record whose handler runs, `None` between handlers.
    ///
    /// Exact once the thread has ended or is stuck; of a live one it may mix two records.
    #[inline]
    pub fn current(&self) -> Option<Current> {
        let current = &self.words().current;
        let lane = current.lane.load(Ordering::Acquire).checked_sub(1)?;
        let lane = u8::try_from(lane).ok()?;
        Some(Current {
            lane,
            position: current.position.load(Ordering::Acquire),
        })
    }

    /// Sets the record whose handler runs, as JavaScript does around every handler.
    #[inline]
    pub fn set_current(&self, record: Option<Current>) {
        let current = &self.words().current;
        if let Some(record) = record {
            current.position.store(record.position, Ordering::Release);
            current
                .lane
                .store(u32::from(record.lane) + 1, Ordering::Release);
        } else {
            current.lane.store(0, Ordering::Release);
        }
    }

    /// Handlers of messages that are pending: what is lost with the worker beside the current record.
    ///
    /// Exact once the thread has ended or is stuck.
    #[inline]
    pub fn pending_messages(&self) -> u32 {
        self.words().current.pending.load(Ordering::Acquire)
    }

    /// Sets the number of pending handlers, as JavaScript does when one begins or settles.
    #[inline]
    pub fn set_pending_messages(&self, count: u32) {
        self.words().current.pending.store(count, Ordering::Release);
    }

    /// Handlers of packets that are pending: what is lost with the worker beside the current record.
    #[inline]
    pub fn pending_packets(&self) -> u32 {
        self.words().current.pending_packets.load(Ordering::Acquire)
    }

    /// Sets the number of pending handlers, as JavaScript does when one begins or settles.
    #[inline]
    pub fn set_pending_packets(&self, count: u32) {
        let pending = &self.words().current.pending_packets;
        pending.store(count, Ordering::Release);
    }

    /// The counters, each as it is now.
    pub fn counters(&self) -> Counters {
        let counters = &self.words().counters;
        Counters {
            events: counters.events.load(Ordering::Relaxed),
            batches: counters.batches.load(Ordering::Relaxed),
            wakes: counters.wakes.load(Ordering::Relaxed),
        }
    }

    /// Counts a batch of `events` records, as JavaScript does at the end of a batch.
    #[inline]
    pub fn count_batch(&self, events: u32) {
        let counters = &self.words().counters;
        counters.events.fetch_add(events, Ordering::Relaxed);
        counters.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a wake that was sent.
    #[inline]
    pub fn count_wake(&self) {
        self.words().counters.wakes.fetch_add(1, Ordering::Relaxed);
    }

    /// The memory, for JavaScript to see.
    pub fn memory(&self) -> MemoryView {
        MemoryView::new(self.region.clone())
    }

    #[inline]
    fn words(&self) -> &BlockWords {
        // SAFETY: `acquire` wrote them, the region outlives `self`, and all words are atomics, which
        // JavaScript may write at any time.
        unsafe { self.region.start().cast::<BlockWords>().as_ref() }
    }
}

impl fmt::Debug for WorkerBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBlock")
            .field("state", &self.state())
            .field("epoch", &self.epoch())
            .field("parked", &self.parked())
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

/// The block's words. Groups with different writers or rhythms have a cache line each.
#[derive(Default)]
#[repr(C, align(64))]
struct BlockWords {
    parked: Line<Parked>,
    heartbeat: Line<AtomicU32>,
    life: Line<LifeWords>,
    current: Line<CurrentWords>,
    counters: Line<CounterWords>,
}

#[derive(Default)]
#[repr(C, align(64))]
struct Line<T>(T);

impl<T> std::ops::Deref for Line<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

#[derive(Default)]
#[repr(C)]
struct LifeWords {
    epoch: AtomicU32,
    state: AtomicU32,
}

#[derive(Default)]
#[repr(C)]
struct CurrentWords {
    /// Lane + 1; 0 while no handler runs.
    lane: AtomicU32,
    position: AtomicU32,
    pending: AtomicU32,
    pending_packets: AtomicU32,
}

#[derive(Default)]
#[repr(C)]
struct CounterWords {
    events: AtomicU32,
    batches: AtomicU32,
    wakes: AtomicU32,
}

/// loom's atomics are larger than a word, so a model's block may be too.
const REGION_BYTES: usize = if size_of::<BlockWords>() > WORKER_BLOCK_BYTES {
    size_of::<BlockWords>()
} else {
    WORKER_BLOCK_BYTES
};

#[cfg(not(loom))]
const _: () = {
    use std::mem::offset_of;
    assert!(REGION_BYTES == WORKER_BLOCK_BYTES);
    assert!(offset_of!(BlockWords, parked) == 0);
    assert!(offset_of!(BlockWords, heartbeat) == 64);
    assert!(offset_of!(BlockWords, life) == 128);
    assert!(offset_of!(BlockWords, life) + offset_of!(LifeWords, state) == 132);
    assert!(offset_of!(BlockWords, current) == 192);
    assert!(offset_of!(BlockWords, current) + offset_of!(CurrentWords, position) == 196);
    assert!(offset_of!(BlockWords, current) + offset_of!(CurrentWords, pending) == 200);
    assert!(offset_of!(BlockWords, current) + offset_of!(CurrentWords, pending_packets) == 204);
    assert!(offset_of!(BlockWords, counters) == 256);
    assert!(offset_of!(BlockWords, counters) + offset_of!(CounterWords, wakes) == 264);
};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Plays JavaScript: a word of the block at the offset the contract names.
    fn word(view: &MemoryView, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset < view.len());
        // SAFETY: aligned and inside the memory that the view keeps alive, where all words in use are
        // atomics.
        unsafe { AtomicU32::from_ptr(view.as_ptr().add(offset).cast()) }
    }

    #[test]
    fn a_block_starts_with_nothing() {
        let block = WorkerBlock::acquire();
        assert_eq!(block.memory().len(), 4096);
        assert!(!block.parked());
        assert_eq!((block.heartbeat(), block.epoch()), (0, 0));
        assert_eq!(block.state(), WorkerPhase::Free);
        assert_eq!(block.current(), None);
        assert_eq!(block.counters(), Counters::default());
    }

    #[test]
    fn words_are_where_the_contract_has_them() {
        let block = WorkerBlock::acquire();
        let view = block.memory();
        block.park();
        block.beat();
        block.set_epoch(12);
        block.set_state(WorkerPhase::Draining);
        block.set_current(Some(Current {
            lane: 255,
            position: 0xffff_fff8,
        }));
        block.set_pending_messages(7);
        block.set_pending_packets(8);
        block.count_batch(30);
        block.count_batch(3);
        block.count_wake();
        let words = [0, 64, 128, 132, 192, 196, 200, 204, 256, 260, 264]
            .map(|offset| word(&view, offset).load(Ordering::SeqCst));
        assert_eq!(words, [1, 1, 12, 3, 256, 0xffff_fff8, 7, 8, 33, 2, 1]);
        assert_eq!((block.pending_messages(), block.pending_packets()), (7, 8));
    }

    #[test]
    fn clones_share_one_block() {
        let block = WorkerBlock::acquire();
        let other = block.clone();
        block.park();
        assert!(other.try_unpark());
        assert!(!block.unpark());
    }

    #[test]
    fn what_javascript_writes_is_what_is_read() {
        let block = WorkerBlock::acquire();
        let view = block.memory();
        word(&view, 0).store(1, Ordering::SeqCst);
        word(&view, 64).store(u32::MAX, Ordering::SeqCst);
        word(&view, 192).store(1, Ordering::SeqCst);
        word(&view, 196).store(64, Ordering::SeqCst);
        assert!(block.parked());
        assert!(block.try_unpark());
        assert_eq!(word(&view, 0).load(Ordering::SeqCst), 0);
        assert_eq!(block.heartbeat(), u32::MAX);
        block.beat();
        assert_eq!(block.heartbeat(), 0, "it wraps");
        assert_eq!(
            block.current(),
            Some(Current {
                lane: 0,
                position: 64
            })
        );
        block.set_current(None);
        assert_eq!(block.current(), None);
    }

    #[test]
    fn hostile_words_are_harmless() {
        let block = WorkerBlock::acquire();
        let view = block.memory();
        for hostile in [257, 1 << 31, u32::MAX] {
            word(&view, 192).store(hostile, Ordering::SeqCst);
            assert_eq!(block.current(), None, "lane word {hostile}");
        }
        for hostile in [5, 256, u32::MAX] {
            word(&view, 132).store(hostile, Ordering::SeqCst);
            assert_eq!(block.state(), WorkerPhase::Dead, "state word {hostile}");
        }
    }

    #[test]
    fn every_phase_comes_back() {
        use WorkerPhase::{Dead, Draining, Free, Running, Starting};
        let block = WorkerBlock::acquire();
        for phase in [Free, Starting, Running, Draining, Dead] {
            block.set_state(phase);
            assert_eq!(block.state(), phase);
        }
    }

    #[test]
    fn live_blocks_are_distinct_and_used_ones_start_clean() {
        let mut blocks: Vec<WorkerBlock> = (0..16).map(|_| WorkerBlock::acquire()).collect();
        let mut addresses: Vec<usize> = blocks
            .iter()
            .map(|block| block.memory().as_ptr() as usize)
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 16);
        for block in &blocks {
            block.park();
            block.set_state(WorkerPhase::Dead);
            block.set_current(Some(Current {
                lane: 1,
                position: 8,
            }));
            block.count_batch(1);
        }
        blocks.clear();
        for _ in 0..32 {
            blocks.push(WorkerBlock::acquire());
        }
        for block in &blocks {
            assert!(!block.parked());
            assert_eq!((block.state(), block.current()), (WorkerPhase::Free, None));
            assert_eq!(block.counters(), Counters::default());
        }
    }
}
