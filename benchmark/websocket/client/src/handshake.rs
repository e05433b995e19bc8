//! The opening handshake, RFC 6455 section 4.

/// The key of RFC 6455 section 1.3. Every connection sends it, so that the floor need not compute the answer.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// SHA-1 of [`KEY`] and the protocol's GUID in base 64, as RFC 6455 section 1.3 has it.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A head longer than this is nobody's.
pub(crate) const HEAD_BYTES_MAX: usize = 8192;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What a client sends first: a browser's fields without those that only it needs.
pub(crate) fn request(port: u16) -> Vec<u8> {
    format!(
        "GET / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-key: {KEY}\r\nsec-websocket-version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// The answer to [`request`] and to nothing else.
pub(crate) fn answer() -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n"
    )
    .into_bytes()
}

/// Whether `seen` ends a head. Nothing may follow it before the other side has spoken again.
///
/// # Errors
/// What is wrong with it, when something follows or it is too long.
pub(crate) fn is_complete(seen: &[u8]) -> Result<bool, &'static str> {
    match seen
        .windows(HEAD_END.len())
        .position(|window| window == HEAD_END)
    {
        Some(at) if at + HEAD_END.len() == seen.len() => Ok(true),
        Some(_) => Err("sent something with its handshake"),
        None if seen.len() < HEAD_BYTES_MAX => Ok(false),
        None => Err("sent a handshake without end"),
    }
}

/// Checks a complete answer.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_answer(head: &[u8]) -> Result<(), &'static str> {
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err("refused a handshake");
    }
    if !head
        .windows(ACCEPT.len())
        .any(|window| window == ACCEPT.as_bytes())
    {
        return Err("answered a handshake with the wrong key");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floors_answer_is_accepted_at_its_last_byte() {
        let head = answer();
        for length in 0..head.len() {
            assert_eq!(is_complete(&head[..length]), Ok(false), "{length}");
        }
        assert_eq!(is_complete(&head), Ok(true));
        assert_eq!(check_answer(&head), Ok(()));
    }

    #[test]
    fn other_answers_are_refused() {
        assert!(check_answer(b"HTTP/1.1 400 Bad Request\r\n\r\n").is_err());
        assert!(
            check_answer(b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\n\r\n")
                .is_err()
        );
        assert!(is_complete(b"HTTP/1.1 101 x\r\n\r\n\x81\x00").is_err());
        assert!(is_complete(&[b'a'; HEAD_BYTES_MAX]).is_err());
    }
}
