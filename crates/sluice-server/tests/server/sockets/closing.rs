//! Every way in which a connection can end, and that its worker hears of it once.

use serde_json::json;
use sluice_core::channel::ChannelKind;
use sluice_server::{KickTarget, MessageKind};

use super::{die, servers, with_heartbeat};
use crate::support::{
    Closed, News, Served, TEXT, Upgrade, WorkerDouble, close, config, frame, handshake, text,
};

const PEER: u8 = 0;
const SERVER: u8 = 1;
const IDLE: u8 = 2;
const ERROR: u8 = 3;
const SHUTDOWN: u8 = 4;

fn ended(code: u16, by: u8, clean: bool, reason: &str) -> Closed {
    Closed {
        code,
        by,
        clean,
        reason: reason.into(),
    }
}

/// The worker has heard of all that there was, and nothing of it is left.
fn assert_over(served: &Served, worker: &mut WorkerDouble, sockets: u64) {
    let stats = served.until("no connection", |stats| stats.connections == 0);
    assert_eq!(worker.poll_news(), None);
    assert_eq!(stats.counters.socket_close_count, sockets);
    assert_eq!(served.server.connection_count(None), 0);
}

#[test]
fn a_close_frame_is_answered_with_its_code() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        for (bytes, code, reason) in [
            (close(1000, "bye"), 1000, "bye"),
            (close(4321, ""), 4321, ""),
            (frame(0x88, b""), 1005, ""),
        ] {
            let (mut client, id) = served.web_socket(&mut worker);
            client.send([text("last"), bytes, text("never read")].concat());
            assert_eq!(worker.message(id).text(), "last");
            worker.settle(id);
            assert_eq!(worker.closed(id), ended(code, PEER, true, reason));
            let back = client.frame();
            assert_eq!(back.code(), (code != 1005).then_some(code));
            assert_eq!(client.rest(), b"");
        }
        assert_over(&served, &mut worker, 3);
    }
}

#[test]
fn what_came_before_a_close_frame_is_answered_before_it() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let (mut client, id) = served.web_socket(&mut worker);
        client.send([text("a"), text("b"), close(1000, "bye"), text("never read")].concat());
        assert_eq!(worker.message(id).text(), "a");
        assert_eq!(worker.message(id).text(), "b");
        worker.settle_after(id, |worker| {
            worker.send(id, b"A", TEXT);
            worker.send(id, b"B", TEXT);
        });
        assert_eq!(worker.closed(id), ended(1000, PEER, true, "bye"));
        assert_eq!((client.text(), client.text()), ("A".into(), "B".into()));
        assert_eq!(client.frame().code(), Some(1000));
        assert_eq!(client.rest(), b"");
        assert_over(&served, &mut worker, 1);
    }
}

#[test]
fn a_close_frame_does_not_wait_longer_than_the_handshake_may_take() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let upgrade = Upgrade {
        close_timeout: 50,
        ..Upgrade::default()
    };
    let (mut client, id) = served.web_socket_with(&mut worker, "", &upgrade);
    client.send([text("a"), close(1000, "")].concat());
    assert_eq!(worker.message(id).text(), "a");
    // The worker does not say that it has settled.
    assert_eq!(client.frame().code(), Some(1000));
    worker.settle(id);
    assert_eq!(worker.closed(id), ended(1000, PEER, true, ""));
    assert_over(&served, &mut worker, 1);
}

#[test]
fn a_worker_that_dies_does_not_hold_up_the_answer_to_a_close_frame() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    client.send([text("a"), close(1000, "")].concat());
    assert_eq!(worker.message(id).text(), "a");
    drop(worker);
    let mut next = served.worker(1);
    assert_eq!(client.frame().code(), Some(1000));
    assert_eq!(client.rest(), b"");
    assert_eq!(next.adopted().0, id);
    assert_eq!(next.closed(id), ended(1000, PEER, true, ""));
}

#[test]
fn the_server_closes_with_a_handshake() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    worker.send(id, b"before", TEXT);
    worker.close(id, 4000, "enough");
    assert_eq!(worker.send(id, b"after", TEXT), 0);
    assert_eq!(client.text(), "before");
    let frame = client.frame();
    assert_eq!(
        (frame.code(), &frame.payload[2..]),
        (Some(4000), &b"enough"[..])
    );
    assert_eq!(worker.poll_news(), None);
    // What comes before the answer is dropped.
    client.send([text("too late"), close(4000, "enough")].concat());
    assert_eq!(worker.closed(id), ended(4000, SERVER, true, "enough"));
    assert_eq!(client.rest(), b"");
    assert_over(&served, &mut worker, 1);
}

