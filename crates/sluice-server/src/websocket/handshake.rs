//! The server's half of the opening handshake (RFC 6455 section 4.2).

use sluice_core::header;
use tungstenite::handshake::derive_accept_key;

use crate::http1::{AnswerHead, Framing, Length, Method, RequestHead, write_head};

/// A request for a WebSocket that may be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `sec-websocket-key`: 16 bytes in base64.
    pub key: [u8; 24],
}

/// Why a request for a WebSocket cannot be granted.
///
/// The answer closes nothing: the request was a sound one. With [`Refusal::Version`] it must have the line
/// `sec-websocket-version: 13` ([`Refusal::header`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A version other than 13, or none.
    Version,
    /// More than one `sec-websocket-version`.
    VersionDuplicate,
    /// No `sec-websocket-key`.
    KeyMissing,
    /// More than one `sec-websocket-key`.
    KeyDuplicate,
    /// A key that is not 16 bytes in base64.
    KeyInvalid,
    /// A body, which could be taken for frames by whoever has not read the handshake.
    Body,
}

impl Refusal {
    /// The status of the answer: 426 for the version, 400 for the others.
    pub fn status(self) -> u16 {
        match self {
            Self::Version => 426,
            _ => 400,
        }
    }

    /// What to say in the answer.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Version => "WebSocket version must be 13",
            Self::VersionDuplicate => "More than one WebSocket version",
            Self::KeyMissing => "WebSocket key missing",
            Self::KeyDuplicate => "More than one WebSocket key",
            Self::KeyInvalid => "WebSocket key is not 16 bytes in base64",
            Self::Body => "A WebSocket handshake has no body",
        }
    }

    /// The header line that the answer must have, with its CRLF, or nothing.
    pub fn header(self) -> &'static [u8] {
        match self {
            Self::Version => b"sec-websocket-version: 13\r\n",
            _ => b"",
        }
    }
}

/// Judges whether a request asks for a WebSocket. `bytes` is the buffer that `head` was parsed from.
///
/// None: it asks for nothing of the kind, and is answered like any other. That is what a request is without `GET`,
/// HTTP/1.1, the option `upgrade` in Connection, or `websocket` in Upgrade.
///
/// # Errors
///
/// A request that asks for one in a way that no client may.
pub fn check(head: &RequestHead, bytes: &[u8]) -> Result<Option<Upgrade>, Refusal> {
    if !head.upgrade || head.method != Method::Get {
        return Ok(None);
    }
    let mut is_websocket = false;
    let mut key = None;
    let mut version = None;
    let (mut keys, mut versions) = (0, 0);
    for field in &head.fields {
        let name = match header::NAMES.get(usize::from(field.name_id)) {
            Some(name) => *name,
            None => continue,
        };
        let value = head.bytes(bytes, field.value);
        match name {
            "upgrade" => {
                is_websocket |= value
                    .split(|&byte| byte == b',')
                    .any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"));
            }
            "sec-websocket-key" => {
                keys += 1;
                key = Some(value);
            }
            "sec-websocket-version" => {
                versions += 1;
                version = Some(value);
            }
            _ => {}
        }
    }
    if !is_websocket {
        return Ok(None);
    }
    if versions > 1 {
        return Err(Refusal::VersionDuplicate);
    }
    if version != Some(b"13") {
        return Err(Refusal::Version);
    }
    if keys > 1 {
        return Err(Refusal::KeyDuplicate);
    }
    let key = key.ok_or(Refusal::KeyMissing)?;
    let key = key.try_into().map_err(|_| Refusal::KeyInvalid)?;
    if !is_key(&key) {
        return Err(Refusal::KeyInvalid);
    }
    if !matches!(head.framing, Framing::None | Framing::Length(0)) {
        return Err(Refusal::Body);
    }
    Ok(Some(Upgrade { key }))
}

