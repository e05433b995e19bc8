//! Fuzzes the framing of TCP ports. `cargo test -p sluice-core framing` runs the kept corpus likewise.
#![no_main]

use sluice_core::framing;

#[path = "../framing_layer.rs"]
mod framing_layer;

libfuzzer_sys::fuzz_target!(|input: &[u8]| framing_layer::check(input));
