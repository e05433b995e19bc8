//! Atomics: numbers by name that all threads share. JavaScript changes them in their memory; here they are found, and waited for.

use std::collections::{HashMap, VecDeque};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use napi::bindgen_prelude::BigInt;
use napi::{Env, sys};
use napi_derive::napi;
use sluice_core::ErrorCode;
use sluice_core::lock::LockOwner;
use sluice_shared::{CELL_BYTES, CELLS_HEADER_BYTES, CellError, CellKind, Cells};

use crate::error::{Result, error, internal};
use crate::function::Call;
use crate::mailbox::{Mail, Mailbox, next_ticket, with_mailbox};
use crate::memory::lasting_array_buffer;
use crate::table::registry::directory;
use crate::value::{arguments, double, from_bool, from_double, guarded, uint32};
use crate::worker::Raw;

/// How many calls wait at a time, in all.
const WAITERS_MAX: usize = 65_536;

/// The file of the cells in the directory of the tables.
pub(crate) const FILE: &str = "atomics.cells";

/// The cells that all threads share, once somebody has asked for one.
static CELLS: OnceLock<Cells> = OnceLock::new();

/// Those in the directory of the tables, for other processes to share, or in memory of this process alone where there is none.
fn cells() -> Result<&'static Cells> {
    static OPENING: Mutex<()> = Mutex::new(());
    if let Some(cells) = CELLS.get() {
        return Ok(cells);
    }
    // Two threads would map them twice: harmless, but never undone.
    let _opening = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cells) = CELLS.get() {
        return Ok(cells);
    }
    let cells = match directory() {
        Some(directory) => {
            let path = directory.join(FILE);
            Cells::open(&path).map_err(|source| {
                let message = format!("{} cannot hold the atomics: {source}", path.display());
                error(ErrorCode::TableFile, message)
            })?
        }
        None => Cells::private().map_err(internal)?,
    };
    Ok(CELLS.get_or_init(|| cells))
}

/// Who waits for which cell. Guards the step from looking at a value to waiting for its change: who changes it and then wakes finds the
/// waiter, or the waiter has seen the change.
static WAITERS: LazyLock<Mutex<Waiters>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Waiters {
    /// Tickets ascend in each queue.
    by_cell: HashMap<u32, VecDeque<(u64, Mailbox)>>,
    count: usize,
}

impl Waiters {
    fn lock() -> MutexGuard<'static, Self> {
        WAITERS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes those out of a cell's queue that `choose` takes, and forgets an empty one.
    fn take<T>(
        &mut self,
        cell: u32,
        choose: impl FnOnce(&mut VecDeque<(u64, Mailbox)>) -> T,
    ) -> Option<T> {
        let queue = self.by_cell.get_mut(&cell)?;
        let before = queue.len();
        let taken = choose(queue);
        self.count -= before - queue.len();
        if queue.is_empty() {
            self.by_cell.remove(&cell);
        }
        Some(taken)
    }
}

/// Forgets what a thread waits for: it has ended.
pub(crate) fn end_owner(owner: LockOwner) {
    let mut waiters = Waiters::lock();
    let mut left = 0;
    waiters.by_cell.retain(|_, queue| {
        queue.retain(|(_, mailbox)| mailbox.owner() != owner);
        left += queue.len();
        !queue.is_empty()
    });
    waiters.count = left;
}

/// The memory of all atomics. It must not reach user code: it shows the names and values of others.
#[napi(catch_unwind, ts_return_type = "ArrayBuffer")]
pub fn atomic_memory(env: Env) -> Result<Raw> {
    // SAFETY: the memory of cells is mapped until the process ends.
    unsafe { lasting_array_buffer(env.raw(), cells()?.memory()) }
        .map(Raw)
        .ok_or_else(|| internal("Cannot make an external ArrayBuffer"))
}

/// Where the value of a name is in the memory, in bytes; the first to ask makes it. -1: the name is empty or too long; -2: it is of the
/// other kind; -3: there is no room for another. `long`: 64 bits.
#[napi(catch_unwind)]
pub fn atomic_cell(name: String, long: bool, initial: BigInt) -> Result<i32> {
    let kind = if long {
        CellKind::Int64
    } else {
        CellKind::Int32
    };
    let claimed = cells()?.claim(name.as_bytes(), kind, initial.get_i64().0);
    Ok(match claimed {
        Ok(claimed) => (CELLS_HEADER_BYTES + claimed.index as usize * CELL_BYTES) as i32,
        Err(CellError::Name) => -1,
        Err(CellError::Kind) => -2,
        Err(CellError::Full) => -3,
    })
}

/// What `worker_calls` adds.
pub(crate) const CALLS: [(&str, Call); 3] = [
    ("atomicWait", atomic_wait),
    ("atomicWake", atomic_wake),
    ("atomicCancel", atomic_cancel),
];

/// The cell at an offset that `atomic_cell` gave.
fn cell(offset: u32) -> u32 {
    offset.saturating_sub(CELLS_HEADER_BYTES as u32) / CELL_BYTES as u32
}

/// `(offset, expected)`: a ticket, to which mail follows when it is woken; 0 when the value is another; NaN when too many wait.
extern "C" fn atomic_wait(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let answer = guarded(f64::NAN, || {
        let cell = cell(uint32(env, values[0]));
        // As JavaScript has it: an int32.
        let expected = double(env, values[1]) as i32;
        let answer = with_mailbox(|mailbox| {
            let mut waiters = Waiters::lock();
            if CELLS.get().map_or(0, |cells| cells.int32(cell)) != expected {
                return 0.0;
            }
            if waiters.count >= WAITERS_MAX {
                return f64::NAN;
            }
            let ticket = next_ticket();
            waiters.count += 1;
            let queue = waiters.by_cell.entry(cell).or_default();
            queue.push_back((ticket, mailbox.clone()));
            ticket as f64
        });
        answer.unwrap_or(f64::NAN)
    });
    from_double(env, answer)
}

/// `(offset, count)`: wakes those who have waited longest; how many.
extern "C" fn atomic_wake(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let woken = guarded(0, || {
        let count = uint32(env, values[1]) as usize;
        let woken = Waiters::lock().take(cell(uint32(env, values[0])), |queue| {
            queue.drain(..count.min(queue.len())).collect::<Vec<_>>()
        });
        let woken = woken.unwrap_or_default();
        for (ticket, mailbox) in &woken {
            mailbox.post(Mail {
                ticket: *ticket,
                value: 1,
            });
        }
        woken.len()
    });
    from_double(env, woken as f64)
}

/// `(offset, ticket)`: waits no longer. False when it was woken already: its mail is on its way.
extern "C" fn atomic_cancel(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<2>(env, info);
    let cancelled = guarded(false, || {
        let ticket = double(env, values[1]) as u64;
        let found = Waiters::lock().take(cell(uint32(env, values[0])), |queue| {
            let at = queue.binary_search_by_key(&ticket, |(number, _)| *number);
            at.is_ok_and(|at| queue.remove(at).is_some())
        });
        found.unwrap_or(false)
    });
    from_bool(env, cancelled)
}
