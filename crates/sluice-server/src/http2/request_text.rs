//! A request of HTTP/2 as the text of a head of HTTP/1.1, the form in which requests are checked and recorded.
//!
//! `h2` has refused by now what RFC 9113 section 8.2 and 8.3 forbid: malformed pseudo-fields, names in upper case, fields
//! of connections. Everything else (targets, hosts, limits, lengths) is checked where it is for HTTP/1.1.

use h2::ext::Protocol;
use http::request::Parts;
use http::{HeaderName, Method, header};

/// What the body of a request is towards the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestBody {
    /// There is none.
    None,
    /// As long as the request says.
    Length,
    /// Of a length that nobody knows: it goes as chunks.
    Chunked,
    /// Not a body, but the bytes of a WebSocket.
    Tunnel,
}

/// A WebSocket over HTTP/2 has no key. The answer to this one is thrown away (RFC 8441 section 5.1).
const HANDSHAKE: &[u8] =
    b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;

/// Writes the head of a request, and says how its body comes.
pub(crate) fn write_request(out: &mut Vec<u8>, parts: &Parts, has_end: bool) -> RequestBody {
    let is_handshake = parts.method == Method::CONNECT
        && parts
            .extensions
            .get::<Protocol>()
            .is_some_and(|protocol| protocol.as_str() == "websocket");
    let body = if is_handshake {
        RequestBody::Tunnel
    } else if has_end {
        RequestBody::None
    } else if parts.headers.contains_key(header::CONTENT_LENGTH) {
        RequestBody::Length
    } else {
        RequestBody::Chunked
    };
    let method = if is_handshake {
        "GET"
    } else {
        parts.method.as_str()
    };
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    match parts.uri.path_and_query() {
        Some(target) if !target.as_str().is_empty() => {
            out.extend_from_slice(target.as_str().as_bytes());
        }
        // CONNECT, which the parser refuses by its name.
        _ => out.push(b'/'),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = parts.uri.authority() {
        write_field(out, "host", authority.as_str().as_bytes());
    }
    match body {
        RequestBody::Tunnel => out.extend_from_slice(HANDSHAKE),
        RequestBody::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        RequestBody::None | RequestBody::Length => {}
    }
    let mut has_cookie = false;
    for (name, value) in &parts.headers {
        match name {
            // RFC 9113 section 8.3.1: what :authority says wins.
            &header::HOST if parts.uri.authority().is_some() => {}
            &header::COOKIE if has_cookie => {}
            &header::COOKIE => {
                has_cookie = true;
                write_cookies(out, parts);
            }
            name if is_handshake && *name == KEY => {}
            name => write_field(out, name.as_str(), value.as_bytes()),
        }
    }
    out.extend_from_slice(b"\r\n");
    body
}

/// The pieces of a cookie as one field (RFC 9113 section 8.2.3).
fn write_cookies(out: &mut Vec<u8>, parts: &Parts) {
    out.extend_from_slice(b"cookie: ");
    for (index, value) in parts.headers.get_all(header::COOKIE).iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn text(request: http::request::Builder, has_end: bool) -> (String, RequestBody) {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut out = Vec::new();
        let body = write_request(&mut out, &parts, has_end);
        (String::from_utf8(out).unwrap(), body)
    }

    #[test]
    fn the_authority_becomes_the_host() {
        let request = Request::get("https://a.example:8443/x?y=1").header("host", "b.example");
        assert_eq!(
            text(request, true),
            (
                "GET /x?y=1 HTTP/1.1\r\nhost: a.example:8443\r\n\r\n".into(),
                RequestBody::None
            )
        );
    }

    #[test]
    fn cookies_are_put_together() {
        let request = Request::get("http://a/")
            .header("cookie", "a=1")
            .header("x", "y")
            .header("cookie", "b=2");
        assert_eq!(
            text(request, true).0,
            "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1; b=2\r\nx: y\r\n\r\n"
        );
    }

    #[test]
    fn a_body_is_framed_by_its_length_or_as_chunks() {
        let known = Request::post("http://a/").header("content-length", "3");
        assert_eq!(text(known, false).1, RequestBody::Length);
        let (head, body) = text(Request::post("http://a/"), false);
        assert_eq!(body, RequestBody::Chunked);
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    }

    #[test]
    fn an_extended_connect_becomes_a_handshake() {
        let request = Request::builder()
            .method("CONNECT")
            .uri("http://a/chat")
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "x");
        assert_eq!(
            text(request, false),
            (
                "GET /chat HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                 sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n"
                    .into(),
                RequestBody::Tunnel
            )
        );
    }

    #[test]
    fn connect_keeps_its_name_and_is_refused_by_it() {
        let request = Request::builder().method("CONNECT").uri("a:443");
        assert!(text(request, false).0.starts_with("CONNECT / HTTP/1.1\r\n"));
    }
}
