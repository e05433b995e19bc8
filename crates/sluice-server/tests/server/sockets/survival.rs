//! Connections outlive their workers: nothing is lost but what was being handled, nothing comes twice, and the order stays.

use serde_json::json;
use sluice_server::Notice;
use sluice_shared::record::AdoptReason;

use super::{die, servers};
use crate::support::{News, Served, Upgrade, WorkerDouble, frame, handshake, text};

fn drain(served: &Served, worker: &WorkerDouble, reason: AdoptReason) {
    served.server.drain_worker(worker.slot, reason);
}

fn is_drained(served: &Served, worker: &WorkerDouble) -> bool {
    let slot = worker.slot.0;
    served
        .notices()
        .iter()
        .any(|notice| matches!(notice, Notice::Drained { slot: of } if *of == slot))
}

fn drained(served: &Served, worker: &WorkerDouble) {
    let slot = worker.slot.0;
    served.notice(
        "the drain",
        |notice| matches!(notice, Notice::Drained { slot: of } if *of == slot),
    );
}

fn arrived(served: &Served, count: u64) {
    served.until("the messages", |stats| stats.counters.messages_in == count);
}

#[test]
fn messages_that_a_dead_worker_has_not_read_go_to_the_next_in_order() {
    for served in servers(&json!({})) {
        let mut first = served.worker(3);
        let (mut client, id) = served.web_socket(&mut first);
        client.send(text("0"));
        assert_eq!(first.message(id).text(), "0");
        first.eager = false;
        let big = vec![b'x'; 100_000];
        client.send([text("1"), frame(0x81, &big), text("3")].concat());
        arrived(&served, 4);
        let mut second = served.worker(1);
        die(&served, first);
        assert_eq!(second.adopted(), (id, 1, 3, 1));
        assert_eq!(second.message(id).text(), "1");
        assert!(second.message(id).payload == big);
        assert_eq!(second.message(id).text(), "3");
        client.send(text("4"));
        assert_eq!(second.message(id).text(), "4");
        let counters = served.stats().counters;
        assert_eq!((counters.messages_lost, counters.adoptions), (0, 1));
    }
}

#[test]
fn the_message_that_killed_its_worker_is_lost_and_counted_and_the_next_ones_come() {
    for served in servers(&json!({})) {
        let mut first = served.worker(0);
        let (mut client, id) = served.web_socket(&mut first);
        let (mut other, other_id) = served.web_socket(&mut first);
        first.eager = false;
        client.send([text("1"), text("poison"), text("3")].concat());
        arrived(&served, 3);
        other.send(text("unread"));
        arrived(&served, 4);
        first.message(id);
        let poison = first.message(id);
        first.execute(&poison);
        let mut second = served.worker(1);
        die(&served, first);
        let mut seen = Vec::new();
        let mut nexts = Vec::new();
        for _ in 0..4 {
            match second.news("what was not begun") {
                News::Adopt { id, next, .. } => nexts.push((id, next)),
                News::Message(id, message) => seen.push((id, message.text().to_owned())),
                unexpected => panic!("expected messages, got {unexpected:?}"),
            }
        }
        seen.sort();
        assert_eq!(
            seen,
            [(id, "3".to_owned()), (other_id, "unread".to_owned())]
        );
        nexts.sort_unstable();
        assert_eq!(nexts, [(id, 2), (other_id, 0)]);
        assert_eq!(second.poll_news(), None);
        assert_eq!(served.stats().counters.messages_lost, 1);
    }
}

#[test]
fn a_message_whose_handler_ran_on_is_lost_with_its_worker_and_those_behind_it_are_not() {
    for served in servers(&json!({})) {
        let mut first = served.worker(0);
        let (mut client, id) = served.web_socket(&mut first);
        client.send([text("1"), text("2"), text("3")].concat());
        assert_eq!(first.message(id).text(), "1");
        first.run_on(id);
        arrived(&served, 3);
        // Gives back what was in its ring.
        assert_eq!(first.poll_news(), None);
        client.send(text("4"));
        arrived(&served, 4);
        let mut second = served.worker(1);
        die(&served, first);
        assert_eq!(second.adopted(), (id, 1, 0, 1));
        for expected in ["2", "3", "4"] {
            assert_eq!(second.message(id).text(), expected);
        }
        assert_eq!(served.stats().counters.messages_lost, 1);
    }
}

#[test]
fn what_the_application_has_paused_is_not_lost_with_its_worker() {
    for served in servers(&json!({})) {
        let mut first = served.worker(0);
        let (mut client, id) = served.web_socket(&mut first);
        first.pause(id);
        client.send(text("1"));
        arrived(&served, 1);
        let mut second = served.worker(1);
        die(&served, first);
        assert_eq!(second.adopted(), (id, 1, 0, 0));
        assert_eq!(second.message(id).text(), "1");
        assert_eq!(served.stats().counters.messages_lost, 0);
    }
}

