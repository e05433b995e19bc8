//! A worker in Rust, a blocking client and a started server, for tests of the reactors without JavaScript.
//!
//! Nothing here sleeps: who waits does so for an event or a state, with a limit, and says what it waited for.

mod client;
mod served;
mod worker_double;

pub use client::Client;
pub use served::{LIMIT, Served, config, config_with};
pub use worker_double::{Asked, Event, WorkerDouble};
