//! Answers, from the worker to the socket.

use serde_json::json;
use sluice_server::{AnswerBody, AnswerMeta};

use crate::support::{Event, Served, config};

#[test]
fn a_stream_of_unknown_length_is_chunked() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    worker.head(&asked, None);
    let large = "y".repeat(50_000);
    for part in ["one ", "", &large, " end"] {
        worker.chunk(&asked, part.as_bytes(), false);
    }
    worker.end(&asked);
    let response = client.response();
    assert!(response.head.contains("transfer-encoding: chunked"));
    assert!(response.text() == format!("one {large} end"));
    assert!(!response.closes());
}

#[test]
fn a_stream_of_known_length_has_that_length() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    worker.head(&asked, Some(10));
    worker.chunk(&asked, b"01234", false);
    worker.chunk(&asked, b"56789", false);
    worker.end(&asked);
    let response = client.response();
    assert!(response.head.contains("content-length: 10"));
    assert_eq!(response.text(), "0123456789");
}

#[test]
fn more_than_the_known_length_is_cut() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    for large in [false, true] {
        client.get("/");
        let asked = worker.request("a request");
        let part = if large {
            "z".repeat(40_000)
        } else {
            "z".repeat(10)
        };
        let length = part.len() + 1;
        worker.head(&asked, Some(length as u64));
        worker.chunk(&asked, part.as_bytes(), false);
        worker.chunk(&asked, part.as_bytes(), false);
        worker.end(&asked);
        assert_eq!(client.response().body.len(), length);
    }
    client.get("/next");
    let next = worker.request("the next");
    worker.answer(&next, "next");
    assert_eq!(client.response().text(), "next");
}

#[test]
fn less_than_the_known_length_breaks_the_connection() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    worker.head(&asked, Some(10));
    worker.chunk(&asked, b"0123", false);
    assert_eq!(client.head().status, 200);
    assert_eq!(client.exactly(4), b"0123");
    worker.end(&asked);
    client.rest_before_reset();
    served.until("the close", |stats| stats.connections == 0);
}

#[test]
fn a_stream_to_an_old_client_ends_with_the_connection() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let asked = worker.request("a request");
    worker.head(&asked, None);
    worker.chunk(&asked, b"all of ", false);
    worker.chunk(&asked, b"it", false);
    worker.end(&asked);
    let response = client.response();
    assert!(!response.head.contains("transfer-encoding"));
    assert_eq!(response.text(), "all of it");
}

#[test]
fn a_stream_given_up_breaks_the_connection() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    worker.head(&asked, None);
    worker.chunk(&asked, b"some", false);
    client.head();
    client.exactly(9);
    worker.worker.respond_reset(asked.name);
    worker.worker.flush();
    client.rest_before_reset();
}

#[test]
fn a_stream_given_up_behind_another_answer_is_refused_instead() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/1");
    client.get("/2");
    let (first, second) = (worker.request("the first"), worker.request("the second"));
    worker.head(&second, None);
    worker.chunk(&second, b"some", false);
    worker.worker.respond_reset(second.name);
    worker.worker.flush();
    worker.answer(&first, "first");
    // Not a byte of the second was on the wire yet.
    assert_eq!(client.response().text(), "first");
    assert_eq!(client.response().status, 500);
}

#[test]
fn a_broken_answer_aborts_what_is_behind_it() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/1");
    client.get("/2");
    let (first, second) = (worker.request("the first"), worker.request("the second"));
    worker.head(&first, None);
    worker.worker.respond_reset(first.name);
    worker.worker.flush();
    client.rest_before_reset();
    let aborted = worker.event("an ABORT");
    assert!(
        matches!(aborted, Event::Abort(name, _) if name == second.name),
        "{aborted:?}"
    );
    assert_eq!(worker.poll(), None);
}

#[test]
fn a_head_request_gets_no_body() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    client.get("/next");
    let (head, next) = (worker.request("HEAD"), worker.request("GET"));
    worker.answer(&head, "seven..");
    worker.answer(&next, "next");
    assert!(client.head().head.contains("content-length: 7"));
    assert_eq!(client.response().text(), "next");
}

#[test]
fn a_slow_reader_holds_back_the_worker_and_is_told_when_to_go_on() {
    let limit = 64 * 1024;
    let served = Served::start(&config(json!({ "sendBuffer": limit })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    worker.head(&asked, None);
    let part = vec![b'p'; 16 * 1024];
    let mut sent = 0;
    // A worker that waits for DRAIN before each part: the socket's own buffers fill, then it is held back.
    loop {
        worker.chunk(&asked, &part, true);
        sent += part.len();
        let mut drained = false;
        let stats = served.until("DRAIN or a full socket", |stats| {
            drained = matches!(worker.poll(), Some(Event::Drain(name)) if name == asked.name);
            drained || stats.buffered_bytes > 0
        });
        assert!(stats.buffered_bytes <= limit + part.len(), "{stats:?}");
        if !drained {
            break;
        }
    }
    client.head();
    let reader = std::thread::spawn(move || {
        let mut got = 0;
        loop {
            let size = chunk_size(&mut client);
            client.exactly(size + 2);
            got += size;
            if size == 0 {
                return got;
            }
        }
    });
    assert_eq!(worker.event("DRAIN"), Event::Drain(asked.name));
    worker.end(&asked);
    assert_eq!(reader.join().expect("the reader reads all"), sent);
}

fn chunk_size(client: &mut crate::support::Client) -> usize {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(client.exactly(1));
    }
    let line = String::from_utf8(line).expect("hexadecimal digits");
    usize::from_str_radix(line.trim_end(), 16).expect("a chunk size")
}

#[test]
fn a_reader_that_reads_nothing_is_cut_off_after_the_send_timeout() {
    let served = Served::start(&config(json!({ "sendTimeout": 50 })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    worker.answer(&asked, &"x".repeat(32 << 20));
    let stats = served.until("the close", |stats| stats.connections == 0);
    assert_eq!(stats.rejected.send_timeout, 1);
    client.rest_before_reset();
}

#[test]
fn further_requests_do_not_put_off_the_send_timeout() {
    let served = Served::start(&config(json!({ "sendTimeout": 50, "sendBuffer": 1 << 30 })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    worker.answer(&asked, &"x".repeat(32 << 20));
    client.get("/next");
    worker.request("the next");
    let stats = served.until("the close", |stats| stats.connections == 0);
    assert_eq!(stats.rejected.send_timeout, 1);
}

#[test]
fn a_worker_may_close_the_connection() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/1");
    client.get("/2");
    let (first, second) = (worker.request("the first"), worker.request("the second"));
    let meta = AnswerMeta {
        status: 200,
        template: 0,
        flags: sluice_shared::record::command_flag::CLOSE,
    };
    worker
        .worker
        .respond(first.name, meta, b"", &AnswerBody::Bytes(b"last"));
    worker.worker.flush();
    let response = client.response();
    assert!(response.closes());
    assert_eq!(client.rest(), b"");
    assert!(matches!(worker.event("an ABORT"), Event::Abort(name, _) if name == second.name));
    served.until("nothing in flight", |stats| stats.concurrency == 0);
}
