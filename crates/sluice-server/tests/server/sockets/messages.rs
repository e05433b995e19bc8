//! Messages in both directions, whatever their form.

use serde_json::json;

use super::{die, servers};
use crate::support::{BINARY, News, Served, TEXT, Upgrade, config, frame, text};

#[test]
fn messages_of_every_size_come_back_as_they_were() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let (mut client, id) = served.web_socket(&mut worker);
        for size in [
            0,
            1,
            64,
            125,
            126,
            16 * 1024,
            16 * 1024 + 1,
            65_536,
            200 * 1024,
        ] {
            for (first, kind) in [(0x81, TEXT), (0x82, BINARY)] {
                let payload: Vec<u8> = (0..size).map(|at| b'a' + (at % 26) as u8).collect();
                client.send(frame(first, &payload));
                let message = worker.message(id);
                assert_eq!((message.opcode, message.fin), (first & 15, true));
                assert_eq!(message.payload.len(), size);
                assert!(message.payload == payload);
                let sent = worker.send(id, &payload, kind);
                assert!(sent > 0, "{size}: {sent}");
                let back = client.frame();
                assert_eq!((back.first, back.payload.len()), (first, size));
                assert!(back.payload == payload);
            }
        }
    }
}

#[test]
fn a_message_in_pieces_comes_whole_with_control_frames_in_between_answered() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let (mut client, id) = served.web_socket(&mut worker);
    let bytes = [
        frame(0x01, b"on"),
        frame(0x89, b"ping"),
        frame(0x00, b"e and"),
        frame(0x8a, b""),
        frame(0x80, b" all"),
    ]
    .concat();
    for byte in bytes {
        client.send([byte]);
    }
    assert_eq!(worker.message(id).text(), "one and all");
    let pong = client.frame();
    assert_eq!((pong.first, &*pong.payload), (0x8a, &b"ping"[..]));
}

#[test]
fn frames_are_handed_over_one_by_one_when_the_worker_wants_them() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let with = Upgrade {
        flags: 4,
        ..Upgrade::default()
    };
    let (mut client, id) = served.web_socket_with(&mut worker, "", &with);
    client.send([frame(0x01, b"a"), frame(0x00, b"b"), frame(0x80, b"c")].concat());
    for (opcode, fin, payload) in [(1, false, "a"), (0, false, "b"), (0, true, "c")] {
        let message = worker.message(id);
        assert_eq!(
            (message.opcode, message.fin, message.text()),
            (opcode, fin, payload)
        );
    }
}

#[test]
fn compressed_messages_are_inflated_and_answered_compressed() {
    for flags in [1, 3] {
        let served = Served::new();
        let mut worker = served.worker(0);
        let with = Upgrade {
            flags,
            compress_min_bytes: 10,
            ..Upgrade::default()
        };
        let fields = "sec-websocket-extensions: permessage-deflate\r\n";
        let (mut client, id) = served.web_socket_with(&mut worker, fields, &with);
        // "Hello" of RFC 7692 section 7.2.3.1.
        client.send(frame(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00"));
        let message = worker.message(id);
        assert_eq!((message.text(), message.compressed), ("Hello", true));

        let long = "a".repeat(1000);
        for expected in [&long[..], "too short"] {
            let kind = sluice_server::MessageKind(TEXT.0 | 32);
            assert_eq!(
                worker.send(id, expected.as_bytes(), kind),
                expected.len() as i32
            );
            let frame = client.frame();
            if expected.len() >= 10 {
                assert_eq!(frame.first, 0xc1);
                assert!(frame.payload.len() < 50);
            } else {
                assert_eq!((frame.first, frame.text()), (0x81, expected));
            }
        }
        // Not asked to.
        worker.send(id, long.as_bytes(), TEXT);
        assert_eq!(client.text(), long);
    }
}

#[test]
fn pings_are_answered_whatever_the_worker_does() {
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let (mut client, id) = served.web_socket(&mut worker);
        let mut answered = |payload: &[u8]| {
            client.send(frame(0x89, payload));
            let pong = client.frame();
            assert_eq!((pong.first, &*pong.payload), (0x8a, payload));
        };
        answered(b"idle");
        worker.pause(id);
        answered(b"paused");
        worker.eager = false;
        answered(b"not reading");
        die(&served, worker);
        answered(b"dead");
        assert_eq!(served.stats().counters.messages_in, 0);
    }
}

#[test]
fn pings_and_pongs_are_told_to_a_worker_that_wants_them() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let with = Upgrade {
        flags: 8 | 16,
        ..Upgrade::default()
    };
    let (mut client, id) = served.web_socket_with(&mut worker, "", &with);
    client.send([frame(0x89, b"1"), text("2"), frame(0x8a, b"3")].concat());
    for (opcode, payload) in [(9, "1"), (1, "2"), (10, "3")] {
        let message = worker.message(id);
        assert_eq!((message.opcode, message.text()), (opcode, payload));
    }
    assert_eq!(client.frame().first, 0x8a);
}

#[test]
fn a_message_over_the_limit_ends_the_connection() {
    let served = Served::start(&config(json!({ "message": 1000 })));
    let mut worker = served.worker(0);
    for (max_payload, fits) in [(0, 1000), (10, 10)] {
        let with = Upgrade {
            max_payload,
            ..Upgrade::default()
        };
        let (mut client, id) = served.web_socket_with(&mut worker, "", &with);
        client.send(frame(0x82, &vec![0; fits]));
        assert_eq!(worker.message(id).payload.len(), fits);
        client.send(frame(0x82, &vec![0; fits + 1]));
        assert_eq!(client.frame().code(), Some(1009));
        match worker.news("the end") {
            News::Close(_, closed) => assert_eq!((closed.code, closed.by), (1009, 3)),
            other => panic!("expected the end, got {other:?}"),
        }
    }
}
