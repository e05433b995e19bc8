//! The shared timers, for every thread of a server.

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use serde::Serialize;
use sluice_core::ErrorCode;
use sluice_server::{Calling, SetError};

use crate::call::Numbers;
use crate::error::{Result, error, internal};
use crate::server::server;

/// Sets a timer that calls `task` with `input` in `ms` milliseconds, with `repeats` every `ms`, so as `options` say, which are those of `submitTask`, or once.
/// 1 it is set, 0 there is one of that name, -1 there are as many as there may be, -2 the input is too long, -3 there is never such a worker.
#[napi(catch_unwind)]
pub fn set_timer(
    server: u32,
    name: String,
    task: String,
    input: Uint8Array,
    ms: f64,
    repeats: bool,
    options: Option<Uint8Array>,
) -> Result<i32> {
    // A number that JavaScript has checked; others are cut to the range.
    let ms = ms as u64;
    let numbers = Numbers::read(options.as_deref());
    let calling = numbers.map_or_else(Calling::default, |numbers| numbers.calling());
    match self::server(server)?.set_timer(&name, &task, calling, &input, ms, repeats) {
        Ok(is_new) => Ok(i32::from(is_new)),
        Err(SetError::Full) => Ok(-1),
        Err(SetError::Input(_)) => Ok(-2),
        Err(SetError::Place) => Ok(-3),
        Err(source @ SetError::Name) => Err(error(ErrorCode::InvalidArg, source)),
    }
}

/// Clears a timer. False when there is none of that name.
#[napi(catch_unwind)]
pub fn clear_timer(server: u32, name: String) -> Result<bool> {
    Ok(self::server(server)?.clear_timer(&name))
}

/// Clears every timer; how many there were.
#[napi(catch_unwind)]
pub fn clear_timers(server: u32) -> Result<u32> {
    let count = self::server(server)?.clear_timers();
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Whether there is a timer of that name.
#[napi(catch_unwind)]
pub fn has_timer(server: u32, name: String) -> Result<bool> {
    Ok(self::server(server)?.has_timer(&name))
}

#[derive(Serialize)]
struct Info {
    next: u64,
    interval: u64,
    count: u32,
}

/// JSON `{ next, interval, count }`, or null when there is no timer of that name.
#[napi(catch_unwind)]
pub fn timer_info(server: u32, name: String) -> Result<Option<String>> {
    let info = self::server(server)?.timer_info(&name).map(|info| Info {
        next: info.next,
        interval: info.interval,
        count: info.count,
    });
    info.map(|info| serde_json::to_string(&info).map_err(internal))
        .transpose()
}

/// The names of all timers, in no order.
#[napi(catch_unwind)]
pub fn timer_names(server: u32) -> Result<Vec<String>> {
    Ok(self::server(server)?.timer_names())
}
