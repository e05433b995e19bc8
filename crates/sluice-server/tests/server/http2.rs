//! HTTP/2 frame by frame: what its limits say, and what becomes of those who abuse it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use serde_json::json;
use sluice_shared::record::AbortReason;

use crate::support::{Event, LIMIT, Served, config, config_with};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// `GET http://a/`, from the static table but for the host.
const GET: &[u8] = b"\x82\x86\x84\x41\x01a";
/// `POST http://a/`.
const POST: &[u8] = b"\x83\x86\x84\x41\x01a";

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The code of an RST_STREAM or a GOAWAY.
    fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }

    /// The status of an answer: it comes first, by its index or as a literal.
    fn status(&self) -> u16 {
        match self.payload[0] {
            0x88 => 200,
            0x8d => 404,
            0x8e => 500,
            // A literal: `431` in Huffman's code.
            0x48 | 0x08 if self.payload[2..5] == [0x69, 0x90, 0xff] => 431,
            _ => 0,
        }
    }
}

/// A client that says frame for frame what it is told to.
struct Frames(TcpStream);

impl Frames {
    /// A connection behind both prefaces.
    fn open(served: &Served) -> Self {
        let mut client = Self::begin(served);
        client.send(SETTINGS, 0, 0, &[]);
        client
    }

    /// A connection that has said the preface and no SETTINGS.
    fn begin(served: &Served) -> Self {
        let mut stream = TcpStream::connect(served.address()).expect("the server listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream
            .set_read_timeout(Some(LIMIT))
            .expect("the limit is not zero");
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .expect("the server takes it");
        Self(stream)
    }

    /// Sends a frame. The server may have closed already.
    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        let _ = self.0.write_all(&frame);
    }

    fn get(&mut self, stream: u32) {
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, GET);
    }

    /// The next frame; `None` at the end.
    fn read(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        if let Err(error) = self.0.read_exact(&mut header) {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ),
                "{error}"
            );
            return None;
        }
        let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).expect("the whole frame");
        Some(Frame {
            kind: header[3],
            flags: header[4],
            stream: u32::from_be_bytes(header[5..].try_into().expect("four bytes")),
            payload,
        })
    }

    /// The next frame of a kind; the others before it are dropped.
    fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self
                .read()
                .unwrap_or_else(|| panic!("the connection ended before a frame of kind {kind}"));
            if frame.kind == kind {
                return frame;
            }
            assert_ne!(frame.kind, GOAWAY, "{frame:?}");
        }
    }

    /// The code of the GOAWAY that the connection ends with.
    fn farewell(&mut self) -> u32 {
        let mut code = None;
        while let Some(frame) = self.read() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code.expect("a GOAWAY before the end")
    }
}

/// An answer of `worker` to the next request, on `stream`.
macro_rules! answered {
    ($client:expr, $worker:expr, $stream:expr) => {{
        let asked = $worker.request("a request");
        $worker.answer(&asked, "ok");
        let head = $client.next(HEADERS);
        assert_eq!((head.status(), head.stream), (200, $stream));
        let body = $client.next(DATA);
        assert_eq!((&body.payload[..], body.flags), (&b"ok"[..], END_STREAM));
    }};
}

#[test]
fn one_connection_serves_many_streams() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = Frames::open(&served);
    for stream in [1, 3, 5] {
        client.get(stream);
    }
    let asked: Vec<_> = (0..3).map(|_| worker.request("one of three")).collect();
    assert_eq!(asked[0].line, "GET / HTTP/1.1");
    // In another order than they were asked in.
    for (index, stream) in [(2, 5), (0, 1), (1, 3)] {
        worker.answer(&asked[index], &format!("to {stream}"));
        assert_eq!(client.next(HEADERS).stream, stream);
        assert_eq!(client.next(DATA).payload, format!("to {stream}").as_bytes());
    }
    let stats = served.stats();
    assert_eq!((stats.connections, stats.counters.accept_count), (1, 1));
    assert_eq!(stats.counters.request_count, 3);
    drop(client);
    served.until("the end of the connection", |stats| stats.connections == 0);
    assert_eq!(served.stats().counters.close_count, 1);
}

