//! Answering with a file, as a plain Node-API function like the other answers.

use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use napi::sys;
use sluice_server::{AnswerMeta, ExchangeName, FileToSend};

use crate::value::{append_latin1, append_utf8, arguments, boolean, from_i32, uint32};
use crate::worker::with_worker;

/// What a file name that is no text stands for, and a panic: EIO.
const IO_ERROR: i32 = 5;

/// `respondFile(worker, lane, index, generation, meta, headers, path, mediaName, remove)`: 1, 0 when the exchange is gone,
/// or the system's error number below 0.
pub(crate) extern "C" fn respond_file(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let values = arguments::<9>(env, info);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut headers = Vec::new();
        let mut path = Vec::new();
        let mut media_name = Vec::new();
        append_latin1(env, values[5], &mut headers);
        append_utf8(env, values[6], &mut path);
        append_utf8(env, values[7], &mut media_name);
        let name = ExchangeName {
            lane: uint32(env, values[1]),
            index: uint32(env, values[2]),
            generation: uint32(env, values[3]),
        };
        let Ok(path) = std::str::from_utf8(&path) else {
            return -IO_ERROR;
        };
        let file = FileToSend {
            path: Path::new(OsStr::new(path)),
            media_name: &media_name,
            remove: boolean(env, values[8]),
        };
        let meta = AnswerMeta::unpack(uint32(env, values[4]));
        let sent = with_worker(uint32(env, values[0]), |worker| {
            worker.respond_file(name, meta, &headers, &file)
        });
        match sent {
            None => 0,
            Some(Ok(sent)) => i32::from(sent),
            Some(Err(error)) => -error.raw_os_error().unwrap_or(IO_ERROR),
        }
    }))
    .unwrap_or(-IO_ERROR);
    from_i32(env, result)
}
