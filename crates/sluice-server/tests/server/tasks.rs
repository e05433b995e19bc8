//! Tasks: from a worker that delivers to one that runs, and back.

use std::sync::Arc;

use serde_json::json;
use sluice_server::{Cancel, NewTask, Notice, Outcome, Role, Status, SubmitError, What};
use sluice_shared::record::AdoptReason;

use super::support::{Event, Served, TaskEvent, WorkerDouble, config_with};

fn task(input: &[u8]) -> NewTask {
    NewTask::new(Arc::from("task"), Arc::from(input))
}

/// A server with a worker that serves and one for tasks.
fn with_task_worker() -> (Served, WorkerDouble, WorkerDouble) {
    let served = Served::start(&config_with(
        json!({}),
        json!({ "tasks": { "workers": 1 } }),
    ));
    let worker = served.worker(0);
    let tasks = served.worker_for(1, Role::Task);
    (served, worker, tasks)
}

fn deliver(worker: &WorkerDouble, task: NewTask) -> u64 {
    worker.worker.submit_task(task).expect("there is room").id
}

/// The end of a task that `worker` has delivered: which, how, after how many attempts, with what.
fn end(worker: &mut WorkerDouble) -> (u64, u32, u32, Vec<u8>) {
    match worker.event("the end of a task") {
        Event::TaskEnd(end) => (end.task, end.end, end.attempts, end.bytes),
        other => panic!("waited for the end of a task, got {other:?}"),
    }
}

fn run(worker: &mut WorkerDouble, outcome: Outcome, bytes: &[u8]) -> TaskEvent {
    let call = worker.task("a call");
    assert!(worker.worker.begin_call(call.id));
    assert!(worker.worker.end_call(call.id, outcome, bytes));
    call
}

#[test]
fn a_task_runs_in_a_task_worker_and_its_result_comes_back() {
    let (served, mut worker, mut tasks) = with_task_worker();
    let id = deliver(&worker, task(b"input"));
    let call = run(&mut tasks, Outcome::Done, b"result");
    assert_eq!(
        (call.task.as_str(), &call.input[..]),
        ("task", &b"input"[..])
    );
    assert_eq!(end(&mut worker), (id, 0, 1, b"result".to_vec()));
    let stats = served.stats();
    assert_eq!(
        (stats.tasks_done, stats.tasking, stats.task_queue),
        (1, 0, 0)
    );
    assert_eq!(tasks.poll(), None);
}

#[test]
fn large_inputs_and_results_go_beside_the_ring() {
    let (_served, mut worker, mut tasks) = with_task_worker();
    for round in 0..50_u8 {
        let bytes = vec![round; 1 << 20];
        let id = deliver(&worker, task(&bytes));
        let call = run(&mut tasks, Outcome::Done, &bytes);
        assert!(call.input == bytes);
        let (task, end, _, result) = end(&mut worker);
        assert!((task, end) == (id, 0) && result == bytes);
    }
}

#[test]
fn more_than_the_ring_holds_waits_and_keeps_its_order() {
    let (served, mut worker, mut tasks) = with_task_worker();
    // 16 at once are in the worker's hands; all results find its own ring full.
    let bytes = vec![7; 16 * 1024];
    let ids: Vec<u64> = (0..200).map(|_| deliver(&worker, task(&bytes))).collect();
    for _ in &ids {
        run(&mut tasks, Outcome::Done, &bytes);
        tasks.worker.flush();
    }
    assert_eq!(served.stats().tasks_done, 200);
    let mut seen = Vec::new();
    while seen.len() < ids.len() {
        seen.push(end(&mut worker).0);
        worker.worker.flush();
    }
    assert_eq!(seen, ids);
}

#[test]
fn a_failed_try_is_followed_by_another_and_the_last_error_comes_back() {
    let (served, mut worker, mut tasks) = with_task_worker();
    let id = deliver(
        &worker,
        NewTask {
            tries: 3,
            ..task(b"")
        },
    );
    for attempt in 1..=3_u8 {
        run(&mut tasks, Outcome::Failed, &[attempt]);
    }
    assert_eq!(end(&mut worker), (id, 1, 3, vec![3]));
    let list = served.server.task_list();
    assert_eq!((list.failed.len(), list.failed[0].id), (1, id));
    assert_eq!(list.failed[0].error.as_deref(), Some("\u{3}"));
    assert!(served.server.retry_task(id) && !served.server.retry_task(id));
    run(&mut tasks, Outcome::Done, b"");
    served.until("the second life", |stats| stats.tasks_done == 1);
    assert!(served.server.task_list().failed.is_empty());
}

