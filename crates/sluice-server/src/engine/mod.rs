//! One reactor's state and everything that changes it.
//!
//! The engine sits behind its reactor's mutex. The reactor's task holds it for a whole pass; a worker's
//! thread may take it for a moment to write its own answers when the reactor sleeps ([`Engine::commands`]),
//! which saves waking another thread at light load. No method blocks, none calls JavaScript.

mod accept;
mod answer;
mod deadlines;
mod detach;
mod dispatch;
mod egress;
mod file;
mod handover;
mod http2;
mod intake;
mod opening;
mod packet;
mod refusal;
mod socket;
mod turn;
mod upload;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sluice_core::config::Limits;
use sluice_core::dispatch::{Candidate, Dispatcher};
use sluice_core::id::WorkerSlot;
use sluice_shared::record::Handshake;

use crate::connection::Connection;
use crate::http1::{DateCache, HeadLimits, RequestHead};
use crate::http2::Settings;
use crate::lane::{CommandLane, EventLane};
use crate::pending::Pending;
use crate::reactor::Message;
use crate::server::Shared;
use crate::static_files::Site;
use crate::stats::{Counters, PortCounters, Rejected};
use crate::wake::ReadyQueue;
use crate::websocket::{Deflaters, Tools};
use crate::worker::WorkerLink;

pub(crate) use accept::Acceptor;
pub(crate) use packet::PacketShare;

/// Read at once from one socket.
const READ_BYTES: usize = 64 * 1024;
/// Buffers kept for reuse.
const POOL: usize = 512;
/// A buffer that has grown beyond this goes back to the allocator.
const POOLED_BYTES: usize = 16 * 1024;

/// See the module.
pub(crate) struct Engine {
    pub(crate) id: u8,
    pub(crate) shared: Arc<Shared>,
    ready: Arc<ReadyQueue>,
    /// Milliseconds since the server started, read once per pass.
    now: u64,
    date: DateCache,
    /// By port.
    dispatchers: Vec<Dispatcher>,
    acceptors: Vec<Acceptor>,
    packets: packet::PacketPorts,
    pub(crate) connections: Vec<Option<Box<Connection>>>,
    /// Tells the connections of one place apart.
    pub(crate) generations: Vec<u32>,
    /// When each connection must have moved on; `u64::MAX` = never.
    deadlines: Vec<u64>,
    free: Vec<u32>,
    open: usize,
    pending: Pending,
    /// Exchanges that no worker could take yet, in order, with their generations.
    waiting: VecDeque<(u32, u32)>,
    /// Something happened that may let a waiting exchange go.
    retry_waiting: bool,
    events: Vec<Option<EventLane>>,
    commands: Vec<Option<CommandLane>>,
    active: Vec<Candidate>,
    /// Connections with something to send or to parse, handled once at the end of a pass.
    dirty: Vec<u32>,
    /// Connections that wait for room in an event ring.
    ring_blocked: Vec<u32>,
    head: RequestHead,
    /// Whether `head` asks for a WebSocket.
    handshake: Handshake,
    limits: Vec<(Limits, HeadLimits)>,
    http2: Vec<Settings>,
    /// Scratch: the head of a request of HTTP/2.
    request_text: Vec<u8>,
    /// How many of the open connections are streams of others.
    streams: usize,
    scratch: Vec<u8>,
    decoded: Vec<u8>,
    pool: Vec<Vec<u8>>,
    expired: Vec<u32>,
    /// Scratch: members of a channel.
    members: Vec<(u32, u32)>,
    /// What answers before any worker is asked.
    sites: Vec<Site>,
    /// Scratch: the header lines of an answer with a file.
    file_headers: Vec<u8>,
    /// WebSockets that have sent as much as they may in this second, and when they may again.
    paced: Vec<(u32, u32, u64)>,
    /// Sessions whose connections are broken, and when they end.
    suspended: VecDeque<(u32, u32, u64)>,
    /// When the history is looked at next.
    purge_at: u64,
    tools: Tools,
    deflaters: Deflaters,
    /// Scratch: a compressed message.
    compressed: Vec<u8>,
    stopping: bool,
    /// The code that WebSockets are closed with by the stop.
    stop_code: u16,
    /// When the stop began.
    stopped_at: u64,
    /// When idle connections close after a stop.
    stop_at: u64,
    stopped: bool,
    pub(crate) counters: Counters,
    /// By port.
    ports: Vec<PortCounters>,
    pub(crate) rejected: Rejected,
}

