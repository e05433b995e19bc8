//! Reading arguments of the hot calls, without objects and without allocation.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use napi::sys;
use sluice_server::ExchangeName;

/// The first `N` arguments of a call; missing ones read as `undefined`.
pub(crate) fn arguments<const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> [sys::napi_value; N] {
    call_info(env, info).0
}

/// The first `N` arguments of a call, how many there are, and what its function was made with.
#[inline]
pub(crate) fn call_info<const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> ([sys::napi_value; N], usize, *mut c_void) {
    let mut count = N;
    let mut values = [ptr::null_mut(); N];
    let mut data = ptr::null_mut();
    // SAFETY: `env` and `info` belong to the current call; `values` has room for `count`.
    unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            values.as_mut_ptr(),
            ptr::null_mut(),
            &raw mut data,
        );
    }
    (values, count, data)
}

/// Runs what a call does. A panic is a bug of ours; it must not unwind into Node, and one request is all it may cost.
pub(crate) fn guarded<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(otherwise)
}

/// The exchange that arguments 1 to 3 name.
pub(crate) fn exchange(env: sys::napi_env, values: &[sys::napi_value]) -> ExchangeName {
    ExchangeName {
        lane: uint32(env, values[1]),
        index: uint32(env, values[2]),
        generation: uint32(env, values[3]),
    }
}

/// A number as u32; 0 for anything else.
pub(crate) fn uint32(env: sys::napi_env, value: sys::napi_value) -> u32 {
    let mut number = 0;
    // SAFETY: `value` is an argument of the current call; on an error `number` stays as it is.
    unsafe { sys::napi_get_value_uint32(env, value, &raw mut number) };
    number
}

/// A number; NaN for anything else.
pub(crate) fn double(env: sys::napi_env, value: sys::napi_value) -> f64 {
    let mut number = f64::NAN;
    // SAFETY: as in `uint32`.
    unsafe { sys::napi_get_value_double(env, value, &raw mut number) };
    number
}

/// A boolean; false for anything else.
pub(crate) fn boolean(env: sys::napi_env, value: sys::napi_value) -> bool {
    let mut boolean = false;
    // SAFETY: as in `uint32`.
    unsafe { sys::napi_get_value_bool(env, value, &raw mut boolean) };
    boolean
}

type ReadString = unsafe extern "C" fn(
    sys::napi_env,
    sys::napi_value,
    *mut std::ffi::c_char,
    usize,
    *mut usize,
) -> sys::napi_status;

/// Appends a string to `out` as UTF-8. False if it is not a string.
pub(crate) fn append_utf8(env: sys::napi_env, value: sys::napi_value, out: &mut Vec<u8>) -> bool {
    append_string(env, value, out, sys::napi_get_value_string_utf8)
}

/// Appends a string to `out` as latin1. False if it is not a string.
pub(crate) fn append_latin1(env: sys::napi_env, value: sys::napi_value, out: &mut Vec<u8>) -> bool {
    append_string(env, value, out, sys::napi_get_value_string_latin1)
}

fn append_string(
    env: sys::napi_env,
    value: sys::napi_value,
    out: &mut Vec<u8>,
    read: ReadString,
) -> bool {
    /// The longest UTF-8 sequence and the NUL that Node-API appends.
    const SLACK: usize = 5;
    let mut room = 256;
    loop {
        out.reserve(room);
        let spare = out.spare_capacity_mut();
        room = spare.len();
        let mut length = 0;
        // SAFETY: `value` is an argument of the current call, and `room` bytes are writable.
        let status = unsafe { read(env, value, spare.as_mut_ptr().cast(), room, &raw mut length) };
        if status != sys::Status::napi_ok {
            return false;
        }
        if length + SLACK <= room {
            // SAFETY: Node-API has written `length` bytes behind the old length, within the capacity.
            unsafe { out.set_len(out.len() + length) };
            return true;
        }
        // It may have been cut. Ask how long it is, once.
        let mut needed = 0;
        // SAFETY: without a buffer only the length is written.
        unsafe { read(env, value, ptr::null_mut(), 0, &raw mut needed) };
        room = needed + SLACK;
    }
}

