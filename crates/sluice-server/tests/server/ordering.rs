//! Whose answer goes where, and when.

use serde_json::json;
use sluice_shared::record::AbortReason;

use crate::support::{Event, Served, config};

#[test]
fn a_connection_is_kept_for_many_requests() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    for round in 0..20 {
        client.get(&format!("/{round}"));
        let asked = worker.request("a request");
        assert_eq!(asked.line, format!("GET /{round} HTTP/1.1"));
        worker.answer(&asked, &format!("answer {round}"));
        let response = client.response();
        assert_eq!(response.text(), format!("answer {round}"));
        assert!(!response.closes());
    }
    let stats = served.stats();
    assert_eq!(stats.counters.accept_count, 1);
    assert_eq!(stats.counters.request_count, 20);
    assert_eq!(stats.counters.response_count, 20);
    assert_eq!(stats.concurrency, 0);
}

#[test]
fn pipelined_answers_leave_in_the_order_of_their_requests() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(8));
    let asked: Vec<_> = (0..8)
        .map(|_| worker.request("a pipelined request"))
        .collect();
    for (place, asked) in asked.iter().enumerate().rev() {
        // Small, large and streamed ones, last first.
        match place % 3 {
            0 => worker.answer(asked, &format!("small {place}")),
            1 => worker.answer(asked, &format!("large {place}").repeat(4096)),
            _ => {
                worker.head(asked, None);
                worker.chunk(asked, b"streamed ", false);
                worker.chunk(asked, place.to_string().as_bytes(), false);
                worker.end(asked);
            }
        }
    }
    for place in 0..8 {
        let expected = match place % 3 {
            0 => format!("small {place}"),
            1 => format!("large {place}").repeat(4096),
            _ => format!("streamed {place}"),
        };
        assert!(client.response().text() == expected, "answer {place}");
    }
}

#[test]
fn a_request_with_side_effects_is_carried_out_beside_no_other() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/before");
    client.post("/unsafe", b"body");
    client.get("/after");
    let before = worker.request("the first");
    assert_eq!(
        served
            .until("one dispatch", |stats| stats.counters.dispatch_count == 1)
            .concurrency,
        1
    );
    worker.answer(&before, "1");
    let post = worker.request("the POST");
    assert_eq!(
        (post.path(), post.body.as_slice()),
        ("/unsafe", &b"body"[..])
    );
    assert_eq!(client.response().text(), "1");
    assert_eq!(served.stats().counters.dispatch_count, 2);
    worker.answer(&post, "2");
    let after = worker.request("the last");
    assert_eq!(after.path(), "/after");
    worker.answer(&after, "3");
    assert_eq!(client.response().text(), "2");
    assert_eq!(client.response().text(), "3");
}

#[test]
fn a_request_behind_an_answer_larger_than_the_send_buffer_is_taken() {
    let served = Served::start(&config(json!({ "sendBuffer": 1024 })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.post("/first", b"");
    client.get("/second");
    let first = worker.request("the first");
    let large = "x".repeat(8 << 20);
    worker.answer(&first, &large);
    assert!(client.response().text() == large);
    let second = worker.request("the second, once the first answer is out");
    worker.answer(&second, "second");
    assert_eq!(client.response().text(), "second");
}

#[test]
fn a_second_answer_reaches_nobody() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/1");
    let first = worker.request("the first");
    worker.answer(&first, "right");
    worker.answer(&first, "wrong");
    assert_eq!(client.response().text(), "right");
    client.get("/2");
    let second = worker.request("the second");
    // The same place in the slab under another generation.
    assert_eq!(second.name.index, first.name.index);
    worker.answer(&first, "wrong");
    worker.answer(&second, "right too");
    assert_eq!(client.response().text(), "right too");
}

#[test]
fn an_answer_after_its_deadline_reaches_nobody() {
    let served = Served::start(&config(json!({ "answerTimeout": 40 })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/slow");
    let slow = worker.request("the slow one");
    let response = client.response();
    assert_eq!(
        (response.status, response.text()),
        (504, "answer-timeout\n")
    );
    assert_eq!(
        worker.event("the deadline's ABORT"),
        Event::Abort(slow.name, AbortReason::AnswerDeadline)
    );
    assert_eq!(served.stats().rejected.answer_timeout, 1);
    client.get("/next");
    let next = worker.request("the next");
    worker.answer(&slow, "late");
    worker.answer(&next, "right");
    assert_eq!(client.response().text(), "right");
}

#[test]
fn a_client_that_leaves_is_told_once() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/1");
    client.get("/2");
    let (first, second) = (worker.request("the first"), worker.request("the second"));
    client.half_close();
    let mut aborted = Vec::new();
    for _ in 0..2 {
        match worker.event("an ABORT") {
            Event::Abort(name, _) => aborted.push(name),
            other => panic!("expected ABORT, got {other:?}"),
        }
    }
    assert_eq!(aborted, [first.name, second.name]);
    // Now the whole connection goes; nothing is said twice.
    drop(client);
    served.until("the close", |stats| {
        worker.answer(&first, "late");
        worker.answer(&second, "late");
        stats.connections == 0
    });
    served.until("nothing in flight", |stats| stats.concurrency == 0);
    assert_eq!(worker.poll(), None);
}

#[test]
fn a_half_closed_client_is_answered() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/1");
    client.half_close();
    let asked = worker.request("a request");
    assert!(matches!(worker.event("an ABORT"), Event::Abort(..)));
    worker.answer(&asked, "still");
    assert_eq!(client.response().text(), "still");
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_request_that_waits_when_its_client_half_closes_is_aborted_at_its_worker() {
    let served = Served::new();
    let mut client = served.connect();
    client.get("/1");
    client.half_close();
    served.until("a waiting request", |stats| stats.waiting == 1);
    // The FIN is read in the same pass or a later one; the second connection's request comes behind it.
    let mut second = served.connect();
    second.get("/2");
    served.until("two waiting requests", |stats| stats.waiting == 2);
    let mut worker = served.worker(0);
    let asked = worker.request("the first");
    assert_eq!(asked.path(), "/1");
    let other = worker.request("the second");
    assert!(
        matches!(worker.event("an ABORT"), Event::Abort(name, _) if name == asked.name),
        "a worker learns of it whenever it gets the request"
    );
    worker.answer(&other, "2");
    worker.answer(&asked, "1");
    assert_eq!(client.response().text(), "1");
    assert_eq!(second.response().text(), "2");
}
