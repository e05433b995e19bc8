//! Messages reach the worker one after the other, each once, however busy it is, and what waits is bounded.

use std::io::Write;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::servers;
use crate::support::{Client, News, Served, config, frame, text};

/// Says that it cannot send more, as it would have to wait.
const SHORT: Duration = Duration::from_millis(200);

/// Sends this frame until the server takes no more; returns how often it did.
fn flood(client: &mut Client, bytes: &[u8]) -> usize {
    client
        .stream
        .set_write_timeout(Some(SHORT))
        .expect("the limit is not zero");
    let mut sent = 0;
    let mut rest = bytes;
    loop {
        match client.stream.write(rest) {
            Ok(count) if count == rest.len() => {
                sent += 1;
                rest = bytes;
            }
            Ok(count) => rest = &rest[count..],
            Err(_) => break,
        }
        assert!(sent * bytes.len() < 1 << 30, "the server takes everything");
    }
    // The rest of the frame that did not fit is sent by the caller's thread when there is room again.
    let rest = rest.to_vec();
    if rest.len() < bytes.len() {
        let mut stream = client.stream.try_clone().expect("it is open");
        stream.set_write_timeout(None).expect("it is a TCP socket");
        std::thread::spawn(move || stream.write_all(&rest));
        sent += 1;
    }
    sent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    /// 1000 messages, and a worker that is busy after some of them, for a while or just for a moment.
    #[test]
    fn every_message_is_run_once_and_in_order(
        busy in prop::collection::vec(0u8..8, 50),
        writes in prop::collection::vec(1usize..60, 20),
    ) {
        let served = Served::new();
        let mut worker = served.worker(0);
        let (mut client, id) = served.web_socket(&mut worker);
        let all: Vec<Vec<u8>> = (0..1000)
            .map(|number: u32| match number % 50 {
                // Too long for its record.
                49 => frame(0x82, &number.to_le_bytes().repeat(5000)),
                _ => frame(0x82, &number.to_le_bytes()),
            })
            .collect();
        let mut stream = client.stream.try_clone().expect("it is open");
        let sender = std::thread::spawn(move || {
            let mut at = 0;
            for count in writes.iter().cycle() {
                let end = (at + count).min(all.len());
                stream.write_all(&all[at..end].concat()).expect("the server takes it");
                at = end;
                if at == all.len() {
                    return;
                }
            }
        });
        for (number, busy) in (0..1000_u32).zip(busy.iter().cycle()) {
            let message = worker.message(id);
            prop_assert_eq!(&message.payload[..4], &number.to_le_bytes()[..]);
            if *busy < 4 {
                worker.pause(id);
                for _ in 0..*busy {
                    // What was in the ring goes back.
                    prop_assert_eq!(worker.poll_news(), None);
                }
                worker.resume(id);
            }
        }
        sender.join().expect("everything was sent");
        prop_assert_eq!(worker.poll_news(), None);
        client.send(text("end"));
        let last = worker.message(id);
        prop_assert_eq!(last.text(), "end");
    }
}

#[test]
fn a_worker_that_is_always_busy_does_not_have_to_give_back_everything_each_time() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    client.send(text("1").repeat(1000));
    for _ in 0..1000 {
        worker.message(id);
        worker.pause(id);
        while worker.poll_news().is_some() {}
        worker.resume(id);
    }
    // Those of the first burst, and at times one that came with the resume.
    assert!(worker.returned < 2500, "{}", worker.returned);
}

#[test]
fn nothing_is_handed_to_a_busy_worker() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let (mut client, id) = served.web_socket(&mut worker);
        client.send(text("1"));
        assert_eq!(worker.message(id).text(), "1");
        worker.pause(id);
        client.send([text("2"), text("3")].concat());
        served.until("both", |stats| stats.counters.messages_in == 3);
        assert_eq!(worker.poll_news(), None);
        worker.resume(id);
        assert_eq!(worker.message(id).text(), "2");
        assert_eq!(worker.message(id).text(), "3");
    }
}

#[test]
fn a_client_that_floods_a_busy_worker_is_stopped_and_loses_nothing() {
    for size in [100, 10_000, 200_000] {
        let served = Served::new();
        let mut worker = served.worker(0);
        let (mut client, id) = served.web_socket(&mut worker);
        worker.pause(id);
        let sent = flood(&mut client, &frame(0x82, &vec![7; size]));
        let taken = served.stats();
        let info = served.server.connection(id).expect("it is open");
        // What waits in order, the input before it, and one message that passes the bound.
        assert!(
            info.recv_queued < 3 * 64 * 1024 + 2 * size + 64 * 1024,
            "{size}: {}",
            info.recv_queued
        );
        assert!((taken.counters.messages_in as usize) < sent);
        worker.resume(id);
        for _ in 0..sent {
            assert_eq!(worker.message(id).payload.len(), size);
        }
        assert_eq!(worker.poll_news(), None);
    }
}

