//! One message to many connections.

use serde_json::json;
use sluice_core::channel::ChannelKind;
use sluice_server::{BroadcastOptions, MessageKind, PostFlags};

use super::servers;
use crate::support::{
    BINARY, Client, News, Served, TEXT, Upgrade, WorkerDouble, config, frame, text,
};

const QUEUE: PostFlags = PostFlags(0);
const DROP: PostFlags = PostFlags(1);
const LATEST: PostFlags = PostFlags(2);
const CLOSE: PostFlags = PostFlags(3);
const RETAIN: PostFlags = PostFlags(4);

/// Several connections of one worker.
fn open(served: &Served, worker: &mut WorkerDouble, count: usize) -> Vec<(Client, u64)> {
    (0..count).map(|_| served.web_socket(worker)).collect()
}

/// Everything that was sent to it before this has come: the next it gets is `expected`, then this.
fn assert_got(served: &Served, (client, id): &mut (Client, u64), expected: &[&str]) {
    served.server.push_to(*id, b"end", TEXT);
    for expected in expected {
        assert_eq!(client.text(), *expected);
    }
    assert_eq!(client.text(), "end");
}

fn broadcast(served: &Served, options: serde_json::Value, data: &str) -> u32 {
    let options: BroadcastOptions = serde_json::from_value(options).expect("they are options");
    served
        .server
        .broadcast(options, data.as_bytes(), TEXT, QUEUE)
}

#[test]
fn a_channel_reaches_its_members_and_nobody_else() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let mut all = open(&served, &mut worker, 6);
        for (_, id) in &all[..3] {
            worker.join(*id, ChannelKind::Topic, "name");
        }
        for (_, id) in &all[2..4] {
            worker.join(*id, ChannelKind::Group, "name");
        }
        assert!(served.server.bind_uid(all[5].1, Some("name")));
        let publish = |kind, data: &[u8], except| {
            served
                .server
                .publish(kind, "name", data, TEXT, QUEUE, except)
        };
        assert_eq!(publish(ChannelKind::Topic, b"topic", None), 3);
        assert_eq!(publish(ChannelKind::Topic, b"but one", Some(all[0].1)), 2);
        assert_eq!(publish(ChannelKind::Group, b"group", None), 2);
        assert_eq!(publish(ChannelKind::Uid, b"uid", None), 1);
        // Who is in a channel is seen when a message to it is sent out.
        served.until("all of them", |stats| stats.counters.messages_out == 8);
        let handle = worker.held(all[1].1).handle;
        assert!(
            worker
                .worker
                .leave_channel(handle, ChannelKind::Topic, "name")
        );
        assert_eq!(publish(ChannelKind::Topic, b"after", None), 2);
        let expected: [&[&str]; 6] = [
            &["topic", "after"],
            &["topic", "but one"],
            &["topic", "but one", "group", "after"],
            &["group"],
            &[],
            &["uid"],
        ];
        for (one, expected) in all.iter_mut().zip(expected) {
            assert_got(&served, one, expected);
        }
        assert_eq!(served.server.channel_size(ChannelKind::Topic, "name"), 2);
    }
}

#[test]
fn a_broadcast_reaches_every_web_socket_that_fits() {
    for reactors in [1, 2] {
        let mut config = config(json!({}));
        config["reactors"] = reactors.into();
        let mut other = config["ports"][0].clone();
        other["name"] = "other".into();
        config["ports"]
            .as_array_mut()
            .expect("ports are a list")
            .push(other);
        let served = Served::start(&config);
        let mut worker = served.worker(0);
        let mut all = open(&served, &mut worker, 4);
        let (mut stream, _) = served.event_stream(
            &mut worker,
            &json!({ "topics": [], "replay": false, "named": false }),
        );
        worker.join(all[1].1, ChannelKind::Group, "g");
        worker.join(all[2].1, ChannelKind::Group, "g");
        for (at, uid) in [(1, "a"), (2, "b"), (3, "a")] {
            assert!(served.server.bind_uid(all[at].1, Some(uid)));
        }
        broadcast(&served, json!({}), "all");
        broadcast(&served, json!({ "port": 0 }), "port 0");
        assert_eq!(broadcast(&served, json!({ "port": 1 }), "port 1"), 0);
        assert_eq!(broadcast(&served, json!({ "group": "g" }), "group"), 2);
        assert_eq!(broadcast(&served, json!({ "group": "none" }), "none"), 0);
        let except = json!({ "group": "g", "except": [all[1].1, all[0].1, all[1].1] });
        assert_eq!(broadcast(&served, except, "but one"), 1);
        let uids = json!({ "uids": ["a", "b", "a", "c"] });
        assert_eq!(broadcast(&served, uids, "uids"), 3);
        broadcast(&served, json!({ "uids": ["a"], "group": "g" }), "both");
        broadcast(&served, json!({ "uids": ["a"], "port": 1 }), "neither");
        let expected: [&[&str]; 4] = [
            &["all", "port 0"],
            &["all", "port 0", "group", "uids", "both"],
            &["all", "port 0", "group", "but one", "uids"],
            &["all", "port 0", "uids"],
        ];
        for (one, expected) in all.iter_mut().zip(expected) {
            assert_got(&served, one, expected);
        }
        stream.half_close();
        assert_eq!(stream.rest(), b"");
    }
}

