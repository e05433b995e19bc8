//! The functions of a table, written against Node-API itself. What they give: the value or `true`/`false`, `undefined` where there is
//! no row, and `null` when the call failed: `failure()` tells then why.

use std::ptr;

use napi::sys;
use serde::Serialize;
use sluice_shared::table::{ColumnKind, Mode, TableError, Ttl};

use super::batch::Batch;
use super::context::{Context, Failure};
use super::key::Key;
use crate::function::Call;
use crate::value::{
    bytes, bytes_mut, call_info, double, from_bool, from_bytes, from_text, guarded, uint32,
};

/// Every function by its name in `NativeTable`.
pub(super) const CALLS: [(&str, Call); 21] = [
    ("getWord", super::words::get),
    ("setWord", super::words::set),
    ("addWord", super::words::add),
    ("getBytes", get_bytes),
    ("readRow", read_row),
    ("takeRow", take_row),
    ("setBytes", set_bytes),
    ("setRow", set_row),
    ("compareSet", compare_set),
    ("compareDelete", compare_delete),
    ("delete", delete),
    ("has", has),
    ("scan", scan),
    ("clear", clear),
    ("size", size),
    ("stats", stats),
    ("memory", memory),
    ("failure", failure),
    ("watch", super::watch::watch),
    ("watchTake", super::watch::watch_take),
    ("watchEnd", super::watch::watch_end),
];

/// The arguments of a call and the context of its function.
pub(super) fn arguments<'call, const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> (&'call mut Context, [sys::napi_value; N], usize) {
    let (values, count, data) = call_info(env, info);
    // SAFETY: `data` is what `Context::expose` gave with the function: the context, which lives as long as the environment. Nothing
    // that a call does runs JavaScript, so there is no other call in this thread, and no other thread has the pointer.
    let context = unsafe { &mut *data.cast::<Context>() };
    (context, values, count)
}

/// A key or the beginning of one.
pub(super) fn key_text(env: sys::napi_env, value: sys::napi_value) -> Result<Vec<u8>, Failure> {
    Ok(Key::new().read(env, value)?.to_vec())
}

fn undefined(env: sys::napi_env) -> sys::napi_value {
    from_bytes(env, None)
}

fn null(env: sys::napi_env) -> sys::napi_value {
    from_text(env, None)
}

pub(super) fn from_double(env: sys::napi_env, number: f64) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: `env` belongs to the current call.
    unsafe { sys::napi_create_double(env, number, &raw mut value) };
    value
}

fn from_latin1(env: sys::napi_env, text: &[u8]) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: `env` belongs to the current call; the bytes are copied.
    unsafe {
        sys::napi_create_string_latin1(
            env,
            text.as_ptr().cast(),
            text.len() as isize,
            &raw mut value,
        )
    };
    value
}

fn from_utf8(env: sys::napi_env, text: &[u8]) -> sys::napi_value {
    if text.is_ascii() {
        return from_latin1(env, text);
    }
    let mut value = ptr::null_mut();
    // SAFETY: `env` belongs to the current call; the bytes are copied. Node-API replaces what is no UTF-8.
    unsafe {
        sys::napi_create_string_utf8(
            env,
            text.as_ptr().cast(),
            text.len() as isize,
            &raw mut value,
        )
    };
    value
}

/// The answer of a call: what `act` gives, or `null` with the failure kept.
pub(super) fn answer<T>(
    env: sys::napi_env,
    context: &mut Context,
    act: impl FnOnce(&mut Context) -> Result<T, Failure>,
    give: impl FnOnce(&mut Context, T) -> sys::napi_value,
) -> sys::napi_value {
    let outcome = guarded(None, || Some(act(context)));
    match outcome {
        Some(Ok(value)) => give(context, value),
        Some(Err(failure)) => {
            context.failure = Some(failure);
            null(env)
        }
        None => {
            context.failure = None;
            null(env)
        }
    }
}

fn yes_or_no(
    env: sys::napi_env,
    context: &mut Context,
    act: impl FnOnce(&mut Context) -> Result<bool, Failure>,
) -> sys::napi_value {
    answer(env, context, act, |_, done| from_bool(env, done))
}

/// Milliseconds; 0: never; what is no such number: as the table says.
pub(super) fn ttl(millis: f64) -> Ttl {
    if millis > 0.0 {
        Ttl::After(millis as u64)
    } else if millis == 0.0 {
        Ttl::Never
    } else {
        Ttl::Default
    }
}

