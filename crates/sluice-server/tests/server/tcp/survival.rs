//! Connections of TCP ports outlive their workers, with what has come of the next message.

use sluice_shared::record::AdoptReason;

use super::{arrived, connected, servers};
use crate::support::{Served, TEXT, WorkerDouble};

fn die(served: &Served, worker: WorkerDouble) {
    let slot = worker.slot;
    drop(worker);
    served.gone(slot);
}

#[test]
fn half_a_message_outlives_the_worker() {
    for served in servers() {
        let mut first = served.worker(0);
        let mut client = served.connect();
        let id = first.opened();
        client.send("one\ntw");
        assert_eq!(first.message(id).payload, b"one");
        die(&served, first);
        client.send("o\nthree\nfo");
        arrived(&served, 3);
        let mut second = served.worker(1);
        assert_eq!(second.adopted(), (id, 1, 0, 1));
        assert_eq!(second.message(id).payload, b"two");
        assert_eq!(second.message(id).payload, b"three");
        client.send("ur\n");
        assert_eq!(second.message(id).payload, b"four");
        second.send(id, b"still there", TEXT);
        assert_eq!(client.exactly(11), b"still there");
        assert_eq!(served.stats().counters.messages_lost, 0);
    }
}

#[test]
fn a_beginning_that_a_dead_worker_has_not_read_is_told_to_the_next_as_one() {
    for served in servers() {
        let first = served.worker(0);
        let mut client = served.connect();
        client.send("1\n");
        arrived(&served, 1);
        let mut second = served.worker(1);
        die(&served, first);
        let id = second.opened();
        assert_eq!(second.message(id).payload, b"1");
        assert_eq!(served.stats().counters.adoptions, 0);
    }
}

#[test]
fn a_beginning_that_killed_its_worker_is_not_told_again() {
    for served in servers() {
        let mut first = served.worker(0);
        let mut client = served.connect();
        let id = first.opened();
        die(&served, first);
        client.send("1\n");
        let mut second = served.worker(1);
        assert_eq!(second.adopted(), (id, 1, 0, 0));
        assert_eq!(second.message(id).payload, b"1");
    }
}

#[test]
fn a_reload_hands_connections_over_with_their_next_message() {
    for served in servers() {
        let mut old = served.worker(0);
        let mut clients: Vec<_> = (0..4).map(|_| served.connect()).collect();
        connected(&served, 4);
        let ids: Vec<_> = (0..4).map(|_| old.opened()).collect();
        let mut new = served.worker(0);
        served.server.drain_worker(old.slot, AdoptReason::Reload);
        for _ in &ids {
            match old.news("a hand-over") {
                crate::support::News::Handover(id) => old.let_go(id),
                other => panic!("expected a hand-over, got {other:?}"),
            }
        }
        assert_eq!(new.poll_news(), None);
        for client in &mut clients {
            client.send("after\n");
            let (id, reason, ..) = new.adopted();
            assert!(ids.contains(&id));
            assert_eq!(reason, 0);
            assert_eq!(new.message(id).payload, b"after");
        }
    }
}

#[test]
fn who_has_sent_its_last_byte_is_answered_by_the_next_worker() {
    for served in servers() {
        let mut first = served.worker(0);
        let mut client = served.connect();
        let id = first.opened();
        first.pause(id);
        client.send("last\n");
        client.half_close();
        arrived(&served, 1);
        let mut second = served.worker(1);
        die(&served, first);
        assert_eq!(second.adopted(), (id, 1, 0, 0));
        assert_eq!(second.message(id).payload, b"last");
        second.settle_after(id, |worker| {
            worker.send(id, b"bye", TEXT);
        });
        assert!(second.closed(id).clean);
        assert_eq!(client.rest(), b"bye");
    }
}

#[test]
fn who_has_sent_its_last_byte_and_has_no_worker_any_more_is_closed() {
    for served in servers() {
        let mut first = served.worker(0);
        let mut client = served.connect();
        let id = first.opened();
        first.eager = false;
        client.send("last\n");
        client.half_close();
        let message = first.message(id);
        first.execute(&message);
        die(&served, first);
        assert_eq!(client.rest(), b"");
        let mut second = served.worker(1);
        assert_eq!(second.adopted().0, id);
        assert!(second.closed(id).clean);
        assert_eq!(served.stats().counters.messages_lost, 1);
    }
}