#[test]
fn both_sides_close_at_once() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    worker.close(id, 4000, "ours");
    client.send(close(4001, "theirs"));
    assert_eq!(worker.closed(id), ended(4000, SERVER, true, "ours"));
    assert_eq!(client.frame().code(), Some(4000));
    assert_eq!(client.rest(), b"");
    assert_over(&served, &mut worker, 1);
}

#[test]
fn a_peer_that_does_not_answer_a_close_frame_is_cut_off() {
    let served = Served::start(&config(json!({ "headerTimeout": 40 })));
    let mut worker = served.worker(0);
    let with = Upgrade {
        close_timeout: 30,
        ..Upgrade::default()
    };
    let (mut client, id) = served.web_socket_with(&mut worker, "", &with);
    worker.close(id, 1000, "");
    assert_eq!(worker.closed(id), ended(1000, SERVER, false, ""));
    assert_eq!(client.frame().code(), Some(1000));
    client.rest_before_reset();
    assert_over(&served, &mut worker, 1);
}

#[test]
fn a_connection_cut_without_a_close_frame_ends_with_1006() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let (mut client, id) = served.web_socket(&mut worker);
        client.send(text("last"));
        client.half_close();
        assert_eq!(worker.message(id).text(), "last");
        assert_eq!(worker.closed(id), ended(1006, PEER, false, ""));
        let (client, id) = served.web_socket(&mut worker);
        client.reset();
        assert_eq!(worker.closed(id), ended(1006, PEER, false, ""));
        assert_over(&served, &mut worker, 2);
    }
}

#[test]
fn what_a_peer_sent_before_it_left_is_told_to_a_worker_that_was_busy() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    worker.pause(id);
    // More than waits in order: the rest, and the Close frame, are received and not looked at.
    let message = frame(0x82, &[7; 30_000]);
    client.send([message.repeat(4), close(1000, "done")].concat());
    client.half_close();
    served.until("the end", |stats| stats.counters.socket_close_count == 1);
    worker.resume(id);
    for _ in 0..4 {
        assert_eq!(worker.message(id).payload.len(), 30_000);
    }
    assert_eq!(worker.closed(id), ended(1000, PEER, true, "done"));
    assert_over(&served, &mut worker, 1);
}

#[test]
fn a_broken_rule_is_told_to_both_sides() {
    let served = Served::new();
    let mut worker = served.worker(0);
    for (bytes, code) in [
        (frame(0x83, b""), 1002),
        (frame(0x80, b""), 1002),
        (frame(0xc1, b"x"), 1002),
        (vec![0x81, 1, b'a'], 1002),
        (frame(0x81, b"\xff"), 1007),
        (frame(0x88, b"\x03"), 1002),
    ] {
        let (mut client, id) = served.web_socket(&mut worker);
        client.send([text("good"), bytes, text("never read")].concat());
        assert_eq!(worker.message(id).text(), "good");
        let closed = worker.closed(id);
        assert_eq!((closed.code, closed.by, closed.clean), (code, ERROR, false));
        assert_eq!(client.frame().code(), Some(code));
        assert_eq!(client.rest(), b"");
    }
    assert_over(&served, &mut worker, 6);
    assert_eq!(served.stats().rejected.frames, 6);
}

#[test]
fn terminate_cuts_off_at_once() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    let handle = worker.held(id).handle;
    assert!(worker.worker.terminate_connection(handle));
    worker.worker.flush();
    assert_eq!(worker.closed(id), ended(1006, SERVER, false, ""));
    client.rest_before_reset();
    assert_over(&served, &mut worker, 1);
}

