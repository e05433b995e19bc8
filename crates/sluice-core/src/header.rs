//! Well-known header names and their small ids, so that neither side compares bytes for them.
//!
//! The list is part of the bridge: `src-ts/bridge/header-names.ts` repeats it in the same order and a
//! test compares the two.

/// The id of a name that is not in [`NAMES`].
pub const UNKNOWN: u8 = 0xff;

/// Lower-case names; the index is the id. Append only.
pub const NAMES: &[&str] = &[
    "host", "user-agent", "accept", "accept-encoding", "accept-language", "connection",
    "content-length", "content-type", "cookie", "authorization", "cache-control", "origin",
    "referer", "if-none-match", "if-modified-since", "range", "transfer-encoding", "expect",
    "upgrade", "upgrade-insecure-requests", "x-forwarded-for", "x-forwarded-proto",
    "x-forwarded-host", "x-real-ip", "x-request-id", "forwarded", "via", "te", "trailer", "date",
    "pragma", "dnt", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "sec-fetch-user",
    "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "priority", "sec-websocket-key",
    "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions",
    "access-control-request-method", "access-control-request-headers", "if-match", "if-range",
    "if-unmodified-since", "content-encoding", "content-disposition", "content-language", "accept-charset",
    "keep-alive", "last-event-id", "max-forwards", "proxy-authorization", "traceparent", "tracestate",
    "x-csrf-token", "x-requested-with", "x-api-key", "idempotency-key", "save-data",
];

/// The id of `name` in any case, or [`UNKNOWN`].
pub fn id(name: &[u8]) -> u8 {
    // Length first: it decides between most names without reading them.
    NAMES
        .iter()
        .position(|known| known.len() == name.len() && known.as_bytes().eq_ignore_ascii_case(name))
        .map_or(UNKNOWN, |index| index as u8)
}
