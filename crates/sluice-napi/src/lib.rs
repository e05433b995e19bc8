//! The Node-API binding: converts and forwards, decides nothing.
//!
//! [`server`] is what the master calls, [`worker`] what a worker's thread calls; the hot calls are written against
//! Node-API itself ([`hot`], [`socket`]), because the macro's conversions cost more than the work. [`wake`] is the one way by which
//! Rust reaches JavaScript.

#![allow(
    unreachable_pub,
    reason = "what the macro exports to JavaScript is reached by nobody in Rust"
)]

mod atomic;
mod bodies;
mod cache;
mod call;
mod cron;
mod error;
mod file;
mod function;
mod hot;
mod lock;
mod mailbox;
mod memory;
mod packet;
mod push;
mod rate_limit;
mod server;
mod socket;
mod table;
mod task;
mod timer;
mod value;
mod wake;
mod worker;

/// Reactors and JavaScript threads allocate and free each other's buffers all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
