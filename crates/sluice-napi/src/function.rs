//! Functions of an object that are written against Node-API itself.

use std::ffi::c_void;
use std::ptr;

use napi::bindgen_prelude::Object;
use napi::{Env, sys};

use crate::error::{Result, internal};
use crate::worker::Raw;

/// What Node-API calls.
pub(crate) type Call =
    unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// Gives an object functions by their names. Each gets `data` with every call.
///
/// # Safety
///
/// What the functions do with `data` must be right for as long as they can be called: until the environment ends.
pub(crate) unsafe fn define(
    env: Env,
    object: &mut Object<'_>,
    calls: &[(&str, Call)],
    data: *mut c_void,
) -> Result<()> {
    for &(name, call) in calls {
        let mut function = ptr::null_mut();
        // SAFETY: `env` belongs to the current call; the callback is a plain function that lives as long as the addon, which
        // is never unloaded, and the caller vouches for `data`.
        let status = unsafe {
            sys::napi_create_function(
                env.raw(),
                name.as_ptr().cast(),
                name.len() as isize,
                Some(call),
                data,
                &raw mut function,
            )
        };
        if status != sys::Status::napi_ok {
            return Err(internal(format!("Cannot make the function {name}")));
        }
        object.set(name, Raw(function)).map_err(internal)?;
    }
    Ok(())
}
