//! Requests and the verdicts they must get: one table for the parser's own tests and for tests over sockets.
//!
//! A case that is refused while its body is read has a sound head; the reason is the body's.

use super::{BodyDecoder, Framing, HeadLimits, Method, Parse, Reject, RequestHead, head::Field};

/// A request and its verdict. `name` starts with the section of the RFC that decides.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    pub(crate) verdict: Result<Accepted, Reject>,
}

/// What must be read out of a request that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
    pub(crate) http10: bool,
    pub(crate) fields: &'static [(&'static str, &'static str)],
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expect_continue: bool,
    pub(crate) upgrade: bool,
    pub(crate) host: Option<&'static str>,
    pub(crate) authority: Option<&'static str>,
    pub(crate) body: &'static [u8],
}

/// `GET / HTTP/1.1` with `Host: a`; the cases say where they differ.
const PLAIN: Accepted = Accepted {
    method: "GET",
    target: "/",
    http10: false,
    fields: &[("Host", "a")],
    framing: Framing::None,
    keep_alive: true,
    expect_continue: false,
    upgrade: false,
    host: Some("a"),
    authority: None,
    body: b"",
};

const fn taken(name: &'static str, bytes: &'static [u8], accepted: Accepted) -> Case {
    Case {
        name,
        bytes,
        verdict: Ok(accepted),
    }
}

const fn refused(name: &'static str, bytes: &'static [u8], reason: Reject) -> Case {
    Case {
        name,
        bytes,
        verdict: Err(reason),
    }
}

/// A parsed head with its places read out of the buffer, to compare with [`Accepted`].
pub(crate) struct Reading<'b> {
    pub(crate) head: &'b RequestHead,
    pub(crate) buf: &'b [u8],
}

impl Reading<'_> {
    fn text(&self, place: (u16, u16)) -> &str {
        str::from_utf8(self.head.bytes(self.buf, place)).expect("the table is ASCII")
    }

    /// Asserts that the head says what the case promises.
    pub(crate) fn assert_is(&self, name: &str, accepted: &Accepted) {
        let Self { head, buf } = self;
        assert_eq!(
            head.method_bytes(buf),
            accepted.method.as_bytes(),
            "{name}: method"
        );
        assert_eq!(
            head.method,
            Method::of(accepted.method.as_bytes()),
            "{name}: method"
        );
        assert_eq!(
            head.target_bytes(buf),
            accepted.target.as_bytes(),
            "{name}: target"
        );
        assert_eq!(head.http10, accepted.http10, "{name}: version");
        let fields: Vec<_> = head
            .fields
            .iter()
            .map(|&Field { name, value, .. }| (self.text(name), self.text(value)))
            .collect();
        assert_eq!(fields, accepted.fields, "{name}: fields");
        assert_eq!(head.framing, accepted.framing, "{name}: framing");
        assert_eq!(head.keep_alive, accepted.keep_alive, "{name}: keep-alive");
        assert_eq!(
            head.expect_continue, accepted.expect_continue,
            "{name}: expect"
        );
        assert_eq!(head.upgrade, accepted.upgrade, "{name}: upgrade");
        assert_eq!(
            head.host.map(|place| self.text(place)),
            accepted.host,
            "{name}: host"
        );
        assert_eq!(
            head.authority.map(|place| self.text(place)),
            accepted.authority,
            "{name}: authority"
        );
    }
}

/// Reads a request that arrives in the given pieces as a connection would: the head, then the body.
///
/// Returns the payload and the number of bytes that belong to the request; None when it is incomplete.
pub(crate) fn read<'p>(
    head: &mut RequestHead,
    limits: &HeadLimits,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Result<Option<(Vec<u8>, usize)>, Reject> {
    let mut buf = Vec::new();
    let mut scanned = 0;
    let mut body: Option<(BodyDecoder, usize)> = None;
    let mut payload = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        if body.is_none() {
            match head.parse(&buf, scanned, limits)? {
                Parse::Incomplete => scanned = buf.len(),
                Parse::Complete => {
                    body = Some((BodyDecoder::new(head.framing), head.start + head.head_len));
                }
            }
        }
        if let Some((decoder, read)) = &mut body {
            let decoded = decoder.decode(&buf[*read..], usize::MAX, |data| {
                payload.extend_from_slice(data);
            })?;
            *read += decoded.consumed;
        }
    }
    Ok(body
        .filter(|(decoder, _)| decoder.is_done())
        .map(|(_, read)| (payload, read)))
}

