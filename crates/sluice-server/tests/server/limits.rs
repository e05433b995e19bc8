//! Every limit, at it and one past it.

use serde_json::json;

use crate::support::{Served, config, config_with};

#[test]
fn one_connection_too_many_waits_until_another_closes() {
    let served = Served::start(&config(json!({ "connections": 2 })));
    let mut worker = served.worker(0);
    let first = served.connect();
    let mut second = served.connect();
    second.get("/second");
    let asked = worker.request("the second client's");
    worker.answer(&asked, "second");
    assert_eq!(second.response().text(), "second");
    let mut third = served.connect();
    third.get("/third");
    served.until("accepting to pause", |stats| stats.rejected.connections > 0);
    assert_eq!(served.stats().counters.accept_count, 2);
    drop(first);
    let asked = worker.request("the third client's, once the first has left");
    assert_eq!(asked.path(), "/third");
    worker.answer(&asked, "third");
    assert_eq!(third.response().text(), "third");
}

#[test]
fn one_request_too_many_is_refused() {
    let served = Served::start(&config(json!({ "concurrency": 2 })));
    let mut worker = served.worker(0);
    let mut clients: Vec<_> = (0..2).map(|_| served.connect()).collect();
    for client in &mut clients {
        client.get("/");
    }
    let asked = [worker.request("the first"), worker.request("the second")];
    let mut third = served.connect();
    third.get("/");
    let response = third.response();
    assert_eq!((response.status, response.text()), (503, "overloaded\n"));
    assert!(response.head.contains("retry-after"));
    assert_eq!(served.stats().rejected.concurrency, 1);
    worker.answer(&asked[0], "1");
    third.get("/");
    let again = worker.request("the third, when there is room");
    worker.answer(&again, "3");
    assert_eq!(third.response().text(), "3");
}

#[test]
fn a_worker_gets_no_more_than_it_may_have() {
    let served = Served::start(&config(json!({ "workerConcurrency": 1 })));
    let mut worker = served.worker(0);
    let (mut first, mut second) = (served.connect(), served.connect());
    first.get("/1");
    let one = worker.request("the first");
    second.get("/2");
    served.until("the second to wait", |stats| stats.waiting == 1);
    assert_eq!(worker.poll(), None);
    worker.answer(&one, "1");
    let two = worker.request("the second");
    worker.answer(&two, "2");
    assert_eq!(first.response().text(), "1");
    assert_eq!(second.response().text(), "2");
}

#[test]
fn a_request_that_no_worker_takes_in_time_is_refused() {
    let served = Served::start(&config(json!({ "queueTimeout": 40 })));
    let mut client = served.connect();
    client.get("/");
    let response = client.response();
    assert_eq!((response.status, response.text()), (503, "no-worker\n"));
    assert_eq!(served.stats().rejected.queue_timeout, 1);
    assert_eq!(served.stats().waiting, 0);
    // The connection lives, and the next one waits for a worker that comes.
    client.get("/next");
    let mut worker = served.worker(0);
    let asked = worker.request("the next");
    worker.answer(&asked, "next");
    assert_eq!(client.response().text(), "next");
}

#[test]
fn clients_that_left_the_queue_are_not_counted() {
    let served = Served::new();
    let mut first = served.connect();
    first.get("/first");
    served.until("a waiting request", |stats| stats.waiting == 1);
    for _ in 0..200 {
        let mut client = served.connect();
        client.get("/gone");
        served.until("another waiting request", |stats| stats.concurrency == 2);
        client.reset();
        served.until("it to be gone", |stats| stats.concurrency == 1);
    }
    assert_eq!(served.stats().waiting, 1);
}

