//! The load client of the WebSocket benchmark and, as one of its modes, the floor: what a server costs that
//! does nothing but what the protocol asks for.
//!
//! One thread, level-triggered epoll, no allocation per message. Every answer is compared byte by byte with
//! what was sent; one wrong byte, lost message or closed connection ends the run with an error, because the
//! figures of a server that drops work cannot be compared with those of one that does it.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod broadcast;
mod client;
mod connect;
mod connection;
mod dialogue;
mod echo;
mod error;
mod floor;
mod frame;
mod handshake;
mod histogram;
mod idle;
mod options;
mod poller;
mod window;

pub use error::Error;

use options::Mode;

/// Runs the mode that the arguments name, to its end.
///
/// # Errors
/// The arguments are wrong, the server broke its side, or the system refused something.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<(), Error> {
    match options::parse(arguments)? {
        Mode::Echo(load) => echo::run(&load),
        Mode::Broadcast(load) => broadcast::run(&load),
        Mode::Connect(load) => connect::run(&load),
        Mode::Idle(load) => idle::run(&load),
        Mode::Floor(answer) => floor::run(answer),
    }
}