/// The bytes of a Uint8Array (a Buffer is one), or `None` for anything else. Valid until the call returns.
pub(crate) fn bytes<'call>(env: sys::napi_env, value: sys::napi_value) -> Option<&'call [u8]> {
    let (data, length) = span(env, value)?;
    // SAFETY: so many bytes are there, and the call runs no JavaScript: nobody writes, detaches or moves them before it returns.
    Some(unsafe { std::slice::from_raw_parts(data.as_ptr(), length) })
}

/// As [`bytes`], to be written to.
///
/// # Safety
///
/// Nobody else has these bytes before the call returns: the caller reads the argument once, and no other that could share its memory.
pub(crate) unsafe fn bytes_mut<'call>(
    env: sys::napi_env,
    value: sys::napi_value,
) -> Option<&'call mut [u8]> {
    let (data, length) = span(env, value)?;
    // SAFETY: as in `bytes`, and the caller vouches that there is no other slice of them.
    Some(unsafe { std::slice::from_raw_parts_mut(data.as_ptr(), length) })
}

/// Where the bytes of a Uint8Array are, and how many.
fn span(env: sys::napi_env, value: sys::napi_value) -> Option<(NonNull<u8>, usize)> {
    let mut kind = 0;
    let mut length = 0;
    let mut data = ptr::null_mut();
    // SAFETY: `value` is an argument of the current call.
    let status = unsafe {
        let mut is_typed = false;
        sys::napi_is_typedarray(env, value, &raw mut is_typed);
        if !is_typed {
            return None;
        }
        sys::napi_get_typedarray_info(
            env,
            value,
            &raw mut kind,
            &raw mut length,
            &raw mut data,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    // The element type is checked before anybody uses the pointer.
    if status != sys::Status::napi_ok || kind != sys::TypedarrayType::uint8_array {
        return None;
    }
    Some(NonNull::new(data.cast()).map_or((NonNull::dangling(), 0), |data| (data, length)))
}

/// `true` or `false` as a JavaScript value.
pub(crate) fn from_bool(env: sys::napi_env, boolean: bool) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: `env` belongs to the current call.
    unsafe { sys::napi_get_boolean(env, boolean, &raw mut value) };
    value
}

/// A number as a JavaScript value.
pub(crate) fn from_i32(env: sys::napi_env, number: i32) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: `env` belongs to the current call.
    unsafe { sys::napi_create_int32(env, number, &raw mut value) };
    value
}

/// A number as a JavaScript value.
pub(crate) fn from_double(env: sys::napi_env, number: f64) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: `env` belongs to the current call.
    unsafe { sys::napi_create_double(env, number, &raw mut value) };
    value
}

/// Bytes as a Buffer of their own, or `undefined`.
pub(crate) fn from_bytes(env: sys::napi_env, bytes: Option<&[u8]>) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: `env` belongs to the current call; the bytes are copied.
    unsafe {
        match bytes {
            Some(bytes) => sys::napi_create_buffer_copy(
                env,
                bytes.len(),
                bytes.as_ptr().cast(),
                ptr::null_mut(),
                &raw mut value,
            ),
            None => sys::napi_get_undefined(env, &raw mut value),
        };
    }
    value
}

/// A text as a string, or `null`.
pub(crate) fn from_text(env: sys::napi_env, text: Option<&str>) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: `env` belongs to the current call; the text is copied.
    unsafe {
        match text {
            Some(text) => sys::napi_create_string_utf8(
                env,
                text.as_ptr().cast(),
                text.len() as isize,
                &raw mut value,
            ),
            None => sys::napi_get_null(env, &raw mut value),
        };
    }
    value
}