#[test]
fn what_a_worker_has_done_before_it_died_is_not_done_again() {
    let served = Served::new();
    let mut first = served.worker(0);
    let (mut client, id) = served.web_socket(&mut first);
    client.send([text("1"), text("2")].concat());
    first.message(id);
    first.message(id);
    first.pause(id);
    first.resume(id);
    let mut second = served.worker(1);
    die(&served, first);
    client.send(text("3"));
    assert_eq!(second.adopted(), (id, 1, 0, 2));
    assert_eq!(second.message(id).text(), "3");
    assert_eq!(served.stats().counters.messages_lost, 0);
}

#[test]
fn messages_wait_while_there_is_no_worker() {
    for served in servers(&json!({})) {
        let mut first = served.worker(0);
        let (mut client, id) = served.web_socket(&mut first);
        die(&served, first);
        client.send([text("1"), text("2")].concat());
        arrived(&served, 2);
        client.send(frame(0x89, b"still"));
        assert_eq!(client.frame().payload, b"still");
        let mut second = served.worker(1);
        assert_eq!(second.adopted(), (id, 1, 0, 0));
        assert_eq!(second.message(id).text(), "1");
        assert_eq!(second.message(id).text(), "2");
    }
}

#[test]
fn more_than_may_wait_without_a_worker_waits_with_the_client_and_comes() {
    let served = Served::new();
    let mut first = served.worker(0);
    let (client, id) = served.web_socket(&mut first);
    die(&served, first);
    let mut stream = client.stream.try_clone().expect("it is open");
    let sender = std::thread::spawn(move || {
        for number in 0..3000_u32 {
            let bytes = frame(0x82, &number.to_le_bytes().repeat(300));
            std::io::Write::write_all(&mut stream, &bytes).expect("the server takes it");
        }
    });
    served.until("messages", |stats| stats.counters.messages_in > 0);
    let mut second = served.worker(1);
    second.adopted();
    for number in 0..3000_u32 {
        assert_eq!(second.message(id).payload[..4], number.to_le_bytes());
    }
    sender.join().expect("everything was sent");
}

#[test]
fn a_worker_that_is_to_go_gives_its_connections_to_the_next() {
    for served in servers(&json!({})) {
        let mut first = served.worker(7);
        let mut clients: Vec<_> = (0..4).map(|_| served.web_socket(&mut first)).collect();
        let mut second = served.worker(8);
        drain(&served, &first, AdoptReason::Recycle);
        let mut asked_for: Vec<u64> = (0..4)
            .map(|_| match first.news("a hand-over") {
                News::Handover(id) => id,
                other => panic!("expected SOCKET_HANDOVER, got {other:?}"),
            })
            .collect();
        asked_for.sort_unstable();
        assert!(asked_for.iter().eq(clients.iter().map(|(_, id)| id)));
        for (client, _) in &mut clients {
            client.send(text("between"));
        }
        arrived(&served, 4);
        assert_eq!((first.poll_news(), second.poll_news()), (None, None));
        for id in asked_for {
            assert!(!is_drained(&served, &first));
            first.let_go(id);
        }
        drained(&served, &first);
        for _ in 0..4 {
            let (id, reason, home, next) = second.adopted();
            assert_eq!((reason, home, next), (3, 7, 0));
            assert_eq!(second.message(id).text(), "between");
        }
        drop(first);
        assert_eq!(served.stats().counters.messages_lost, 0);
    }
}

#[test]
fn an_idle_connection_costs_nobody_anything_until_it_says_something() {
    let served = Served::new();
    let mut first = served.worker(0);
    let (mut client, id) = served.web_socket(&mut first);
    let mut second = served.worker(1);
    drain(&served, &first, AdoptReason::Reload);
    first.asked_for(id);
    first.let_go(id);
    drained(&served, &first);
    assert_eq!(served.stats().counters.adoptions, 0);
    // It can be sent to meanwhile, and found.
    assert_eq!(served.server.push_to(id, b"hi", crate::support::TEXT), 2);
    assert_eq!(client.text(), "hi");
    let info = served.server.connection(id).expect("it is open");
    assert_eq!(info.socket.expect("it is a WebSocket").worker, -1);
    client.send(text("1"));
    assert_eq!(second.adopted(), (id, 0, 0, 0));
    assert_eq!(second.message(id).text(), "1");
}

#[test]
fn a_worker_that_is_to_go_first_settles_what_it_handles() {
    for served in servers(&json!({})) {
        let mut first = served.worker(0);
        let (mut client, id) = served.web_socket(&mut first);
        client.send([text("1"), text("2"), text("3")].concat());
        assert_eq!(first.message(id).text(), "1");
        first.pause(id);
        arrived(&served, 3);
        let mut second = served.worker(1);
        drain(&served, &first, AdoptReason::Reload);
        first.asked_for(id);
        client.send(text("4"));
        arrived(&served, 4);
        assert_eq!(second.poll_news(), None);
        assert!(!is_drained(&served, &first));
        // Settled: it lets go without asking for more.
        first.let_go(id);
        assert_eq!(second.adopted(), (id, 0, 0, 1));
        for expected in ["2", "3", "4"] {
            assert_eq!(second.message(id).text(), expected);
        }
        drained(&served, &first);
    }
}

