//! The reactors, from a client's bytes to a worker's records and back, with a worker in Rust.

#[path = "../support/mod.rs"]
#[expect(
    unreachable_pub,
    reason = "shared by test targets; each is a crate of its own"
)]
mod support;

mod answers;
mod bodies;
mod compression;
mod cron;
mod detaching;
mod durable_tasks;
mod forms;
mod handover;
mod handover_model;
mod http2;
mod lifecycle;
mod limits;
mod listening;
mod ordering;
mod packets;
mod proxy;
mod rings;
mod sockets;
mod static_files;
mod stopping;
mod tasks;
mod tcp;
mod timers;
mod tls;
