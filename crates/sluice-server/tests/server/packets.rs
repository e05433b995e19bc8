//! UDP ports: from a datagram to a worker's record and back.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;

use serde_json::{Value, json};
use sluice_core::error::ErrorCode;
use sluice_server::Server;
use sluice_shared::record::AdoptReason;

use super::support::{Event, LIMIT, Served, WorkerDouble};

/// Two reactors, and a UDP port that the second one has.
fn config(port: Value) -> Value {
    let mut udp = json!({
        "name": "udp",
        "protocol": "udp",
        "listen": { "host": "127.0.0.1", "port": 0 },
        "dispatch": "round-robin",
    });
    let (Value::Object(whole), Value::Object(more)) = (&mut udp, port) else {
        panic!("both are objects");
    };
    whole.extend(more);
    json!({
        "ports": [{ "name": "main", "listen": { "host": "127.0.0.1", "port": 0 } }, udp],
        "reactors": 2,
        "stuckAfter": 0,
    })
}

fn served(port: Value) -> (Served, SocketAddr) {
    let served = Served::start(&config(port));
    let info = &served.server.info().ports[1];
    let host = info.host.as_deref().expect("it is UDP");
    let host = match host {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let ip = host.parse().expect("it is an address");
    let at = SocketAddr::new(ip, info.port.expect("it is UDP"));
    (served, at)
}

fn client(at: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind((at.ip(), 0)).expect("it binds");
    client.connect(at).expect("it is an address");
    client.set_read_timeout(Some(LIMIT)).expect("it is a time");
    client
}

fn received(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let len = client.recv(&mut buffer).expect("it arrives");
    buffer.truncate(len);
    buffer
}

/// The numbers that these workers get, until `count` have come.
fn numbers(workers: &mut [&mut WorkerDouble], count: usize) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    let end = std::time::Instant::now() + LIMIT;
    while numbers.len() < count {
        assert!(
            std::time::Instant::now() < end,
            "{} have come",
            numbers.len()
        );
        for worker in workers.iter_mut() {
            while numbers.len() < count
                && let Some(event) = worker.poll()
            {
                let Event::Packet(packet) = event else {
                    panic!("only packets come, no {event:?}");
                };
                let number = packet.payload()[..4].try_into().expect("there are four");
                let is_new = numbers.insert(u32::from_le_bytes(number));
                assert!(is_new, "a packet came twice");
            }
            worker.worker.flush();
        }
    }
    numbers
}

#[test]
fn a_packet_is_answered_by_a_worker() {
    for host in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
        let (served, at) = served(json!({ "listen": { "host": host, "port": 0 } }));
        let mut worker = served.worker(0);
        let client = client(at);
        for data in [&b""[..], b"hello", &[7; 20_000]] {
            client.send(data).expect("it is sent");
            let packet = worker.packet("a packet");
            assert_eq!(packet.payload(), data);
            assert_eq!(packet.words.port(), 1);
            assert!(worker.reply(&packet, data));
            worker.worker.flush();
            assert_eq!(received(&client), data);
        }
        let stats = served.until("the count", |stats| stats.counters.packets_out == 3);
        assert_eq!(stats.counters.packets_in, 3);
    }
}

#[test]
fn packets_go_to_the_workers_in_turn() {
    let (served, at) = served(json!({}));
    let mut workers = [served.worker(0), served.worker(1)];
    let client = client(at);
    for number in 0..20_u32 {
        client.send(&number.to_le_bytes()).expect("it is sent");
    }
    for worker in &mut workers {
        for _ in 0..10 {
            worker.packet("every second packet");
        }
        assert_eq!(worker.poll(), None);
    }
}

