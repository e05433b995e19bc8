//! Calls of tasks in the hands of a worker, and what it delivers.

use std::cell::RefCell;
use std::sync::Arc;

use napi::sys;
use sluice_server::{
    Backoff, Calling, Cancel, NewTask, Outcome, Part, Payload, Status, SubmitError, What,
};

use crate::function::Call;
use crate::socket::on_worker;
use crate::value::{
    append_utf8, arguments, boolean, bytes, double, from_bool, from_bytes, from_double, from_i32,
    guarded, uint32,
};

/// The functions, by the name that they have in JavaScript.
pub(crate) const CALLS: [(&str, Call); 9] = [
    ("beginCall", begin_call),
    ("endCall", end_call),
    ("callProgress", call_progress),
    ("takeParcel", take_parcel),
    ("submitTask", submit_task),
    ("prepareTask", prepare_task),
    ("submitPrepared", submit_prepared),
    ("cancelTask", cancel_task),
    ("taskStatus", task_status),
];

extern "C" fn begin_call(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let id = double(env, values[1]) as u64;
    let may = on_worker(env, &values, false, |worker| worker.begin_call(id));
    from_bool(env, may)
}

extern "C" fn end_call(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<5>(env, info);
    let id = double(env, values[1]) as u64;
    let outcome = match uint32(env, values[2]) {
        0 => Outcome::Done,
        1 => Outcome::Failed,
        _ => Outcome::Unknown,
    };
    let result = bytes(env, values[3]).unwrap_or_default();
    let is_soon = boolean(env, values[4]);
    let done = on_worker(env, &values, false, |worker| {
        if is_soon {
            worker.end_call_soon(id, outcome, result);
            return true;
        }
        worker.end_call(id, outcome, result)
    });
    from_bool(env, done)
}

extern "C" fn call_progress(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let id = double(env, values[1]) as u64;
    let news = bytes(env, values[2]).unwrap_or_default();
    let done = on_worker(env, &values, false, |worker| worker.call_progress(id, news));
    from_bool(env, done)
}

extern "C" fn take_parcel(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let id = double(env, values[1]) as u64;
    let part = match uint32(env, values[2]) {
        0 => Part::Input,
        1 => Part::Extra,
        _ => Part::Result,
    };
    let parcel = on_worker(env, &values, None, |worker| worker.take_parcel(id, part));
    from_bytes(env, parcel.as_deref())
}

/// The numbers of a task, as `src-ts/tasks` writes them.
pub(crate) struct Numbers([f64; 10]);

impl Numbers {
    /// `None` for anything but the bytes of all numbers.
    pub(crate) fn read(array: Option<&[u8]>) -> Option<Self> {
        let (array, []) = array?.as_chunks::<8>() else {
            return None;
        };
        let numbers: &[[u8; 8]; 10] = array.try_into().ok()?;
        Some(Self(numbers.map(f64::from_le_bytes)))
    }

    /// Cut to the range of the type, as all of these are: JavaScript has checked them.
    fn unsigned(&self, index: usize) -> u64 {
        self.0[index] as u64
    }

    fn small(&self, index: usize) -> Option<u16> {
        let number = self.0[index];
        (number >= 0.0).then_some(number as u16)
    }

    /// What of them a timer has, too.
    pub(crate) fn calling(&self) -> Calling {
        Calling {
            queue: self.small(7).unwrap_or(0),
            priority: self.0[0] as i32,
            tries: self.unsigned(2) as u32,
            backoff: self.backoff(),
            timeout: self.unsigned(3),
            worker: self.small(8),
            has_finish: self.flag(1),
            has_failed: self.flag(2),
        }
    }

    fn flag(&self, flag: u64) -> bool {
        self.unsigned(9) & flag != 0
    }

    fn backoff(&self) -> Backoff {
        let (base, max) = (self.unsigned(4), self.unsigned(5));
        if max == 0 {
            return Backoff::Fixed(base);
        }
        Backoff::Exponential {
            base,
            max,
            jitter: self.unsigned(6) != 0,
        }
    }
}

