//! Every way in which a connection of a TCP port ends, and that its worker hears of it once, after its last message.

use serde_json::json;
use sluice_server::Notice;

use super::{
    ERROR, IDLE, PEER, SERVER, SHUTDOWN, arrived, assert_over, ended, served_with, servers,
};
use crate::support::{News, TEXT};

#[test]
fn who_has_sent_its_last_byte_still_gets_its_answers() {
    for served in servers() {
        let mut worker = served.worker(0);
        let mut client = served.connect();
        let id = worker.opened();
        client.send("one\n");
        assert_eq!(worker.message(id).payload, b"one");
        // Its handler goes on.
        worker.pause(id);
        client.send("two\n");
        client.half_close();
        arrived(&served, 2);
        assert_eq!(worker.poll_news(), None);
        worker.send(id, b"1", TEXT);
        worker.resume(id);
        assert_eq!(worker.message(id).payload, b"two");
        worker.settle_after(id, |worker| {
            worker.send(id, b"2", TEXT);
        });
        assert_eq!(worker.closed(id), ended(1000, PEER, true, ""));
        assert_eq!(client.rest(), b"12");
        assert_over(&served, &mut worker, 1);
    }
}

#[test]
fn more_than_may_wait_is_handled_before_the_end() {
    for served in servers() {
        let mut worker = served.worker(0);
        let mut client = served.connect();
        let id = worker.opened();
        worker.pause(id);
        let line = [vec![b'x'; 999], vec![b'\n']].concat();
        client.send(line.repeat(300));
        client.half_close();
        served.until("a full buffer", |stats| stats.counters.messages_in >= 60);
        worker.resume(id);
        for number in 0..300 {
            assert_eq!(worker.message(id).payload.len(), 999, "{number}");
        }
        worker.settle(id);
        assert_eq!(worker.closed(id), ended(1000, PEER, true, ""));
        assert_eq!(client.rest(), b"");
        assert_over(&served, &mut worker, 1);
    }
}

#[test]
fn who_leaves_within_a_message_has_not_ended_cleanly() {
    for served in servers() {
        let mut worker = served.worker(0);
        let mut client = served.connect();
        let id = worker.opened();
        client.send("whole\npart");
        client.half_close();
        assert_eq!(worker.message(id).payload, b"whole");
        worker.settle(id);
        assert_eq!(
            worker.closed(id),
            ended(1000, PEER, false, "incomplete message")
        );
        assert_eq!(client.rest(), b"");
        assert_over(&served, &mut worker, 1);
    }
}

#[test]
fn a_connection_that_breaks_is_told_of_behind_its_last_message() {
    for served in servers() {
        let mut worker = served.worker(0);
        let mut client = served.connect();
        let id = worker.opened();
        client.send("last\n");
        arrived(&served, 1);
        client.reset();
        assert_eq!(worker.message(id).payload, b"last");
        assert_eq!(worker.closed(id), ended(1006, PEER, false, ""));
        assert_over(&served, &mut worker, 1);
    }
}

#[test]
fn what_was_sent_before_goes_out_before_the_end() {
    for served in servers() {
        let mut worker = served.worker(0);
        let mut client = served.connect();
        let id = worker.opened();
        let bytes = vec![7; 800_000];
        worker.send(id, &bytes, TEXT);
        worker.close(id, 4000, "enough");
        assert_eq!(worker.send(id, b"more", TEXT), 0);
        client.send("too late\n");
        assert!(client.exactly(800_000) == bytes);
        assert_eq!(worker.closed(id), ended(4000, SERVER, true, "enough"));
        assert_eq!(client.rest(), b"");
        drop(client);
        assert_over(&served, &mut worker, 1);
    }
}

#[test]
fn a_reset_drops_what_was_sent_before() {
    for served in servers() {
        let mut worker = served.worker(0);
        let mut client = served.connect();
        let id = worker.opened();
        // More than the kernel takes.
        while worker.send(id, &[7; 100_000], TEXT) > 0 {}
        let handle = worker.held(id).handle;
        assert!(worker.worker.terminate_connection(handle));
        worker.worker.flush();
        let closed = loop {
            match worker.news("its end") {
                News::Close(_, closed) => break closed,
                News::High(_) | News::Drain(_) => {}
                other => panic!("expected the end, got {other:?}"),
            }
        };
        assert_eq!(closed, ended(1006, SERVER, false, ""));
        worker.let_go(id);
        client.rest_before_reset();
        assert_over(&served, &mut worker, 1);
    }
}

