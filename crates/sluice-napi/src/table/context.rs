//! What the functions of one table on one thread share.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use napi::bindgen_prelude::{JsValue, Object};
use napi::{Env, sys};
use sluice_core::ErrorCode;
use sluice_shared::table::{ColumnKind, Table, TableError, Watch};

use super::calls::CALLS;
use super::words::WORDS;
use crate::function::define;
use crate::worker::Raw;

/// Bytes of a string or bytes value that may stay allocated between two calls.
const VALUE_BYTES_KEPT: usize = 64 * 1024;

/// Characters of the texts of a row that are handed out as one string: a part of it keeps the whole in memory.
const JOINED_BYTES_MAX: usize = 1024;

/// One table on one thread. Lives until the thread's environment ends; only its own functions have the pointer.
pub(super) struct Context {
    pub(super) table: Arc<Table>,
    pub(super) kinds: Box<[ColumnKind]>,
    /// Where string and bytes values are read to.
    pub(super) value: Vec<u8>,
    /// Words before each text column.
    texts: Box<[usize]>,
    /// By their tickets.
    pub(super) watches: HashMap<u64, Watch>,
    /// Why the last call gave `null`.
    pub(super) failure: Option<Failure>,
    /// Two row images, the memory of an ArrayBuffer that is kept for as long ([`scratch_buffer`]).
    scratch: NonNull<u64>,
    row_words: usize,
    /// What the calls of [`words`](super::words) take and give, kept as `scratch` is.
    pub(super) words: NonNull<u64>,
}

/// Why a call did not do what it says.
#[derive(Debug)]
pub(super) enum Failure {
    /// The key is no string.
    Key,
    Table(TableError),
}

impl Failure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Failure::Key => ErrorCode::InvalidArg.as_str(),
            Failure::Table(source) => source.code().as_str(),
        }
    }

    /// What happened, with the names that the core does not know.
    pub(super) fn message(&self, table: &Table) -> String {
        let name = table.name();
        let column_name = |column: usize| {
            table
                .columns()
                .get(column)
                .map_or("?", |column| column.name.as_str())
        };
        match self {
            Failure::Key => format!("A key of table {name:?} must be a string"),
            Failure::Table(source) => match source {
                TableError::Full { size } => format!(
                    "Table {name:?} is full: {} of {size} rows (`size`) are in use. Make `size` larger, or let it make room: `evict: 'lru'`, or a `ttl`",
                    table.len()
                ),
                TableError::KeyLength { len: 0, .. } => {
                    format!("A key of table {name:?} must not be empty")
                }
                TableError::KeyLength { len, .. } => format!(
                    "A key of table {name:?} may have {} bytes of UTF-8 (`maxKey`), this one has {len}",
                    table.spec().max_key
                ),
                TableError::TooLong { column, size, len } => format!(
                    "Column {:?} of table {name:?} holds {size} bytes, the value has {len}",
                    column_name(*column)
                ),
                TableError::Column { column } => {
                    format!(
                        "Column {:?} of table {name:?} is of another type",
                        column_name(*column)
                    )
                }
                _ => format!("Table {name:?}: {source}"),
            },
        }
    }
}

impl From<TableError> for Failure {
    fn from(source: TableError) -> Self {
        Self::Table(source)
    }
}

/// A pointer on its way to the end of its thread.
struct Owned(*mut Context);

