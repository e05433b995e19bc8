use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::cron::{TimeZone, parse_jobs};

const HOUR: u64 = 3_600_000;
/// 2026-06-01 00:00 UTC.
const START: u64 = 1_780_272_000_000;

fn specs(json: &str) -> Vec<JobSpec> {
    parse_jobs(json, |name| TimeZone::get(name).ok()).unwrap()
}

/// A schedule with its clocks.
struct World {
    schedule: Schedule,
    now: Now,
}

impl World {
    fn new(json: &str) -> Self {
        let now = Now {
            clock: 5000,
            unix: START,
        };
        let mut schedule = Schedule::new();
        schedule.set_workers(now, true);
        schedule.set(now, specs(json), false);
        Self { schedule, now }
    }

    fn set(&mut self, json: &str) {
        self.schedule.set(self.now, specs(json), false);
    }

    /// Time goes by, without anybody looking.
    fn sleep(&mut self, ms: u64) {
        self.now.clock += ms;
        self.now.unix += ms;
    }

    /// The runs that begin now.
    fn runs(&mut self) -> Vec<Run> {
        self.schedule.tick(self.now);
        std::iter::from_fn(|| self.schedule.next_run()).collect()
    }

    fn end(&mut self, run: &Run) {
        assert!(self.schedule.ended(self.now, run.id, true));
    }

    /// Runs of the next `ms`, for when they were planned since the start; each takes no time.
    fn pass(&mut self, ms: u64) -> Vec<u64> {
        let until = self.now.clock + ms;
        let mut planned = Vec::new();
        while let Some(run) = self.schedule.next_run() {
            self.end(&run);
            planned.push(run.planned - START);
        }
        loop {
            for run in self.runs() {
                self.end(&run);
                planned.push(run.planned - START);
            }
            let next = self.schedule.next_due().unwrap_or(until).min(until);
            if self.now.clock == until {
                return planned;
            }
            assert!(next > self.now.clock, "it does not spin");
            self.sleep(next - self.now.clock);
        }
    }
}

