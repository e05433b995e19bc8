//! The bytes of answers.
//!
//! Everything that frames an answer is written here and nowhere else: status line, Content-Length,
//! Transfer-Encoding, Connection and Date. The application's own header lines come as one block that was
//! checked where they were set; it is checked again here, because one forged line splits the answer.

use super::octets::is_clean;

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
pub struct AnswerHead<'a> {
    /// The status, 100 to 999; anything else is written as 500.
    pub status: u16,
    /// A usual header line by number, see `docs/architecture.md`; 0 or an unknown number for none.
    pub template: u8,
    /// The application's header lines, each `name: value` and CRLF, or empty. No framing, Connection or Date among
    /// them (`date` and `server` are None where it has its own).
    pub headers: &'a [u8],
    /// How the body is delimited. Not written with a status that has no body (RFC 9112 section 6.3).
    pub length: Length,
    /// Whether the connection ends with this answer.
    pub close: bool,
    /// Whether an HTTP/1.0 client asked for the connection to live on and gets it.
    pub keep_alive_10: bool,
    /// The text of Date, from [`DateCache`](super::DateCache).
    pub date: Option<&'a [u8; 29]>,
    /// The text of Server, from the configuration.
    pub server: Option<&'a str>,
    /// Whether the client speaks HTTP/1.0: no chunks, and the connection ends unless `keep_alive_10`.
    pub http10: bool,
}

/// How the body of an answer is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// A body of this many bytes. For HEAD and 304: what a GET would have had.
    Known(u64),
    /// A chunked body. Written as [`Length::Close`] for an HTTP/1.0 client, who knows no chunks.
    Chunked,
    /// The body ends with the connection.
    Close,
    /// Nothing is said: there is no body (HEAD and 304 without a known length).
    None,
}

/// Appends the head of an answer to `out`.
///
/// The block of header lines is taken only if it consists of whole lines without NUL, other control bytes, bare
/// CR or LF, folds and empty lines, and `server` likewise. If it does not, a bare 500 head with the same framing and
/// `connection: close` is written in its place and false is returned: the caller then closes the connection
/// after the answer.
pub fn write_head(out: &mut Vec<u8>, head: &AnswerHead<'_>) -> bool {
    let is_sound = is_block(head.headers) && head.server.is_none_or(is_value);
    if is_sound {
        write_checked_head(out, head);
    } else {
        let bare = AnswerHead {
            status: 500,
            template: 0,
            headers: b"",
            server: None,
            close: true,
            ..*head
        };
        write_checked_head(out, &bare);
    }
    is_sound
}

