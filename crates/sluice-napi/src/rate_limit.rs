//! The rate limits of the process: token buckets in the rows of a table each.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use napi::sys;
use napi_derive::napi;
use sluice_shared::table::{ColumnKind, ColumnSpec, Evict, Table, TableSpec, TokenRate};

use crate::error::Result;
use crate::function::Call;
use crate::table::registry;
use crate::value::{append_utf8, arguments, from_double, guarded, uint32};

/// How many there are at most.
const RATE_LIMITS_MAX: usize = 1024;
/// The only column: when the bucket is full again.
const FULL_AT: usize = 0;

struct RateLimit {
    table: Arc<Table>,
    interval_ns: u64,
    burst: u64,
}

/// By the number that `openRateLimit` gave. Only ever longer.
static RATE_LIMITS: LazyLock<Mutex<Vec<Arc<RateLimit>>>> = LazyLock::new(Mutex::default);

thread_local! {
    /// What this thread has seen of it, to be read without a lock.
    static KNOWN: RefCell<Vec<Arc<RateLimit>>> = const { RefCell::new(Vec::new()) };
}

/// The number of the rate limit of a name with these figures, which is made unless it is there. `intervalNs`: one token comes back in so
/// many. Those of one name and as many `keys` share their buckets: new code may have another rate. -1: there are too many.
#[napi(catch_unwind)]
pub fn open_rate_limit(name: String, interval_ns: f64, burst: u32, keys: u32) -> Result<i32> {
    let (interval_ns, burst) = (interval_ns as u64, u64::from(burst));
    let mut limits = RATE_LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
    let table = buckets(&name, keys)?;
    let is_same = |limit: &Arc<RateLimit>| {
        Arc::ptr_eq(&limit.table, &table)
            && limit.interval_ns == interval_ns
            && limit.burst == burst
    };
    if let Some(at) = limits.iter().position(is_same) {
        return Ok(at as i32);
    }
    if limits.len() >= RATE_LIMITS_MAX {
        return Ok(-1);
    }
    limits.push(Arc::new(RateLimit {
        table,
        interval_ns,
        burst,
    }));
    Ok(limits.len() as i32 - 1)
}

/// The table of a name and as many keys: a file where tables are files, so that other processes share it.
fn buckets(name: &str, keys: u32) -> Result<Arc<Table>> {
    let spec = TableSpec {
        size: keys,
        columns: vec![ColumnSpec {
            name: "fullAt".to_owned(),
            kind: ColumnKind::Int,
        }],
        ttl: None,
        evict: Evict::Lru,
        max_key: u8::MAX,
    };
    registry::open(&format!("rate.{}.{keys}", file_name(name)), &spec, None)
}

/// A name as the file of a table can have it: as it is, or what can be told of it and a hash.
fn file_name(name: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.len() <= 40 && name.bytes().all(fits) {
        return name.to_owned();
    }
    let told: String = name
        .bytes()
        .take(20)
        .map(|byte| if fits(byte) { byte as char } else { '-' })
        .collect();
    // FNV-1a: the same in all processes.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{told}-{hash:016x}")
}

/// What `worker_calls` adds.
pub(crate) const CALLS: [(&str, Call); 1] = [("rateTake", rate_take)];

/// Milliseconds until a retry are below; what is above is tokens.
const RETRY_BITS: u32 = 33;

/// `(limit, key, n)`: tokens left × 2³³ when they were taken; when not, below 0: -(tokens left × 2³³ + milliseconds to wait). NaN: the key is
/// empty or longer than 255 bytes.
extern "C" fn rate_take(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let answer = guarded(None, || {
        let mut key = Vec::with_capacity(64);
        append_utf8(env, values[1], &mut key);
        let (number, cost) = (uint32(env, values[0]), uint32(env, values[2]));
        KNOWN.with_borrow_mut(|known| {
            if known.len() <= number as usize {
                let limits = RATE_LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
                known.extend_from_slice(&limits[known.len()..]);
            }
            let limit = known.get(number as usize)?;
            let rate = TokenRate {
                interval_ns: limit.interval_ns,
                burst: limit.burst,
                cost: u64::from(cost),
            };
            let taken = limit
                .table
                .take_tokens(&key, FULL_AT, &rate, limit.table.now_ns());
            let taken = taken.ok()?;
            let left = taken.remaining << RETRY_BITS;
            Some(if taken.ok {
                left as f64
            } else {
                let wait = taken.retry_after_ns.div_ceil(1_000_000);
                -((left + wait.clamp(1, (1 << RETRY_BITS) - 1)) as f64)
            })
        })
    });
    from_double(env, answer.unwrap_or(f64::NAN))
}
