//! Workers and servers that come and go.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use sluice_core::id::WorkerSlot;
use sluice_server::{Error, Notice, Role, Server};
use sluice_shared::record::AdoptReason;

use crate::support::{LIMIT, Served, WorkerDouble, config, config_with};

fn drained(served: &Served, slot: WorkerSlot) -> usize {
    served
        .notices()
        .iter()
        .filter(|notice| matches!(notice, Notice::Drained { slot: drained } if *drained == slot.0))
        .count()
}

fn is_drained(slot: WorkerSlot) -> impl Fn(&Notice) -> bool {
    move |notice| matches!(notice, Notice::Drained { slot: drained } if *drained == slot.0)
}

#[test]
fn a_draining_worker_is_drained_once_and_after_its_last_answer() {
    for reactors in [1, 2] {
        let served = Served::start(&config_with(json!({}), json!({ "reactors": reactors })));
        let mut old = served.worker(0);
        let mut clients: Vec<_> = (0..4).map(|_| served.connect()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.get(&format!("/{number}"));
        }
        let mut asked: Vec<_> = (0..4).map(|_| old.request("a request")).collect();
        asked.sort_by_key(|asked| asked.path().to_owned());
        let mut new = served.worker(0);
        served.server.drain_worker(old.slot, AdoptReason::Reload);
        served.server.drain_worker(old.slot, AdoptReason::Reload);
        // What comes now goes to the new one.
        let mut late = served.connect();
        late.get("/late");
        let to_new = new.request("a request after the drain");
        new.answer(&to_new, "new");
        assert_eq!(late.response().text(), "new");
        for (asked, client) in asked.iter().zip(&mut clients) {
            assert_eq!(drained(&served, old.slot), 0);
            old.answer(asked, "old");
            assert_eq!(client.response().text(), "old");
        }
        served.notice("the drain", is_drained(old.slot));
        let slot = old.slot;
        drop(old);
        assert_eq!(served.gone(slot), (0, 0, 0));
        assert_eq!(drained(&served, slot), 1);
    }
}

#[test]
fn an_idle_worker_is_drained_at_once() {
    let served = Served::start(&config_with(json!({}), json!({ "reactors": 2 })));
    let worker = served.worker(0);
    served.server.drain_worker(worker.slot, AdoptReason::Reload);
    served.notice("the drain", is_drained(worker.slot));
    assert_eq!(drained(&served, worker.slot), 1);
}

#[test]
fn a_slot_is_attached_once_and_activated_once() {
    let served = Served::new();
    let slot = served.server.create_worker().expect("a slot is free");
    assert!(matches!(
        served.server.activate_worker(slot, 0, Role::Serve, None),
        Err(Error::WorkerState { .. })
    ));
    let worker = WorkerDouble::attach(&served.server, slot);
    let again = served.server.attach_worker(slot, Box::new(|| {}));
    assert!(matches!(again, Err(Error::WorkerState { .. })));
    served
        .server
        .activate_worker(slot, 0, Role::Serve, None)
        .expect("it attached");
    assert!(
        served
            .server
            .activate_worker(slot, 0, Role::Serve, None)
            .is_err()
    );
    drop(worker);
    served.gone(slot);
    assert!(served.server.attach_worker(slot, Box::new(|| {})).is_err());
}

#[test]
fn slots_come_back_from_workers_that_never_attached() {
    let served = Served::new();
    for _ in 0..600 {
        let slot = served.server.create_worker().expect("slots come back");
        assert!(served.server.write_off_worker(slot));
        served.until("the slot to be free", |stats| stats.per_worker.is_empty());
    }
}

#[test]
fn thousands_of_workers_come_and_go_without_a_trace() {
    let served = Served::start(&config_with(json!({}), json!({ "reactors": 2 })));
    let mut after_warm_up = 0;
    for round in 0..2000 {
        let worker = served.worker(0);
        assert_eq!(worker.slot, WorkerSlot(0), "the slot is free again");
        if round % 3 == 0 {
            served.server.drain_worker(worker.slot, AdoptReason::Reload);
        }
        drop(worker);
        served.until("the slot to be free", |stats| stats.per_worker.is_empty());
        served.server.take_notices();
        if round == 500 {
            after_warm_up = resident_pages();
        }
    }
    let grown = resident_pages().saturating_sub(after_warm_up) * 4096;
    assert!(grown < 16 << 20, "{grown} bytes more after 1500 workers");
    let mut client = served.connect();
    client.get("/");
    let mut worker = served.worker(0);
    let asked = worker.request("a request");
    worker.answer(&asked, "ok");
    assert_eq!(client.response().text(), "ok");
}

