//! Exchanges that are answered by another worker than the one that got them.

use serde_json::json;
use sluice_server::{AnswerBody, AnswerMeta, ExchangeName};
use sluice_shared::record::AbortReason;

use crate::support::{Asked, Event, Served, WorkerDouble, config};

const OK: AnswerMeta = AnswerMeta {
    status: 200,
    template: 0,
    flags: 0,
};

/// A request in the hands of nobody, and its token.
fn detached(worker: &mut WorkerDouble) -> (Asked, u64) {
    let asked = worker.request("a request");
    let token = worker.worker.detach(asked.name).expect("it is in hand");
    (asked, token)
}

fn claim(worker: &mut WorkerDouble, asked: &Asked, token: u64) -> Option<ExchangeName> {
    worker
        .worker
        .claim(asked.name.lane, asked.name.index, token)
}

#[test]
fn another_worker_answers() {
    let served = Served::new();
    let (mut one, mut two) = (served.worker(0), served.attached());
    let mut client = served.connect();
    client.get("/");
    let (asked, token) = detached(&mut one);
    assert_eq!(served.stats().per_worker[0].inflight, 0);
    let name = claim(&mut two, &asked, token).expect("it waits");
    assert_eq!(served.stats().per_worker[1].inflight, 1);
    two.answer_late(name, "from two");
    assert_eq!(client.response().text(), "from two");
    served.until("nothing is in flight", |stats| stats.concurrency == 0);
}

#[test]
fn an_exchange_is_claimed_once_and_never_by_its_old_name() {
    let served = Served::new();
    let (mut one, mut two) = (served.worker(0), served.attached());
    let mut client = served.connect();
    client.get("/");
    let (asked, token) = detached(&mut one);
    one.queue_lost(asked.name);
    assert_eq!(one.worker.detach(asked.name), None);
    assert_eq!(claim(&mut one, &asked, token ^ 1), None);
    assert_eq!(claim(&mut one, &asked, token ^ (1 << 32)), None);
    let name = claim(&mut two, &asked, token).expect("it waits");
    assert_eq!(claim(&mut one, &asked, token), None);
    two.answer_late(name, "once");
    assert_eq!(client.response().text(), "once");
    assert_eq!(claim(&mut one, &asked, token), None);
    client.get("/");
    let again = one.request("the next request");
    one.answer(&again, "next");
    assert_eq!(client.response().text(), "next");
}

#[test]
fn the_answer_may_be_streamed_and_drains() {
    let served = Served::start(&config(json!({ "sendBuffer": 65_536 })));
    let (mut one, mut two) = (served.worker(0), served.attached());
    let mut client = served.connect();
    client.get("/");
    let (asked, token) = detached(&mut one);
    let name = claim(&mut two, &asked, token).expect("it waits");
    let asked = Asked { name, ..asked };
    two.head(&asked, None);
    two.chunk(&asked, b"first", true);
    assert_eq!(two.event("room"), Event::Drain(name));
    two.chunk(&asked, b" second", false);
    two.end(&asked);
    assert_eq!(client.response().text(), "first second");
}

#[test]
fn the_death_of_the_worker_that_detached_changes_nothing() {
    let served = Served::new();
    let (mut one, mut two) = (served.worker(0), served.attached());
    let mut client = served.connect();
    client.get("/");
    let (asked, token) = detached(&mut one);
    let slot = one.slot;
    drop(one);
    assert_eq!(served.gone(slot), (0, 0, 0));
    let name = claim(&mut two, &asked, token).expect("it waits");
    two.answer_late(name, "all the same");
    assert_eq!(client.response().text(), "all the same");
}

#[test]
fn the_death_of_the_worker_that_claimed_is_answered_and_not_replayed() {
    let served = Served::new();
    let (mut one, mut two) = (served.worker(0), served.attached());
    let mut client = served.connect();
    client.get("/");
    let (asked, token) = detached(&mut one);
    claim(&mut two, &asked, token).expect("it waits");
    let slot = two.slot;
    drop(two);
    assert_eq!(served.gone(slot), (1, 0, 1));
    assert_eq!(client.response().status, 503);
}

#[test]
fn a_worker_that_drains_is_not_held_by_what_it_has_let_go_of() {
    let served = Served::new();
    let (mut one, mut two) = (served.worker(0), served.attached());
    let mut client = served.connect();
    client.get("/");
    let asked = one.request("a request");
    served
        .server
        .drain_worker(one.slot, sluice_shared::record::AdoptReason::Reload);
    let token = one.worker.detach(asked.name).expect("it is in hand");
    let slot = one.slot.0;
    served.notice("that it is drained", |notice| {
        matches!(notice, sluice_server::Notice::Drained { slot: drained } if *drained == slot)
    });
    let name = claim(&mut two, &asked, token).expect("it waits");
    two.answer_late(name, "later");
    assert_eq!(client.response().text(), "later");
}

#[test]
fn without_an_answer_in_time_it_is_504() {
    let served = Served::start(&config(json!({ "answerTimeout": 60 })));
    let mut one = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let (asked, token) = detached(&mut one);
    assert_eq!(client.response().status, 504);
    assert_eq!(claim(&mut one, &asked, token), None);
}

#[test]
fn nothing_is_left_of_one_whose_client_has_gone() {
    let served = Served::new();
    let mut one = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let (asked, token) = detached(&mut one);
    client.reset();
    served.until("the client has left", |stats| stats.connections == 0);
    assert_eq!(claim(&mut one, &asked, token), None);
}

#[test]
fn who_claims_hears_what_has_become_of_the_client() {
    let served = Served::new();
    let (mut one, mut two) = (served.worker(0), served.attached());
    let mut client = served.connect();
    client.get("/");
    let (asked, token) = detached(&mut one);
    client.half_close();
    // A request on another connection comes after it, on the same reactor.
    let mut other = served.connect();
    other.get("/");
    let next = one.request("another request");
    one.answer(&next, "");
    let name = claim(&mut two, &asked, token).expect("it waits");
    assert_eq!(
        two.event("what became of the client"),
        Event::Abort(name, AbortReason::HalfClosed)
    );
    two.answer_late(name, "still there");
    assert_eq!(client.response().text(), "still there");
}

#[test]
fn an_answer_that_has_begun_cannot_be_detached() {
    let served = Served::new();
    let mut one = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = one.request("a request");
    one.head(&asked, None);
    one.chunk(&asked, b"begun", true);
    assert_eq!(one.event("room"), Event::Drain(asked.name));
    assert_eq!(one.worker.detach(asked.name), None);
    one.end(&asked);
    assert_eq!(client.response().text(), "begun");
}

#[test]
fn a_body_that_nobody_has_read_does_not_hold_the_connection_up() {
    let served = Served::new();
    let (mut one, mut two) = (served.worker(0), served.attached());
    let mut client = served.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n");
    let (asked, token) = detached(&mut one);
    client.send(vec![b'x'; 1000]);
    let name = claim(&mut two, &asked, token).expect("it waits");
    assert!(two.worker.respond(name, OK, b"", &AnswerBody::Empty));
    two.worker.flush();
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(response.closes());
}
