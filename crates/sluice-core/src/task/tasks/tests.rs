use std::sync::Arc;

use super::submit::ORIGINS_MAX;
use super::*;
use crate::id::WorkerSlot;
use crate::task::{
    Backoff, Cancel, End, JournalOp, NewTask, Origin, Outcome, Rate, RestoredTask, Status,
    SubmitError, Submitted, What,
};

mod model;

const A: WorkerSlot = WorkerSlot(0);
const B: WorkerSlot = WorkerSlot(1);
const POOL: PoolId = PoolId(1);
const LIMITS: Limits = Limits {
    tasks: 1_000,
    bytes: 10_000,
    keep_failed: 10,
    journal: false,
    worker_ids: 100,
    pinned_wait: 100_000,
};

/// Of whom nobody has told yet.
const ME: Origin = Origin::Worker {
    slot: WorkerSlot(90),
    generation: 1,
};

fn spec(name: &str) -> QueueSpec {
    QueueSpec {
        name: name.to_owned(),
        pool: POOL,
        concurrency: 0,
        rate: None,
        is_bounded: true,
    }
}

/// One queue, and two workers with ids 10 and 11 and two places each.
fn two() -> Tasks {
    with(LIMITS, vec![spec("default")])
}

fn with(limits: Limits, queues: Vec<QueueSpec>) -> Tasks {
    let mut tasks = Tasks::new(limits, queues, 1);
    tasks.worker_here(A, 1, 10, POOL, 2);
    tasks.worker_here(B, 1, 11, POOL, 2);
    tasks
}

fn task(name: &str) -> NewTask {
    task_of(&name.into(), &Payload::from(name.as_bytes()))
}

fn keyed(name: &str, key: &str) -> NewTask {
    NewTask {
        key: Some(key.into()),
        ..task(name)
    }
}

fn submit(tasks: &mut Tasks, now: u64, task: NewTask) -> TaskId {
    tasks.submit(now, task).expect("there is room").id
}

fn outputs(tasks: &mut Tasks, now: u64) -> Vec<Output> {
    std::iter::from_fn(|| tasks.next_output(now)).collect()
}

/// A call, as tests look at it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    slot: WorkerSlot,
    call: CallId,
    name: String,
    mode: Mode,
    attempt: u32,
}

