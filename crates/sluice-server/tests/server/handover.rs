//! The death of a worker, at every stage of a request.

use serde_json::json;

use crate::support::{Event, Served, WorkerDouble, config_with};

/// With 1 and 2 reactors.
fn servers() -> impl Iterator<Item = Served> {
    [1, 2]
        .into_iter()
        .map(|reactors| Served::start(&config_with(json!({}), json!({ "reactors": reactors }))))
}

fn die(served: &Served, worker: WorkerDouble) -> (u32, u32, u32) {
    let slot = worker.slot;
    drop(worker);
    served.gone(slot)
}

#[test]
fn a_record_that_was_not_read_is_forwarded_as_if_nothing_had_happened() {
    for served in servers() {
        let first = served.worker(0);
        let mut client = served.connect();
        client.post("/", b"body");
        served.until("a dispatch", |stats| stats.counters.dispatch_count == 1);
        let mut second = served.worker(1);
        assert_eq!(die(&served, first), (1, 1, 0));
        let asked = second.request("what the first has not read");
        assert_eq!(asked.body, b"body");
        assert!(!asked.is_replay());
        second.answer(&asked, "ok");
        assert_eq!(client.response().text(), "ok");
        assert_eq!(served.stats().concurrency, 0);
    }
}

#[test]
fn a_record_that_was_not_read_waits_for_the_only_workers_successor() {
    let served = Served::new();
    let first = served.worker(0);
    let mut client = served.connect();
    client.post("/", b"body");
    served.until("a dispatch", |stats| stats.counters.dispatch_count == 1);
    assert_eq!(die(&served, first), (1, 1, 0));
    served.until("it to wait", |stats| stats.waiting == 1);
    let mut second = served.worker(0);
    let asked = second.request("what the first has not read");
    second.answer(&asked, "ok");
    assert_eq!(client.response().text(), "ok");
}

#[test]
fn a_record_that_was_read_and_not_begun_is_forwarded() {
    for served in servers() {
        let mut first = served.worker(0);
        first.eager = false;
        let (mut one, mut two) = (served.connect(), served.connect());
        one.post("/1", b"");
        let running = first.request("the first");
        two.post("/2", b"");
        let other = first.request("the second");
        // Only the order of records in one lane tells what was begun.
        if running.name.lane != other.name.lane {
            first.answer(&running, "1");
            first.answer(&other, "2");
            continue;
        }
        first.begin(&running);
        let mut second = served.worker(1);
        assert_eq!(die(&served, first), (2, 1, 1));
        let asked = second.request("what the first has not begun");
        assert_eq!((asked.path(), asked.is_replay()), ("/2", false));
        second.answer(&asked, "2");
        assert_eq!(two.response().text(), "2");
        assert_eq!(one.response().status, 503);
    }
}

#[test]
fn the_record_that_was_executing_is_never_replayed() {
    for served in servers() {
        let mut first = served.worker(0);
        let mut client = served.connect();
        client.get("/poison");
        let asked = first.request("the poison");
        first.begin(&asked);
        let mut second = served.worker(1);
        assert_eq!(die(&served, first), (1, 0, 1));
        let response = client.response();
        assert_eq!((response.status, response.text()), (503, "worker-lost\n"));
        assert!(response.head.contains("retry-after"));
        assert!(!response.closes());
        client.get("/next");
        let next = second.request("the next");
        assert_eq!(next.path(), "/next");
        second.answer(&next, "ok");
        assert_eq!(client.response().text(), "ok");
    }
}

#[test]
fn a_begun_get_is_replayed_once_and_marked() {
    for served in servers() {
        let mut workers: Vec<_> = (0..3).map(|home| served.worker(home)).collect();
        let mut client = served.connect();
        client.get("/");
        for round in 0..2 {
            let (at, asked) = who_got_it(&served, &mut workers);
            assert_eq!(asked.is_replay(), round == 1);
            let replayed = 1 - round;
            assert_eq!(
                die(&served, workers.remove(at)),
                (1, replayed, 1 - replayed)
            );
        }
        assert_eq!(client.response().status, 503);
        assert_eq!(workers[0].poll(), None);
    }
}

/// Waits until one of the workers has a request.
fn who_got_it(served: &Served, workers: &mut [WorkerDouble]) -> (usize, crate::support::Asked) {
    let mut found = None;
    served.until("a request at some worker", |_| {
        for (at, worker) in workers.iter_mut().enumerate() {
            if let Some(Event::Request(asked)) = worker.poll() {
                found = Some((at, asked));
                return true;
            }
        }
        false
    });
    found.expect("it was just found")
}

#[test]
fn a_begun_post_is_refused_at_once() {
    for served in servers() {
        let mut first = served.worker(0);
        let mut second = served.worker(1);
        let mut client = served.connect();
        client.post("/", b"pay");
        let mut workers = [first, second];
        let (at, _) = who_got_it(&served, &mut workers);
        [first, second] = workers;
        let (dying, mut other) = if at == 0 {
            (first, second)
        } else {
            (second, first)
        };
        assert_eq!(die(&served, dying), (1, 0, 1));
        assert_eq!(client.response().status, 503);
        assert_eq!(other.poll(), None);
    }
}