#[test]
fn anybody_can_close_by_id_uid_and_group() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let mut clients: Vec<_> = (0..4).map(|_| served.web_socket(&mut worker)).collect();
        assert!(served.server.bind_uid(clients[1].1, Some("u")));
        worker.join(clients[2].1, ChannelKind::Group, "g");
        let kick = |target: serde_json::Value| {
            let target: KickTarget = serde_json::from_value(target).expect("it is a target");
            served.server.kick(&target, 4002, "out")
        };
        assert_eq!(kick(json!({ "uid": "u", "group": "g" })), 2);
        assert_eq!(kick(json!({ "uid": "nobody" })), 0);
        assert_eq!(kick(json!({ "id": clients[0].1 })), 1);
        let mut seen = Vec::new();
        for (client, id) in &mut clients[..3] {
            let frame = client.frame();
            assert_eq!(
                (frame.code(), &frame.payload[2..]),
                (Some(4002), &b"out"[..])
            );
            client.send(close(4002, ""));
            seen.push(*id);
        }
        for _ in 0..3 {
            match worker.news("an end") {
                News::Close(id, closed) => {
                    assert_eq!(closed, ended(4002, SERVER, true, "out"));
                    worker.let_go(id);
                    seen.retain(|other| *other != id);
                }
                other => panic!("expected an end, got {other:?}"),
            }
        }
        assert!(seen.is_empty());
        let (client, id) = clients.pop().expect("one is left");
        assert!(served.server.close_by_id(id, 1000, "", true));
        assert_eq!(worker.closed(id).code, 1006);
        assert!(!served.server.close_by_id(id, 1000, "", true));
        drop(client);
        assert_over(&served, &mut worker, 4);
    }
}

#[test]
fn a_peer_without_pong_is_cut_off_and_one_with_it_is_not() {
    let served = with_heartbeat(&json!({ "ping": 30, "pongTimeout": 30 }));
    let mut worker = served.worker(0);
    let (mut quiet, id) = served.web_socket(&mut worker);
    assert_eq!(quiet.frame().first, 0x89);
    assert_eq!(worker.closed(id), ended(1006, IDLE, false, "no pong"));
    let (mut alive, id) = served.web_socket(&mut worker);
    for _ in 0..5 {
        assert_eq!(alive.frame().first, 0x89);
        alive.send(frame(0x8a, b""));
    }
    let handle = worker.held(id).handle;
    assert!(worker.worker.is_connection_open(handle));
    assert_eq!(served.stats().rejected.pong_timeout, 1);
}

#[test]
fn a_protected_connection_outlives_its_heartbeat() {
    let served = with_heartbeat(&json!({ "ping": 30, "pongTimeout": 30, "idle": 60 }));
    let mut worker = served.worker(0);
    let (mut guarded, id) = served.web_socket(&mut worker);
    let handle = worker.held(id).handle;
    worker.worker.protect_connection(handle, true);
    worker.worker.flush();
    // As long as another one needs to end, three times.
    let with = Upgrade {
        close_timeout: 10,
        ..Upgrade::default()
    };
    for _ in 0..3 {
        let (_client, other) = served.web_socket_with(&mut worker, "", &with);
        assert_eq!(worker.closed(other).by, IDLE);
    }
    assert!(worker.worker.is_connection_open(handle));
    guarded.send(text("still here"));
    assert_eq!(worker.message(id).text(), "still here");
}

#[test]
fn a_connection_without_messages_is_closed_when_idle_is_set() {
    let served = with_heartbeat(&json!({ "ping": 0, "idle": 50 }));
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    let close = client.frame();
    assert_eq!(close.code(), Some(1001));
    client.send(close_back(&close.payload));
    assert_eq!(worker.closed(id), ended(1001, IDLE, true, "idle"));
    assert_eq!(served.stats().rejected.heartbeat_idle, 1);
}

fn close_back(payload: &[u8]) -> Vec<u8> {
    frame(0x88, payload)
}

#[test]
fn a_stop_closes_with_its_code_and_waits_for_the_workers_last_word() {
    for code in [1001, 1012] {
        for served in servers(&json!({})) {
            let mut worker = served.worker(0);
            let (mut client, id) = served.web_socket(&mut worker);
            served.server.stop(1000, code);
            worker.settle(id);
            assert_eq!(client.frame().code(), Some(code));
            client.send(close(code, ""));
            match worker.news("the end") {
                News::Close(of, closed) => {
                    assert_eq!((of, closed), (id, ended(code, SHUTDOWN, true, "")));
                }
                other => panic!("expected the end, got {other:?}"),
            }
            assert_eq!(client.rest(), b"");
            drop(client);
            served.until("the socket closed", |stats| stats.counters.close_count == 1);
            assert!(!served.notices().contains(&sluice_server::Notice::Stopped));
            worker.let_go(id);
            served.notice("the stop", |notice| {
                matches!(notice, sluice_server::Notice::Stopped)
            });
        }
    }
}

