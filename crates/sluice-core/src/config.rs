//! The native configuration: what TypeScript has already checked and filled with defaults,
//! as one JSON document. Durations are milliseconds, sizes bytes; 0 means "off" where it says so.
//!
//! TypeScript has checked it for the user's sake; [`ServerConfig::parse`] checks it again for the core's,
//! so that everything below may rely on the ranges stated here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::error::ErrorCode;
use crate::framing::Framing;
use crate::history::HistoryLimits;
use crate::key_rule::KeyRule;
use crate::timer::TimerLimits;

mod check;
mod compression;
mod proxy;
mod static_files;
mod tasks;
mod tls;
mod uploads;

pub use compression::CompressionConfig;
pub use proxy::{ForwardedHeaders, ProxyConfig, ProxyVersion, Trusted};
pub use static_files::{Dotfiles, StaticConfig};
pub use tasks::{DurableConfig, FsyncConfig, QueueConfig, RateConfig, TasksConfig};
pub use tls::{IdentityConfig, PemSource, TlsConfig, TlsVersion};
pub use uploads::UploadsConfig;

/// A configuration that cannot be used. Nothing was bound or started.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Not JSON, a key that is missing or unknown, or a value of another type.
    #[error("Configuration cannot be read: {0}")]
    Shape(#[from] serde_json::Error),
    /// A value outside its range.
    #[error("{path} must be {expected}, got {got}")]
    Value {
        /// Where, as `ports[0].limits.pipeline`.
        path: String,
        /// What is allowed.
        expected: String,
        /// The value, as JSON.
        got: String,
    },
}

impl ConfigError {
    /// The code that JavaScript sees.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::InvalidOption
    }
}

/// The whole server.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerConfig {
    /// Bound addresses, in the order of `server.ports`: 1 to 64, their names unique.
    pub ports: Vec<PortConfig>,
    /// How many reactor threads own sockets, 1 to 64. Default 1.
    #[serde(default = "one")]
    pub reactors: u8,
    /// Pin reactor i to CPU `affinity[i % len]`, each 0 to 1023; empty (default) leaves placement to the kernel.
    #[serde(default)]
    pub affinity: Vec<usize>,
    /// Choosing the worker for a request, on ports that do not say it themselves.
    #[serde(default)]
    pub dispatch: DispatchConfig,
    /// A worker with work waiting and no heartbeat for this long is stuck. 0 = off. Default 10 s.
    #[serde(default = "stuck_after_ms")]
    pub stuck_after: u64,
    /// What happens to requests in the hands of a worker that dies.
    #[serde(default)]
    pub replay: ReplayConfig,
    /// What is kept of what is published to topics.
    #[serde(default)]
    pub topics: TopicsConfig,
    /// Shared timers.
    #[serde(default)]
    pub timers: TimersConfig,
    /// Tasks.
    #[serde(default)]
    pub tasks: TasksConfig,
    /// Files that the core sends by itself, at most 64; asked in this order, before any worker.
    #[serde(default)]
    pub static_files: Vec<StaticConfig>,
    /// The value of the `Server` header: 1 to 256 characters of printable ASCII; `None` (default) sends none.
    #[serde(default)]
    pub server_header: Option<String>,
    /// Compressing answers; `None` (default): not at all.
    #[serde(default)]
    pub compression: Option<CompressionConfig>,
    /// Forms with files.
    #[serde(default)]
    pub uploads: UploadsConfig,
}

