//! Cron jobs: from the clock to a worker, over reloads and deaths.

use serde_json::{Value, json};
use sluice_core::cron::Trigger;
use sluice_server::{NewTask, Outcome, Role};
use sluice_shared::record::AdoptReason;

use super::support::{Served, TaskEvent, WorkerDouble, config_with};

/// The cron worker with these jobs.
fn cron_worker(served: &Served, jobs: &Value) -> WorkerDouble {
    let worker = served.attached();
    worker
        .worker
        .set_cron(&jobs.to_string(), false)
        .expect("the jobs are right");
    served
        .server
        .activate_worker(worker.slot, 1, Role::Cron, None)
        .expect("it has just attached");
    worker
}

/// What a run is told: which it is, and for when it was planned.
fn told(run: &TaskEvent) -> (u64, u64) {
    assert_eq!(run.input[0], 5, "it is a text");
    let text = std::str::from_utf8(&run.input[1..]).expect("it is digits");
    let numbers: Vec<u64> = text.split(' ').map(|text| text.parse().unwrap()).collect();
    (numbers[0], numbers[1])
}

#[test]
fn a_job_runs_at_its_times_in_the_cron_worker_alone() {
    let served = Served::new();
    let mut other = served.worker(0);
    let mut cron = cron_worker(&served, &json!([{ "name": "job", "every": 5 }]));
    let mut last = 0;
    for tick in 1..=20 {
        let run = cron.task("a run");
        assert_eq!(run.task, "cron:job");
        let (number, planned) = told(&run);
        assert_eq!(number, tick);
        assert!(planned > last);
        last = planned;
        cron.run(&run);
    }
    assert_eq!(other.poll(), None);
    let stats = served.until("the last end", |stats| stats.tasking <= 1);
    assert!(stats.cron_runs >= 20);
    assert_eq!((stats.cron_jobs, stats.cron_failures), (1, 0));
}

#[test]
fn a_worker_with_the_same_list_goes_on_without_gap_and_double() {
    let served = Served::new();
    let jobs = json!([{ "name": "job", "every": 5 }]);
    let mut cron = cron_worker(&served, &jobs);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let run = cron.task("a run of the old worker");
        seen.push(told(&run));
        cron.run(&run);
        let mut next = cron_worker(&served, &jobs);
        served.server.drain_worker(cron.slot, AdoptReason::Reload);
        // What it was given before it was to go.
        while let Some(super::support::Event::Task(run)) = cron.poll() {
            seen.push(told(&run));
            cron.run(&run);
        }
        std::mem::swap(&mut cron, &mut next);
        served.notice("that the old one is drained", |notice| {
            matches!(notice, sluice_server::Notice::Drained { slot, .. } if *slot == next.slot.0)
        });
        drop(next);
    }
    let ticks: Vec<u64> = seen.iter().map(|(tick, _)| *tick).collect();
    assert_eq!(ticks, (1..=seen.len() as u64).collect::<Vec<_>>());
    assert!(seen.windows(2).all(|pair| pair[0].1 < pair[1].1));
}

#[test]
fn a_run_that_dies_with_its_worker_is_not_run_again() {
    let served = Served::new();
    let jobs = json!([{ "name": "job", "every": 3_600_000, "immediate": true }, { "name": "other", "every": 5 }]);
    let mut cron = cron_worker(&served, &jobs);
    let run = cron.task("the first run");
    assert_eq!(told(&run).0, 1);
    assert_eq!(run.task, "cron:job");
    assert!(cron.worker.begin_call(run.id));
    let slot = cron.slot;
    drop(cron);
    served.gone(slot);
    let stats = served.until("the failure", |stats| stats.cron_failures > 0);
    assert_eq!(stats.cron_failures, 1);
    let lost = served.notice("of the lost run", |notice| {
        matches!(notice, sluice_server::Notice::CronLost { .. })
    });
    assert_eq!(
        lost,
        sluice_server::Notice::CronLost {
            name: "job".to_owned()
        }
    );
    let mut cron = cron_worker(&served, &jobs);
    for _ in 0..5 {
        let run = cron.task("a run");
        assert_eq!(run.task, "cron:other");
        cron.run(&run);
    }
}

