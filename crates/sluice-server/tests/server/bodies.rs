//! Request bodies, from the socket to the worker.

use serde_json::json;

use crate::support::{Client, Event, Served, config};

const WINDOW: usize = 256 * 1024;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

fn chunked(client: &mut Client, body: &[u8], step: usize) {
    client.send("POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut bytes = Vec::new();
    for chunk in body.chunks(step) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    client.send(bytes);
}

#[test]
fn a_body_arrives_whole_whatever_its_size() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    let sizes = [0, 1, 16 * 1024, 16 * 1024 + 1, 100_000, WINDOW];
    for size in sizes {
        let body = pattern(size);
        client.post("/up", &body);
        let asked = worker.request("a POST");
        assert!(asked.body == body, "{size} bytes");
        worker.answer(&asked, "ok");
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn a_large_body_is_streamed_whole() {
    let served = Served::new();
    let mut worker = served.worker(0);
    for size in [WINDOW + 1, 3 << 20] {
        let body = pattern(size);
        let sender = {
            let (mut client, body) = (served.connect(), body.clone());
            std::thread::spawn(move || {
                client.post("/up", &body);
                client.response().text().to_owned()
            })
        };
        let asked = worker.request("an upload");
        let got = worker.body(&asked).expect("a whole body");
        assert!(got == body, "{size} bytes");
        worker.answer(&asked, "ok");
        assert_eq!(sender.join().expect("the client is happy"), "ok");
    }
}

#[test]
fn a_chunked_body_is_decoded_whole() {
    let served = Served::new();
    let mut worker = served.worker(0);
    for (size, step) in [
        (100, 7),
        (50_000, 4096),
        (WINDOW, WINDOW),
        (1 << 20, 70_001),
    ] {
        let body = pattern(size);
        let sender = {
            let (mut client, body) = (served.connect(), body.clone());
            std::thread::spawn(move || {
                chunked(&mut client, &body, step);
                client.response().text().to_owned()
            })
        };
        let asked = worker.request("an upload");
        // Short ones that came in one piece are handed over whole.
        let got = if asked.flags & sluice_shared::record::event_flag::STREAM == 0 {
            asked.body.clone()
        } else {
            worker.body(&asked).expect("a whole body")
        };
        assert!(got == body, "{size} bytes in chunks of {step}");
        worker.answer(&asked, "ok");
        assert_eq!(sender.join().expect("the client is happy"), "ok");
    }
}

#[test]
fn a_worker_that_takes_no_body_stops_the_reading_of_the_socket() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let body = pattern(32 << 20);
    let sender = {
        let (mut client, body) = (served.connect(), body.clone());
        std::thread::spawn(move || {
            client.post("/up", &body);
            client.response().text().to_owned()
        })
    };
    let asked = worker.request("an upload");
    let full = served.until("a full input buffer", |stats| {
        stats.buffered_bytes >= 64 * 1024
    });
    assert!(full.counters.bytes_in < 512 * 1024, "{full:?}");
    // One window, then it stops again.
    worker.credit(&asked, 0);
    let mut got = Vec::new();
    while got.len() < WINDOW {
        match worker.event("the first window") {
            Event::Chunk(_, bytes) => got.extend(bytes),
            other => panic!("expected a chunk, got {other:?}"),
        }
    }
    assert_eq!(got.len(), WINDOW, "not a byte more than the window");
    let full = served.until("a full input buffer", |stats| {
        stats.buffered_bytes >= 64 * 1024
    });
    assert!(full.counters.bytes_in < 1024 * 1024, "{full:?}");
    assert_eq!(worker.poll(), None);
    worker.credit(&asked, WINDOW as u32);
    loop {
        match worker.event("the rest of the body") {
            Event::Chunk(_, bytes) => {
                worker.credit(&asked, bytes.len() as u32);
                got.extend(bytes);
            }
            Event::End(_, whole) => break assert!(whole),
            other => panic!("expected a chunk, got {other:?}"),
        }
    }
    assert!(got == body);
    worker.answer(&asked, "ok");
    assert_eq!(sender.join().expect("the client is happy"), "ok");
}

#[test]
fn the_end_of_a_body_that_breaks_off_is_broken_and_told_once() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nabc");
    let asked = worker.request("an upload");
    worker.credit(&asked, 0);
    assert_eq!(
        worker.event("a chunk"),
        Event::Chunk(asked.name, b"abc".to_vec())
    );
    drop(client);
    assert_eq!(worker.event("the end"), Event::End(asked.name, false));
    assert!(matches!(worker.event("an ABORT"), Event::Abort(name, _) if name == asked.name));
    served.until("the close", |stats| stats.connections == 0);
    assert_eq!(worker.poll(), None);
}