impl ServerConfig {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Shape`] names the key or the place in the text, [`ConfigError::Value`] the path and the range.
    pub fn parse(json: &str) -> Result<Self, ConfigError> {
        let mut config: Self = serde_json::from_str(json)?;
        for port in &mut config.ports {
            port.limits.fit();
        }
        config.check()?;
        Ok(config)
    }
}

/// One bound address with one protocol.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortConfig {
    /// The name in `server.port(name)`, 1 to 64 bytes.
    pub name: String,
    /// What is spoken on it. Default HTTP.
    #[serde(default)]
    pub protocol: PortProtocol,
    /// Where to listen.
    pub listen: ListenConfig,
    /// Choosing the worker for what comes by this port; `None` (default) means [`ServerConfig::dispatch`].
    #[serde(default)]
    pub dispatch: Option<DispatchConfig>,
    /// Bounds of this port.
    #[serde(default)]
    pub limits: Limits,
    /// Pings of WebSockets and event streams.
    #[serde(default)]
    pub heartbeat: Heartbeat,
    /// Socket options.
    #[serde(default)]
    pub tcp: TcpConfig,
    /// TCP: where one message ends and the next begins.
    #[serde(default)]
    pub framing: Framing,
    /// When it cannot be bound, the server starts without it. Default false: it does not start.
    #[serde(default)]
    pub optional: bool,
    /// Peers that speak for others.
    #[serde(default)]
    pub proxy: ProxyConfig,
    /// TLS; `None` (default): in clear.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Speak HTTP/2, too. Default true.
    #[serde(default = "yes")]
    pub http2: bool,
    /// What only a UDP port has.
    #[serde(default)]
    pub udp: UdpConfig,
    /// Answer every request with this text from the reactor, without JavaScript.
    /// For the benchmark's floor and for health endpoints.
    #[serde(default)]
    pub fixed_answer: Option<String>,
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PortProtocol {
    /// HTTP, and WebSockets by its upgrade.
    #[default]
    Http,
    /// HTTP that is there for WebSockets only: what is no handshake is refused by the worker.
    WebSocket,
    /// Messages as [`PortConfig::framing`] finds them.
    Tcp,
    /// Packets: UDP, or unix datagrams.
    Udp,
}

/// An address to bind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ListenFields")]
pub enum ListenConfig {
    /// TCP: `{ host, port, reusePort?, ipv6Only? }`.
    Tcp {
        /// An IP address or a host name of 1 to 255 bytes; resolved once at start.
        host: String,
        /// 0 picks a free port.
        port: u16,
        /// `SO_REUSEPORT`: another process may bind the same port. Default false.
        reuse_port: bool,
        /// An IPv6 socket takes no IPv4 connections. Default false.
        ipv6_only: bool,
    },
    /// A unix stream socket: `{ path, mode?, owner? }`.
    Unix {
        /// The socket file, 1 to 107 bytes (`sun_path`); a stale one is removed. With a NUL in front: a name of Linux's abstract
        /// namespace, which has no file and so neither mode nor owner.
        path: PathBuf,
        /// File mode, 0 to 0o777; `None` means 0o660.
        mode: Option<u32>,
        /// `user`, `user:group` or `:group`, names or numbers, 1 to 65 bytes; `None`: who starts the server.
        owner: Option<String>,
    },
    /// A socket that whoever started the process has opened: `{ fd }`.
    Inherited {
        /// Which one. It stays open when the server ends.
        fd: Descriptor,
    },
}

/// How a descriptor is named.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Descriptor {
    /// Its number, 3 to 65 535.
    Number(u16),
    /// Its name in systemd's `LISTEN_FDNAMES`, 1 to 255 bytes without `:`.
    Name(String),
}

/// Both forms in one, because a serde enum without a tag lets unknown keys pass.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListenFields {
    host: Option<String>,
    port: Option<u16>,
    reuse_port: Option<bool>,
    ipv6_only: Option<bool>,
    path: Option<PathBuf>,
    mode: Option<u32>,
    owner: Option<String>,
    fd: Option<Descriptor>,
}

impl TryFrom<ListenFields> for ListenConfig {
    type Error = &'static str;

    fn try_from(fields: ListenFields) -> Result<Self, Self::Error> {
        match fields {
            ListenFields {
                host: Some(host),
                port: Some(port),
                reuse_port,
                ipv6_only,
                path: None,
                mode: None,
                owner: None,
                fd: None,
            } => Ok(ListenConfig::Tcp {
                host,
                port,
                reuse_port: reuse_port.unwrap_or(false),
                ipv6_only: ipv6_only.unwrap_or(false),
            }),
            ListenFields {
                host: None,
                port: None,
                reuse_port: None,
                ipv6_only: None,
                path: Some(path),
                mode,
                owner,
                fd: None,
            } => Ok(ListenConfig::Unix { path, mode, owner }),
            ListenFields {
                host: None,
                port: None,
                reuse_port: None,
                ipv6_only: None,
                path: None,
                mode: None,
                owner: None,
                fd: Some(fd),
            } => Ok(ListenConfig::Inherited { fd }),
            _ => Err("listen must have host and port, or path, or fd"),
        }
    }
}

/// How it is noticed that a peer is gone. Durations are at most 2 147 483 647 ms.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Heartbeat {
    /// A ping after so long without anything received; 0 = off. Default 25 s, which is below the usual 60 s of proxies.
    pub ping: u64,
    /// Nothing received for so long after a ping: the connection is cut off. At least 1. Default 20 s.
    pub pong_timeout: u64,
    /// No message for so long: a WebSocket is closed with 1001. Default 0 = off.
    pub idle: u64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            ping: 25_000,
            pong_timeout: 20_000,
            idle: 0,
        }
    }
}

/// Shared timers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TimersConfig {
    /// How many there may be at once, 0 to 16 777 216. Default 1 000 000.
    pub max: u32,
    /// Bytes of their names and inputs, 0 to 4 GiB - 1. Default 256 MiB.
    pub bytes: u32,
}

impl TimersConfig {
    /// The same as the timers take it.
    pub fn limits(&self) -> TimerLimits {
        TimerLimits {
            timers: self.max as usize,
            bytes: self.bytes as usize,
        }
    }
}

impl Default for TimersConfig {
    fn default() -> Self {
        Self {
            max: 1_000_000,
            bytes: 256 * 1024 * 1024,
        }
    }
}

/// What is kept of what is published to topics.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TopicsConfig {
    /// Bounds of one topic.
    pub history: HistoryConfig,
    /// Bytes of all topics, 0 to 4 GiB - 1. Default 64 MiB.
    pub history_bytes: u32,
}

impl Default for TopicsConfig {
    fn default() -> Self {
        Self {
            history: HistoryConfig::default(),
            history_bytes: 64 * 1024 * 1024,
        }
    }
}

/// What is kept of one topic that somebody may have missed something of.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HistoryConfig {
    /// Messages, 0 to 65 536; 0 = no history. Default 128.
    pub messages: u32,
    /// Bytes, 0 to 1 GiB. Default 256 KiB.
    pub bytes: u32,
    /// How long, and how long after the last subscriber has left, 0 to 2 147 483 647 ms; 0 = no history. Default 5 min.
    pub age: u64,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            messages: 128,
            bytes: 256 * 1024,
            age: 300_000,
        }
    }
}

impl TopicsConfig {
    /// The bounds as the history takes them.
    pub fn history_limits(&self) -> HistoryLimits {
        HistoryLimits {
            messages: self.history.messages as usize,
            bytes: self.history.bytes as usize,
            age_ms: self.history.age,
            total_bytes: self.history_bytes as usize,
        }
    }
}

/// Socket options of listeners and of the connections they accept. An option that the system does not have is left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TcpConfig {
    /// `TCP_NODELAY`, default true.
    pub nodelay: bool,
    /// Idle time before the first keep-alive probe; 0 = off (default).
    pub keep_alive: u64,
    /// Length of the accept queue, 1 to 65 535, default 1024.
    pub backlog: u32,
    /// `TCP_FASTOPEN`: data may come with the SYN. Default false. Where the system has it off, nothing changes.
    pub fast_open: bool,
    /// `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged; 0 = what the system does (default).
    pub user_timeout: u64,
    /// `TCP_DEFER_ACCEPT`: how long a connection may stay silent before it is accepted nevertheless, in whole seconds, at most
    /// 1 hour; 0 = accepted at once (default).
    pub defer_accept: u64,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            nodelay: true,
            keep_alive: 0,
            backlog: 1024,
            fast_open: false,
            user_timeout: 0,
            defer_accept: 0,
        }
    }
}

