//! The calls for a column of one word: an integer, a double, a boolean.
//!
//! They are made of little else than getting there, so only the key is an argument. The rest, and what they give, lies in memory
//! that JavaScript and they share, which takes a tenth of a call of Node-API for each: three words, in `src-ts/table/words.ts`, too.

use std::ptr;

use napi::sys;
use sluice_shared::table::Mode;

use super::calls::{arguments, ttl};
use super::context::{Context, Failure};
use super::key::Key;
use crate::value::guarded;

/// How many words.
pub(super) const WORDS: usize = 3;

/// The column in the lowest byte, then what to do; after the call, what came of it.
const ACT: usize = 0;
/// The word that is written, added or read.
const VALUE: usize = 1;
/// With [`HAS_TTL`], milliseconds as a double.
const TTL: usize = 2;

/// In [`ACT`], for `setWord`.
const HAS_TTL: u64 = 1 << 8;

/// In [`ACT`] after the call.
#[derive(Clone, Copy)]
enum Outcome {
    /// There is no row.
    None = 0,
    Done = 1,
    /// `failure()` tells why.
    Failed = 2,
}

/// `getWord(key)`.
pub(super) extern "C" fn get(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    call(env, info, |context, key, words| {
        let found = context.table.get_word(key, column(words))?;
        if let Some(word) = found {
            words[VALUE] = word;
        }
        Ok(found.is_some())
    })
}

/// `setWord(key)`.
pub(super) extern "C" fn set(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    call(env, info, |context, key, words| {
        let life = if words[ACT] & HAS_TTL == 0 {
            f64::NAN
        } else {
            f64::from_bits(words[TTL])
        };
        let (column, word) = (column(words), words[VALUE]);
        let done = context
            .table
            .set_word(key, Mode::Upsert, column, word, ttl(life))?;
        Ok(done)
    })
}

/// `addWord(key)`. What to do: 0 an integer that stays within ±(2^53 - 1), 1 one that wraps around as int64, 2 a double.
pub(super) extern "C" fn add(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    call(env, info, |context, key, words| {
        let (table, column, by) = (&context.table, column(words), words[VALUE]);
        words[VALUE] = match words[ACT] >> 8 & 0xFF {
            0 => table.add_safe(key, column, by as i64)? as u64,
            1 => table.add_int(key, column, by as i64)? as u64,
            _ => table.add_float(key, column, f64::from_bits(by))?.to_bits(),
        };
        Ok(true)
    })
}

fn column(words: &[u64; WORDS]) -> usize {
    (words[ACT] & 0xFF) as usize
}

/// Does what `act` does with the row of the key, and says in [`ACT`] what came of it: false for no row.
#[inline]
fn call(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    act: impl FnOnce(&Context, &[u8], &mut [u64; WORDS]) -> Result<bool, Failure>,
) -> sys::napi_value {
    let (context, [key], _) = arguments::<1>(env, info);
    // SAFETY: they live as long as the context. JavaScript writes to them only between calls, on this thread, and nobody else has
    // them while this call lasts.
    let words = unsafe { context.words.cast::<[u64; WORDS]>().as_mut() };
    let outcome = guarded(None, || {
        let mut room = Key::new();
        Some(room.read(env, key).and_then(|key| act(context, key, words)))
    });
    words[ACT] = match outcome {
        Some(Ok(false)) => Outcome::None,
        Some(Ok(true)) => Outcome::Done,
        Some(Err(failure)) => {
            context.failure = Some(failure);
            Outcome::Failed
        }
        None => {
            context.failure = None;
            Outcome::Failed
        }
    } as u64;
    // `undefined`, without making it.
    ptr::null_mut()
}
