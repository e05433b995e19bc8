//! Answers that leave their worker compressed.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::json;
use sluice_server::{AnswerBody, AnswerMeta};

use crate::support::{Event, Served, config_with};

/// Plain text for a client that takes gzip, and for one that takes nothing.
const GZIP: u8 = 1 | 2 << 5;
const IDENTITY: u8 = 1 | 1 << 5;

fn meta(template: u8) -> AnswerMeta {
    AnswerMeta {
        status: 200,
        template,
        flags: 0,
    }
}

fn compressing() -> Served {
    Served::start(&config_with(json!({}), json!({ "compression": {} })))
}

fn inflated(body: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(body)
        .read_to_string(&mut text)
        .expect("it is gzip");
    text
}

#[test]
fn a_whole_answer_has_the_length_of_what_is_sent() {
    let served = compressing();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    // Inline in the ring, and beside it.
    for size in [1024, 200_000] {
        let text = "x".repeat(size);
        client.get("/");
        let asked = worker.request("a request");
        let body = AnswerBody::Bytes(text.as_bytes());
        assert!(
            worker
                .worker
                .respond(asked.name, meta(GZIP), b"x-a: 1\r\n", &body)
        );
        worker.worker.flush();
        let response = client.response();
        assert!(response.head.contains("content-encoding: gzip"));
        assert!(
            response.head.contains("x-a: 1") && response.head.contains("vary: accept-encoding")
        );
        assert!(
            response
                .head
                .contains(&format!("content-length: {}", response.body.len()))
        );
        assert!(inflated(&response.body) == text);
    }
}

#[test]
fn what_is_short_or_not_accepted_is_sent_as_it_is() {
    let served = compressing();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    for (template, size, varies) in [
        (GZIP, 1023, false),
        (IDENTITY, 1024, true),
        (1, 1024, false),
    ] {
        client.get("/");
        let asked = worker.request("a request");
        let text = "x".repeat(size);
        let body = AnswerBody::Bytes(text.as_bytes());
        assert!(
            worker
                .worker
                .respond(asked.name, meta(template), b"", &body)
        );
        worker.worker.flush();
        let response = client.response();
        assert_eq!(response.text(), text);
        assert_eq!(response.head.contains("vary"), varies);
    }
}

#[test]
fn a_stream_can_be_read_up_to_each_part() {
    let served = compressing();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    assert!(
        worker
            .worker
            .respond_head(asked.name, meta(GZIP), b"", Some(5000))
    );
    for part in ["first ", "second"] {
        worker.chunk(&asked, part.as_bytes(), true);
        assert_eq!(worker.event("room"), Event::Drain(asked.name));
    }
    worker.end(&asked);
    let response = client.response();
    assert!(response.head.contains("transfer-encoding: chunked"));
    assert_eq!(inflated(&response.body), "first second");
}

#[test]
fn a_worker_has_128_compressors_for_streams_and_gives_them_back() {
    let served = compressing();
    let mut worker = served.worker(0);
    let mut open = Vec::new();
    for _ in 0..128 {
        let mut client = served.connect();
        client.get("/");
        let asked = worker.request("a request");
        assert!(
            worker
                .worker
                .respond_head(asked.name, meta(GZIP), b"", None)
        );
        open.push((client, asked));
    }
    let mut client = served.connect();
    let mut more = |worker: &mut crate::support::WorkerDouble| {
        client.get("/");
        let asked = worker.request("a request");
        assert!(
            worker
                .worker
                .respond_head(asked.name, meta(GZIP), b"", None)
        );
        worker.chunk(&asked, b"text", false);
        worker.end(&asked);
        let response = client.response();
        (response.head.contains("content-encoding"), response.body)
    };
    assert_eq!(more(&mut worker), (false, b"text".to_vec()));
    let (_, asked) = &open[0];
    worker.worker.respond_reset(asked.name);
    let (is_coded, body) = more(&mut worker);
    assert!(is_coded);
    assert_eq!(inflated(&body), "text");
}
