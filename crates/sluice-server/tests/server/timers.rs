//! Shared timers: from a name to a worker's record, and what becomes of calls whose worker ends.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use sluice_server::{Calling, Notice, Outcome, Role, SetError};
use sluice_shared::record::AdoptReason;

use super::support::{LIMIT, Served, WorkerDouble, config_with};

fn after(served: &Served, name: &str, ms: u64) {
    let is_new = served
        .server
        .set_timer(name, "task", Calling::default(), name.as_bytes(), ms, false)
        .expect("it can be set");
    assert!(is_new, "{name}");
}

fn every(served: &Served, name: &str, ms: u64) {
    let is_new = served
        .server
        .set_timer(name, "task", Calling::default(), name.as_bytes(), ms, true)
        .expect("it can be set");
    assert!(is_new, "{name}");
}

fn drained(served: &Served, worker: &WorkerDouble) -> bool {
    let slot = worker.slot.0;
    served
        .notices()
        .iter()
        .any(|notice| matches!(notice, Notice::Drained { slot: drained } if *drained == slot))
}

#[test]
fn a_timer_calls_its_task_once_and_in_one_worker() {
    let served = Served::new();
    let mut workers = [served.worker(0), served.worker(1)];
    let started = Instant::now();
    for number in 0..100 {
        after(&served, &format!("t{number}"), 20);
    }
    assert_eq!(
        (served.stats().timers, served.server.timer_names().len()),
        (100, 100)
    );
    let mut seen = BTreeSet::new();
    // All are due by then; each worker gets what it is to have.
    served.until("the calls", |stats| stats.tasking == 100);
    assert!(started.elapsed() >= Duration::from_millis(20));
    for worker in &mut workers {
        for _ in 0..50 {
            let task = worker.task("every second call");
            assert_eq!(task.task, "task");
            worker.run(&task);
            assert!(seen.insert(task.input));
        }
        assert_eq!(worker.poll(), None);
    }
    let stats = served.stats();
    assert_eq!(
        (
            stats.timers,
            stats.tasking,
            stats.task_queue,
            stats.task_count
        ),
        (0, 0, 0, 100)
    );
}

#[test]
fn a_name_is_taken_until_its_call_begins() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let set = || {
        served
            .server
            .set_timer("a", "task", Calling::default(), b"", 1, false)
    };
    assert!(set().expect("it can be set") && !set().expect("nothing is wrong"));
    let task = worker.task("the call");
    assert!(served.server.has_timer("a") && !set().expect("nothing is wrong"));
    let info = served.server.timer_info("a").expect("it waits");
    assert_eq!((info.interval, info.count), (0, 0));
    assert!(worker.worker.begin_call(task.id));
    assert!(!served.server.has_timer("a") && served.server.timer_info("a").is_none());
    assert!(set().expect("its name is free"));
    worker.worker.end_call(task.id, Outcome::Failed, b"");
    let task = worker.task("the next call");
    worker.run(&task);
    assert_eq!(served.stats().tasks_failed, 1);
}

#[test]
fn a_repeating_timer_calls_in_its_phase() {
    let served = Served::new();
    let mut worker = served.worker(0);
    every(&served, "a", 5);
    let first = served.server.timer_info("a").expect("it is set").next;
    for count in 1..=20 {
        let task = worker.task("a tick");
        worker.run(&task);
        let info = served.server.timer_info("a").expect("it goes on");
        assert_eq!((info.interval, info.count), (5, count));
        assert_eq!((info.next - first) % 5, 0);
    }
    assert!(served.server.clear_timer("a") && !served.server.clear_timer("a"));
    assert_eq!(served.stats().timers, 0);
}

#[test]
fn ticks_wait_as_one_while_there_is_no_worker() {
    let served = Served::new();
    every(&served, "a", 1);
    let skipped = served.until("skipped ticks", |stats| stats.ticks_skipped >= 5);
    assert_eq!((skipped.task_queue, skipped.tasking), (1, 0));
    let mut worker = served.worker(0);
    let task = worker.task("the tick that waited");
    assert!(served.server.clear_timer("a"));
    assert!(!worker.worker.begin_call(task.id));
    assert_eq!(served.stats().tasking, 0);
}

#[test]
fn ticks_of_a_timer_do_not_overlap() {
    let served = Served::new();
    let mut worker = served.worker(0);
    every(&served, "a", 1);
    let task = worker.task("a tick");
    assert!(worker.worker.begin_call(task.id));
    served.until("skipped ticks", |stats| stats.ticks_skipped >= 10);
    assert_eq!(worker.poll(), None);
    worker.worker.end_call(task.id, Outcome::Done, b"");
    worker.task("the next tick");
}

