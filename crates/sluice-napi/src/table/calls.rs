//! The functions of a table, written against Node-API itself. What they give: the value or `true`/`false`, `undefined` where there is
//! no row, and `null` when the call failed: `failure()` tells then why.

use std::mem::MaybeUninit;
use std::ptr;

use napi::sys;
use serde::Serialize;
use sluice_shared::table::{ColumnKind, Mode, Table, TableError, Ttl};

use super::batch::Batch;
use super::context::{Context, Failure};
use crate::function::Call;
use crate::value::{
    bytes, bytes_mut, call_info, double, from_bool, from_bytes, from_i32, from_text, guarded,
    uint32,
};

/// Every function by its name in `NativeTable`.
pub(super) const CALLS: [(&str, Call); 22] = [
    ("get", get),
    ("getBig", get_big),
    ("readRow", read_row),
    ("takeRow", take_row),
    ("set", set),
    ("setRow", set_row),
    ("compareSet", compare_set),
    ("compareDelete", compare_delete),
    ("add", add),
    ("addBig", add_big),
    ("addFloat", add_float),
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

/// The integers that a double holds.
const SAFE_MAX: i64 = (1 << 53) - 1;
/// Bytes of the longest key, and room to see that one is longer: Node-API cuts before a character that does not fit, and adds a NUL.
const KEY_ROOM: usize = 255 + 8;

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

/// A key on the stack. Its bytes are not zeroed first: that would take as long as finding the row.
struct Key {
    bytes: [MaybeUninit<u8>; KEY_ROOM],
    len: usize,
}

impl Key {
    #[inline]
    fn new() -> Self {
        Key {
            bytes: [MaybeUninit::uninit(); KEY_ROOM],
            len: 0,
        }
    }

    /// Reads a key in place: as the result of a call it would be copied.
    #[inline]
    fn read(&mut self, env: sys::napi_env, value: sys::napi_value) -> Result<&[u8], Failure> {
        // SAFETY: `value` is an argument of the current call, and `bytes` has the room that is told.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                env,
                value,
                self.bytes.as_mut_ptr().cast(),
                KEY_ROOM,
                &raw mut self.len,
            )
        };
        if status != sys::Status::napi_ok {
            return Err(Failure::Key);
        }
        if self.len > 255 {
            return Err(too_long(env, value));
        }
        // SAFETY: Node-API has written `len` bytes, no more than there is room for.
        Ok(unsafe { std::slice::from_raw_parts(self.bytes.as_ptr().cast(), self.len) })
    }
}

/// It may have been cut: the message has its real length.
#[cold]
fn too_long(env: sys::napi_env, value: sys::napi_value) -> Failure {
    let mut len = 0;
    // SAFETY: without a buffer only the length is written.
    unsafe { sys::napi_get_value_string_utf8(env, value, ptr::null_mut(), 0, &raw mut len) };
    TableError::KeyLength { len, max: 255 }.into()
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

fn from_big(env: sys::napi_env, number: i64) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: `env` belongs to the current call.
    unsafe { sys::napi_create_bigint_int64(env, number, &raw mut value) };
    value
}

