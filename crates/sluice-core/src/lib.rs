//! Decisions without I/O.
//!
//! No sockets, no threads, no clock (time is an argument), no unsafe code: what is here can be
//! tested by calling it. The crates above add memory (`sluice-shared`), the network
//! (`sluice-server`) and Node (`sluice-napi`).
#![forbid(unsafe_code)]

pub mod cache;
pub mod channel;
pub mod config;
pub mod cron;
pub mod dispatch;
pub mod error;
pub mod flow;
pub mod framing;
pub mod header;
pub mod history;
pub mod id;
pub mod key_rule;
pub mod lock;
pub mod member;
pub mod registry;
mod sync;
pub mod task;
pub mod timer;
pub mod workers;

pub use error::ErrorCode;
