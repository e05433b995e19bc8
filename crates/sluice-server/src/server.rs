//! The server: its reactors, its workers, and what they share.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use serde::Serialize;
use sluice_core::config::{Limits, PortConfig, PortProtocol, ProxyConfig, ServerConfig};
use sluice_core::id::WorkerSlot;
use sluice_core::member::Place;
use sluice_core::registry::Registry;
use sluice_core::workers::{WorkerState, Workers};
use sluice_shared::record::AdoptReason;
use sluice_shared::{WorkerBlock, ring};

use crate::clock::Clock;
use crate::cron::CronBoard;
use crate::error::Error;
use crate::fanout::Post;
use crate::lane::{CommandLane, EventLane, LaneShared};
use crate::listener::{self, LocalAddress};
use crate::multipart::Spooler;
use crate::notice::{Notice, Notices};
use crate::push::PostAccount;
use crate::reactor::{Message, Reactor};
use crate::static_files;
use crate::stats::{Counters, PortCounters, Rejected};
use crate::task_lane::{Role, TaskLane};
use crate::tasks::TaskBoard;
use crate::tasks_journal::TasksJournal;
use crate::timers::Timers;
use crate::tls::{Renewal, TlsPort};
use crate::udp::PeerFamily;
use crate::wake::{WakeFn, lock};
use crate::watchdog::Watchdog;
use crate::worker::{TaskReader, Worker, WorkerLane, WorkerLink};

mod reach;

/// Event rings hold 1 MiB: an eighth of it, the largest record, holds the largest head with an inline body.
const EVENT_RING_LOG2: u32 = 20;
/// Tasks of up to 16 KiB go through it.
const TASK_RING_LOG2: u32 = 18;
/// Command rings hold 256 KiB: an eighth of it holds the largest inline answer.
const COMMAND_RING_LOG2: u32 = 18;

/// What every reactor, worker and the master see.
pub(crate) struct Shared {
    pub(crate) config: ServerConfig,
    pub(crate) workers: Workers,
    pub(crate) notices: Notices,
    /// Connections that can be found by others.
    pub(crate) registry: Registry<Post>,
    pub(crate) posts: PostAccount,
    /// Open WebSockets of each port.
    pub(crate) web_sockets: Vec<AtomicU32>,
    /// Where the WebSockets are that their clients may take up again, by token.
    pub(crate) sessions: DashMap<Box<str>, Place>,
    /// For each port: handshakes of a second, as second << 32 | count.
    opens: Vec<AtomicU64>,
    pub(crate) next_connection_id: AtomicU64,
    /// Tells the names of detached exchanges from those of an earlier server: 20 bits.
    pub(crate) nonce: u32,
    /// Files of forms.
    pub(crate) spooler: Arc<Spooler>,
    /// Connections of each reactor.
    pub(crate) reactor_connections: Vec<AtomicU32>,
    /// Exchanges of each reactor, as of its last pass.
    pub(crate) reactors_pending: Vec<AtomicU32>,
    /// By port: what a packet socket there can reach, `None` for other protocols.
    packet_families: Vec<Option<PeerFamily>>,
    port_connections: Vec<AtomicU32>,
    /// For each port: nothing is accepted until it is resumed.
    paused: Vec<AtomicBool>,
    /// For each port: the reactor that waits for a connection to close, plus one.
    port_full: Vec<AtomicU32>,
    reactors: OnceLock<Vec<Weak<Reactor>>>,
    /// Guards the steps of a worker's life too, with the message that each sends: reactors hear of them in order, and
    /// the end of a slot's holder is never taken for the end of the next.
    links: Mutex<Vec<Option<Arc<WorkerLink>>>>,
    running_reactors: AtomicUsize,
    /// The thread that wakes when something is due.
    pub(crate) clock: Arc<Clock>,
    /// Shared timers.
    pub(crate) timers: Timers,
    /// Tasks, and who runs them.
    pub(crate) tasks: TaskBoard,
    /// Cron jobs.
    pub(crate) cron: CronBoard,
    /// For each port: its certificates.
    tls: Vec<Option<TlsPort>>,
    started: Instant,
    started_unix_ms: u64,
}

