//! Fuzzes the parser of PROXY headers. `cargo test -p sluice-server proxy_protocol` runs the kept corpus likewise.
#![no_main]

use sluice_server::proxy_protocol;

#[path = "../header_parse.rs"]
mod header_parse;

libfuzzer_sys::fuzz_target!(|input: &[u8]| header_parse::check(input));
