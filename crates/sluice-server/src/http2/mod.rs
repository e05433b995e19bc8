//! HTTP/2 on hyper's `h2`: a connection's frames become streams, and every stream a connection of its own for the engine.
//!
//! The engine knows one protocol. A stream speaks it towards the engine as a [`Stream`](stream::Http2Stream): the
//! request's fields become the text of a head ([`request_text`]), the text of an answer's head becomes fields again
//! ([`answer_text`]), and bodies pass as they are, under the flow control of the stream. So limits, dispatch, hand-over,
//! event streams and WebSockets (RFC 8441) are the same code for both versions. Apache's `mod_http2` works alike.
//!
//! `h2` is driven by the engine, in its passes, as sockets are: it has no task of its own (see
//! `docs/decisions/0014-http2-is-driven-by-the-engine.md`).

mod answer_text;
mod driver;
mod frame_meter;
mod request_text;
mod stream;
mod wire;

pub(crate) use driver::{Driver, Incoming, Polled, Settings};
pub(crate) use frame_meter::Flood;
pub(crate) use request_text::write_request;
pub(crate) use stream::Http2Stream;
pub(crate) use wire::Wire;

/// What a client of HTTP/2 with prior knowledge sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of a connection's first bytes is the preface of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preface {
    /// All of it.
    Whole,
    /// What is there is its beginning.
    Begun,
    /// None of it.
    Other,
}

/// Looks whether a connection begins with the preface.
pub(crate) fn preface(input: &[u8]) -> Preface {
    if input.starts_with(PREFACE) {
        Preface::Whole
    } else if PREFACE.starts_with(input) {
        Preface::Begun
    } else {
        Preface::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_is_known_from_its_first_byte_to_its_last() {
        for end in 1..PREFACE.len() {
            assert_eq!(preface(&PREFACE[..end]), Preface::Begun, "{end}");
        }
        assert_eq!(preface(PREFACE), Preface::Whole);
        assert_eq!(
            preface(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"),
            Preface::Whole
        );
        assert_eq!(preface(b"PRINT / HTTP/1.1"), Preface::Other);
        assert_eq!(preface(b"PRI * HTTP/1.1"), Preface::Other);
    }
}
