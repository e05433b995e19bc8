//! Where everything lies in a table's memory, in 8-byte words. The layout is described in `docs/reference/table-format.md`.

use super::error::SpecError;
use super::feed;
use super::spec::{Evict, TableSpec};

/// "SLUICETB" as a little-endian word.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"SLUICETB");
/// The version of this layout.
pub(super) const VERSION: u32 = 2;

/// Words of the header.
pub(super) mod header {
    /// [`MAGIC`](super::MAGIC), written last.
    pub(in super::super) const MAGIC: usize = 0;
    /// [`VERSION`](super::VERSION), and in the upper half the words of the whole header.
    pub(in super::super) const VERSION: usize = 1;
    /// Two words: the key of the hash.
    pub(in super::super) const HASH_KEY: usize = 2;
    /// Which boot of the machine the file belongs to.
    pub(in super::super) const BOOT: usize = 4;
    /// Bytes of the description.
    pub(in super::super) const SPEC_BYTES: usize = 5;
    /// Its hash, under the key of the file.
    pub(in super::super) const SPEC_HASH: usize = 6;
    /// When the first row may end, in ms of the monotonic clock; the largest number when none has an end.
    pub(in super::super) const NEXT_EXPIRY: usize = 7;
    /// Until when somebody watches, in ms of the monotonic clock; 0 = nobody does.
    pub(in super::super) const WATCHED: usize = 8;
    /// 1 once the rows that a table with a snapshot had before are in it.
    pub(in super::super) const IS_FILLED: usize = 9;
    /// How often the count of writes of some row has begun anew.
    pub(in super::super) const WRITES_ANEW: usize = 10;
    /// How many events the feed has had.
    pub(in super::super) const FEED_HEAD: usize = 16;
    /// 1 while a watcher sleeps.
    pub(in super::super) const FEED_ASLEEP: usize = 24;
    /// The pids of the processes that attached it, by their slots.
    pub(in super::super) const PIDS: usize = 64;
    /// The description, as JSON.
    pub(in super::super) const SPEC: usize = PIDS + super::SLOTS;
}

/// Processes that can attach one table at a time. Slot 0 is nobody.
pub(super) const SLOTS: usize = 1024;
/// Bytes of the description at most.
pub(super) const SPEC_BYTES_MAX: usize = 64 * 1024;
/// Words of a stripe: one cache line.
pub(super) const STRIPE_WORDS: usize = 8;
/// Rows per stripe, about.
const ROWS_PER_STRIPE: u32 = 64;
/// Words of a row before its key: link and tag, its word, expiry.
const ROW_HEADER_WORDS: usize = 3;
/// Words of a cache line.
const LINE_WORDS: usize = 8;
/// Words of a key that are kept in the row. What is beyond lies in an area of its own, which takes no memory until it is used.
pub(super) const INLINE_KEY_WORDS: usize = 4;

const PAGE_WORDS: usize = 512;

/// Words of the feed, which take no memory until somebody watches.
fn feed_words(spec: &TableSpec) -> usize {
    (feed::EVENTS * feed::slot_words(spec.max_key.into())).next_multiple_of(PAGE_WORDS)
}

/// The places of one table.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) rows: u32,
    pub(super) buckets: u32,
    pub(super) stripes: u32,
    /// Words of the columns of a row.
    pub(super) data_words: usize,
    /// Words of a key in its row.
    pub(super) key_words: usize,
    /// Words of a long key beside its row.
    pub(super) overflow_words: usize,
    pub(super) has_stamp: bool,
    pub(super) row_stride: usize,
    pub(super) stripe_start: usize,
    pub(super) bucket_start: usize,
    pub(super) free_start: usize,
    pub(super) undo_start: usize,
    pub(super) row_start: usize,
    pub(super) overflow_start: usize,
    pub(super) feed_start: usize,
    pub(super) end: usize,
}

