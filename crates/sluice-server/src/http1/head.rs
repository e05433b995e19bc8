//! The head of a request, parsed once it is complete.

use std::mem::MaybeUninit;

use memchr::{memchr, memmem};
use sluice_core::header;

use super::{
    Reject,
    connection_options::ConnectionOptions,
    fault,
    framing::FramingFields,
    host::is_authority,
    limits::{FIELDS_MAX, HEAD_BYTES_MAX},
    method::METHOD_BYTES_MAX,
    octets::is_clean,
    target::{self, Form},
};
pub use super::{framing::Framing, limits::HeadLimits, method::Method};

/// A parsed request head: places in the connection's buffer, and what they mean.
///
/// Scratch memory of a reactor: [`parse`](Self::parse) overwrites it, so whatever must outlive the next
/// head is copied out. All offsets are relative to `start` and fit the `u16` of the bridge's records.
#[derive(Debug)]
pub struct RequestHead {
    /// Offset of the method in the buffer. What stands before it (empty lines) is to be thrown away.
    pub start: usize,
    /// Bytes from `start` through the empty line that ends the head, at most 65,535.
    pub head_len: usize,
    /// The method, where it is a usual one.
    pub method: Method,
    /// Offset of the request target. The method is the bytes before it, without the one space.
    pub target_off: u8,
    /// Length of the request target.
    pub target_len: u32,
    /// HTTP/1.0; HTTP/1.1 otherwise.
    pub http10: bool,
    /// The field lines in the order of arrival.
    pub fields: Vec<Field>,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the client wants the connection to live on (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends its body. Never for HTTP/1.0 or without a body.
    pub expect_continue: bool,
    /// The value of Host, unless there is none or it is empty.
    pub host: Option<(u16, u16)>,
    /// The authority of a target in absolute form. It wins over `host` (RFC 9112 section 3.2.2).
    pub authority: Option<(u16, u16)>,
    /// Whether the client offers to change the protocol (RFC 9110 section 7.8).
    pub upgrade: bool,
    head_end: memmem::Finder<'static>,
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Id of a well-known name, or [`header::UNKNOWN`].
    pub name_id: u8,
    /// Offset and length of the name.
    pub name: (u16, u16),
    /// Offset and length of the value, without the white space around it.
    pub value: (u16, u16),
}

/// How far a head has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse {
    /// Nothing is wrong so far; more bytes are needed.
    Incomplete,
    /// The [`RequestHead`] is filled in.
    Complete,
}

const LEADING_LINES_MAX: usize = 4;

/// What a request line may have beside its target: a method, two spaces and a version, with room to spare.
/// A longer line without an end is refused before its end is seen.
const LINE_BYTES_BESIDE_TARGET: usize = 64;

impl RequestHead {
    /// An empty head.
    pub fn new() -> Self {
        Self {
            start: 0,
            head_len: 0,
            method: Method::Other,
            target_off: 0,
            target_len: 0,
            http10: false,
            fields: Vec::new(),
            framing: Framing::None,
            keep_alive: false,
            expect_continue: false,
            host: None,
            authority: None,
            upgrade: false,
            head_end: memmem::Finder::new(b"\r\n\r\n"),
        }
    }

    /// Parses the head at the beginning of `buf`.
    ///
    /// `scanned` is the length `buf` had when this returned [`Parse::Incomplete`] for the same head, 0 at
    /// first: those bytes are not looked at again, so that a head that drips in costs no more than one that
    /// comes whole. The bytes after the head are not read. Split anywhere, a head gets the same verdict.
    ///
    /// # Errors
    ///
    /// The first rule that the head breaks, as early as it is certain. The fields of `self` then mean nothing.
    pub fn parse(
        &mut self,
        buf: &[u8],
        scanned: usize,
        limits: &HeadLimits,
    ) -> Result<Parse, Reject> {
        let start = skip_empty_lines(buf)?;
        let head_bytes_max = limits.head_bytes.min(HEAD_BYTES_MAX);
        let line_bytes_max = limits.target_bytes.saturating_add(LINE_BYTES_BESIDE_TARGET);
        let bytes = &buf[start..];
        let bytes = &bytes[..bytes.len().min(head_bytes_max)];
        let seen = scanned.saturating_sub(start).min(bytes.len());

        let search_from = seen.saturating_sub(3);
        let Some(end) = self.head_end.find(&bytes[search_from..]) else {
            refuse_beginning(bytes, seen, line_bytes_max)?;
            return if bytes.len() == head_bytes_max {
                Err(Reject::HeadTooLong)
            } else {
                Ok(Parse::Incomplete)
            };
        };
        let head = &bytes[..search_from + end + 4];
        if !is_clean(b' ', head)
            && let Some(reason) = fault::in_bytes(head, line_bytes_max)
        {
            return Err(reason);
        }
        self.start = start;
        self.head_len = head.len();
        self.parse_complete(head, line_bytes_max, limits)?;
        Ok(Parse::Complete)
    }