#[test]
fn what_a_dead_worker_has_not_begun_goes_to_another_and_nothing_twice() {
    let served = Served::new();
    let mut doomed = served.worker(0);
    for name in ["a", "b", "c"] {
        after(&served, name, 1);
    }
    let begun = doomed.task("the first call");
    let read = doomed.task("the second call");
    assert!(doomed.worker.begin_call(begun.id));
    served.until("the third", |stats| stats.tasking == 3);
    let slot = doomed.slot;
    assert!(served.server.write_off_worker(slot));
    served.gone(slot);
    // It was written off, and goes on.
    assert!(!doomed.worker.begin_call(read.id));
    doomed.worker.end_call(begun.id, Outcome::Done, b"");
    let mut heir = served.worker(0);
    for name in ["b", "c"] {
        let task = heir.task("what was not begun");
        assert_eq!(task.input, name.as_bytes());
        assert_ne!(task.id, read.id);
        heir.run(&task);
    }
    let stats = served.stats();
    assert_eq!(
        (stats.tasks_lost, stats.task_count, stats.tasking),
        (1, 3, 0)
    );
}

#[test]
fn a_repeating_timer_survives_the_death_of_its_worker() {
    let served = Served::new();
    let mut doomed = served.worker(0);
    every(&served, "a", 1);
    let task = doomed.task("a tick");
    assert!(doomed.worker.begin_call(task.id));
    let slot = doomed.slot;
    drop(doomed);
    served.gone(slot);
    let mut heir = served.worker(0);
    for _ in 0..3 {
        let task = heir.task("a tick");
        heir.run(&task);
    }
    assert_eq!(served.stats().tasks_lost, 1);
}

#[test]
fn a_draining_worker_is_not_drained_before_its_calls_are_over() {
    let served = Served::new();
    let mut worker = served.worker(0);
    after(&served, "a", 1);
    after(&served, "b", 1);
    let task = worker.task("the call");
    let other = worker.task("the other call");
    assert!(worker.worker.begin_call(task.id));
    served.server.drain_worker(worker.slot, AdoptReason::Reload);
    let mut heir = served.worker(1);
    after(&served, "c", 1);
    assert_eq!(heir.task("what comes later").input, b"c");
    assert!(!drained(&served, &worker));
    worker.worker.end_call(task.id, Outcome::Done, b"");
    assert!(!drained(&served, &worker));
    worker.run(&other);
    served.notice("the drain", |notice| {
        matches!(notice, Notice::Drained { .. })
    });
}

#[test]
fn a_call_that_is_withdrawn_does_not_hold_a_draining_worker() {
    for all in [false, true] {
        let served = Served::new();
        let mut worker = served.worker(0);
        after(&served, "a", 1);
        let task = worker.task("the call");
        served.server.drain_worker(worker.slot, AdoptReason::Reload);
        if all {
            assert_eq!(served.server.clear_timers(), 1);
        } else {
            assert!(served.server.clear_timer("a"));
        }
        served.notice("the drain", |notice| {
            matches!(notice, Notice::Drained { .. })
        });
        assert!(!worker.worker.begin_call(task.id));
    }
}

#[test]
fn a_worker_has_256_calls_in_its_hands_and_the_rest_waits() {
    let served = Served::new();
    let mut worker = served.worker(0);
    for number in 0..300 {
        after(&served, &format!("t{number}"), 1);
    }
    let stats = served.until("all calls", |stats| stats.task_queue + stats.tasking == 300);
    assert!(stats.tasking <= 256);
    let mut tasks = Vec::new();
    for _ in 0..256 {
        let task = worker.task("a call");
        assert!(worker.worker.begin_call(task.id));
        tasks.push(task);
    }
    assert_eq!(worker.poll(), None);
    for task in tasks.drain(..44) {
        worker.worker.end_call(task.id, Outcome::Done, b"");
    }
    for _ in 0..44 {
        worker.task("a call that waited");
    }
}