impl Shared {
    fn new(
        config: ServerConfig,
        tls: Vec<Option<TlsPort>>,
        packet_families: Vec<Option<PeerFamily>>,
    ) -> Result<Self, Error> {
        let counters = |count: usize| (0..count).map(|_| AtomicU32::new(0)).collect::<Vec<_>>();
        let (reactors, ports) = (usize::from(config.reactors), config.ports.len());
        let started = Instant::now();
        let started_unix_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64);
        Ok(Self {
            workers: Workers::new(),
            notices: Notices::default(),
            registry: Registry::new(config.reactors, ports, config.topics.history_limits()),
            posts: PostAccount::default(),
            web_sockets: counters(ports),
            sessions: DashMap::new(),
            opens: (0..ports).map(|_| AtomicU64::new(0)).collect(),
            next_connection_id: AtomicU64::new(1),
            nonce: getrandom::u32().unwrap_or_else(|_| std::process::id()) & 0xf_ffff,
            reactor_connections: counters(reactors),
            reactors_pending: counters(reactors),
            packet_families,
            port_connections: counters(ports),
            paused: (0..ports).map(|_| AtomicBool::new(false)).collect(),
            port_full: counters(ports),
            reactors: OnceLock::new(),
            links: Mutex::new(Vec::new()),
            running_reactors: AtomicUsize::new(reactors),
            clock: Arc::new(Clock::new(started)),
            timers: Timers::new(config.timers.limits()),
            tasks: TaskBoard::new(&config.tasks, started_unix_ms)?,
            cron: CronBoard::default(),
            tls,
            started,
            started_unix_ms,
            spooler: Arc::new(Spooler::new(&config.uploads.dir)),
            config,
        })
    }

    /// The certificates of a port, if it speaks TLS.
    pub(crate) fn tls(&self, port: u16) -> Option<&TlsPort> {
        self.tls.get(usize::from(port))?.as_ref()
    }

    /// Every port with TLS.
    pub(crate) fn tls_ports(&self) -> impl Iterator<Item = (u16, &TlsPort)> {
        (0u16..)
            .zip(&self.tls)
            .filter_map(|(port, tls)| Some((port, tls.as_ref()?)))
    }

    /// Reads the certificates of a port again; the master hears what came of it.
    pub(crate) fn renew_certificates(&self, port: u16) {
        let Some(tls) = self.tls(port) else {
            return;
        };
        let (error, warnings) = match tls.renew() {
            Ok(warnings) => (None, warnings),
            Err(fault) => (Some(fault.to_string()), Vec::new()),
        };
        self.notices.push(Notice::Certificates {
            port: self.config.ports[usize::from(port)].name.clone(),
            error,
            warnings,
        });
    }

    /// Milliseconds since the server started; monotonic.
    pub(crate) fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub(crate) fn started_unix_ms(&self) -> u64 {
        self.started_unix_ms
    }

    /// The wall clock at `now`, in milliseconds.
    pub(crate) fn unix_millis(&self, now: u64) -> u64 {
        self.started_unix_ms + now
    }

    /// The wall clock at `now`. Follows the start and the monotonic clock: a set-back system clock does not
    /// make `Date` jump, nor does it cost a system call per answer.
    pub(crate) fn unix_seconds(&self, now: u64) -> u64 {
        (self.started_unix_ms + now) / 1000
    }

    /// How often deadlines are scanned: a quarter of the shortest limit, within 10 to 250 ms.
    pub(crate) fn tick(&self) -> std::time::Duration {
        let shortest = self
            .config
            .ports
            .iter()
            .flat_map(|port| shortest_limit(&port.limits))
            .min()
            .unwrap_or(1000);
        std::time::Duration::from_millis((shortest / 4).clamp(10, 250))
    }

    /// What the packets of a port can reach; `None` when it is no UDP port.
    pub(crate) fn packet_family(&self, port: u16) -> Option<PeerFamily> {
        *self.packet_families.get(usize::from(port))?
    }

    /// Which reactor has the packet socket of a port.
    pub(crate) fn packet_reactor(&self, port: u16) -> u8 {
        (port % u16::from(self.config.reactors)) as u8
    }

    pub(crate) fn send(&self, reactor: u8, message: Message) {
        let reactor = self
            .reactors
            .get()
            .and_then(|reactors| reactors.get(usize::from(reactor))?.upgrade());
        if let Some(reactor) = reactor {
            reactor.send(message);
        }
    }

    fn send_all(&self, message: impl Fn() -> Message) {
        for id in 0..self.config.reactors {
            self.send(id, message());
        }
    }

    pub(crate) fn port_connections(&self, port: u16) -> u32 {
        self.port_connections[usize::from(port)].load(Ordering::Relaxed)
    }

    pub(crate) fn is_paused(&self, port: u16) -> bool {
        // Relaxed: the message that follows a change of it orders what has to be ordered.
        self.paused[usize::from(port)].load(Ordering::Relaxed)
    }

    pub(crate) fn connection_opened(&self, port: u16) {
        self.port_connections[usize::from(port)].fetch_add(1, Ordering::Relaxed);
    }

    /// A connection goes from one reactor to another.
    pub(crate) fn connection_moved(&self, from: u8, to: u8) {
        self.reactor_connections[usize::from(from)].fetch_sub(1, Ordering::Relaxed);
        self.reactor_connections[usize::from(to)].fetch_add(1, Ordering::Relaxed);
    }

    /// A connection of `reactor` is closed; lets a port that was full accept again.
    pub(crate) fn connection_closed(&self, port: u16, reactor: u8) {
        self.reactor_connections[usize::from(reactor)].fetch_sub(1, Ordering::Relaxed);
        // SeqCst with `connections_full`: either it sees our decrement or we see its mark.
        self.port_connections[usize::from(port)].fetch_sub(1, Ordering::SeqCst);
        let full = &self.port_full[usize::from(port)];
        if full.load(Ordering::SeqCst) != 0 {
            let waiting = full.swap(0, Ordering::SeqCst);
            if let Some(reactor) = waiting.checked_sub(1) {
                self.send(reactor as u8, Message::Accept);
            }
        }
    }

    /// A port has as many connections as it may; `reactor` wants to hear when one closes.
    pub(crate) fn connections_full(&self, port: u16, reactor: u8) {
        let index = usize::from(port);
        self.port_full[index].store(u32::from(reactor) + 1, Ordering::SeqCst);
        let limit = self.config.ports[index].limits.connections;
        if self.port_connections[index].load(Ordering::SeqCst) < limit
            && self.port_full[index].swap(0, Ordering::SeqCst) != 0
        {
            self.send(reactor, Message::Accept);
        }
    }

    /// Connections that a broadcast reaches: of one port, or the WebSockets of all.
    pub(crate) fn count_receivers(&self, port: Option<u16>) -> usize {
        let load = |count: &AtomicU32| count.load(Ordering::Relaxed) as usize;
        match port {
            Some(port) => self.web_sockets.get(usize::from(port)).map_or(0, load),
            None => self
                .web_sockets
                .iter()
                .zip(&self.config.ports)
                .filter(|(_, port)| port.protocol != PortProtocol::Tcp)
                .map(|(count, _)| load(count))
                .sum(),
        }
    }

    /// Counts a handshake of a port; false when it is one too many in this second.
    pub(crate) fn may_open(&self, port: u16, limit: u32, now: u64) -> bool {
        let second = (now / 1000) << 32;
        let count = |word: u64| {
            if word & !u64::from(u32::MAX) == second {
                word as u32
            } else {
                0
            }
        };
        // Relaxed: a count, and nothing that it guards.
        self.opens[usize::from(port)]
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                (count(word) < limit).then(|| second | u64::from(count(word) + 1))
            })
            .is_ok()
    }

    /// The reactor with the fewest connections; `own` wins ties, because it needs no hand-off.
    pub(crate) fn least_connected(&self, own: u8) -> u8 {
        let count = |id: u8| self.reactor_connections[usize::from(id)].load(Ordering::Relaxed);
        let mut least = own;
        for id in 0..self.config.reactors {
            if count(id) < count(least) {
                least = id;
            }
        }
        least
    }

    /// Whether one more request would be too many, over all reactors.
    pub(crate) fn over_concurrency(&self, own: u8, pending: usize, limit: u32) -> bool {
        let others: u64 = self
            .reactors_pending
            .iter()
            .enumerate()
            .filter(|(id, _)| *id != usize::from(own))
            .map(|(_, pending)| u64::from(pending.load(Ordering::Relaxed)))
            .sum();
        others + pending as u64 >= u64::from(limit)
    }

    pub(crate) fn link(&self, slot: WorkerSlot) -> Option<Arc<WorkerLink>> {
        lock(&self.links).get(slot.index())?.clone()
    }

    fn set_link(&self, slot: WorkerSlot, link: Option<Arc<WorkerLink>>) {
        put_link(&mut lock(&self.links), slot, link);
    }

    /// Nothing is in a draining worker's hands.
    pub(crate) fn drained(&self, slot: WorkerSlot) {
        self.notices.push(Notice::Drained { slot: slot.0 });
    }

    /// A reactor has closed its last connection after a stop.
    pub(crate) fn reactor_stopped(&self) {
        if self.running_reactors.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.notices.push(Notice::Stopped);
        }
    }

    /// A listener could not be used.
    pub(crate) fn failed(&self, error: &io::Error) {
        self.notices.push(Notice::Failed {
            message: error.to_string(),
        });
    }

    /// Takes everything out of the hands of the worker with this link, if it still holds the slot. `None`: of
    /// whoever holds it. Once per life of a worker: true for the one call that does it.
    pub(crate) fn worker_gone(&self, slot: WorkerSlot, link: Option<&Arc<WorkerLink>>) -> bool {
        self.end_worker(slot, link, None)
    }

    /// The same for a worker that hangs; the master hears why before it hears that the worker is gone.
    pub(crate) fn worker_stuck(&self, slot: WorkerSlot, link: &Arc<WorkerLink>, ms: u64) {
        self.end_worker(slot, Some(link), Some(Notice::Stuck { slot: slot.0, ms }));
    }

    fn end_worker(
        &self,
        slot: WorkerSlot,
        link: Option<&Arc<WorkerLink>>,
        why: Option<Notice>,
    ) -> bool {
        let links = lock(&self.links);
        let holder = links.get(slot.index()).and_then(Option::as_ref);
        if let Some(link) = link
            && !holder.is_some_and(|holder| Arc::ptr_eq(holder, link))
        {
            return false;
        }
        // Of several that notice the death, one goes on.
        let is_first = [
            WorkerState::Running,
            WorkerState::Draining,
            WorkerState::Starting,
        ]
        .into_iter()
        .any(|from| self.workers.set_state(slot, from, WorkerState::Gone));
        if !is_first {
            return false;
        }
        if self
            .tasks_gone(slot)
            .is_some_and(|role| role != Role::Serve)
        {
            self.workers.unguard(slot);
        }
        self.cron_left(slot);
        let is_stuck = why.is_some();
        if let Some(why) = why {
            self.notices.push(why);
        }
        let report = Arc::new(GoneReport {
            slot,
            left: AtomicUsize::new(usize::from(self.config.reactors)),
            inflight: AtomicU32::new(0),
            replayed: AtomicU32::new(0),
            pending_messages: AtomicU32::new(
                holder.map_or(0, |link| link.block.pending_messages()),
            ),
            pending_packets: AtomicU32::new(holder.map_or(0, |link| link.block.pending_packets())),
            reason: if is_stuck {
                AdoptReason::Stuck
            } else {
                AdoptReason::Crash
            },
        });
        self.send_all(|| Message::WorkerGone {
            slot,
            report: Arc::clone(&report),
        });
        true
    }
}