    /// The bytes of the method. `buf` is the buffer that was parsed.
    pub fn method_bytes<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        &buf[self.start..self.start + usize::from(self.target_off) - 1]
    }

    /// The bytes of the request target. `buf` is the buffer that was parsed.
    pub fn target_bytes<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        let from = self.start + usize::from(self.target_off);
        &buf[from..from + self.target_len as usize]
    }

    /// The bytes of a name, a value, `host` or `authority`. `buf` is the buffer that was parsed.
    pub fn bytes<'b>(&self, buf: &'b [u8], (offset, len): (u16, u16)) -> &'b [u8] {
        let from = self.start + usize::from(offset);
        &buf[from..from + usize::from(len)]
    }

    /// Appends the field table of an event record: four `u16`, little-endian, for each field.
    pub fn write_fields(&self, out: &mut Vec<u8>) {
        out.reserve(self.fields.len() * 8);
        for field in &self.fields {
            let (name_off, name_len) = if field.name_id == header::UNKNOWN {
                field.name
            } else {
                (u16::MAX, u16::from(field.name_id))
            };
            let mut entry = [0; 8];
            entry[0..2].copy_from_slice(&name_off.to_le_bytes());
            entry[2..4].copy_from_slice(&name_len.to_le_bytes());
            entry[4..6].copy_from_slice(&field.value.0.to_le_bytes());
            entry[6..8].copy_from_slice(&field.value.1.to_le_bytes());
            out.extend_from_slice(&entry);
        }
    }

    /// Fills in everything from a head of clean bytes that ends with its only empty line.
    fn parse_complete(
        &mut self,
        head: &[u8],
        line_bytes_max: usize,
        limits: &HeadLimits,
    ) -> Result<(), Reject> {
        let fields_max = limits.fields.min(FIELDS_MAX);
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(head, &mut slots[..fields_max]);
        let (Ok(httparse::Status::Complete(end)), Some(method), Some(target), Some(version)) =
            (parsed, request.method, request.path, request.version)
        else {
            return Err(fault::in_bytes(head, line_bytes_max)
                .unwrap_or_else(|| fault::in_lines(head, fields_max)));
        };
        // The end that the parser found and the one we found are the same, or one of us is wrong.
        if end != head.len() {
            return Err(Reject::FieldLine);
        }
        let line_len = method.len() + target.len() + b"  HTTP/1.1".len();
        if line_len > line_bytes_max || target.len() > limits.target_bytes {
            return Err(Reject::TargetTooLong);
        }
        if method.len() > METHOD_BYTES_MAX {
            return Err(Reject::MethodTooLong);
        }
        let form = target::form(method.as_bytes(), target.as_bytes())?;

        self.http10 = version == 0;
        self.method = Method::of(method.as_bytes());
        self.target_off = method.len() as u8 + 1;
        self.target_len = target.len() as u32;
        self.authority = match form {
            Form::Absolute { offset, len } => {
                Some(((usize::from(self.target_off) + offset) as u16, len as u16))
            }
            Form::Origin | Form::Asterisk => None,
        };
        self.take_fields(head, request.headers, form)
    }

    fn take_fields(
        &mut self,
        head: &[u8],
        headers: &[httparse::Header<'_>],
        form: Form,
    ) -> Result<(), Reject> {
        let mut framing = FramingFields::default();
        let mut connection = ConnectionOptions::default();
        let mut host: Option<((u16, u16), &[u8])> = None;
        let mut has_upgrade = false;
        let mut expects_continue = false;
        self.fields.clear();
        self.fields.reserve(headers.len());
        for &httparse::Header { name, value } in headers {
            let name_id = header::id(name.as_bytes());
            let name_place = place(head, name.as_bytes());
            // An empty value need not point into the head.
            let value_place = if value.is_empty() {
                (name_place.0 + name_place.1 + 1, 0)
            } else {
                place(head, value)
            };
            self.fields.push(Field {
                name_id,
                name: name_place,
                value: value_place,
            });
            match name_id {
                HOST if host.is_some() => return Err(Reject::HostDuplicate),
                HOST => host = Some((value_place, value)),
                CONNECTION => connection.take(value),
                CONTENT_LENGTH => framing.content_length(value)?,
                TRANSFER_ENCODING => framing.transfer_encoding(value, self.http10)?,
                EXPECT if value.eq_ignore_ascii_case(b"100-continue") => expects_continue = true,
                EXPECT => return Err(Reject::Expectation),
                UPGRADE => has_upgrade = true,
                _ => {}
            }
        }
        self.framing = framing.finish()?;
        self.host = match host {
            None if self.http10 => None,
            None => return Err(Reject::HostMissing),
            // RFC 9110 section 4.2.1: a URI without a host is invalid, so only a target that brings its own
            // host, or needs none, may come with an empty Host.
            Some((_, b"")) if form != Form::Origin => None,
            Some((place, value)) if is_authority(value) => Some(place),
            Some(_) => return Err(Reject::HostInvalid),
        };
        self.keep_alive = !connection.close && (!self.http10 || connection.keep_alive);
        self.upgrade = has_upgrade && connection.upgrade && !self.http10;
        self.expect_continue = expects_continue
            && !self.http10
            && !matches!(self.framing, Framing::None | Framing::Length(0));
        Ok(())
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self::new()
    }
}

