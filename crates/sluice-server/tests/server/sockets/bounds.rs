//! How often a port may be asked for WebSockets, and how fast one may send.

use std::time::Instant;

use serde_json::json;

use crate::support::{News, Served, Upgrade, config, frame, handshake, text};

#[test]
fn more_handshakes_than_allowed_in_a_second_are_refused() {
    let served = Served::start(&config(json!({ "openPerSecond": 3 })));
    let mut worker = served.worker(0);
    let (mut open, mut refused) = (Vec::new(), 0);
    let begun = Instant::now();
    for _ in 0..12 {
        let mut client = served.connect();
        client.send(handshake("/", ""));
        // Whichever comes: the record, or the refusal.
        let asked = loop {
            if let Some(crate::support::Event::Request(asked)) = worker.poll() {
                break Some(asked);
            }
            if served.stats().rejected.open_per_second > refused {
                refused += 1;
                break None;
            }
        };
        match asked {
            Some(asked) => {
                worker.upgrade(&asked, &Upgrade::default());
                worker.opened();
                client.switched();
                open.push(client);
            }
            None => assert_eq!(client.response().status, 503),
        }
    }
    // The seconds that it took, and the one that had begun.
    let seconds = begun.elapsed().as_secs() as usize + 2;
    assert!(
        open.len() >= 3 && open.len() <= 3 * seconds,
        "{}",
        open.len()
    );
    assert_eq!(open.len() + refused as usize, 12);
}

#[test]
fn a_client_that_sends_too_fast_is_read_again_in_the_next_second() {
    let served = Served::start(&config(json!({ "messagesPerSecond": 50 })));
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    let begun = Instant::now();
    client.send(text("x").repeat(120));
    for _ in 0..120 {
        assert_eq!(worker.message(id).text(), "x");
    }
    // Up to 100 may come around the turn of a second.
    assert!(begun.elapsed().as_millis() >= 900 || begun.elapsed().as_secs() >= 1);
    assert!(served.stats().rejected.messages_per_second >= 1);
    client.send(frame(0x89, b"alive"));
    assert_eq!(client.frame().payload, b"alive");
}

#[test]
fn one_that_left_while_it_had_to_wait_is_told_with_all_it_had_sent() {
    let served = Served::start(&config(json!({ "messagesPerSecond": 10 })));
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    client.send(text("x").repeat(30));
    client.half_close();
    for _ in 0..30 {
        assert_eq!(worker.message(id).text(), "x");
    }
    match worker.news("the end") {
        News::Close(_, closed) => assert_eq!(closed.code, 1006),
        other => panic!("expected the end, got {other:?}"),
    }
}