#[test]
fn an_interval_keeps_its_phase_and_replays_nothing() {
    let mut world = World::new(r#"[{"name":"a","every":10}]"#);
    assert_eq!(world.pass(35), [10, 20, 30]);
    // Nobody looks for 28 ms: 40, 50 and 60 are over, and the last of them runs.
    world.sleep(28);
    assert_eq!(world.pass(20), [60, 70, 80]);
    assert_eq!(world.schedule.counts().missed, 2);
}

#[test]
fn an_immediate_job_runs_at_once_and_an_unchanged_one_not_again() {
    let list = r#"[{"name":"a","every":100,"immediate":true},{"name":"b","cron":"0 0 1 * *","immediate":true}]"#;
    let mut world = World::new(list);
    assert_eq!(world.pass(100), [0, 0, 100]);
    world.set(list);
    assert_eq!(world.pass(100), [200]);
}

#[test]
fn a_new_list_leaves_no_gap_and_no_double() {
    let list = r#"[{"name":"a","every":10},{"name":"b","every":7}]"#;
    let mut world = World::new(list);
    let mut planned = world.pass(15);
    world.set(r#"[{"name":"b","every":8},{"name":"a","every":10}]"#);
    planned.extend(world.pass(20));
    // `a` goes on, `b` is another and begins anew at 15.
    assert_eq!(planned, [7, 10, 14, 20, 23, 30, 31]);
    let ticks: Vec<(String, u64)> = world
        .schedule
        .jobs(world.now, 2)
        .map(|job| (job.spec.name.to_string(), job.counts.runs))
        .collect();
    assert_eq!(ticks, [("b".to_owned(), 2), ("a".to_owned(), 3)]);
    world.set("[]");
    assert_eq!(world.schedule.next_due(), None);
    assert_eq!(world.schedule.counts().runs, 7);
}

#[test]
fn a_job_that_is_gone_does_not_begin_and_its_end_is_nobodys() {
    let mut world = World::new(r#"[{"name":"a","every":10}]"#);
    world.sleep(10);
    let run = world.runs().remove(0);
    world.sleep(10);
    world.schedule.tick(world.now);
    world.set("[]");
    assert_eq!(world.schedule.next_run(), None);
    assert!(!world.schedule.ended(world.now, run.id, true));
    assert_eq!(world.schedule.running(), 0);
}

#[test]
fn runs_do_not_overlap_unless_they_may() {
    let mut world = World::new(
        r#"[{"name":"skip","every":10},{"name":"queue","every":10,"overlap":"queue"},{"name":"allow","every":10,"overlap":"allow"}]"#,
    );
    let mut all = Vec::new();
    for _ in 0..20 {
        world.sleep(10);
        all.extend(world.runs());
    }
    let count = |name: &str, runs: &[Run]| runs.iter().filter(|run| &*run.name == name).count();
    assert_eq!(count("skip", &all), 1);
    assert_eq!(count("queue", &all), 1);
    assert_eq!(count("allow", &all), 16);
    let skipped: Vec<u64> = world
        .schedule
        .jobs(world.now, 0)
        .map(|job| job.counts.skipped)
        .collect();
    assert_eq!(skipped, [19, 18, 4]);
    for run in &all {
        world.end(run);
    }
    // The one that waited begins with the end of the other.
    let after = std::iter::from_fn(|| world.schedule.next_run()).collect::<Vec<_>>();
    assert_eq!((after.len(), count("queue", &after)), (1, 1));
    assert_eq!(after[0].planned - START, 20);
}

#[test]
fn of_the_runs_without_a_worker_the_last_one_is_made_up_for() {
    let mut world = World::new(r#"[{"name":"a","every":10}]"#);
    world.schedule.set_workers(world.now, false);
    assert!(world.pass(45).is_empty());
    world.schedule.set_workers(world.now, true);
    assert_eq!(world.pass(10), [40, 50]);
    assert_eq!(world.schedule.counts().missed, 3);
}

#[test]
fn what_is_a_minute_late_is_missed() {
    let mut world = World::new(
        r#"[{"name":"skip","every":600000},{"name":"once","every":600000,"missed":"once"}]"#,
    );
    world.schedule.set_workers(world.now, false);
    assert!(world.pass(700_000).is_empty());
    world.schedule.set_workers(world.now, true);
    let runs = world.runs();
    assert_eq!(runs.len(), 1);
    assert_eq!((&*runs[0].name, runs[0].planned - START), ("once", 600_000));
    let missed: Vec<u64> = world
        .schedule
        .jobs(world.now, 0)
        .map(|job| job.counts.missed)
        .collect();
    assert_eq!(missed, [1, 0]);
}

#[test]
fn an_expression_goes_by_the_wall() {
    let mut world = World::new(
        r#"[{"name":"a","cron":"0 3 * * *","timeZone":"Europe/Berlin"},{"name":"b","cron":"*/20 * * * * *"}]"#,
    );
    let planned = world.pass(60_000);
    assert_eq!(planned, [20_000, 40_000, 60_000]);
    let next: Vec<u64> = world
        .schedule
        .jobs(world.now, 2)
        .next()
        .unwrap()
        .next
        .iter()
        .map(|at| at - START)
        .collect();
    assert_eq!(next, [HOUR, 25 * HOUR]);
}

#[test]
fn a_clock_that_is_set_forward_is_noticed_and_nothing_is_replayed() {
    let list = r#"[{"name":"skip","cron":"0 * * * *"},{"name":"once","cron":"0 * * * *","missed":"once"},{"name":"minute","cron":"* * * * *"}]"#;
    let mut world = World::new(list);
    world.now.unix += 3 * HOUR + HOUR / 2;
    let mut runs = Vec::new();
    // It is looked at within five seconds.
    for _ in 0..6 {
        world.sleep(1000);
        runs.extend(world.runs());
    }
    let planned: Vec<(&str, u64)> = runs
        .iter()
        .map(|run| (&*run.name, run.planned - START))
        .collect();
    assert_eq!(planned, [("once", HOUR), ("minute", 3 * HOUR + HOUR / 2)]);
    assert!(world.schedule.next_due().unwrap() <= world.now.clock + LOOK);
}

#[test]
fn a_clock_that_is_set_back_repeats_no_named_time() {
    let mut world = World::new(
        r#"[{"name":"named","cron":"0 1 * * *"},{"name":"interval","cron":"*/30 * * * *"}]"#,
    );
    let before = world.pass(HOUR + 60_000);
    assert_eq!(before, [HOUR / 2, HOUR, HOUR]);
    world.now.unix -= HOUR;
    let after = world.pass(2 * HOUR);
    // 00:30 and 01:00 come again for the interval alone.
    assert_eq!(after, [HOUR / 2, HOUR, 3 * HOUR / 2, 2 * HOUR]);
    // What was days ahead was wrong: the named time counts again.
    world.now.unix -= 48 * HOUR;
    let _ = world.runs();
    let next = world.schedule.jobs(world.now, 1).next().unwrap().next[0];
    assert_eq!(next, START - 48 * HOUR + 25 * HOUR);
}

#[test]
fn a_clock_that_is_corrected_a_little_neither_repeats_nor_drops() {
    let mut world = World::new(r#"[{"name":"a","cron":"* * * * * *"}]"#);
    let mut planned = Vec::new();
    for step in 0..600_u64 {
        planned.extend(world.pass(100));
        // 0.9 s in all, back and forth.
        if step % 100 < 50 {
            world.now.unix -= 9;
        } else {
            world.now.unix += 9;
        }
    }
    let expected: Vec<u64> = (1..=planned.len() as u64).map(|s| s * 1000).collect();
    assert_eq!(planned, expected);
    assert!(planned.len() >= 59);
}

#[test]
fn a_stopped_job_stays_so_until_it_is_revived() {
    let list = r#"[{"name":"a","every":10}]"#;
    let mut world = World::new(list);
    assert!(world.schedule.stop("a"));
    assert!(!world.schedule.stop("b"));
    assert!(world.pass(50).is_empty());
    world.set(list);
    assert!(world.pass(50).is_empty());
    world.schedule.set(world.now, specs(list), true);
    assert_eq!(world.pass(10), [110]);
}

#[test]
fn a_job_is_triggered_beside_its_times() {
    let mut world =
        World::new(r#"[{"name":"a","every":1000},{"name":"b","every":1000,"overlap":"queue"}]"#);
    assert_eq!(world.schedule.trigger(world.now, "c"), Trigger::Unknown);
    assert_eq!(world.schedule.trigger(world.now, "a"), Trigger::Begun);
    assert_eq!(world.schedule.trigger(world.now, "a"), Trigger::Busy);
    assert_eq!(world.schedule.trigger(world.now, "b"), Trigger::Begun);
    assert_eq!(world.schedule.trigger(world.now, "b"), Trigger::Queued);
    assert_eq!(world.schedule.trigger(world.now, "b"), Trigger::Busy);
    let run = world.schedule.next_run().unwrap();
    assert_eq!((run.tick, run.planned), (1, START));
    world.sleep(30);
    assert!(world.schedule.ended(world.now, run.id, false));
    let job = world.schedule.jobs(world.now, 1).next().unwrap();
    assert_eq!(
        job.last,
        Some(Last {
            began: START,
            ms: 30,
            ok: false
        })
    );
    assert_eq!((job.counts.runs, job.counts.failures), (1, 1));
    assert_eq!(job.next, [START + 1000]);
}

#[test]
fn a_fence_only_grows() {
    let mut world = World::new(r#"[{"name":"a","every":1,"overlap":"allow"}]"#);
    let mut last = 0;
    for step in 0..10 {
        world.sleep(1);
        if step == 5 {
            world.now.unix -= HOUR;
        }
        for run in world.runs() {
            assert!(run.fence > last);
            last = run.fence;
        }
    }
    assert!(last >= START);
}

#[test]
fn the_nights_of_a_year_have_one_run_each() {
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
        let list = format!(r#"[{{"name":"a","cron":"15 2 * * *","timeZone":"{zone}"}}]"#);
        let mut world = World::new(&list);
        let mut days = 0;
        let until = world.now.clock + 365 * 24 * HOUR;
        let mut last = 0;
        while world.now.clock < until {
            for run in world.runs() {
                world.end(&run);
                let date = Timestamp::from_millisecond(run.planned as i64)
                    .unwrap()
                    .to_zoned(TimeZone::get(zone).unwrap())
                    .day_of_year();
                assert_ne!(date, last, "{zone}");
                last = date;
                days += 1;
            }
            let planned = world.schedule.jobs(world.now, 1).next().unwrap().next[0];
            let left = planned - world.now.unix;
            world.sleep(left);
        }
        assert_eq!(days, 365, "{zone}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Sleep(u64),
    SameList,
    Workers(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..60_u64).prop_map(Step::Pass),
        1 => (1..200_u64).prop_map(Step::Sleep),
        1 => Just(Step::SameList),
        1 => any::<bool>().prop_map(Step::Workers),
    ]
}

proptest! {
    /// Planned times keep their phase and only grow; while somebody looks and there is a worker, none is left out.
    #[test]
    fn an_interval_has_neither_gap_nor_double(every in 1..40_u64, steps in prop::collection::vec(step(), 1..60)) {
        let list = format!(r#"[{{"name":"a","every":{every}}}]"#);
        let mut world = World::new(&list);
        let (mut last, mut has_worker, mut is_steady) = (0, true, true);
        for step in steps {
            match step {
                Step::Pass(ms) => {
                    let mut has_run = false;
                    for planned in world.pass(ms) {
                        prop_assert_eq!(planned % every, 0);
                        prop_assert!(planned > last);
                        if is_steady {
                            prop_assert_eq!(planned, last + every);
                        }
                        (last, has_run) = (planned, true);
                    }
                    is_steady = has_worker && (is_steady || has_run);
                    if has_worker {
                        prop_assert!(world.now.unix - START < last + every);
                    }
                }
                Step::Sleep(ms) => {
                    world.sleep(ms);
                    is_steady = false;
                }
                Step::SameList => world.set(&list),
                Step::Workers(yes) => {
                    world.schedule.set_workers(world.now, yes);
                    has_worker = yes;
                    is_steady = false;
                }
            }
        }
    }
}
