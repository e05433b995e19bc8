//! One client connection: its socket, what was read and not yet parsed, what is still to be sent.

use std::sync::Arc;
use std::task::Waker;

use sluice_core::flow::Credit;
use sluice_core::id::{ConnectionId, WorkerSlot};

use crate::http1::BodyDecoder;
use crate::http2::Driver;
use crate::output::Output;
use crate::proxy_protocol::HEADER_BYTES_MAX;
use crate::socket::{Protocol, Socket};
use crate::stream::{Peer, Stream};
use crate::wake::SocketWaker;

/// What the bytes that come next are.
pub(crate) enum Phase {
    /// The PROXY header, before anything else.
    ProxyHeader,
    /// The TLS handshake.
    Handshake,
    /// A request head, or nothing for a while.
    Head,
    /// A head whose body is short enough to be waited for: dispatched when `need` bytes are in `input`.
    Buffering { need: usize },
    /// The body of a request that a worker already has.
    Streaming(Upload),
    /// The rest of a body nobody wants; at most `left` more bytes, then the connection is closed.
    Discarding { decoder: BodyDecoder, left: usize },
    /// Nothing more is read as a request; closes when the output is sent.
    Closing,
    /// Frames of a WebSocket, or what comes by a TCP port; of an event stream's client nothing is expected.
    Socket,
    /// Frames of HTTP/2: its streams are connections of their own.
    Http2,
    /// The socket is closed; the connection keeps its place until its worker knows.
    Gone,
    /// FIN is sent. Reads until the peer's FIN, because closing with unread input makes the kernel send
    /// RST, and a RST can destroy the answer before the client has read it.
    Lingering,
}

/// A request body on its way to a worker.
pub(crate) struct Upload {
    pub(crate) exchange: u32,
    pub(crate) decoder: BodyDecoder,
    /// What the worker is willing to take; `None` before its first read.
    pub(crate) credit: Option<Credit>,
}

/// How fast a body arrives, to tell slow clients from stalled ones.
#[derive(Clone, Copy, Default)]
pub(crate) struct Meter {
    pub(crate) since: u64,
    pub(crate) bytes: u64,
}

/// A connection that speaks HTTP/2.
pub(crate) struct Http2 {
    /// Away while it is polled.
    pub(crate) driver: Option<Box<Driver>>,
    /// Its streams, connections of their own in the same slab.
    pub(crate) streams: Vec<u32>,
    /// Since when there is none.
    pub(crate) idle_since: u64,
    /// Since when the client owes the rest of a head.
    pub(crate) head_since: Option<u64>,
    /// It was told to open no more streams.
    pub(crate) is_ending: bool,
    /// The pass that it was last driven in.
    pub(crate) pass: u64,
}

/// A connection. Lives in its reactor's slab; about 400 bytes while idle.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) port: u16,
    pub(crate) peer: Peer,
    pub(crate) stream: Stream,
    /// The standard waker made of `socket_waker`.
    pub(crate) waker: Waker,
    pub(crate) socket_waker: Arc<SocketWaker>,
    pub(crate) phase: Phase,
    /// Bytes received and not yet understood.
    pub(crate) input: Vec<u8>,
    /// How much of `input` an incomplete head has been searched already.
    pub(crate) scanned: usize,
    pub(crate) output: Output,
    /// Exchanges in the order of their requests, linked through `Exchange::next`.
    pub(crate) first: Option<u32>,
    pub(crate) last: Option<u32>,
    pub(crate) in_flight: u32,
    /// A request with side effects or an unread body is in flight: nothing is dispatched beside it.
    pub(crate) barrier: bool,
    /// No request has come yet: what comes may be the preface of HTTP/2.
    pub(crate) is_fresh: bool,
    /// The peer has sent FIN.
    pub(crate) eof: bool,
    /// Reading stopped although the socket may have more; no waker is registered.
    pub(crate) stalled: bool,
    /// The send deadline runs.
    pub(crate) send_timed: bool,
    /// The socket took less than offered; its waker is registered.
    pub(crate) write_blocked: bool,
    /// In the engine's list of connections to be flushed.
    pub(crate) dirty: bool,
    /// Waiting for room in an event ring.
    pub(crate) ring_blocked: bool,
    /// Input waits until some of the output is sent.
    pub(crate) output_blocked: bool,
    /// The worker that `dispatch: connection` chose.
    pub(crate) worker: Option<WorkerSlot>,
    pub(crate) meter: Meter,
    /// What HTTP/2 has beyond a socket.
    pub(crate) http2: Option<Box<Http2>>,
    /// The HTTP/2 connection that this is a stream of.
    pub(crate) parent: Option<u32>,
    /// What a WebSocket or event stream has beyond HTTP.
    pub(crate) socket: Option<Box<Socket>>,
    pub(crate) connected_at: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// Input kept while requests cannot be taken; beyond, the socket is not read.
const INPUT_MAX: usize = 64 * 1024;

impl Connection {
    pub(crate) fn is_idle(&self) -> bool {
        self.first.is_none()
            && self.input.is_empty()
            && matches!(
                self.phase,
                Phase::ProxyHeader | Phase::Handshake | Phase::Head
            )
    }

    /// Bytes of a message on a TCP port that has begun; with fewer it cannot be complete.
    fn wanted(&self) -> usize {
        match self.socket.as_deref().map(|socket| &socket.protocol) {
            Some(Protocol::Tcp { framer }) => framer.wanted(),
            _ => 0,
        }
    }

    /// Whether all that has come is taken but the beginning of a message.
    pub(crate) fn is_taken(&self) -> bool {
        self.input.is_empty() || self.input.len() < self.wanted()
    }

    /// Whether the socket may be read now: input is bounded in every phase.
    pub(crate) fn may_read(&self) -> bool {
        if self.eof {
            return false;
        }
        match &self.phase {
            Phase::Gone | Phase::Http2 => false,
            Phase::ProxyHeader => self.input.len() < HEADER_BYTES_MAX,
            Phase::Handshake | Phase::Head | Phase::Streaming(_) => self.input.len() < INPUT_MAX,
            Phase::Socket => self.input.len() < INPUT_MAX.max(self.wanted()),
            Phase::Buffering { need } => self.input.len() < *need,
            Phase::Discarding { .. } | Phase::Closing | Phase::Lingering => true,
        }
    }
}
