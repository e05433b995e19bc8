//! What a worker's thread calls when it comes and goes.

use std::cell::RefCell;

use napi::bindgen_prelude::{Function, Object, ToNapiValue};
use napi::{Env, sys};
use napi_derive::napi;
use sluice_core::ErrorCode;
use sluice_core::id::WorkerSlot;
use sluice_server::Worker;

use crate::error::{Result, error, from_server, internal};
use crate::memory::array_buffer;
use crate::wake::Wake;

/// One attachment of this thread.
struct Attachment {
    worker: Worker,
    wake: Wake,
}

thread_local! {
    /// The attachments of this thread, by the number JavaScript has. A worker thread has one, an inline program one per
    /// server; the numbers are never reused.
    static ATTACHMENTS: RefCell<Vec<Option<Attachment>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `act` with an attachment of this thread; `None` when it is not attached.
pub(crate) fn with_worker<T>(worker: u32, act: impl FnOnce(&mut Worker) -> T) -> Option<T> {
    ATTACHMENTS.with_borrow_mut(|attachments| {
        attachments
            .get_mut(worker as usize)?
            .as_mut()
            .map(|attachment| act(&mut attachment.worker))
    })
}

fn take(worker: u32) -> Option<Attachment> {
    // Taken out before it is dropped: its drop may run for a while, and must not find the list borrowed.
    ATTACHMENTS.with_borrow_mut(|attachments| attachments.get_mut(worker as usize)?.take())
}

/// An object of the binding's own making.
pub struct Raw(pub(crate) sys::napi_value);

impl ToNapiValue for Raw {
    // SAFETY: asks nothing of the caller; the value was made in the environment of the call that returns it.
    unsafe fn to_napi_value(_env: sys::napi_env, value: Self) -> napi::Result<sys::napi_value> {
        Ok(value.0)
    }
}

/// Attaches the calling thread to a slot. `wake` is called when a record waits and the worker is parked.
#[napi(
    catch_unwind,
    ts_args_type = "server: number, slot: number, wake: () => void",
    ts_return_type = "{ worker: number, block: ArrayBuffer, events: ArrayBuffer[] }"
)]
pub fn attach_worker(env: Env, server: u32, slot: u32, wake: Function<'_, (), ()>) -> Result<Raw> {
    let server = crate::server::server(server)?;
    let slot = u16::try_from(slot)
        .map(WorkerSlot)
        .map_err(|_| error(ErrorCode::InvalidArg, format!("No worker slot {slot}")))?;
    let wake = Wake::new(
        env.raw(),
        napi::bindgen_prelude::JsValue::raw(&wake),
        "sluice:worker",
    )
    .ok_or_else(|| internal("Cannot make a threadsafe function"))?;
    let worker = match server.attach_worker(slot, wake.function()) {
        Ok(worker) => worker,
        Err(source) => {
            wake.release();
            return Err(from_server(&source));
        }
    };
    let memory = describe(&env, &worker);
    let index = ATTACHMENTS.with_borrow_mut(|attachments| {
        attachments.push(Some(Attachment { worker, wake }));
        attachments.len() as u32 - 1
    });
    // However the thread ends, exit, crash, terminate or heap limit, its hook runs: nobody may wake it after that, and
    // its work moves on. Node closes the threadsafe function itself.
    env.add_env_cleanup_hook(index, |index| drop(take(index)))
        .map_err(internal)?;
    let mut memory = memory?;
    memory.set("worker", index).map_err(internal)?;
    Ok(Raw(napi::bindgen_prelude::JsValue::raw(&memory)))
}

fn describe<'env>(env: &'env Env, worker: &Worker) -> Result<Object<'env>> {
    let buffer = |memory| {
        array_buffer(env.raw(), memory)
            .map(Raw)
            .ok_or_else(|| internal("Cannot make an external ArrayBuffer"))
    };
    let mut object = Object::new(env).map_err(internal)?;
    object
        .set("block", buffer(worker.block().memory())?)
        .map_err(internal)?;
    let events = worker
        .events()
        .map(|events| buffer(events.clone()))
        .collect::<Result<Vec<_>>>()?;
    object.set("events", events).map_err(internal)?;
    Ok(object)
}

/// Detaches; what is still in this worker's hands is handed over. Idempotent.
#[napi(catch_unwind)]
pub fn detach_worker(worker: u32) {
    if let Some(Attachment { worker, wake }) = take(worker) {
        // In this order: dropping the worker ends the last reference to the wake function.
        drop(worker);
        wake.release();
    }
}