#[test]
fn a_worker_that_dies_while_it_is_to_go_loses_no_more_than_any_other() {
    for served in servers(&json!({})) {
        let mut first = served.worker(0);
        let (mut client, id) = served.web_socket(&mut first);
        client.send([text("1"), text("2")].concat());
        assert_eq!(first.message(id).text(), "1");
        first.run_on(id);
        arrived(&served, 2);
        let mut second = served.worker(1);
        drain(&served, &first, AdoptReason::Reload);
        first.asked_for(id);
        die(&served, first);
        assert_eq!(second.adopted(), (id, 1, 0, 1));
        assert_eq!(second.message(id).text(), "2");
        assert_eq!(served.stats().counters.messages_lost, 1);
    }
}

#[test]
fn a_worker_that_drains_with_a_handshake_in_hand_opens_it_and_gives_it_away() {
    for served in servers(&json!({})) {
        let mut first = served.worker(0);
        let mut client = served.connect();
        client.send(handshake("/", ""));
        let asked = first.request("a handshake");
        let mut second = served.worker(1);
        drain(&served, &first, AdoptReason::Reload);
        client.send(text("1"));
        first.upgrade(&asked, &Upgrade::default());
        let id = first.opened();
        first.asked_for(id);
        assert!(!is_drained(&served, &first));
        first.let_go(id);
        drained(&served, &first);
        client.switched();
        assert_eq!(second.adopted(), (id, 0, 0, 0));
        assert_eq!(second.message(id).text(), "1");
    }
}

#[test]
fn a_connection_that_ends_while_its_worker_is_to_go_is_told_to_one_of_them() {
    for served in servers(&json!({})) {
        let mut first = served.worker(0);
        let (mut client, id) = served.web_socket(&mut first);
        let mut second = served.worker(1);
        drain(&served, &first, AdoptReason::Reload);
        first.asked_for(id);
        client.send(crate::support::close(1000, ""));
        served.until("the end", |stats| stats.counters.socket_close_count == 1);
        first.let_go(id);
        assert_eq!(second.adopted(), (id, 0, 0, 0));
        assert_eq!(second.closed(id).code, 1000);
        drained(&served, &first);
        drop(client);
        served.until("no connection", |stats| stats.connections == 0);
        assert_eq!((first.poll_news(), second.poll_news()), (None, None));
    }
}

#[test]
fn connections_go_to_the_worker_with_the_fewest() {
    let served = Served::new();
    let mut first = served.worker(0);
    let mut clients: Vec<_> = (0..6).map(|_| served.web_socket(&mut first)).collect();
    let mut heirs = [served.worker(1), served.worker(2)];
    die(&served, first);
    for (client, _) in &mut clients {
        client.send(text("1"));
    }
    served.until("the adoptions", |stats| stats.counters.adoptions == 6);
    for heir in &mut heirs {
        let mut adopted = 0;
        while let Some(news) = heir.poll_news() {
            adopted += u32::from(matches!(news, News::Adopt { .. }));
        }
        assert_eq!(adopted, 3);
    }
}

/// Reloads and crashes under traffic: each message once, in order, but for those that were being handled.
#[test]
fn ten_lives_of_workers_and_constant_traffic() {
    const MESSAGES: u32 = 4000;
    for served in servers(&json!({})) {
        let mut worker = served.worker(0);
        let (client, id) = served.web_socket(&mut worker);
        let mut stream = client.stream.try_clone().expect("it is open");
        let sender = std::thread::spawn(move || {
            for number in 0..MESSAGES {
                let bytes = frame(0x82, &number.to_le_bytes());
                std::io::Write::write_all(&mut stream, &bytes).expect("the server takes it");
            }
        });
        let mut seen = Vec::new();
        let mut life: u16 = 0;
        while seen.last() != Some(&(MESSAGES - 1)) {
            match worker.news("a message") {
                News::Message(of, message) => {
                    assert_eq!(of, id);
                    let number = message.payload[..4].try_into().expect("four bytes");
                    seen.push(u32::from_le_bytes(number));
                }
                News::Adopt { id: of, .. } => assert_eq!(of, id),
                other => panic!("expected messages, got {other:?}"),
            }
            if seen.len() % 400 == 399 && life < 10 {
                life += 1;
                let next = served.worker(life);
                if life.is_multiple_of(2) {
                    drain(&served, &worker, AdoptReason::Reload);
                    // Reads on until it is asked to let go.
                    loop {
                        match worker.news("the hand-over") {
                            News::Message(_, message) => {
                                let number = message.payload[..4].try_into().expect("four bytes");
                                seen.push(u32::from_le_bytes(number));
                            }
                            News::Handover(of) => break worker.let_go(of),
                            News::Adopt { .. } => {}
                            other => panic!("expected messages, got {other:?}"),
                        }
                    }
                    drained(&served, &worker);
                }
                die(&served, std::mem::replace(&mut worker, next));
            }
        }
        sender.join().expect("everything was sent");
        assert!(seen.iter().copied().eq(0..MESSAGES));
        assert_eq!(served.stats().counters.messages_lost, 0);
    }
}
