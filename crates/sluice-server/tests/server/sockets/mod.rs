//! WebSockets and event streams.

use serde_json::{Value, json};

use crate::support::{Served, WorkerDouble, config_with};

mod bounds;
mod closing;
mod delivery;
mod event_streams;
mod fan_out;
mod messages;
mod opening;
mod sending;
mod survival;

/// With 1 and 2 reactors.
fn servers(limits: &Value) -> impl Iterator<Item = Served> {
    [1, 2].into_iter().map(move |reactors| {
        Served::start(&config_with(
            limits.clone(),
            json!({ "reactors": reactors }),
        ))
    })
}

/// A server whose only port has this heartbeat, and looks at deadlines often.
fn with_heartbeat(heartbeat: &Value) -> Served {
    let mut config = config_with(json!({ "headerTimeout": 40 }), json!({}));
    config["ports"][0]["heartbeat"] = heartbeat.clone();
    Served::start(&config)
}

fn die(served: &Served, worker: WorkerDouble) {
    let slot = worker.slot;
    drop(worker);
    served.gone(slot);
}
