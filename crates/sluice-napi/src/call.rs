//! Calls of tasks in the hands of a worker.

use napi::sys;
use sluice_server::Outcome;

use crate::function::Call;
use crate::socket::on_worker;
use crate::value::{arguments, double, from_bool, uint32};

/// The functions, by the name that they have in JavaScript.
pub(crate) const CALLS: [(&str, Call); 2] = [("beginCall", begin_call), ("endCall", end_call)];

extern "C" fn begin_call(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let id = double(env, values[1]) as u64;
    let may = on_worker(env, &values, false, |worker| worker.begin_call(id));
    from_bool(env, may)
}

extern "C" fn end_call(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let id = double(env, values[1]) as u64;
    let outcome = match uint32(env, values[2]) {
        0 => Outcome::Done,
        1 => Outcome::Failed,
        _ => Outcome::Unknown,
    };
    let done = on_worker(env, &values, false, |worker| {
        worker.end_call(id, outcome);
        true
    });
    from_bool(env, done)
}
