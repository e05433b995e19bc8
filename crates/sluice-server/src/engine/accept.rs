//! Accepting connections and sharing them among reactors.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use sluice_core::id::ConnectionId;

use super::Engine;
use crate::connection::{Connection, Meter, Phase};
use crate::listener::{Bound, Listener};
use crate::output::Output;
use crate::reactor::Message;
use crate::socket::Socket;
use crate::stats::PortCounters;
use crate::stream::{Detached, Peer, Stream};
use crate::wake::SocketWaker;

/// Tokens from here on name listeners.
pub(crate) const FIRST_LISTENER: u32 = 0xffff_ff00;
/// Connections taken from one listener in one pass, so that a connect flood cannot starve the others.
const ACCEPT_BATCH: usize = 64;
/// How long accepting rests after an error such as EMFILE, ms.
const BACK_OFF: u64 = 100;

/// A listener of this reactor.
pub(crate) struct Acceptor {
    port: u16,
    listener: Listener,
    waker: Waker,
    socket_waker: Arc<SocketWaker>,
    accepting: bool,
    /// After an error: goes on at this time.
    resume_at: Option<u64>,
}

impl Acceptor {
    pub(super) fn is_backing_off(&self) -> bool {
        self.resume_at.is_some()
    }
}

impl Engine {
    pub(super) fn listen(&mut self, port: u16, bound: Bound) {
        let bound = match bound {
            Bound::Packets(bound) => return self.open_packets(port, bound),
            bound => bound,
        };
        let token = FIRST_LISTENER + self.acceptors.len() as u32;
        let socket_waker = SocketWaker::new(token, Arc::clone(&self.ready));
        match Listener::register(bound) {
            Ok(listener) => self.acceptors.push(Acceptor {
                port,
                listener,
                waker: Waker::from(Arc::clone(&socket_waker)),
                socket_waker,
                accepting: false,
                resume_at: None,
            }),
            // Registering with epoll fails only when the process is out of file descriptors or memory.
            Err(error) => self.shared.failed(&error),
        }
    }

    pub(super) fn start_accepting(&mut self) {
        self.receive_packets(!self.stopping);
        for index in 0..self.acceptors.len() {
            self.acceptors[index].accepting = true;
            self.accept(index);
        }
    }

    /// A port that was paused accepts again, if it has begun to accept at all.
    pub(super) fn resume_port(&mut self, port: u16) {
        self.resume_packets(port);
        for index in 0..self.acceptors.len() {
            if self.acceptors[index].port == port {
                self.accept(index);
            }
        }
    }

    pub(super) fn stop_accepting(&mut self) {
        self.receive_packets(false);
        self.acceptors.clear();
    }

    /// Lets listeners that rested after an error try again.
    pub(super) fn resume_accepting(&mut self) {
        for index in 0..self.acceptors.len() {
            if self.acceptors[index]
                .resume_at
                .is_some_and(|at| at <= self.now)
            {
                self.acceptors[index].resume_at = None;
                self.accept(index);
            }
        }
    }

    pub(super) fn accept(&mut self, index: usize) {
        let Some(acceptor) = self.acceptors.get(index) else {
            return;
        };
        acceptor.socket_waker.rearm();
        if !acceptor.accepting || acceptor.resume_at.is_some() {
            return;
        }
        let port = acceptor.port;
        if self.shared.is_paused(port) {
            // The kernel keeps what comes in the backlog.
            return;
        }
        let limit = self.port_limits(port).connections;
        for _ in 0..ACCEPT_BATCH {
            if self.shared.port_connections(port) >= limit {
                self.rejected.connections += 1;
                // The kernel keeps the rest in the backlog; a closing connection makes us look again.
                self.shared.connections_full(port, self.id);
                return;
            }
            let acceptor = &self.acceptors[index];
            let mut cx = Context::from_waker(&acceptor.waker);
            match acceptor.listener.poll_accept(&mut cx) {
                Poll::Pending => return,
                Poll::Ready(Ok((stream, peer))) => self.place(port, stream, peer),
                Poll::Ready(Err(error)) if is_transient(&error) => {}
                Poll::Ready(Err(_)) => {
                    // Out of descriptors or memory: accept(2) would fail at once again and spin.
                    self.rejected.accept += 1;
                    self.acceptors[index].resume_at = Some(self.now + BACK_OFF);
                    return;
                }
            }
        }
        self.ready.push(FIRST_LISTENER + index as u32);
        self.ready.wake_task();
    }

    /// Gives a new connection to the reactor with the fewest.
    fn place(&mut self, port: u16, stream: Stream, peer: Peer) {
        self.counters.accept_count += 1;
        self.ports[usize::from(port)].accept_count += 1;
        self.shared.connection_opened(port);
        stream.configure(&self.shared.config.ports[usize::from(port)].tcp);
        let target = self.shared.least_connected(self.id);
        self.shared.reactor_connections[usize::from(target)].fetch_add(1, Ordering::Relaxed);
        if target == self.id {
            self.open(port, stream, peer, Vec::new(), false);
            return;
        }
        match stream.detach() {
            Ok(stream) => self.shared.send(
                target,
                Message::Adopt {
                    port,
                    stream,
                    peer,
                    input: Vec::new(),
                    is_open: false,
                },
            ),
            Err(_) => self.shared.connection_closed(port, target),
        }
    }

    /// Takes over a connection that another reactor accepted.
    pub(super) fn adopt(
        &mut self,
        port: u16,
        stream: Detached,
        peer: Peer,
        input: Vec<u8>,
        is_open: bool,
    ) {
        match Stream::attach(stream) {
            Ok(stream) if !self.stopping => self.open(port, stream, peer, input, is_open),
            Ok(_) | Err(_) => self.shared.connection_closed(port, self.id),
        }
    }

