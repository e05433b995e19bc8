//! The calls of connections that outlive their request, as [`hot`](crate::hot) has those of exchanges: plain Node-API
//! functions that take numbers, strings and byte arrays, and never throw.

use std::cell::RefCell;

use napi::sys;
use sluice_core::channel::ChannelKind;
use sluice_server::{MessageKind, PostFlags, Worker};

use crate::function::Call;
use crate::value::{
    append_latin1, append_utf8, arguments, boolean, bytes, double, exchange, from_bool, from_bytes,
    from_i32, from_text, guarded, uint32,
};
use crate::worker::with_worker;

/// What a large message may leave allocated on its thread.
const SCRATCH_BYTES: usize = 256 * 1024;

thread_local! {
    /// Where strings are decoded.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(4096));
}

/// The functions, by the name that they have in JavaScript.
pub(crate) const CALLS: [(&str, Call); 25] = [
    ("upgrade", upgrade),
    ("eventStream", event_stream),
    ("attachConnection", attach_connection),
    ("detachConnection", detach_connection),
    ("send", send),
    ("bufferedAmount", buffered_amount),
    ("isConnectionOpen", is_connection_open),
    ("closeConnection", close_connection),
    ("terminateConnection", terminate_connection),
    ("pauseConnection", pause_connection),
    ("resumeConnection", resume_connection),
    ("returnMessage", return_message),
    ("release", release),
    ("settled", settled),
    ("protectConnection", protect_connection),
    ("takeMessage", take_message),
    ("joinChannel", join_channel),
    ("leaveChannel", leave_channel),
    ("channelsOf", channels_of),
    ("bindUid", bind_uid),
    ("setConnectionState", set_connection_state),
    ("connectionState", connection_state),
    ("handshakeOf", handshake_of),
    ("publish", publish),
    ("pushTo", push_to),
];

/// Calls `act` with the attachment that the first argument names.
pub(crate) fn on_worker<T>(
    env: sys::napi_env,
    values: &[sys::napi_value],
    otherwise: T,
    act: impl FnOnce(&mut Worker) -> T,
) -> T {
    guarded(None, || with_worker(uint32(env, values[0]), act)).unwrap_or(otherwise)
}

/// A string argument as UTF-8; empty for anything else.
fn text(env: sys::napi_env, value: sys::napi_value) -> String {
    let mut text = Vec::new();
    append_utf8(env, value, &mut text);
    // Node-API writes UTF-8, with U+FFFD for lone surrogates.
    String::from_utf8(text).unwrap_or_default()
}

/// A string argument; `None` for anything else.
fn optional_text(env: sys::napi_env, value: sys::napi_value) -> Option<String> {
    let mut text = Vec::new();
    append_utf8(env, value, &mut text).then(|| String::from_utf8(text).unwrap_or_default())
}

/// Calls `act` with the bytes of a string or a byte array.
pub(crate) fn with_data<T>(
    env: sys::napi_env,
    value: sys::napi_value,
    otherwise: T,
    act: impl FnOnce(&[u8]) -> T,
) -> T {
    guarded(otherwise, || {
        if let Some(data) = bytes(env, value) {
            return act(data);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            append_utf8(env, value, scratch);
            let result = act(scratch);
            if scratch.capacity() > SCRATCH_BYTES {
                *scratch = Vec::with_capacity(4096);
            }
            result
        })
    })
}

/// A connection id as JavaScript has it; 0, which no connection has, for anything that is none.
pub(crate) fn id_of(number: f64) -> u64 {
    /// Whole numbers up to here are exact.
    const LARGEST: f64 = 9_007_199_254_740_991.0;
    if (1.0..=LARGEST).contains(&number) {
        number as u64
    } else {
        0
    }
}

fn connection_id(env: sys::napi_env, value: sys::napi_value) -> u64 {
    id_of(double(env, value))
}

pub(crate) fn channel_kind(number: u32) -> ChannelKind {
    match number {
        1 => ChannelKind::Group,
        2 => ChannelKind::Uid,
        _ => ChannelKind::Topic,
    }
}