#[test]
fn a_delayed_task_waits_for_its_time_and_a_slow_one_is_told() {
    let (served, mut worker, mut tasks) = with_task_worker();
    let delayed = NewTask {
        delay: 30,
        timeout: 20,
        ..task(b"")
    };
    let id = deliver(&worker, delayed);
    assert_eq!(served.server.task_status(id), Some(Status::Delayed));
    let call = tasks.task("the call");
    assert!(tasks.worker.begin_call(call.id));
    assert_eq!(served.server.task_status(id), Some(Status::Running));
    assert!(
        matches!(tasks.event("the time-out"), Event::TaskAbort { call: late, why: 1 } if late == call.id)
    );
    assert_eq!(end(&mut worker), (id, 3, 1, Vec::new()));
    assert_eq!(served.server.task_status(id), None);
    // The place is free when the handler ends, whatever it says.
    tasks.worker.end_call(call.id, Outcome::Done, b"late");
    assert_eq!(served.stats().tasking, 0);
}

#[test]
fn a_cancelled_task_does_not_begin_and_a_running_one_is_told() {
    let (served, mut worker, mut tasks) = with_task_worker();
    let waits = deliver(
        &worker,
        NewTask {
            delay: 60_000,
            ..task(b"")
        },
    );
    assert_eq!(served.server.cancel_task(waits), Cancel::Done);
    assert_eq!(served.server.cancel_task(waits), Cancel::Unknown);
    assert_eq!(end(&mut worker), (waits, 5, 0, Vec::new()));
    let runs = deliver(&worker, task(b""));
    let call = tasks.task("the call");
    assert!(tasks.worker.begin_call(call.id));
    assert_eq!(served.server.cancel_task(runs), Cancel::Running);
    assert!(
        matches!(tasks.event("the news"), Event::TaskAbort { call: cut, why: 0 } if cut == call.id)
    );
    assert_eq!(end(&mut worker), (runs, 5, 1, Vec::new()));
}

#[test]
fn what_a_dead_worker_had_not_begun_is_run_by_another_and_what_it_had_counts_as_a_try() {
    let (served, mut worker, mut doomed) = with_task_worker();
    let poison = deliver(&worker, task(b"poison"));
    let again = deliver(
        &worker,
        NewTask {
            tries: 2,
            ..task(b"again")
        },
    );
    let waits = deliver(&worker, task(b"waits"));
    for _ in 0..2 {
        let call = doomed.task("a call");
        assert!(doomed.worker.begin_call(call.id));
    }
    let slot = doomed.slot;
    drop(doomed);
    served.gone(slot);
    assert_eq!(end(&mut worker), (poison, 4, 1, Vec::new()));
    let mut heir = served.worker_for(1, Role::Task);
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(run(&mut heir, Outcome::Done, b"").input);
    }
    seen.sort();
    assert_eq!(seen, [b"again".to_vec(), b"waits".to_vec()]);
    let mut ends = [end(&mut worker), end(&mut worker)];
    ends.sort();
    assert_eq!(ends, [(again, 0, 2, Vec::new()), (waits, 0, 1, Vec::new())]);
}

/// Two tasks, of which the first was ended and is not told of yet.
fn with_an_end_that_waits() -> (Served, WorkerDouble, WorkerDouble, [u64; 2], TaskEvent) {
    let (served, worker, mut tasks) = with_task_worker();
    let ids = [deliver(&worker, task(b"a")), deliver(&worker, task(b"b"))];
    let first = tasks.task("the first call");
    assert!(tasks.worker.begin_call(first.id));
    tasks
        .worker
        .end_call_soon(first.id, Outcome::Done, b"result");
    assert_eq!(served.stats().tasks_done, 0);
    let second = tasks.task("the second call");
    (served, worker, tasks, ids, second)
}

#[test]
fn an_end_that_waits_is_told_with_the_next_begin() {
    let (_served, mut worker, mut tasks, [id, _], second) = with_an_end_that_waits();
    assert!(tasks.worker.begin_call(second.id));
    assert_eq!(end(&mut worker), (id, 0, 1, b"result".to_vec()));
}

#[test]
fn an_end_that_waits_is_told_with_the_next_flush() {
    let (_served, mut worker, mut tasks, [id, _], _) = with_an_end_that_waits();
    tasks.worker.flush();
    assert_eq!(end(&mut worker), (id, 0, 1, b"result".to_vec()));
}

#[test]
fn an_end_that_waits_is_told_when_its_worker_dies() {
    let (served, mut worker, tasks, [first, second], _) = with_an_end_that_waits();
    let slot = tasks.slot;
    drop(tasks);
    served.gone(slot);
    assert_eq!(end(&mut worker), (first, 0, 1, b"result".to_vec()));
    let mut heir = served.worker_for(1, Role::Task);
    assert_eq!(run(&mut heir, Outcome::Done, b"").input, b"b");
    assert_eq!(end(&mut worker), (second, 0, 1, Vec::new()));
}

#[test]
fn an_end_of_many_bytes_does_not_wait() {
    let (served, worker, mut tasks) = with_task_worker();
    deliver(&worker, task(b""));
    let call = tasks.task("the call");
    assert!(tasks.worker.begin_call(call.id));
    tasks
        .worker
        .end_call_soon(call.id, Outcome::Done, &[0; 64 * 1024 + 1]);
    assert_eq!(served.stats().tasks_done, 1);
}