/// Appends one chunk. Nothing for empty `data`, which would end the body.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    write_chunk_size(out, data.len());
    out.reserve(data.len() + 2);
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line before a chunk of `size` bytes, for a caller who sends the data itself and CRLF after it.
/// `size` is not 0, which would end the body.
pub fn write_chunk_size(out: &mut Vec<u8>, size: usize) {
    debug_assert_ne!(size, 0);
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut rest = size;
    while rest > 0 {
        at -= 1;
        digits[at] = b"0123456789abcdef"[rest & 0xf];
        rest >>= 4;
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body.
pub fn write_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Appends a whole answer of the reactor's own: `name` as a line of text. A 503 tells the client to try again at once.
pub fn write_simple(
    out: &mut Vec<u8>,
    status: u16,
    name: &str,
    close: bool,
    date: Option<&[u8; 29]>,
) {
    write_simple_to_head(out, status, name, close, date);
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
}

/// Appends what [`write_simple`] does, without the body: for a HEAD request on a connection that lives on.
pub fn write_simple_to_head(
    out: &mut Vec<u8>,
    status: u16,
    name: &str,
    close: bool,
    date: Option<&[u8; 29]>,
) {
    let head = AnswerHead {
        status,
        template: TEXT,
        headers: if status == 503 {
            b"retry-after: 0\r\n"
        } else {
            b""
        },
        length: Length::Known(name.len() as u64 + 1),
        close,
        keep_alive_10: false,
        date,
        server: None,
        http10: false,
    };
    write_checked_head(out, &head);
}

const TEXT: u8 = 1;

/// The header line a template number stands for.
pub(crate) fn template(number: u8) -> &'static [u8] {
    match number {
        TEXT => b"content-type: text/plain;charset=UTF-8\r\n",
        2 => b"content-type: application/json\r\n",
        3 => b"content-type: text/html;charset=UTF-8\r\n",
        4 => b"content-type: application/octet-stream\r\n",
        _ => b"",
    }
}

/// Whether `block` is empty or whole header lines, none of them empty or folded.
fn is_block(block: &[u8]) -> bool {
    let Some((&first, rest)) = block.split_first() else {
        return true;
    };
    let starts_line_badly =
        |byte: u8| (byte == b'\r') | (byte == b' ') | (byte == b'\t') | (byte == b':');
    let mut bad = starts_line_badly(first);
    for (&left, &right) in block.iter().zip(rest) {
        bad |= (left == b'\n') & starts_line_badly(right);
    }
    !bad && block.ends_with(b"\r\n") && is_clean(b' ', block)
}

/// Whether `text` fits on one header line.
fn is_value(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' && byte != 0x7f)
}

fn write_checked_head(out: &mut Vec<u8>, head: &AnswerHead<'_>) {
    let is_interim = head.status / 100 == 1;
    let length = match (head.length, head.status) {
        // These have no body, and no fields that say how long it is (RFC 9110 section 8.6).
        (_, 100..=199 | 204) => Length::None,
        (Length::Chunked | Length::Close, 304) => Length::None,
        (Length::Chunked, _) if head.http10 => Length::Close,
        (length, _) => length,
    };
    let template = template(head.template);
    // Status line, Date, length and Connection take at most 64 + 37 + 44 + 24 bytes, "server: " and CRLF 10.
    out.reserve(192 + head.server.map_or(0, str::len) + template.len() + head.headers.len());
    write_status_line(out, head.status);
    if !is_interim {
        if let Some(date) = head.date {
            out.extend_from_slice(b"date: ");
            out.extend_from_slice(date);
            out.extend_from_slice(b"\r\n");
        }
        if let Some(server) = head.server {
            out.extend_from_slice(b"server: ");
            out.extend_from_slice(server.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(template);
    out.extend_from_slice(head.headers);
    match length {
        Length::Known(bytes) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(bytes).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Length::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Length::Close | Length::None => {}
    }
    if !is_interim {
        if head.close || length == Length::Close || (head.http10 && !head.keep_alive_10) {
            out.extend_from_slice(b"connection: close\r\n");
        } else if head.keep_alive_10 {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    let status = if (100..=999).contains(&status) {
        status
    } else {
        500
    };
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The reason phrase of the status registry; empty for a status that is not in it.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    const HELLO: AnswerHead<'static> = AnswerHead {
        status: 200,
        template: 0,
        headers: b"",
        length: Length::Known(5),
        close: false,
        keep_alive_10: false,
        date: None,
        server: None,
        http10: false,
    };

    fn written(head: &AnswerHead<'_>) -> String {
        let mut out = Vec::new();
        assert!(write_head(&mut out, head));
        String::from_utf8(out).expect("the test wrote text")
    }

    #[test]
    fn an_answer_has_every_line_in_its_place() {
        let head = AnswerHead {
            template: 2,
            headers: b"x-a: 1\r\nx-b:\r\n",
            date: Some(DATE),
            server: Some("sluice"),
            ..HELLO
        };
        assert_eq!(
            written(&head),
            "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nserver: sluice\r\n\
             content-type: application/json\r\nx-a: 1\r\nx-b:\r\ncontent-length: 5\r\n\r\n"
        );
    }

    #[test]
    fn each_length_has_its_line() {
        for (length, expected) in [
            (
                Length::Known(0),
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            ),
            (
                Length::Known(u64::MAX),
                "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n",
            ),
            (
                Length::Chunked,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            ),
            (
                Length::Close,
                "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
            ),
            (Length::None, "HTTP/1.1 200 OK\r\n\r\n"),
        ] {
            assert_eq!(written(&AnswerHead { length, ..HELLO }), expected);
        }
    }

    #[test]
    fn statuses_without_body_say_nothing_about_one() {
        for length in [
            Length::Known(5),
            Length::Chunked,
            Length::Close,
            Length::None,
        ] {
            assert_eq!(
                written(&AnswerHead {
                    status: 204,
                    length,
                    ..HELLO
                }),
                "HTTP/1.1 204 No Content\r\n\r\n"
            );
            let early = AnswerHead {
                status: 103,
                headers: b"link: </a>\r\n",
                length,
                date: Some(DATE),
                close: true,
                ..HELLO
            };
            assert_eq!(
                written(&early),
                "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
            );
        }
        for length in [Length::Chunked, Length::Close, Length::None] {
            assert_eq!(
                written(&AnswerHead {
                    status: 304,
                    length,
                    ..HELLO
                }),
                "HTTP/1.1 304 Not Modified\r\n\r\n"
            );
        }
        assert_eq!(
            written(&AnswerHead {
                status: 304,
                ..HELLO
            }),
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"
        );
    }

    #[test]
    fn the_connection_line_follows_version_and_wish() {
        let end = |close, http10, keep_alive_10, length| {
            let text = written(&AnswerHead {
                close,
                http10,
                keep_alive_10,
                length,
                ..HELLO
            });
            text.lines()
                .find_map(|line| line.strip_prefix("connection: ").map(str::to_owned))
        };
        let known = Length::Known(5);
        assert_eq!(end(false, false, false, known), None);
        assert_eq!(end(true, false, false, known).as_deref(), Some("close"));
        assert_eq!(end(false, true, false, known).as_deref(), Some("close"));
        assert_eq!(end(false, true, true, known).as_deref(), Some("keep-alive"));
        assert_eq!(end(true, true, true, known).as_deref(), Some("close"));
        assert_eq!(
            end(false, true, true, Length::Close).as_deref(),
            Some("close")
        );
        assert_eq!(
            end(false, true, true, Length::Chunked).as_deref(),
            Some("close")
        );
        let old = written(&AnswerHead {
            http10: true,
            keep_alive_10: true,
            length: Length::Chunked,
            ..HELLO
        });
        assert!(!old.contains("transfer-encoding"));
    }

    #[test]
    fn every_template_is_a_sound_line() {
        for number in 0..=255 {
            assert!(is_block(template(number)), "{number}");
        }
        for number in 1..=4 {
            assert!(template(number).starts_with(b"content-type: "), "{number}");
        }
    }

    #[test]
    fn a_status_nobody_registered_has_an_empty_reason_and_an_impossible_one_is_500() {
        assert!(
            written(&AnswerHead {
                status: 299,
                ..HELLO
            })
            .starts_with("HTTP/1.1 299 \r\n")
        );
        for status in [0, 99, 1000, u16::MAX] {
            assert!(
                written(&AnswerHead { status, ..HELLO })
                    .starts_with("HTTP/1.1 500 Internal Server Error\r\n")
            );
        }
    }

    #[test]
    fn a_block_that_could_split_the_answer_is_never_written() {
        let bad: &[&[u8]] = &[
            b"x: y",
            b"x: y\r",
            b"x: y\n",
            b"x: y\r\n\r\n",
            b"\r\nx: y\r\n",
            b"\r\n",
            b"x: y\r\n\r\nz: 1\r\n",
            b"x: y\rz\r\n",
            b"x: y\nz: 1\r\n",
            b"x: \0\r\n",
            b"x: \x0b\r\n",
            b"x: y\r\n z\r\n",
            b" x: y\r\n",
            b"\tx: y\r\n",
            b": y\r\n",
            b"x: y\r\n: z\r\n",
            b"x: y\r\r\n",
        ];
        for headers in bad {
            let mut out = Vec::new();
            assert!(
                !write_head(
                    &mut out,
                    &AnswerHead {
                        headers,
                        server: Some("s"),
                        ..HELLO
                    }
                ),
                "{headers:?}"
            );
            assert_eq!(out, b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 5\r\nconnection: close\r\n\r\n", "{headers:?}");
        }
        let mut out = Vec::new();
        assert!(!write_head(
            &mut out,
            &AnswerHead {
                server: Some("s\r\nx: y"),
                ..HELLO
            }
        ));
        assert_eq!(
            out,
            b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"
        );
    }

    #[test]
    fn our_own_answers_are_whole() {
        let mut out = Vec::new();
        write_simple(&mut out, 400, "bare-lf", true, Some(DATE));
        assert_eq!(
            String::from_utf8_lossy(&out),
            "HTTP/1.1 400 Bad Request\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-type: text/plain;charset=UTF-8\r\n\
             content-length: 8\r\nconnection: close\r\n\r\nbare-lf\n"
        );
        out.clear();
        write_simple_to_head(&mut out, 503, "no-worker", false, None);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain;charset=UTF-8\r\nretry-after: 0\r\ncontent-length: 10\r\n\r\n"
        );
    }

    #[test]
    fn a_chunk_has_its_size_in_hexadecimal_and_an_empty_one_is_no_end() {
        let mut out = Vec::new();
        write_chunk(&mut out, b"");
        write_chunk(&mut out, &[b'x'; 0x1a]);
        write_last_chunk(&mut out);
        assert_eq!(
            out,
            [b"1a\r\n", &[b'x'; 0x1a][..], b"\r\n0\r\n\r\n"].concat()
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_by_a_parser(
            status in 200u16..1000, template in 0u8..6, server in proptest::option::of("[!-~]{1,20}"),
            fields in proptest::collection::vec(("x-[a-z]{1,10}", "([!-~]([ -~]{0,20}[!-~])?)?"), 0..10),
            length in prop_oneof![any::<u64>().prop_map(Length::Known), Just(Length::Chunked), Just(Length::Close), Just(Length::None)],
            close: bool, http10: bool, keep_alive_10: bool,
        ) {
            let block: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let head = AnswerHead {
                status, template, headers: block.as_bytes(), length, close, keep_alive_10: keep_alive_10 && http10,
                date: Some(DATE), server: server.as_deref(), http10,
            };
            let mut out = Vec::new();
            prop_assert!(write_head(&mut out, &head));
            let mut slots = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut slots);
            prop_assert_eq!(response.parse(&out), Ok(httparse::Status::Complete(out.len())));
            prop_assert_eq!(response.code, Some(status));
            for (name, value) in &fields {
                prop_assert!(response.headers.iter().any(|field| field.name == name && field.value == value.as_bytes()));
            }
            let framing = response.headers.iter().filter(|field| ["content-length", "transfer-encoding"].contains(&field.name)).count();
            prop_assert!(framing <= 1);
        }

        #[test]
        fn a_block_of_any_bytes_makes_one_head_or_a_500(
            block in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'a'), Just(0), any::<u8>()], 0..20),
        ) {
            let mut out = Vec::new();
            let is_sound = write_head(&mut out, &AnswerHead { headers: &block, ..HELLO });
            let ends = out.windows(4).filter(|bytes| bytes == b"\r\n\r\n").count();
            prop_assert_eq!(ends, 1);
            prop_assert!(out.ends_with(b"\r\n\r\n"));
            prop_assert_eq!(out.starts_with(b"HTTP/1.1 200 OK\r\n"), is_sound);
        }
    }
}