/// Whether this is base64 of 16 bytes. The four bits that are left over in the last digit may be anything.
fn is_key(key: &[u8; 24]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key[..22].iter().all(is_digit) && key[22..] == *b"=="
}

/// The value of `sec-websocket-accept` for a key.
pub fn accept_key(key: &[u8; 24]) -> [u8; 28] {
    let mut accept = [0; 28];
    // 20 bytes of SHA-1 are 28 digits of base64.
    accept.copy_from_slice(derive_accept_key(key).as_bytes());
    accept
}

/// Appends the answer that changes the protocol; what follows it on the connection are frames.
///
/// `protocol` is one of those that the client offered, `extensions` what [`negotiate`](super::negotiate) answered.
/// `headers` are further lines, each with its CRLF.
///
/// False, with nothing appended, if a value could end its line or `headers` are not whole lines: answer 500.
pub fn write_switching(
    out: &mut Vec<u8>,
    accept: &[u8; 28],
    protocol: Option<&str>,
    extensions: Option<&str>,
    headers: &[u8],
) -> bool {
    if !protocol.is_none_or(is_token) || !extensions.is_none_or(is_value) {
        return false;
    }
    let mut block = Vec::with_capacity(256 + headers.len());
    block.extend_from_slice(b"upgrade: websocket\r\nconnection: Upgrade\r\n");
    let mut line = |name: &str, value: &[u8]| {
        block.extend_from_slice(name.as_bytes());
        block.extend_from_slice(value);
        block.extend_from_slice(b"\r\n");
    };
    line("sec-websocket-accept: ", accept);
    if let Some(protocol) = protocol {
        line("sec-websocket-protocol: ", protocol.as_bytes());
    }
    if let Some(extensions) = extensions {
        line("sec-websocket-extensions: ", extensions.as_bytes());
    }
    block.extend_from_slice(headers);
    let head = AnswerHead {
        status: 101,
        template: 0,
        headers: &block,
        length: Length::None,
        close: false,
        keep_alive_10: false,
        date: None,
        server: None,
        http10: false,
    };
    let start = out.len();
    let is_sound = write_head(out, &head);
    if !is_sound {
        out.truncate(start);
    }
    is_sound
}

/// Whether `protocol` can be the name of a subprotocol (RFC 6455 section 4.1, item 10).
fn is_token(protocol: &str) -> bool {
    !protocol.is_empty()
        && protocol
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte))
}