fn resident_pages() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages = statm.split(' ').nth(1).expect("the second field");
    pages.parse().expect("a number")
}

#[test]
fn activation_drain_and_death_may_cross() {
    // Attach, activate, drain and write-off from two threads at once: whatever the order, the slot comes back.
    let served = Served::start(&config_with(json!({}), json!({ "reactors": 2 })));
    for _ in 0..400 {
        let slot = served.server.create_worker().expect("slots come back");
        let server = &*served.server;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if let Ok(worker) = server.attach_worker(slot, Box::new(|| {})) {
                    // Lost races are the point.
                    let _ = server.activate_worker(slot, 0, Role::Serve, None);
                    server.drain_worker(slot, AdoptReason::Reload);
                    drop(worker);
                }
            });
            scope.spawn(|| server.write_off_worker(slot));
        });
        served.server.write_off_worker(slot);
        served.until("the slot to be free", |stats| stats.per_worker.is_empty());
    }
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    worker.answer(&asked, "ok");
    assert_eq!(client.response().text(), "ok");
    served.server.drain_worker(worker.slot, AdoptReason::Reload);
    served.notice("the drain", is_drained(worker.slot));
}

#[test]
fn stop_closes_idle_connections_and_answers_what_is_in_flight() {
    for reactors in [1, 2] {
        let served = Served::start(&config_with(json!({}), json!({ "reactors": reactors })));
        let mut worker = served.worker(0);
        let (mut idle, mut busy) = (served.connect(), served.connect());
        busy.get("/");
        let asked = worker.request("a request");
        served.until("two connections", |stats| stats.connections == 2);
        served.server.stop(0, 1001);
        served.server.stop(0, 1001);
        assert_eq!(idle.rest(), b"");
        drop(idle);
        assert!(!served.notices().contains(&Notice::Stopped));
        worker.answer(&asked, "last");
        let response = busy.response();
        assert_eq!(response.text(), "last");
        assert!(response.closes());
        assert_eq!(busy.rest(), b"");
        drop(busy);
        served.notice("the stop", |notice| *notice == Notice::Stopped);
        let stopped = served
            .notices()
            .into_iter()
            .filter(|notice| *notice == Notice::Stopped);
        assert_eq!(stopped.count(), 1);
    }
}

#[test]
fn a_request_within_the_grace_is_answered() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    served.until("the connection", |stats| stats.connections == 1);
    served.server.stop(60_000, 1001);
    client.get("/");
    let asked = worker.request("a request after the stop");
    worker.answer(&asked, "ok");
    let response = client.response();
    assert_eq!(response.text(), "ok");
    assert!(response.closes());
    assert_eq!(client.rest(), b"");
}

#[test]
fn an_idle_connection_is_closed_after_the_grace() {
    let served = Served::start(&config(json!({ "headerTimeout": 40 })));
    let mut client = served.connect();
    served.until("the connection", |stats| stats.connections == 1);
    served.server.stop(20, 1001);
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_stream_that_began_before_the_stop_does_not_keep_its_connection_after_it() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    worker.head(&asked, None);
    assert!(!client.head().closes());
    served.server.stop(0, 1001);
    worker.end(&asked);
    assert_eq!(client.exactly(5), b"0\r\n\r\n");
    // Its keep-alive time is 75 s: longer than the client waits.
    assert_eq!(client.rest(), b"");
    drop(client);
    served.notice("the stop", |notice| *notice == Notice::Stopped);
}