#[test]
fn an_address_has_its_worker_and_waits_for_no_other() {
    let (served, at) = served(json!({ "dispatch": "ip" }));
    let mut workers = [served.worker(0), served.worker(1)];
    // Addresses of loopback that go to different workers.
    let homes = (1..=8).map(|host| {
        let client = UdpSocket::bind(("127.0.0.1".replace(".1", &format!(".{host}")), 0));
        let client = client.expect("it binds");
        client.send_to(&[0; 4], at).expect("it is sent");
        let home = loop {
            if let Some(home) = workers
                .iter_mut()
                .position(|worker| worker.poll().is_some())
            {
                break home;
            }
        };
        (client, home)
    });
    let homes: Vec<_> = homes.collect();
    let one_of = |wanted| homes.iter().find(|(_, home)| *home == wanted);
    let (Some((first, _)), Some((second, _))) = (one_of(0), one_of(1)) else {
        panic!("eight addresses go to two workers");
    };
    // The first worker reads nothing; its packets fill its share of the ring and wait, but not the other's.
    for number in 0..20 {
        first.send_to(&[1; 60_000], at).expect("it is sent");
        // One by one: the system would drop what comes faster than it is read.
        served.until("it", |stats| stats.counters.packets_in > 8 + number);
    }
    second.send_to(&[2; 4], at).expect("it is sent");
    assert_eq!(workers[1].packet("its packet").payload(), [2; 4]);
    for _ in 0..20 {
        assert_eq!(workers[0].packet("its packets").payload(), [1; 60_000]);
    }
    assert_eq!(served.stats().rejected.packets, 0);
}

#[test]
fn packets_wait_for_a_worker() {
    let (served, at) = served(json!({}));
    let client = client(at);
    for number in 0..100_u32 {
        client.send(&number.to_le_bytes()).expect("it is sent");
    }
    served.until("all of them", |stats| stats.counters.packets_in == 100);
    let mut worker = served.worker(0);
    for number in 0..100_u32 {
        assert_eq!(worker.packet("a packet").payload(), number.to_le_bytes());
    }
}

#[test]
fn what_nobody_takes_is_dropped_and_counted_and_what_waits_is_bounded() {
    let (served, at) = served(json!({ "udp": { "queue": 65_536 } }));
    let client = client(at);
    // With nothing to wait for, the system would drop some itself.
    for number in 0..1000_u32 {
        client.send(&number.to_le_bytes()).expect("it is sent");
        let sent = u64::from(number) + 1;
        served.until("it", |stats| stats.counters.packets_in == sent);
    }
    let dropped = served.stats().rejected.packets;
    let kept = 65_536 / (64 + 4);
    assert_eq!(dropped, 1000 - kept);
    let mut worker = served.worker(0);
    let numbers = numbers(&mut [&mut worker], kept as usize);
    assert!(
        numbers.into_iter().eq(0..kept as u32),
        "the oldest are kept"
    );
    assert_eq!(worker.poll(), None);
}

#[test]
fn a_worker_that_pauses_gets_no_packets_and_what_it_returns_goes_to_another() {
    let (served, at) = served(json!({}));
    let mut busy = served.worker(0);
    let client = client(at);
    client.send(&[0; 4]).expect("it is sent");
    let first = busy.packet("a packet");
    // In its ring already when it pauses.
    client.send(&[1; 4]).expect("it is sent");
    let second = busy.packet("another packet");
    assert!(busy.worker.pause_packets(second.lane, 1, true));
    assert!(busy.worker.return_packet(second.lane, &second.record()));
    busy.worker.flush();
    let mut other = served.worker(1);
    let again = other.packet("what was returned");
    assert_eq!(again.payload(), [1; 4]);
    assert_eq!(again.peer().port, second.peer().port);
    for number in 2..10 {
        client.send(&[number; 4]).expect("it is sent");
        assert_eq!(other.packet("every packet").payload(), [number; 4]);
    }
    assert_eq!(busy.poll(), None);
    assert!(busy.worker.pause_packets(first.lane, 1, false));
    assert!(busy.reply(&first, b"done"));
    busy.worker.flush();
    assert_eq!(received(&client), b"done");
    for _ in 0..2 {
        client.send(&[10; 4]).expect("it is sent");
    }
    assert_eq!(busy.packet("packets again").payload(), [10; 4]);
}