#[test]
fn a_get_with_too_large_a_body_is_not_replayed() {
    for (size, replayed) in [(64 * 1024, 1), (64 * 1024 + 1, 0)] {
        let served = Served::new();
        let mut first = served.worker(0);
        let mut client = served.connect();
        client.send(format!(
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n"
        ));
        client.send(vec![b'b'; size]);
        assert_eq!(first.request("a request").body.len(), size);
        assert_eq!(die(&served, first).1, replayed);
        if replayed == 1 {
            let mut second = served.worker(0);
            let asked = second.request("the replay");
            assert!(asked.is_replay());
            assert_eq!(asked.body, vec![b'b'; size]);
            second.answer(&asked, "ok");
            assert_eq!(client.response().text(), "ok");
        } else {
            assert_eq!(client.response().status, 503);
        }
    }
}

#[test]
fn an_answer_that_was_begun_breaks_the_connection() {
    for served in servers() {
        let mut first = served.worker(0);
        let mut client = served.connect();
        client.get("/");
        let asked = first.request("a request");
        first.head(&asked, None);
        first.chunk(&asked, b"some", false);
        client.head();
        client.exactly(9);
        assert_eq!(die(&served, first), (1, 0, 1));
        client.rest_before_reset();
        served.until("the close", |stats| stats.connections == 0);
    }
}

#[test]
fn an_answer_that_was_given_before_death_counts() {
    for served in servers() {
        let mut first = served.worker(0);
        let mut client = served.connect();
        client.post("/", b"");
        let asked = first.request("a request");
        // Not flushed: the death itself publishes it.
        first.queue(asked.name, 200, b"just in time");
        assert_eq!(die(&served, first), (0, 0, 0));
        assert_eq!(client.response().text(), "just in time");
    }
}

#[test]
fn an_upload_that_nobody_has_read_is_forwarded() {
    let served = Served::new();
    let mut first = served.worker(0);
    first.eager = false;
    let mut client = served.connect();
    let body = vec![b'u'; 400_000];
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 400000\r\n\r\n");
    served.until("a dispatch", |stats| stats.counters.dispatch_count == 1);
    assert_eq!(die(&served, first), (1, 1, 0));
    let sender = std::thread::spawn({
        let body = body.clone();
        move || {
            client.send(body);
            client.response().text().to_owned()
        }
    });
    let mut second = served.worker(0);
    let asked = second.request("the upload");
    assert!(second.body(&asked).expect("a whole body") == body);
    second.answer(&asked, "ok");
    assert_eq!(sender.join().expect("the client is happy"), "ok");
}

#[test]
fn an_upload_that_was_begun_is_refused() {
    let served = Served::new();
    let mut first = served.worker(0);
    let mut client = served.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 400000\r\n\r\nabc");
    let asked = first.request("an upload");
    first.credit(&asked, 0);
    assert!(matches!(first.event("a chunk"), Event::Chunk(..)));
    assert_eq!(die(&served, first), (1, 0, 1));
    let response = client.response();
    assert_eq!(response.status, 503);
    assert!(response.closes());
}

#[test]
fn pipelined_requests_of_a_dead_worker_are_all_answered_in_order() {
    let served = Served::new();
    let mut first = served.worker(0);
    let mut client = served.connect();
    for number in 0..6 {
        client.get(&format!("/{number}"));
    }
    let asked: Vec<_> = (0..6).map(|_| first.request("one of six")).collect();
    first.answer(&asked[4], "4");
    first.head(&asked[3], None);
    first.begin(&asked[1]);
    let mut second = served.worker(1);
    assert_eq!(die(&served, first), (5, 3, 2));
    let mut paths = Vec::new();
    for _ in 0..3 {
        let asked = second.request("a replay");
        second.answer(&asked, &asked.path()[1..]);
        paths.push(asked.path().to_owned());
    }
    paths.sort();
    assert_eq!(paths, ["/0", "/2", "/5"]);
    for number in 0..6 {
        let response = client.response();
        match number {
            // It was executing; the head of it was not on the wire.
            1 | 3 => assert_eq!(response.status, 503, "{number}"),
            _ => assert_eq!(response.text(), number.to_string()),
        }
    }
}

#[test]
fn a_late_answer_of_a_written_off_worker_reaches_nobody() {
    for served in servers() {
        let mut hung = served.worker(0);
        let mut client = served.connect();
        client.get("/");
        let late = hung.request("a request");
        assert!(served.server.write_off_worker(hung.slot));
        assert!(!served.server.write_off_worker(hung.slot));
        assert_eq!(served.gone(hung.slot), (1, 1, 0));
        let mut second = served.worker(0);
        // The slot is free, and the new worker holds it.
        assert_eq!(second.slot, hung.slot);
        let asked = second.request("the replay");
        hung.queue_lost(late.name);
        second.answer(&asked, "right");
        assert_eq!(client.response().text(), "right");
        // The hung one's end must not be taken for the end of the slot's new holder.
        drop(hung);
        client.get("/next");
        let next = second.request("the next");
        second.answer(&next, "next");
        assert_eq!(client.response().text(), "next");
        assert_eq!(served.stats().per_worker.len(), 1);
    }
}
