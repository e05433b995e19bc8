//! The cold calls: a table's functions for the calling thread, and where tables live.

use std::path::{Path, PathBuf};
use std::time::Duration;

use napi::Env;
use napi_derive::napi;
use sluice_core::ErrorCode;
use sluice_shared::table::TableSpec;

use super::context::Context;
use super::persist::Persist;
use super::registry;
use crate::error::{Result, error, internal};
use crate::worker::Raw;

/// The table of that name, made if there is none, as functions for the calling thread; see `NativeTable` in `src-ts/table/native-table.ts`.
/// `spec` is JSON. `persist`: where its rows are kept over restarts, written every so many milliseconds.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn open_table(
    env: Env,
    name: String,
    spec: String,
    persist: Option<String>,
    persist_every: Option<f64>,
) -> Result<Raw> {
    let spec: TableSpec = serde_json::from_str(&spec).map_err(|source| {
        error(
            ErrorCode::InvalidArg,
            format!("Not the description of a table: {source}"),
        )
    })?;
    let persist = match persist {
        Some(path) => Some(Persist {
            path: std::path::absolute(path).map_err(internal)?,
            every: Duration::from_millis(persist_every.unwrap_or(10_000.0) as u64),
        }),
        None => None,
    };
    let table = registry::open(&name, &spec, persist)?;
    Context::expose(env, table).ok_or_else(|| internal("Cannot make the functions of a table"))
}

/// The table in the file `path`, which another process has made, as functions for the calling thread.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn attach_table(env: Env, path: String) -> Result<Raw> {
    let table = registry::attach(Path::new(&path))?;
    Context::expose(env, table).ok_or_else(|| internal("Cannot make the functions of a table"))
}

/// JSON of what the table in the file `path` says of itself: `{ name, spec }`.
#[napi(catch_unwind)]
pub fn describe_table(path: String) -> Result<String> {
    let table = registry::attach(Path::new(&path))?;
    let description = serde_json::json!({ "name": table.name(), "spec": table.spec() });
    Ok(description.to_string())
}

/// From now on tables of this process are files in `directory`, which exists.
#[napi(catch_unwind)]
pub fn use_tables_directory(directory: String) {
    registry::use_directory(PathBuf::from(directory));
}

/// Removes the files of the tables and forgets them, as a server does that has stopped.
#[napi(catch_unwind)]
pub fn release_tables_directory() {
    registry::release_directory();
}
