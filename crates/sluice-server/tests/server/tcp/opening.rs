//! How a connection gets its worker.

use serde_json::json;

use super::{PEER, arrived, assert_over, connected, ended, served_with, servers};
use crate::support::{News, TEXT};

#[test]
fn a_connection_is_told_of_before_it_says_anything() {
    for served in servers() {
        let mut worker = served.worker(0);
        let mut client = served.connect();
        let id = worker.opened();
        let info = served.server.connection(id).expect("it is open");
        assert_eq!(
            (info.kind, info.state, &*info.port),
            ("tcp", "open", "line")
        );
        assert_eq!(served.server.connection_kind(id), 4);
        assert_eq!(served.server.connection_ids(Some(0), 0, 9), [id]);
        worker.send(id, b"welcome", TEXT);
        assert_eq!(client.exactly(7), b"welcome");
        client.send("one\r\ntwo\nthr");
        assert_eq!(worker.message(id).payload, b"one");
        assert_eq!(worker.message(id).payload, b"two");
        client.send("ee\n");
        assert_eq!(worker.message(id).payload, b"three");
    }
}

#[test]
fn without_a_worker_it_waits_for_one_with_what_it_has_said() {
    for served in servers() {
        let mut client = served.connect();
        client.send("1\n2\n");
        arrived(&served, 2);
        let mut worker = served.worker(0);
        let id = worker.opened();
        assert_eq!(worker.message(id).payload, b"1");
        assert_eq!(worker.message(id).payload, b"2");
        assert_eq!(served.stats().counters.adoptions, 0);
    }
}

#[test]
fn nobody_is_told_of_one_that_came_and_went_without_a_word() {
    for served in servers() {
        drop(served.connect());
        served.until("its end", |stats| stats.counters.socket_close_count == 1);
        let mut client = served.connect();
        client.send("last\n");
        drop(client);
        arrived(&served, 1);
        let mut worker = served.worker(0);
        let id = worker.opened();
        assert_eq!(worker.message(id).payload, b"last");
        worker.settle(id);
        assert_eq!(worker.closed(id), ended(1000, PEER, true, ""));
        assert_over(&served, &mut worker, 2);
    }
}

#[test]
fn messages_wait_while_its_worker_is_busy_with_the_beginning() {
    for served in servers() {
        let mut worker = served.worker(0);
        let mut client = served.connect();
        client.send("early\n");
        let id = worker.opened();
        worker.pause(id);
        client.send("later\n");
        arrived(&served, 2);
        assert_eq!(worker.poll_news(), None);
        worker.resume(id);
        assert_eq!(worker.message(id).payload, b"early");
        assert_eq!(worker.message(id).payload, b"later");
    }
}

#[test]
fn connections_go_to_the_worker_that_has_the_fewest() {
    let served = served_with(json!({}), json!({}));
    let (mut one, mut two) = (served.worker(0), served.worker(1));
    let clients: Vec<_> = (0..6).map(|_| served.connect()).collect();
    connected(&served, 6);
    for worker in [&mut one, &mut two] {
        for _ in 0..3 {
            worker.opened();
        }
        assert_eq!(worker.poll_news(), None);
    }
    drop(clients);
}

#[test]
fn connections_of_a_port_go_to_workers_in_turn_if_that_is_its_rule() {
    let served = served_with(json!({ "dispatch": "round-robin" }), json!({}));
    let (mut one, mut two) = (served.worker(0), served.worker(1));
    let mut clients = Vec::new();
    for _ in 0..2 {
        for worker in [&mut one, &mut two] {
            clients.push(served.connect());
            worker.opened();
        }
    }
    assert_eq!((one.poll_news(), two.poll_news()), (None, None));
}

#[test]
fn connections_beyond_the_rate_are_reset() {
    let served = served_with(json!({ "limits": { "openPerSecond": 2 } }), json!({}));
    let mut worker = served.worker(0);
    let mut clients: Vec<_> = (0..12).map(|_| served.connect()).collect();
    served.until("all of them", |stats| stats.counters.accept_count == 12);
    let rejected = served.stats().rejected.open_per_second;
    // A second may have ended in between.
    assert!((8..=10).contains(&rejected), "{rejected}");
    for _ in 0..12 - rejected {
        worker.opened();
    }
    assert_eq!(worker.poll_news(), None);
    let mut resets = 0;
    for client in &mut clients {
        client.stream.set_nonblocking(true).expect("it is TCP");
        let mut byte = [0];
        let read = std::io::Read::read(&mut client.stream, &mut byte);
        resets +=
            u64::from(read.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    }
    assert_eq!(resets, rejected);
}

#[test]
fn connections_count_until_their_worker_knows_of_their_end() {
    let served = served_with(json!({ "limits": { "connections": 2 } }), json!({}));
    let mut worker = served.worker(0);
    worker.eager = false;
    for _ in 0..2 {
        served.connect().reset();
    }
    served.until("two ends", |stats| stats.counters.close_count == 2);
    let mut third = served.connect();
    third.send("third\n");
    assert_eq!(served.stats().counters.accept_count, 2);
    for _ in 0..2 {
        let id = worker.opened();
        match worker.news("its end") {
            News::Close(of, _) => assert_eq!(of, id),
            other => panic!("expected the end, got {other:?}"),
        }
        worker.let_go(id);
    }
    let id = worker.opened();
    assert_eq!(worker.message(id).payload, b"third");
}