#[test]
fn a_stop_waits_for_what_a_busy_worker_gave_back_and_got_again() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let (mut client, id) = served.web_socket(&mut worker);
        client.send([text("1"), text("2")].concat());
        served.until("the messages", |stats| stats.counters.messages_in == 2);
        served.server.stop(1000, 1001);
        assert_eq!(worker.message(id).text(), "1");
        worker.pause(id);
        // The second one is in its ring, and goes back; then it is asked.
        worker.settle_after(id, |worker| worker.resume(id));
        assert_eq!(worker.message(id).text(), "2");
        worker.send(id, b"answer", TEXT);
        worker.settle(id);
        assert_eq!(client.frame().payload, b"answer");
        assert_eq!(client.frame().code(), Some(1001));
    }
}

#[test]
fn a_handshake_that_is_accepted_while_the_server_stops_is_closed_at_once() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.send(handshake("/", ""));
    let asked = worker.request("a handshake");
    served.server.stop(1000, 1001);
    worker.upgrade(&asked, &Upgrade::default());
    let id = worker.opened();
    worker.settle(id);
    client.switched();
    assert_eq!(client.frame().code(), Some(1001));
    client.send(close(1001, ""));
    assert_eq!(worker.closed(id), ended(1001, SHUTDOWN, true, ""));
}

#[test]
fn the_end_reaches_the_next_worker_when_the_first_dies_with_it_unread() {
    for served in servers(&json!({})) {
        let mut first = served.worker(0);
        let (mut client, id) = served.web_socket(&mut first);
        first.eager = false;
        client.send([text("1"), close(1000, "bye")].concat());
        served.until("the end", |stats| stats.counters.socket_close_count == 1);
        drop(client);
        let mut second = served.worker(1);
        die(&served, first);
        assert_eq!(second.adopted(), (id, 1, 0, 0));
        assert_eq!(second.message(id).text(), "1");
        assert_eq!(second.closed(id), ended(1000, PEER, true, "bye"));
        assert_over(&served, &mut second, 1);
        assert_eq!(served.stats().counters.messages_lost, 0);
    }
}

#[test]
fn a_connection_that_ended_while_nobody_had_it_is_told_to_the_next_worker() {
    let served = Served::new();
    let mut first = served.worker(0);
    let (client, id) = served.web_socket(&mut first);
    die(&served, first);
    client.reset();
    served.until("the end", |stats| stats.counters.socket_close_count == 1);
    let mut second = served.worker(1);
    assert_eq!(second.adopted(), (id, 1, 0, 0));
    assert_eq!(second.closed(id), ended(1006, PEER, false, ""));
    assert_over(&served, &mut second, 1);
}

#[test]
fn commands_for_a_connection_that_is_gone_do_not_reach_the_next_in_its_place() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (client, old) = served.web_socket(&mut worker);
    let before = worker.held(old).clone();
    client.reset();
    match worker.news("the end") {
        News::Close(..) => {}
        other => panic!("expected the end, got {other:?}"),
    }
    // Lets go, and keeps another handle that it should not use any more.
    let handle = worker
        .worker
        .attach_connection(old)
        .expect("it is not released");
    worker.let_go(old);
    served.until("a free place", |stats| stats.connections == 0);
    let (mut client, id) = served.web_socket(&mut worker);
    let now = worker.held(id).clone();
    assert_eq!((now.lane, now.slot), (before.lane, before.slot));
    assert_ne!(now.generation, before.generation);
    assert_eq!(worker.worker.send(handle, b"x", MessageKind(17)), 0);
    worker.worker.pause_connection(handle);
    worker.worker.return_message(handle, 0, 7, 1, b"ghost");
    worker.worker.release(handle, 5);
    worker.worker.terminate_connection(handle);
    worker.worker.flush();
    client.send(text("to the new one"));
    assert_eq!(worker.message(id).text(), "to the new one");
    assert_eq!(worker.worker.attach_connection(old), None);
}
