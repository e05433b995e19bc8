//! The cold calls: a table's functions for the calling thread, and where tables live.

use std::path::PathBuf;

use napi::Env;
use napi_derive::napi;
use sluice_core::ErrorCode;
use sluice_shared::table::TableSpec;

use super::context::Context;
use super::registry;
use crate::error::{Result, error, internal};
use crate::worker::Raw;

/// The table of that name, made if there is none, as functions for the calling thread; see `NativeTable` in `src-ts/table/native-table.ts`.
/// `spec` is JSON.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn open_table(env: Env, name: String, spec: String) -> Result<Raw> {
    let spec: TableSpec = serde_json::from_str(&spec).map_err(|source| {
        error(
            ErrorCode::InvalidArg,
            format!("Not the description of a table: {source}"),
        )
    })?;
    let table = registry::open(&name, &spec)?;
    Context::expose(env, table).ok_or_else(|| internal("Cannot make the functions of a table"))
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
