//! A server on a free port, with its notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_core::id::WorkerSlot;
use sluice_server::{Notice, Role, Server, ServerStats};

use super::{Client, Upgrade, WorkerDouble, handshake};

/// Longest wait for anything; never reached by a test that passes.
pub const LIMIT: Duration = Duration::from_secs(20);

/// One TCP port on loopback, number 0, with these limits.
pub fn config(limits: Value) -> Value {
    config_with(limits, json!({}))
}

/// The same with more top-level keys.
pub fn config_with(limits: Value, more: Value) -> Value {
    let mut config = json!({
        "ports": [{ "name": "main", "listen": { "host": "127.0.0.1", "port": 0 }, "limits": limits }],
        "stuckAfter": 0,
    });
    let (Value::Object(whole), Value::Object(more)) = (&mut config, more) else {
        panic!("both are objects");
    };
    whole.extend(more);
    config
}

/// A server that accepts.
pub struct Served {
    pub server: Arc<Server>,
    news: Receiver<()>,
    seen: std::cell::RefCell<Vec<Notice>>,
}

impl Served {
    /// Starts a server with defaults.
    pub fn new() -> Self {
        Self::start(&config(json!({})))
    }

    pub fn start(config: &Value) -> Self {
        let server = Server::start(&config.to_string()).expect("the configuration is right");
        let (send, news) = sync_channel(1);
        server.set_notice_wake(Some(Box::new(move || {
            // Full means that a wake is on the way already.
            let _ = send.try_send(());
        })));
        server.accept();
        Self {
            server: Arc::new(server),
            news,
            seen: std::cell::RefCell::default(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        let port = self.server.info().ports[0].port.expect("it is TCP");
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// A worker that takes requests from now on.
    pub fn worker(&self, home: u16) -> WorkerDouble {
        let worker = self.attached();
        self.server
            .activate_worker(worker.slot, home, Role::Serve, None)
            .expect("it has just attached");
        worker
    }

    /// A worker for something else.
    pub fn worker_for(&self, id: u16, role: Role) -> WorkerDouble {
        let worker = self.attached();
        self.server
            .activate_worker(worker.slot, id, role, None)
            .expect("it has just attached");
        worker
    }

    /// A worker that is attached and not active yet.
    pub fn attached(&self) -> WorkerDouble {
        let slot = self.server.create_worker().expect("a slot is free");
        WorkerDouble::attach(&self.server, slot)
    }

    /// An open WebSocket of this worker, which must be the only one that takes requests, and its id.
    pub fn web_socket(&self, worker: &mut WorkerDouble) -> (Client, u64) {
        self.web_socket_with(worker, "", &Upgrade::default())
    }

    /// The same with further fields in the handshake.
    pub fn web_socket_with(
        &self,
        worker: &mut WorkerDouble,
        fields: &str,
        with: &Upgrade,
    ) -> (Client, u64) {
        let mut client = self.connect();
        client.send(handshake("/", fields));
        let asked = worker.request("a handshake");
        worker.upgrade(&asked, with);
        let id = worker.opened();
        client.switched();
        (client, id)
    }

    /// An open event stream of this worker, the answer's head read already, and its id.
    pub fn event_stream(&self, worker: &mut WorkerDouble, options: &Value) -> (Client, u64) {
        let mut client = self.connect();
        client.get("/events");
        let asked = worker.request("a request for events");
        worker.event_stream(&asked, options);
        let id = worker.opened();
        assert_eq!(client.head().status, 200);
        (client, id)
    }

    pub fn stats(&self) -> ServerStats {
        self.server.stats()
    }

    /// Waits until the statistics are as `is_so` wants them.
    pub fn until(&self, what: &str, mut is_so: impl FnMut(&ServerStats) -> bool) -> ServerStats {
        let end = Instant::now() + LIMIT;
        loop {
            let stats = self.stats();
            if is_so(&stats) {
                return stats;
            }
            assert!(Instant::now() < end, "waited in vain for {what}: {stats:?}");
            std::thread::yield_now();
        }
    }

    /// Everything the master has been told so far.
    pub fn notices(&self) -> Vec<Notice> {
        self.seen.borrow_mut().extend(self.server.take_notices());
        self.seen.borrow().clone()
    }

    /// Waits for a notice, past ones included.
    pub fn notice(&self, what: &str, is_it: impl Fn(&Notice) -> bool) -> Notice {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(notice) = self.notices().into_iter().find(&is_it) {
                return notice;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                self.news.recv_timeout(left).is_ok(),
                "waited in vain for {what}; there was {:?}",
                self.notices()
            );
        }
    }

    /// Waits until a dead worker's exchanges are settled: (inflight, replayed, refused). Once for each death, because
    /// the next worker may have the same slot.
    pub fn gone(&self, slot: WorkerSlot) -> (u32, u32, u32) {
        let notice = self.notice(
            "the end of a worker",
            |notice| matches!(notice, Notice::Gone { slot: gone, .. } if *gone == slot.0),
        );
        let mut seen = self.seen.borrow_mut();
        seen.retain(|other| *other != notice);
        drop(seen);
        match notice {
            Notice::Gone {
                inflight,
                replayed,
                refused,
                ..
            } => (inflight, replayed, refused),
            _ => unreachable!("it was just matched"),
        }
    }
}