#[test]
fn a_call_that_is_withdrawn_makes_room_for_one_that_waits() {
    let served = Served::new();
    let mut worker = served.worker(0);
    for number in 0..257 {
        after(&served, &format!("t{number}"), 1);
        // One after the other: the last one waits.
        served.until("the call", |stats| {
            stats.task_queue + stats.tasking == number + 1
        });
    }
    served.until("a full hand", |stats| stats.tasking == 256);
    for number in 0..256 {
        assert!(served.server.clear_timer(&format!("t{number}")));
    }
    served.until("the last call", |stats| stats.tasking == 1);
    for _ in 0..256 {
        let task = worker.task("a call");
        assert!(!worker.worker.begin_call(task.id));
    }
    let last = worker.task("the last call");
    assert_eq!(last.input, b"t256");
    worker.run(&last);
}

#[test]
fn large_inputs_pass_a_ring_that_holds_only_some_of_them() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut input = vec![0; 64 * 1024];
    for number in 0..100_u8 {
        input[0] = number;
        let name = format!("t{number}");
        let is_new = served
            .server
            .set_timer(&name, "task", Calling::default(), &input, 1, false);
        assert!(is_new.expect("it can be set"));
    }
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let task = worker.task("a call");
        assert_eq!(task.input.len(), 64 * 1024);
        assert!(seen.insert(task.input[0]));
        worker.run(&task);
    }
}

#[test]
fn what_cannot_be_set_is_refused() {
    let served = Served::start(&config_with(json!({}), json!({ "timers": { "max": 2 } })));
    let set = |name: &str, task: &str, input: usize| {
        served.server.set_timer(
            name,
            task,
            Calling::default(),
            &vec![0; input],
            1_000,
            false,
        )
    };
    let long = "x".repeat(256);
    assert!(matches!(set("", "task", 0), Err(SetError::Name)));
    assert!(matches!(set(&long, "task", 0), Err(SetError::Name)));
    assert!(matches!(set("a", "", 0), Err(SetError::Name)));
    assert!(matches!(set("a", &long, 0), Err(SetError::Name)));
    assert!(matches!(
        set("a", "task", 65_537),
        Err(SetError::Input(65_537))
    ));
    assert!(set(&long[1..], &long[1..], 65_536).expect("all is as long as it may be"));
    assert!(set("b", "task", 0).expect("there is room"));
    assert!(matches!(set("c", "task", 0), Err(SetError::Full)));
    assert!(!set("b", "task", 0).expect("nothing is wrong"));
}

#[test]
fn a_timer_that_is_due_earlier_wakes_the_thread() {
    let served = Served::new();
    let mut worker = served.worker(0);
    after(&served, "late", 3_600_000);
    let started = Instant::now();
    for round in 0..20 {
        after(&served, &format!("early{round}"), 2);
        let task = worker.task("the early call");
        worker.run(&task);
    }
    assert!(started.elapsed() < LIMIT);
    assert!(served.server.has_timer("late"));
}

#[test]
fn a_server_that_stops_begins_no_call_and_ends_with_timers_set() {
    let served = Served::new();
    let mut worker = served.worker(0);
    every(&served, "a", 1);
    let task = worker.task("a tick");
    served.server.stop(0, 1001);
    served.notice("the stop", |notice| matches!(notice, Notice::Stopped));
    worker.run(&task);
    served.until("a tick", |stats| stats.task_queue == 1);
    assert_eq!(worker.poll(), None);
    served.server.release();
    served.server.release();
}

#[test]
fn a_call_is_tried_as_its_task_says() {
    let served = Served::start(&config_with(
        json!({}),
        json!({ "tasks": { "workers": 1 } }),
    ));
    let mut tasks = served.worker_for(1, Role::Task);
    let calling = Calling {
        tries: 2,
        timeout: 60_000,
        has_failed: true,
        ..Calling::default()
    };
    let set = |calling| {
        let server = &served.server;
        server.set_timer("again", "task", calling, b"input", 1, false)
    };
    assert!(matches!(
        set(Calling {
            queue: 1,
            ..calling
        }),
        Err(SetError::Place)
    ));
    assert!(set(calling).expect("there is room"));
    for attempt in 1..=2 {
        let call = tasks.task("a try");
        assert_eq!(served.stats().task_count, attempt - 1);
        assert!(tasks.worker.begin_call(call.id));
        // Its name is free with the first try.
        assert!(!served.server.has_timer("again"));
        assert!(tasks.worker.end_call(call.id, Outcome::Failed, b"{}"));
    }
    let failed = tasks.task("what follows the last try");
    assert_eq!(failed.input, b"input");
    tasks.run(&failed);
    let stats = served.until("the end", |stats| stats.tasking == 0);
    assert_eq!(
        (stats.task_count, stats.tasks_retried, stats.tasks_failed),
        (2, 1, 1)
    );
}