fn put_link(
    links: &mut Vec<Option<Arc<WorkerLink>>>,
    slot: WorkerSlot,
    link: Option<Arc<WorkerLink>>,
) {
    if links.len() <= slot.index() {
        links.resize(slot.index() + 1, None);
    }
    links[slot.index()] = link;
}

/// Counts what becomes of a dead worker's exchanges, until every reactor has settled its part.
pub(crate) struct GoneReport {
    slot: WorkerSlot,
    left: AtomicUsize,
    inflight: AtomicU32,
    replayed: AtomicU32,
    /// Messages that were being handled and will be by nobody else; the first reactor that looks counts them.
    pending_messages: AtomicU32,
    /// Packets, likewise.
    pending_packets: AtomicU32,
    /// What the next owners of its connections are told.
    pub(crate) reason: AdoptReason,
}

impl GoneReport {
    pub(crate) fn count(&self, replayed: bool) {
        self.inflight.fetch_add(1, Ordering::Relaxed);
        self.replayed
            .fetch_add(u32::from(replayed), Ordering::Relaxed);
    }

    /// How many messages were being handled, beside the current one; 0 for all reactors but the first that asks.
    pub(crate) fn take_pending_messages(&self) -> u64 {
        u64::from(self.pending_messages.swap(0, Ordering::Relaxed))
    }

