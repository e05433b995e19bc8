//! Keys as JavaScript gives them.

use std::mem::MaybeUninit;
use std::ptr;

use napi::sys;
use sluice_shared::table::{KEY_BYTES_MAX, TableError};

use super::context::Failure;

/// Characters of the longest key, and room to see that one is longer: Node-API adds a NUL.
const UNITS: usize = KEY_BYTES_MAX + 9;
/// Bytes of the longest key, and room to see that one is longer: Node-API cuts before a character that does not fit, and adds a NUL.
const ROOM: usize = KEY_BYTES_MAX + 8;
/// Characters that are looked at at once, whether the key has as many or not. Most have no more.
const SHORT: usize = 32;

/// A key on the stack. Its bytes are not zeroed first: that would take as long as finding the row.
pub(super) struct Key {
    units: [MaybeUninit<u16>; UNITS],
    bytes: [MaybeUninit<u8>; ROOM],
}

impl Key {
    #[inline]
    pub(super) fn new() -> Self {
        Key {
            units: [MaybeUninit::uninit(); UNITS],
            bytes: [MaybeUninit::uninit(); ROOM],
        }
    }

    /// Reads a key in place: as the result of a call it would be copied.
    ///
    /// Its characters are fetched and made ASCII here, which takes half of what it takes Node-API to make UTF-8.
    #[inline]
    pub(super) fn read(
        &mut self,
        env: sys::napi_env,
        value: sys::napi_value,
    ) -> Result<&[u8], Failure> {
        let mut len = 0;
        for unit in &mut self.units[..SHORT] {
            unit.write(0);
        }
        // SAFETY: `value` is an argument of the current call, and `units` has the room that is told.
        let status = unsafe {
            sys::napi_get_value_string_utf16(
                env,
                value,
                self.units.as_mut_ptr().cast(),
                UNITS,
                &raw mut len,
            )
        };
        if status != sys::Status::napi_ok {
            return Err(Failure::Key);
        }
        if len > KEY_BYTES_MAX {
            return Err(too_long(env, value));
        }
        // SAFETY: `SHORT` units were written above, and Node-API has written `len`, no more than there is room for.
        let units = unsafe {
            std::slice::from_raw_parts(self.units.as_ptr().cast::<u16>(), len.max(SHORT))
        };
        let (short, long) = units.split_at(SHORT);
        let (short_bytes, long_bytes) = self.bytes.split_at_mut(SHORT);
        let all = narrow(short_bytes, short) | narrow(long_bytes, long);
        if all > 0x7F {
            return self.read_utf8(env, value);
        }
        // SAFETY: so many bytes were written above.
        Ok(unsafe { std::slice::from_raw_parts(self.bytes.as_ptr().cast(), len) })
    }

    #[cold]
    fn read_utf8(&mut self, env: sys::napi_env, value: sys::napi_value) -> Result<&[u8], Failure> {
        let mut len = 0;
        // SAFETY: `value` is an argument of the current call, and `bytes` has the room that is told.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                env,
                value,
                self.bytes.as_mut_ptr().cast(),
                ROOM,
                &raw mut len,
            )
        };
        if status != sys::Status::napi_ok {
            return Err(Failure::Key);
        }
        if len > KEY_BYTES_MAX {
            return Err(too_long(env, value));
        }
        // SAFETY: Node-API has written `len` bytes, no more than there is room for.
        Ok(unsafe { std::slice::from_raw_parts(self.bytes.as_ptr().cast(), len) })
    }
}

/// Writes the lower bytes of characters, and gives all their bits.
#[inline]
fn narrow(bytes: &mut [MaybeUninit<u8>], units: &[u16]) -> u16 {
    bytes.iter_mut().zip(units).fold(0, |all, (byte, unit)| {
        byte.write(*unit as u8);
        all | unit
    })
}

/// It may have been cut: the message has its real length.
#[cold]
fn too_long(env: sys::napi_env, value: sys::napi_value) -> Failure {
    let mut len = 0;
    // SAFETY: without a buffer only the length is written.
    unsafe { sys::napi_get_value_string_utf8(env, value, ptr::null_mut(), 0, &raw mut len) };
    TableError::KeyLength {
        len,
        max: KEY_BYTES_MAX,
    }
    .into()
}