/// An integer that a double holds.
fn from_safe(env: sys::napi_env, number: i64) -> sys::napi_value {
    match i32::try_from(number) {
        Ok(small) => from_i32(env, small),
        Err(_) => from_double(env, number as f64),
    }
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

/// A number or bigint as i64, wrapping around; 0 for anything else.
fn int(env: sys::napi_env, value: sys::napi_value) -> i64 {
    let mut number = 0;
    let mut is_lossless = false;
    // SAFETY: `value` is an argument of the current call; on an error `number` stays as it is.
    unsafe {
        if sys::napi_get_value_int64(env, value, &raw mut number) != sys::Status::napi_ok {
            sys::napi_get_value_bigint_int64(env, value, &raw mut number, &raw mut is_lossless);
        }
    }
    number
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

/// `undefined`, -1: as the table says; 0: never; else milliseconds.
fn ttl(env: sys::napi_env, value: sys::napi_value) -> Ttl {
    let millis = double(env, value);
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

/// What one column holds.
enum Value {
    None,
    Int(i64),
    Float(f64),
    Bool(bool),
    Text,
    Bytes,
}

/// `get(key, column)`: the value; `undefined` when there is no row. An integer beyond 2^53 fails.
extern "C" fn get(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key, column], _) = arguments::<2>(env, info);
    let column = uint32(env, column) as usize;
    answer(
        env,
        context,
        |context| {
            let mut room = Key::new();
            let key = room.read(env, key)?;
            let kind = kind(context, column)?;
            if kind.bytes().is_some() {
                let Context { table, value, .. } = context;
                let found = table.get_bytes(key, column, value)?;
                return Ok(match kind {
                    _ if !found => Value::None,
                    ColumnKind::Text { .. } => Value::Text,
                    _ => Value::Bytes,
                });
            }
            let Some(word) = context.table.get_word(key, column)? else {
                return Ok(Value::None);
            };
            let number = word as i64;
            match kind {
                ColumnKind::Float => Ok(Value::Float(f64::from_bits(word))),
                ColumnKind::Bool => Ok(Value::Bool(word != 0)),
                _ if (-SAFE_MAX..=SAFE_MAX).contains(&number) => Ok(Value::Int(number)),
                _ => Err(Failure::Unsafe {
                    column,
                    value: number,
                }),
            }
        },
        |context, value| match value {
            Value::None => undefined(env),
            Value::Int(number) => from_safe(env, number),
            Value::Float(number) => from_double(env, number),
            Value::Bool(truth) => from_bool(env, truth),
            Value::Text => {
                let text = from_utf8(env, &context.value);
                context.trim();
                text
            }
            Value::Bytes => {
                let copy = from_bytes(env, Some(&context.value));
                context.trim();
                copy
            }
        },
    )
}

/// `getBig(key, column)`: an integer column as bigint.
extern "C" fn get_big(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key, column], _) = arguments::<2>(env, info);
    let column = uint32(env, column) as usize;
    answer(
        env,
        context,
        |context| Ok(context.table.get_word(Key::new().read(env, key)?, column)?),
        |_, word| word.map_or_else(|| undefined(env), |word| from_big(env, word as i64)),
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

/// `set(key, column | mode << 8, value, ttl?)`: one column. False when the mode does not fit.
extern "C" fn set(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (context, [key, at, value, life], count) = arguments::<4>(env, info);
    let at = uint32(env, at);
    let (column, mode) = ((at & 0xff) as usize, mode(at >> 8));
    let life = if count < 4 {
        Ttl::Default
    } else {
        ttl(env, life)
    };
    let done = yes_or_no(env, context, |context| {
        let mut room = Key::new();
        let key = room.read(env, key)?;
        let word = match kind(context, column)? {
            ColumnKind::Int => int(env, value) as u64,
            ColumnKind::Float => double(env, value).to_bits(),
            ColumnKind::Bool => u64::from(crate::value::boolean(env, value)),
            ColumnKind::Text { size } => {
                read_text(env, value, column, size, &mut context.value)?;
                return Ok(context
                    .table
                    .set_bytes(key, mode, column, &context.value, life)?);
            }
            ColumnKind::Bytes { .. } => {
                let data = bytes(env, value).unwrap_or(&[]);
                return Ok(context.table.set_bytes(key, mode, column, data, life)?);
            }
        };
        Ok(context.table.set_word(key, mode, column, word, life)?)
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
        ttl(env, life)
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

/// `add(key, column, by)`: the new value of an integer column that stays within ±(2^53 - 1).
extern "C" fn add(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    sum(env, info, int, Table::add_safe, from_safe)
}

/// `addBig(key, column, by)`: wraps around as int64.
extern "C" fn add_big(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    sum(env, info, int, Table::add_int, from_big)
}

/// `addFloat(key, column, by)`.
extern "C" fn add_float(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    sum(env, info, double, Table::add_float, from_double)
}

/// Adds a number of some kind, and gives the sum.
#[inline]
fn sum<T>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    read: impl Fn(sys::napi_env, sys::napi_value) -> T,
    add: impl Fn(&Table, &[u8], usize, T) -> Result<T, TableError>,
    give: impl Fn(sys::napi_env, T) -> sys::napi_value,
) -> sys::napi_value {
    let (context, [key, column, by], _) = arguments::<3>(env, info);
    let (column, by) = (uint32(env, column) as usize, read(env, by));
    answer(
        env,
        context,
        |context| Ok(add(&context.table, Key::new().read(env, key)?, column, by)?),
        |_, sum| give(env, sum),
    )
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