    /// The same of packets.
    pub(crate) fn take_pending_packets(&self) -> u64 {
        u64::from(self.pending_packets.swap(0, Ordering::Relaxed))
    }

    /// One reactor is done; the last one frees the slot and tells the master.
    pub(crate) fn done(&self, shared: &Shared) {
        // Pairs with the other reactors' decrements: their counts are seen by the last.
        if self.left.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let inflight = self.inflight.load(Ordering::Relaxed);
        let replayed = self.replayed.load(Ordering::Relaxed);
        shared.set_link(self.slot, None);
        let freed = shared.workers.free(self.slot);
        debug_assert!(freed, "a settled worker has nothing in hand");
        shared.notices.push(Notice::Gone {
            slot: self.slot.0,
            inflight,
            replayed,
            refused: inflight - replayed,
        });
    }
}

/// One bound port.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortInfo {
    /// The name in the configuration.
    pub name: String,
    /// What is spoken on it.
    pub protocol: PortProtocol,
    /// Whether it is encrypted.
    pub tls: bool,
    /// Peers that speak for others, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyConfig>,
    /// Longest request body that a worker reads as a whole.
    pub body_bytes: u64,
    /// The address of a TCP port, as it was given where the port is not bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The number of a TCP port, as the system chose it for 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The file of a unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why an optional port is not bound; its address is then the wanted one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Counters of one port.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortStats {
    /// Open connections.
    pub connections: u32,
    /// Whether nothing is accepted because of [`Server::pause_accept`].
    pub paused: bool,
    /// What the reactors have done for it.
    #[serde(flatten)]
    pub counters: PortCounters,
}

