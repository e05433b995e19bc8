//! Event streams: their bytes, and that a client that comes back gets each message once.

use serde_json::{Value, json};
use sluice_core::channel::ChannelKind;
use sluice_server::PostFlags;
use sluice_shared::record::{AbortReason, AdoptReason};

use super::{die, servers};
use crate::support::{BINARY, Client, Event, News, Served, TEXT};

/// An event as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamEvent {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) data: String,
}

/// The next events of a chunked stream; comments and times to retry are passed over.
pub(super) fn events(client: &mut Client, count: usize) -> Vec<StreamEvent> {
    let mut events = Vec::new();
    let mut text = String::new();
    while events.len() < count {
        let chunk = client.chunk();
        assert!(!chunk.is_empty(), "the stream ended after {events:?}");
        text.push_str(std::str::from_utf8(&chunk).expect("an event stream is text"));
        while let Some(end) = text.find("\n\n") {
            let mut event = StreamEvent::default();
            let mut lines = Vec::new();
            for line in text[..end].lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => event.id = id.into(),
                    Some(("event", name)) => event.name = name.into(),
                    Some(("data", data)) => lines.push(data.to_owned()),
                    _ => {}
                }
            }
            text.drain(..end + 2);
            if !lines.is_empty() {
                event.data = lines.join("\n");
                events.push(event);
            }
        }
    }
    assert_eq!((events.len(), &*text), (count, ""));
    events
}

fn publish(served: &Served, topic: &str, data: &str) {
    served.server.publish(
        ChannelKind::Topic,
        topic,
        data.as_bytes(),
        TEXT,
        PostFlags(0),
        None,
    );
}

fn options(topics: &[&str], last: Option<&str>) -> Value {
    let mut options = json!({ "topics": topics, "replay": true, "named": false });
    if let Some(last) = last {
        options["lastEventId"] = last.into();
    }
    options
}

fn data(events: &[StreamEvent]) -> Vec<&str> {
    events.iter().map(|event| &*event.data).collect()
}

#[test]
fn the_answer_is_an_event_stream_and_ends_when_it_is_closed() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let mut client = served.connect();
        client.get("/events");
        let asked = worker.request("a request for events");
        let sent = worker.worker.event_stream(
            asked.name,
            b"x-own: 1\r\n",
            &json!({ "topics": ["t"], "retry": 1500, "replay": false, "named": true }).to_string(),
        );
        assert!(sent);
        worker.worker.flush();
        let id = worker.opened();
        let head = client.head();
        assert_eq!(head.status, 200);
        for line in [
            "content-type: text/event-stream\n",
            "cache-control: no-store\n",
            "transfer-encoding: chunked\n",
            "x-own: 1\n",
        ] {
            assert!(head.head.contains(line), "{}", head.head);
        }
        assert_eq!(client.chunk(), b"retry: 1500\n\n");
        publish(&served, "t", "one\ntwo");
        assert_eq!(client.chunk(), b"event: t\ndata: one\ndata: two\n\n");
        served
            .server
            .publish(ChannelKind::Topic, "t", b"\xff", BINARY, PostFlags(0), None);
        assert_eq!(client.chunk(), b"event: t\ndata: /w==\n\n");
        assert!(worker.send(id, b"data: own\n\n", TEXT) > 0);
        assert_eq!(client.chunk(), b"data: own\n\n");
        assert_eq!(served.server.connection_kind(id), 3);

        worker.close(id, 1000, "");
        assert_eq!(client.chunk(), b"");
        assert_eq!(client.rest(), b"");
        let closed = worker.closed(id);
        assert_eq!((closed.code, closed.by, closed.clean), (1000, 1, true));
        drop(client);
        served.until("no connection", |stats| stats.connections == 0);
    }
}

#[test]
fn a_client_of_http_1_0_gets_the_same_without_chunks() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send("GET /events HTTP/1.0\r\nhost: a\r\n\r\n");
    let asked = worker.request("a request for events");
    worker.event_stream(&asked, &options(&["t"], None));
    let id = worker.opened();
    let head = client.head();
    assert!(!head.head.contains("transfer-encoding"), "{}", head.head);
    publish(&served, "t", "1");
    worker.send(id, b"data: own\n\n", TEXT);
    worker.close(id, 1000, "");
    let rest = String::from_utf8(client.rest()).expect("it is text");
    assert!(rest.starts_with("id: "), "{rest}");
    assert!(rest.ends_with("\ndata: 1\n\ndata: own\n\n"), "{rest}");
    worker.closed(id);
}

