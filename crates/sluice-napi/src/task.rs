//! Tasks as those see them who look after the server.

use napi_derive::napi;

use crate::error::{Result, internal};
use crate::server::server;

/// JSON of the queues and of the failed tasks.
#[napi(catch_unwind)]
pub fn task_list(server: u32) -> Result<String> {
    serde_json::to_string(&self::server(server)?.task_list()).map_err(internal)
}

/// Delivers a failed task again. False when there is none of that id.
#[napi(catch_unwind)]
pub fn retry_task(server: u32, id: f64) -> Result<bool> {
    // A number that is no id is the id of no task.
    Ok(self::server(server)?.retry_task(id as u64))
}

/// Forgets a failed task. False when there is none of that id.
#[napi(catch_unwind)]
pub fn forget_task(server: u32, id: f64) -> Result<bool> {
    Ok(self::server(server)?.forget_task(id as u64))
}
