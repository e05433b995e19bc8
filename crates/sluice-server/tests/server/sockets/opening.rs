//! From a handshake to an open WebSocket, and what can come in between.

use serde_json::json;
use sluice_shared::record::AbortReason;

use super::die;
use crate::support::{Event, News, Served, Upgrade, config, handshake, text};

#[test]
fn a_handshake_is_answered_with_what_the_worker_chose() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send(handshake("/chat", "sec-websocket-protocol: a, b\r\n"));
    let asked = worker.request("a handshake");
    assert_eq!((asked.path(), asked.handshake), ("/chat", 1));
    let with = Upgrade {
        protocol: "b",
        headers: "x-own: 1\r\n",
        state: b"kept",
        ..Upgrade::default()
    };
    worker.upgrade(&asked, &with);
    let News::Open(id, index) = worker.news("an open connection") else {
        panic!("expected SOCKET_OPEN");
    };
    assert_eq!(index, asked.name.index);
    let head = client.switched();
    assert!(head.contains("sec-websocket-protocol: b\n"), "{head}");
    assert!(head.contains("x-own: 1\n"), "{head}");
    assert!(!head.contains("sec-websocket-extensions"), "{head}");

    let handle = worker.held(id).handle;
    assert!(worker.worker.is_connection_open(handle));
    let info = worker.worker.handshake_of(handle).expect("it is open");
    assert_eq!((&*info.url, &*info.protocol), ("/chat", "b"));
    assert!(!info.compressed);
    assert_eq!(
        worker.worker.connection_state(handle).as_deref(),
        Some(&b"kept"[..])
    );
    let info = served.server.connection(id).expect("it is open");
    assert_eq!((info.kind, info.state), ("websocket", "open"));
    assert_eq!(served.server.connection_kind(id), 2);
    assert_eq!(served.server.connection_count(None), 1);
    let stats = served.stats();
    assert_eq!((stats.concurrency, stats.connections), (0, 1));
}

#[test]
fn the_record_says_what_is_wrong_with_a_handshake() {
    let served = Served::new();
    let mut worker = served.worker(0);
    for (from, to, expected) in [
        ("version: 13", "version: 8", 2),
        ("sec-websocket-key: dGhl", "sec-websocket-key: !!!!", 3),
        ("upgrade: websocket", "upgrade: h2c", 0),
        ("connection: Upgrade", "connection: close", 0),
    ] {
        let mut client = served.connect();
        client.send(handshake("/", "").replace(from, to));
        let asked = worker.request("a request");
        assert_eq!(asked.handshake, expected, "{to}");
        worker.answer(&asked, "no");
        assert_eq!(client.response().text(), "no");
    }
}

#[test]
fn a_refused_handshake_leaves_an_http_connection() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send(handshake("/", ""));
    let asked = worker.request("a handshake");
    worker.queue(asked.name, 403, b"not you");
    worker.worker.flush();
    let answer = client.response();
    assert_eq!((answer.status, answer.text()), (403, "not you"));
    client.get("/next");
    let asked = worker.request("the next request");
    worker.answer(&asked, "ok");
    assert_eq!(client.response().text(), "ok");
}

#[test]
fn a_handshake_waits_for_the_requests_before_it() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    let first = "GET /first HTTP/1.1\r\nhost: a\r\n\r\n";
    client.send(format!("{first}{}", handshake("/", "")));
    let asked = worker.request("the first");
    assert_eq!((asked.path(), worker.poll()), ("/first", None));
    worker.answer(&asked, "1");
    let asked = worker.request("the handshake");
    worker.upgrade(&asked, &Upgrade::default());
    let id = worker.opened();
    assert_eq!(client.response().text(), "1");
    client.switched();
    client.send(text("hello"));
    assert_eq!(worker.message(id).text(), "hello");
}

#[test]
fn frames_right_behind_the_handshake_come_after_it() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send([handshake("/", "").into_bytes(), text("1"), text("2")].concat());
    let asked = worker.request("a handshake");
    worker.upgrade(&asked, &Upgrade::default());
    let id = worker.opened();
    assert_eq!(worker.message(id).text(), "1");
    assert_eq!(worker.message(id).text(), "2");
    client.switched();
}

#[test]
fn an_upgrade_for_a_client_that_has_left_does_nothing() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send(handshake("/", ""));
    let asked = worker.request("a handshake");
    client.reset();
    match worker.event("the end of the client") {
        Event::Abort(name, AbortReason::ClientGone) => assert_eq!(name, asked.name),
        other => panic!("expected an abort, got {other:?}"),
    }
    worker.upgrade(&asked, &Upgrade::default());
    served.until("no connection", |stats| stats.connections == 0);
    assert_eq!(served.stats().counters.socket_open_count, 0);
    assert_eq!(worker.poll_news(), None);
}

#[test]
fn a_handshake_whose_worker_died_goes_to_another() {
    let served = Served::new();
    let mut first = served.worker(0);
    let mut client = served.connect();
    client.send(handshake("/", ""));
    first.request("a handshake");
    let mut second = served.worker(1);
    die(&served, first);
    let asked = second.request("the handshake again");
    assert!(asked.is_replay() && asked.handshake == 1);
    second.upgrade(&asked, &Upgrade::default());
    let id = second.opened();
    client.switched();
    client.send(text("hello"));
    assert_eq!(second.message(id).text(), "hello");
}

#[test]
fn a_connection_that_ended_before_its_worker_heard_of_it_is_told_and_given_back() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send(handshake("/", ""));
    let asked = worker.request("a handshake");
    worker.upgrade(&asked, &Upgrade::default());
    client.switched();
    client.reset();
    served.until("the end", |stats| stats.counters.socket_close_count == 1);
    let id = worker.opened();
    let handle = worker.held(id).handle;
    assert!(!worker.worker.is_connection_open(handle));
    assert_eq!(worker.closed(id).code, 1006);
    assert_eq!(served.server.connection_kind(id), 0);
}

#[test]
fn only_pages_of_allowed_origins_may_open_one() {
    let served = Served::start(&config(json!({ "allowOrigins": ["https://a.example"] })));
    let mut worker = served.worker(0);
    for origin in ["https://b.example", "null", ""] {
        let mut client = served.connect();
        client.send(handshake("/", &format!("origin: {origin}\r\n")));
        assert_eq!(client.response().status, 403, "{origin}");
        assert_eq!(client.rest(), b"");
    }
    assert_eq!(served.stats().rejected.origin, 3);
    let mut open = Vec::new();
    for fields in ["origin: HTTPS://A.example\r\n", ""] {
        open.push(served.web_socket_with(&mut worker, fields, &Upgrade::default()));
    }
}
