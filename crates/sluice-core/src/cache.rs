//! A cache of bytes by key that keeps to a number of bytes.
//!
//! quick_cache (S3-FIFO) decides what leaves when it is full: what was asked for again stays longer than what passes through once. It has one
//! shard, so that the limit is one for all keys. A value that has expired is not found, and removed when it is asked for; else it leaves in
//! its turn.

use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

/// What an entry costs beside its key and value: its place in the cache's own memory, and two allocations.
pub const ENTRY_OVERHEAD_BYTES: usize = 128;

/// An entry is too large for its cache, which has forgotten the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The entry takes {bytes} bytes, the cache takes entries of at most {limit}")]
pub struct EntryTooLarge {
    /// What it would cost.
    pub bytes: u64,
    /// What one may cost.
    pub limit: u64,
}

/// Counts since the cache was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Found.
    pub hits: u64,
    /// Not found, or expired.
    pub misses: u64,
    /// Removed to make room.
    pub evicted: u64,
    /// Removed because they were asked for too late.
    pub expired: u64,
}

/// Shared by all threads. Time is an argument: milliseconds of a clock that does not go back.
pub struct Cache {
    entries: sync::Cache<Box<str>, Entry, Cost, RandomState, Evictions>,
    counts: Counts,
    limit: AtomicU64,
}

#[derive(Clone)]
struct Entry {
    value: Arc<[u8]>,
    /// `u64::MAX`: never.
    expires_at: u64,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
}

#[derive(Clone)]
struct Cost;

impl Weighter<Box<str>, Entry> for Cost {
    fn weight(&self, key: &Box<str>, entry: &Entry) -> u64 {
        cost(key, &entry.value)
    }
}

fn cost(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len() + ENTRY_OVERHEAD_BYTES) as u64
}

#[derive(Clone)]
struct Evictions;

impl Lifecycle<Box<str>, Entry> for Evictions {
    /// What left, to be freed when the lock is let go. Also the old entry of a key that is set.
    type RequestState = Vec<(Box<str>, Entry)>;

    fn on_evict(&self, left: &mut Self::RequestState, key: Box<str>, entry: Entry) {
        left.push((key, entry));
    }
}

/// The part of the bytes that what was asked for again may take: what is asked for once goes through the rest.
const HOT_PART: f64 = 0.97;

impl Cache {
    /// Keeps to `max_bytes`, keys and [`ENTRY_OVERHEAD_BYTES`] counted.
    pub fn new(max_bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .shards(1)
            .hot_allocation(HOT_PART)
            .weight_capacity(max_bytes)
            // Only sizes what is remembered of keys that have left.
            .estimated_items_capacity((max_bytes / 1024).clamp(64, 262_144) as usize)
            .build()
            .expect("both capacities are set");
        let entries = sync::Cache::with_options(options, Cost, RandomState::new(), Evictions);
        Self {
            entries,
            counts: Counts::default(),
            limit: AtomicU64::new(max_bytes),
        }
    }

