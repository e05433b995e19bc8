//! What reaches a thread later: grants of locks, wake-ups of atomics, news of watches.
//!
//! A thread has one mailbox, made when it first needs one. Other threads put [`Mail`] into it; the first piece wakes the thread's
//! event loop, which takes all there is. What sends mail bounds it: a wait that the thread began ends with one piece, a watch has at most
//! one that is not taken.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use napi::Env;
use napi::bindgen_prelude::{Float64Array, Function, JsValue};
use napi_derive::napi;
use sluice_core::lock::LockOwner;
use sluice_server::WakeFn;

use crate::error::{Result, internal};
use crate::wake::Wake;

/// One piece of news.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mail {
    /// What it is about: the number that the call gave which asked for it.
    pub(crate) ticket: u64,
    /// What it says, by kind of ticket. Below 2^53.
    pub(crate) value: u64,
}

/// The address of one thread. Cheap to clone; of no effect when the thread has ended.
#[derive(Clone)]
pub(crate) struct Mailbox(Arc<Shared>);

struct Shared {
    owner: LockOwner,
    /// Guards also the wake function while it is called: it must not outlive its thread.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mail: Vec<Mail>,
    wake: Option<WakeFn>,
    is_woken: bool,
}

impl Mailbox {
    /// Whose it is.
    pub(crate) fn owner(&self) -> LockOwner {
        self.0.owner
    }

    /// Puts mail in, and wakes the thread unless it is woken already. Nothing happens when the thread has ended.
    pub(crate) fn post(&self, mail: Mail) {
        let mut state = self.state();
        let State {
            mail: waiting,
            wake: Some(wake),
            is_woken,
        } = &mut *state
        else {
            return;
        };
        waiting.push(mail);
        if !*is_woken {
            *is_woken = true;
            wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Mail> {
        let mut state = self.state();
        state.is_woken = false;
        std::mem::take(&mut state.mail)
    }

    fn close(&self) {
        let state = std::mem::take(&mut *self.state());
        drop(state);
    }
}

static LAST_OWNER: AtomicU64 = AtomicU64::new(0);
static LAST_TICKET: AtomicU64 = AtomicU64::new(0);

/// Tickets from [`next_ticket`] stay below; those of locks, which have their own counter, above.
pub(crate) const LAST_TICKET_MAX: u64 = 1 << 50;

/// A number for something that a thread waits for. Never 0, never given out again.
pub(crate) fn next_ticket() -> u64 {
    LAST_TICKET.fetch_add(1, Ordering::Relaxed) + 1
}

thread_local! {
    static OWNER: Cell<Option<LockOwner>> = const { Cell::new(None) };
    static OPEN: RefCell<Option<(Mailbox, Wake)>> = const { RefCell::new(None) };
}

/// The number of the calling thread, which no other has or will have.
pub(crate) fn owner() -> LockOwner {
    OWNER.get().unwrap_or_else(|| {
        let owner = LockOwner(LAST_OWNER.fetch_add(1, Ordering::Relaxed) + 1);
        OWNER.set(Some(owner));
        owner
    })
}

/// Calls `act` with the mailbox of the calling thread; `None` before it is opened.
pub(crate) fn with_mailbox<T>(act: impl FnOnce(&Mailbox) -> T) -> Option<T> {
    OPEN.with_borrow(|open| open.as_ref().map(|(mailbox, _)| act(mailbox)))
}

/// Who has a mailbox, by the number that Node gave its thread.
static THREADS: LazyLock<Mutex<HashMap<u32, LockOwner>>> = LazyLock::new(Mutex::default);

fn threads() -> MutexGuard<'static, HashMap<u32, LockOwner>> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes on the locks of a thread that is taken for dead, whether it has ended or hangs. `thread`: its number in Node.
#[napi(catch_unwind)]
pub fn write_off_thread(thread: u32) {
    let owner = threads().get(&thread).copied();
    if let Some(owner) = owner {
        crate::lock::end_owner(owner);
    }
}

/// Opens the mailbox of the calling thread: `wake` is called, coalesced, when `takeMail` has something. Does not keep the event loop
/// alive. Idempotent: the first `wake` stays. `thread`: its number in Node.
#[napi(catch_unwind, ts_args_type = "thread: number, wake: () => void")]
pub fn open_mailbox(env: Env, thread: u32, wake: Function<'_, (), ()>) -> Result<()> {
    if with_mailbox(|_| ()).is_some() {
        return Ok(());
    }
    let wake = Wake::new(env.raw(), wake.raw(), "sluice:mailbox")
        .ok_or_else(|| internal("Cannot make a threadsafe function"))?;
    wake.hold(env.raw(), false);
    let mailbox = Mailbox(Arc::new(Shared {
        owner: owner(),
        state: Mutex::new(State {
            wake: Some(wake.function()),
            ..State::default()
        }),
    }));
    OPEN.set(Some((mailbox, wake)));
    threads().insert(thread, owner());
    // However the thread ends, its hook runs: nobody may wake it after that, and what it holds passes on. Node closes the threadsafe
    // function itself.
    env.add_env_cleanup_hook(thread, |thread| {
        threads().remove(&thread);
        if let Some((mailbox, _)) = OPEN.take() {
            mailbox.close();
            crate::lock::end_owner(mailbox.owner());
            crate::atomic::end_owner(mailbox.owner());
        }
    })
    .map_err(internal)?;
    Ok(())
}

/// Whether what is waited for keeps the calling thread's event loop alive.
#[napi(catch_unwind)]
pub fn hold_mailbox(env: Env, yes: bool) {
    OPEN.with_borrow(|open| {
        if let Some((_, wake)) = open {
            wake.hold(env.raw(), yes);
        }
    });
}

/// Everything that has come since the last call: ticket and value by turns, oldest first.
#[napi(catch_unwind)]
pub fn take_mail() -> Float64Array {
    let mail = with_mailbox(Mailbox::take).unwrap_or_default();
    // Tickets, fences and counts stay below 2^53.
    let words = mail
        .iter()
        .flat_map(|mail| [mail.ticket as f64, mail.value as f64])
        .collect();
    Float64Array::new(words)
}