impl Context {
    /// The functions of `table` for the thread of `env`, as an object.
    pub(super) fn expose(env: Env, table: Arc<Table>) -> Option<Raw> {
        let row_words = table.row_words();
        let (buffer, scratch) = scratch_buffer(env.raw(), row_words * 2)?;
        let (words_buffer, words) = scratch_buffer(env.raw(), WORDS)?;
        let texts = table
            .columns()
            .iter()
            .filter(|column| matches!(column.kind, ColumnKind::Text { .. }))
            .map(|column| column.offset as usize / 8)
            .collect();
        let kinds: Box<[ColumnKind]> = table.columns().iter().map(|column| column.kind).collect();
        let mut object = Object::new(&env).ok()?;
        let offsets: Vec<u32> = table.columns().iter().map(|column| column.offset).collect();
        object.set("offsets", offsets).ok()?;
        object.set("rowBytes", (row_words * 8) as u32).ok()?;
        object.set("capacity", table.capacity()).ok()?;
        object.set("scratch", Raw(buffer)).ok()?;
        object.set("words", Raw(words_buffer)).ok()?;
        let context = Box::into_raw(Box::new(Self {
            table,
            kinds,
            value: Vec::new(),
            texts,
            watches: HashMap::new(),
            failure: None,
            scratch,
            row_words,
            words,
        }));
        // The functions go with the environment, and no JavaScript runs any more when its hooks do.
        env.add_env_cleanup_hook(Owned(context), |Owned(context)| {
            // SAFETY: made by `Box::into_raw` above, and this is the only place that takes it back.
            drop(unsafe { Box::from_raw(context) });
        })
        .ok()?;
        // SAFETY: they take `data` for the context, and it lives as long as the environment.
        unsafe { define(env, &mut object, &CALLS, context.cast()) }.ok()?;
        Some(Raw(object.raw()))
    }

    /// The image to write, and the one that is expected.
    pub(super) fn images(&self) -> (&[u64], &[u64]) {
        // SAFETY: `scratch` points to twice `row_words` words that live as long as the context (`scratch_buffer`). JavaScript
        // writes to them only between calls, on this thread; nothing writes while they are borrowed.
        let both = unsafe { std::slice::from_raw_parts(self.scratch.as_ptr(), self.row_words * 2) };
        both.split_at(self.row_words)
    }

    /// The table and the image that it reads a row to.
    pub(super) fn parts(&mut self) -> (&Table, &mut [u64]) {
        // SAFETY: as in `images`, and the borrow of `self` keeps other slices of it away.
        let image =
            unsafe { std::slice::from_raw_parts_mut(self.scratch.as_ptr(), self.row_words) };
        (&self.table, image)
    }

    /// The texts of the row in the scratch buffer in `value`, one after the other. False when there are none, or not only short ASCII.
    pub(super) fn join_texts(&mut self) -> bool {
        if self.texts.is_empty() {
            return false;
        }
        let Self {
            texts,
            value,
            scratch,
            row_words,
            ..
        } = self;
        // SAFETY: as in `images`; nothing writes while it is borrowed.
        let image = unsafe { std::slice::from_raw_parts(scratch.as_ptr(), *row_words) };
        value.clear();
        for at in texts {
            // The length is another process's word: it is not trusted.
            let Some((first, rest)) = image.get(*at..).and_then(<[u64]>::split_first) else {
                return false;
            };
            let len = *first as u32 as usize;
            let Some(rest) = rest.get(..len.saturating_sub(4).div_ceil(8)) else {
                return false;
            };
            let end = value.len() + len;
            if end > JOINED_BYTES_MAX {
                return false;
            }
            value.extend_from_slice(&first.to_le_bytes()[4..]);
            for word in rest {
                value.extend_from_slice(&word.to_le_bytes());
            }
            value.truncate(end);
        }
        value.is_ascii()
    }

    /// Gives back what a long value took.
    pub(super) fn trim(&mut self) {
        if self.value.capacity() > VALUE_BYTES_KEPT {
            self.value = Vec::new();
        }
    }
}

/// An ArrayBuffer of `words` that is never collected before the environment ends, and its memory.
fn scratch_buffer(env: sys::napi_env, words: usize) -> Option<(sys::napi_value, NonNull<u64>)> {
    let mut data: *mut c_void = ptr::null_mut();
    let mut buffer = ptr::null_mut();
    let mut reference = ptr::null_mut();
    // SAFETY: `env` belongs to the current call. The reference is never deleted, so the buffer lives as long as the environment;
    // it never reaches user code, so nobody detaches it, and its memory does not move.
    let ok = unsafe {
        sys::napi_create_arraybuffer(env, words * 8, &raw mut data, &raw mut buffer)
            == sys::Status::napi_ok
            && sys::napi_create_reference(env, buffer, 1, &raw mut reference)
                == sys::Status::napi_ok
    };
    let words = NonNull::new(data.cast::<u64>()).filter(|words| words.is_aligned())?;
    ok.then_some((buffer, words))
}