    /// The value of a key, unless it has expired.
    pub fn get(&self, key: &str, now: u64) -> Option<Arc<[u8]>> {
        match self.entries.get(key) {
            Some(entry) if entry.expires_at > now => {
                self.counts.hits.fetch_add(1, Ordering::Relaxed);
                Some(entry.value)
            }
            found => {
                if found.is_some() {
                    self.expire(key, now);
                }
                self.counts.misses.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Whether a key has a value. Counts as no use of it.
    pub fn contains(&self, key: &str, now: u64) -> bool {
        self.entries
            .peek(key)
            .is_some_and(|entry| entry.expires_at > now)
    }

    /// Keeps a value, in place of the one before, for `ttl` milliseconds.
    pub fn set(
        &self,
        key: &str,
        value: &[u8],
        ttl: Option<u64>,
        now: u64,
    ) -> Result<(), EntryTooLarge> {
        let (bytes, limit) = (cost(key, value), self.entry_bytes_max());
        if bytes > limit {
            // What is known of the key is out of date.
            self.entries.remove(key);
            return Err(EntryTooLarge { bytes, limit });
        }
        let entry = Entry {
            value: Arc::from(value),
            expires_at: ttl.map_or(u64::MAX, |ttl| now.saturating_add(ttl)),
        };
        let mut left = Vec::new();
        self.entries
            .insert_with_lifecycle(Box::from(key), entry, &mut left);
        let evicted = left.iter().filter(|(other, _)| **other != *key).count();
        if evicted > 0 {
            self.counts
                .evicted
                .fetch_add(evicted as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Forgets a key. Whether it had a value.
    pub fn delete(&self, key: &str, now: u64) -> bool {
        self.entries
            .remove(key)
            .is_some_and(|(_, entry)| entry.expires_at > now)
    }

    /// Forgets all keys.
    pub fn clear(&self) {
        self.entries.clear();
    }

    /// Entries, those included that have expired and were not asked for since.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What they cost.
    pub fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    /// What they may cost.
    pub fn max_bytes(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// What one may cost: 97 % of it.
    pub fn entry_bytes_max(&self) -> u64 {
        (self.max_bytes() as f64 * HOT_PART) as u64
    }

    /// Keeps to another number of bytes from now on.
    pub fn resize(&self, max_bytes: u64) {
        if self.limit.swap(max_bytes, Ordering::Relaxed) != max_bytes {
            self.entries.set_capacity(max_bytes);
        }
    }

    /// What was asked of it.
    pub fn stats(&self) -> CacheStats {
        let Counts {
            hits,
            misses,
            evicted,
            expired,
        } = &self.counts;
        CacheStats {
            hits: hits.load(Ordering::Relaxed),
            misses: misses.load(Ordering::Relaxed),
            evicted: evicted.load(Ordering::Relaxed),
            expired: expired.load(Ordering::Relaxed),
        }
    }

    #[cold]
    fn expire(&self, key: &str, now: u64) {
        // Somebody may have set it since.
        let removed = self.entries.remove_if(key, |entry| entry.expires_at <= now);
        if removed.is_some() {
            self.counts.expired.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("max_bytes", &self.max_bytes())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn text(cache: &Cache, key: &str, now: u64) -> Option<String> {
        cache
            .get(key, now)
            .map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn a_value_is_found_until_it_expires_and_is_removed_then() {
        let cache = Cache::new(10_000);
        cache.set("a", b"1", Some(10), 100).unwrap();
        assert_eq!(text(&cache, "a", 109).as_deref(), Some("1"));
        assert!(!cache.contains("a", 110));
        assert_eq!(cache.len(), 1);
        assert_eq!(text(&cache, "a", 110), None);
        assert_eq!((cache.len(), cache.bytes()), (0, 0));
        let stats = CacheStats {
            hits: 1,
            misses: 1,
            evicted: 0,
            expired: 1,
        };
        assert_eq!(cache.stats(), stats);
    }

    #[test]
    fn an_entry_may_take_its_limit_and_not_a_byte_more() {
        let cache = Cache::new(10_000);
        let fits = vec![0; 9_700 - ENTRY_OVERHEAD_BYTES - 1];
        cache.set("a", &fits, None, 0).unwrap();
        assert_eq!(cache.bytes(), 9_700);
        let more = vec![0; fits.len() + 1];
        let error = EntryTooLarge {
            bytes: 9_701,
            limit: 9_700,
        };
        assert_eq!(cache.set("a", &more, None, 0), Err(error));
        assert_eq!(text(&cache, "a", 0), None, "the old value is not served");
    }

    #[test]
    fn what_is_used_again_stays_when_much_passes_through_once() {
        let cache = Cache::new(100_000);
        for number in 0..50 {
            cache
                .set(&format!("used {number}"), &[0; 500], None, 0)
                .unwrap();
        }
        for number in 0..10_000 {
            for used in 0..50 {
                cache.get(&format!("used {used}"), 0);
            }
            cache
                .set(&format!("once {number}"), &[0; 500], None, 0)
                .unwrap();
        }
        let kept = (0..50).filter(|number| cache.contains(&format!("used {number}"), 0));
        assert_eq!(kept.count(), 50);
        assert!(cache.stats().evicted > 9_000);
    }

    #[test]
    fn a_smaller_limit_holds_at_once() {
        let cache = Cache::new(100_000);
        for number in 0..100 {
            cache.set(&number.to_string(), &[0; 500], None, 0).unwrap();
        }
        cache.resize(10_000);
        assert!(cache.bytes() <= 10_000 && cache.len() > 0);
        assert_eq!(cache.max_bytes(), 10_000);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u8, usize, Option<u64>),
        Get(u8),
        Delete(u8),
        Clear,
        Wait(u64),
        Resize(u64),
    }

    fn step(sizes: std::ops::Range<usize>) -> impl Strategy<Value = Step> {
        let key = 0..20_u8;
        prop_oneof![
            8 => (key.clone(), sizes, prop::option::of(0..30_u64)).prop_map(|(key, size, ttl)| Step::Set(key, size, ttl)),
            8 => key.clone().prop_map(Step::Get),
            2 => key.prop_map(Step::Delete),
            1 => Just(Step::Clear),
            3 => (1..15_u64).prop_map(Step::Wait),
            1 => (2_000..20_000_u64).prop_map(Step::Resize),
        ]
    }

    /// Runs the steps against a map that forgets nothing. With `is_roomy` the cache must not either.
    fn check(steps: Vec<Step>, max_bytes: u64, is_roomy: bool) -> Result<(), TestCaseError> {
        let cache = Cache::new(max_bytes);
        let mut model: HashMap<u8, (Vec<u8>, u64)> = HashMap::new();
        let mut now = 0;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Set(key, size, ttl) => {
                    let value = vec![number as u8; size];
                    let set = cache.set(&key.to_string(), &value, ttl, now);
                    let cost = (key.to_string().len() + size + ENTRY_OVERHEAD_BYTES) as u64;
                    prop_assert_eq!(set.is_ok(), cost <= cache.entry_bytes_max());
                    if set.is_ok() {
                        let expires_at = ttl.map_or(u64::MAX, |ttl| now + ttl);
                        model.insert(key, (value, expires_at));
                    } else {
                        model.remove(&key);
                    }
                }
                Step::Get(key) => {
                    let expected = model
                        .get(&key)
                        .filter(|(_, expires_at)| *expires_at > now)
                        .map(|(value, _)| value.clone());
                    let contains = cache.contains(&key.to_string(), now);
                    let found = cache.get(&key.to_string(), now).map(|value| value.to_vec());
                    prop_assert_eq!(contains, found.is_some());
                    if is_roomy || found.is_some() {
                        prop_assert_eq!(found, expected);
                    }
                }
                Step::Delete(key) => {
                    let expected = model
                        .remove(&key)
                        .is_some_and(|(_, expires_at)| expires_at > now);
                    let deleted = cache.delete(&key.to_string(), now);
                    if is_roomy || deleted {
                        prop_assert_eq!(deleted, expected);
                    }
                }
                Step::Clear => {
                    cache.clear();
                    model.clear();
                }
                Step::Wait(ms) => now += ms,
                Step::Resize(max_bytes) if !is_roomy => cache.resize(max_bytes),
                Step::Resize(_) => {}
            }
            let bytes: u64 = cache
                .entries
                .iter()
                .map(|(key, entry)| cost(&key, &entry.value))
                .sum();
            prop_assert_eq!(cache.bytes(), bytes);
            prop_assert!(bytes <= cache.max_bytes());
            if is_roomy {
                prop_assert_eq!(cache.stats().evicted, 0);
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn with_room_for_all_it_is_a_map(steps in prop::collection::vec(step(0..200), 0..300)) {
            check(steps, 20 * (200 + 2 + ENTRY_OVERHEAD_BYTES as u64), true)?;
        }

        #[test]
        fn without_it_keeps_to_its_bytes_and_never_gives_an_old_value(steps in prop::collection::vec(step(0..3_000), 0..300)) {
            check(steps, 8_000, false)?;
        }
    }
}
