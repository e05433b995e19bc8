//! A table in shared memory: typed columns, fixed rows, the same in every thread and in every process that maps it.
//!
//! * All memory is seen as atomic words ([`mapping`]); where things lie is [`geometry`].
//! * Rows are found by the hash of their key in chains of buckets. A row never moves while it lives.
//! * Buckets belong to stripes ([`stripe`]), each with one lock word ([`row_lock`]), and each row has one of its own ([`row_word`]). Who
//!   changes one word of a row takes the row's lock, who changes more or makes or removes a row the stripe's and then the row's;
//!   readers take none. No lock outlives a call, so a thread of JavaScript cannot be ended while it holds one.
//! * A process can be killed at any instruction. Its slot's lock falls ([`slots`]); who next wants a stripe that it held finishes
//!   or undoes what it was at ([`recover`]) and goes on. A row is as it was before or after a call, never between.
//! * Every row of `size` can be had: rows are free or taken one by one ([`free`]), there is no pool that could be too small.

mod available;
mod change;
mod clock;
mod convert;
mod error;
mod feed;
mod free;
mod geometry;
mod image;
mod key;
mod mapping;
mod open;
mod persist;
mod persister;
mod rate;
mod read;
mod recover;
mod row_guard;
mod row_lock;
mod row_word;
mod scan;
mod sight;
mod slots;
mod snapshot;
mod snapshot_error;
mod spec;
mod stats;
mod stripe;
mod sweep;
mod sweeper;
#[cfg(all(test, not(loom)))]
mod tests;
mod watch;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::sync::{AtomicU32, AtomicU64, Ordering};

use clock::Clock;
pub use error::{FileFault, SpecError, TableError};
pub use feed::EventKind;
use geometry::{Geometry, STRIPE_WORDS, header, row};
use key::{HashKey, Key};
use mapping::Mapping;
pub use open::Opened;

pub use persister::{PersistReport, Persister};
pub use rate::{Taken, TokenRate};
use row_lock::{Held, Seen};
pub use scan::ScannedRow;
pub use snapshot_error::{SnapshotError, SnapshotFault};
pub use spec::{
    COLUMN_BYTES_MAX, COLUMNS_MAX, Column, ColumnKind, ColumnSpec, Evict, KEY_BYTES_MAX,
    ROW_BYTES_MAX, SIZE_MAX, TTL_MAX, TableSpec,
};
pub use stats::TableStats;
use stripe::Stripe;
pub use watch::{WATCH_QUEUE_MAX, Watch, WatchEvent};
pub use write::{Mode, Ttl};

/// How long a call waits for a lock whose holder lives but does not go on.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a reader starts over before it takes the lock instead.
const READ_TRIES: u32 = 1000;

/// A table, mapped into this process. Share it by `Arc`.
pub struct Table {
    name: String,
    spec: TableSpec,
    columns: Vec<Column>,
    geometry: Geometry,
    mapping: Mapping,
    /// Ours among the processes that use the table.
    slot: u16,
    hash_key: HashKey,
    clock: Clock,
    path: Option<PathBuf>,
    /// Pages of the area of long keys that are known to be there, a bit each.
    reserved: Box<[AtomicU64]>,
    /// The word of the bitmap where the last free row was found.
    free_hint: AtomicU32,
    /// No free row was found; a table that evicts does not look again for a while.
    is_exhausted: AtomicBool,
    /// Seeds the samples of rows to evict.
    dice: AtomicU64,
    /// Locks taken over from processes that were killed.
    recovered: AtomicU64,
    /// Guards the making of the thread that reads the feed.
    hub: Mutex<Weak<watch::Hub>>,
}

impl Table {
    /// As it was named when it was made.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As it was described when it was made.
    pub fn spec(&self) -> &TableSpec {
        &self.spec
    }

    /// The columns, with their places in a row image.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The length of a row image in words.
    pub fn row_words(&self) -> usize {
        self.geometry.data_words
    }

    /// The file others can attach; `None` for a private table.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Rows it was made for.
    pub fn capacity(&self) -> u32 {
        self.geometry.rows
    }

    /// Bytes of memory it takes now. Grows only when keys of more than 32 bytes are stored.
    pub fn memory_bytes(&self) -> u64 {
        self.mapping
            .used_bytes()
            .unwrap_or_else(|_| self.geometry.base_bytes())
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        self.mapping.words()
    }

    #[inline]
    fn halves(&self) -> &[AtomicU32] {
        self.mapping.halves()
    }

    fn header(&self, word: usize) -> &AtomicU64 {
        &self.words()[word]
    }