#[test]
fn results_for_a_worker_that_is_gone_go_nowhere() {
    let (served, worker, mut tasks) = with_task_worker();
    deliver(&worker, task(b""));
    let call = tasks.task("the call");
    assert!(tasks.worker.begin_call(call.id));
    let slot = worker.slot;
    drop(worker);
    served.gone(slot);
    let mut heir = served.worker(0);
    assert!(tasks.worker.end_call(call.id, Outcome::Done, b"result"));
    assert_eq!(heir.poll(), None);
}

#[test]
fn a_task_worker_that_drains_gets_nothing_new_and_is_drained_when_its_hands_are_empty() {
    let (served, worker, mut old) = with_task_worker();
    deliver(&worker, task(b"a"));
    let call = old.task("the call");
    assert!(old.worker.begin_call(call.id));
    served.server.drain_worker(old.slot, AdoptReason::Reload);
    deliver(&worker, task(b"b"));
    let mut fresh = served.worker_for(1, Role::Task);
    assert_eq!(run(&mut fresh, Outcome::Done, b"").input, b"b");
    assert!(
        !served
            .notices()
            .iter()
            .any(|notice| matches!(notice, Notice::Drained { .. }))
    );
    assert!(old.worker.end_call(call.id, Outcome::Done, b""));
    served.notice("the drain", |notice| {
        matches!(notice, Notice::Drained { .. })
    });
}

#[test]
fn requests_and_connections_never_go_to_a_task_worker() {
    let (served, mut worker, mut tasks) = with_task_worker();
    for _ in 0..20 {
        let mut client = served.connect();
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        worker.request("a request");
    }
    assert_eq!(tasks.poll(), None);
}

#[test]
fn without_task_workers_those_that_serve_run_tasks_also_their_own() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let id = deliver(&worker, task(b"own"));
    assert_eq!(run(&mut worker, Outcome::Done, b"done").input, b"own");
    assert_eq!(end(&mut worker), (id, 0, 1, b"done".to_vec()));
}

#[test]
fn progress_comes_while_a_task_runs() {
    let (_served, mut worker, mut tasks) = with_task_worker();
    let id = deliver(&worker, task(b""));
    let call = tasks.task("the call");
    assert!(tasks.worker.begin_call(call.id));
    assert!(tasks.worker.call_progress(call.id, b"half"));
    match worker.event("news") {
        Event::TaskProgress { task, bytes } => assert_eq!((task, &bytes[..]), (id, &b"half"[..])),
        other => panic!("{other:?}"),
    }
    assert!(tasks.worker.end_call(call.id, Outcome::Done, b""));
    assert!(!tasks.worker.call_progress(call.id, b"late"));
}

#[test]
fn the_end_of_what_can_be_run_is_told_once() {
    let (served, mut worker, mut tasks) = with_task_worker();
    for _ in 0..20 {
        deliver(&worker, task(b""));
    }
    // Neither has a worker, or its time, when the rest is done.
    let pinned = deliver(
        &worker,
        NewTask {
            worker: Some(99),
            ..task(b"")
        },
    );
    let delayed = deliver(
        &worker,
        NewTask {
            delay: 60_000,
            ..task(b"")
        },
    );
    served.server.finish_tasks();
    for _ in 0..20 {
        assert!(!served.notices().contains(&Notice::TasksDone));
        run(&mut tasks, Outcome::Done, b"");
    }
    served.notice("the end", |notice| *notice == Notice::TasksDone);
    // Who waits for what does not run any more hears of it.
    for _ in 0..20 {
        assert_eq!(end(&mut worker).1, 0);
    }
    let mut ends = [end(&mut worker), end(&mut worker)].map(|(id, how, ..)| (id, how));
    ends.sort_unstable();
    assert_eq!(ends, [(pinned, 6), (delayed, 6)]);
    // What workers deliver on their way out is run.
    deliver(&worker, task(b""));
    run(&mut tasks, Outcome::Done, b"");
    let notices = served.notices();
    let told = notices
        .iter()
        .filter(|notice| **notice == Notice::TasksDone);
    assert_eq!(told.count(), 1);
}

#[test]
fn there_are_no_more_tasks_than_may_be() {
    let config = config_with(
        json!({}),
        json!({ "tasks": { "workers": 1, "max": 2, "bytes": 100 } }),
    );
    let served = Served::start(&config);
    let worker = served.worker(0);
    let submit = |bytes: usize| worker.worker.submit_task(task(&vec![0; bytes]));
    assert_eq!(submit(101), Err(SubmitError::Full { what: What::Bytes }));
    assert!(submit(50).is_ok());
    assert_eq!(submit(51), Err(SubmitError::Full { what: What::Bytes }));
    assert!(submit(50).is_ok());
    assert_eq!(submit(0), Err(SubmitError::Full { what: What::Tasks }));
    assert_eq!(
        worker.worker.submit_task(NewTask {
            queue: 9,
            ..task(b"")
        }),
        Err(SubmitError::Queue)
    );
}
