//! Cron jobs: which there are, as the cron worker says, and what is known of them.

use napi_derive::napi;
use sluice_core::ErrorCode;
use sluice_core::cron::{JobsError, Trigger};

use crate::error::{Result, error, internal};
use crate::server::server;
use crate::worker::with_worker;

/// The list of jobs, JSON, from the moment on in which the worker is activated. With `revives` jobs that were stopped go on again.
#[napi(catch_unwind)]
pub fn set_cron(worker: u32, jobs: String, revives: bool) -> Result<()> {
    match with_worker(worker, |worker| worker.set_cron(&jobs, revives)) {
        Some(Ok(())) => Ok(()),
        Some(Err(source @ JobsError::Malformed(_))) => Err(internal(source)),
        Some(Err(source)) => Err(error(ErrorCode::Cron, source)),
        None => Err(error(
            ErrorCode::InvalidState,
            format!("No attachment {worker}"),
        )),
    }
}

/// Ends a job until a list revives it. False when there is none of that name.
#[napi(catch_unwind)]
pub fn stop_cron(server: u32, name: String) -> Result<bool> {
    Ok(self::server(server)?.stop_cron_job(&name))
}

/// Runs a job now. 0 there is none of that name, 1 it runs and may not run more, 2 it runs when its predecessor is over, 3 it runs.
#[napi(catch_unwind)]
pub fn run_cron(server: u32, name: String) -> Result<u32> {
    Ok(match self::server(server)?.run_cron_job(&name) {
        Trigger::Unknown => 0,
        Trigger::Busy => 1,
        Trigger::Queued => 2,
        Trigger::Begun => 3,
    })
}

/// JSON of the jobs, with `count` next times each.
#[napi(catch_unwind)]
pub fn cron_list(server: u32, count: u32) -> Result<String> {
    serde_json::to_string(&self::server(server)?.cron_jobs(count as usize)).map_err(internal)
}