    #[inline]
    fn stripe(&self, stripe: u32) -> Stripe<'_> {
        let start = self.geometry.stripe_start + stripe as usize * STRIPE_WORDS;
        Stripe(&self.words()[start..start + STRIPE_WORDS])
    }

    /// All words of a row but those of a long key.
    #[inline]
    fn row(&self, row: u32) -> &[AtomicU64] {
        let start = self.geometry.row(row);
        &self.words()[start..start + self.geometry.row_stride]
    }

    /// The columns of a row.
    #[inline]
    fn data(&self, row: u32) -> &[AtomicU64] {
        let start = self.geometry.row(row) + self.geometry.data_at();
        &self.words()[start..start + self.geometry.data_words]
    }

    #[inline(always)]
    fn key<'a>(&self, bytes: &'a [u8]) -> Result<Key<'a>, TableError> {
        Key::new(bytes, self.spec.max_key.into(), self.hash_key)
    }

    /// A column of one word.
    #[inline]
    fn word_column(&self, column: usize) -> Result<&Column, TableError> {
        self.columns
            .get(column)
            .filter(|found| found.kind.bytes().is_none())
            .ok_or_else(|| no_column(column))
    }

    /// A column of text or bytes, and how many it holds.
    fn bytes_column(&self, column: usize) -> Result<(&Column, u32), TableError> {
        let found = self.columns.get(column).ok_or_else(|| no_column(column))?;
        found
            .kind
            .bytes()
            .map(|size| (found, size))
            .ok_or_else(|| no_column(column))
    }

    #[inline]
    fn stripe_of(&self, key: &Key<'_>) -> u32 {
        self.geometry.stripe_of(self.geometry.bucket_of(key.hash))
    }

    /// Whether an expiry has passed.
    #[inline]
    fn is_over(&self, expiry: u64) -> bool {
        expiry != 0 && self.clock.now_ms() >= expiry
    }

    /// Waits until the lock of `stripe` is free.
    #[cold]
    fn wait(&self, stripe: u32, held: Held) -> Result<Seen, TableError> {
        let lock = self.stripe(stripe).lock();
        let mut patience = Patience::new();
        let mut held = held;
        loop {
            if patience.is_time_to_ask() && self.is_dead(held.owner()) {
                drop(self.take_over(stripe, held));
            }
            match lock.look() {
                Ok(seen) => return Ok(seen),
                Err(other) => held = self.next_try(&mut patience, held, other)?,
            }
        }
    }

    /// Pauses. A holder that changes starts the wait for it anew.
    fn next_try(
        &self,
        patience: &mut Patience,
        before: Held,
        now: Held,
    ) -> Result<Held, TableError> {
        if now != before {
            patience.renew();
        }
        if patience.pause() {
            return Ok(now);
        }
        let pid = self.header(header::PIDS + usize::from(now.owner()) % geometry::SLOTS);
        Err(TableError::Busy {
            pid: pid.load(Ordering::Relaxed) as u32,
        })
    }

    /// Whether the holder of a lock has ended. What cannot be found out counts as alive.
    fn is_dead(&self, owner: u16) -> bool {
        owner != self.slot && !slots::is_alive(self.mapping.file(), owner).unwrap_or(true)
    }

    /// Reads a link. `None`: the end of the chain, or nothing that could be a row.
    #[inline]
    fn follow(&self, link: u32) -> Option<u32> {
        let number = link.wrapping_sub(1);
        (number < self.geometry.rows).then_some(number)
    }

    /// Finds a row of a stripe whose lock the caller holds, and the link that leads to it.
    fn find(&self, key: &Key<'_>) -> Option<Found> {
        let halves = self.halves();
        let stripe = self.stripe_of(key);
        let mut at = self.geometry.bucket(self.geometry.bucket_of(key.hash));
        let mut left = self.geometry.rows;
        while let Some(number) = self.follow(halves[at].load(Ordering::Relaxed)) {
            let link = self.geometry.link(number);
            let seen = self.row_word(number).look();
            if halves[link + 1].load(Ordering::Relaxed) == key.tag()
                && seen.stripe() == Some(stripe)
                && seen.key_len() == key.bytes.len()
                && self.has_key(number, key)
            {
                return Some(Found { row: number, at });
            }
            at = link;
            // Bytes that another process has destroyed could lead in a circle.
            left = left.checked_sub(1)?;
        }
        None
    }

    /// Whether the words of a row's key are those of `key`, whatever its length.
    #[inline]
    fn has_key(&self, number: u32, key: &Key<'_>) -> bool {
        let inline = &self.row(number)[self.geometry.key_at()..];
        let used = key.bytes.len().div_ceil(8).min(self.geometry.key_words);
        inline
            .iter()
            .zip(&key.inline)
            .take(used)
            .all(|(word, wanted)| word.load(Ordering::Relaxed) == *wanted)
            && (key.bytes.len() <= self.geometry.key_words * 8 || self.has_overflow(number, key))
    }

    fn has_overflow(&self, number: u32, key: &Key<'_>) -> bool {
        let start = self.geometry.overflow(number);
        let words = &self.words()[start..start + self.geometry.overflow_words];
        key.overflow()
            .zip(words)
            .all(|(wanted, word)| word.load(Ordering::Relaxed) == wanted)
    }

    /// A table that evicts remembers when a row was used.
    #[inline]
    fn touch(&self, number: u32) {
        if self.geometry.has_stamp {
            self.row(number)[row::STAMP].store(self.clock.now_ns(), Ordering::Relaxed);
        }
    }
}

/// Made only when it is wanted: an error that is dropped takes a call.
#[cold]
fn no_column(column: usize) -> TableError {
    TableError::Column { column }
}

/// A row that was found.
#[derive(Clone, Copy)]
struct Found {
    row: u32,
    /// The half of a word that is the link to it.
    at: usize,
}

/// Waiting for a lock: first on the spot, then by turns with others, then asleep.
struct Patience {
    tries: u32,
    since: Option<Instant>,
}

impl Patience {
    const SPINS: u32 = 64;
    const YIELDS: u32 = 256;

    fn new() -> Self {
        Self {
            tries: 0,
            since: None,
        }
    }

    fn renew(&mut self) {
        self.since = None;
    }

    /// Asking the kernel who lives costs as much as a hundred calls.
    fn is_time_to_ask(&self) -> bool {
        self.tries > Self::YIELDS && self.tries % 8 == 1
    }

    /// False: it has waited for long enough.
    fn pause(&mut self) -> bool {
        self.tries += 1;
        if self.tries <= Self::SPINS {
            std::hint::spin_loop();
        } else if self.tries <= Self::YIELDS {
            thread::yield_now();
        } else {
            let since = *self.since.get_or_insert_with(Instant::now);
            if since.elapsed() > PATIENCE {
                return false;
            }
            thread::sleep(Duration::from_micros(100));
        }
        true
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