/// A UDP port.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct UdpConfig {
    /// Groups to join, each `address` or `address%interface`; at most 64.
    pub multicast: Vec<String>,
    /// `SO_BROADCAST`: packets may be sent to broadcast addresses. Default false.
    pub broadcast: bool,
    /// Bytes of packets that wait for workers, and of those that wait to be sent, 64 KiB to 1 GiB; beyond, packets are dropped.
    /// Default 4 MiB.
    pub queue: u32,
    /// `SO_RCVBUF`, 0 to 1 GiB; the system has a bound of its own. Default 0: what the system gives.
    pub receive_buffer: u32,
    /// `SO_SNDBUF`, likewise.
    pub send_buffer: u32,
}

impl Default for UdpConfig {
    fn default() -> Self {
        Self {
            multicast: Vec::new(),
            broadcast: false,
            queue: 4 * 1024 * 1024,
            receive_buffer: 0,
            send_buffer: 0,
        }
    }
}

/// Every bound of one HTTP port. Each has a counter of the same name under `stats().rejected`.
///
/// Durations are at most 2 147 483 647 ms, as in Node's timers.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    rename_all = "camelCase",
    default = "Limits::without_marks",
    deny_unknown_fields
)]
pub struct Limits {
    /// Request line and header fields together, 1 KiB to 64 KiB; beyond: 431. Default 64 KiB.
    ///
    /// The offsets of a record are 16 bits wide, so 64 KiB means 65 535 bytes: 65 536 is taken and
    /// held as 65 535.
    pub header_bytes: u32,
    /// Number of header fields, 1 to 256; beyond: 431. Default 100.
    pub header_fields: u32,
    /// Request target, 1 byte to 65 535; beyond: 414. Default 16 KiB.
    pub target_bytes: u32,
    /// Body read as a whole, 0 to 4 GiB - 1; beyond: 413. Default 4 MiB. Streamed bodies are not bound by it.
    pub body_bytes: u64,
    /// From the first byte of a request to the end of its header, at least 1: 408. Default 10 s.
    pub header_timeout: u64,
    /// Bytes per second a request body must keep to after `body_grace`, at most 1 GiB: 408. Default 240. 0 = off.
    pub body_min_rate: u64,
    /// How long a body may be slower than `body_min_rate`; 0 = not at all. Default 10 s.
    pub body_grace: u64,
    /// Idle time between requests of a connection, at least 1, then it is closed. Default 75 s.
    pub keep_alive_timeout: u64,
    /// From dispatch until the request's signal aborts; the handler may still answer. Default 0 = off.
    pub soft_timeout: u64,
    /// From dispatch to the start of the answer: 504. Default 60 s. 0 = off.
    pub answer_timeout: u64,
    /// How long an answer may make no progress into the socket, at least 1, then it is reset. Default 30 s.
    pub send_timeout: u64,
    /// Open connections, 1 to 16 777 215 (a record names a connection in 24 bits); beyond: accept waits. Default 100 000.
    pub connections: u32,
    /// Requests in flight, waiting ones included, 1 to 16 777 215; beyond: 503. Default 100 000.
    pub concurrency: u32,
    /// Requests in flight per worker, 1 to 16 777 215; beyond: they wait for a worker. Default 1024.
    pub worker_concurrency: u32,
    /// How long a request may wait for a worker: 503. 0 = not at all. Default 10 s.
    pub queue_timeout: u64,
    /// Pipelined requests of one connection in flight at once, 1 to 256; beyond: reading stops. Default 32.
    pub pipeline: u32,
    /// Streams of one HTTP/2 connection open at once, 1 to 65 535; beyond: refused, to be sent again. Default 128.
    pub streams: u32,
    /// SETTINGS, PING, PRIORITY and other frames without a use that an HTTP/2 client may send in a second, 10 to 1 000 000;
    /// beyond: GOAWAY. Default 1000.
    pub control_frames: u32,
    /// Streams that an HTTP/2 client may reset in a second, 1 to 1 000 000; beyond: GOAWAY. Default 200.
    pub stream_resets: u32,
    /// Unsent bytes of one connection at which a streamed answer is paused and a WebSocket takes no more messages,
    /// 1 KiB to 1 GiB. Default 1 MiB.
    pub send_buffer: u32,
    /// Unsent bytes of one connection above which its senders are told to wait, and it is not read any more, 2 bytes to
    /// 1 GiB. Default, and what 0 means: four fifths of `send_buffer`.
    pub high_water_mark: u32,
    /// Unsent bytes at which they may go on, from 1, below `high_water_mark`. Default, and what 0 means: a quarter of
    /// `send_buffer`, but at most half of `high_water_mark`.
    pub low_water_mark: u32,
    /// A WebSocket message, 1 byte to 1 GiB; beyond: closed with 1009. Default 2 MiB.
    pub message: u32,
    /// WebSocket handshakes of this port per second, 0 to 1 000 000; beyond: 503. Default 0 = off.
    pub open_per_second: u32,
    /// Messages of one WebSocket per second, 0 to 1 000 000; beyond: reading waits for the next second. Default 0 = off.
    pub messages_per_second: u32,
    /// Origins whose pages may open a WebSocket, `*` for all; others: 403. At most 256, each 1 to 512 visible ASCII
    /// characters. Empty (default): any. Handshakes without an origin do not come from a page and are not concerned.
    pub allow_origins: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: HEADER_BYTES_MAX,
            header_fields: 100,
            target_bytes: 16 * 1024,
            body_bytes: 4 * 1024 * 1024,
            header_timeout: 10_000,
            body_min_rate: 240,
            body_grace: 10_000,
            keep_alive_timeout: 75_000,
            soft_timeout: 0,
            answer_timeout: 60_000,
            send_timeout: 30_000,
            connections: 100_000,
            concurrency: 100_000,
            worker_concurrency: 1024,
            queue_timeout: 10_000,
            pipeline: 32,
            streams: 128,
            control_frames: 1000,
            stream_resets: 200,
            send_buffer: 1024 * 1024,
            high_water_mark: 838_860,
            low_water_mark: 262_144,
            message: 2 * 1024 * 1024,
            open_per_second: 0,
            messages_per_second: 0,
            allow_origins: Vec::new(),
        }
    }
}