const HOST: u8 = known_id("host");
const CONNECTION: u8 = known_id("connection");
const CONTENT_LENGTH: u8 = known_id("content-length");
const TRANSFER_ENCODING: u8 = known_id("transfer-encoding");
const EXPECT: u8 = known_id("expect");
const UPGRADE: u8 = known_id("upgrade");

/// The id of a name that must be in the list; the build fails if it is not.
pub(crate) const fn known_id(name: &str) -> u8 {
    let name = name.as_bytes();
    let mut id = 0;
    while id < header::NAMES.len() {
        let known = header::NAMES[id].as_bytes();
        let mut same = 0;
        while known.len() == name.len() && same < name.len() && known[same] == name[same] {
            same += 1;
        }
        if known.len() == name.len() && same == name.len() {
            return id as u8;
        }
        id += 1;
    }
    panic!("a name that decides how a request is read is not in the list of well-known names")
}

/// The offset of the first byte that is not part of an empty line.
fn skip_empty_lines(buf: &[u8]) -> Result<usize, Reject> {
    let mut start = 0;
    while buf[start..].starts_with(b"\r\n") {
        if start == LEADING_LINES_MAX * 2 {
            return Err(Reject::LeadingLines);
        }
        start += 2;
    }
    Ok(start)
}

/// Refuses the beginning of a head as soon as no end can save it. The first `seen` bytes passed earlier.
fn refuse_beginning(bytes: &[u8], seen: usize, line_bytes_max: usize) -> Result<(), Reject> {
    let (before, fresh) = match seen {
        0 => (b' ', bytes),
        _ => (bytes[seen - 1], &bytes[seen..]),
    };
    let certain = line_bytes_max.saturating_add(2);
    let is_line_long =
        seen < certain && bytes.len() >= certain && memchr(b'\n', &bytes[..certain]).is_none();
    if is_line_long || !is_clean(before, fresh) {
        return fault::in_bytes(bytes, line_bytes_max).map_or(Ok(()), Err);
    }
    Ok(())
}

