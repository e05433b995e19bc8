//! Sending to connections that read slowly or not at all, and in which order everything arrives.

use serde_json::json;
use sluice_core::channel::ChannelKind;
use sluice_server::PostFlags;

use super::servers;
use crate::support::{BINARY, News, Served, TEXT, Upgrade, WorkerDouble, config};

/// Small enough to be passed by what the kernel does not take.
const BUFFER: usize = 256 * 1024;

fn served() -> Served {
    Served::start(&config(json!({ "sendBuffer": BUFFER })))
}

#[test]
fn a_client_that_reads_nothing_makes_send_say_so_and_one_drain_follows() {
    let served = served();
    let mut worker = served.worker(0);
    let with = Upgrade {
        flags: 32,
        ..Upgrade::default()
    };
    let (mut client, id) = served.web_socket_with(&mut worker, "", &with);
    let payload = vec![7; 20_000];
    let (mut taken, mut slow) = (0, 0);
    // The kernel takes some megabytes; what it does not take is bounded.
    loop {
        match worker.send(id, &payload, BINARY) {
            0 => {
                // The first one may only mean that the reactor was not quick enough.
                let info = served.server.connection(id).expect("it is open");
                if info.send_queued > BUFFER - 20_000 - 100 {
                    break;
                }
            }
            -1 => {
                taken += 1;
                slow += 1;
            }
            sent => {
                assert_eq!(sent, 20_000);
                taken += 1;
            }
        }
        assert!(taken < 10_000, "everything is taken");
    }
    assert!(slow > 0);
    assert_eq!(worker.send(id, &payload, BINARY), 0);
    let handle = worker.held(id).handle;
    let queued = worker.worker.buffered_amount(handle);
    assert!(queued <= BUFFER + 1000, "{queued}");
    assert!(queued > BUFFER - 21_000, "{queued}");
    // Until here it may have been told of each time that it was up and down again.
    while worker.poll_news().is_some() {}

    for _ in 0..taken {
        assert_eq!(client.frame().payload.len(), 20_000);
    }
    assert_eq!(worker.news("a drain"), News::Drain(id));
    assert_eq!(worker.worker.buffered_amount(handle), 0);
    assert_eq!(worker.send(id, b"again", TEXT), 5);
    assert_eq!(client.text(), "again");
    assert_eq!(worker.poll_news(), None);
}

#[test]
fn passing_the_high_water_mark_is_told_once_while_nothing_can_be_written() {
    let served = served();
    let mut worker = served.worker(0);
    let with = Upgrade {
        flags: 32,
        ..Upgrade::default()
    };
    let (_client, id) = served.web_socket_with(&mut worker, "", &with);
    let mut is_high = false;
    let mut hear = |news| match news {
        News::High(_) => assert!(!std::mem::replace(&mut is_high, true)),
        News::Drain(_) => is_high = false,
        other => panic!("expected HIGH or DRAIN, got {other:?}"),
    };
    // Until the kernel takes nothing more and the buffer is full.
    for count in 0.. {
        assert!(count < 10_000, "everything is taken");
        let sent = worker.send(id, &[7; 10_000], BINARY);
        while let Some(news) = worker.poll_news() {
            hear(news);
        }
        let info = served.server.connection(id).expect("it is open");
        if sent == 0 && info.send_queued > BUFFER - 10_100 {
            break;
        }
    }
    while let Some(news) = worker.poll_news() {
        hear(news);
    }
    assert!(is_high);
}

#[test]
fn a_message_larger_than_the_buffer_is_taken_when_nothing_else_waits() {
    let served = served();
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    let big = vec![7; 2 * BUFFER];
    let handle = worker.held(id).handle;
    assert_eq!(worker.worker.send(handle, &big, BINARY), -1);
    // Not flushed yet: it is on its way, and counted.
    assert_eq!(worker.send(id, b"x", TEXT), 0);
    assert_eq!(client.frame().payload.len(), big.len());
    assert_eq!(worker.news("a drain"), News::Drain(id));
    assert_eq!(worker.send(id, b"x", TEXT), 1);
    assert_eq!(client.text(), "x");
}

#[test]
fn what_one_worker_sends_and_publishes_arrives_in_that_order() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let (mut client, id) = served.web_socket(&mut worker);
        worker.join(id, ChannelKind::Topic, "t");
        let handle = worker.held(id).handle;
        let long = "x".repeat(20_000);
        for number in 0..300 {
            let data = match number % 7 {
                0 => format!("{number} {long}"),
                _ => number.to_string(),
            };
            if number % 3 == 0 {
                let data = data.as_bytes();
                let sent =
                    worker
                        .worker
                        .publish(ChannelKind::Topic, "t", data, TEXT, PostFlags(0), None);
                assert_eq!(sent, 1);
            } else {
                assert_ne!(worker.worker.send(handle, data.as_bytes(), TEXT), 0);
            }
        }
        worker.worker.flush();
        for number in 0..300 {
            let text = client.text();
            let first = text.split(' ').next().expect("it is not empty");
            assert_eq!(first, number.to_string());
        }
    }
}

#[test]
fn anybody_can_push_by_id() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let mut other = served.attached();
        let (mut client, id) = served.web_socket(&mut worker);
        assert_eq!(served.server.push_to(id, b"master", TEXT), 6);
        assert_eq!(client.text(), "master");
        assert_eq!(other.worker.push_to(id, b"worker", TEXT), 6);
        other.worker.flush();
        assert_eq!(client.text(), "worker");
        assert_eq!(other.worker.push_to(id, b"", TEXT), 1);
        other.worker.flush();
        assert_eq!(client.text(), "");
        assert_eq!(served.server.push_to(id + 1, b"nobody", TEXT), 0);
    }
}

#[test]
fn a_worker_that_was_written_off_sends_nothing_and_blocks_nobody() {
    let served = Served::new();
    let mut stuck = served.worker(0);
    let (mut client, id) = served.web_socket(&mut stuck);
    stuck.join(id, ChannelKind::Topic, "t");
    let mut other = served.worker(1);
    assert!(served.server.write_off_worker(stuck.slot));
    served.gone(stuck.slot);
    // It goes on as if nothing had been.
    let publish = |worker: &mut WorkerDouble, data: &[u8]| {
        let channel = ChannelKind::Topic;
        let count = worker
            .worker
            .publish(channel, "t", data, BINARY, PostFlags(0), None);
        worker.worker.flush();
        count
    };
    for _ in 0..100 {
        assert_eq!(stuck.send(id, &[7; 100_000], BINARY), 0);
        publish(&mut stuck, &[7; 1 << 20]);
    }
    // Neither the account of the connection nor that of messages to many is full.
    assert_eq!(other.worker.push_to(id, b"alive", TEXT), 5);
    other.worker.flush();
    assert_eq!(client.text(), "alive");
    assert_eq!(publish(&mut other, b"to all"), 1);
    assert_eq!(client.frame().payload, b"to all");
}
