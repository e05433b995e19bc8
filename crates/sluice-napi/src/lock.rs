//! The locks of the process.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use napi::sys;
use sluice_core::lock::{Acquired, Grant, LockLimits, LockMode, LockOwner, Locks};

use crate::function::Call;
use crate::mailbox::{LAST_TICKET_MAX, Mail, Mailbox, with_mailbox};
use crate::value::{append_utf8, arguments, boolean, double, from_bool, from_double, guarded};

/// The locks that all threads share, and where their owners are told. Guards decisions alone: mail is sent when it is let go.
static LOCKS: LazyLock<Mutex<Registry>> = LazyLock::new(|| {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // 1.8e15 in these years: below 2^53, and above every fence of an earlier process that gave out fewer than one per microsecond.
    let seed = (now.as_micros() as u64).max(LAST_TICKET_MAX);
    Mutex::new(Registry {
        locks: Locks::new(seed, LockLimits::default()),
        mailboxes: HashMap::new(),
    })
});

struct Registry {
    locks: Locks,
    /// Of the threads that have waited for a lock.
    mailboxes: HashMap<LockOwner, Mailbox>,
}

impl Registry {
    fn lock() -> MutexGuard<'static, Self> {
        LOCKS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addressed(&self, grants: Vec<Grant>) -> Vec<(Mailbox, Mail)> {
        let address = |grant: Grant| {
            let mail = Mail {
                ticket: grant.ticket,
                value: grant.fence,
            };
            Some((self.mailboxes.get(&grant.owner)?.clone(), mail))
        };
        grants.into_iter().filter_map(address).collect()
    }
}

fn deliver(letters: Vec<(Mailbox, Mail)>) {
    for (mailbox, mail) in letters {
        mailbox.post(mail);
    }
}

/// Passes on everything that a thread holds: it has ended, or is taken for dead.
pub(crate) fn end_owner(owner: LockOwner) {
    let letters = {
        let mut registry = Registry::lock();
        let mut grants = Vec::new();
        registry.locks.end_owner(owner, &mut grants);
        registry.mailboxes.remove(&owner);
        registry.addressed(grants)
    };
    deliver(letters);
}

/// What `worker_calls` adds.
pub(crate) const CALLS: [(&str, Call); 2] = [("lockAcquire", lock_acquire), ("lockEnd", lock_end)];

/// `(name, shared, mayWait)`: the ticket, which is also the fence; below 0 that of a request that waits; 0 when it may not wait and would
/// have to; NaN when a limit is reached.
extern "C" fn lock_acquire(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let result = guarded(f64::NAN, || {
        let mut name = Vec::new();
        append_utf8(env, values[0], &mut name);
        let name = String::from_utf8_lossy(&name);
        let mode = if boolean(env, values[1]) {
            LockMode::Shared
        } else {
            LockMode::Exclusive
        };
        let may_wait = boolean(env, values[2]);
        let acquired = with_mailbox(|mailbox| {
            let mut registry = Registry::lock();
            let owner = mailbox.owner();
            let acquired = registry.locks.acquire(&name, owner, mode, may_wait);
            if matches!(acquired, Acquired::Waits { .. }) {
                registry
                    .mailboxes
                    .entry(owner)
                    .or_insert_with(|| mailbox.clone());
            }
            acquired
        });
        match acquired {
            Some(Acquired::Granted { ticket }) => ticket as f64,
            Some(Acquired::Waits { ticket }) => -(ticket as f64),
            Some(Acquired::Busy) => 0.0,
            Some(Acquired::Refused) | None => f64::NAN,
        }
    });
    from_double(env, result)
}

/// `(ticket)`: gives a lock back, or leaves the line. False when that was done before.
extern "C" fn lock_end(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<1>(env, info);
    let ended = guarded(false, || {
        let ticket = double(env, values[0]) as u64;
        let (ended, letters) = {
            let mut registry = Registry::lock();
            let mut grants = Vec::new();
            let ended = registry.locks.end(ticket, &mut grants);
            (ended, registry.addressed(grants))
        };
        deliver(letters);
        ended
    });
    from_bool(env, ended)
}
