//! Connections of TCP ports.

use serde_json::{Value, json};
use sluice_server::ServerStats;

use crate::support::{Closed, Served, WorkerDouble};

mod closing;
mod opening;
mod reaching;
mod survival;

const PEER: u8 = 0;
const SERVER: u8 = 1;
const IDLE: u8 = 2;
const ERROR: u8 = 3;
const SHUTDOWN: u8 = 4;

/// A server whose only port is TCP, with further keys of the port and of the server.
fn served_with(port: Value, more: Value) -> Served {
    let mut config = json!({
        "ports": [{
            "name": "line",
            "protocol": "tcp",
            "listen": { "host": "127.0.0.1", "port": 0 },
            "framing": "lines",
        }],
        "stuckAfter": 0,
    });
    let (Value::Object(port), Value::Object(more)) = (port, more) else {
        panic!("both are objects");
    };
    let whole = config.as_object_mut().expect("it is an object");
    whole.extend(more);
    whole["ports"][0]
        .as_object_mut()
        .expect("it is an object")
        .extend(port);
    Served::start(&config)
}

/// Of lines, with 1 and 2 reactors.
fn servers() -> impl Iterator<Item = Served> {
    [1, 2]
        .into_iter()
        .map(|reactors| served_with(json!({}), json!({ "reactors": reactors })))
}

fn ended(code: u16, by: u8, clean: bool, reason: &str) -> Closed {
    Closed {
        code,
        by,
        clean,
        reason: reason.into(),
    }
}

fn arrived(served: &Served, count: u64) {
    served.until("the messages", |stats| stats.counters.messages_in == count);
}

fn connected(served: &Served, count: u64) -> ServerStats {
    served.until("the connections", |stats| {
        stats.counters.socket_open_count == count
    })
}

/// The worker has heard of all that there was, and nothing of it is left.
fn assert_over(served: &Served, worker: &mut WorkerDouble, sockets: u64) {
    let stats = served.until("no connection", |stats| stats.connections == 0);
    assert_eq!(worker.poll_news(), None);
    assert_eq!(stats.counters.socket_close_count, sockets);
    assert_eq!(served.server.connection_count(None), 0);
}