fn is_value(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{HeadLimits, Parse};

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn judge(request: &str) -> Result<Option<Upgrade>, Refusal> {
        let mut head = RequestHead::new();
        let parsed = head.parse(request.as_bytes(), 0, &HeadLimits::default());
        assert_eq!(parsed, Ok(Parse::Complete), "{request}");
        check(&head, request.as_bytes())
    }

    /// The handshake of RFC 6455 section 1.2 with `from` replaced.
    fn with(from: &str, to: &str) -> Result<Option<Upgrade>, Refusal> {
        let sound = format!(
            "\r\nGET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        assert!(sound.contains(from), "{from}");
        judge(&sound.replace(from, to))
    }

    fn granted() -> Result<Option<Upgrade>, Refusal> {
        let key = KEY.as_bytes().try_into().expect("the key has 24 digits");
        Ok(Some(Upgrade { key }))
    }

    #[test]
    fn a_sound_handshake_is_granted() {
        for (from, to) in [
            ("chat", "chat"),
            ("Upgrade: websocket", "Upgrade: WebSocket"),
            ("Upgrade: websocket", "Upgrade: h2c, websocket"),
            ("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"),
            ("Connection: Upgrade", "Connection: keep-alive, upgrade"),
            ("Host:", "Content-Length: 0\r\nHost:"),
        ] {
            assert_eq!(with(from, to), granted(), "{to}");
        }
    }

    #[test]
    fn a_request_that_asks_for_something_else_is_an_ordinary_one() {
        for (from, to) in [
            ("GET", "POST"),
            ("GET", "HEAD"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("Connection: Upgrade", "Connection: keep-alive"),
            ("Connection: Upgrade\r\n", ""),
            ("Upgrade: websocket\r\n", ""),
            ("Upgrade: websocket", "Upgrade: h2c"),
            ("Upgrade: websocket", "Upgrade: websocket/13"),
        ] {
            assert_eq!(with(from, to), Ok(None), "{to}");
        }
    }

    #[test]
    fn a_handshake_that_breaks_a_rule_is_refused() {
        let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
        let version = "Sec-WebSocket-Version: 13\r\n";
        for (from, to, refusal) in [
            ("Version: 13", "Version: 8", Refusal::Version),
            ("Version: 13", "Version: 013", Refusal::Version),
            ("Version: 13", "Version: 13, 8", Refusal::Version),
            ("Version: 13", "Version:", Refusal::Version),
            (version, "", Refusal::Version),
            (version, &version.repeat(2), Refusal::VersionDuplicate),
            (&key, "", Refusal::KeyMissing),
            (&key, &key.repeat(2), Refusal::KeyDuplicate),
            (KEY, "", Refusal::KeyInvalid),
            (KEY, "dGhlIHNhbXBsZSBub25jZQ=", Refusal::KeyInvalid),
            (KEY, "dGhlIHNhbXBsZSBub25jZQ===", Refusal::KeyInvalid),
            (KEY, "dGhlIHNhbXBsZSBub25jZTE=", Refusal::KeyInvalid),
            (KEY, "dGhlIHNhbXBsZSBub25j-Q==", Refusal::KeyInvalid),
            (KEY, "dGhlIHNhbXBsZSBub25jZTEy", Refusal::KeyInvalid),
            ("Host:", "Content-Length: 1\r\nHost:", Refusal::Body),
            (
                "Host:",
                "Transfer-Encoding: chunked\r\nHost:",
                Refusal::Body,
            ),
        ] {
            assert_eq!(with(from, to), Err(refusal), "{to}");
            let is_version = refusal == Refusal::Version;
            assert_eq!(refusal.status(), if is_version { 426 } else { 400 });
            assert_eq!(refusal.header().is_empty(), !is_version);
        }
    }

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        let key = KEY.as_bytes().try_into().expect("the key has 24 digits");
        assert_eq!(&accept_key(key), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_answer_has_the_lines_that_were_agreed_on() {
        let accept = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let mut out = b"before".to_vec();
        assert!(write_switching(&mut out, accept, None, None, b""));
        assert_eq!(
            out,
            b"beforeHTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
              sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
        out.clear();
        let (protocol, extensions) = (
            Some("chat.v2"),
            Some("permessage-deflate; server_max_window_bits=10"),
        );
        assert!(write_switching(
            &mut out,
            accept,
            protocol,
            extensions,
            b"set-cookie: a=b\r\nx-y: z\r\n"
        ));
        assert_eq!(
            out,
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
              sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat.v2\r\n\
              sec-websocket-extensions: permessage-deflate; server_max_window_bits=10\r\n\
              set-cookie: a=b\r\nx-y: z\r\n\r\n"
        );
    }

    #[test]
    fn no_value_can_add_a_line_to_the_answer() {
        let accept = &[b'a'; 28];
        for (protocol, extensions, headers) in [
            (Some("a\r\nx: y"), None, &b""[..]),
            (Some(""), None, b""),
            (Some("a b"), None, b""),
            (Some("a,b"), None, b""),
            (Some("é"), None, b""),
            (None, Some("a\r\nx: y"), b""),
            (None, Some("a\0"), b""),
            (None, None, b"x: y"),
            (None, None, b"x: y\n"),
            (None, None, b"\r\nx: y\r\n"),
            (None, None, b"x: y\r\n\r\n"),
        ] {
            let mut out = b"before".to_vec();
            assert!(!write_switching(
                &mut out, accept, protocol, extensions, headers
            ));
            assert_eq!(out, b"before");
        }
    }
}
