//! The native configuration: what TypeScript has already checked and filled with defaults,
//! as one JSON document. Durations are milliseconds, sizes bytes; 0 means "off" where it says so.

use std::path::PathBuf;

use serde::Deserialize;

use crate::key_rule::KeyRule;

/// The whole server.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerConfig {
    /// Bound addresses, in the order of `server.ports`.
    pub ports: Vec<PortConfig>,
    /// How many reactor threads own sockets, at least 1.
    #[serde(default = "one")]
    pub reactors: u8,
    /// Pin reactor i to CPU `affinity[i % len]`; empty leaves placement to the kernel.
    #[serde(default)]
    pub affinity: Vec<usize>,
    /// Choosing the worker for a request.
    #[serde(default)]
    pub dispatch: DispatchConfig,
    /// A worker with work waiting and no heartbeat for this long is stuck. 0 = off.
    #[serde(default = "stuck_after_ms")]
    pub stuck_after: u64,
    /// What happens to requests in the hands of a worker that dies.
    #[serde(default)]
    pub replay: ReplayConfig,
    /// The value of the `Server` header; `None` sends none.
    #[serde(default)]
    pub server_header: Option<String>,
}

/// One bound address with one protocol.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortConfig {
    /// The name in `server.port(name)`.
    pub name: String,
    /// Where to listen.
    pub listen: ListenConfig,
    /// Bounds of this port.
    #[serde(default)]
    pub limits: Limits,
    /// Socket options.
    #[serde(default)]
    pub tcp: TcpConfig,
    /// Answer every request with this text from the reactor, without JavaScript.
    /// For the benchmark's floor and for health endpoints.
    #[serde(default)]
    pub fixed_answer: Option<String>,
}

/// An address to bind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ListenConfig {
    /// TCP.
    Tcp {
        /// An IP address or a host name; resolved once at start.
        host: String,
        /// 0 picks a free port.
        port: u16,
        /// `SO_REUSEPORT`: another process may bind the same port.
        #[serde(default, rename = "reusePort")]
        reuse_port: bool,
        /// An IPv6 socket takes no IPv4 connections.
        #[serde(default, rename = "ipv6Only")]
        ipv6_only: bool,
    },
    /// A unix stream socket.
    Unix {
        /// The socket file; a stale one is removed.
        path: PathBuf,
        /// File mode, default 0o660.
        #[serde(default)]
        mode: Option<u32>,
    },
}

/// Socket options of accepted connections.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TcpConfig {
    /// `TCP_NODELAY`, default true.
    pub nodelay: bool,
    /// Idle time before the first keep-alive probe; 0 = off (default).
    pub keep_alive: u64,
    /// Length of the accept queue, default 1024.
    pub backlog: u32,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            nodelay: true,
            keep_alive: 0,
            backlog: 1024,
        }
    }
}

/// Every bound of one HTTP port. Each has a counter of the same name under `stats().rejected`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Request line and header fields together; beyond: 431. Default 64 KiB.
    pub header_bytes: u32,
    /// Number of header fields; beyond: 431. Default 100.
    pub header_fields: u32,
    /// Request target; beyond: 414. Default 16 KiB.
    pub target_bytes: u32,
    /// Body read as a whole; beyond: 413. Default 4 MiB. Streamed bodies are not bound by it.
    pub body_bytes: u64,
    /// From the first byte of a request to the end of its header: 408. Default 10 s.
    pub header_timeout: u64,
    /// Bytes per second a request body must keep to after `body_grace`: 408. Default 240. 0 = off.
    pub body_min_rate: u64,
    /// How long a body may be slower than `body_min_rate`. Default 10 s.
    pub body_grace: u64,
    /// Idle time between requests of a connection, then it is closed. Default 75 s.
    pub keep_alive_timeout: u64,
    /// From dispatch to the start of the answer: 504. Default 60 s. 0 = off.
    pub answer_timeout: u64,
    /// How long an answer may make no progress into the socket, then it is reset. Default 30 s.
    pub send_timeout: u64,
    /// Open connections; beyond: accept waits. Default 100 000.
    pub connections: u32,
    /// Requests in flight, waiting ones included; beyond: 503. Default 100 000.
    pub concurrency: u32,
    /// Requests in flight per worker; beyond: they wait for a worker. Default 1024.
    pub worker_concurrency: u32,
    /// How long a request may wait for a worker: 503. Default 10 s.
    pub queue_timeout: u64,
    /// Pipelined requests of one connection in flight at once; beyond: reading stops. Default 32.
    pub pipeline: u32,
    /// Unsent response bytes of one connection at which a streamed answer is paused. Default 256 KiB.
    pub send_buffer: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 * 1024,
            header_fields: 100,
            target_bytes: 16 * 1024,
            body_bytes: 4 * 1024 * 1024,
            header_timeout: 10_000,
            body_min_rate: 240,
            body_grace: 10_000,
            keep_alive_timeout: 75_000,
            answer_timeout: 60_000,
            send_timeout: 30_000,
            connections: 100_000,
            concurrency: 100_000,
            worker_concurrency: 1024,
            queue_timeout: 10_000,
            pipeline: 32,
            send_buffer: 256 * 1024,
        }
    }
}

/// Which rule chooses the worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DispatchConfig {
    /// The worker with the fewest requests in flight; ties go to the reactor's own pair, then by rotation.
    #[default]
    LeastRequests,
    /// In turn.
    RoundRobin,
    /// The first idle worker, else the one with the fewest requests.
    Idle,
    /// By the peer's IP address.
    Ip,
    /// All requests of one connection to the same worker, chosen at its first request.
    Connection,
    /// By a value in the request: `cookie:NAME`, `header:NAME`, `query:NAME` or `path:N` (segment, 0-based).
    /// Requests without it go by least-requests.
    Key(KeyRule),
}

/// What to do with the requests of a dead worker.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ReplayConfig {
    /// Replay safe methods without a started answer once. Default true.
    pub safe_methods: bool,
    /// Requests with a larger body are not replayed. Default 64 KiB.
    pub max_body: u32,
    /// The status of requests that are not replayed. Default 503.
    pub status: u16,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            safe_methods: true,
            max_body: 64 * 1024,
            status: 503,
        }
    }
}

fn one() -> u8 {
    1
}

fn stuck_after_ms() -> u64 {
    10_000
}
