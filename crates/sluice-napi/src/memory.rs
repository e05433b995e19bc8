//! Memory of the core as an ArrayBuffer. It must never reach user code: it shows every client's bytes.

use std::ffi::c_void;
use std::ptr;

use napi::sys;
use sluice_shared::MemoryView;

/// Makes an ArrayBuffer over `memory`. The memory is kept out of the pool until the buffer is collected.
pub(crate) fn array_buffer(env: sys::napi_env, memory: MemoryView) -> Option<sys::napi_value> {
    let (pointer, length) = (memory.as_ptr(), memory.len());
    let guard = Box::into_raw(Box::new(memory));
    let mut value = ptr::null_mut();
    // SAFETY: `env` is the environment of the current call; the memory is mapped for the life of the process and
    // readable and writable; `finalize` gets `guard`, which it alone turns back into its box.
    let status = unsafe {
        sys::napi_create_external_arraybuffer(
            env,
            pointer.cast::<c_void>(),
            length,
            Some(finalize),
            guard.cast::<c_void>(),
            &raw mut value,
        )
    };
    if status == sys::Status::napi_ok {
        return Some(value);
    }
    // SAFETY: the call failed, so the finalizer will not run and the box is still ours.
    drop(unsafe { Box::from_raw(guard) });
    None
}

/// Makes an ArrayBuffer over memory that lasts as long as the process.
///
/// # Safety
///
/// `length` bytes from `pointer` on are readable and writable until the process ends.
pub(crate) unsafe fn lasting_array_buffer(
    env: sys::napi_env,
    (pointer, length): (*mut u8, usize),
) -> Option<sys::napi_value> {
    let mut value = ptr::null_mut();
    // SAFETY: `env` is the environment of the current call, the memory is as the caller says, and nothing is freed with the buffer.
    let status = unsafe {
        sys::napi_create_external_arraybuffer(
            env,
            pointer.cast::<c_void>(),
            length,
            None,
            ptr::null_mut(),
            &raw mut value,
        )
    };
    (status == sys::Status::napi_ok).then_some(value)
}

/// # Safety
///
/// `hint` is the box made in [`array_buffer`]; Node-API calls this once.
unsafe extern "C" fn finalize(_env: sys::napi_env, _data: *mut c_void, hint: *mut c_void) {
    // SAFETY: see above. Dropping the guard unmaps nothing.
    drop(unsafe { Box::from_raw(hint.cast::<MemoryView>()) });
}
