//! A reactor: one thread, one tokio `current_thread` runtime, one task that drives an [`Engine`].
//!
//! A pass of the task handles everything the kernel reported at once, so that events to workers leave in one
//! batch with one wake, and answers to one connection leave in one write.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use sluice_core::id::WorkerSlot;
use sluice_shared::Parked;
use sluice_shared::record::{AdoptReason, Words};

use crate::engine::Engine;
use crate::fanout::Fanout;
use crate::lane::{CommandLane, EventLane};
use crate::listener::Bound;
use crate::server::{GoneReport, Shared};
use crate::stream::Detached;
use crate::wake::{ReadyQueue, lock};
use crate::worker::WorkerLink;

/// Passes in a row before the runtime gets a turn to look for new events.
const PASSES: usize = 4;

/// What others ask of a reactor.
pub(crate) enum Message {
    Listen {
        port: u16,
        bound: Bound,
    },
    Accept,
    ResumePort {
        port: u16,
    },
    Adopt {
        port: u16,
        stream: Detached,
        peer: Option<SocketAddr>,
        /// What was read from it already.
        input: Vec<u8>,
        /// What goes before its protocol is done.
        is_open: bool,
    },
    AttachWorker {
        slot: WorkerSlot,
        events: Box<EventLane>,
        commands: Box<CommandLane>,
    },
    Activate {
        slot: WorkerSlot,
        home: u16,
    },
    Drain {
        slot: WorkerSlot,
        reason: AdoptReason,
    },
    /// A command that no worker sends.
    Command {
        words: Words,
        bytes: Vec<u8>,
    },
    Fanout(Arc<Fanout>),
    /// The disk has caught up with the form of a request.
    FormNews {
        index: u32,
        generation: u32,
    },
    WorkerGone {
        slot: WorkerSlot,
        report: Arc<GoneReport>,
    },
    Stop {
        grace: u64,
        code: u16,
    },
    Abort,
}

/// A reactor as other threads see it.
pub(crate) struct Reactor {
    engine: Mutex<Engine>,
    parked: Parked,
    ready: Arc<ReadyQueue>,
    inbox: Mutex<Vec<Message>>,
    /// Nobody reads the inbox any more. Changes with `inbox` locked.
    closed: AtomicBool,
    ended: AtomicBool,
    tick: Duration,
}

impl Reactor {
    pub(crate) fn new(id: u8, shared: Arc<Shared>) -> Arc<Self> {
        let ready = Arc::new(ReadyQueue::default());
        let tick = shared.tick();
        Arc::new(Self {
            engine: Mutex::new(Engine::new(id, shared, Arc::clone(&ready))),
            parked: Parked::new(),
            ready,
            inbox: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            tick,
        })
    }