extern "C" fn upgrade(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<8>(env, info);
    let done = on_worker(env, &values, false, |worker| {
        let mut headers = Vec::new();
        append_latin1(env, values[4], &mut headers);
        let protocol = text(env, values[5]);
        let settings = bytes(env, values[6]).unwrap_or_default();
        let state = bytes(env, values[7]).unwrap_or_default();
        worker.upgrade(exchange(env, &values), &headers, &protocol, settings, state)
    });
    from_bool(env, done)
}

extern "C" fn event_stream(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<6>(env, info);
    let done = on_worker(env, &values, false, |worker| {
        let mut headers = Vec::new();
        append_latin1(env, values[4], &mut headers);
        worker.event_stream(exchange(env, &values), &headers, &text(env, values[5]))
    });
    from_bool(env, done)
}

extern "C" fn attach_connection(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let id = connection_id(env, values[1]);
    let handle = on_worker(env, &values, None, |worker| worker.attach_connection(id));
    from_i32(
        env,
        handle
            .and_then(|handle| i32::try_from(handle).ok())
            .unwrap_or(-1),
    )
}

extern "C" fn detach_connection(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let handle = uint32(env, values[1]);
    on_worker(env, &values, (), |worker| worker.detach_connection(handle));
    from_bool(env, true)
}

extern "C" fn send(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    let handle = uint32(env, values[1]);
    let kind = MessageKind(uint32(env, values[3]));
    let result = with_data(env, values[2], 0, |data| {
        with_worker(uint32(env, values[0]), |worker| {
            worker.send(handle, data, kind)
        })
        .unwrap_or(0)
    });
    from_i32(env, result)
}

extern "C" fn buffered_amount(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let handle = uint32(env, values[1]);
    let amount = on_worker(env, &values, 0, |worker| worker.buffered_amount(handle));
    from_i32(env, i32::try_from(amount).unwrap_or(i32::MAX))
}

extern "C" fn is_connection_open(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let handle = uint32(env, values[1]);
    let is_open = on_worker(env, &values, false, |worker| {
        worker.is_connection_open(handle)
    });
    from_bool(env, is_open)
}

extern "C" fn close_connection(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    let (handle, code) = (uint32(env, values[1]), uint32(env, values[2]) as u16);
    let reason = text(env, values[3]);
    let done = on_worker(env, &values, false, |worker| {
        worker.close_connection(handle, code, &reason)
    });
    from_bool(env, done)
}

extern "C" fn terminate_connection(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let handle = uint32(env, values[1]);
    let done = on_worker(env, &values, false, |worker| {
        worker.terminate_connection(handle)
    });
    from_bool(env, done)
}

extern "C" fn pause_connection(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let handle = uint32(env, values[1]);
    on_worker(env, &values, (), |worker| worker.pause_connection(handle));
    from_bool(env, true)
}

extern "C" fn resume_connection(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let (handle, next) = (uint32(env, values[1]), uint32(env, values[2]));
    on_worker(env, &values, (), |worker| {
        worker.resume_connection(handle, next)
    });
    from_bool(env, true)
}

extern "C" fn return_message(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<6>(env, info);
    let number = |index: usize| uint32(env, values[index]);
    let data = bytes(env, values[5]).unwrap_or_default();
    on_worker(env, &values, (), |worker| {
        worker.return_message(number(1), number(2), number(3), number(4), data);
    });
    from_bool(env, true)
}

extern "C" fn release(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let (handle, next) = (uint32(env, values[1]), uint32(env, values[2]));
    on_worker(env, &values, (), |worker| worker.release(handle, next));
    from_bool(env, true)
}

extern "C" fn settled(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let (handle, next) = (uint32(env, values[1]), uint32(env, values[2]));
    on_worker(env, &values, (), |worker| worker.settled(handle, next));
    from_bool(env, true)
}