#[test]
fn a_connection_keeps_to_one_worker_where_dispatch_says_so() {
    let served = Served::start(&config_with(json!({}), json!({ "dispatch": "connection" })));
    let mut workers = [served.worker(0), served.worker(1)];
    let mut client = Frames::open(&served);
    client.get(1);
    let first = served
        .until("the first", |stats| stats.counters.dispatch_count == 1)
        .per_worker
        .iter()
        .position(|worker| worker.inflight == 1)
        .expect("one has it");
    for stream in [3, 5, 7] {
        client.get(stream);
    }
    for _ in 0..4 {
        let asked = workers[first].request("a request of the same connection");
        workers[first].answer(&asked, "ok");
    }
}

#[test]
fn the_preface_may_come_in_pieces_and_behind_a_proxy_header() {
    let mut config = config(json!({}));
    config["ports"][0]["proxy"] = json!({ "trust": ["127.0.0.0/8"], "protocol": "v1" });
    let served = Served::start(&config);
    let mut worker = served.worker(0);
    let mut stream = TcpStream::connect(served.address()).expect("the server listens");
    stream.set_nodelay(true).expect("it is a TCP socket");
    stream
        .set_read_timeout(Some(LIMIT))
        .expect("the limit is not zero");
    let before = served.stats().counters.bytes_in;
    for piece in [
        &b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nPRI * HT"[..],
        b"TP/2.0\r\n\r\nSM",
        b"\r\n\r\n",
    ] {
        stream.write_all(piece).expect("the server takes it");
    }
    let mut client = Frames(stream);
    client.send(SETTINGS, 0, 0, &[]);
    client.get(1);
    let asked = worker.request("a request");
    let info = worker
        .worker
        .connection_info(asked.name)
        .expect("its client waits");
    assert_eq!(info.remote_address, "192.0.2.1");
    assert!(info.bytes_in > before);
    worker.answer(&asked, "ok");
    assert_eq!(client.next(HEADERS).status(), 200);
}