/// What the 16-bit offsets of a record can reach.
const HEADER_BYTES_MAX: u32 = u16::MAX as u32;

impl Limits {
    /// What is read starts from this: marks that are not given are parts of what is.
    fn without_marks() -> Self {
        Self {
            high_water_mark: 0,
            low_water_mark: 0,
            ..Self::default()
        }
    }

    fn fit(&mut self) {
        // Brings the round 64 KiB down to what the parser can address.
        if self.header_bytes == HEADER_BYTES_MAX + 1 {
            self.header_bytes = HEADER_BYTES_MAX;
        }
        if self.high_water_mark == 0 {
            self.high_water_mark = (u64::from(self.send_buffer) * 4 / 5) as u32;
        }
        if self.low_water_mark == 0 {
            self.low_water_mark = (self.send_buffer / 4).min(self.high_water_mark / 2);
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
    /// The same, for whom the name of the rule of choice says more.
    LeastConnections,
    /// Connections that are bound to a uid to the worker that has the others of it; HTTP requests by least-requests.
    Uid,
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
    /// Requests with a larger body are not replayed, 0 to 1 GiB. Default 64 KiB.
    pub max_body: u32,
    /// The status of requests that are not replayed, 500 to 599. Default 503.
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

fn yes() -> bool {
    true
}

fn one() -> u8 {
    1
}

fn stuck_after_ms() -> u64 {
    10_000
}
