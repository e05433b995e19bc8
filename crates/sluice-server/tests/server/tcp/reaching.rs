//! Reaching connections of TCP ports from any thread, and their flow.

use serde_json::json;
use sluice_core::channel::ChannelKind;
use sluice_server::{BroadcastOptions, KickTarget, PostFlags};

use super::{SERVER, arrived, ended, served_with, servers};
use crate::support::{Client, News, Served, TEXT};

const QUEUE: PostFlags = PostFlags(0);

fn broadcast(served: &Served, options: serde_json::Value) -> u32 {
    let options: BroadcastOptions = serde_json::from_value(options).expect("they are options");
    served.server.broadcast(options, b"all", TEXT, QUEUE)
}

#[test]
fn bytes_reach_a_connection_as_they_are() {
    for served in servers() {
        let mut worker = served.worker(0);
        let mut clients: Vec<_> = (0..3).map(|_| served.connect()).collect();
        let ids: Vec<_> = (0..3).map(|_| worker.opened()).collect();
        assert_eq!(served.server.push_to(ids[0], b"one", TEXT), 3);
        worker.join(ids[0], ChannelKind::Group, "g");
        assert!(served.server.bind_uid(ids[0], Some("7")));
        let publish = |kind, name: &str| {
            served
                .server
                .publish(kind, name, b"many", TEXT, QUEUE, None)
        };
        assert_eq!(publish(ChannelKind::Group, "g"), 1);
        assert_eq!(publish(ChannelKind::Uid, "7"), 1);
        assert_eq!(broadcast(&served, json!({ "group": "g" })), 1);
        assert_eq!(broadcast(&served, json!({ "uids": ["7"] })), 1);
        assert_eq!(broadcast(&served, json!({ "port": 0 })), 3);
        // Devices are not meant when nobody says so.
        assert_eq!(broadcast(&served, json!({})), 0);
        let target: KickTarget =
            serde_json::from_value(json!({ "uid": "7" })).expect("it is a target");
        assert_eq!(served.server.kick(&target, 1000, ""), 1);
        assert_eq!(worker.closed(ids[0]), ended(1000, SERVER, true, ""));
        let of_first = clients
            .iter_mut()
            .map(|client| {
                let is_first = client.stream.local_addr().ok().map(|own| own.port())
                    == Some(first_port(&served, ids[0]).unwrap_or_default());
                (is_first, client)
            })
            .count();
        assert_eq!(of_first, 3);
    }
}

fn first_port(served: &Served, id: u64) -> Option<u16> {
    served.server.connection(id).map(|info| info.remote_port)
}

#[test]
fn a_broadcast_without_a_port_is_for_web_sockets() {
    let served = Served::start(&json!({
        "ports": [
            { "name": "main", "listen": { "host": "127.0.0.1", "port": 0 } },
            {
                "name": "line",
                "protocol": "tcp",
                "listen": { "host": "127.0.0.1", "port": 0 },
                "framing": "lines",
            },
        ],
        "stuckAfter": 0,
    }));
    let mut worker = served.worker(0);
    let (mut web_socket, _) = served.web_socket(&mut worker);
    let port = served.server.info().ports[1].port.expect("it is TCP");
    let mut device = Client::connect(([127, 0, 0, 1], port).into());
    let id = worker.opened();
    assert_eq!(broadcast(&served, json!({})), 1);
    assert_eq!(web_socket.text(), "all");
    assert_eq!(broadcast(&served, json!({ "port": 1 })), 1);
    served.server.push_to(id, b".", TEXT);
    assert_eq!(device.exactly(4), b"all.");
}

#[test]
fn a_peer_that_does_not_read_is_not_read_and_its_senders_wait() {
    for served in servers() {
        let mut worker = served.worker(0);
        let mut client = served.connect();
        let id = worker.opened();
        let mut sent = 0;
        let slow = loop {
            match worker.send(id, &[7; 50_000], TEXT) {
                taken if taken > 0 => sent += 50_000,
                other => break other,
            }
        };
        assert_eq!(slow, -1);
        sent += 50_000;
        assert_eq!(worker.news("too much"), News::High(id));
        client.send("hello\n");
        assert_eq!(worker.poll_news(), None);
        client.exactly(sent);
        assert_eq!(worker.news("room"), News::Drain(id));
        assert_eq!(worker.message(id).payload, b"hello");
    }
}

#[test]
fn messages_beyond_the_rate_wait_for_the_next_second() {
    let served = served_with(json!({ "limits": { "messagesPerSecond": 3 } }), json!({}));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    let id = worker.opened();
    client.send("a\n".repeat(7));
    for _ in 0..7 {
        worker.message(id);
    }
    let stats = served.stats();
    assert!(stats.rejected.messages_per_second >= 1);
    assert!(stats.rejected.messages_per_second <= 3);
}

#[test]
fn a_message_may_be_as_long_as_the_limit_however_slowly_it_is_taken() {
    let served = served_with(
        json!({ "framing": { "length": "u32be" }, "limits": { "message": 2_000_004 } }),
        json!({}),
    );
    let mut worker = served.worker(0);
    let mut client = served.connect();
    let id = worker.opened();
    let message = [&2_000_000_u32.to_be_bytes()[..], &[7; 2_000_000]].concat();
    let mut writer = client.stream.try_clone().expect("it is open");
    let twice = message.repeat(3);
    let sending = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, &twice).expect("the server takes it");
    });
    worker.pause(id);
    arrived(&served, 1);
    worker.resume(id);
    for _ in 0..3 {
        assert!(worker.message(id).payload == message);
    }
    sending.join().expect("it was all taken");
    client.send(b"\0\0\0\0");
    assert_eq!(worker.message(id).payload, [0; 4]);
}

#[test]
fn connections_of_one_uid_come_to_one_worker_if_that_is_the_rule() {
    let served = served_with(json!({ "dispatch": "uid" }), json!({}));
    let mut workers = [served.worker(0), served.worker(1)];
    let mut clients = Vec::new();
    for uid in ["a", "b", "c", "d"] {
        let mut owners = Vec::new();
        for _ in 0..2 {
            let mut client = served.connect();
            let (mut at, id) = 'opened: loop {
                for (at, worker) in workers.iter_mut().enumerate() {
                    match worker.poll_news() {
                        Some(News::Open(id, _)) => break 'opened (at, id),
                        Some(other) => panic!("expected SOCKET_OPEN, got {other:?}"),
                        None => {}
                    }
                }
                std::thread::yield_now();
            };
            let handle = workers[at].held(id).handle;
            assert!(workers[at].worker.bind_uid(handle, Some(uid)));
            workers[at].worker.flush();
            client.send("1\n");
            // Either it stays, or it is asked for at once.
            let news = workers[at].news("its first message, or a hand-over");
            match news {
                News::Message(..) => {}
                News::Handover(_) => {
                    workers[at].let_go(id);
                    let home = at as u16;
                    at = 1 - at;
                    assert_eq!(workers[at].adopted(), (id, 4, home, 0));
                    workers[at].message(id);
                }
                other => panic!("expected a message, got {other:?}"),
            }
            owners.push(at);
            clients.push(client);
        }
        assert_eq!(owners[0], owners[1], "{uid}");
    }
}