#[test]
fn a_client_that_leaves_ends_it() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let (client, id) = served.event_stream(&mut worker, &options(&["t"], None));
        client.half_close_and_drop();
        let closed = worker.closed(id);
        assert_eq!((closed.code, closed.by), (1006, 0));
        served.until("no connection", |stats| stats.connections == 0);
        assert_eq!(served.server.channel_size(ChannelKind::Topic, "t"), 0);
    }
}

#[test]
fn one_that_waits_behind_others_in_a_pipeline_is_refused() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/first");
    client.get("/events");
    let first = worker.request("the first");
    let asked = worker.request("a request for events");
    worker.event_stream(&asked, &options(&["t"], None));
    match worker.event("the end of it") {
        Event::Abort(name, AbortReason::ClientGone) => assert_eq!(name, asked.name),
        other => panic!("expected an abort, got {other:?}"),
    }
    worker.answer(&first, "1");
    assert_eq!(client.response().text(), "1");
    assert_eq!(client.response().status, 503);
    client.get("/next");
    let next = worker.request("the next");
    worker.answer(&next, "ok");
    assert_eq!(client.response().text(), "ok");
}

#[test]
fn requests_behind_one_get_no_answer() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/events");
    client.get("/behind");
    let asked = worker.request("a request for events");
    let behind = worker.request("the one behind it");
    worker.event_stream(&asked, &options(&["t"], None));
    worker.opened();
    worker.answer(&behind, "too late");
    assert_eq!(client.head().status, 200);
    publish(&served, "t", "1");
    assert_eq!(data(&events(&mut client, 1)), ["1"]);
    assert_eq!(served.stats().concurrency, 0);
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed_once_and_in_order() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let (mut client, id) = served.event_stream(&mut worker, &options(&["a", "b"], None));
        for number in 0..4 {
            publish(&served, ["a", "b"][number % 2], &number.to_string());
        }
        let seen = events(&mut client, 4);
        assert_eq!(data(&seen), ["0", "1", "2", "3"]);
        client.reset();
        worker.closed(id);
        for number in 4..8 {
            publish(&served, ["a", "b"][number % 2], &number.to_string());
        }
        for (last, expected) in [
            (&*seen[3].id, &["4", "5", "6", "7"][..]),
            (&seen[1].id, &["2", "3", "4", "5", "6", "7"]),
            // Of a server that is no more: nobody knows what it missed.
            ("1-1", &[]),
            ("nonsense", &[]),
        ] {
            let (mut client, id) =
                served.event_stream(&mut worker, &options(&["b", "a"], Some(last)));
            // What the worker sends itself is in no history.
            worker.send(id, b"data: own\n\n", TEXT);
            let seen = events(&mut client, expected.len() + 1);
            let (own, missed) = seen.split_last().expect("there is one");
            assert_eq!((data(missed), &*own.data), (expected.to_vec(), "own"));
            client.reset();
            worker.closed(id);
        }
    }
}

#[test]
fn nobody_misses_or_doubles_a_message_that_is_published_while_it_comes_back() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let (mut keeper, _) = served.event_stream(&mut worker, &options(&["a", "b"], None));
        publish(&served, "a", "start");
        let mut last = events(&mut keeper, 1).remove(0).id;
        let mut seen: Vec<String> = Vec::new();
        std::thread::scope(|scope| {
            let publishers: Vec<_> = ["a", "b"]
                .into_iter()
                .map(|topic| {
                    let served = &served.server;
                    scope.spawn(move || {
                        for number in 0..60 {
                            let data = format!("{topic}{number}");
                            served.publish(
                                ChannelKind::Topic,
                                topic,
                                data.as_bytes(),
                                TEXT,
                                PostFlags(0),
                                None,
                            );
                            std::thread::yield_now();
                        }
                    })
                })
                .collect();
            while seen.len() < 120 {
                let (mut client, id) =
                    served.event_stream(&mut worker, &options(&["a", "b"], Some(&last)));
                let some = events_now(&mut client, 120 - seen.len());
                last = some.last().expect("at least one").id.clone();
                seen.extend(some.into_iter().map(|event| event.data));
                client.reset();
                worker.closed(id);
            }
            for publisher in publishers {
                publisher.join().expect("it published everything");
            }
        });
        for topic in ["a", "b"] {
            let of_topic: Vec<_> = seen.iter().filter(|data| data.starts_with(topic)).collect();
            let expected: Vec<_> = (0..60).map(|number| format!("{topic}{number}")).collect();
            assert!(of_topic.into_iter().eq(&expected), "{seen:?}");
        }
    }
}