/// What a reactor tells of itself.
pub(crate) struct Census {
    pub(crate) open: usize,
    pub(crate) in_flight: usize,
    pub(crate) waiting: usize,
    pub(crate) buffered: usize,
}

impl Engine {
    pub(crate) fn new(id: u8, shared: Arc<Shared>, ready: Arc<ReadyQueue>) -> Self {
        let limits = shared
            .config
            .ports
            .iter()
            .map(|port| {
                let limits = port.limits.clone();
                let head = HeadLimits {
                    head_bytes: limits.header_bytes as usize,
                    fields: limits.header_fields as usize,
                    target_bytes: limits.target_bytes as usize,
                };
                (limits, head)
            })
            .collect();
        let dispatchers = shared
            .config
            .ports
            .iter()
            .map(|port| {
                let rule = port.dispatch.as_ref().unwrap_or(&shared.config.dispatch);
                Dispatcher::new(rule, u16::from(id))
            })
            .collect();
        let sites = shared.config.static_files.iter().map(Site::new).collect();
        let ports = vec![PortCounters::default(); shared.config.ports.len()];
        let http2 = shared
            .config
            .ports
            .iter()
            .map(|port| Settings::new(&port.limits))
            .collect();
        Self {
            id,
            dispatchers,
            shared,
            ready,
            now: 0,
            date: DateCache::default(),
            acceptors: Vec::new(),
            packets: packet::PacketPorts::default(),
            connections: Vec::new(),
            generations: Vec::new(),
            deadlines: Vec::new(),
            free: Vec::new(),
            open: 0,
            pending: Pending::default(),
            waiting: VecDeque::new(),
            retry_waiting: false,
            events: Vec::new(),
            commands: Vec::new(),
            active: Vec::new(),
            dirty: Vec::new(),
            ring_blocked: Vec::new(),
            head: RequestHead::default(),
            handshake: Handshake::None,
            http2,
            request_text: Vec::new(),
            streams: 0,
            limits,
            scratch: vec![0; READ_BYTES],
            decoded: Vec::new(),
            pool: Vec::new(),
            expired: Vec::new(),
            members: Vec::new(),
            sites,
            file_headers: Vec::new(),
            paced: Vec::new(),
            suspended: VecDeque::new(),
            purge_at: 0,
            tools: Tools::default(),
            deflaters: Deflaters::default(),
            compressed: Vec::new(),
            stopping: false,
            stop_code: 1001,
            stopped_at: 0,
            stop_at: u64::MAX,
            stopped: false,
            counters: Counters::default(),
            ports,
            rejected: Rejected::default(),
        }
    }

    /// Handles a message from the master or another reactor. Runs on the reactor's thread.
    pub(crate) fn handle(&mut self, message: Message) {
        match message {
            Message::Listen { port, bound } => self.listen(port, bound),
            Message::Accept => self.start_accepting(),
            Message::ResumePort { port } => self.resume_port(port),
            Message::Adopt {
                port,
                stream,
                peer,
                input,
                is_open,
            } => self.adopt(port, stream, peer, input, is_open),
            Message::AttachWorker {
                slot,
                events,
                commands,
            } => self.attach_worker(slot, *events, *commands),
            Message::Activate { slot, home } => self.activate(slot, home),
            Message::Drain { slot, reason } => self.deactivate(slot, reason),
            Message::Command { words, bytes } => self.outside_command(words, &bytes),
            Message::Fanout(fanout) => self.fan_out(&fanout),
            Message::FormNews { index, generation } => self.tell_of_form(index, generation),
            Message::WorkerGone { slot, report } => self.worker_gone(slot, &report),
            Message::Stop { grace, code } => self.stop(grace, code),
            Message::Abort => self.abort_all(),
        }
    }

    /// The start of a pass: reads the clock.
    pub(crate) fn begin_pass(&mut self) {
        self.now = self.shared.now();
        self.counters.passes += 1;
    }

    /// A socket or listener has news. Runs on the reactor's thread.
    pub(crate) fn on_ready(&mut self, token: u32) {
        if token >= accept::FIRST_LISTENER {
            self.accept((token - accept::FIRST_LISTENER) as usize);
            return;
        }
        if token >= packet::FIRST_PACKET_SOCKET {
            self.packet_socket_ready((token - packet::FIRST_PACKET_SOCKET) as usize);
            return;
        }
        let Some(connection) = self.connection(token) else {
            return;
        };
        connection.socket_waker.rearm();
        if connection.http2.is_some() {
            return self.drive_http2(token);
        }
        if connection.write_blocked {
            connection.write_blocked = false;
            self.mark_dirty(token);
        }
        self.read(token);
    }

