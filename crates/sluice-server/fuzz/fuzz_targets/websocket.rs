//! Fuzzes the message layer of WebSocket. `cargo test -p sluice-server websocket` runs the kept corpus likewise.
#![no_main]

use sluice_server::websocket;

#[path = "../message_layer.rs"]
mod message_layer;

libfuzzer_sys::fuzz_target!(|input: &[u8]| message_layer::check(input));
