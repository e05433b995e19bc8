//! Durable tasks, from one server to the next.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use sluice_core::ErrorCode;
use sluice_server::{NewTask, Notice, Outcome, Role, Server, Status};

use super::support::{Event, Served, WorkerDouble, config_with};

fn task(input: &[u8]) -> NewTask {
    NewTask {
        durable: true,
        ..NewTask::new(Arc::from("task"), Arc::from(input))
    }
}

fn config(path: &Path) -> serde_json::Value {
    let durable = json!({ "path": path, "fsync": "always" });
    let queues = json!([{ "name": "default", "pool": 1 }, { "name": "mail", "pool": 1 }]);
    let tasks = json!({ "workers": 1, "durable": durable, "queues": queues });
    config_with(json!({}), json!({ "tasks": tasks }))
}

fn start(path: &Path) -> (Served, WorkerDouble) {
    let served = Served::start(&config(path));
    let worker = served.worker(0);
    (served, worker)
}

/// What is told of a task: which, how, with what.
fn news(worker: &mut WorkerDouble) -> (u64, u32, String) {
    match worker.event("news of a task") {
        Event::TaskEnd(end) => {
            let text = String::from_utf8(end.bytes).expect("it is text");
            (end.task, end.end, text)
        }
        other => panic!("waited for news of a task, got {other:?}"),
    }
}

fn deliver(worker: &mut WorkerDouble, task: NewTask) -> u64 {
    let id = worker.worker.submit_task(task).expect("there is room").id;
    assert_eq!(stored(worker), [(id, 1)]);
    id
}

/// The tasks that are told to be stored: the first of each row, and how many it has.
fn stored(worker: &mut WorkerDouble) -> Vec<(u64, u64)> {
    match worker.event("news of tasks") {
        Event::TaskEnd(end) if end.end == 7 => {
            let (doubles, rest) = end.bytes.as_chunks::<8>();
            assert!(rest.is_empty());
            let numbers: Vec<u64> = doubles
                .iter()
                .map(|bytes| f64::from_le_bytes(*bytes) as u64)
                .collect();
            numbers.chunks(2).map(|pair| (pair[0], pair[1])).collect()
        }
        other => panic!("waited for tasks that are stored, got {other:?}"),
    }
}

/// Runs a call that is there; its input.
fn run(tasks: &mut WorkerDouble, outcome: Outcome, bytes: &[u8]) -> Vec<u8> {
    let call = tasks.task("a call");
    assert!(tasks.worker.begin_call(call.id));
    assert!(tasks.worker.end_call(call.id, outcome, bytes));
    call.input
}

#[test]
fn all_tasks_are_told_to_be_stored_to_whom_they_are_from() {
    let folder = tempfile::tempdir().expect("there is a folder for it");
    let path = folder.path().join("tasks.log");
    let (served, mut one) = start(&path);
    let mut other = served.worker(1);
    let mut ids = [Vec::new(), Vec::new()];
    for at in 0..3_000 {
        // Rows of one, of two and of many, and so many rows that they take more than one record.
        let who = usize::from(at < 2_000 && at % 3 != 0);
        let by = if who == 0 { &one } else { &other };
        let task = NewTask {
            delay: 3_600_000,
            ..task(b"")
        };
        ids[who].push(by.worker.submit_task(task).expect("there is room").id);
    }
    for (worker, ids) in [&mut one, &mut other].into_iter().zip(ids) {
        let mut told = Vec::new();
        while told.len() < ids.len() {
            told.extend(
                stored(worker)
                    .into_iter()
                    .flat_map(|(first, count)| first..first + count),
            );
        }
        assert_eq!(told, ids);
        assert_eq!(worker.poll(), None);
    }
}

#[test]
fn a_stored_task_runs_in_the_next_server() {
    let folder = tempfile::tempdir().expect("there is a folder for it");
    let path = folder.path().join("tasks.log");
    let (served, mut worker) = start(&path);
    let first = deliver(&mut worker, task(b"first"));
    let later = deliver(
        &mut worker,
        NewTask {
            delay: 3_600_000,
            queue: 1,
            ..task(b"later")
        },
    );
    // Not a durable one.
    worker
        .worker
        .submit_task(NewTask {
            durable: false,
            ..task(b"gone")
        })
        .expect("there is room");
    drop((served, worker));

    let (served, mut worker) = start(&path);
    assert_eq!(served.server.task_status(first), Some(Status::Queued));
    assert_eq!(served.server.task_status(later), Some(Status::Delayed));
    assert_eq!(served.stats().task_queue, 1);
    let queues = served.server.task_list().queues;
    assert_eq!((queues[1].name.as_str(), queues[1].delayed), ("mail", 1));
    let mut tasks = served.worker_for(1, Role::Task);
    assert_eq!(run(&mut tasks, Outcome::Done, b""), b"first");
    assert_eq!(served.server.task_status(first), None);
    // Ids go on.
    assert!(deliver(&mut worker, task(b"next")) > later);
    assert_eq!(run(&mut tasks, Outcome::Done, b""), b"next");
    drop((served, worker, tasks));

    // What was done is not there again.
    let (served, _worker) = start(&path);
    assert_eq!(served.stats().task_queue, 0);
    assert_eq!(served.server.task_status(later), Some(Status::Delayed));
}

