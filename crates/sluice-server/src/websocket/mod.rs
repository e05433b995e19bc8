//! WebSocket (RFC 6455, RFC 7692) without I/O: bytes in, events out, as [`http1`](crate::http1) is for HTTP.