/// The calls that come out; nothing else is expected but that places are free again.
fn calls(tasks: &mut Tasks, now: u64) -> Vec<Seen> {
    let mut calls = Vec::new();
    for output in outputs(tasks, now) {
        match output {
            Output::Call {
                slot,
                call,
                name,
                mode,
                attempt,
                ..
            } => calls.push(Seen {
                slot,
                call,
                name: name.to_string(),
                mode,
                attempt,
            }),
            Output::Released { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    calls
}

/// Like [`calls`], begun.
fn begin(tasks: &mut Tasks, now: u64) -> Vec<Seen> {
    let calls = calls(tasks, now);
    for call in &calls {
        assert!(tasks.begin(now, call.slot, call.call));
    }
    calls
}

fn bytes(text: &str) -> Payload {
    Payload::from(text.as_bytes())
}

fn end(tasks: &mut Tasks, now: u64, call: &Seen, outcome: Outcome, text: &str) {
    assert!(tasks.end(now, call.slot, call.call, outcome, bytes(text)));
}

/// Origins, ends, attempts and bytes of the results among the outputs.
fn results(tasks: &mut Tasks, now: u64) -> Vec<(Origin, End, u32, String)> {
    let results = outputs(tasks, now)
        .into_iter()
        .filter_map(|output| match output {
            Output::Result {
                origin,
                end,
                attempts,
                bytes,
                ..
            } => Some((
                origin,
                end,
                attempts,
                String::from_utf8_lossy(&bytes).into_owned(),
            )),
            _ => None,
        });
    results.collect()
}

fn names(calls: &[Seen]) -> Vec<&str> {
    calls.iter().map(|call| &*call.name).collect()
}

#[test]
fn a_task_is_called_once_and_its_origin_hears_the_result() {
    let mut tasks = two();
    let id = submit(&mut tasks, 5, task("mail"));
    assert_eq!(tasks.status(id), Some(Status::Queued));
    let first = calls(&mut tasks, 5);
    assert_eq!((names(&first), first[0].attempt), (vec!["mail"], 1));
    assert_eq!(tasks.status(id), Some(Status::Running));
    assert!(
        !tasks.begin(5, B, first[0].call),
        "it is in another's hands"
    );
    assert!(tasks.begin(5, A, first[0].call) && !tasks.begin(5, A, first[0].call));
    assert!(!tasks.end(6, B, first[0].call, Outcome::Done, bytes("")));
    end(&mut tasks, 6, &first[0], Outcome::Done, "sent");
    assert_eq!(
        outputs(&mut tasks, 6),
        [
            Output::Released { slot: A },
            Output::Result {
                origin: ME,
                task: id,
                end: End::Done,
                attempts: 1,
                bytes: bytes("sent"),
            }
        ]
    );
    assert_eq!(tasks.status(id), None);
    assert_eq!(tasks.cancel(6, id), Cancel::Unknown);
    let stats = tasks.stats();
    assert_eq!((stats.tasks, stats.bytes, stats.handed), (0, 0, 0));
    assert_eq!((stats.total.done, stats.total.begun), (1, 1));
    assert_eq!(submit(&mut tasks, 7, task("next")), id + 1);
}

#[test]
fn what_fails_is_tried_again_after_its_back_off_and_then_kept() {
    let mut tasks = two();
    let backoff = Backoff::Exponential {
        base: 100,
        max: 1_000,
        jitter: false,
    };
    let id = submit(
        &mut tasks,
        0,
        NewTask {
            tries: 3,
            backoff,
            ..task("mail")
        },
    );
    for (now, next) in [(0, 100), (100, 300)] {
        tasks.tick(now);
        let calls = begin(&mut tasks, now);
        end(&mut tasks, now, &calls[0], Outcome::Failed, "no");
        assert_eq!(results(&mut tasks, now), []);
        assert_eq!(tasks.status(id), Some(Status::Delayed));
        tasks.tick(next - 1);
        assert_eq!(begin(&mut tasks, next - 1), []);
    }
    tasks.tick(300);
    let last = begin(&mut tasks, 300);
    assert_eq!(last[0].attempt, 3);
    end(&mut tasks, 300, &last[0], Outcome::Failed, "never");
    let expected = (ME, End::Failed, 3, "never".to_owned());
    assert_eq!(results(&mut tasks, 300), [expected]);
    let kept = tasks.failed().next().expect("it is kept");
    assert_eq!((kept.id, kept.attempts, kept.at), (id, 3, 300));
    assert_eq!(*kept.error, *b"never");
    assert!(tasks.retry(400, id) && !tasks.retry(400, id));
    let again = begin(&mut tasks, 400);
    assert_eq!((names(&again), again[0].attempt), (vec!["mail"], 1));
    assert_eq!(tasks.status(id), Some(Status::Running));
    assert_eq!(tasks.stats().kept, 0);
}

#[test]
fn a_task_that_nobody_knows_fails_at_once() {
    let mut tasks = two();
    submit(
        &mut tasks,
        0,
        NewTask {
            tries: 5,
            has_failed: true,
            ..task("x")
        },
    );
    let call = begin(&mut tasks, 0);
    end(&mut tasks, 0, &call[0], Outcome::Unknown, "");
    assert_eq!(
        results(&mut tasks, 0),
        [(ME, End::Unknown, 1, String::new())]
    );
    assert_eq!((tasks.stats().tasks, tasks.stats().kept), (0, 1));
}

#[test]
fn a_time_out_tries_again_while_the_call_keeps_its_place() {
    let mut tasks = two();
    tasks.worker_leaving(0, B);
    for name in ["a", "b"] {
        let timeout = if name == "a" { 50 } else { 0 };
        submit(
            &mut tasks,
            0,
            NewTask {
                tries: 2,
                timeout,
                ..task(name)
            },
        );
    }
    let first = begin(&mut tasks, 10);
    assert_eq!(names(&first), ["a", "b"]);
    assert!(tasks.next_due().is_some_and(|due| due <= 60));
    tasks.tick(59);
    assert_eq!(outputs(&mut tasks, 59), []);
    tasks.tick(60);
    let call = first[0].call;
    let why = Why::TimedOut;
    assert_eq!(
        outputs(&mut tasks, 60),
        [Output::Abort { slot: A, call, why }],
        "it waits, as the worker has no place"
    );
    assert_eq!((tasks.in_hand(A), tasks.is_overdue(A)), (2, true));
    assert!(!tasks.progress(A, call, bytes("late")));
    end(&mut tasks, 70, &first[0], Outcome::Done, "too late");
    assert!(!tasks.is_overdue(A));
    let second = begin(&mut tasks, 70);
    assert_eq!((names(&second), second[0].attempt), (vec!["a"], 2));
    tasks.tick(120);
    assert_eq!(
        results(&mut tasks, 120),
        [(ME, End::TimedOut, 2, String::new())]
    );
    end(&mut tasks, 130, &second[0], Outcome::Failed, "too late");
    assert_eq!(results(&mut tasks, 130), []);
    assert_eq!((tasks.in_hand(A), tasks.stats().kept), (1, 1));
}

#[test]
fn a_worker_that_dies_gives_back_what_it_had_not_begun() {
    let mut tasks = two();
    tasks.worker_leaving(0, B);
    for name in ["a", "b", "c"] {
        submit(
            &mut tasks,
            0,
            NewTask {
                tries: 2,
                ..task(name)
            },
        );
    }
    let first = calls(&mut tasks, 0);
    assert_eq!(names(&first), ["a", "b"]);
    assert!(tasks.begin(0, A, first[0].call));
    tasks.worker_gone(1, A);
    assert_eq!(
        calls(&mut tasks, 1),
        [],
        "one that leaves gets nothing either"
    );
    tasks.worker_here(B, 2, 11, POOL, 5);
    let second = calls(&mut tasks, 1);
    assert_eq!(names(&second), ["b", "c", "a"]);
    let attempts: Vec<u32> = second.iter().map(|call| call.attempt).collect();
    assert_eq!(attempts, [1, 1, 2]);
    assert!(
        !tasks.begin(1, A, first[1].call)
            && !tasks.end(1, A, first[0].call, Outcome::Done, bytes(""))
    );
    assert!(tasks.begin(1, B, second[2].call));
    tasks.worker_gone(2, B);
    assert_eq!(
        results(&mut tasks, 2),
        [(ME, End::WorkerLost, 2, String::new())]
    );
}

#[test]
fn every_call_is_released_once_however_it_ends() {
    let mut tasks = two();
    for name in ["a", "b", "c", "d"] {
        submit(&mut tasks, 0, task(name));
    }
    let all = begin(&mut tasks, 0);
    assert_eq!(all.len(), 4);
    let released = |tasks: &mut Tasks| {
        let all = outputs(tasks, 0);
        all.iter()
            .filter(|output| matches!(output, Output::Released { .. }))
            .count()
    };
    end(&mut tasks, 0, &all[0], Outcome::Done, "");
    assert_eq!(released(&mut tasks), 1);
    assert_eq!(tasks.cancel(0, 2), Cancel::Running);
    assert_eq!(released(&mut tasks), 0);
    tasks.worker_gone(0, A);
    tasks.worker_gone(0, B);
    assert_eq!(released(&mut tasks), 3);
    assert_eq!(tasks.stats().handed, 0);
}

#[test]
fn a_task_is_cancelled_wherever_it_is() {
    let mut tasks = two();
    let delayed = submit(
        &mut tasks,
        0,
        NewTask {
            delay: 10,
            ..task("delayed")
        },
    );
    assert_eq!(tasks.status(delayed), Some(Status::Delayed));
    assert_eq!(tasks.cancel(0, delayed), Cancel::Done);
    let queued = submit(&mut tasks, 0, task("queued"));
    assert_eq!(tasks.cancel(0, queued), Cancel::Done);
    let ended = (ME, End::Cancelled, 0, String::new());
    assert_eq!(results(&mut tasks, 0), [ended.clone(), ended.clone()]);

    let handed = submit(&mut tasks, 0, task("handed"));
    let call = calls(&mut tasks, 0);
    assert_eq!(tasks.cancel(0, handed), Cancel::Done);
    assert!(!tasks.begin(0, A, call[0].call));
    assert_eq!(results(&mut tasks, 0), [ended]);
    assert_eq!(tasks.in_hand(A), 0);

    let running = submit(&mut tasks, 0, task("running"));
    let call = begin(&mut tasks, 0);
    assert_eq!(tasks.cancel(0, running), Cancel::Running);
    assert_eq!(
        outputs(&mut tasks, 0),
        [
            Output::Abort {
                slot: call[0].slot,
                call: call[0].call,
                why: Why::Cancelled
            },
            Output::Result {
                origin: ME,
                task: running,
                end: End::Cancelled,
                attempts: 1,
                bytes: bytes("")
            }
        ]
    );
    end(&mut tasks, 0, &call[0], Outcome::Failed, "aborted");
    assert_eq!(results(&mut tasks, 0), []);
    tasks.tick(1_000);
    assert_eq!(calls(&mut tasks, 1_000), []);
    assert_eq!((tasks.stats().tasks, tasks.stats().kept), (0, 0));
}

#[test]
fn a_key_is_one_task_whose_origins_all_hear() {
    let mut tasks = two();
    let worker = Origin::Worker {
        slot: A,
        generation: 1,
    };
    let first = tasks.submit(0, keyed("a", "k")).expect("there is room");
    let mut again = keyed("a", "k");
    again.origin = worker;
    let second = tasks.submit(0, again).expect("there is room");
    assert_eq!((second.id, second.is_new), (first.id, false));
    let other = tasks.submit(0, keyed("b", "k")).expect("there is room");
    assert!(other.is_new, "keys are those of a name");
    let call = begin(&mut tasks, 0);
    assert_eq!(names(&call), ["a", "b"]);
    end(&mut tasks, 0, &call[0], Outcome::Done, "1");
    let heard: Vec<Origin> = results(&mut tasks, 0).iter().map(|one| one.0).collect();
    assert_eq!(heard, [ME, worker]);
    assert!(tasks.submit(0, keyed("a", "k")).is_ok_and(|new| new.is_new));
    for _ in 1..ORIGINS_MAX {
        assert!(tasks.submit(0, keyed("a", "k")).is_ok());
    }
    let what = What::Origins;
    assert_eq!(
        tasks.submit(0, keyed("a", "k")),
        Err(SubmitError::Full { what })
    );
}

#[test]
fn progress_and_results_go_to_origins_that_are_there() {
    let mut tasks = two();
    let of = |generation| Origin::Worker {
        slot: B,
        generation,
    };
    for (name, origin) in [("a", of(1)), ("b", of(0)), ("c", Origin::Nobody)] {
        submit(
            &mut tasks,
            0,
            NewTask {
                origin,
                ..task(name)
            },
        );
    }
    let calls = begin(&mut tasks, 0);
    for call in &calls {
        assert!(tasks.progress(call.slot, call.call, bytes("half")));
    }
    assert_eq!(
        outputs(&mut tasks, 0),
        [Output::Progress {
            origin: of(1),
            task: 1,
            bytes: bytes("half")
        }]
    );
    for call in &calls {
        end(&mut tasks, 0, call, Outcome::Done, "");
    }
    assert_eq!(
        results(&mut tasks, 0),
        [(of(1), End::Done, 1, String::new())]
    );
}

#[test]
fn finish_runs_where_its_task_came_from_or_anywhere_in_the_first_pool() {
    let mut tasks = two();
    let (c, d) = (WorkerSlot(2), WorkerSlot(3));
    tasks.worker_here(c, 1, 0, PoolId(0), 1);
    tasks.worker_here(d, 1, 1, PoolId(0), 1);
    let from = |slot| NewTask {
        has_finish: true,
        origin: Origin::Worker {
            slot,
            generation: 1,
        },
        ..task("a")
    };
    for slot in [d, d, B, c] {
        submit(&mut tasks, 0, from(slot));
    }
    for call in begin(&mut tasks, 0) {
        end(&mut tasks, 0, &call, Outcome::Done, "result");
    }
    let stats = tasks.stats();
    assert_eq!((stats.tasks, stats.after, stats.bytes), (4, 4, 4 * 7));
    let all: Vec<Output> = outputs(&mut tasks, 0);
    let mut finishing = Vec::new();
    for output in all {
        if let Output::Call {
            slot,
            call,
            mode,
            extra,
            attempt,
            ..
        } = output
        {
            assert_eq!((mode, &*extra, attempt), (Mode::Finish, &b"result"[..], 1));
            finishing.push((slot, call));
        }
    }
    let slots: Vec<WorkerSlot> = finishing.iter().map(|call| call.0).collect();
    assert_eq!(slots, [d, B, c], "the second one of d waits for its place");
    for &(slot, call) in &finishing[1..] {
        assert!(tasks.begin(0, slot, call));
        assert!(tasks.end(0, slot, call, Outcome::Failed, bytes("")));
    }
    tasks.worker_gone(0, d);
    let rest = calls(&mut tasks, 0);
    assert_eq!((rest.len(), rest[0].slot), (1, c), "it had not begun");
    assert!(tasks.begin(0, c, rest[0].call));
    end(&mut tasks, 0, &rest[0], Outcome::Done, "");
    assert_eq!(begin(&mut tasks, 0).len(), 1);
    tasks.worker_gone(0, c);
    assert_eq!((tasks.stats().tasks, tasks.stats().bytes), (0, 0));
}

#[test]
fn failed_runs_in_the_pool_of_the_queue_after_the_last_try() {
    let mut tasks = two();
    submit(
        &mut tasks,
        0,
        NewTask {
            has_failed: true,
            tries: 2,
            timeout: 5,
            ..task("a")
        },
    );
    let first = begin(&mut tasks, 0);
    end(&mut tasks, 0, &first[0], Outcome::Failed, "no");
    begin(&mut tasks, 0);
    tasks.tick(5);
    let called = outputs(&mut tasks, 5)
        .into_iter()
        .find_map(|output| match output {
            Output::Call {
                slot,
                call,
                mode,
                end,
                attempt,
                ..
            } => Some((slot, call, mode, end, attempt)),
            _ => None,
        });
    let Some((slot, call, Mode::Failed, End::TimedOut, 2)) = called else {
        panic!("{called:?}");
    };
    assert!(tasks.begin(5, slot, call));
    tasks.tick(10);
    let why = Why::TimedOut;
    assert_eq!(
        outputs(&mut tasks, 10),
        [Output::Abort { slot, call, why }],
        "it has as much time as a try"
    );
    let stats = tasks.stats();
    assert_eq!((stats.tasks, stats.kept, stats.total.failed), (0, 1, 1));
}

#[test]
fn a_task_for_one_worker_waits_for_it() {
    let mut tasks = two();
    let pin = |name: &str, worker, priority| NewTask {
        worker: Some(worker),
        priority,
        ..task(name)
    };
    submit(&mut tasks, 0, pin("b", 11, 0));
    submit(&mut tasks, 0, pin("later", 7, 9));
    submit(&mut tasks, 0, task("any"));
    submit(&mut tasks, 0, pin("first", 11, 5));
    let first = calls(&mut tasks, 0);
    assert_eq!(names(&first), ["first", "b", "any"]);
    let slots: Vec<u16> = first.iter().map(|call| call.slot.0).collect();
    assert_eq!(slots, [1, 1, 0]);
    tasks.worker_here(WorkerSlot(9), 3, 7, PoolId(4), 1);
    let last = calls(&mut tasks, 0);
    assert_eq!((names(&last), last[0].slot), (vec!["later"], WorkerSlot(9)));
}

#[test]
fn a_queue_runs_no_more_at_once_than_it_may() {
    let narrow = QueueSpec {
        concurrency: 1,
        ..spec("narrow")
    };
    let mut tasks = with(LIMITS, vec![spec("default"), narrow]);
    for queue in [1, 1, 1, 0] {
        submit(
            &mut tasks,
            0,
            NewTask {
                queue,
                timeout: 5,
                tries: 2,
                ..task(["d", "n"][usize::from(queue)])
            },
        );
    }
    let first = begin(&mut tasks, 0);
    assert_eq!(names(&first), ["n", "d"]);
    tasks.tick(5);
    let aborted = outputs(&mut tasks, 5);
    assert_eq!(
        aborted
            .iter()
            .filter(|output| matches!(output, Output::Call { .. }))
            .count(),
        1,
        "the handler of the narrow one runs on: {aborted:?}"
    );
    end(&mut tasks, 6, &first[0], Outcome::Done, "");
    assert_eq!(names(&begin(&mut tasks, 6)), ["n"]);
}

#[test]
fn a_queue_begins_no_more_often_than_it_may_and_says_when() {
    let slow = QueueSpec {
        rate: Some(Rate { limit: 1, per: 100 }),
        ..spec("slow")
    };
    let mut tasks = with(LIMITS, vec![slow]);
    for name in ["a", "b"] {
        submit(&mut tasks, 1_000, task(name));
    }
    let first = begin(&mut tasks, 1_000);
    assert_eq!((names(&first), tasks.next_due()), (vec!["a"], Some(1_100)));
    end(&mut tasks, 1_000, &first[0], Outcome::Done, "");
    results(&mut tasks, 1_000);
    assert_eq!(begin(&mut tasks, 1_099), []);
    assert_eq!(names(&begin(&mut tasks, 1_100)), ["b"]);
    assert_eq!(tasks.next_due(), None);
}

#[test]
fn queues_take_turns() {
    let mut tasks = with(LIMITS, vec![spec("one"), spec("two")]);
    tasks.worker_gone(0, A);
    tasks.worker_here(B, 1, 11, POOL, 1);
    for queue in [0, 0, 0, 0, 1, 1] {
        let name = ["one", "two"][usize::from(queue)];
        submit(
            &mut tasks,
            0,
            NewTask {
                queue,
                ..task(name)
            },
        );
    }
    let mut order = Vec::new();
    while let Some(Output::Call {
        slot, call, name, ..
    }) = tasks.next_output(0)
    {
        assert!(tasks.begin(0, slot, call));
        assert!(tasks.end(0, slot, call, Outcome::Done, bytes("")));
        assert_eq!(tasks.next_output(0), Some(Output::Released { slot }));
        assert!(matches!(tasks.next_output(0), Some(Output::Result { .. })));
        order.push(name.to_string());
    }
    assert_eq!(order, ["one", "two", "one", "two", "one", "one"]);
}

#[test]
fn nothing_is_kept_beyond_its_bound() {
    let limits = Limits {
        tasks: 3,
        bytes: 10,
        keep_failed: 2,
        journal: false,
        ..LIMITS
    };
    let mut tasks = with(limits, vec![spec("default")]);
    let full = |what| Err(SubmitError::Full { what });
    assert_eq!(tasks.submit(0, task("elevenbytes")), full(What::Bytes));
    assert_eq!(tasks.submit(0, keyed("sevenbt", "four")), full(What::Bytes));
    for name in ["a", "b", "c"] {
        submit(&mut tasks, 0, task(name));
    }
    assert_eq!(tasks.submit(0, task("")), full(What::Tasks));
    let queue = 1;
    tasks.cancel(0, 1);
    assert_eq!(
        tasks.submit(0, NewTask { queue, ..task("") }),
        Err(SubmitError::Queue)
    );
    submit(&mut tasks, 0, task("d"));
    results(&mut tasks, 0);
    for call in 1..=3 {
        let slot = if tasks.begin(0, A, call) { A } else { B };
        if slot == B {
            assert!(tasks.begin(0, B, call));
        }
        assert!(tasks.end(0, slot, call, Outcome::Failed, bytes("e")));
    }
    let kept: Vec<TaskId> = tasks.failed().map(|task| task.id).collect();
    assert_eq!(kept, [3, 4]);
    assert!(tasks.forget_failed(3) && !tasks.forget_failed(3));
    assert_eq!((tasks.stats().kept, tasks.stats().bytes), (1, 0));
}

#[test]
fn a_part_of_the_core_hears_and_its_failures_are_not_kept() {
    let mut tasks = two();
    let origin = Origin::Inner(7);
    submit(
        &mut tasks,
        0,
        NewTask {
            origin,
            ..task("tick")
        },
    );
    let call = begin(&mut tasks, 0);
    assert_eq!(tasks.origin(call[0].call), Some(origin));
    end(&mut tasks, 0, &call[0], Outcome::Failed, "e");
    assert_eq!(
        results(&mut tasks, 0),
        [(origin, End::Failed, 1, "e".to_owned())]
    );
    assert_eq!(tasks.failed().count(), 0);
}

#[test]
fn what_is_in_nobodys_hands_can_be_ended() {
    let limits = Limits {
        journal: true,
        ..LIMITS
    };
    let mut tasks = with(limits, vec![spec("default")]);
    for name in ["a", "b", "c", "d", "e", "f"] {
        let durable = name == "f";
        submit(
            &mut tasks,
            0,
            NewTask {
                durable,
                ..keyed(name, "key")
            },
        );
    }
    let later = NewTask {
        delay: 50,
        ..task("later")
    };
    submit(&mut tasks, 0, later);
    let mut all: Vec<Output> = outputs(&mut tasks, 0);
    all.retain(|output| matches!(output, Output::Call { .. }));
    assert_eq!(all.len(), 4);
    tasks.end_idle();
    let stopped = (ME, End::Stopped, 0, String::new());
    assert_eq!(results(&mut tasks, 0), [&stopped; 3].map(Clone::clone));
    let stats = tasks.stats();
    assert_eq!((stats.tasks, stats.handed, stats.kept), (4, 4, 0));
    assert_eq!(tasks.next_due(), None);
    // What comes later is taken, also under a key that was taken.
    assert!(
        tasks
            .submit(0, keyed("f", "key"))
            .expect("there is room")
            .is_new
    );
    tasks.worker_here(A, 1, 10, POOL, 5);
    assert_eq!(names(&calls(&mut tasks, 0)), ["f"]);
}

#[test]
fn a_task_for_a_worker_that_does_not_come_fails_after_a_while() {
    let limits = Limits {
        pinned_wait: 100,
        ..LIMITS
    };
    let mut tasks = with(limits, vec![spec("default")]);
    let pin = |name: &str, worker| NewTask {
        worker: Some(worker),
        tries: 3,
        ..task(name)
    };
    let refused = tasks.submit(0, pin("nobody", 100));
    assert_eq!(refused, Err(SubmitError::Worker));
    let never = submit(&mut tasks, 0, pin("never", 99));
    let late = NewTask {
        delay: 70,
        ..pin("late", 98)
    };
    submit(&mut tasks, 0, late);
    for name in ["a", "b", "busy"] {
        submit(&mut tasks, 0, pin(name, 10));
    }
    assert_eq!(names(&begin(&mut tasks, 0)), ["a", "b"]);
    tasks.tick(70);
    tasks.tick(99);
    assert_eq!(results(&mut tasks, 99), []);
    tasks.tick(100);
    let lost = (ME, End::WorkerLost, 0, String::new());
    assert_eq!(results(&mut tasks, 100), std::slice::from_ref(&lost));
    let failed = tasks.failed().next().expect("it is kept");
    assert_eq!((failed.id, failed.attempts), (never, 0));
    // It waits from then on from which it may run.
    tasks.tick(169);
    assert_eq!(results(&mut tasks, 169), []);
    tasks.tick(170);
    assert_eq!(results(&mut tasks, 170), std::slice::from_ref(&lost));
    // One that is busy is waited for, and a while longer when it leaves.
    tasks.worker_leaving(190, A);
    tasks.tick(289);
    assert_eq!(results(&mut tasks, 289), []);
    tasks.tick(300);
    assert_eq!(results(&mut tasks, 300), [lost]);
    assert_eq!(tasks.stats().tasks, 2);
}

#[test]
fn a_queue_of_the_core_has_no_bound() {
    let limits = Limits { tasks: 1, ..LIMITS };
    let own = QueueSpec {
        is_bounded: false,
        ..spec("cron")
    };
    let mut tasks = with(limits, vec![spec("default"), own]);
    submit(&mut tasks, 0, task("a"));
    assert!(tasks.submit(0, task("b")).is_err());
    let run = NewTask {
        queue: 1,
        ..task("run")
    };
    submit(&mut tasks, 0, run);
    assert_eq!(names(&calls(&mut tasks, 0)), ["a", "run"]);
}

/// What the journal is told.
fn journal(tasks: &mut Tasks, now: u64) -> Vec<JournalOp> {
    let ops = outputs(tasks, now)
        .into_iter()
        .filter_map(|output| match output {
            Output::Journal(op) => Some(op),
            _ => None,
        });
    ops.collect()
}

#[test]
fn the_journal_is_told_of_durable_tasks() {
    let limits = Limits {
        journal: true,
        keep_failed: 1,
        ..LIMITS
    };
    let mut tasks = with(limits, vec![spec("default")]);
    let durable = |name: &str| NewTask {
        durable: true,
        tries: 2,
        ..task(name)
    };
    submit(&mut tasks, 0, task("not"));
    let (a, b) = (
        submit(&mut tasks, 0, durable("a")),
        submit(&mut tasks, 0, durable("b")),
    );
    assert_eq!(
        journal(&mut tasks, 0),
        [JournalOp::Put(a), JournalOp::Put(b)]
    );
    let stored = tasks.stored(a).expect("it is there");
    assert_eq!(
        (&*stored.task.name, stored.queue_name, stored.attempts),
        ("a", "default", 0)
    );
    let call_of = |id: TaskId| id;
    for id in [a, b] {
        let slot = if tasks.begin(0, A, call_of(id)) { A } else { B };
        assert!(slot == A || tasks.begin(0, B, call_of(id)));
        let outcome = if id == a {
            Outcome::Done
        } else {
            Outcome::Failed
        };
        assert!(tasks.end(0, slot, call_of(id), outcome, bytes("e")));
    }
    assert_eq!(
        journal(&mut tasks, 0),
        [JournalOp::Delete(a), JournalOp::Put(b)]
    );
    assert_eq!(tasks.stored(b).map(|task| task.attempts), Some(1));
    let slot = if tasks.begin(0, A, 4) { A } else { B };
    assert!(slot == A || tasks.begin(0, B, 4));
    assert!(tasks.end(9, slot, 4, Outcome::Failed, bytes("e2")));
    assert_eq!(journal(&mut tasks, 9), [JournalOp::Put(b)]);
    let (end, error, at) = tasks
        .stored(b)
        .and_then(|task| task.failure)
        .expect("it has failed");
    assert_eq!((end, &**error, at), (End::Failed, &b"e2"[..], 9));
    assert!(tasks.retry(10, b));
    assert_eq!(tasks.cancel(10, b), Cancel::Done);
    assert_eq!(
        journal(&mut tasks, 10),
        [JournalOp::Put(b), JournalOp::Delete(b)]
    );
    let last = submit(&mut tasks, 11, durable("last"));
    tasks.end_idle();
    assert_eq!(journal(&mut tasks, 11), [JournalOp::Put(last)]);
}

#[test]
fn a_task_that_somebody_wants_kept_is_kept() {
    let limits = Limits {
        journal: true,
        ..LIMITS
    };
    let mut tasks = with(limits, vec![spec("default")]);
    let wanted = |durable| NewTask {
        durable,
        delay: 10,
        ..keyed("a", "key")
    };
    let id = submit(&mut tasks, 0, wanted(false));
    assert_eq!(journal(&mut tasks, 0), []);
    assert_eq!(submit(&mut tasks, 0, wanted(true)), id);
    assert_eq!(journal(&mut tasks, 0), [JournalOp::Put(id)]);
    for durable in [false, true] {
        assert_eq!(submit(&mut tasks, 0, wanted(durable)), id);
        assert_eq!(journal(&mut tasks, 0), []);
    }
    tasks.cancel(0, id);
    assert_eq!(journal(&mut tasks, 0), [JournalOp::Delete(id)]);
}

#[test]
fn a_kept_task_for_a_worker_that_there_is_no_more_is_for_any() {
    let mut tasks = two();
    let kept = |id, worker| RestoredTask {
        id,
        task: NewTask {
            worker: Some(worker),
            ..task("a")
        },
        due: 0,
        attempts: 0,
        failure: None,
    };
    tasks.restore(0, vec![kept(1, 100), kept(2, 99)]);
    assert_eq!(names(&calls(&mut tasks, 0)), ["a"]);
    assert_eq!(tasks.status(1), Some(Status::Running));
    assert_eq!(tasks.status(2), Some(Status::Queued));
}

#[test]
fn what_a_journal_kept_goes_on_in_the_order_in_which_it_was_due() {
    let limits = Limits {
        journal: true,
        tasks: 1,
        keep_failed: 2,
        ..LIMITS
    };
    let mut tasks = with(limits, vec![spec("default")]);
    let kept = |id: TaskId, name: &str, due| RestoredTask {
        id,
        task: NewTask {
            queue: 5,
            tries: 3,
            ..task(name)
        },
        due,
        attempts: 1,
        failure: None,
    };
    let mut lost = kept(9, "failed", 0);
    lost.failure = Some((End::TimedOut, bytes("e"), -5));
    tasks.restore(
        100,
        vec![
            kept(3, "later", 150),
            kept(4, "b", 50),
            kept(8, "a", -3),
            lost,
            kept(4, "b", 60),
        ],
    );
    let first = calls(&mut tasks, 100);
    assert_eq!((names(&first), first[0].attempt), (vec!["a", "b"], 2));
    assert_eq!(tasks.status(3), Some(Status::Delayed));
    tasks.tick(150);
    assert_eq!(names(&calls(&mut tasks, 150)), ["later"]);
    let failed = tasks.failed().next().expect("it is kept");
    assert_eq!((failed.id, failed.end, failed.at), (9, End::TimedOut, -5));
    let what = What::Tasks;
    assert_eq!(
        tasks.submit(150, task("x")),
        Err(SubmitError::Full { what })
    );
    for id in [3, 4, 8] {
        tasks.cancel(150, id);
    }
    assert_eq!(journal(&mut tasks, 150), [3, 4, 8].map(JournalOp::Delete));
    assert_eq!(submit(&mut tasks, 150, task("x")), 10);
}

/// `cargo test --release -p sluice-core --lib what_a_task_costs -- --ignored --nocapture`
#[test]
#[ignore = "it measures"]
fn what_a_task_costs_from_its_submission_to_its_end() {
    const ROUNDS: u64 = 2_000_000;
    for (in_flight, timeout) in [(1, 0), (64, 0), (64, 30_000)] {
        let limits = Limits {
            tasks: 100_000,
            ..LIMITS
        };
        let mut tasks = Tasks::new(limits, vec![spec("default")], 1);
        tasks.worker_here(A, 1, 10, POOL, 256);
        let (name, input): (Arc<str>, _) = ("task".into(), bytes("input"));
        let mut handed = VecDeque::new();
        let started = std::time::Instant::now();
        for round in 0..ROUNDS {
            let new = NewTask {
                timeout,
                ..task_of(&name, &input)
            };
            tasks.submit(round / 1_000, new).expect("there is room");
            while let Some(output) = tasks.next_output(round / 1_000) {
                if let Output::Call { slot, call, .. } = output {
                    handed.push_back((slot, call));
                }
            }
            if handed.len() == in_flight {
                let (slot, call) = handed.pop_front().expect("some are there");
                assert!(tasks.begin(round / 1_000, slot, call));
                assert!(tasks.end(round / 1_000, slot, call, Outcome::Done, input.clone()));
                while tasks.next_output(round / 1_000).is_some() {}
            }
        }
        let ns = started.elapsed().as_nanos() / u128::from(ROUNDS);
        println!("{in_flight} in flight, time-out {timeout} ms: {ns} ns per task");
    }
}

/// Without an allocation.
fn task_of(name: &Arc<str>, input: &Payload) -> NewTask {
    NewTask {
        origin: ME,
        ..NewTask::new(name.clone(), input.clone())
    }
}