#[test]
fn a_dead_workers_packets_go_to_another_but_for_those_it_had_begun() {
    let (served, at) = served(json!({}));
    let client = client(at);
    let mut dying = served.worker(0);
    dying.eager = false;
    for number in 0..50_u32 {
        client.send(&number.to_le_bytes()).expect("it is sent");
    }
    served.until("all of them", |stats| stats.counters.dispatch_count == 50);
    // It has handled three, of which two still run, and is at the fourth.
    for _ in 0..3 {
        dying.packet("a packet");
    }
    dying.release();
    let fourth = dying.packet("the fourth");
    dying.executes(&fourth);
    dying.hold_packets(2);
    let slot = dying.slot;
    drop(dying);
    served.gone(slot);
    let mut worker = served.worker(0);
    let rest = numbers(&mut [&mut worker], 46);
    assert!(rest.into_iter().eq(4..50));
    assert_eq!(worker.poll(), None);
    assert_eq!(served.stats().counters.packets_lost, 3);
}

#[test]
fn a_reload_loses_no_packet() {
    let (served, at) = served(json!({}));
    let client = client(at);
    let mut all = BTreeSet::new();
    let mut old = served.worker(0);
    let mut next = 0..;
    let mut send = |count: usize| {
        for number in next.by_ref().take(count) {
            let number: u32 = number;
            client.send(&number.to_le_bytes()).expect("it is sent");
        }
    };
    for round in 1..=5_u64 {
        send(100);
        served.until("them", |stats| stats.counters.packets_in == round * 100);
        all.extend(numbers(&mut [&mut old], 30));
        let new = served.worker(0);
        served.server.drain_worker(old.slot, AdoptReason::Reload);
        // What it has not read goes on to the new one.
        drop(std::mem::replace(&mut old, new));
        all.extend(numbers(&mut [&mut old], 70));
    }
    assert!(all.into_iter().eq(0..500));
    assert_eq!(served.stats().rejected.packets, 0);
}

#[test]
fn any_thread_sends_to_any_address() {
    let (served, at) = served(json!({}));
    let mut worker = served.worker(0);
    let client = client(at);
    let to = client.local_addr().expect("it is bound").port();
    assert!(served.server.send_to(1, "127.0.0.1", to, b"from outside"));
    assert_eq!(received(&client), b"from outside");
    let large = vec![9; 65_507];
    assert!(worker.worker.send_to(1, "::ffff:127.0.0.1", to, &large));
    worker.worker.flush();
    assert_eq!(received(&client), large);
    for (port, address, udp_port, len) in [
        // No UDP port, none at all, another family, no address, no port, too large.
        (0, "127.0.0.1", to, 1),
        (2, "127.0.0.1", to, 1),
        (1, "::1", to, 1),
        (1, "localhost", to, 1),
        (1, "127.0.0.1", 0, 1),
        (1, "127.0.0.1", to, 65_508),
    ] {
        let data = vec![0; len];
        assert!(
            !served.server.send_to(port, address, udp_port, &data),
            "{address}"
        );
        assert!(
            !worker.worker.send_to(port, address, udp_port, &data),
            "{address}"
        );
    }
    assert_eq!(served.stats().rejected.packet_sends, 0);
}

#[test]
fn a_burst_larger_than_the_outbox_is_sent_all_the_same() {
    let (served, at) = served(json!({ "udp": { "queue": 65_536 } }));
    let mut worker = served.worker(0);
    let client = client(at);
    client.send(b"go").expect("it is sent");
    let packet = worker.packet("a packet");
    for number in 0..20_u8 {
        assert!(worker.reply(&packet, &[number; 4_000]));
    }
    worker.worker.flush();
    for number in 0..20_u8 {
        assert_eq!(received(&client), [number; 4_000]);
    }
    assert_eq!(served.stats().rejected.packet_sends, 0);
}