#[test]
fn nothing_reaches_a_connection_that_is_closed_or_closing() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut all = open(&served, &mut worker, 2);
    for (_, id) in &all {
        worker.join(*id, ChannelKind::Topic, "t");
    }
    worker.close(all[0].1, 1000, "");
    assert_eq!(all[0].0.frame().code(), Some(1000));
    let publish = |data: &[u8]| {
        served
            .server
            .publish(ChannelKind::Topic, "t", data, TEXT, QUEUE, None)
    };
    assert_eq!(publish(b"one left"), 1);
    let (mut client, id) = all.remove(0);
    client.send(crate::support::close(1000, ""));
    assert_eq!(client.rest(), b"");
    worker.closed(id);
    drop(client);
    // The next one in its place is not in its channels.
    served.until("a free place", |stats| stats.connections == 1);
    let mut next = served.web_socket(&mut worker);
    assert_eq!(publish(b"still one"), 1);
    assert_got(&served, &mut next, &[]);
    assert_got(&served, &mut all[0], &["one left", "still one"]);
}

#[test]
fn all_receivers_get_one_compressed_frame_or_the_plain_one() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut clients = Vec::new();
    for (flags, fields) in [
        (0, ""),
        (1, "sec-websocket-extensions: permessage-deflate\r\n"),
        (3, "sec-websocket-extensions: permessage-deflate\r\n"),
        (
            1,
            "sec-websocket-extensions: permessage-deflate; server_max_window_bits=10\r\n",
        ),
    ] {
        let with = Upgrade {
            flags,
            compress_min_bytes: 100,
            ..Upgrade::default()
        };
        clients.push(served.web_socket_with(&mut worker, fields, &with));
    }
    let data = "abc".repeat(300);
    for kind in [TEXT, MessageKind(TEXT.0 | 32)] {
        let options = BroadcastOptions::default();
        served
            .server
            .broadcast(options, data.as_bytes(), kind, QUEUE);
        for (at, (client, _)) in clients.iter_mut().enumerate() {
            let frame = client.frame();
            if at == 0 || kind == TEXT {
                assert_eq!((frame.first, frame.text()), (0x81, &*data));
            } else {
                assert_eq!(frame.first, 0xc1);
                assert!(frame.payload.len() < 100);
            }
        }
    }
}

#[test]
fn a_retained_message_comes_to_whoever_subscribes_later() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let retain = |data: &[u8]| {
        served
            .server
            .publish(ChannelKind::Topic, "t", data, TEXT, RETAIN, None)
    };
    assert_eq!(retain(b"old"), 0);
    assert_eq!(retain(b"new"), 0);
    let mut one = served.web_socket(&mut worker);
    worker.join(one.1, ChannelKind::Topic, "t");
    worker.join(one.1, ChannelKind::Topic, "t");
    assert_got(&served, &mut one, &["new"]);
    assert_eq!(retain(b"newer"), 1);
    assert_got(&served, &mut one, &["newer"]);
}

/// A connection that reads nothing, whose output has begun to wait.
fn blocked(served: &Served, worker: &mut WorkerDouble) -> (Client, u64, usize) {
    let (client, id) = served.web_socket(worker);
    worker.join(id, ChannelKind::Topic, "t");
    let mut sent = 0;
    loop {
        if worker.send(id, &[7; 50_000], BINARY) != 0 {
            sent += 1;
        }
        let info = served.server.connection(id).expect("it is open");
        if info.send_queued > 0 {
            return (client, id, sent);
        }
        assert!(sent < 10_000, "the kernel takes everything");
    }
}

fn publish(served: &Served, data: &[u8], flags: PostFlags) {
    served
        .server
        .publish(ChannelKind::Topic, "t", data, TEXT, flags, None);
}