#[test]
fn failed_tasks_and_tries_are_kept() {
    let folder = tempfile::tempdir().expect("there is a folder for it");
    let path = folder.path().join("tasks.log");
    let (served, mut worker) = start(&path);
    let mut tasks = served.worker_for(1, Role::Task);
    let id = deliver(
        &mut worker,
        NewTask {
            tries: 2,
            ..task(b"input")
        },
    );
    run(&mut tasks, Outcome::Failed, b"{}");
    drop((served, worker, tasks));

    let (served, worker) = start(&path);
    let mut tasks = served.worker_for(1, Role::Task);
    assert_eq!(
        run(&mut tasks, Outcome::Failed, b"{\"second\":1}"),
        b"input"
    );
    drop((served, worker, tasks));

    let (served, worker) = start(&path);
    let failed = served.server.task_list().failed;
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (failed[0].id, failed[0].attempts, failed[0].end),
        (id, 2, 1)
    );
    assert_eq!(failed[0].error.as_deref(), Some("{\"second\":1}"));
    assert!(served.server.retry_task(id));
    drop((served, worker));

    let (served, _worker) = start(&path);
    assert_eq!(served.server.task_list().failed.len(), 0);
    let mut tasks = served.worker_for(1, Role::Task);
    assert_eq!(run(&mut tasks, Outcome::Done, b""), b"input");
}

#[test]
fn a_journal_that_cannot_be_used_refuses_the_start() {
    let folder = tempfile::tempdir().expect("there is a folder for it");
    let path = folder.path().join("tasks.log");
    let error = |path: &Path| {
        let error = Server::start(&config(path).to_string()).err();
        let error = error.expect("it cannot be used");
        assert_eq!(error.code(), ErrorCode::TasksJournal);
        error.to_string()
    };
    std::fs::write(&path, "[section]\nkey = something that is no journal\n").expect("it is ours");
    assert!(error(&path).contains("another kind of file"));
    assert!(error(&folder.path().join("missing/tasks.log")).contains("missing/tasks.log"));
    std::fs::remove_file(&path).expect("it is ours");
    let (_served, _worker) = start(&path);
    assert!(error(&path).contains("in use by another server"));
}

#[test]
fn a_stored_task_of_a_newer_version_refuses_the_start_and_stays() {
    use sluice_journal::{Fsync, Journal, Options};
    let folder = tempfile::tempdir().expect("there is a folder for it");
    let path = folder.path().join("tasks.log");
    let open = || {
        Journal::open(Options {
            path: path.clone(),
            fsync: Fsync::Always,
            backlog_max: 1 << 20,
        })
        .expect("it is a journal")
    };
    let opened = open();
    opened.journal.put(5, vec![2, 0, 0]).expect("there is room");
    opened.journal.start(|_| {}).expect("there is a thread");
    drop(opened);
    let error = Server::start(&config(&path).to_string()).err();
    let error = error.expect("it cannot be read").to_string();
    assert!(
        error.contains("task 5") && error.contains("found version 2, expected 1"),
        "{error}"
    );
    assert_eq!(open().stored.len(), 1);
}

#[test]
fn a_task_that_was_there_is_stored_when_somebody_wants_that() {
    let folder = tempfile::tempdir().expect("there is a folder for it");
    let path = folder.path().join("tasks.log");
    let (served, mut worker) = start(&path);
    let keyed = |durable| NewTask {
        key: Some("key".into()),
        durable,
        ..task(b"input")
    };
    let first = worker.worker.submit_task(keyed(false));
    let id = first.expect("there is room").id;
    assert_eq!(deliver(&mut worker, keyed(true)), id);
    drop((served, worker));

    let (served, _worker) = start(&path);
    assert_eq!(served.server.task_status(id), Some(Status::Queued));
}

#[test]
fn what_could_not_be_stored_is_stored_when_it_is_wanted_again() {
    let folder = tempfile::tempdir().expect("there is a folder for it");
    let path = folder.path().join("tasks.log");
    let mut config = config(&path);
    config["tasks"]["bytes"] = json!(256 << 20);
    let served = Served::start(&config);
    let mut worker = served.worker(0);
    // As much as may wait for the disk.
    let large = worker
        .worker
        .submit_task(task(&vec![0; 65 << 20]))
        .expect("there is room")
        .id;
    let keyed = || NewTask {
        key: Some("key".into()),
        ..task(b"input")
    };
    let id = worker
        .worker
        .submit_task(keyed())
        .expect("there is room")
        .id;
    let (refused, end, why) = news(&mut worker);
    assert_eq!((refused, end), (id, 8));
    assert!(why.contains("is too slow"), "{why}");
    assert_eq!(stored(&mut worker), [(large, 1)]);
    assert_eq!(deliver(&mut worker, keyed()), id);
    let stats = served.stats().tasks_journal.expect("there is one");
    assert_eq!((stats.records, stats.refused), (2, 1));
    drop((served, worker));

    let (served, _worker) = start(&path);
    assert_eq!(served.server.task_status(id), Some(Status::Queued));
}

#[test]
fn a_damaged_journal_is_told_and_kept() {
    let folder = tempfile::tempdir().expect("there is a folder for it");
    let path = folder.path().join("tasks.log");
    let (served, mut worker) = start(&path);
    let first = deliver(&mut worker, task(&[1; 100]));
    let second = deliver(&mut worker, task(&[2; 100]));
    deliver(&mut worker, task(&[3; 100]));
    drop((served, worker));
    let mut bytes = std::fs::read(&path).expect("it is there");
    let input = bytes.windows(100).position(|bytes| bytes == [2; 100]);
    bytes[input.expect("it is stored")] ^= 1;
    std::fs::write(&path, bytes).expect("it is ours");

    let (served, _worker) = start(&path);
    assert_eq!(served.server.task_status(first), Some(Status::Queued));
    assert_eq!(served.server.task_status(second), None);
    served.notice("the damage", |notice| match notice {
        Notice::Journal { message } => message.contains("kept as") && message.contains(".damaged"),
        _ => false,
    });
    assert!(folder.path().join("tasks.log.damaged").exists());
}