#[test]
fn unix_datagrams_are_answered_by_path() {
    let directory = std::env::temp_dir().join(format!("sluice-packets-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("it is made");
    let (path, own) = (directory.join("udp"), directory.join("client"));
    let served = Served::start(&config(json!({ "listen": { "path": path } })));
    let mut worker = served.worker(0);
    let client = UnixDatagram::bind(&own).expect("it binds");
    client.set_read_timeout(Some(LIMIT)).expect("it is a time");
    client.send_to(b"hello", &path).expect("it is sent");
    let packet = worker.packet("a packet");
    assert_eq!(packet.payload(), b"hello");
    assert!(worker.reply(&packet, b"reply"));
    assert!(worker.reply(&packet, &[1; 30_000]));
    worker.worker.flush();
    let mut buffer = vec![0; 65_536];
    for expected in [&b"reply"[..], &[1; 30_000]] {
        let len = client.recv(&mut buffer).expect("it arrives");
        assert_eq!(&buffer[..len], expected);
    }
    let own = own.to_str().expect("it is text");
    assert!(served.server.send_to(1, own, 0, &[2; 20_000]));
    assert_eq!(client.recv(&mut buffer).expect("it arrives"), 20_000);
    // Nobody's, and nobody can be told.
    let anonymous = UnixDatagram::unbound().expect("it is made");
    anonymous.send_to(b"hello", &path).expect("it is sent");
    let packet = worker.packet("a packet");
    assert!(worker.reply(&packet, b"reply"));
    worker.worker.flush();
    served.until("the count", |stats| stats.rejected.packet_sends == 1);
    drop(worker);
    drop(served);
    assert!(!path.exists());
    std::fs::remove_dir_all(&directory).expect("it is ours");
}

#[test]
fn a_stop_waits_for_packets_that_workers_have_not_looked_at() {
    let (served, at) = served(json!({}));
    let mut worker = served.worker(0);
    let client = client(at);
    client.send(b"last").expect("it is sent");
    served.until("it", |stats| stats.counters.dispatch_count == 1);
    served.server.stop(0, 1001);
    // Another port has nothing to wait for; this one must not say that all is done.
    let packet = worker.packet("the packet");
    assert!(!served.notices().contains(&sluice_server::Notice::Stopped));
    assert!(worker.reply(&packet, b"reply"));
    worker.worker.flush();
    assert_eq!(received(&client), b"reply");
    worker.release();
    worker.worker.flush();
    served.notice("the stop", |notice| {
        *notice == sluice_server::Notice::Stopped
    });
}

#[test]
fn a_paused_port_receives_nothing_until_it_is_resumed() {
    let (served, at) = served(json!({}));
    let mut worker = served.worker(0);
    let client = client(at);
    assert!(served.server.pause_accept(1));
    client.send(b"later").expect("it is sent");
    // An answer of the other reactor, and one of this one: both have looked at what there was.
    assert!(served.server.send_to(
        1,
        "127.0.0.1",
        client.local_addr().expect("it is bound").port(),
        b"sent"
    ));
    assert_eq!(received(&client), b"sent");
    assert_eq!(served.stats().counters.packets_in, 0);
    assert!(served.server.resume_accept(1));
    assert_eq!(worker.packet("the packet").payload(), b"later");
}

#[test]
fn what_a_udp_port_cannot_have_is_an_error() {
    for (port, path) in [
        (json!({ "dispatch": "connection" }), "ports[1].dispatch"),
        (
            json!({ "udp": { "multicast": ["192.0.2.1"] } }),
            "ports[1].udp.multicast[0]",
        ),
        (json!({ "udp": { "queue": 1 } }), "ports[1].udp.queue"),
    ] {
        let error = Server::start(&config(port).to_string()).err();
        let error = error.expect("it does not start");
        assert_eq!(error.code(), ErrorCode::InvalidOption);
        assert!(error.to_string().contains(path), "{error}");
    }
    let taken = UdpSocket::bind(("127.0.0.1", 0)).expect("it binds");
    let port = taken.local_addr().expect("it is bound").port();
    let listen = json!({ "listen": { "host": "127.0.0.1", "port": port } });
    let error = Server::start(&config(listen).to_string()).err();
    assert_eq!(error.expect("it is in use").code(), ErrorCode::Listen);
}