/// At least one event, and of those that have come by then not more than `max`.
fn events_now(client: &mut Client, max: usize) -> Vec<StreamEvent> {
    let mut some = events(client, 1);
    while some.len() < max.min(7) && client.has_chunk() {
        some.extend(events(client, 1));
    }
    some
}

#[test]
fn a_retained_message_comes_first_to_a_new_client_and_not_to_one_that_comes_back() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let retain = |data: &[u8]| {
        let flags = PostFlags(4);
        served
            .server
            .publish(ChannelKind::Topic, "t", data, TEXT, flags, None)
    };
    retain(b"kept");
    let (mut client, _) = served.event_stream(&mut worker, &options(&["t"], None));
    publish(&served, "t", "live");
    let seen = events(&mut client, 2);
    assert_eq!(data(&seen), ["kept", "live"]);
    let (mut back, _) = served.event_stream(&mut worker, &options(&["t"], Some(&seen[1].id)));
    publish(&served, "t", "next");
    assert_eq!(data(&events(&mut back, 1)), ["next"]);
}

#[test]
fn it_goes_on_without_its_worker_and_its_end_is_told_to_nobody() {
    for served in servers(&json!({})) {
        let mut first = served.worker(0);
        let (mut client, id) = served.event_stream(&mut first, &options(&["t"], None));
        served.server.drain_worker(first.slot, AdoptReason::Reload);
        first.asked_for(id);
        first.let_go(id);
        publish(&served, "t", "1");
        assert_eq!(data(&events(&mut client, 1)), ["1"]);
        let slot = first.slot.0;
        served.notice(
            "the drain",
            |notice| matches!(notice, sluice_server::Notice::Drained { slot: of } if *of == slot),
        );
        drop(first);
        publish(&served, "t", "2");
        assert_eq!(data(&events(&mut client, 1)), ["2"]);
        let mut second = served.worker(1);
        client.reset();
        served.until("no connection", |stats| stats.connections == 0);
        assert_eq!(second.poll_news(), None);
    }
}

#[test]
fn it_outlives_a_crash_and_its_end_is_told_to_nobody() {
    for served in servers(&json!({})) {
        let mut first = served.worker(0);
        let (mut client, _) = served.event_stream(&mut first, &options(&["t"], None));
        die(&served, first);
        publish(&served, "t", "1");
        assert_eq!(data(&events(&mut client, 1)), ["1"]);
        let mut second = served.worker(1);
        client.reset();
        served.until("no connection", |stats| stats.connections == 0);
        assert_eq!(second.poll_news(), None);
    }
}

#[test]
fn comments_keep_an_idle_one_alive() {
    let served = super::with_heartbeat(&json!({ "ping": 20 }));
    let mut worker = served.worker(0);
    let (mut client, _) = served.event_stream(&mut worker, &options(&["t"], None));
    for _ in 0..3 {
        assert_eq!(client.chunk(), b":\n\n");
    }
}

#[test]
fn a_stop_ends_it_whole() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (mut client, id) = served.event_stream(&mut worker, &options(&["t"], None));
    publish(&served, "t", "last");
    assert_eq!(data(&events(&mut client, 1)), ["last"]);
    served.server.stop(1000, 1012);
    // Its handler may have sent something that is on its way.
    worker.settle(id);
    assert_eq!(client.chunk(), b"");
    assert_eq!(client.rest(), b"");
    match worker.news("the end") {
        News::Close(of, closed) => assert_eq!((of, closed.code, closed.by), (id, 1012, 4)),
        other => panic!("expected the end, got {other:?}"),
    }
}