#[test]
fn release_in_the_middle_of_everything_ends() {
    for _ in 0..10 {
        let served = Served::start(&config_with(json!({}), json!({ "reactors": 2 })));
        let ended = AtomicBool::new(false);
        let mut worker = served.worker(0);
        let address = served.address();
        std::thread::scope(|scope| {
            let ended = &ended;
            for _ in 0..4 {
                scope.spawn(move || {
                    // Errors are what a client of a vanished server gets.
                    while let Ok(mut stream) = std::net::TcpStream::connect(address) {
                        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
                        let _ = stream.read(&mut [0; 512]);
                    }
                });
            }
            scope.spawn(move || {
                while !ended.load(Ordering::Acquire) {
                    if let Some(crate::support::Event::Request(asked)) = worker.poll() {
                        worker.queue_lost(asked.name);
                    }
                    std::thread::yield_now();
                }
            });
            served.until("some traffic", |stats| stats.counters.response_count > 20);
            served.server.release();
            served.server.release();
            ended.store(true, Ordering::Release);
        });
        assert_eq!(served.stats().connections, 0);
    }
}

#[test]
fn connections_go_to_the_reactor_with_the_fewest() {
    let served = Served::start(&config_with(json!({}), json!({ "reactors": 2 })));
    let mut worker = served.worker(0);
    let mut clients = Vec::new();
    let mut lanes = [0; 2];
    for _ in 0..10 {
        let mut client = served.connect();
        client.get("/");
        let asked = worker.request("a request");
        lanes[asked.name.lane as usize] += 1;
        worker.answer(&asked, "ok");
        assert_eq!(client.response().status, 200);
        clients.push(client);
    }
    assert_eq!(lanes, [5, 5]);
}

/// A path in the temporary directory that is this test's alone; removed when it ends.
struct SocketPath(std::path::PathBuf);

impl SocketPath {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("sluice-{}-{name}", std::process::id())))
    }

    fn config(&self) -> String {
        json!({ "ports": [{ "name": "main", "listen": { "path": self.0 } }], "stuckAfter": 0 })
            .to_string()
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // Usually the server has removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_unix_socket_serves_and_is_removed_at_the_end() {
    let path = SocketPath::new("serves");
    // A leftover that nobody listens on.
    drop(UnixListener::bind(&path.0).expect("the path is free"));
    assert!(path.0.exists());
    let server = Server::start(&path.config()).expect("a stale file is removed");
    server.accept();
    let slot = server.create_worker().expect("a slot is free");
    let mut worker = WorkerDouble::attach(&server, slot);
    server
        .activate_worker(slot, 0, Role::Serve, None)
        .expect("it attached");
    let mut client = UnixStream::connect(&path.0).expect("the server listens");
    client.set_read_timeout(Some(LIMIT)).expect("not zero");
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .expect("the server takes it");
    let asked = worker.request("a request");
    worker.answer(&asked, "over unix");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("FIN");
    assert!(answer.ends_with("\r\n\r\nover unix"), "{answer}");
    server.release();
    assert!(!path.0.exists());
}

#[test]
fn a_unix_socket_in_use_and_a_file_are_left_alone() {
    let path = SocketPath::new("used");
    let owner = UnixListener::bind(&path.0).expect("the path is free");
    assert!(matches!(
        Server::start(&path.config()),
        Err(Error::Listen { .. })
    ));
    assert!(path.0.exists());
    drop(owner);
    drop(std::fs::remove_file(&path.0));
    std::fs::write(&path.0, "precious").expect("the directory can be written");
    assert!(matches!(
        Server::start(&path.config()),
        Err(Error::Listen { .. })
    ));
    assert_eq!(
        std::fs::read_to_string(&path.0).expect("it is there"),
        "precious"
    );
}

#[test]
fn a_port_in_use_leaves_nothing_behind() {
    let served = Served::new();
    let port = served.address().port();
    let taken = json!({ "ports": [
        { "name": "free", "listen": { "host": "127.0.0.1", "port": 0 } },
        { "name": "taken", "listen": { "host": "127.0.0.1", "port": port } },
    ] });
    match Server::start(&taken.to_string()) {
        Err(Error::Listen { port, .. }) => assert_eq!(port, "taken"),
        Err(other) => panic!("expected a listen error, got {other}"),
        Ok(_) => panic!("the port is in use"),
    }
}

#[test]
fn sockets_do_not_outlive_the_server() {
    let served = Served::new();
    let address = served.address();
    let mut client = served.connect();
    served.until("the connection", |stats| stats.connections == 1);
    drop(served);
    let mut rest = Vec::new();
    client
        .stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("not zero");
    // FIN or RST; either tells the client.
    let _ = client.stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
    assert!(std::net::TcpStream::connect(address).is_err());
}
