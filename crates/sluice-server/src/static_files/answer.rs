//! From an open file and what a request asks of it to an answer.

use super::app_headers::AppHeaders;
use super::coding::Coding;
use super::conditions::{Conditions, Verdict};
use super::open_file::OpenFile;
use super::range::{self, ByteRange, Ranges};
use super::validators::{self, Validators};
use super::{coding, media_type};

/// An answer, but for its header lines, which are written elsewhere.
#[derive(Debug)]
pub(crate) struct FileAnswer {
    pub(crate) status: u16,
    /// The content-length; `None` where nothing is said of it (304).
    pub(crate) length: Option<u64>,
    pub(crate) body: Body,
}

/// What is sent after the head. To HEAD: nothing.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    Bytes(Vec<u8>),
    File {
        file: OpenFile,
        offset: u64,
        len: u64,
    },
    Parts {
        file: OpenFile,
        parts: Vec<Part>,
        /// What ends the last part.
        end: Vec<u8>,
    },
}

/// A part of a multipart answer.
#[derive(Debug)]
pub(crate) struct Part {
    /// What is sent before it.
    pub(crate) head: Vec<u8>,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// What is known of the content of a file beside the file.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    /// The name that tells the media type.
    pub(super) name: &'a [u8],
    /// How it is encoded.
    pub(super) coding: Option<Coding>,
    /// Other encodings might have been sent in its place.
    pub(super) varies: bool,
    pub(super) cache_control: Option<&'a str>,
    pub(super) without_etag: bool,
}