/// What a server is made of.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerInfo {
    /// The bound ports, in the order of the configuration.
    pub ports: Vec<PortInfo>,
    /// The number of reactors.
    pub reactors: u8,
}

/// Counters of one worker.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStats {
    /// Its slot.
    pub slot: u16,
    /// Requests it was given.
    pub requests: u64,
    /// Requests in its hands.
    pub inflight: u32,
    /// WebSockets and event streams that it owns.
    pub connections: usize,
    /// Wakes it was sent, batches and records it took.
    pub wakes: u32,
    /// Batches of records.
    pub batches: u32,
    /// Records.
    pub events: u32,
}

/// Counters of the whole server.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerStats {
    /// When the server started, Unix ms.
    pub start_time: u64,
    /// Open connections.
    pub connections: usize,
    /// Requests in flight, waiting ones included.
    pub concurrency: usize,
    /// Requests that wait for a worker.
    pub waiting: usize,
    /// Bytes received and not parsed, or written and not sent.
    pub buffered_bytes: usize,
    /// Shared timers.
    pub timers: usize,
    /// Tasks that wait for a worker.
    pub task_queue: usize,
    /// Tasks that wait for their time, the next try included.
    pub tasks_delayed: usize,
    /// Calls in the hands of workers.
    pub tasking: usize,
    /// Tries that have begun.
    pub task_count: u64,
    /// Tasks that are done.
    pub tasks_done: u64,
    /// Tasks that have failed, whichever way.
    pub tasks_failed: u64,
    /// Tries that have failed while others were left.
    pub tasks_retried: u64,
    /// Tasks that were cancelled.
    pub tasks_cancelled: u64,
    /// Of those that have failed: too slow in the last try.
    pub tasks_timed_out: u64,
    /// Of those: the worker of the last try died.
    pub tasks_lost: u64,
    /// Of those: no worker knew them.
    pub tasks_unknown: u64,
    /// Where durable tasks are kept, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks_journal: Option<TasksJournal>,
    /// Ticks of timers that were skipped: too late, or the call before was not over.
    pub ticks_skipped: u64,
    /// Cron jobs.
    pub cron_jobs: usize,
    /// Runs of cron jobs that were handed to the cron worker.
    pub cron_runs: u64,
    /// Those of them that failed, timed out or were lost with their worker.
    pub cron_failures: u64,
    /// Runs that were left out, as others of their job were not over.
    pub cron_skipped: u64,
    /// Runs that were left out, as it was too late for them.
    pub cron_missed: u64,
    /// What the reactors have done.
    #[serde(flatten)]
    pub counters: Counters,
    /// Refusals by limit.
    pub rejected: Rejected,
    /// Every worker that has a slot.
    pub per_worker: Vec<WorkerStats>,
}

/// A running server. Dropping it stops everything at once.
pub struct Server {
    pub(crate) shared: Arc<Shared>,
    reactors: Vec<Arc<Reactor>>,
    threads: Mutex<Option<Threads>>,
    info: ServerInfo,
    released: AtomicBool,
}

struct Threads {
    reactors: Vec<JoinHandle<()>>,
    watchdog: Watchdog,
    renewal: Renewal,
}

impl Server {
    /// Binds every port and starts the reactors; nothing is accepted yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] and [`Error::Listen`]: nothing is left behind.
    pub fn start(config: &str) -> Result<Self, Error> {
        let config = ServerConfig::parse(config)?;
        let (tls, warnings) = tls_ports(&config)?;
        static_files::site::check(&config.static_files)?;
        let mut listeners = Vec::new();
        let mut ports = Vec::new();
        for (index, port) in (0u16..).zip(&config.ports) {
            match listener::bind(port) {
                Ok((bound, address)) => {
                    ports.push(port_info(port, address, None));
                    listeners.extend(bound.into_iter().map(|bound| (index, bound)));
                }
                Err(error) if port.optional => {
                    let address = LocalAddress::wanted(&port.listen);
                    ports.push(port_info(port, address, Some(error.to_string())));
                }
                Err(error) => return Err(error),
            }
        }
        let info = ServerInfo {
            ports,
            reactors: config.reactors,
        };
        let mut families = vec![None; config.ports.len()];
        for (port, bound) in &listeners {
            families[usize::from(*port)] = bound.packet_family();
        }
        let shared = Arc::new(Shared::new(config, tls, families)?);
        let reactors: Vec<_> = (0..shared.config.reactors)
            .map(|id| Reactor::new(id, Arc::clone(&shared)))
            .collect();
        let weak = reactors.iter().map(Arc::downgrade).collect();
        let _ = shared.reactors.set(weak);
        let server = Self {
            reactors,
            threads: Mutex::new(None),
            info,
            released: AtomicBool::new(false),
            shared,
        };
        server.start_threads().map_err(Error::Reactor)?;
        let weak = Arc::downgrade(&server.shared);
        server.shared.tasks.start(&weak)?;
        for notice in warnings {
            server.shared.notices.push(notice);
        }
        for (port, bound) in listeners {
            // Ports are spread over the reactors; connections are spread when they are accepted.
            let reactor = (usize::from(port) % server.reactors.len()) as u8;
            server.shared.send(reactor, Message::Listen { port, bound });
        }
        Ok(server)
    }

