//! What holds for every input of the PROXY header's parser. Shared by the fuzz target and the tests.

use super::proxy_protocol::{HEADER_BYTES_MAX, Parsed, parse};
use sluice_core::config::ProxyVersion;

/// Nothing panics; what is a header stays one with more behind it, and none of its beginnings is one or a fault; what is
/// neither is bounded.
pub(crate) fn check(input: &[u8]) {
    for version in [ProxyVersion::V1, ProxyVersion::V2, ProxyVersion::Auto] {
        match parse(input, version) {
            Ok(Parsed::Header { len, client }) => {
                assert!(len <= input.len() && len <= HEADER_BYTES_MAX);
                assert_eq!(
                    parse(&input[..len], version),
                    Ok(Parsed::Header { len, client })
                );
                for part in 0..len {
                    assert_eq!(parse(&input[..part], version), Ok(Parsed::Incomplete));
                }
                if version != ProxyVersion::Auto {
                    let auto = parse(input, ProxyVersion::Auto);
                    assert_eq!(auto, Ok(Parsed::Header { len, client }));
                }
            }
            Ok(Parsed::Incomplete) => assert!(input.len() < HEADER_BYTES_MAX),
            Err(_) => {
                let longer = [input, b"\r\n"].concat();
                assert!(parse(&longer, version).is_err());
            }
        }
    }
}