    /// Gives an idle connection to another reactor, with what it has sent.
    pub(super) fn move_connection(&mut self, slot: u32, target: u8, input: &[u8]) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        let (port, peer) = (connection.port, connection.peer);
        let bytes = (connection.bytes_in, connection.bytes_out);
        let stream = std::mem::replace(&mut connection.stream, Stream::Gone);
        self.free_place(slot);
        self.count_bytes(port, bytes);
        match stream.detach() {
            Ok(stream) => {
                self.shared.connection_moved(self.id, target);
                let input = input.to_vec();
                let message = Message::Adopt {
                    port,
                    stream,
                    peer,
                    input,
                    is_open: true,
                };
                self.shared.send(target, message);
            }
            Err(_) => self.shared.connection_closed(port, self.id),
        }
    }

    /// `is_open`: another reactor has gone through what comes before the protocol.
    fn open(&mut self, port: u16, stream: Stream, peer: Peer, mut input: Vec<u8>, is_open: bool) {
        let id = ConnectionId(
            self.shared
                .next_connection_id
                .fetch_add(1, Ordering::Relaxed),
        );
        let (stream, phase) = if is_open {
            (stream, Phase::Head)
        } else {
            self.begin_opening(port, stream)
        };
        let is_open = matches!(phase, Phase::Head);
        let slot = self.occupy(id, port, stream, peer, phase, None);
        if is_open {
            self.begin_protocol(slot);
        } else {
            let at = self.now + self.port_limits(port).header_timeout;
            self.set_deadline(slot, at);
        }
        if !input.is_empty() {
            self.deliver(slot, &mut input);
        }
        // Registers the waker, and takes what came with the handshake.
        self.read(slot);
    }

    /// Gives a connection a place.
    pub(super) fn occupy(
        &mut self,
        id: ConnectionId,
        port: u16,
        stream: Stream,
        peer: Peer,
        phase: Phase,
        parent: Option<u32>,
    ) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.generations.push(0);
            self.deadlines.push(u64::MAX);
            self.connections.len() as u32 - 1
        });
        let socket_waker = SocketWaker::new(slot, Arc::clone(&self.ready));
        self.connections[slot as usize] = Some(Box::new(Connection {
            id,
            port,
            peer,
            stream,
            waker: Waker::from(Arc::clone(&socket_waker)),
            socket_waker,
            phase,
            input: Vec::new(),
            scanned: 0,
            output: Output::default(),
            first: None,
            last: None,
            in_flight: 0,
            barrier: false,
            is_fresh: parent.is_none(),
            eof: false,
            stalled: false,
            send_timed: false,
            write_blocked: false,
            dirty: false,
            ring_blocked: false,
            output_blocked: false,
            worker: None,
            meter: Meter::default(),
            http2: None,
            parent,
            socket: None,
            connected_at: self.now,
            bytes_in: 0,
            bytes_out: 0,
        }));
        self.open += 1;
        slot
    }

    /// Closes the socket of a connection and forgets it, unless its worker has to be told. Its exchanges must be gone
    /// already.
    pub(super) fn close(&mut self, slot: u32) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        debug_assert!(connection.first.is_none());
        if matches!(connection.phase, Phase::Gone) {
            return;
        }
        let port = connection.port;
        let parent = connection.parent.take();
        let bytes = (connection.bytes_in, connection.bytes_out);
        let is_kept = connection.socket.is_some() && self.keep_closed(slot);
        if let Some(parent) = parent {
            self.leave_parent(parent, slot);
        } else {
            self.counters.close_count += 1;
            self.ports[usize::from(port)].close_count += 1;
            self.count_bytes(port, bytes);
            // A connection by a TCP port counts until its worker knows of its end: whoever connects and leaves while a worker
            // hangs is bound by the same limit.
            if !(is_kept && self.socket_of(slot).is_some_and(|socket| socket.is_tcp())) {
                self.shared.connection_closed(port, self.id);
            }
        }
        if !is_kept {
            self.free_place(slot);
        }
    }

    fn count_bytes(&mut self, port: u16, (received, sent): (u64, u64)) {
        let counters = &mut self.ports[usize::from(port)];
        counters.bytes_in += received;
        counters.bytes_out += sent;
    }

    /// What this reactor has done for a port. The bytes of open connections are added up now, so that nobody pays for them
    /// while they flow.
    pub(crate) fn port_counters(&self, port: u16) -> PortCounters {
        let mut counters = self.ports[usize::from(port)].clone();
        let open = self.connections.iter().flatten();
        for connection in open.filter(|connection| connection.port == port) {
            if !matches!(connection.phase, Phase::Gone) {
                counters.bytes_in += connection.bytes_in;
                counters.bytes_out += connection.bytes_out;
            }
        }
        counters
    }

    /// Gives the place of a closed connection to the next one.
    pub(super) fn free_place(&mut self, slot: u32) {
        let Some(connection) = self
            .connections
            .get_mut(slot as usize)
            .and_then(Option::take)
        else {
            return;
        };
        let is_tcp = connection.socket.as_deref().is_some_and(Socket::is_tcp);
        if is_tcp && matches!(connection.phase, Phase::Gone) {
            self.shared.connection_closed(connection.port, self.id);
        }
        self.recycle(connection.input);
        self.set_send_deadline(slot, u64::MAX);
        self.generations[slot as usize] = self.generations[slot as usize].wrapping_add(1);
        self.free.push(slot);
        self.open -= 1;
    }
}

/// Errors of accept(2) that concern one connection only.
fn is_transient(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::Interrupted
            | Kind::ConnectionRefused
    )
}
