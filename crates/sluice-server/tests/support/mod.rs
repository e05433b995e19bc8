//! A worker in Rust, a blocking client and a started server, for tests of the reactors without JavaScript.
//!
//! Nothing here sleeps: who waits does so for an event or a state, with a limit, and says what it waited for.

mod client;
mod connections;
mod served;
mod web_socket;
mod worker_double;

pub use client::{Client, Response};
pub use connections::{BINARY, Closed, Held, News, TEXT, Upgrade};
pub use served::{LIMIT, Served, config, config_with};
pub use web_socket::{close, frame, handshake, text};
pub use worker_double::{Asked, Event, SocketEvent, TaskEvent, WorkerDouble};
