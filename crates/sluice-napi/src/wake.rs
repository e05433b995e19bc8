//! Waking a thread's event loop: one payload-free threadsafe function each.

use std::ffi::c_void;
use std::ptr;

use napi::sys;
use sluice_server::WakeFn;

/// A threadsafe function without payload, made and released on the thread it wakes.
#[derive(Clone, Copy)]
pub(crate) struct Wake(sys::napi_threadsafe_function);

// SAFETY: a threadsafe function may be called from any thread; it is only released on its own, after the last
// `WakeFn` made of it was dropped.
unsafe impl Send for Wake {}
// SAFETY: as above; calls are synchronised inside Node-API.
unsafe impl Sync for Wake {}

impl Wake {
    /// Makes one that calls `callback` without arguments. Keeps the event loop alive until released.
    pub(crate) fn new(env: sys::napi_env, callback: sys::napi_value, name: &str) -> Option<Self> {
        let mut resource = ptr::null_mut();
        let mut function = ptr::null_mut();
        // SAFETY: `env` and `callback` belong to the current call; the name is copied. A queue of one is enough: a wake
        // that finds another one outstanding has nothing to add.
        let status = unsafe {
            sys::napi_create_string_utf8(
                env,
                name.as_ptr().cast(),
                name.len() as isize,
                &raw mut resource,
            );
            sys::napi_create_threadsafe_function(
                env,
                callback,
                ptr::null_mut(),
                resource,
                1,
                1,
                ptr::null_mut(),
                None,
                ptr::null_mut(),
                None,
                &raw mut function,
            )
        };
        (status == sys::Status::napi_ok).then_some(Self(function))
    }

    /// The function to be called by others. The caller drops it before [`release`](Self::release).
    pub(crate) fn function(self) -> WakeFn {
        Box::new(move || {
            let wake = self;
            // SAFETY: whoever holds this closure drops it, under the lock it is called under, before the threadsafe
            // function is released or its environment ends. "Queue full" means that a wake is on the way.
            let _ = unsafe {
                sys::napi_call_threadsafe_function(
                    wake.0,
                    ptr::null_mut::<c_void>(),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                )
            };
        })
    }

    /// Whether it keeps the event loop alive, as it does at first. On the thread that made it.
    pub(crate) fn hold(self, env: sys::napi_env, yes: bool) {
        // SAFETY: `env` belongs to the current call, and the function to this thread; it was not released.
        unsafe {
            if yes {
                sys::napi_ref_threadsafe_function(env, self.0);
            } else {
                sys::napi_unref_threadsafe_function(env, self.0);
            }
        }
    }

    /// Lets the event loop end. On the thread that made it, at most once, and not from an environment's cleanup hook:
    /// there Node closes it itself.
    pub(crate) fn release(self) {
        // SAFETY: see above; nobody calls it any more.
        unsafe {
            sys::napi_release_threadsafe_function(
                self.0,
                sys::ThreadsafeFunctionReleaseMode::abort,
            );
        }
    }
}
