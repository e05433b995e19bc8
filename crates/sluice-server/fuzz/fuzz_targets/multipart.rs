//! Fuzzes the parser of forms. `cargo test -p sluice-server multipart` runs the kept corpus likewise.
#![no_main]

use sluice_server::multipart;

#[path = "../form_parts.rs"]
mod form_parts;

libfuzzer_sys::fuzz_target!(|input: &[u8]| form_parts::check(input));
