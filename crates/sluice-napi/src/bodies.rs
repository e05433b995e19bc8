//! Bodies beyond handing them over, and requests that are answered elsewhere.

use napi_derive::napi;
use sluice_server::{AnswerMeta, ExchangeName};

use crate::worker::with_worker;

/// Whether an answer is compressed if `meta` names a coding.
#[napi(catch_unwind)]
pub fn may_encode(worker: u32, meta: u32, headers: String, length: f64) -> bool {
    let meta = AnswerMeta::unpack(meta);
    with_worker(worker, |worker| {
        worker.may_encode(meta, headers.as_bytes(), length as u64)
    })
    .unwrap_or(false)
}

/// Lets go of an exchange that somebody else will answer. A token for `claimExchange`, or -1.
#[napi(catch_unwind)]
pub fn detach_exchange(worker: u32, lane: u32, index: u32, generation: u32) -> f64 {
    let name = ExchangeName {
        lane,
        index,
        generation,
    };
    with_worker(worker, |worker| worker.detach(name))
        .flatten()
        .map_or(-1.0, |token| token as f64)
}

/// Takes a detached exchange over: its generation from now on, or -1.
#[napi(catch_unwind)]
pub fn claim_exchange(worker: u32, lane: u32, index: u32, token: f64) -> f64 {
    with_worker(worker, |worker| worker.claim(lane, index, token as u64))
        .flatten()
        .map_or(-1.0, |name| f64::from(name.generation))
}