#[test]
fn what_cannot_be_framed_ends_the_connection_with_the_reason() {
    let cases = [
        (json!("lines"), "1234567890", 1009, "message too large"),
        (json!("netstring"), "1:ab", 1002, "malformed message"),
        (json!("netstring"), "9:", 1009, "message too large"),
        (
            json!({ "length": "i16be" }),
            "\u{0}\u{9}",
            1009,
            "message too large",
        ),
        (
            json!({ "length": "u8", "bodyOffset": 0 }),
            "\u{0}",
            1002,
            "invalid message length",
        ),
        (json!("mqtt"), "\u{0}\u{0}", 1002, "malformed message"),
        (json!("varint"), "\u{9}", 1009, "message too large"),
        (
            json!({ "eof": [59] }),
            "12345678",
            1009,
            "message too large",
        ),
    ];
    for (framing, bytes, code, reason) in cases {
        let served = served_with(
            json!({ "framing": framing, "limits": { "message": 8 } }),
            json!({}),
        );
        let mut worker = served.worker(0);
        let mut client = served.connect();
        let id = worker.opened();
        worker.send(id, b"sent before", TEXT);
        assert_eq!(client.exactly(11), b"sent before");
        client.send(bytes);
        assert_eq!(worker.closed(id), ended(code, ERROR, false, reason));
        assert_eq!(client.rest(), b"");
        assert_eq!(served.stats().rejected.frames, 1);
        drop(client);
        assert_over(&served, &mut worker, 1);
    }
}

#[test]
fn messages_before_a_fault_are_handled() {
    let served = served_with(json!({ "limits": { "message": 3 } }), json!({}));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    let id = worker.opened();
    client.send("a\nb\nlong\nc\n");
    assert_eq!(worker.message(id).payload, b"a");
    assert_eq!(worker.message(id).payload, b"b");
    assert_eq!(
        worker.closed(id),
        ended(1009, ERROR, false, "message too large")
    );
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_connection_without_messages_is_closed_when_idle_is_set() {
    let served = served_with(
        json!({ "heartbeat": { "idle": 60 }, "limits": { "headerTimeout": 40 } }),
        json!({}),
    );
    let mut worker = served.worker(0);
    let mut guarded = served.connect();
    let guarded_id = worker.opened();
    let handle = worker.held(guarded_id).handle;
    worker.worker.protect_connection(handle, true);
    worker.worker.flush();
    for _ in 0..3 {
        let mut client = served.connect();
        let id = worker.opened();
        assert_eq!(worker.closed(id), ended(1001, IDLE, true, "idle"));
        assert_eq!(client.rest(), b"");
    }
    assert_eq!(served.stats().rejected.heartbeat_idle, 3);
    guarded.send("still here\n");
    assert_eq!(worker.message(guarded_id).payload, b"still here");
}

#[test]
fn who_is_not_heard_because_its_worker_is_behind_is_not_idle() {
    let served = served_with(
        json!({ "heartbeat": { "idle": 60 }, "limits": { "headerTimeout": 40 } }),
        json!({}),
    );
    let mut worker = served.worker(0);
    let mut busy = served.connect();
    let busy_id = worker.opened();
    worker.pause(busy_id);
    // More than is taken while nobody reads it.
    let lines = [vec![b'x'; 999], vec![b'\n']].concat().repeat(200);
    busy.send(&lines);
    for _ in 0..3 {
        let client = served.connect();
        let id = worker.opened();
        assert_eq!(worker.closed(id).by, IDLE);
        drop(client);
    }
    assert!(served.server.connection(busy_id).is_some());
    worker.resume(busy_id);
    for _ in 0..200 {
        worker.message(busy_id);
    }
}

#[test]
fn a_stop_waits_until_what_has_come_is_answered() {
    for served in servers() {
        let mut worker = served.worker(0);
        let mut client = served.connect();
        let id = worker.opened();
        client.send("one\n");
        assert_eq!(worker.message(id).payload, b"one");
        served.server.stop(1000, 1001);
        worker.settle_after(id, |worker| {
            worker.send(id, b"1", TEXT);
        });
        assert_eq!(worker.closed(id), ended(1001, SHUTDOWN, true, ""));
        assert_eq!(client.rest(), b"1");
        drop(client);
        served.notice("the stop", |notice| matches!(notice, Notice::Stopped));
    }
}

#[test]
fn a_stop_after_the_last_byte_closes_once() {
    let served = served_with(json!({}), json!({}));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    let id = worker.opened();
    client.send("one\n");
    client.half_close();
    assert_eq!(worker.message(id).payload, b"one");
    served.server.stop(1000, 1001);
    worker.settle(id);
    assert_eq!(worker.closed(id).by, SHUTDOWN);
    assert_eq!(client.rest(), b"");
    drop(client);
    served.notice("the stop", |notice| matches!(notice, Notice::Stopped));
    assert_eq!(served.stats().counters.socket_close_count, 1);
}
