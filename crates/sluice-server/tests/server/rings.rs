//! Rings that are full, and the order of what had to wait.

use serde_json::json;
use sluice_server::AnswerBody;

use crate::support::{Event, Served, config};

/// Larger than the 1 MiB event ring, together.
const MANY: usize = 160;

fn large_get(number: usize) -> String {
    format!(
        "GET /{number} HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "v".repeat(15_000)
    )
}

#[test]
fn a_full_event_ring_loses_and_doubles_nothing() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut clients: Vec<_> = (0..MANY).map(|_| served.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(large_get(number));
    }
    let full = served.until("a full ring", |stats| {
        stats.counters.ring_full > 0 && stats.concurrency == MANY
    });
    assert!(full.waiting > 0);
    let mut seen = [false; MANY];
    for _ in 0..MANY {
        let asked = worker.request("one of many");
        let number: usize = asked.path()[1..].parse().expect("a number");
        assert!(
            !std::mem::replace(&mut seen[number], true),
            "{number} came twice"
        );
        worker.answer(&asked, &number.to_string());
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.response().text(), number.to_string());
    }
    assert_eq!(worker.poll(), None);
}

#[test]
fn room_in_a_full_event_ring_is_noticed_without_an_answer() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut clients: Vec<_> = (0..MANY).map(|_| served.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(large_get(number));
    }
    served.until("a full ring", |stats| {
        stats.counters.ring_full > 0 && stats.concurrency == MANY
    });
    // Only the head moves; the flush has no command.
    let asked: Vec<_> = (0..MANY).map(|_| worker.request("one of many")).collect();
    for asked in &asked {
        worker.queue(asked.name, 200, b"x");
    }
    worker.worker.flush();
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn signals_for_a_full_event_ring_come_later() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut first = served.connect();
    first.get("/first");
    let asked = worker.request("the first");
    let mut clients: Vec<_> = (0..MANY).map(|_| served.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(large_get(number));
    }
    served.until("a full ring", |stats| {
        stats.counters.ring_full > 0 && stats.concurrency == MANY + 1
    });
    first.reset();
    served.until("the client to be gone", |stats| stats.connections == MANY);
    let mut aborts = 0;
    let mut requests = 0;
    while requests < MANY || aborts < 1 {
        match worker.event("a request or the ABORT") {
            Event::Request(asked) => {
                requests += 1;
                worker.queue(asked.name, 200, b"x");
            }
            Event::Abort(name, _) => {
                assert_eq!(name, asked.name);
                aborts += 1;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!((requests, aborts), (MANY, 1));
}

#[test]
fn an_upload_goes_on_when_its_event_ring_has_room_again() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let body: Vec<u8> = (0..600_000_usize).map(|at| (at % 249) as u8).collect();
    let mut upload = served.connect();
    upload.send(format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ));
    let asked = worker.request("an upload");
    let mut clients: Vec<_> = (0..MANY).map(|_| served.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(large_get(number));
    }
    served.until("a full ring", |stats| {
        stats.counters.ring_full > 0 && stats.concurrency == MANY + 1
    });
    assert!(worker.worker.credit(asked.name, 0));
    worker.worker.flush();
    let sender = {
        let body = body.clone();
        std::thread::spawn(move || {
            upload.send(&body);
            upload.response().status
        })
    };
    let mut got = Vec::new();
    loop {
        match worker.event("a request or a part of the body") {
            Event::Request(asked) => worker.answer(&asked, "x"),
            Event::Chunk(name, bytes) => {
                assert_eq!(name, asked.name);
                got.extend_from_slice(&bytes);
                worker.credit(&asked, bytes.len() as u32);
            }
            Event::End(_, whole) => break assert!(whole),
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(got == body);
    worker.answer(&asked, "done");
    assert_eq!(sender.join().expect("the client is happy"), 200);
}

#[test]
fn commands_that_spill_keep_their_order() {
    let served = Served::start(&config(json!({ "sendBuffer": 1 << 30 })));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    worker.head(&asked, None);
    let reader = std::thread::spawn(move || client.response().body);
    let mut expected = Vec::new();
    // Far faster than the reactor can take it, in sizes on both sides of what travels in the ring.
    for round in 0..6000_u32 {
        let size = [13, 900, 15_000, 17_000][round as usize % 4];
        let mut part = round.to_le_bytes().to_vec();
        part.resize(size, round as u8);
        assert!(worker.worker.respond_chunk(asked.name, &part, false));
        expected.extend(part);
    }
    worker.end(&asked);
    assert!(reader.join().expect("the reader reads all") == expected);
}

#[test]
fn a_worker_that_was_written_off_cannot_fill_memory() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    served.server.write_off_worker(worker.slot);
    served.gone(worker.slot);
    let name = asked.name;
    let meta = sluice_server::AnswerMeta {
        status: 200,
        template: 0,
        flags: 0,
    };
    let large = vec![0; 20_000];
    assert!(
        !worker
            .worker
            .respond(name, meta, b"", &AnswerBody::Bytes(&large)),
        "nobody will ever read it"
    );
}