    fn start_threads(&self) -> io::Result<()> {
        let affinity = &self.shared.config.affinity;
        let mut reactors = Vec::new();
        for (id, reactor) in self.reactors.iter().enumerate() {
            let cpu = (!affinity.is_empty()).then(|| affinity[id % affinity.len()]);
            reactors.push(reactor.spawn(format!("sluice-r{id}"), cpu)?);
        }
        let watchdog =
            Watchdog::start(Arc::downgrade(&self.shared), self.shared.config.stuck_after)?;
        let renewal = Renewal::start(&Arc::downgrade(&self.shared))?;
        Clock::start(Arc::downgrade(&self.shared), &self.shared.clock)?;
        *lock(&self.threads) = Some(Threads {
            reactors,
            watchdog,
            renewal,
        });
        Ok(())
    }

    /// Where the server listens.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// Starts accepting connections.
    pub fn accept(&self) {
        self.shared.send_all(|| Message::Accept);
    }

    /// Accepts no more connections on a port; those that come wait in the kernel's queue. False when there is no such port.
    /// Those that are being accepted at this moment still come.
    pub fn pause_accept(&self, port: u16) -> bool {
        let Some(paused) = self.shared.paused.get(usize::from(port)) else {
            return false;
        };
        paused.store(true, Ordering::Relaxed);
        true
    }

    /// Accepts again, first those that wait. False when there is no such port.
    pub fn resume_accept(&self, port: u16) -> bool {
        let Some(paused) = self.shared.paused.get(usize::from(port)) else {
            return false;
        };
        if paused.swap(false, Ordering::Relaxed) {
            // Whoever has its listener looks; the others have none.
            self.shared.send_all(|| Message::ResumePort { port });
        }
        true
    }

    /// Counters of one port.
    pub fn port_stats(&self, port: u16) -> Option<PortStats> {
        let paused = self.shared.paused.get(usize::from(port))?;
        let mut counters = PortCounters::default();
        for reactor in &self.reactors {
            counters += &reactor.lock().port_counters(port);
        }
        Some(PortStats {
            connections: self.shared.port_connections(port),
            paused: paused.load(Ordering::Relaxed),
            counters,
        })
    }

    /// Reads the certificates of every port again, for connections to come. What is wrong with them the notices say; a port
    /// goes on with what it had.
    pub fn renew_certificates(&self) {
        for (port, _) in self.shared.tls_ports() {
            self.shared.renew_certificates(port);
        }
    }

    /// `wake` is called when [`take_notices`](Self::take_notices) has something; `None` when nobody listens any more.
    pub fn set_notice_wake(&self, wake: Option<WakeFn>) {
        self.shared.notices.set_wake(wake);
    }

    /// What has happened since the last call, oldest first.
    pub fn take_notices(&self) -> Vec<Notice> {
        self.shared.notices.take()
    }

    /// Reserves a slot for a worker thread that is about to start.
    ///
    /// # Errors
    ///
    /// [`Error::NoWorkerSlot`].
    pub fn create_worker(&self) -> Result<WorkerSlot, Error> {
        let slot = self.shared.workers.claim().ok_or(Error::NoWorkerSlot)?;
        self.shared.workers.set_since(slot, self.shared.now());
        Ok(slot)
    }