impl Geometry {
    /// The places of a table as `spec` says, whose description takes `spec_bytes`.
    pub(super) fn new(
        spec: &TableSpec,
        data_words: usize,
        spec_bytes: usize,
    ) -> Result<Self, SpecError> {
        let rows = spec.size;
        let buckets = rows.next_power_of_two();
        let stripes = (buckets / ROWS_PER_STRIPE).clamp(buckets.min(64), 65_536);
        let key_words = usize::from(spec.max_key).div_ceil(8).min(INLINE_KEY_WORDS);
        let overflow_words = usize::from(spec.max_key).div_ceil(8) - key_words;
        let has_stamp = spec.evict == Evict::Lru;
        let row_stride =
            in_lines(ROW_HEADER_WORDS + usize::from(has_stamp) + key_words + data_words);
        let mut end = 0_usize;
        let mut take = |words: Option<usize>| {
            let start = end;
            end = end.checked_add(words?.checked_next_multiple_of(8)?)?;
            Some(start)
        };
        let header_words = (header::SPEC + spec_bytes.div_ceil(8)).next_multiple_of(PAGE_WORDS);
        let places = (|| {
            take(Some(header_words))?;
            Some([
                take((stripes as usize).checked_mul(STRIPE_WORDS))?,
                take(Some((buckets as usize).div_ceil(2)))?,
                take(Some((rows as usize).div_ceil(64)))?,
                take((stripes as usize).checked_mul(data_words + 1))?,
                take(
                    (rows as usize)
                        .checked_mul(row_stride)?
                        .checked_next_multiple_of(PAGE_WORDS),
                )?,
                take(
                    (rows as usize)
                        .checked_mul(overflow_words)?
                        .checked_next_multiple_of(PAGE_WORDS),
                )?,
                take(Some(feed_words(spec)))?,
            ])
        })();
        let fits = places.filter(|_| {
            end.checked_mul(8)
                .is_some_and(|bytes| isize::try_from(bytes).is_ok())
        });
        let Some(
            [
                stripe_start,
                bucket_start,
                free_start,
                undo_start,
                row_start,
                overflow_start,
                feed_start,
            ],
        ) = fits
        else {
            return Err(SpecError::Memory { bytes: u64::MAX });
        };
        // The long keys begin on a page of their own, so that the memory before them can be promised without them.
        Ok(Self {
            rows,
            buckets,
            stripes,
            data_words,
            key_words,
            overflow_words,
            has_stamp,
            row_stride,
            stripe_start,
            bucket_start,
            free_start,
            undo_start,
            row_start,
            overflow_start,
            feed_start,
            end,
        })
    }

    /// Bytes that are promised when the table is made: all but the area of long keys.
    pub(super) fn base_bytes(&self) -> u64 {
        self.overflow_start as u64 * 8
    }

    /// Bytes of the file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.end as u64 * 8
    }

    /// Words of the description and all before it, rounded to pages.
    pub(super) fn header_words(&self) -> usize {
        self.stripe_start
    }

    pub(super) fn stripe_of(&self, bucket: u32) -> u32 {
        bucket & (self.stripes - 1)
    }

    pub(super) fn bucket_of(&self, hash: u64) -> u32 {
        hash as u32 & (self.buckets - 1)
    }

    /// The buckets of a stripe.
    pub(super) fn buckets_of(&self, stripe: u32) -> impl Iterator<Item = u32> + use<> {
        (stripe..self.buckets).step_by(self.stripes as usize)
    }
}

/// The words of a row so that none lies across more lines than it must, unless that takes more than a quarter of the memory.
fn in_lines(words: usize) -> usize {
    let whole = words.next_multiple_of(LINE_WORDS);
    if (whole - words) * 4 <= words {
        whole
    } else {
        words
    }
}

/// Where the parts of a row lie, from its first word. The first word is two halves: the link to the next row of the bucket, and
/// the upper half of its key's hash.
pub(super) mod row {
    /// Whose the row is, and who writes to it: [`RowWord`](super::super::row_word::RowWord).
    pub(in super::super) const WORD: usize = 1;
    /// When it ends, in ms of the machine's monotonic clock; 0 = never.
    pub(in super::super) const EXPIRY: usize = 2;
    /// In tables that evict: when it was last used, in ns.
    pub(in super::super) const STAMP: usize = 3;
}

impl Geometry {
    /// The words of a row.
    pub(super) fn row(&self, row: u32) -> usize {
        self.row_start + row as usize * self.row_stride
    }

    /// The link of a row, as a half.
    #[inline]
    pub(super) fn link(&self, row: u32) -> usize {
        self.row(row) * 2
    }

    /// The first link of a bucket, as a half.
    #[inline]
    pub(super) fn bucket(&self, bucket: u32) -> usize {
        self.bucket_start * 2 + bucket as usize
    }

    /// Where the key begins in a row.
    pub(super) fn key_at(&self) -> usize {
        ROW_HEADER_WORDS + usize::from(self.has_stamp)
    }

    /// Where the columns begin in a row.
    pub(super) fn data_at(&self) -> usize {
        self.key_at() + self.key_words
    }

    /// Where the rest of a row's long key lies.
    pub(super) fn overflow(&self, row: u32) -> usize {
        self.overflow_start + row as usize * self.overflow_words
    }

    /// A stripe's undo image: an expiry and the columns of one row.
    pub(super) fn undo(&self, stripe: u32) -> usize {
        self.undo_start + stripe as usize * (self.data_words + 1)
    }
}