    /// Starts the thread. It runs until [`Reactor::end`].
    pub(crate) fn spawn(
        self: &Arc<Self>,
        name: String,
        cpu: Option<usize>,
    ) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let reactor = Arc::clone(self);
        std::thread::Builder::new().name(name).spawn(move || {
            if let Some(cpu) = cpu {
                crate::placement::pin_current_thread(cpu);
            }
            let driver = Driver {
                reactor,
                tokens: Vec::new(),
                wakes: Vec::new(),
                sleep: None,
                task_set: false,
            };
            // As a task, not as the block_on future: waking a task of this thread costs no system call.
            let task = runtime.spawn(tokio::task::coop::unconstrained(driver));
            // The task panics only on a bug; the connections of this reactor are gone then, the process is not.
            let _ = runtime.block_on(task);
        })
    }

    /// Asks the task to end; the caller joins the thread.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn send(&self, message: Message) {
        let mut inbox = lock(&self.inbox);
        if self.closed.load(Ordering::Relaxed) {
            // A connection in the message is closed with it.
            return;
        }
        inbox.push(message);
        drop(inbox);
        self.wake();
    }

    /// The task ends: what was sent too late is dropped, now and later, so that no connection stays open in it.
    fn close(&self) {
        let mut inbox = lock(&self.inbox);
        self.closed.store(true, Ordering::Relaxed);
        let late = std::mem::take(&mut *inbox);
        drop(inbox);
        drop(late);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Engine> {
        lock(&self.engine)
    }

    /// Does something with the engine from another thread. Waits for the reactor's current pass, and makes the next one.
    pub(crate) fn adjust<T>(&self, act: impl FnOnce(&mut Engine) -> T) -> T {
        let done = act(&mut self.lock());
        self.wake();
        done
    }

    /// Wakes the task whether it sleeps or not.
    fn wake(&self) {
        let _ = self.parked.try_unpark();
        self.ready.wake_task();
    }

    /// True when the reactor slept and the caller now has to see to its work.
    pub(crate) fn try_unpark(&self) -> bool {
        self.parked.try_unpark()
    }

    pub(crate) fn wake_task(&self) {
        self.ready.wake_task();
    }

    /// Carries out waiting commands on the calling thread, while the reactor's own sleeps in the kernel. The caller
    /// has unparked it. False when the reactor must be woken after all: it is busy, or has more than `exchanges` in flight,
    /// which is not the light load that this is for.
    pub(crate) fn combine(&self, exchanges: usize) -> bool {
        let mut engine = match self.engine.try_lock() {
            Ok(engine) => engine,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if engine.in_flight() > exchanges {
            return false;
        }
        let mut wakes = Vec::new();
        engine.begin_pass();
        engine.commands();
        engine.end_pass(&mut wakes);
        // The reactor still sleeps: say so again, then look again, as it would have done itself.
        self.parked.prepare();
        let idle = !engine.has_commands() && self.ready.is_empty() && lock(&self.inbox).is_empty();
        drop(engine);
        wake_all(&mut wakes);
        idle || !self.parked.cancel()
    }
}

/// The task of a reactor.
struct Driver {
    reactor: Arc<Reactor>,
    tokens: Vec<u32>,
    wakes: Vec<Arc<WorkerLink>>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    task_set: bool,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let reactor = Arc::clone(&this.reactor);
        if !this.task_set {
            reactor.ready.set_task(cx.waker());
            this.task_set = true;
        }
        reactor.parked.cancel();
        let mut engine = reactor.lock();
        for _ in 0..PASSES {
            // Before the inbox: what was sent before the end is still carried out.
            let ended = reactor.ended.load(Ordering::Acquire);
            engine.begin_pass();
            // Not within the `for`, which would hold the lock: what a message does may send another one to this reactor.
            let messages = std::mem::take(&mut *lock(&reactor.inbox));
            for message in messages {
                engine.handle(message);
            }
            engine.commands();
            reactor.ready.take(&mut this.tokens);
            for token in this.tokens.drain(..) {
                engine.on_ready(token);
            }
            this.tick(&mut engine, cx);
            engine.end_pass(&mut this.wakes);
            if ended {
                reactor.close();
                return Poll::Ready(());
            }

            reactor.parked.prepare();
            let more = engine.has_commands()
                || !reactor.ready.is_empty()
                || !lock(&reactor.inbox).is_empty();
            // Not more, or somebody has unparked us meanwhile and wakes the task.
            if !more || !reactor.parked.cancel() {
                drop(engine);
                wake_all(&mut this.wakes);
                return Poll::Pending;
            }
            wake_all(&mut this.wakes);
        }
        // Still busy: let the runtime look at the sockets before the next pass.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn wake_all(links: &mut Vec<Arc<WorkerLink>>) {
    for link in links.drain(..) {
        link.wake();
    }
}

impl Driver {
    /// Runs the deadlines when their time has come. No timer runs while nothing can expire.
    fn tick(&mut self, engine: &mut Engine, cx: &mut Context<'_>) {
        if !engine.wants_tick() {
            self.sleep = None;
            return;
        }
        let tick = self.reactor.tick;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(tick)));
        while sleep.as_mut().poll(cx).is_ready() {
            engine.tick();
            sleep.as_mut().reset(tokio::time::Instant::now() + tick);
        }
    }
}