    /// Attaches the calling thread to a slot. `wake` is called when a record waits and the worker sleeps.
    ///
    /// # Errors
    ///
    /// [`Error::WorkerState`] unless the slot was just created.
    pub fn attach_worker(&self, slot: WorkerSlot, wake: WakeFn) -> Result<Worker, Error> {
        let mut links = lock(&self.shared.links);
        self.expect_state(slot, WorkerState::Starting)?;
        if links.get(slot.index()).is_some_and(Option::is_some) {
            return Err(self.wrong_state(slot));
        }
        let link = Arc::new(WorkerLink::new(WorkerBlock::acquire(), wake));
        put_link(&mut links, slot, Some(Arc::clone(&link)));
        let (ring_of_tasks, tasks) = ring(TASK_RING_LOG2);
        let wants_space = Arc::new(AtomicBool::new(false));
        let lane = TaskLane::new(
            ring_of_tasks,
            Arc::clone(&link),
            self.shared.workers.generation(slot),
            Arc::clone(&wants_space),
        );
        self.shared.tasks_attached(slot, lane);
        let lanes = self
            .reactors
            .iter()
            .map(|reactor| {
                let shared = Arc::new(LaneShared::default());
                let (events, reader) = ring(EVENT_RING_LOG2);
                let (commands, consumer) = ring(COMMAND_RING_LOG2);
                let memory = reader.memory();
                reactor.send(Message::AttachWorker {
                    slot,
                    events: Box::new(EventLane::new(
                        events,
                        Arc::clone(&shared),
                        Arc::clone(&link),
                    )),
                    commands: Box::new(CommandLane {
                        slot,
                        ring: consumer,
                        shared: Arc::clone(&shared),
                    }),
                });
                WorkerLane {
                    reactor: Arc::clone(reactor),
                    commands,
                    shared,
                    events: memory,
                    reader: Some(reader),
                    unflushed: 0,
                }
            })
            .collect();
        let tasks = TaskReader::new(tasks, wants_space);
        Ok(Worker::new(
            Arc::clone(&self.shared),
            slot,
            link,
            lanes,
            tasks,
        ))
    }

    /// Lets an attached worker have work: one that serves by the dispatcher, another one by the tasks. `home` is its logical number: a
    /// successor after a reload or a crash has the same, and sticky requests stay with it. `pool`: the queues of a task worker that are
    /// not those of all task workers.
    ///
    /// # Errors
    ///
    /// [`Error::WorkerState`] unless the worker is attached and not activated yet.
    pub fn activate_worker(
        &self,
        slot: WorkerSlot,
        home: u16,
        role: Role,
        pool: Option<u16>,
    ) -> Result<(), Error> {
        let links = lock(&self.shared.links);
        let attached = links.get(slot.index()).is_some_and(Option::is_some);
        if !attached
            || !self
                .shared
                .workers
                .set_state(slot, WorkerState::Starting, WorkerState::Running)
        {
            return Err(self.wrong_state(slot));
        }
        if role == Role::Serve {
            for _ in &self.reactors {
                self.shared.workers.guard(slot);
            }
            self.shared.send_all(|| Message::Activate { slot, home });
        } else {
            // In place of the reactors', which never hear of it.
            self.shared.workers.guard(slot);
        }
        self.shared.tasks_activated(slot, home, role, pool);
        if role == Role::Cron {
            self.shared.cron_activated(slot);
        }
        Ok(())
    }

    /// Takes a worker out of dispatch; [`Notice::Drained`] follows. Does nothing to one that does not run.
    ///
    /// `reason` is what the workers are told that adopt its connections.
    pub fn drain_worker(&self, slot: WorkerSlot, reason: AdoptReason) {
        let _in_order = lock(&self.shared.links);
        if self
            .shared
            .workers
            .set_state(slot, WorkerState::Running, WorkerState::Draining)
        {
            let role = self.shared.tasks_leaving(slot);
            if role == Some(Role::Cron) {
                self.shared.cron_left(slot);
            }
            match role {
                Some(Role::Serve) | None => {
                    self.shared.send_all(|| Message::Drain { slot, reason });
                }
                Some(_) => {
                    if self.shared.workers.unguard(slot) {
                        self.shared.drained(slot);
                    }
                }
            }
        }
    }

    /// Treats a worker as dead from now on, whether its thread has ended or not. False when it is gone already.
    pub fn write_off_worker(&self, slot: WorkerSlot) -> bool {
        self.shared.worker_gone(slot, None)
    }

    /// Stops accepting, the timers and the cron jobs, and closes every connection after its current answer; idle ones after `grace` ms, in which they
    /// may still bring a request. WebSockets are closed with `code`. [`Notice::Stopped`] follows. Idempotent.
    pub fn stop(&self, grace: u64, code: u16) {
        self.shared.timers.stop();
        self.shared.cron.stop();
        self.shared.send_all(|| Message::Stop { grace, code });
    }

    /// Closes what is left at once and ends the threads. Idempotent; waits for the reactors' current pass.
    pub fn release(&self) {
        if self.released.swap(true, Ordering::AcqRel) {
            return;
        }
        self.set_notice_wake(None);
        self.shared.clock.end();
        self.shared.send_all(|| Message::Abort);
        for reactor in &self.reactors {
            reactor.end();
        }
        if let Some(threads) = lock(&self.threads).take() {
            for thread in threads.reactors {
                // A reactor that panicked has nothing left to wait for.
                let _ = thread.join();
            }
            drop(threads.watchdog);
            drop(threads.renewal);
        }
        self.shared.tasks.close();
        self.shared.spooler.close();
    }