thread_local! {
    /// What JavaScript of this thread has prepared, by number. There are as many as it defines tasks.
    static PREPARED: RefCell<Vec<NewTask>> = const { RefCell::new(Vec::new()) };
}

/// A task of `name`, `options` and `key`, without an input yet. `None` for options that are none.
fn read_task(env: sys::napi_env, [name, options, key]: [sys::napi_value; 3]) -> Option<NewTask> {
    let text = |value| {
        let mut text = Vec::new();
        append_utf8(env, value, &mut text).then(|| String::from_utf8(text).unwrap_or_default())
    };
    let numbers = Numbers::read(bytes(env, options))?;
    Some(NewTask {
        delay: numbers.unsigned(1),
        key: text(key).map(String::into_boxed_str),
        durable: numbers.flag(4),
        ..NewTask::called(
            Arc::from(text(name).unwrap_or_default()),
            Payload::default(),
            numbers.calling(),
        )
    })
}

/// Delivers it: its id, or a number below 0 that says why not.
fn submit(
    env: sys::napi_env,
    [server, worker, input]: [sys::napi_value; 3],
    task: Option<NewTask>,
) -> sys::napi_value {
    let Some(mut task) = task else {
        return from_double(env, -6.0);
    };
    task.input = Payload::from(bytes(env, input).unwrap_or_default());
    let submitted = if double(env, worker) < 0.0 {
        let server = uint32(env, server);
        guarded(None, || {
            Some(crate::server::server(server).ok()?.submit_task(task))
        })
    } else {
        on_worker(env, &[worker], None, |worker| {
            Some(worker.submit_task(task))
        })
    };
    let number = match submitted {
        Some(Ok(submitted)) => submitted.id as f64,
        Some(Err(SubmitError::Full { what: What::Tasks })) => -1.0,
        Some(Err(SubmitError::Full { what: What::Bytes })) => -2.0,
        None => -3.0,
        Some(Err(SubmitError::Full {
            what: What::Origins,
        })) => -4.0,
        Some(Err(SubmitError::Queue)) => -5.0,
        Some(Err(SubmitError::Worker)) => -7.0,
    };
    from_double(env, number)
}

/// `submitTask(server, worker, name, options, input, key)`.
extern "C" fn submit_task(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let [server, worker, name, options, input, key] = arguments::<6>(env, info);
    let task = read_task(env, [name, options, key]);
    submit(env, [server, worker, input], task)
}

/// `prepareTask(name, options, key)`.
extern "C" fn prepare_task(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let number = read_task(env, arguments::<3>(env, info)).map_or(-1, |task| {
        PREPARED.with_borrow_mut(|prepared| {
            prepared.push(task);
            prepared.len() as i32 - 1
        })
    });
    from_i32(env, number)
}

/// `submitPrepared(server, worker, task, input)`.
extern "C" fn submit_prepared(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let [server, worker, task, input] = arguments::<4>(env, info);
    let number = uint32(env, task) as usize;
    let task = PREPARED.with_borrow(|prepared| prepared.get(number).cloned());
    submit(env, [server, worker, input], task)
}

/// `cancelTask(server, id)`.
extern "C" fn cancel_task(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let (server, id) = (uint32(env, values[0]), double(env, values[1]) as u64);
    let cancel = guarded(Cancel::Unknown, || {
        crate::server::server(server).map_or(Cancel::Unknown, |server| server.cancel_task(id))
    });
    let number = match cancel {
        Cancel::Unknown => 0,
        Cancel::Done => 1,
        Cancel::Running => 2,
    };
    from_i32(env, number)
}

/// `taskStatus(server, id)`.
extern "C" fn task_status(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let (server, id) = (uint32(env, values[0]), double(env, values[1]) as u64);
    let status = guarded(None, || crate::server::server(server).ok()?.task_status(id));
    let number = match status {
        None => 0,
        Some(Status::Queued) => 1,
        Some(Status::Delayed) => 2,
        Some(Status::Running) => 3,
    };
    from_i32(env, number)
}