#[test]
fn a_list_holds_with_the_activation_of_its_worker() {
    let served = Served::new();
    let mut cron = cron_worker(
        &served,
        &json!([{ "name": "old", "every": 3_600_000, "immediate": true }]),
    );
    let run = cron.task("the first run");
    cron.run(&run);
    let next = served.attached();
    next.worker
        .set_cron(r#"[{"name":"new","every":1}]"#, false)
        .expect("it is right");
    let names = || -> Vec<String> {
        let jobs = served.server.cron_jobs(1);
        jobs.into_iter().map(|job| job.name).collect()
    };
    assert_eq!(names(), ["old"]);
    // It dies before: nothing has changed.
    let slot = next.slot;
    drop(next);
    served.gone(slot);
    assert_eq!(names(), ["old"]);
    assert!(
        cron.worker
            .set_cron(r#"[{"name":"new","cron":"61 * * * *"}]"#, false)
            .is_err()
    );
    assert_eq!(names(), ["old"]);
}

#[test]
fn a_job_is_run_and_stopped_by_name() {
    let served = Served::new();
    let mut cron = cron_worker(
        &served,
        &json!([{ "name": "job", "cron": "0 3 1 1 *", "timeZone": "Europe/Berlin", "timeout": 10 }]),
    );
    assert_eq!(served.server.run_cron_job("none"), Trigger::Unknown);
    assert_eq!(served.server.run_cron_job("job"), Trigger::Begun);
    assert_eq!(served.server.run_cron_job("job"), Trigger::Busy);
    let run = cron.task("the run");
    assert!(cron.worker.begin_call(run.id));
    // Its time is up: the job may run again, whatever the handler does.
    served.until("the time-out", |stats| stats.cron_failures == 1);
    assert_eq!(served.server.run_cron_job("job"), Trigger::Begun);
    cron.worker.end_call(run.id, Outcome::Done, b"");
    let job = served.server.cron_jobs(3).remove(0);
    assert_eq!(
        (job.cron.as_deref(), job.time_zone.as_deref()),
        (Some("0 3 1 1 *"), Some("Europe/Berlin"))
    );
    assert_eq!((job.runs, job.failures, job.next.len()), (2, 1, 3));
    assert!(served.server.stop_cron_job("job"));
    assert!(served.server.cron_jobs(3)[0].is_stopped);
    assert!(!served.server.stop_cron_job("none"));
}

#[test]
fn no_run_begins_after_the_stop() {
    let served = Served::new();
    let jobs =
        json!([{ "name": "job", "every": 3_600_000, "immediate": true, "overlap": "queue" }]);
    let mut cron = cron_worker(&served, &jobs);
    let run = cron.task("the first run");
    assert!(cron.worker.begin_call(run.id));
    assert_eq!(served.server.run_cron_job("job"), Trigger::Queued);
    served.server.stop(0, 1001);
    // The one that waited would begin with this.
    assert!(cron.worker.end_call(run.id, Outcome::Done, b""));
    assert_eq!(served.server.run_cron_job("job"), Trigger::Busy);
    assert_eq!(served.server.run_cron_job("other"), Trigger::Unknown);
    let stats = served.until("the end", |stats| stats.tasking == 0);
    assert_eq!((stats.task_queue, stats.task_count), (0, 1));
    assert_eq!(cron.poll(), None);
}

#[test]
fn a_full_queue_of_tasks_does_not_keep_a_job_from_its_time() {
    let config = config_with(json!({}), json!({ "tasks": { "workers": 1, "max": 1 } }));
    let served = Served::start(&config);
    let worker = served.worker(0);
    let full = NewTask::new("waits".into(), Default::default());
    worker.worker.submit_task(full).expect("there is room");
    let jobs = json!([{ "name": "job", "every": 5 }]);
    let mut cron = cron_worker(&served, &jobs);
    for tick in 1..=3 {
        let run = cron.task("a run");
        assert_eq!(told(&run).0, tick);
        cron.run(&run);
    }
    assert_eq!(served.stats().cron_failures, 0);
}
