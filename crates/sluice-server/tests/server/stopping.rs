//! Requests that come when the server stops and its workers have gone.

use serde_json::json;
use sluice_server::Notice;
use sluice_shared::record::AdoptReason;

use crate::support::{Client, Served, config, config_with};

#[test]
fn a_request_within_the_grace_is_refused_at_once_when_no_worker_is_left() {
    for reactors in [1, 2] {
        let served = Served::start(&config_with(
            // Longer than a client waits: only a refusal at once is in time.
            json!({ "queueTimeout": 600_000 }),
            json!({ "reactors": reactors }),
        ));
        let worker = served.worker(0);
        let mut client = served.connect();
        served.until("the connection", |stats| stats.connections == 1);
        served.server.stop(60_000, 1001);
        served.server.drain_worker(worker.slot, AdoptReason::Reload);
        let slot = worker.slot.0;
        served.notice(
            "the drain",
            |notice| matches!(notice, Notice::Drained { slot: drained } if *drained == slot),
        );
        client.get("/");
        assert_refused_by_the_stop(&mut client);
    }
}

#[test]
fn requests_that_wait_are_refused_when_the_last_worker_goes_after_a_stop() {
    let served = Served::start(&config(
        json!({ "queueTimeout": 600_000, "workerConcurrency": 1 }),
    ));
    let mut worker = served.worker(0);
    let (mut running, mut waiting) = (served.connect(), served.connect());
    running.post("/running", b"");
    let asked = worker.request("a request");
    waiting.get("/waiting");
    served.until("both requests", |stats| stats.counters.request_count == 2);
    served.server.stop(60_000, 1001);
    let slot = worker.slot;
    // It dies with the first request in its hands; the second one never reached it.
    drop((asked, worker));
    served.gone(slot);
    assert_eq!(running.response().text(), "worker-lost\n");
    assert_refused_by_the_stop(&mut waiting);
}

fn assert_refused_by_the_stop(client: &mut Client) {
    let response = client.response();
    assert_eq!((response.status, response.text()), (503, "stopping\n"));
    assert!(response.closes());
    assert_eq!(client.rest(), b"");
}