/// Answers with a file of the application's choice; `name` tells the media type. Header lines go to `out`.
pub(crate) fn of_app(
    file: OpenFile,
    name: &[u8],
    headers: AppHeaders,
    request: (&Conditions<'_>, bool),
    unix_seconds: u64,
    out: &mut Vec<u8>,
) -> FileAnswer {
    let content = Content {
        name,
        ..Content::default()
    };
    answer(file, &content, headers, request, unix_seconds, out)
}

/// Answers with a file of a document root. `request` is what was asked, and whether by HEAD.
pub(super) fn of_file(
    file: OpenFile,
    content: &Content<'_>,
    request: (&Conditions<'_>, bool),
    unix_seconds: u64,
    out: &mut Vec<u8>,
) -> FileAnswer {
    answer(
        file,
        content,
        AppHeaders::default(),
        request,
        unix_seconds,
        out,
    )
}

fn answer(
    file: OpenFile,
    content: &Content<'_>,
    app: AppHeaders,
    (conditions, is_head): (&Conditions<'_>, bool),
    unix_seconds: u64,
    out: &mut Vec<u8>,
) -> FileAnswer {
    let has_ranges = app.accept_ranges != Some(false);
    let states_ranges = app.accept_ranges.is_none();
    let validators = validators_of(&file, content, app.validators, unix_seconds);
    out.extend_from_slice(&app.lines);
    let ranged = match conditions.judge(&validators, is_head) {
        Verdict::Failed => return bodiless(412, Some(0)),
        Verdict::NotModified => {
            write_caching(content, &validators, out);
            // RFC 9110 section 15.4.5: what the client needs to find and renew what it has, and no more.
            if validators.etag.is_none() {
                write_modified(&validators, out);
            }
            return bodiless(304, None);
        }
        Verdict::Send { ranged } => ranged && has_ranges,
    };
    write_caching(content, &validators, out);
    write_modified(&validators, out);
    if states_ranges {
        out.extend_from_slice(b"accept-ranges: bytes\r\n");
    }
    if let Some(coding) = content.coding {
        line(out, "content-encoding", coding.name().as_bytes());
    }
    let media_type = app.content_type.unwrap_or_else(|| {
        let mut essence = Vec::with_capacity(32);
        media_type::write(content.name, &mut essence);
        essence
    });
    let len = file.len;
    let ranges = match conditions.range() {
        Some(value) if ranged => range::parse(value, len),
        _ => Ranges::Whole,
    };
    match ranges {
        Ranges::Unsatisfiable => {
            line(out, "content-range", format!("bytes */{len}").as_bytes());
            bodiless(416, Some(0))
        }
        Ranges::Parts(parts) => match (parts.as_slice(), boundary(parts.len())) {
            (&[range], _) => {
                line(out, "content-type", &media_type);
                line(out, "content-range", content_range(range, len).as_bytes());
                send(206, file, range.first, range.len(), is_head)
            }
            (parts, Some(boundary)) => {
                let essence = format!("multipart/byteranges; boundary={boundary}");
                line(out, "content-type", essence.as_bytes());
                multipart(file, parts, &boundary, &media_type)
            }
            (_, None) => {
                line(out, "content-type", &media_type);
                send(200, file, 0, len, is_head)
            }
        },
        Ranges::Whole => {
            line(out, "content-type", &media_type);
            send(200, file, 0, len, is_head)
        }
    }
}

fn bodiless(status: u16, length: Option<u64>) -> FileAnswer {
    FileAnswer {
        status,
        length,
        body: Body::Empty,
    }
}

fn send(status: u16, file: OpenFile, offset: u64, len: u64, is_head: bool) -> FileAnswer {
    let body = if is_head || len == 0 {
        Body::Empty
    } else {
        Body::File { file, offset, len }
    };
    FileAnswer {
        status,
        length: Some(len),
        body,
    }
}

/// RFC 9110 section 14.6.
fn multipart(
    file: OpenFile,
    ranges: &[ByteRange],
    boundary: &str,
    media_type: &[u8],
) -> FileAnswer {
    let mut parts = Vec::with_capacity(ranges.len());
    let end = format!("\r\n--{boundary}--\r\n").into_bytes();
    let mut length = end.len() as u64;
    for (index, &range) in ranges.iter().enumerate() {
        let mut head = Vec::with_capacity(160);
        if index > 0 {
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        line(&mut head, "content-type", media_type);
        line(
            &mut head,
            "content-range",
            content_range(range, file.len).as_bytes(),
        );
        head.extend_from_slice(b"\r\n");
        length += head.len() as u64 + range.len();
        parts.push(Part {
            head,
            offset: range.first,
            len: range.len(),
        });
    }
    FileAnswer {
        status: 206,
        length: Some(length),
        body: Body::Parts { file, parts, end },
    }
}

/// What no file contains but by a chance of 2^-128, as nobody can know it when he writes the file.
fn boundary(parts: usize) -> Option<String> {
    if parts < 2 {
        return None;
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(data_encoding::HEXLOWER.encode(&random))
}

fn content_range(range: ByteRange, len: u64) -> String {
    format!("bytes {}-{}/{len}", range.first, range.last)
}

fn validators_of(
    file: &OpenFile,
    content: &Content<'_>,
    own: Validators,
    unix_seconds: u64,
) -> Validators {
    let etag = || {
        let suffix = content.coding.map_or("", coding::Coding::etag_suffix);
        validators::etag(file.len, file.modified_ns, suffix)
    };
    Validators {
        etag: own.etag.or_else(|| (!content.without_etag).then(etag)),
        // Section 8.8.2.1: never later than now.
        modified: own
            .modified
            .or_else(|| Some((file.modified_ns / 1_000_000_000).min(unix_seconds))),
    }
}

fn write_caching(content: &Content<'_>, validators: &Validators, out: &mut Vec<u8>) {
    if let Some(etag) = &validators.etag {
        line(out, "etag", etag);
    }
    if let Some(value) = content.cache_control {
        line(out, "cache-control", value.as_bytes());
    }
    if content.varies {
        line(out, "vary", b"accept-encoding");
    }
}

fn write_modified(validators: &Validators, out: &mut Vec<u8>) {
    if let Some(date) = validators.modified.and_then(validators::date) {
        line(out, "last-modified", date.as_bytes());
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use sluice_core::header;

    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, OpenFile) {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("file.txt");
        std::fs::write(&path, content).expect("a file can be written");
        let file = OpenFile::open(&path, false).expect("it was just written");
        (folder, file)
    }

    fn ask(
        content: &[u8],
        fields: &[(&str, &str)],
        is_head: bool,
        app: AppHeaders,
    ) -> (FileAnswer, String) {
        let (_folder, file) = file(content);
        let mut conditions = Conditions::default();
        for (name, value) in fields {
            conditions.take(header::id(name.as_bytes()), value.as_bytes());
        }
        let mut out = Vec::new();
        let answer = of_app(
            file,
            b"file.txt",
            app,
            (&conditions, is_head),
            u64::MAX,
            &mut out,
        );
        (answer, String::from_utf8(out).expect("a head is text"))
    }

    /// The body as it would be sent.
    fn sent(answer: &FileAnswer) -> Vec<u8> {
        let mut out = Vec::new();
        match &answer.body {
            Body::Empty => {}
            Body::Bytes(bytes) => out.extend_from_slice(bytes),
            Body::File { file, offset, len } => {
                file.read(&mut out, *offset, *len as usize)
                    .expect("it can be read");
            }
            Body::Parts { file, parts, end } => {
                for part in parts {
                    out.extend_from_slice(&part.head);
                    file.read(&mut out, part.offset, part.len as usize)
                        .expect("it can be read");
                }
                out.extend_from_slice(end);
            }
        }
        out
    }

    #[test]
    fn a_whole_file() {
        let (answer, head) = ask(b"hello", &[], false, AppHeaders::default());
        assert_eq!((answer.status, answer.length), (200, Some(5)));
        assert_eq!(sent(&answer), b"hello");
        for line in [
            "accept-ranges: bytes\r\n",
            "content-type: text/plain;charset=UTF-8\r\n",
            "etag: \"5-",
            "last-modified: ",
        ] {
            assert!(head.contains(line), "{head}");
        }
    }

    #[test]
    fn one_range() {
        let (answer, head) = ask(
            b"hello",
            &[("range", "bytes=1-3")],
            false,
            AppHeaders::default(),
        );
        assert_eq!((answer.status, answer.length), (206, Some(3)));
        assert_eq!(sent(&answer), b"ell");
        assert!(head.contains("content-range: bytes 1-3/5\r\n"), "{head}");
    }

    #[test]
    fn several_ranges_have_the_length_that_is_said() {
        let (answer, head) = ask(
            b"0123456789",
            &[("range", "bytes=0-1,4-5,-1")],
            false,
            AppHeaders::default(),
        );
        let body = sent(&answer);
        assert_eq!(
            (answer.status, answer.length),
            (206, Some(body.len() as u64))
        );
        let boundary = head
            .split("boundary=")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next())
            .expect("a boundary");
        let body = String::from_utf8(body).expect("it is text");
        let expected: String = [("0-1", "01"), ("4-5", "45"), ("9-9", "9")]
            .map(|(range, text)| {
                format!("--{boundary}\r\ncontent-type: text/plain;charset=UTF-8\r\ncontent-range: bytes {range}/10\r\n\r\n{text}\r\n")
            })
            .concat();
        assert_eq!(body, format!("{expected}--{boundary}--\r\n"));
    }

    #[test]
    fn what_cannot_be_had() {
        let (answer, head) = ask(
            b"hello",
            &[("range", "bytes=5-")],
            false,
            AppHeaders::default(),
        );
        assert_eq!((answer.status, answer.length), (416, Some(0)));
        assert!(
            head.contains("content-range: bytes */5\r\n") && !head.contains("content-type"),
            "{head}"
        );
        let (answer, _) = ask(
            b"hello",
            &[("if-match", "\"x\"")],
            false,
            AppHeaders::default(),
        );
        assert_eq!((answer.status, answer.length), (412, Some(0)));
        assert!(sent(&answer).is_empty());
    }

    #[test]
    fn a_client_that_has_it_gets_no_more() {
        let (answer, head) = ask(
            b"hello",
            &[("if-none-match", "*")],
            false,
            AppHeaders::default(),
        );
        assert_eq!((answer.status, answer.length), (304, None));
        assert!(
            head.starts_with("etag: ") && head.matches("\r\n").count() == 1,
            "{head}"
        );
    }

    #[test]
    fn head_tells_the_length_and_ignores_ranges() {
        let (answer, _) = ask(
            b"hello",
            &[("range", "bytes=1-3")],
            true,
            AppHeaders::default(),
        );
        assert_eq!((answer.status, answer.length), (200, Some(5)));
        assert!(sent(&answer).is_empty());
    }

    #[test]
    fn what_the_application_says_counts() {
        let app = |block: &str| AppHeaders::of(block.as_bytes(), 0);
        let block = "x-a: 1\r\ncontent-type: a/b\r\netag: \"own\"\r\n";
        let (answer, head) = ask(b"hello", &[("if-none-match", "\"own\"")], false, app(block));
        assert_eq!(answer.status, 304);
        assert_eq!(head, "x-a: 1\r\netag: \"own\"\r\n");
        let (answer, head) = ask(b"hello", &[("range", "bytes=0-0,2-2")], false, app(block));
        assert_eq!(answer.status, 206);
        assert!(
            head.contains("content-type: multipart/byteranges") && !head.contains("a/b"),
            "{head}"
        );
        assert!(String::from_utf8_lossy(&sent(&answer)).contains("content-type: a/b\r\n"));
        let (answer, head) = ask(
            b"hello",
            &[("range", "bytes=0-0")],
            false,
            app("accept-ranges: none\r\n"),
        );
        assert_eq!(answer.status, 200);
        assert!(!head.contains("accept-ranges: bytes"), "{head}");
    }

    #[test]
    fn nothing_of_an_empty_file() {
        let (answer, _) = ask(b"", &[], false, AppHeaders::default());
        assert_eq!((answer.status, answer.length), (200, Some(0)));
        assert!(sent(&answer).is_empty());
    }
}
