//! The calls of every request, written against Node-API itself: they take numbers, strings and byte arrays, make no
//! objects, allocate nothing for small answers and never throw.

use std::cell::RefCell;
use std::ptr;

use napi::bindgen_prelude::Object;
use napi::{Env, sys};
use napi_derive::napi;
use sluice_server::{AnswerBody, AnswerMeta};

use crate::error::{Result, internal};
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

/// The hot calls as an object, taken once per thread.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn worker_calls(env: Env) -> Result<Raw> {
    let calls: [(&str, sys::napi_callback); 11] = [
        ("respond", Some(respond)),
        ("respondHead", Some(respond_head)),
        ("respondChunk", Some(respond_chunk)),
        ("respondEnd", Some(respond_end)),
        ("respondFile", Some(crate::file::respond_file)),
        ("respondReset", Some(respond_reset)),
        ("credit", Some(credit)),
        ("markIdempotent", Some(mark_idempotent)),
        ("takeBlob", Some(take_blob)),
        ("connectionInfo", Some(connection_info)),
        ("flush", Some(flush)),
    ];
    let mut object = Object::new(&env).map_err(internal)?;
    let sockets = crate::socket::CALLS.map(|(name, call)| (name, Some(call)));
    let packets = crate::packet::CALLS.map(|(name, call)| (name, Some(call)));
    let locks = crate::lock::CALLS.map(|(name, call)| (name, Some(call)));
    let caches = crate::cache::CALLS.map(|(name, call)| (name, Some(call)));
    let rates = crate::rate_limit::CALLS.map(|(name, call)| (name, Some(call)));
    let atomics = crate::atomic::CALLS.map(|(name, call)| (name, Some(call)));
    let tasks = crate::call::CALLS.map(|(name, call)| (name, Some(call)));
    let all = calls
        .into_iter()
        .chain(sockets)
        .chain(packets)
        .chain(locks)
        .chain(atomics)
        .chain(tasks)
        .chain(caches)
        .chain(rates);
    for (name, callback) in all {
        let mut function = ptr::null_mut();
        // SAFETY: `env` belongs to the current call; the callback is a plain function that lives as long as the addon,
        // which is never unloaded.
        let status = unsafe {
            sys::napi_create_function(
                env.raw(),
                name.as_ptr().cast(),
                name.len() as isize,
                callback,
                ptr::null_mut(),
                &raw mut function,
            )
        };
        if status != sys::Status::napi_ok {
            return Err(internal(format!("Cannot make the function {name}")));
        }
        object.set(name, Raw(function)).map_err(internal)?;
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