#[test]
fn a_body_that_breaks_its_framing_is_refused_once() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send("POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let asked = worker.request("an upload");
    worker.credit(&asked, 0);
    assert_eq!(
        worker.event("a chunk"),
        Event::Chunk(asked.name, b"abc".to_vec())
    );
    client.send("zzz\r\n");
    assert_eq!(worker.event("the end"), Event::End(asked.name, false));
    assert!(matches!(worker.event("an ABORT"), Event::Abort(..)));
    let response = client.response();
    assert_eq!(response.status, 400);
    assert!(response.closes());
    assert_eq!(client.rest(), b"");
    drop(client);
    served.until("the close", |stats| stats.connections == 0);
    assert_eq!(worker.poll(), None);
}

#[test]
fn continue_is_said_when_the_body_is_first_read() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send(
        "POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\nexpect: 100-continue\r\n\r\n",
    );
    let asked = worker.request("the head alone");
    worker.credit(&asked, 0);
    assert_eq!(client.response().status, 100);
    let body = pattern(300_000);
    client.send(&body);
    let mut got = Vec::new();
    loop {
        match worker.event("the body") {
            Event::Chunk(_, bytes) => {
                worker.credit(&asked, bytes.len() as u32);
                got.extend(bytes);
            }
            Event::End(_, whole) => break assert!(whole),
            other => panic!("expected a chunk, got {other:?}"),
        }
    }
    assert!(got == body);
    worker.answer(&asked, "ok");
    assert_eq!(client.response().text(), "ok");
}

#[test]
fn a_refused_expectation_is_answered_without_continue_and_closes() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send(
        "POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\nexpect: 100-continue\r\n\r\n",
    );
    let asked = worker.request("the head alone");
    worker.queue(asked.name, 413, b"no");
    worker.worker.flush();
    let response = client.response();
    assert_eq!(response.status, 413);
    assert!(response.closes());
    assert_eq!(client.rest(), b"");
}

#[test]
fn an_answer_before_a_short_rest_of_the_body_keeps_the_connection() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n");
    let asked = worker.request("an upload");
    client.send(pattern(260_000));
    worker.credit(&asked, 0);
    let mut got = 0;
    while got < WINDOW.min(260_000) {
        match worker.event("a chunk") {
            Event::Chunk(_, bytes) => {
                got += bytes.len();
                worker.credit(&asked, bytes.len() as u32);
            }
            other => panic!("expected a chunk, got {other:?}"),
        }
    }
    worker.answer(&asked, "enough");
    assert!(!client.response().closes());
    client.send(pattern(40_000));
    client.get("/next");
    let next = worker.request("the next request");
    assert_eq!(next.path(), "/next");
    worker.answer(&next, "next");
    assert_eq!(client.response().text(), "next");
}

#[test]
fn a_slow_body_is_refused_although_much_of_it_is_buffered() {
    let served = Served::start(&config(
        json!({ "bodyGrace": 40, "bodyMinRate": 1_000_000 }),
    ));
    let _worker = served.worker(0);
    let mut client = served.connect();
    client.send("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n");
    client.send(pattern(10_000));
    served.until("the first part", |stats| stats.buffered_bytes >= 10_000);
    // Each byte finds all before it buffered; only the byte itself is new.
    let mut dripper = client.stream.try_clone().expect("the socket can be shared");
    let drip = std::thread::spawn(move || {
        use std::io::Write;
        while dripper.write_all(b"x").is_ok() {
            std::thread::yield_now();
        }
    });
    let response = client.head();
    assert_eq!(response.status, 408);
    assert_eq!(served.stats().rejected.body_min_rate, 1);
    drop(client.stream.shutdown(std::net::Shutdown::Both));
    drip.join().expect("the dripper only writes");
}