    /// Carries out what workers have answered. Runs on the reactor's thread, or on a worker's while the reactor sleeps.
    pub(crate) fn commands(&mut self) {
        for slot in 0..self.commands.len() {
            if let Some(mut lane) = self.commands[slot].take() {
                self.run_commands(&mut lane);
                // A lane that left meanwhile stays away: only `handle` removes lanes, and it does not run inside.
                self.commands[slot] = Some(lane);
            }
        }
    }

    /// The end of a pass: lets waiting work go, writes to sockets, publishes event records. `wakes` gets the workers to wake.
    pub(crate) fn end_pass(&mut self, wakes: &mut Vec<Arc<WorkerLink>>) {
        self.unblock_rings();
        self.dispatch_waiting();
        self.deliver_packets();
        self.flush_connections();
        self.send_packets();
        self.publish_events(wakes);
        self.shared.reactors_pending[usize::from(self.id)]
            .store(self.pending.len() as u32, Ordering::Relaxed);
        if self.stopping && self.open == 0 && !self.stopped && self.packets_are_settled() {
            self.stopped = true;
            self.shared.reactor_stopped();
        }
    }

    /// Whether a worker's command ring or the ready list has something this pass has not seen.
    pub(crate) fn has_commands(&self) -> bool {
        self.commands.iter().flatten().any(CommandLane::has_work)
            || self.events.iter().flatten().any(EventLane::has_space_news)
    }

    /// Whether deadlines need watching.
    pub(crate) fn wants_tick(&self) -> bool {
        self.open > 0
            || self.acceptors.iter().any(Acceptor::is_backing_off)
            || (self.stopping && !self.stopped)
    }

    /// Exchanges in flight, waiting ones included.
    pub(crate) fn in_flight(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn census(&self) -> Census {
        Census {
            open: self.open - self.streams,
            in_flight: self.pending.len(),
            waiting: self
                .waiting
                .iter()
                .filter(|(index, generation)| self.pending.is_waiting(*index, *generation))
                .count(),
            buffered: self
                .connections
                .iter()
                .flatten()
                .map(|connection| connection.input.len() + connection.output.buffered())
                .sum(),
        }
    }

    /// The connection of an exchange that `worker` holds.
    pub(crate) fn exchange_connection(
        &mut self,
        index: u32,
        generation: u32,
        worker: WorkerSlot,
    ) -> Option<u32> {
        self.pending
            .held_by(index, generation, worker)
            .map(|exchange| exchange.connection)
    }

    fn connection(&mut self, slot: u32) -> Option<&mut Connection> {
        self.connections.get_mut(slot as usize)?.as_deref_mut()
    }

    /// While the socket takes nothing, the time limit of sending runs and no other: it is neither put off nor
    /// forgotten because something else happens on the connection.
    fn set_deadline(&mut self, slot: u32, at: u64) {
        if self
            .connection(slot)
            .is_some_and(|connection| connection.send_timed)
        {
            return;
        }
        self.set_send_deadline(slot, at);
    }

    fn set_send_deadline(&mut self, slot: u32, at: u64) {
        if let Some(deadline) = self.deadlines.get_mut(slot as usize) {
            *deadline = at;
        }
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_default()
    }

    fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && buffer.capacity() <= POOLED_BYTES && self.pool.len() < POOL {
            buffer.clear();
            self.pool.push(buffer);
        }
    }

    fn mark_dirty(&mut self, slot: u32) {
        if let Some(connection) = self.connections[slot as usize].as_deref_mut()
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// The port by which the connection in a slot came.
    fn port_of(&self, slot: u32) -> u16 {
        self.connections
            .get(slot as usize)
            .and_then(Option::as_deref)
            .map_or(0, |connection| connection.port)
    }

    fn port_limits(&self, port: u16) -> &Limits {
        &self.limits[usize::from(port)].0
    }

    /// Takes one count of work off a worker; tells the master when a draining one is empty.
    fn settle(&self, worker: WorkerSlot) {
        if self.shared.workers.finish(worker) {
            self.shared.drained(worker);
        }
    }
}