/// Offset and length of `part`, which is a part of `head`.
fn place(head: &[u8], part: &[u8]) -> (u16, u16) {
    // A head is at most 65,535 bytes, so both fit.
    (
        (part.as_ptr() as usize - head.as_ptr() as usize) as u16,
        part.len() as u16,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http1::cases::{CASES, Reading, read};

    fn parse(buf: &[u8], limits: &HeadLimits) -> Result<Parse, Reject> {
        RequestHead::new().parse(buf, 0, limits)
    }

    /// Parses `buf` as it arrives byte by byte; the verdict and how many bytes it took.
    fn parse_dripping(buf: &[u8], limits: &HeadLimits) -> (Result<Parse, Reject>, usize) {
        let mut head = RequestHead::new();
        for len in 1..=buf.len() {
            let verdict = head.parse(&buf[..len], len - 1, limits);
            if verdict != Ok(Parse::Incomplete) {
                return (verdict, len);
            }
        }
        (Ok(Parse::Incomplete), buf.len())
    }

    fn assert_verdict(case: &crate::http1::cases::Case, pieces: &[&[u8]], split: &str) {
        let name = format!("{} {split}", case.name);
        let mut head = RequestHead::new();
        let verdict = read(&mut head, &HeadLimits::default(), pieces.iter().copied());
        match (&case.verdict, verdict) {
            (Err(reason), verdict) => assert_eq!(verdict, Err(*reason), "{name}"),
            (Ok(accepted), Ok(Some((body, _)))) => {
                Reading {
                    head: &head,
                    buf: case.bytes,
                }
                .assert_is(&name, accepted);
                assert_eq!(body, accepted.body, "{name}: body");
            }
            (Ok(_), verdict) => panic!("{name}: {verdict:?}"),
        }
    }

    #[test]
    fn every_case_gets_its_verdict() {
        for case in CASES {
            assert_verdict(case, &[case.bytes], "whole");
        }
    }

    #[test]
    fn every_case_gets_the_same_verdict_split_at_every_byte() {
        for case in CASES {
            for at in 1..case.bytes.len() {
                let (left, right) = case.bytes.split_at(at);
                assert_verdict(case, &[left, right], &format!("split at {at}"));
            }
            let bytes: Vec<&[u8]> = case.bytes.chunks(1).collect();
            assert_verdict(case, &bytes, "byte by byte");
        }
    }

    #[test]
    fn a_head_that_passes_is_incomplete_until_its_last_byte() {
        for case in CASES.iter().filter(|case| case.verdict.is_ok()) {
            let mut head = RequestHead::new();
            assert_eq!(
                head.parse(case.bytes, 0, &HeadLimits::default()),
                Ok(Parse::Complete)
            );
            let end = head.start + head.head_len;
            let (verdict, len) = parse_dripping(case.bytes, &HeadLimits::default());
            assert_eq!((verdict, len), (Ok(Parse::Complete), end), "{}", case.name);
        }
    }

    #[test]
    fn no_two_cases_have_the_same_name_and_every_reason_of_a_head_has_one() {
        let names: std::collections::HashSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
        // These need more bytes than a table should hold, or come from the connection.
        let elsewhere = [
            Reject::TargetTooLong,
            Reject::HeadTooLong,
            Reject::TooManyFields,
            Reject::ChunkExtension,
            Reject::TrailersTooLong,
            Reject::BodyTooLarge,
            Reject::HeadTimeout,
            Reject::BodyTimeout,
            Reject::Overloaded,
            Reject::NoWorker,
            Reject::WorkerLost,
            Reject::Stopping,
            Reject::ClearText,
        ];
        for reason in Reject::ALL
            .iter()
            .filter(|reason| !elsewhere.contains(reason))
        {
            assert!(
                CASES.iter().any(|case| case.verdict == Err(*reason)),
                "{reason:?}"
            );
        }
    }

    #[test]
    fn a_target_at_its_limit_passes_and_one_past_it_is_414() {
        let limits = HeadLimits {
            target_bytes: 100,
            ..HeadLimits::default()
        };
        let request =
            |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(len - 1));
        assert_eq!(parse(request(100).as_bytes(), &limits), Ok(Parse::Complete));
        assert_eq!(
            parse(request(101).as_bytes(), &limits),
            Err(Reject::TargetTooLong)
        );
        assert_eq!(
            parse_dripping(request(100).as_bytes(), &limits).0,
            Ok(Parse::Complete)
        );
        assert_eq!(
            parse_dripping(request(101).as_bytes(), &limits).0,
            Err(Reject::TargetTooLong)
        );
    }

    #[test]
    fn a_request_line_without_end_is_414_before_its_end() {
        let limits = HeadLimits {
            target_bytes: 100,
            ..HeadLimits::default()
        };
        // At most 164 bytes and CRLF.
        let line = format!("GET /{}", "x".repeat(1000));
        assert_eq!(
            parse(&line.as_bytes()[..165], &limits),
            Ok(Parse::Incomplete)
        );
        assert_eq!(
            parse(&line.as_bytes()[..166], &limits),
            Err(Reject::TargetTooLong)
        );
        assert_eq!(
            parse_dripping(line.as_bytes(), &limits),
            (Err(Reject::TargetTooLong), 166)
        );
    }

    #[test]
    fn what_comes_first_in_a_bad_head_decides_however_it_arrives() {
        let limits = HeadLimits {
            head_bytes: 400,
            fields: 100,
            target_bytes: 100,
        };
        let line = |target: usize| format!("GET /{} HTTP/1.1\r\n", "x".repeat(target));
        for (head, reason) in [
            (line(300) + "Host: \0\r\n\r\n", Reject::TargetTooLong),
            (line(300).replacen("xx", "x\0", 1) + "\r\n", Reject::Nul),
            (line(120) + "Host: \0\r\n\r\n", Reject::Nul),
            (
                line(120) + "X: " + &"y".repeat(400) + "\0\r\n\r\n",
                Reject::HeadTooLong,
            ),
            (
                "G".repeat(200) + " / HTTP/1.1\r\n\r\n",
                Reject::TargetTooLong,
            ),
            (
                "G".repeat(200) + " / HTTP/1.1\r\n: x\r\n\r\n",
                Reject::TargetTooLong,
            ),
        ] {
            assert_eq!(parse(head.as_bytes(), &limits), Err(reason), "{head:?}");
            assert_eq!(
                parse_dripping(head.as_bytes(), &limits).0,
                Err(reason),
                "{head:?}"
            );
        }
    }

    #[test]
    fn a_head_at_its_limit_passes_and_one_past_it_is_431() {
        let limits = HeadLimits {
            head_bytes: 200,
            ..HeadLimits::default()
        };
        let request = |len: usize| {
            let beside = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "y".repeat(len - beside)
            )
        };
        assert_eq!(parse(request(200).as_bytes(), &limits), Ok(Parse::Complete));
        assert_eq!(
            parse(request(201).as_bytes(), &limits),
            Err(Reject::HeadTooLong)
        );
        assert_eq!(
            parse_dripping(request(200).as_bytes(), &limits),
            (Ok(Parse::Complete), 200)
        );
        assert_eq!(
            parse_dripping(request(201).as_bytes(), &limits),
            (Err(Reject::HeadTooLong), 200)
        );
        assert_eq!(
            parse(&request(300).as_bytes()[..199], &limits),
            Ok(Parse::Incomplete)
        );
        assert_eq!(
            parse(&request(300).as_bytes()[..200], &limits),
            Err(Reject::HeadTooLong)
        );
        // Empty lines before it are not part of the head.
        assert_eq!(
            parse(format!("\r\n\r\n{}", request(200)).as_bytes(), &limits),
            Ok(Parse::Complete)
        );
    }

    #[test]
    fn no_limit_lifts_the_head_over_what_sixteen_bits_can_point_at() {
        let limits = HeadLimits {
            head_bytes: usize::MAX,
            target_bytes: usize::MAX,
            fields: usize::MAX,
        };
        let request = |len: usize| {
            let beside = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "y".repeat(len - beside)
            )
        };
        assert_eq!(
            parse(request(65_535).as_bytes(), &limits),
            Ok(Parse::Complete)
        );
        assert_eq!(
            parse(request(65_536).as_bytes(), &limits),
            Err(Reject::HeadTooLong)
        );
    }

    #[test]
    fn fields_at_their_limit_pass_and_one_more_is_431() {
        let request = |fields: usize| {
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: y\r\n".repeat(fields - 1)
            )
        };
        for (limit, effective) in [(100, 100), (1, 1), (256, 256), (1000, 256)] {
            let limits = HeadLimits {
                fields: limit,
                ..HeadLimits::default()
            };
            assert_eq!(
                parse(request(effective).as_bytes(), &limits),
                Ok(Parse::Complete)
            );
            assert_eq!(
                parse(request(effective + 1).as_bytes(), &limits),
                Err(Reject::TooManyFields)
            );
        }
    }

    #[test]
    fn an_empty_value_has_a_place_in_the_head() {
        let buf = b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n";
        let mut head = RequestHead::new();
        assert_eq!(
            head.parse(buf, 0, &HeadLimits::default()),
            Ok(Parse::Complete)
        );
        assert_eq!(head.fields[1].name, (25, 1));
        assert_eq!(head.fields[1].value, (27, 0));
    }

    #[test]
    fn the_field_table_names_known_fields_by_number() {
        let buf = b"\r\nGET / HTTP/1.1\r\nhOsT: a\r\nX-Mine: bc\r\n\r\n";
        let mut head = RequestHead::new();
        assert_eq!(
            head.parse(buf, 0, &HeadLimits::default()),
            Ok(Parse::Complete)
        );
        let mut table = vec![7];
        head.write_fields(&mut table);
        let words: Vec<u16> = table[1..]
            .chunks_exact(2)
            .map(|word| u16::from_le_bytes([word[0], word[1]]))
            .collect();
        assert_eq!(words, [0xffff, 0, 22, 1, 25, 6, 33, 2]);
        assert_eq!(head.start, 2);
        assert_eq!(head.head_len, buf.len() - 2);
    }

    #[test]
    fn scratch_keeps_nothing_of_the_head_before() {
        let mut head = RequestHead::new();
        let first = b"POST http://b/ HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(
            head.parse(first, 0, &HeadLimits::default()),
            Ok(Parse::Complete)
        );
        let case = &CASES[0];
        assert_eq!(
            head.parse(case.bytes, 0, &HeadLimits::default()),
            Ok(Parse::Complete)
        );
        let accepted = case
            .verdict
            .as_ref()
            .expect("the first case is the plain one");
        Reading {
            head: &head,
            buf: case.bytes,
        }
        .assert_is("after another", accepted);
    }

    /// Bytes that get far: the alphabet of heads, the bytes that break them, and pieces of real ones.
    fn head_like() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b"\r\n\r\n".to_vec()),
            Just(b"GET / HTTP/1.1\r\n".to_vec()),
            Just(b"Host: a\r\n".to_vec()),
            Just(b"Content-Length: 3\r\n".to_vec()),
            Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
            Just(b"\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()),
            Just(b" ".to_vec()),
            Just(b":".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..6),
            "[ -~]{0,12}".prop_map(String::into_bytes),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn bytes_of_any_kind_get_one_verdict_however_they_arrive(bytes in head_like(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4)) {
            let limits = HeadLimits { head_bytes: 120, fields: 3, target_bytes: 10 };
            let whole = read(&mut RequestHead::new(), &limits, [&bytes[..]]);
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for place in places.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[from..place]);
                from = place;
            }
            prop_assert_eq!(&read(&mut RequestHead::new(), &limits, pieces), &whole);
            prop_assert_eq!(&read(&mut RequestHead::new(), &limits, bytes.chunks(1)), &whole);
        }

        #[test]
        fn requests_made_at_random_are_read_back(
            method in "[A-Z]{1,32}", path in "/[!-\"$-~]{0,40}", host in "[a-z0-9.-]{1,20}(:[0-9]{1,4})?",
            fields in proptest::collection::vec(("x-[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", "([!-~]([ -~]{0,30}[!-~])?)?", "[ \t]{0,3}", "[ \t]{0,3}"), 0..20),
            rest in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            prop_assume!(method != "CONNECT");
            let mut buf = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
            for (name, value, before, after) in &fields {
                buf.extend_from_slice(format!("{name}:{before}{value}{after}\r\n").as_bytes());
            }
            buf.extend_from_slice(b"\r\n");
            let head_len = buf.len();
            buf.extend_from_slice(&rest);

            let mut head = RequestHead::new();
            prop_assert_eq!(head.parse(&buf, 0, &HeadLimits::default()), Ok(Parse::Complete));
            prop_assert_eq!(head.head_len, head_len);
            prop_assert_eq!(head.method_bytes(&buf), method.as_bytes());
            prop_assert_eq!(head.target_bytes(&buf), path.as_bytes());
            prop_assert_eq!(head.host.map(|place| head.bytes(&buf, place)), Some(host.as_bytes()));
            prop_assert_eq!(head.fields.len(), fields.len() + 1);
            for (field, (name, value, _, _)) in head.fields[1..].iter().zip(&fields) {
                prop_assert_eq!(head.bytes(&buf, field.name), name.as_bytes());
                prop_assert_eq!(head.bytes(&buf, field.value), value.as_bytes());
                prop_assert_eq!(field.name_id, header::id(name.as_bytes()));
            }
        }
    }
}