#[test]
fn a_worker_that_does_not_answer_in_time_is_answered_for() {
    let served = Served::start(&config(json!({ "answerTimeout": 40 })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    worker.request("a request");
    assert_eq!(client.response().status, 504);
}

#[test]
fn a_worker_that_never_reads_an_upload_is_answered_for() {
    let served = Served::start(&config(json!({ "answerTimeout": 40, "bodyGrace": 40 })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n");
    worker.request("an upload");
    let response = client.response();
    assert_eq!(response.status, 504);
    assert!(response.closes());
}

#[test]
fn a_head_that_does_not_end_in_time_is_refused() {
    let served = Served::start(&config(json!({ "headerTimeout": 40 })));
    let mut client = served.connect();
    client.send("GET / HTTP/1.1\r\nhost");
    let response = client.response();
    assert_eq!(response.status, 408);
    assert!(response.closes());
    assert_eq!(client.rest(), b"");
    assert_eq!(served.stats().rejected.header_timeout, 1);
}

#[test]
fn a_head_behind_another_request_has_no_more_time() {
    let served = Served::start(&config(json!({ "headerTimeout": 40 })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HT");
    let asked = worker.request("the first");
    worker.answer(&asked, "1");
    assert_eq!(client.response().text(), "1");
    // Its keep-alive time is 75 s: longer than the client waits.
    assert_eq!(client.response().status, 408);
}

#[test]
fn a_body_that_stops_coming_is_refused() {
    let served = Served::start(&config(json!({ "bodyGrace": 40 })));
    let _worker = served.worker(0);
    let mut client = served.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345");
    let response = client.response();
    assert_eq!((response.status, response.text()), (408, "body-timeout\n"));
    assert_eq!(served.stats().rejected.body_min_rate, 1);
}

#[test]
fn an_upload_that_stops_coming_is_refused_and_its_worker_told() {
    use crate::support::Event;
    let served = Served::start(&config(json!({ "bodyGrace": 40 })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n");
    let asked = worker.request("an upload");
    worker.credit(&asked, 0);
    assert_eq!(client.response().status, 408);
    assert_eq!(worker.event("the end"), Event::End(asked.name, false));
    assert!(matches!(worker.event("an ABORT"), Event::Abort(..)));
}

#[test]
fn an_idle_connection_is_closed_with_fin() {
    let served = Served::start(&config(json!({ "keepAliveTimeout": 40 })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    worker.answer(&asked, "1");
    assert_eq!(client.response().text(), "1");
    assert_eq!(client.rest(), b"");
    assert_eq!(served.stats().rejected.keep_alive_timeout, 1);
}

#[test]
fn pipelined_requests_beyond_the_limit_wait() {
    let served = Served::start(&config(json!({ "pipeline": 3 })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(5));
    let asked: Vec<_> = (0..3).map(|_| worker.request("one of three")).collect();
    assert_eq!(served.stats().counters.dispatch_count, 3);
    worker.answer(&asked[0], "0");
    let fourth = worker.request("the fourth");
    assert_eq!(worker.poll(), None);
    for asked in asked[1..].iter().chain([&fourth]) {
        worker.answer(asked, "x");
    }
    let fifth = worker.request("the fifth");
    worker.answer(&fifth, "x");
    for _ in 0..5 {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn heads_are_bounded_in_bytes_fields_and_target() {
    let served = Served::start(&config(
        json!({ "headerBytes": 1024, "headerFields": 3, "targetBytes": 20 }),
    ));
    let mut worker = served.worker(0);
    let head = |target: usize, fields: usize, total: usize| {
        let mut head = format!("GET /{} HTTP/1.1\r\nhost: a\r\n", "t".repeat(target - 1));
        for field in 1..fields {
            head.push_str(&format!("f{field}: v\r\n"));
        }
        if total > 0 {
            // Pads the last field to the wished length.
            head.truncate(head.len() - 2);
            head.push_str(&"v".repeat(total - head.len() - 4));
            head.push_str("\r\n");
        }
        head + "\r\n"
    };
    for (right, wrong, status) in [
        (head(20, 1, 0), head(21, 1, 0), 414),
        (head(1, 3, 0), head(1, 4, 0), 431),
        (head(1, 2, 1024), head(1, 2, 1025), 431),
    ] {
        let mut client = served.connect();
        client.send(right);
        let asked = worker.request("a head at the limit");
        worker.answer(&asked, "ok");
        assert_eq!(client.response().status, 200);
        client.send(wrong);
        assert_eq!(client.response().status, status);
    }
}

#[test]
fn a_hung_worker_is_written_off_by_the_watchdog() {
    use sluice_server::Notice;
    let served = Served::start(&config_with(json!({}), json!({ "stuckAfter": 80 })));
    let mut hung = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = hung.request("a request");
    hung.begin(&asked);
    let response = client.response();
    assert_eq!((response.status, response.text()), (503, "worker-lost\n"));
    let slot = hung.slot.0;
    served.notice(
        "the watchdog",
        |notice| matches!(notice, Notice::Stuck { slot: stuck, .. } if *stuck == slot),
    );
    assert_eq!(served.gone(hung.slot), (1, 0, 1));
}
