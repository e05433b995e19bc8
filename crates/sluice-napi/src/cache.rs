//! The caches of the process.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use napi::sys;
use napi_derive::napi;
use serde::Serialize;
use sluice_core::cache::Cache;

use crate::error::{Result, internal};
use crate::function::Call;
use crate::value::{
    append_utf8, arguments, bytes, double, from_bool, from_bytes, from_double, from_text, guarded,
    uint32,
};

/// How many there are at most.
const CACHES_MAX: usize = 1024;

/// The first byte of what is kept: a text as it is, so that it crosses without a decoder, or bytes that JavaScript decodes.
const TEXT: u8 = 1;
const BYTES: u8 = 0;

struct Named {
    name: String,
    cache: Arc<Cache>,
}

/// By the number that `openCache` gave. Only ever longer.
static CACHES: LazyLock<Mutex<Vec<Named>>> = LazyLock::new(Mutex::default);
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    /// What this thread has seen of it, to be read without a lock.
    static KNOWN: RefCell<Vec<Arc<Cache>>> = const { RefCell::new(Vec::new()) };
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a large value may leave allocated on its thread.
const SCRATCH_BYTES: usize = 256 * 1024;

fn now() -> u64 {
    START.elapsed().as_millis() as u64
}

fn with_cache<T>(number: u32, act: impl FnOnce(&Cache) -> T) -> Option<T> {
    KNOWN.with_borrow_mut(|known| {
        if known.len() <= number as usize {
            let caches = CACHES.lock().unwrap_or_else(PoisonError::into_inner);
            known.extend(
                caches[known.len()..]
                    .iter()
                    .map(|named| Arc::clone(&named.cache)),
            );
        }
        known.get(number as usize).map(|cache| act(cache))
    })
}

/// The number of the cache of a name, which is made unless it is there, and keeps to `maxBytes` from now on. -1: there are too many.
#[napi(catch_unwind)]
pub fn open_cache(name: String, max_bytes: f64) -> i32 {
    let max_bytes = max_bytes as u64;
    let mut caches = CACHES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = caches.iter().position(|named| named.name == name) {
        caches[at].cache.resize(max_bytes);
        return at as i32;
    }
    if caches.len() >= CACHES_MAX {
        return -1;
    }
    let cache = Arc::new(Cache::new(max_bytes));
    caches.push(Named { name, cache });
    caches.len() as i32 - 1
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    size: usize,
    bytes: u64,
    max_bytes: u64,
    entry_bytes_max: u64,
    hits: u64,
    misses: u64,
    evicted: u64,
    expired: u64,
}

/// JSON: figures of a cache.
#[napi(catch_unwind)]
pub fn cache_stats(cache: u32) -> Result<String> {
    let stats = with_cache(cache, |cache| {
        let stats = cache.stats();
        Stats {
            size: cache.len(),
            bytes: cache.bytes(),
            max_bytes: cache.max_bytes(),
            entry_bytes_max: cache.entry_bytes_max(),
            hits: stats.hits,
            misses: stats.misses,
            evicted: stats.evicted,
            expired: stats.expired,
        }
    });
    let stats = stats.ok_or_else(|| internal("There is no such cache"))?;
    serde_json::to_string(&stats).map_err(internal)
}

/// Forgets all keys of a cache.
#[napi(catch_unwind)]
pub fn cache_clear(cache: u32) {
    with_cache(cache, Cache::clear);
}

/// What `worker_calls` adds.
pub(crate) const CALLS: [(&str, Call); 4] = [
    ("cacheGet", cache_get),
    ("cacheSet", cache_set),
    ("cacheDelete", cache_delete),
    ("cacheHas", cache_has),
];

/// Calls `act` with the cache and the key that the first two arguments name.
fn on_key<T>(
    env: sys::napi_env,
    values: &[sys::napi_value],
    otherwise: T,
    act: impl FnOnce(&Cache, &str) -> Option<T>,
) -> T {
    guarded(None, || {
        let mut key = Vec::with_capacity(64);
        append_utf8(env, values[1], &mut key);
        // Node-API writes UTF-8.
        let key = String::from_utf8_lossy(&key);
        with_cache(uint32(env, values[0]), |cache| act(cache, &key)).flatten()
    })
    .unwrap_or(otherwise)
}

/// `(cache, key)`: the text or the bytes that are kept; undefined when there is nothing.
extern "C" fn cache_get(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let found = on_key(env, &values, None, |cache, key| Some(cache.get(key, now())));
    match found.as_deref().map(|value| value.split_first()) {
        Some(Some((&TEXT, text))) => from_text(env, std::str::from_utf8(text).ok()),
        Some(Some((_, bytes))) => from_bytes(env, Some(bytes)),
        _ => from_bytes(env, None),
    }
}

/// `(cache, key, data, ttl)`: keeps a string or a Uint8Array for `ttl` milliseconds, below 0 for ever. 0, or how many bytes the entry
/// would take when that is too much.
extern "C" fn cache_set(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    let too_large = on_key(env, &values, 0.0, |cache, key| {
        let ttl = double(env, values[3]);
        let ttl = (ttl >= 0.0).then_some(ttl as u64);
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.push(TEXT);
            if !append_utf8(env, values[2], scratch) {
                scratch[0] = BYTES;
                scratch.extend_from_slice(bytes(env, values[2]).unwrap_or(&[]));
            }
            let set = cache.set(key, scratch, ttl, now());
            if scratch.capacity() > SCRATCH_BYTES {
                *scratch = Vec::new();
            }
            set.err().map(|error| error.bytes as f64)
        })
    });
    from_double(env, too_large)
}

/// `(cache, key)`: whether there was a value.
extern "C" fn cache_delete(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let deleted = on_key(env, &values, false, |cache, key| {
        Some(cache.delete(key, now()))
    });
    from_bool(env, deleted)
}

/// `(cache, key)`: whether there is a value.
extern "C" fn cache_has(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let found = on_key(env, &values, false, |cache, key| {
        Some(cache.contains(key, now()))
    });
    from_bool(env, found)
}