fn mode(number: u32) -> Mode {
    match number {
        1 => Mode::Insert,
        2 => Mode::Update,
        _ => Mode::Upsert,
    }
}

/// Two halves of a set of columns.
fn mask(env: sys::napi_env, low: sys::napi_value, high: sys::napi_value) -> u64 {
    u64::from(uint32(env, low)) | u64::from(uint32(env, high)) << 32
}

fn kind(context: &Context, column: usize) -> Result<ColumnKind, Failure> {
    context
        .kinds
        .get(column)
        .copied()
        .ok_or_else(|| TableError::Column { column }.into())
}

/// `getBytes(key, column)`: a string or a Buffer; `undefined` when there is no row.
extern "C" fn get_bytes(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key, column], _) = arguments::<2>(env, info);
    let column = uint32(env, column) as usize;
    answer(
        env,
        context,
        |context| {
            let mut room = Key::new();
            let key = room.read(env, key)?;
            let kind = kind(context, column)?;
            let Context { table, value, .. } = context;
            let found = table.get_bytes(key, column, value)?;
            Ok(found.then_some(kind))
        },
        |context, found| {
            let value = match found {
                None => undefined(env),
                Some(ColumnKind::Text { .. }) => from_utf8(env, &context.value),
                Some(_) => from_bytes(env, Some(&context.value)),
            };
            context.trim();
            value
        },
    )
}

/// `readRow(key)`: the row into the scratch buffer. False when there is none; else true, or the texts of the row, one after the other, if all
/// of them are short ASCII: a string made here takes less than one that JavaScript asks Node.js for.
extern "C" fn read_row(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key], _) = arguments::<1>(env, info);
    answer(
        env,
        context,
        |context| {
            let mut room = Key::new();
            let key = room.read(env, key)?;
            let (table, image) = context.parts();
            Ok(table.get(key, image)?)
        },
        |context, found| row_found(env, context, found),
    )
}

/// `takeRow(key)`: as `readRow`, and the row is deleted.
extern "C" fn take_row(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key], _) = arguments::<1>(env, info);
    answer(
        env,
        context,
        |context| {
            let mut room = Key::new();
            let key = room.read(env, key)?;
            let (table, image) = context.parts();
            Ok(table.take(key, image)?)
        },
        |context, found| row_found(env, context, found),
    )
}

fn row_found(env: sys::napi_env, context: &mut Context, found: bool) -> sys::napi_value {
    if found && context.join_texts() {
        from_latin1(env, &context.value)
    } else {
        from_bool(env, found)
    }
}

/// `setBytes(key, column, value, ttl?)`: a column of text or bytes.
extern "C" fn set_bytes(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key, column, value, life], count) = arguments::<4>(env, info);
    let column = uint32(env, column) as usize;
    let life = if count < 4 {
        Ttl::Default
    } else {
        ttl(double(env, life))
    };
    let done = yes_or_no(env, context, |context| {
        let mut room = Key::new();
        let key = room.read(env, key)?;
        let kind = kind(context, column)?;
        let Context {
            table, value: text, ..
        } = context;
        let data = match kind {
            ColumnKind::Text { size } => {
                read_text(env, value, column, size, text)?;
                text.as_slice()
            }
            _ => bytes(env, value).unwrap_or(&[]),
        };
        Ok(table.set_bytes(key, Mode::Upsert, column, data, life)?)
    });
    context.trim();
    done
}

/// Reads a string of at most `size` bytes of UTF-8.
fn read_text(
    env: sys::napi_env,
    value: sys::napi_value,
    column: usize,
    size: u32,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    /// Node-API cuts before a character that does not fit, and adds a NUL.
    const SLACK: usize = 8;
    let room = size as usize + SLACK;
    out.clear();
    out.reserve(room);
    let mut len = 0;
    // SAFETY: `value` is an argument of the current call; `room` bytes are writable, and without a buffer only the length is
    // written.
    unsafe {
        sys::napi_get_value_string_utf8(env, value, out.as_mut_ptr().cast(), room, &raw mut len);
        if len > size as usize {
            sys::napi_get_value_string_utf8(env, value, ptr::null_mut(), 0, &raw mut len);
            return Err(TableError::TooLong { column, size, len }.into());
        }
        // Written by the call above; 0 when it is no string.
        out.set_len(len);
    }
    Ok(())
}

