//! Bodies beyond handing them over.

use napi_derive::napi;
use sluice_server::AnswerMeta;

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