/// The table.
pub(crate) const CASES: &[Case] = &[
    // RFC 9112 section 2: message
    taken("2.1 plain", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", PLAIN),
    taken(
        "2.1 as wrk asks",
        b"GET /hello?x=1 HTTP/1.1\r\nHost: 127.0.0.1:5200\r\nUser-Agent: wrk\r\nAccept: */*\r\n\r\n",
        Accepted {
            target: "/hello?x=1",
            fields: &[
                ("Host", "127.0.0.1:5200"),
                ("User-Agent", "wrk"),
                ("Accept", "*/*"),
            ],
            host: Some("127.0.0.1:5200"),
            ..PLAIN
        },
    ),
    taken(
        "2.2 four empty lines before the request line",
        b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        PLAIN,
    ),
    refused(
        "2.2 five empty lines before the request line",
        b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::LeadingLines,
    ),
    refused(
        "2.2 empty line of a bare LF",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::BareLf,
    ),
    refused(
        "2.2 white space before the request line",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::RequestLine,
    ),
    refused(
        "2.2 bare LF after the request line",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        Reject::BareLf,
    ),
    refused(
        "2.2 bare LF after a field",
        b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        Reject::BareLf,
    ),
    refused(
        "2.2 bare LF as the empty line",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        Reject::BareLf,
    ),
    refused(
        "2.2 bare LF throughout",
        b"GET / HTTP/1.1\nHost: a\n\n",
        Reject::BareLf,
    ),
    refused(
        "2.2 bare CR in the target",
        b"GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::BareCr,
    ),
    refused(
        "2.2 bare CR in a value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n",
        Reject::BareCr,
    ),
    refused(
        "2.2 bare CR in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\rY: z\r\n\r\n",
        Reject::BareCr,
    ),
    refused(
        "2.2 CR CR LF",
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        Reject::BareCr,
    ),
    refused(
        "2.2 TLS hello",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        Reject::Control,
    ),
    // RFC 9112 section 2.3: version
    taken(
        "2.3 HTTP/1.0",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        Accepted {
            http10: true,
            keep_alive: false,
            ..PLAIN
        },
    ),
    refused(
        "2.3 HTTP/1.2",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        Reject::UnsupportedVersion,
    ),
    refused(
        "2.3 HTTP/2.0 preface",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        Reject::UnsupportedVersion,
    ),
    refused(
        "2.3 HTTP/0.9 in full",
        b"GET / HTTP/0.9\r\nHost: a\r\n\r\n",
        Reject::UnsupportedVersion,
    ),
    refused(
        "2.3 HTTP/0.9 simple request",
        b"GET /\r\n\r\n",
        Reject::UnsupportedVersion,
    ),
    refused(
        "2.3 lower-case version",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        Reject::MalformedVersion,
    ),
    refused(
        "2.3 version of two digits",
        b"GET / HTTP/1.10\r\nHost: a\r\n\r\n",
        Reject::MalformedVersion,
    ),
    refused(
        "2.3 version without minor",
        b"GET / HTTP/1\r\nHost: a\r\n\r\n",
        Reject::MalformedVersion,
    ),
    refused(
        "2.3 another protocol",
        b"GET / RTSP/1.0\r\nHost: a\r\n\r\n",
        Reject::MalformedVersion,
    ),
    // RFC 9112 section 3: request line
    refused(
        "3 two spaces before the target",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::RequestLine,
    ),
    refused(
        "3 two spaces before the version",
        b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::RequestLine,
    ),
    refused(
        "3 space after the version",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        Reject::RequestLine,
    ),
    refused(
        "3 space in the target",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::RequestLine,
    ),
    refused(
        "3 tab for a space",
        b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Method,
    ),
    refused(
        "3 method alone",
        b"GET\r\nHost: a\r\n\r\n",
        Reject::RequestLine,
    ),
    // RFC 9112 section 3.1: method
    taken(
        "3.1 unknown method",
        b"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n",
        Accepted {
            method: "PROPFIND",
            ..PLAIN
        },
    ),
    taken(
        "3.1 lower-case method is another method",
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        Accepted {
            method: "get",
            ..PLAIN
        },
    ),
    taken(
        "3.1 method of 32 bytes",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&' / HTTP/1.1\r\nHost: a\r\n\r\n",
        Accepted {
            method: "ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&'",
            ..PLAIN
        },
    ),
    refused(
        "3.1 method of 33 bytes",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&'* / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::MethodTooLong,
    ),
    refused(
        "3.1 method of 33 bytes and a bad field",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&'* / HTTP/1.1\r\n: a\r\n\r\n",
        Reject::MethodTooLong,
    ),
    refused(
        "3.1 method with a delimiter",
        b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Method,
    ),
    refused(
        "3.1 method above ASCII",
        b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Method,
    ),
    // RFC 9112 section 3.2: target
    taken(
        "3.2.1 origin form",
        b"GET //b/%2e?q={x|y}&z=%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        Accepted {
            target: "//b/%2e?q={x|y}&z=%00",
            ..PLAIN
        },
    ),
    taken(
        "3.2.2 absolute form wins over Host",
        b"GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        Accepted {
            target: "http://b:81/x?y",
            authority: Some("b:81"),
            ..PLAIN
        },
    ),
    taken(
        "3.2.2 absolute form without path, Host empty",
        b"OPTIONS HTTPS://b HTTP/1.1\r\nHost:\r\n\r\n",
        Accepted {
            method: "OPTIONS",
            target: "HTTPS://b",
            fields: &[("Host", "")],
            host: None,
            authority: Some("b"),
            ..PLAIN
        },
    ),
    refused(
        "3.2.2 absolute form without Host",
        b"GET http://b/ HTTP/1.1\r\n\r\n",
        Reject::HostMissing,
    ),
    refused(
        "3.2.2 absolute form with a bad Host",
        b"GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n",
        Reject::HostInvalid,
    ),
    refused(
        "3.2.2 absolute form without authority",
        b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Target,
    ),
    refused(
        "3.2.2 absolute form with user information",
        b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n",
        Reject::Target,
    ),
    refused(
        "3.2.2 absolute form of another scheme",
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Target,
    ),
    refused(
        "3.2.3 authority form",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        Reject::Connect,
    ),
    refused(
        "3.2.3 authority form without CONNECT",
        b"GET a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Target,
    ),
    taken(
        "3.2.4 asterisk form",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        Accepted {
            method: "OPTIONS",
            target: "*",
            ..PLAIN
        },
    ),
    taken(
        "3.2.4 asterisk form with an empty Host",
        b"OPTIONS * HTTP/1.1\r\nHost: \r\n\r\n",
        Accepted {
            method: "OPTIONS",
            target: "*",
            fields: &[("Host", "")],
            host: None,
            ..PLAIN
        },
    ),
    refused(
        "3.2.4 asterisk form with GET",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::AsteriskForm,
    ),
    refused(
        "3.2 relative target",
        b"GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Target,
    ),
    refused(
        "3.2 fragment",
        b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Target,
    ),
    refused(
        "3.2 target above ASCII",
        b"GET /\xc3\xbc HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Target,
    ),
    refused(
        "3.2 tab in the target",
        b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Target,
    ),
    refused(
        "3.2 NUL in the target",
        b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Nul,
    ),
    refused(
        "3.2 DEL in the target",
        b"GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n",
        Reject::Control,
    ),
    // RFC 9112 section 3.2: Host
    refused(
        "3.2 no Host",
        b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n",
        Reject::HostMissing,
    ),
    refused(
        "3.2 no fields",
        b"GET / HTTP/1.1\r\n\r\n",
        Reject::HostMissing,
    ),
    taken(
        "3.2 HTTP/1.0 without Host",
        b"GET / HTTP/1.0\r\n\r\n",
        Accepted {
            http10: true,
            keep_alive: false,
            fields: &[],
            host: None,
            ..PLAIN
        },
    ),
    refused(
        "3.2 HTTP/1.0 with two Hosts",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        Reject::HostDuplicate,
    ),
    refused(
        "3.2 two Hosts",
        b"GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n",
        Reject::HostDuplicate,
    ),
    refused(
        "3.2 two equal Hosts, one empty",
        b"OPTIONS * HTTP/1.1\r\nHost:\r\nHost:\r\n\r\n",
        Reject::HostDuplicate,
    ),
    refused(
        "3.2 empty Host",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        Reject::HostInvalid,
    ),
    refused(
        "3.2 Host with a path",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        Reject::HostInvalid,
    ),
    refused(
        "3.2 Host with user information",
        b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        Reject::HostInvalid,
    ),
    refused(
        "3.2 Host with a bad port",
        b"GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n",
        Reject::HostInvalid,
    ),
    refused(
        "3.2 Host above ASCII",
        b"GET / HTTP/1.1\r\nHost: \xc3\xbc\r\n\r\n",
        Reject::HostInvalid,
    ),
    taken(
        "3.2 Host with an IPv6 literal",
        b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        Accepted {
            fields: &[("Host", "[::1]:80")],
            host: Some("[::1]:80"),
            ..PLAIN
        },
    ),
    // RFC 9112 section 5: fields
    taken(
        "5 optional white space around values",
        b"GET / HTTP/1.1\r\nHost:a\r\nX: \t y z \t\r\nY:\r\nZ: \r\n\r\n",
        Accepted {
            fields: &[("Host", "a"), ("X", "y z"), ("Y", ""), ("Z", "")],
            ..PLAIN
        },
    ),
    refused(
        "5.1 space before the colon",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        Reject::SpaceBeforeColon,
    ),
    refused(
        "5.1 tab before the colon",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n",
        Reject::SpaceBeforeColon,
    ),
    refused(
        "5.1 empty name",
        b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        Reject::EmptyFieldName,
    ),
    refused(
        "5.1 space in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n",
        Reject::FieldName,
    ),
    refused(
        "5.1 delimiter in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\"Y: z\r\n\r\n",
        Reject::FieldName,
    ),
    refused(
        "5.1 name above ASCII",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\xff: z\r\n\r\n",
        Reject::FieldName,
    ),
    refused(
        "5 line without a colon",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        Reject::FieldLine,
    ),
    refused(
        "5.2 fold with a space",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        Reject::ObsFold,
    ),
    refused(
        "5.2 fold with a tab",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz: 1\r\n\r\n",
        Reject::ObsFold,
    ),
    refused(
        "5.2 fold of nothing before the empty line",
        b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n",
        Reject::ObsFold,
    ),
    refused(
        "2.2 white space before the first field",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        Reject::ObsFold,
    ),
    refused(
        "5.5 NUL in a value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n",
        Reject::Nul,
    ),
    refused(
        "5.5 control byte in a value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x0bz\r\n\r\n",
        Reject::Control,
    ),
    refused(
        "5.5 control byte before the value of a framing field",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n",
        Reject::Control,
    ),
    refused(
        "5.5 NUL in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n",
        Reject::Nul,
    ),
    // RFC 9112 section 6.2: Content-Length
    taken(
        "6.2 Content-Length",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        Accepted {
            method: "POST",
            fields: &[("Host", "a"), ("Content-Length", "5")],
            framing: Framing::Length(5),
            body: b"hello",
            ..PLAIN
        },
    ),
    taken(
        "6.2 Content-Length of nothing",
        b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\n\r\n",
        Accepted {
            method: "POST",
            fields: &[("Host", "a"), ("content-length", "0")],
            framing: Framing::Length(0),
            ..PLAIN
        },
    ),
    taken(
        "6.2 Content-Length with zeros before it",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\n\r\nabc",
        Accepted {
            method: "POST",
            fields: &[("Host", "a"), ("Content-Length", "003")],
            framing: Framing::Length(3),
            body: b"abc",
            ..PLAIN
        },
    ),
    refused(
        "6.3 two equal Content-Lengths",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        Reject::LengthDuplicate,
    ),
    refused(
        "6.3 two different Content-Lengths",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 6\r\n\r\nhello",
        Reject::LengthDuplicate,
    ),
    refused(
        "6.3 list of equal Content-Lengths",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        Reject::LengthList,
    ),
    refused(
        "6.2 Content-Length with a plus",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        Reject::LengthInvalid,
    ),
    refused(
        "6.2 Content-Length with a minus",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
        Reject::LengthInvalid,
    ),
    refused(
        "6.2 Content-Length with a space",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello",
        Reject::LengthInvalid,
    ),
    refused(
        "6.2 Content-Length in hexadecimal",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        Reject::LengthInvalid,
    ),
    refused(
        "6.2 empty Content-Length",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        Reject::LengthInvalid,
    ),
    refused(
        "6.2 Content-Length of 2^63",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n",
        Reject::LengthOverflow,
    ),
    refused(
        "6.2 Content-Length of 2^64 + 5",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        Reject::LengthOverflow,
    ),
    // RFC 9112 sections 6.1 and 6.3: Transfer-Encoding
    taken(
        "6.1 chunked, in any case",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKed\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Accepted {
            method: "POST",
            fields: &[("Host", "a"), ("Transfer-Encoding", "CHUNKed")],
            framing: Framing::Chunked,
            body: b"hello",
            ..PLAIN
        },
    ),
    refused(
        "6.3 Content-Length, then Transfer-Encoding",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Reject::LengthAndEncoding,
    ),
    refused(
        "6.3 Transfer-Encoding, then Content-Length",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        Reject::LengthAndEncoding,
    ),
    refused(
        "6.1 two Transfer-Encodings",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Reject::EncodingDuplicate,
    ),
    refused(
        "6.1 chunked twice",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        Reject::EncodingInvalid,
    ),
    refused(
        "6.1 gzip before chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Reject::EncodingUnsupported,
    ),
    refused(
        "6.1 chunked before gzip",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        Reject::EncodingInvalid,
    ),
    refused(
        "6.1 xchunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        Reject::EncodingInvalid,
    ),
    refused(
        "6.1 identity",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        Reject::EncodingInvalid,
    ),
    refused(
        "6.1 quoted chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        Reject::EncodingInvalid,
    ),
    refused(
        "6.1 chunked with a parameter",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
        Reject::EncodingInvalid,
    ),
    refused(
        "6.1 empty Transfer-Encoding",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
        Reject::EncodingInvalid,
    ),
    refused(
        "6.1 Transfer-Encoding in HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Reject::EncodingOnHttp10,
    ),
    // RFC 9112 section 7.1: chunks
    taken(
        "7.1 chunks with extensions and trailers",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
          5;a=\"b;c\";d\r\nhello\r\n00006\r\n world\r\n0;last\r\nX-Sum: 1\r\nY:\t\xff\r\n\r\n",
        Accepted {
            method: "POST",
            fields: &[("Host", "a"), ("Transfer-Encoding", "chunked")],
            framing: Framing::Chunked,
            body: b"hello world",
            ..PLAIN
        },
    ),
    taken(
        "7.1 chunk sizes in both cases",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
        Accepted {
            method: "POST",
            fields: &[("Host", "a"), ("Transfer-Encoding", "chunked")],
            framing: Framing::Chunked,
            body: b"01234567890123456789",
            ..PLAIN
        },
    ),
    refused(
        "7.1 empty chunk size",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
        Reject::ChunkSize,
    ),
    refused(
        "7.1 chunk size of an extension alone",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n;a\r\n0\r\n\r\n",
        Reject::ChunkSize,
    ),
    refused(
        "7.1 chunk size with a plus",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        Reject::ChunkSize,
    ),
    refused(
        "7.1 chunk size with a minus",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        Reject::ChunkSize,
    ),
    refused(
        "7.1 chunk size with 0x",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        Reject::ChunkSize,
    ),
    refused(
        "7.1 space before a chunk size",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
        Reject::ChunkSize,
    ),
    refused(
        "7.1 space after a chunk size",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        Reject::ChunkSize,
    ),
    refused(
        "7.1 underscore in a chunk size",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0_5\r\nhello\r\n0\r\n\r\n",
        Reject::ChunkSize,
    ),
    refused(
        "7.1 chunk size of 17 digits",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000005\r\nhello\r\n0\r\n\r\n",
        Reject::ChunkSizeOverflow,
    ),
    refused(
        "7.1 chunk size of 2^63",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8000000000000000\r\nhello",
        Reject::ChunkSizeOverflow,
    ),
    refused(
        "7.1 chunk size that wraps to five",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
        Reject::ChunkSizeOverflow,
    ),
    refused(
        "7.1 bare LF after a chunk size",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        Reject::BareLf,
    ),
    refused(
        "7.1 bare CR after a chunk size",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n",
        Reject::BareCr,
    ),
    refused(
        "7.1 chunk data longer than its size",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        Reject::ChunkEnd,
    ),
    refused(
        "7.1 bare LF after chunk data",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        Reject::ChunkEnd,
    ),
    refused(
        "7.1 bare CR after chunk data",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r0\r\n\r\n",
        Reject::ChunkEnd,
    ),
    refused(
        "7.1.1 bare LF in an extension",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n",
        Reject::BareLf,
    ),
    refused(
        "7.1.1 bare CR in an extension",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n",
        Reject::BareCr,
    ),
    refused(
        "7.1.1 NUL in an extension",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;\0\r\nhello\r\n0\r\n\r\n",
        Reject::Nul,
    ),
    refused(
        "7.1.2 bare LF in the trailers",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\nZ: 1\r\n\r\n",
        Reject::BareLf,
    ),
    refused(
        "7.1.2 bare LF at the end",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
        Reject::BareLf,
    ),
    refused(
        "7.1.2 bare CR at the end",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\rX",
        Reject::BareCr,
    ),
    refused(
        "7.1.2 bare CR in a trailer",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\rz\r\n\r\n",
        Reject::BareCr,
    ),
    refused(
        "7.1.2 NUL in a trailer",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: \0\r\n\r\n",
        Reject::Nul,
    ),
    refused(
        "7.1.2 trailer without a colon",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGET\r\n\r\n",
        Reject::FieldLine,
    ),
    refused(
        "7.1.2 request in place of the trailers",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGET /x HTTP/1.1\r\n\r\n",
        Reject::FieldName,
    ),
    refused(
        "7.1.2 trailer with an empty name",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n: x\r\n\r\n",
        Reject::EmptyFieldName,
    ),
    refused(
        "7.1.2 trailer with a space before the colon",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n",
        Reject::SpaceBeforeColon,
    ),
    refused(
        "7.1.2 folded trailer",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n",
        Reject::ObsFold,
    ),
    refused(
        "7.1.2 trailer name with a delimiter",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX(: y\r\n\r\n",
        Reject::FieldName,
    ),
    // RFC 9112 section 9: connections
    taken(
        "9.3 close among other options",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo , CLOSE\r\n\r\n",
        Accepted {
            fields: &[("Host", "a"), ("Connection", "foo , CLOSE")],
            keep_alive: false,
            ..PLAIN
        },
    ),
    taken(
        "9.3 close wins over keep-alive",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n",
        Accepted {
            fields: &[("Host", "a"), ("Connection", "close"), ("Connection", "keep-alive")],
            keep_alive: false,
            ..PLAIN
        },
    ),
    taken(
        "9.3 an option that only contains close",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n",
        Accepted {
            fields: &[("Host", "a"), ("Connection", "closed")],
            ..PLAIN
        },
    ),
    taken(
        "9.3 HTTP/1.0 with keep-alive",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
        Accepted {
            http10: true,
            fields: &[("Host", "a"), ("Connection", "Keep-Alive")],
            ..PLAIN
        },
    ),
    taken(
        "9.3.2 the next request stays in the buffer",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: \0",
        PLAIN,
    ),
    // RFC 9110 section 7.8: Upgrade
    taken(
        "9110 7.8 upgrade",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
        Accepted {
            fields: &[("Host", "a"), ("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket")],
            upgrade: true,
            ..PLAIN
        },
    ),
    taken(
        "9110 7.8 Upgrade without the option",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        Accepted {
            fields: &[("Host", "a"), ("Upgrade", "websocket")],
            ..PLAIN
        },
    ),
    taken(
        "9110 7.8 upgrade is not for HTTP/1.0",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        Accepted {
            http10: true,
            keep_alive: false,
            fields: &[("Host", "a"), ("Connection", "upgrade"), ("Upgrade", "websocket")],
            ..PLAIN
        },
    ),
    // RFC 9110 section 10.1.1: Expect
    taken(
        "9110 10.1.1 the client waits",
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\nx",
        Accepted {
            method: "PUT",
            fields: &[("Host", "a"), ("Content-Length", "1"), ("Expect", "100-Continue")],
            framing: Framing::Length(1),
            expect_continue: true,
            body: b"x",
            ..PLAIN
        },
    ),
    taken(
        "9110 10.1.1 nothing to wait for",
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        Accepted {
            fields: &[("Host", "a"), ("Expect", "100-continue")],
            ..PLAIN
        },
    ),
    taken(
        "9110 10.1.1 HTTP/1.0 does not wait",
        b"PUT / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
        Accepted {
            method: "PUT",
            http10: true,
            keep_alive: false,
            fields: &[("Host", "a"), ("Content-Length", "1"), ("Expect", "100-continue")],
            framing: Framing::Length(1),
            body: b"x",
            ..PLAIN
        },
    ),
    refused(
        "9110 10.1.1 another expectation",
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\nx",
        Reject::Expectation,
    ),
    refused(
        "9110 10.1.1 a second expectation",
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue, x\r\n\r\nx",
        Reject::Expectation,
    ),
];
