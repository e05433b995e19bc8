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
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut rest = data.len();
    while rest > 0 {
        at -= 1;
        digits[at] = b"0123456789abcdef"[rest & 0xf];
        rest >>= 4;
    }
    out.reserve(digits.len() - at + data.len() + 4);
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
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
fn template(number: u8) -> &'static [u8] {
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