    /// Counters of everything.
    pub fn stats(&self) -> ServerStats {
        let mut counters = Counters::default();
        let mut rejected = Rejected::default();
        let mut owned = Vec::new();
        let (mut connections, mut concurrency, mut waiting, mut buffered) = (0, 0, 0, 0);
        for reactor in &self.reactors {
            let engine = reactor.lock();
            counters += &engine.counters;
            rejected += &engine.rejected;
            engine.count_owned(&mut owned);
            let census = engine.census();
            connections += census.open;
            concurrency += census.in_flight;
            waiting += census.waiting;
            buffered += census.buffered;
        }
        let workers = &self.shared.workers;
        let per_worker = workers
            .taken()
            .map(|slot| {
                let block = self.shared.link(slot).map(|link| link.block.counters());
                WorkerStats {
                    slot: slot.0,
                    requests: workers.requests(slot),
                    inflight: workers.inflight(slot),
                    connections: owned.get(slot.index()).copied().unwrap_or(0),
                    wakes: block.as_ref().map_or(0, |block| block.wakes),
                    batches: block.as_ref().map_or(0, |block| block.batches),
                    events: block.as_ref().map_or(0, |block| block.events),
                }
            })
            .collect();
        let (timers, timers_waiting, skipped) = self.shared.timers.stats();
        let tasks = self.shared.on_tasks(|state, _| state.tasks.stats());
        let (cron_jobs, cron) = self.shared.cron.stats();
        ServerStats {
            timers,
            task_queue: timers_waiting + tasks.total.waiting,
            tasks_delayed: tasks.total.delayed,
            tasking: tasks.handed,
            task_count: tasks.total.begun,
            tasks_done: tasks.total.done,
            tasks_failed: tasks.total.failed,
            tasks_retried: tasks.total.retried,
            tasks_cancelled: tasks.total.cancelled,
            tasks_timed_out: tasks.total.timed_out,
            tasks_lost: tasks.total.lost,
            tasks_unknown: tasks.total.unknown,
            tasks_journal: self.shared.tasks.journal_stats(),
            ticks_skipped: skipped,
            cron_jobs,
            cron_runs: cron.runs,
            cron_failures: cron.failures,
            cron_skipped: cron.skipped,
            cron_missed: cron.missed,
            start_time: self.shared.started_unix_ms(),
            connections,
            concurrency,
            waiting,
            buffered_bytes: buffered,
            counters,
            rejected,
            per_worker,
        }
    }

    fn expect_state(&self, slot: WorkerSlot, state: WorkerState) -> Result<(), Error> {
        if self.shared.workers.state(slot) == state {
            Ok(())
        } else {
            Err(self.wrong_state(slot))
        }
    }

    fn wrong_state(&self, slot: WorkerSlot) -> Error {
        Error::WorkerState {
            slot: slot.0,
            state: match self.shared.workers.state(slot) {
                WorkerState::Free => "free",
                WorkerState::Starting => "starting",
                WorkerState::Running => "running",
                WorkerState::Draining => "draining",
                WorkerState::Gone => "gone",
            },
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.release();
    }
}

/// Reads the certificates of every port; the notices say which are used although something is wrong with them.
fn tls_ports(config: &ServerConfig) -> Result<(Vec<Option<TlsPort>>, Vec<Notice>), Error> {
    let mut notices = Vec::new();
    let mut ports = Vec::new();
    for port in &config.ports {
        let tls = port.tls.as_ref().map(TlsPort::new).transpose()?;
        ports.push(tls.map(|(tls, warnings)| {
            if !warnings.is_empty() {
                notices.push(Notice::Certificates {
                    port: port.name.clone(),
                    error: None,
                    warnings,
                });
            }
            tls
        }));
    }
    Ok((ports, notices))
}

fn port_info(config: &PortConfig, address: LocalAddress, error: Option<String>) -> PortInfo {
    let (host, port, path) = match address {
        LocalAddress::Tcp(address) => (Some(address.ip().to_string()), Some(address.port()), None),
        LocalAddress::Named(host, port) => (Some(host), Some(port), None),
        LocalAddress::Unix(path) => (None, None, Some(path.display().to_string())),
    };
    PortInfo {
        name: config.name.clone(),
        protocol: config.protocol,
        tls: config.tls.is_some(),
        proxy: (!config.proxy.trust.is_empty()).then(|| config.proxy.clone()),
        body_bytes: config.limits.body_bytes,
        host,
        port,
        path,
        error,
    }
}

fn shortest_limit(limits: &Limits) -> impl Iterator<Item = u64> {
    [
        limits.header_timeout,
        limits.body_grace,
        limits.keep_alive_timeout,
        limits.answer_timeout,
        limits.send_timeout,
        limits.queue_timeout,
    ]
    .into_iter()
    .filter(|&limit| limit > 0)
}
