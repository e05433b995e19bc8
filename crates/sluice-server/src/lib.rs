//! The network: reactors that own sockets, speak HTTP and hand work to workers.
//!
//! [`Server`] is the whole; [`Worker`] is what a worker's thread holds. Inside, a `reactor` drives an `engine`, which
//! holds connections, exchanges (`pending`) and the reactor's ends of the lanes; [`http1`] is the protocol without I/O.
#![forbid(unsafe_code)]

pub mod http1;
pub mod multipart;
pub mod proxy_protocol;
pub mod websocket;

mod clock;
mod coding;
mod connection;
mod connection_info;
mod cron;
mod delivery;
mod engine;
mod error;
mod fanout;
mod http2;
mod inherited;
mod lane;
mod listener;
mod notice;
mod output;
mod owner;
mod pending;
mod placement;
mod push;
mod reactor;
mod recorded;
#[cfg(test)]
#[path = "../fuzz/seeds.rs"]
mod seeds;
mod server;
mod session;
mod socket;
mod static_files;
mod stats;
mod stream;
mod task_ends;
mod task_lane;
mod task_list;
mod task_store;
mod tasks;
mod tasks_journal;
mod timers;
mod tls;
mod udp;
mod unix_socket;
mod wake;
mod watchdog;
mod worker;

pub use coding::{ContentDecoder, Decoded};
pub use connection_info::{ConnectionInfo, SocketInfo};
pub use cron::{CronJobInfo, LastRun};
pub use error::Error;
pub use notice::Notice;
pub use owner::Owner;
pub use placement::{name_current_thread, pin_current_thread};
pub use push::{BroadcastOptions, KickTarget, MessageKind, PostFlags};
pub use server::{PortInfo, PortStats, Server, ServerInfo, ServerStats, WorkerStats};
pub use sluice_core::task::{
    Backoff, Cancel, NewTask, Origin, Outcome, Payload, Status, SubmitError, TaskId, What,
};
pub use sluice_core::timer::Calling;
pub use stats::{Counters, PortCounters, Rejected};
pub use task_lane::{Part, Role};
pub use timers::{INPUT_MAX, NAME_MAX, SetError, TimerInfo};
pub use tls::{TlsFault, TlsInfo};
pub use wake::WakeFn;
pub use worker::{
    AnswerBody, AnswerMeta, ExchangeName, FileToSend, FormContent, FormFile, HandshakeInfo,
    PacketPeer, Worker,
};