#[test]
fn a_client_that_floods_a_worker_that_reads_nothing_loses_nothing() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    // Nothing is released: the ring fills.
    worker.eager = false;
    let sent = flood(&mut client, &frame(0x82, &[7; 1000]));
    worker.eager = true;
    for _ in 0..sent {
        assert_eq!(worker.message(id).payload.len(), 1000);
    }
    assert_eq!(worker.poll_news(), None);
}

#[test]
fn a_full_ring_delays_and_loses_nothing() {
    const MESSAGES: usize = 20;
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut open: Vec<_> = (0..40).map(|_| served.web_socket(&mut worker)).collect();
    worker.eager = false;
    // 40 times what one may have in the ring is more than the ring.
    let payload = [7; 4_000];
    let bytes = frame(0x82, &payload).repeat(MESSAGES);
    let senders: Vec<_> = open
        .iter()
        .map(|(client, _)| {
            let mut stream = client.stream.try_clone().expect("it is open");
            let bytes = bytes.clone();
            std::thread::spawn(move || stream.write_all(&bytes).expect("the server takes it"))
        })
        .collect();
    served.until("a full ring", |stats| stats.counters.ring_full > 0);
    // One leaves with messages waiting.
    for sender in senders {
        sender.join().expect("everything was sent");
    }
    let (gone, gone_id) = open.pop().expect("there are 40");
    gone.half_close_and_drop();
    worker.eager = true;
    worker.release();
    worker.worker.flush();
    let mut counts = vec![0; 1000];
    for _ in 0..40 * MESSAGES + 1 {
        match worker.news("a message or the end") {
            News::Message(id, message) => {
                assert!(message.payload == payload);
                counts[id as usize] += 1;
            }
            News::Close(id, _) => {
                assert_eq!((id, counts[id as usize]), (gone_id, MESSAGES));
            }
            other => panic!("expected messages, got {other:?}"),
        }
    }
    assert_eq!(
        counts.iter().filter(|count| **count == MESSAGES).count(),
        40
    );
}

#[test]
fn a_flood_on_one_connection_does_not_hold_up_another() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (mut loud, _) = served.web_socket(&mut worker);
    let (mut quiet, quiet_id) = served.web_socket(&mut worker);
    worker.eager = false;
    flood(&mut loud, &frame(0x82, &[7; 1000]));
    quiet.send(text("me too"));
    served.until("the quiet one", |_| {
        served
            .server
            .connection(quiet_id)
            .is_some_and(|info| info.socket.is_some_and(|socket| socket.messages_in == 1))
    });
    worker.eager = true;
    // It comes after no more than one burst of the other.
    let mut before = 0;
    loop {
        match worker.news("the quiet one") {
            News::Message(id, _) if id == quiet_id => break,
            News::Message(..) => before += 1,
            other => panic!("expected messages, got {other:?}"),
        }
    }
    assert!(before <= 65, "{before}");
}

#[test]
fn what_came_before_a_cut_is_delivered_although_the_worker_was_behind() {
    let served = Served::start(&config(json!({ "headerTimeout": 40 })));
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    worker.eager = false;
    // More than one burst, and less than what waits.
    client.send(frame(0x82, &[7; 10_000]).repeat(12));
    served.until("all of it", |stats| stats.counters.messages_in == 12);
    client.reset();
    served.until("the end", |stats| stats.counters.socket_close_count == 1);
    worker.eager = true;
    for _ in 0..12 {
        assert_eq!(worker.message(id).payload.len(), 10_000);
    }
    assert_eq!(worker.closed(id).code, 1006);
    served.until("no connection", |stats| stats.connections == 0);
}

#[test]
fn a_client_that_reads_nothing_may_not_send_for_ever() {
    let served = Served::start(&config(json!({ "sendBuffer": 65_536 })));
    let mut worker = served.worker(0);
    let (mut client, _) = served.web_socket(&mut worker);
    // Pongs are not asked for by the worker: only reading less bounds them.
    let sent = flood(&mut client, &frame(0x89, &[7; 125]));
    assert!(served.stats().buffered_bytes < 512 * 1024);
    // It reads again, and everything goes on.
    for _ in 0..sent {
        assert_eq!(client.frame().first, 0x8a);
    }
}