#[test]
fn frames_that_only_keep_busy_end_the_connection() {
    let floods: [(u8, u8, &[u8]); 6] = [
        (PING, 0, &[0; 8]),
        (SETTINGS, 0, &[]),
        (PRIORITY, 0, &[0, 0, 0, 0, 1]),
        (0xfa, 0, b"unknown"),
        (WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
        (DATA, 0, &[]),
    ];
    for (kind, flags, payload) in floods {
        let served = Served::start(&config(json!({ "controlFrames": 20 })));
        let mut worker = served.worker(0);
        let mut client = Frames::open(&served);
        let stream = if matches!(kind, PRIORITY | DATA) {
            1
        } else {
            0
        };
        client.send(HEADERS, END_HEADERS, 1, POST);
        // With the SETTINGS at the start, 16 are below the limit.
        for _ in 0..15 {
            client.send(kind, flags, stream, payload);
        }
        client.get(3);
        worker.request("the one that still sends its body");
        answered!(client, worker, 3);
        // Too many on at least one side of the second's end.
        for _ in 0..45 {
            client.send(kind, flags, stream, payload);
        }
        assert_eq!(client.farewell(), ENHANCE_YOUR_CALM, "kind {kind}");
        let stats = served.until("the end", |stats| stats.connections == 0);
        assert_eq!(stats.rejected.control_frames, 1, "kind {kind}");
        assert_eq!(stats.rejected.malformed, 0, "kind {kind}");
    }
}

#[test]
fn a_client_that_resets_what_it_asks_for_is_sent_away() {
    let served = Served::start(&config(json!({ "streamResets": 5 })));
    let mut worker = served.worker(0);
    let mut client = Frames::open(&served);
    for stream in [1, 3, 5, 7, 9] {
        client.get(stream);
        let asked = worker.request("one that is given up");
        client.send(RST_STREAM, 0, stream, &8u32.to_be_bytes());
        let aborted = Event::Abort(asked.name, AbortReason::ClientGone);
        assert_eq!(worker.event("its end"), aborted);
    }
    client.get(11);
    answered!(client, worker, 11);
    // Too many on at least one side of the second's end.
    for stream in (13..).step_by(2).take(12) {
        client.get(stream);
        client.send(RST_STREAM, 0, stream, &8u32.to_be_bytes());
    }
    assert_eq!(client.farewell(), ENHANCE_YOUR_CALM);
    let stats = served.until("the end", |stats| stats.connections == 0);
    assert_eq!(stats.rejected.stream_resets, 1);
}

#[test]
fn fields_without_an_end_are_not_collected() {
    let served = Served::new();
    let mut client = Frames::open(&served);
    client.send(HEADERS, END_STREAM, 1, GET);
    for _ in 0..1000 {
        client.send(CONTINUATION, 0, 1, b"\x00\x01x\x01y");
    }
    assert_eq!(client.farewell(), ENHANCE_YOUR_CALM);
    let stats = served.until("the end", |stats| stats.connections == 0);
    assert_eq!(stats.rejected.control_frames, 1);
}

#[test]
fn fields_that_do_not_come_in_time_end_the_connection() {
    let served = Served::start(&config(json!({ "headerTimeout": 60 })));
    let mut half = Frames::open(&served);
    half.send(HEADERS, END_STREAM, 1, GET);
    assert_eq!(half.farewell(), NO_ERROR);
    // As does a preface without its SETTINGS.
    let mut silent = Frames::begin(&served);
    while silent.read().is_some() {}
    let mut less = TcpStream::connect(served.address()).expect("the server listens");
    less.write_all(b"PRI * HTTP/2.0\r\n").expect("it is taken");
    let mut rest = Vec::new();
    less.set_read_timeout(Some(LIMIT)).expect("not zero");
    let _ = less.read_to_end(&mut rest);
    assert!(rest.starts_with(b"HTTP/1.1 408 "), "{rest:?}");
    let stats = served.until("the ends", |stats| stats.connections == 0);
    assert_eq!(stats.rejected.header_timeout, 3);
}

#[test]
fn one_stream_too_many_is_refused_and_may_come_again() {
    let served = Served::start(&config(json!({ "streams": 2 })));
    let mut worker = served.worker(0);
    let mut client = Frames::open(&served);
    // The limit holds for who has acknowledged it.
    client.next(SETTINGS);
    client.send(SETTINGS, 1, 0, &[]);
    client.get(1);
    client.get(3);
    client.get(5);
    let reset = client.next(RST_STREAM);
    assert_eq!((reset.code(), reset.stream), (REFUSED_STREAM, 5));
    assert_eq!(served.stats().rejected.streams, 1);
    answered!(client, worker, 1);
    client.get(7);
    answered!(client, worker, 3);
    answered!(client, worker, 7);
}

#[test]
fn small_fields_that_mean_large_ones_are_refused() {
    let served = Served::start(&config(json!({ "headerBytes": 8192 })));
    let mut worker = served.worker(0);
    // A field of 4000 bytes goes into the dynamic table, and is then named by one byte.
    let bomb = |times: usize| {
        let mut fields = GET.to_vec();
        fields.extend(b"\x40\x01x\x7f\xa1\x1e");
        fields.extend([b'y'; 4000]);
        fields.resize(fields.len() + times, 0xbe);
        fields
    };
    let mut client = Frames::open(&served);
    client.send(HEADERS, END_STREAM | END_HEADERS, 1, &bomb(2));
    assert_eq!(client.next(HEADERS).status(), 431);
    assert_eq!(served.stats().rejected.header_bytes, 1);
    client.get(3);
    answered!(client, worker, 3);
    let mut worse = Frames::open(&served);
    worse.send(HEADERS, END_STREAM | END_HEADERS, 1, &bomb(4000));
    assert_eq!(worse.farewell(), ENHANCE_YOUR_CALM);
    assert_eq!(served.stats().rejected.control_frames, 1);
}

#[test]
fn a_closed_window_is_waited_for_and_not_longer_than_send_timeout() {
    let served = Served::start(&config(json!({ "sendTimeout": 1000 })));
    let mut worker = served.worker(0);
    let mut client = Frames::open(&served);
    // SETTINGS_INITIAL_WINDOW_SIZE = 0.
    client.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    client.get(1);
    let asked = worker.request("a request");
    worker.answer(&asked, "body");
    assert_eq!(client.next(HEADERS).status(), 200);
    client.send(WINDOW_UPDATE, 0, 1, &4u32.to_be_bytes());
    assert_eq!(client.next(DATA).payload, b"body");
    client.get(3);
    let asked = worker.request("another");
    worker.answer(&asked, "body");
    assert_eq!(client.next(RST_STREAM).stream, 3);
    let stats = served.stats();
    assert_eq!((stats.rejected.send_timeout, stats.connections), (1, 1));
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let served = Served::start(&config(json!({ "sendTimeout": 200 })));
    let mut worker = served.worker(0);
    let mut client = Frames::open(&served);
    // Windows of 2 GiB, so that only the socket holds anything back.
    client.send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    client.send(WINDOW_UPDATE, 0, 0, &0x7fff_0000u32.to_be_bytes());
    client.get(1);
    let asked = worker.request("a request");
    worker.answer(&asked, &"x".repeat(32 * 1024 * 1024));
    let stats = served.until("the end", |stats| stats.connections == 0);
    assert!(stats.rejected.send_timeout > 0);
    assert!(stats.counters.bytes_out < 32 * 1024 * 1024);
    drop(client);
}

#[test]
fn what_breaks_the_protocol_is_told_and_counted() {
    let served = Served::new();
    let mut client = Frames::open(&served);
    client.send(DATA, 0, 0, b"on no stream");
    assert_eq!(client.farewell(), PROTOCOL_ERROR);
    let stats = served.until("the end", |stats| stats.connections == 0);
    assert_eq!(stats.rejected.malformed, 1);
}

#[test]
fn a_worker_that_dies_breaks_the_streams_whose_answers_had_begun() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = Frames::open(&served);
    client.get(1);
    let begun = worker.request("one whose answer begins");
    worker.head(&begun, None);
    assert_eq!(client.next(HEADERS).stream, 1);
    client.get(3);
    worker.request("one that waits");
    let mut other = served.worker(1);
    let slot = worker.slot;
    drop(worker);
    served.gone(slot);
    let reset = client.next(RST_STREAM);
    assert_eq!(reset.stream, 1);
    client.get(5);
    let mut streams = Vec::new();
    for _ in 0..2 {
        let asked = other.request("what waited, and what came after");
        other.answer(&asked, "ok");
        streams.push(client.next(HEADERS).stream);
    }
    streams.sort_unstable();
    assert_eq!(streams, [3, 5]);
}

#[test]
fn a_stop_says_goodbye_and_lets_streams_end() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut busy = Frames::open(&served);
    busy.get(1);
    let asked = worker.request("a request");
    let mut idle = Frames::open(&served);
    idle.next(SETTINGS);
    served.server.stop(20_000, 1001);
    assert_eq!(idle.farewell(), NO_ERROR);
    let goodbye = loop {
        let frame = busy.read().expect("the connection is open");
        if frame.kind == GOAWAY {
            break frame;
        }
    };
    assert_eq!(goodbye.code(), NO_ERROR);
    worker.answer(&asked, "the last");
    let mut body = Vec::new();
    while let Some(frame) = busy.read() {
        match frame.kind {
            DATA => body.extend(frame.payload),
            // The server asks whether everything has arrived before it names the last stream.
            PING if frame.flags & 1 == 0 => busy.send(PING, 1, 0, &frame.payload),
            _ => {}
        }
    }
    assert_eq!(body, b"the last");
}
