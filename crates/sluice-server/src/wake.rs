//! Waking what sleeps: a worker's event loop, the master's, a reactor's task.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Wakes an event loop; called from any thread, must not block.
pub type WakeFn = Box<dyn Fn() + Send + Sync>;

/// Locks even when a panic has poisoned the mutex: the state behind our locks is kept consistent by
/// its methods, and one broken connection must not end the server.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which sockets have news, in the order the kernel told. One per reactor; its task is woken once
/// for any number of entries.
#[derive(Default)]
pub(crate) struct ReadyQueue {
    tokens: Mutex<Vec<u32>>,
    /// The reactor's task; set at its first poll.
    task: Mutex<Option<Waker>>,
}

impl ReadyQueue {
    /// Remembers the task that every later push wakes.
    pub(crate) fn set_task(&self, waker: &Waker) {
        *lock(&self.task) = Some(waker.clone());
    }

    /// Wakes the reactor's task. Cheap when it is already scheduled.
    pub(crate) fn wake_task(&self) {
        if let Some(task) = &*lock(&self.task) {
            task.wake_by_ref();
        }
    }

    /// Queues a token without waking.
    pub(crate) fn push(&self, token: u32) {
        lock(&self.tokens).push(token);
    }

    /// Swaps the queued tokens for `empty`, whose allocation is reused.
    pub(crate) fn take(&self, empty: &mut Vec<u32>) {
        debug_assert!(empty.is_empty());
        std::mem::swap(&mut *lock(&self.tokens), empty);
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.tokens).is_empty()
    }
}

/// The waker of one socket: puts its token into the ready queue, at most once until it is taken.
pub(crate) struct SocketWaker {
    token: u32,
    queued: AtomicBool,
    ready: Arc<ReadyQueue>,
}

impl SocketWaker {
    pub(crate) fn new(token: u32, ready: Arc<ReadyQueue>) -> Arc<Self> {
        Arc::new(Self {
            token,
            queued: AtomicBool::new(false),
            ready,
        })
    }

    /// Makes wakes do nothing until [`rearm`](Self::rearm): the caller sees to the socket in this pass.
    pub(crate) fn hold(&self) {
        self.queued.store(true, Ordering::Release);
    }

    /// Lets the next wake queue the token again. Called when the token is taken, before the socket is looked at.
    pub(crate) fn rearm(&self) {
        self.queued.store(false, Ordering::Release);
    }
}

impl Wake for SocketWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.token);
            self.ready.wake_task();
        }
    }
}