/// Reads what was sent before the test and returns the texts behind it, up to the one that ends it.
fn rest(served: &Served, client: &mut Client, id: u64, sent: usize) -> Vec<String> {
    for _ in 0..sent {
        assert_eq!(client.frame().payload.len(), 50_000);
    }
    let mut texts = Vec::new();
    loop {
        served.server.push_to(id, b"end", TEXT);
        let text = client.text();
        if text == "end" {
            return texts;
        }
        texts.push(text);
    }
}

#[test]
fn a_slow_receiver_gets_what_the_policy_says() {
    for (flags, expected) in [
        (QUEUE, &["1", "2", "3"][..]),
        (DROP, &[]),
        (LATEST, &["3"]),
        (CLOSE, &["1", "2", "3"]),
    ] {
        let served = Served::start(&config(json!({ "sendBuffer": 256 * 1024 })));
        let mut worker = served.worker(0);
        let (mut client, id, sent) = blocked(&served, &mut worker);
        for data in [b"1", b"2", b"3"] {
            publish(&served, data, flags);
        }
        served.until("the drops", |stats| {
            stats.counters.messages_dropped == 3 - expected.len() as u64
        });
        let texts = rest(&served, &mut client, id, sent);
        assert_eq!(texts, expected, "{flags:?}");
    }
}

#[test]
fn a_receiver_whose_buffer_is_full_misses_messages_or_is_cut_off() {
    for flags in [QUEUE, CLOSE] {
        let served = Served::start(&config(json!({ "sendBuffer": 256 * 1024 })));
        let mut worker = served.worker(0);
        let (client, id, _) = blocked(&served, &mut worker);
        let data = vec![b'x'; 30_000];
        for _ in 0..20 {
            publish(&served, &data, flags);
        }
        if flags == QUEUE {
            served.until("drops", |stats| stats.counters.messages_dropped >= 10);
            let info = served.server.connection(id).expect("it is open");
            assert!(
                info.send_queued <= 256 * 1024 + 1000,
                "{}",
                info.send_queued
            );
            // Senders see what others have sent.
            assert_eq!(worker.send(id, &data, TEXT), 0);
        } else {
            loop {
                match worker.news("the end") {
                    News::Close(of, closed) => {
                        assert_eq!((of, closed.code, closed.by), (id, 1013, 5));
                        break;
                    }
                    News::Drain(_) => {}
                    other => panic!("expected the end, got {other:?}"),
                }
            }
        }
        drop(client);
    }
}

#[test]
fn what_is_published_by_two_threads_comes_to_all_in_one_order() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let mut streams: Vec<_> = (0..4)
            .map(|_| {
                served.event_stream(
                    &mut worker,
                    &json!({ "topics": ["t"], "replay": true, "named": false }),
                )
            })
            .collect();
        let mut all = open(&served, &mut worker, 4);
        for (_, id) in &all {
            worker.join(*id, ChannelKind::Topic, "t");
        }
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let server = &served.server;
                scope.spawn(move || {
                    for number in 0..200 {
                        let data = format!("{thread} {number}");
                        server.publish(ChannelKind::Topic, "t", data.as_bytes(), TEXT, QUEUE, None);
                    }
                });
            }
        });
        let orders: Vec<Vec<String>> = all
            .iter_mut()
            .map(|(client, _)| (0..400).map(|_| client.text()).collect())
            .collect();
        assert!(orders.iter().all(|order| *order == orders[0]));
        for thread in ["0 ", "1 "] {
            let of_thread = orders[0].iter().filter(|text| text.starts_with(thread));
            assert!(
                of_thread.eq((0..200)
                    .map(|number| format!("{thread}{number}"))
                    .collect::<Vec<_>>()
                    .iter())
            );
        }
        for (stream, _) in &mut streams {
            let events = super::event_streams::events(stream, 400);
            assert!(events.iter().map(|event| &event.data).eq(&orders[0]));
        }
    }
}

#[test]
fn messages_to_many_are_not_refused_after_many_megabytes() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    worker.join(id, ChannelKind::Topic, "plain");
    let (_stream, _) = served.event_stream(
        &mut worker,
        &json!({ "topics": ["kept"], "replay": true, "named": false }),
    );
    worker.join(id, ChannelKind::Topic, "kept");
    let data = vec![b'x'; 500_000];
    for round in 0..200 {
        let topic = if round % 2 == 0 { "plain" } else { "kept" };
        let count = served
            .server
            .publish(ChannelKind::Topic, topic, &data, TEXT, QUEUE, None);
        assert_eq!(count, 1 + round % 2, "{round}");
        assert_eq!(client.frame().payload.len(), data.len());
    }
    client.send([text("still"), frame(0x89, b"")].concat());
    assert_eq!(worker.message(id).text(), "still");
}
