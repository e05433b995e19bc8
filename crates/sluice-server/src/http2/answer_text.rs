//! The text of an answer's head as fields of HTTP/2.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

/// The head of an answer, taken apart.
#[derive(Debug)]
pub(super) struct AnswerText {
    pub(super) status: u16,
    pub(super) fields: HeaderMap,
    pub(super) content_length: Option<u64>,
    /// Bytes of the text, the empty line included.
    pub(super) len: usize,
}

impl AnswerText {
    /// Reads the head at the beginning of `text`; `None` for what is no whole head, which we do not write.
    ///
    /// Fields that say something about a connection of HTTP/1.1 are left out (RFC 9113 section 8.2.2).
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let len = memchr::memmem::find(text, b"\r\n\r\n")? + 4;
        // One copy, of which every value is a part.
        let head = Bytes::copy_from_slice(&text[..len - 2]);
        let line_len = memchr::memchr(b'\n', &head)? + 1;
        let status = std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()?;
        let mut fields = HeaderMap::with_capacity(8);
        let mut content_length = None;
        let mut at = line_len;
        while at < head.len() {
            let end = at + memchr::memchr(b'\r', &head[at..])?;
            let colon = at + memchr::memchr(b':', &head[at..end])?;
            let name = &head[at..colon];
            let from = colon + 1 + usize::from(head.get(colon + 1) == Some(&b' '));
            let value = head.slice(from.min(end)..end);
            at = end + 2;
            let name = HeaderName::from_bytes(name).ok()?;
            if is_of_connection(&name) {
                continue;
            }
            if name == header::CONTENT_LENGTH {
                content_length = std::str::from_utf8(&value).ok()?.parse().ok();
            }
            let value = HeaderValue::from_maybe_shared(value).ok()?;
            fields.try_append(name, value).ok()?;
        }
        Some(Self {
            status,
            fields,
            content_length,
            len,
        })
    }

    /// The answer as `h2` takes it.
    pub(super) fn into_response(self, status: u16) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = self.fields;
        response
    }
}

fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::TRANSFER_ENCODING
            | header::UPGRADE
            | header::TE
            | header::SEC_WEBSOCKET_ACCEPT
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_becomes_fields_without_those_of_the_connection() {
        let text = b"HTTP/1.1 200 OK\r\ndate: now\r\nX-Two:  b\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 12\r\n\
            connection: close\r\nkeep-alive: 1\r\ntransfer-encoding: chunked\r\nupgrade: h2c\r\nempty: \r\n\r\nbody";
        let answer = AnswerText::parse(text).unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.content_length, Some(12));
        assert_eq!(&text[answer.len..], b"body");
        let fields: Vec<_> = answer
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        assert_eq!(
            fields,
            [
                ("date", &b"now"[..]),
                ("x-two", b" b"),
                ("set-cookie", b"a"),
                ("set-cookie", b"b"),
                ("content-length", b"12"),
                ("empty", b""),
            ]
        );
    }

    #[test]
    fn what_is_no_whole_head_is_none() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n",
            "HTTP/1.1 x\r\n\r\n",
        ] {
            assert!(AnswerText::parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_head_without_fields_is_one() {
        let answer = AnswerText::parse(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        assert_eq!((answer.status, answer.len), (100, 25));
        assert!(answer.fields.is_empty());
    }
}
