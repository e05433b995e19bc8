//! The calls of every request, written against Node-API itself: they take numbers, strings and byte arrays, make no
//! objects, allocate nothing for small answers and never throw.

use std::cell::RefCell;
use std::ptr;

use napi::bindgen_prelude::Object;
use napi::{Env, sys};
use napi_derive::napi;
use sluice_server::{AnswerBody, AnswerMeta};

use crate::error::{Result, internal};
use crate::function::{Call, define};
use crate::value::{
    append_latin1, append_utf8, arguments, boolean, bytes, double, exchange, from_bool, from_bytes,
    from_text, guarded, uint32,
};
use crate::worker::{Raw, with_worker};

/// What a large answer may leave allocated on its thread.
const SCRATCH_BYTES: usize = 256 * 1024;

/// Where strings are decoded, per thread.
#[derive(Default)]
struct Scratch {
    headers: Vec<u8>,
    body: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        headers: Vec::with_capacity(1024),
        body: Vec::with_capacity(4096),
    });
}

const CALLS: [(&str, Call); 11] = [
    ("respond", respond),
    ("respondHead", respond_head),
    ("respondChunk", respond_chunk),
    ("respondEnd", respond_end),
    ("respondFile", crate::file::respond_file),
    ("respondReset", respond_reset),
    ("credit", credit),
    ("markIdempotent", mark_idempotent),
    ("takeBlob", take_blob),
    ("connectionInfo", connection_info),
    ("flush", flush),
];

/// The hot calls as an object, taken once per thread.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn worker_calls(env: Env) -> Result<Raw> {
    let mut object = Object::new(&env).map_err(internal)?;
    let all: [&[(&str, Call)]; 8] = [
        &CALLS,
        &crate::socket::CALLS,
        &crate::packet::CALLS,
        &crate::lock::CALLS,
        &crate::atomic::CALLS,
        &crate::call::CALLS,
        &crate::cache::CALLS,
        &crate::rate_limit::CALLS,
    ];
    for calls in all {
        // SAFETY: none of them uses its data.
        unsafe { define(env, &mut object, calls, ptr::null_mut()) }?;
    }
    Ok(Raw(napi::bindgen_prelude::JsValue::raw(&object)))
}

/// Tells JavaScript whether a call has done what it says; not, if it panicked.
fn answered(env: sys::napi_env, call: impl FnOnce() -> bool) -> sys::napi_value {
    from_bool(env, guarded(false, call))
}

/// Calls `act` with a body argument, wherever its bytes are.
fn with_body(
    env: sys::napi_env,
    value: sys::napi_value,
    scratch: &mut Vec<u8>,
    act: impl FnOnce(&[u8]) -> bool,
) -> bool {
    scratch.clear();
    let done = if append_utf8(env, value, scratch) {
        act(scratch)
    } else {
        act(bytes(env, value).unwrap_or(&[]))
    };
    if scratch.capacity() > SCRATCH_BYTES {
        *scratch = Vec::with_capacity(4096);
    }
    done
}

extern "C" fn respond(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<7>(env, info);
    answered(env, || {
        SCRATCH.with_borrow_mut(|Scratch { headers, body }| {
            headers.clear();
            append_latin1(env, values[5], headers);
            let name = exchange(env, &values);
            let meta = AnswerMeta::unpack(uint32(env, values[4]));
            with_body(env, values[6], body, |body| {
                with_worker(uint32(env, values[0]), |worker| {
                    worker.respond(name, meta, headers, &AnswerBody::Bytes(body))
                })
                .unwrap_or(false)
            })
        })
    })
}

extern "C" fn respond_head(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<7>(env, info);
    answered(env, || {
        SCRATCH.with_borrow_mut(|Scratch { headers, .. }| {
            headers.clear();
            append_latin1(env, values[5], headers);
            let length = double(env, values[6]);
            let length = (length >= 0.0).then_some(length as u64);
            let meta = AnswerMeta::unpack(uint32(env, values[4]));
            with_worker(uint32(env, values[0]), |worker| {
                worker.respond_head(exchange(env, &values), meta, headers, length)
            })
            .unwrap_or(false)
        })
    })
}

extern "C" fn respond_chunk(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<6>(env, info);
    answered(env, || {
        SCRATCH.with_borrow_mut(|Scratch { body, .. }| {
            let name = exchange(env, &values);
            let want_drain = boolean(env, values[5]);
            with_body(env, values[4], body, |data| {
                with_worker(uint32(env, values[0]), |worker| {
                    worker.respond_chunk(name, data, want_drain)
                })
                .unwrap_or(false)
            })
        })
    })
}

extern "C" fn respond_end(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    answered(env, || {
        with_worker(uint32(env, values[0]), |worker| {
            worker.respond_end(exchange(env, &values))
        })
        .unwrap_or(false)
    })
}

extern "C" fn respond_reset(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    answered(env, || {
        with_worker(uint32(env, values[0]), |worker| {
            worker.respond_reset(exchange(env, &values))
        })
        .unwrap_or(false)
    })
}

extern "C" fn credit(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<5>(env, info);
    answered(env, || {
        with_worker(uint32(env, values[0]), |worker| {
            worker.credit(exchange(env, &values), uint32(env, values[4]))
        })
        .unwrap_or(false)
    })
}

extern "C" fn mark_idempotent(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    answered(env, || {
        with_worker(uint32(env, values[0]), |worker| {
            worker.mark_idempotent(exchange(env, &values))
        })
        .unwrap_or(false)
    })
}

extern "C" fn take_blob(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    let blob = guarded(None, || {
        with_worker(uint32(env, values[0]), |worker| {
            worker.take_blob(exchange(env, &values))
        })
        .flatten()
    });
    from_bytes(env, blob.as_deref())
}

extern "C" fn connection_info(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    let json = guarded(None, || {
        let info = with_worker(uint32(env, values[0]), |worker| {
            worker.connection_info(exchange(env, &values))
        })??;
        serde_json::to_string(&info).ok()
    });
    from_text(env, json.as_deref())
}

extern "C" fn flush(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<1>(env, info);
    answered(env, || {
        with_worker(uint32(env, values[0]), sluice_server::Worker::flush).is_some()
    })
}