extern "C" fn protect_connection(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let handle = uint32(env, values[1]);
    let yes = boolean(env, values[2]);
    on_worker(env, &values, (), |worker| {
        worker.protect_connection(handle, yes)
    });
    from_bool(env, true)
}

extern "C" fn take_message(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    let number = |index: usize| uint32(env, values[index]);
    let message = on_worker(env, &values, None, |worker| {
        worker.take_message(number(1), number(2), number(3))
    });
    from_bytes(env, message.as_deref())
}

extern "C" fn join_channel(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    let (handle, kind) = (uint32(env, values[1]), channel_kind(uint32(env, values[2])));
    let name = text(env, values[3]);
    let done = on_worker(env, &values, false, |worker| {
        worker.join_channel(handle, kind, &name)
    });
    from_bool(env, done)
}

extern "C" fn leave_channel(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    let (handle, kind) = (uint32(env, values[1]), channel_kind(uint32(env, values[2])));
    let name = text(env, values[3]);
    let done = on_worker(env, &values, false, |worker| {
        worker.leave_channel(handle, kind, &name)
    });
    from_bool(env, done)
}

extern "C" fn channels_of(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let (handle, kind) = (uint32(env, values[1]), channel_kind(uint32(env, values[2])));
    let names = on_worker(env, &values, Vec::new(), |worker| {
        worker.channels_of(handle, kind)
    });
    from_text(env, serde_json::to_string(&names).ok().as_deref())
}

extern "C" fn bind_uid(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let handle = uint32(env, values[1]);
    let uid = optional_text(env, values[2]);
    let done = on_worker(env, &values, false, |worker| {
        worker.bind_uid(handle, uid.as_deref())
    });
    from_bool(env, done)
}

extern "C" fn set_connection_state(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let handle = uint32(env, values[1]);
    let state = bytes(env, values[2]);
    let done = on_worker(env, &values, false, |worker| {
        worker.set_connection_state(handle, state)
    });
    from_bool(env, done)
}

extern "C" fn connection_state(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let handle = uint32(env, values[1]);
    let state = on_worker(env, &values, None, |worker| worker.connection_state(handle));
    from_bytes(env, state.as_deref())
}

extern "C" fn handshake_of(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let handle = uint32(env, values[1]);
    let handshake = on_worker(env, &values, None, |worker| worker.handshake_of(handle));
    let json = handshake.and_then(|handshake| serde_json::to_string(&handshake).ok());
    from_text(env, json.as_deref())
}

/// The attachment that a call of any thread goes through; `None`: the thread has none.
fn attachment(env: sys::napi_env, value: sys::napi_value) -> Option<u32> {
    let number = double(env, value);
    (number >= 0.0).then_some(number as u32)
}

extern "C" fn publish(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<8>(env, info);
    let kind = channel_kind(uint32(env, values[2]));
    let name = text(env, values[3]);
    let message = MessageKind(uint32(env, values[5]));
    let flags = PostFlags(uint32(env, values[6]));
    let except = Some(connection_id(env, values[7])).filter(|&id| id > 0);
    let count = with_data(env, values[4], 0, |data| {
        if let Some(worker) = attachment(env, values[1]) {
            return with_worker(worker, |worker| {
                worker.publish(kind, &name, data, message, flags, except)
            })
            .unwrap_or(0);
        }
        match crate::server::server(uint32(env, values[0])) {
            Ok(server) => server.publish(kind, &name, data, message, flags, except),
            Err(_) => 0,
        }
    });
    from_i32(env, i32::try_from(count).unwrap_or(i32::MAX))
}

extern "C" fn push_to(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<5>(env, info);
    let id = connection_id(env, values[2]);
    let message = MessageKind(uint32(env, values[4]));
    let result = with_data(env, values[3], 0, |data| {
        if let Some(worker) = attachment(env, values[1]) {
            return with_worker(worker, |worker| worker.push_to(id, data, message)).unwrap_or(0);
        }
        match crate::server::server(uint32(env, values[0])) {
            Ok(server) => server.push_to(id, data, message),
            Err(_) => 0,
        }
    });
    from_i32(env, result)
}