/// `setRow(key, mode, columnsLow, columnsHigh, ttl?)`: the columns of the scratch buffer that the mask names.
extern "C" fn set_row(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key, how, low, high, life], count) = arguments::<5>(env, info);
    let life = if count < 5 {
        Ttl::Default
    } else {
        ttl(double(env, life))
    };
    let (how, columns) = (mode(uint32(env, how)), mask(env, low, high));
    yes_or_no(env, context, |context| {
        let mut room = Key::new();
        let key = room.read(env, key)?;
        let (image, _) = context.images();
        Ok(context.table.set(key, how, image, columns, life)?)
    })
}

/// `compareSet(key, expectedLow, expectedHigh, columnsLow, columnsHigh)`: what is expected is the second image.
extern "C" fn compare_set(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key, expected_low, expected_high, low, high], _) = arguments::<5>(env, info);
    let (expected_columns, columns) =
        (mask(env, expected_low, expected_high), mask(env, low, high));
    yes_or_no(env, context, |context| {
        let mut room = Key::new();
        let key = room.read(env, key)?;
        let (image, expected) = context.images();
        Ok(context
            .table
            .compare_set(key, expected, expected_columns, image, columns)?)
    })
}

/// `compareDelete(key, expectedLow, expectedHigh)`.
extern "C" fn compare_delete(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key, low, high], _) = arguments::<3>(env, info);
    let columns = mask(env, low, high);
    yes_or_no(env, context, |context| {
        let mut room = Key::new();
        let key = room.read(env, key)?;
        let (_, expected) = context.images();
        Ok(context.table.compare_delete(key, expected, columns)?)
    })
}

extern "C" fn delete(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key], _) = arguments::<1>(env, info);
    yes_or_no(env, context, |context| {
        Ok(context.table.delete(Key::new().read(env, key)?)?)
    })
}

extern "C" fn has(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key], _) = arguments::<1>(env, info);
    yes_or_no(env, context, |context| {
        Ok(context.table.contains(Key::new().read(env, key)?)?)
    })
}

/// `scan(batch, from, prefix, withRows)`: fills `batch`, a Uint8Array, with rows whose keys begin with `prefix` (see [`Batch`]), and gives
/// where to go on; the table's capacity is the end.
extern "C" fn scan(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [batch, from, prefix, with_rows], _) = arguments::<4>(env, info);
    let (from, with_rows) = (uint32(env, from), crate::value::boolean(env, with_rows));
    answer(
        env,
        context,
        |context| {
            let mut room = Key::new();
            let prefix = room.read(env, prefix)?;
            // SAFETY: TypeScript made the array for this, and nobody else looks at it before the call returns.
            let memory = unsafe { bytes_mut(env, batch) };
            let mut batch = Batch::new(memory.unwrap_or_default(), with_rows);
            let next = context
                .table
                .scan(from, prefix, &mut |row| batch.push(row))?;
            batch.finish();
            Ok(next)
        },
        |_, next| from_double(env, f64::from(next)),
    )
}

extern "C" fn clear(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [], _) = arguments::<0>(env, info);
    yes_or_no(env, context, |context| {
        context.table.clear()?;
        Ok(true)
    })
}

extern "C" fn size(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [], _) = arguments::<0>(env, info);
    from_double(env, f64::from(guarded(0, || context.table.len())))
}

extern "C" fn memory(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [], _) = arguments::<0>(env, info);
    from_double(env, guarded(0, || context.table.memory_bytes()) as f64)
}

/// `stats()`: JSON.
extern "C" fn stats(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [], _) = arguments::<0>(env, info);
    let json = guarded(None, || serde_json::to_string(&context.table.stats()).ok());
    from_text(env, json.as_deref())
}

/// A failure as TypeScript makes an error of it.
#[derive(Serialize)]
struct Report {
    code: &'static str,
    message: String,
}

/// `failure()`: JSON of `{ code, message }`, why the last call gave `null`.
extern "C" fn failure(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [], _) = arguments::<0>(env, info);
    let json = guarded(None, || {
        let report = match context.failure.take() {
            Some(failure) => Report {
                code: failure.code(),
                message: failure.message(&context.table),
            },
            None => Report {
                code: sluice_core::ErrorCode::Internal.as_str(),
                message: "A call of a table has panicked".to_owned(),
            },
        };
        serde_json::to_string(&report).ok()
    });
    from_text(env, json.as_deref())
}
