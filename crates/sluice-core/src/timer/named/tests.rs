use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const A: WorkerSlot = WorkerSlot(0);
const B: WorkerSlot = WorkerSlot(1);

fn after(name: &str, due: u64) -> NewTimer<'_> {
    every(name, due, 0)
}

fn every(name: &str, due: u64, interval: u64) -> NewTimer<'_> {
    NewTimer {
        name,
        task: "task",
        input: name.as_bytes(),
        due,
        interval,
    }
}

fn room(timers: usize) -> NamedTimers {
    NamedTimers::new(TimerLimits {
        timers,
        bytes: 1 << 30,
    })
}

/// Delivers the call that waits longest; its id and its timer.
fn deliver(timers: &mut NamedTimers, slot: WorkerSlot) -> Option<(CallId, String)> {
    timers.skip_cleared();
    let call = timers.next_call()?;
    assert_eq!(call.task, "task");
    let name = String::from_utf8_lossy(call.input).into_owned();
    let id = timers.next_id();
    timers.delivered(slot);
    Some((id, name))
}

/// Delivers, begins and ends what waits; the names.
fn run(timers: &mut NamedTimers, slot: WorkerSlot) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((id, name)) = deliver(timers, slot) {
        assert!(timers.begin(slot, id) && timers.end(slot, id, Outcome::Done));
        names.push(name);
    }
    names
}

fn all_names(timers: &NamedTimers) -> Vec<String> {
    let mut names = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        from = timers.names(at, 3, &mut names);
    }
    names.sort();
    names
}

#[test]
fn a_timer_calls_once_and_its_name_is_free_when_the_call_begins() {
    let mut timers = room(10);
    assert_eq!(timers.set(&after("a", 100)), Ok(true));
    assert_eq!(timers.set(&after("a", 5)), Ok(false));
    assert_eq!(timers.info("a").map(|info| info.due), Some(100));
    timers.tick(100);
    assert_eq!((timers.waiting(), timers.has("a")), (1, true));
    let (id, name) = deliver(&mut timers, A).expect("it is due");
    assert_eq!(
        (name.as_str(), timers.has("a"), timers.in_hand(A)),
        ("a", true, 1)
    );
    assert!(timers.begin(A, id) && !timers.begin(A, id));
    assert!(!timers.has("a") && timers.is_empty());
    assert_eq!(timers.set(&after("a", 200)), Ok(true));
    assert!(timers.end(A, id, Outcome::Failed) && !timers.end(A, id, Outcome::Done));
    assert_eq!((timers.in_hand(A), timers.has("a")), (0, true));
    let counts = timers.counts();
    assert_eq!((counts.begun, counts.failed), (1, 1));
}

#[test]
fn a_repeating_timer_keeps_its_phase_and_replays_nothing() {
    let mut timers = room(10);
    timers.set(&every("a", 1_000, 100)).expect("there is room");
    timers.tick(1_000);
    assert_eq!(run(&mut timers, A), ["a"]);
    timers.tick(1_130);
    assert_eq!(run(&mut timers, A), ["a"]);
    assert_eq!(timers.info("a").map(|info| info.due), Some(1_200));
    timers.tick(1_999);
    assert_eq!(run(&mut timers, A), ["a"]);
    let info = timers.info("a").expect("it goes on");
    assert_eq!((info.due, info.interval, info.count), (2_000, 100, 3));
    assert_eq!(timers.counts().skipped, 7);
}

#[test]
fn ticks_of_one_timer_do_not_overlap() {
    let mut timers = room(10);
    timers.set(&every("a", 10, 10)).expect("there is room");
    timers.tick(10);
    timers.tick(20);
    assert_eq!(timers.waiting(), 1, "one waits for all that are due");
    let (id, _) = deliver(&mut timers, A).expect("it waits");
    timers.tick(30);
    assert!(timers.begin(A, id));
    timers.tick(40);
    assert_eq!((timers.waiting(), timers.counts().skipped), (0, 3));
    assert!(timers.end(A, id, Outcome::Done));
    timers.tick(50);
    assert_eq!(run(&mut timers, A), ["a"]);
}

#[test]
fn what_was_not_begun_is_delivered_again_in_its_order_and_the_rest_is_lost() {
    let mut timers = room(10);
    for (name, due) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        timers.set(&after(name, due)).expect("there is room");
    }
    timers.tick(10);
    let (first, _) = deliver(&mut timers, A).expect("it waits");
    let (second, _) = deliver(&mut timers, A).expect("it waits");
    deliver(&mut timers, A).expect("it waits");
    assert!(timers.begin(A, first));
    assert_eq!(timers.worker_gone(A), 3);
    assert_eq!(
        (timers.in_hand(A), timers.handed(), timers.counts().lost),
        (0, 0, 1)
    );
    // It revives, with its ring: nothing of that is its own any more.
    assert!(!timers.begin(A, second) && !timers.end(A, first, Outcome::Done));
    assert_eq!(run(&mut timers, B), ["b", "c", "d"]);
}

#[test]
fn a_repeating_timer_outlives_the_worker_of_its_call() {
    let mut timers = room(10);
    timers.set(&every("a", 10, 10)).expect("there is room");
    timers.tick(10);
    let (id, _) = deliver(&mut timers, A).expect("it waits");
    assert!(timers.begin(A, id));
    timers.worker_gone(A);
    timers.tick(20);
    assert_eq!(run(&mut timers, B), ["a"]);
}

#[test]
fn a_cleared_timer_does_not_begin_wherever_its_call_is() {
    let mut timers = room(10);
    assert_eq!(timers.clear("a"), Clear::Unknown);
    timers.set(&every("a", 10, 10)).expect("there is room");
    assert_eq!(timers.clear("a"), Clear::Done);
    timers.set(&every("a", 10, 10)).expect("there is room");
    timers.tick(10);
    assert_eq!(timers.clear("a"), Clear::Done);
    assert_eq!(timers.next_call(), None);
    timers.set(&every("a", 20, 10)).expect("there is room");
    timers.tick(20);
    let (id, _) = deliver(&mut timers, A).expect("it waits");
    assert_eq!(timers.clear("a"), Clear::Withdrawn(A));
    assert!(!timers.begin(A, id) && !timers.end(A, id, Outcome::Done));
    timers.set(&every("a", 30, 10)).expect("there is room");
    timers.tick(30);
    let (id, _) = deliver(&mut timers, A).expect("it waits");
    assert!(timers.begin(A, id));
    assert_eq!(timers.clear("a"), Clear::Done);
    assert!(timers.end(A, id, Outcome::Done), "what runs runs on");
    timers.tick(1_000);
    assert_eq!((timers.waiting(), timers.handed(), timers.len()), (0, 0, 0));
}

#[test]
fn clear_all_leaves_only_what_runs() {
    let mut timers = room(10);
    for name in ["a", "b", "c"] {
        timers.set(&every(name, 10, 10)).expect("there is room");
    }
    timers.set(&after("far", 1_000)).expect("there is room");
    timers.tick(10);
    let (runs, _) = deliver(&mut timers, A).expect("it waits");
    deliver(&mut timers, B).expect("it waits");
    assert!(timers.begin(A, runs));
    let cleared = timers.clear_all();
    assert_eq!((cleared.count, &cleared.withdrawn[..]), (4, &[B][..]));
    assert_eq!(
        (timers.in_hand(A), timers.in_hand(B), timers.len()),
        (1, 0, 0)
    );
    timers.set(&every("new", 2_000, 1)).expect("there is room");
    assert!(timers.end(A, runs, Outcome::Done));
    timers.tick(2_000);
    assert_eq!(run(&mut timers, A), ["new"]);
}

#[test]
fn there_are_no_more_timers_than_may_be() {
    let mut timers = room(2);
    assert_eq!(timers.set(&after("a", 1)), Ok(true));
    assert_eq!(timers.set(&after("b", 1)), Ok(true));
    assert_eq!(timers.set(&after("c", 1)), Err(Full));
    assert_eq!(timers.set(&after("a", 1)), Ok(false));
    timers.clear("a");
    assert_eq!(timers.set(&after("c", 1)), Ok(true));
    assert_eq!(all_names(&timers), ["b", "c"]);
}

#[test]
fn what_timers_carry_is_no_longer_than_may_be() {
    let mut timers = NamedTimers::new(TimerLimits {
        timers: 10,
        bytes: 100,
    });
    let input = [0; 100];
    let set = |timers: &mut NamedTimers, name: &str, bytes: usize| {
        let timer = NewTimer {
            input: &input[..bytes],
            ..after(name, 1)
        };
        timers.set(&timer)
    };
    assert_eq!(set(&mut timers, "a", 100), Err(Full));
    for _ in 0..3 {
        assert_eq!(set(&mut timers, "a", 48), Ok(true));
        assert_eq!(set(&mut timers, "b", 51), Err(Full));
        assert_eq!(set(&mut timers, "b", 50), Ok(true));
        assert_eq!(set(&mut timers, "c", 0), Err(Full));
        timers.clear("a");
        timers.tick(1);
        assert_eq!(run(&mut timers, A), ["\0".repeat(50)]);
        assert_eq!(set(&mut timers, "d", 99), Ok(true));
        timers.clear_all();
    }
}

#[test]
fn timers_that_are_cleared_while_nobody_takes_calls_do_not_pile_up() {
    let mut timers = room(10);
    for now in 1..10_000 {
        timers.set(&after("a", now)).expect("there is room");
        timers.tick(now);
        assert_eq!(timers.clear("a"), Clear::Done);
    }
    assert!(timers.waiting() <= 65, "{}", timers.waiting());
    assert_eq!(timers.next_call(), None);
}

#[test]
fn names_are_up_to_255_bytes_and_inputs_any() {
    let mut timers = room(10);
    let long = "ö".repeat(127) + "x";
    let input = vec![7; 65_536];
    let timer = NewTimer {
        input: &input,
        ..after(&long, 1)
    };
    assert_eq!(timers.set(&timer), Ok(true));
    assert_eq!(timers.set(&after("", 1)), Ok(true));
    assert_eq!(all_names(&timers), ["", &long]);
    timers.tick(1);
    assert_eq!(
        timers.next_call().map(|call| call.input.len()),
        Some(65_536)
    );
    assert_eq!(timers.set(&after(&"x".repeat(256), 1)), Ok(false));
}

#[test]
fn a_million_named_timers_fit_in_100_mib() {
    const TIMERS: usize = 1_000_000;
    let mut timers = room(TIMERS);
    let mut text = 0;
    for number in 0..TIMERS as u64 {
        let name = format!("session:{number}");
        let timer = NewTimer {
            name: &name,
            task: "expire",
            input: &[0xff, 0x0f, 0x49, 2],
            due: 3_600_000 + number,
            interval: 60_000,
        };
        assert_eq!(timers.set(&timer), Ok(true));
        // As mimalloc rounds.
        text += (1 + name.len() + 4).next_multiple_of(8);
    }
    let names = timers.names.capacity() * 8 / 7 * (size_of::<u32>() + 1);
    let bytes = timers.wheel.bytes() + names + text;
    assert!(bytes <= 100 << 20, "{} KiB", bytes >> 10);
}

#[derive(Clone, Debug)]
enum Act {
    Set { name: u8, wait: u64, interval: u64 },
    Clear { name: u8 },
    Tick { by: u64 },
    Deliver { slot: u16 },
    Begin { which: usize },
    End { which: usize },
    Die { slot: u16 },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u8..6, 0u64..50, prop_oneof![Just(0), 1u64..20])
            .prop_map(|(name, wait, interval)| Act::Set { name, wait, interval }),
        2 => (0u8..6).prop_map(|name| Act::Clear { name }),
        4 => (0u64..60).prop_map(|by| Act::Tick { by }),
        5 => (0u16..3).prop_map(|slot| Act::Deliver { slot }),
        5 => any::<usize>().prop_map(|which| Act::Begin { which }),
        4 => any::<usize>().prop_map(|which| Act::End { which }),
        1 => (0u16..3).prop_map(|slot| Act::Die { slot }),
    ]
}

/// Where the call of a timer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    InTime,
    Waiting,
    Delivered(CallId, u16),
    Begun(CallId, u16),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Against a map from names to where their calls are.
    #[test]
    fn every_call_is_in_one_place(acts in prop::collection::vec(act(), 1..200)) {
        let mut timers = room(100);
        let mut model: BTreeMap<u8, (u64, u64, Stage)> = BTreeMap::new();
        // Runs whose timers are gone.
        let mut loose: Vec<(CallId, u16)> = Vec::new();
        let mut now = 0;
        for act in acts {
            match act {
                Act::Set { name, wait, interval } => {
                    let is_new = !model.contains_key(&name);
                    let timer = every(std::str::from_utf8(std::slice::from_ref(&name)).expect("ASCII"), now + wait, interval);
                    prop_assert_eq!(timers.set(&timer), Ok(is_new));
                    if is_new {
                        model.insert(name, (now + wait, interval, Stage::InTime));
                    }
                }
                Act::Clear { name } => {
                    let text = [name];
                    let text = std::str::from_utf8(&text).expect("ASCII");
                    let expected = match model.remove(&name) {
                        None => Clear::Unknown,
                        Some((_, _, Stage::Delivered(_, slot))) => Clear::Withdrawn(WorkerSlot(slot)),
                        Some((_, _, Stage::Begun(id, slot))) => {
                            loose.push((id, slot));
                            Clear::Done
                        }
                        Some(_) => Clear::Done,
                    };
                    prop_assert_eq!(timers.clear(text), expected);
                }
                Act::Tick { by } => {
                    now += by;
                    timers.tick(now);
                    for (due, interval, stage) in model.values_mut() {
                        if *due > now || (*interval == 0 && *stage != Stage::InTime) {
                            continue;
                        }
                        if *stage == Stage::InTime {
                            *stage = Stage::Waiting;
                        }
                        if let Some(passed) = (now - *due).checked_div(*interval) {
                            *due += (passed + 1) * *interval;
                        }
                    }
                }
                Act::Deliver { slot } => {
                    let waits = model.values().any(|timer| timer.2 == Stage::Waiting);
                    timers.skip_cleared();
                    let id = timers.next_id();
                    let name = timers.next_call().map(|call| call.input[0]);
                    prop_assert_eq!(name.is_some(), waits);
                    if let Some(name) = name {
                        timers.delivered(WorkerSlot(slot));
                        let timer = model.get_mut(&name).expect("it is not cleared");
                        prop_assert_eq!(timer.2, Stage::Waiting);
                        timer.2 = Stage::Delivered(id, slot);
                    }
                }
                Act::Begin { which } => {
                    let id = which as u64 % (timers.next_id() + 1);
                    let found = model.iter().find_map(|(&name, timer)| match timer.2 {
                        Stage::Delivered(own, slot) if own == id => Some((name, slot, timer.1)),
                        _ => None,
                    });
                    if let Some((name, slot, interval)) = found {
                        prop_assert!(!timers.begin(WorkerSlot(slot + 1), id));
                        prop_assert!(timers.begin(WorkerSlot(slot), id));
                        if interval == 0 {
                            model.remove(&name);
                            loose.push((id, slot));
                        } else {
                            model.get_mut(&name).expect("it is there").2 = Stage::Begun(id, slot);
                        }
                    } else {
                        prop_assert!((0..4).all(|slot| !timers.begin(WorkerSlot(slot), id)));
                    }
                }
                Act::End { which } => {
                    let mut begun: Vec<_> = loose.clone();
                    begun.extend(model.values().filter_map(|timer| match timer.2 {
                        Stage::Begun(id, slot) => Some((id, slot)),
                        _ => None,
                    }));
                    if begun.is_empty() {
                        continue;
                    }
                    let (id, slot) = begun[which % begun.len()];
                    prop_assert!(timers.end(WorkerSlot(slot), id, Outcome::Done));
                    loose.retain(|&(own, _)| own != id);
                    for timer in model.values_mut() {
                        if timer.2 == Stage::Begun(id, slot) {
                            timer.2 = Stage::InTime;
                        }
                    }
                }
                Act::Die { slot } => {
                    timers.worker_gone(WorkerSlot(slot));
                    loose.retain(|&(_, own)| own != slot);
                    for timer in model.values_mut() {
                        match timer.2 {
                            Stage::Delivered(_, own) if own == slot => timer.2 = Stage::Waiting,
                            Stage::Begun(_, own) if own == slot => timer.2 = Stage::InTime,
                            _ => {}
                        }
                    }
                }
            }
            let in_hand = |slot: u16| {
                let held = |stage: Stage| matches!(stage, Stage::Delivered(_, own) | Stage::Begun(_, own) if own == slot);
                loose.iter().filter(|(_, own)| *own == slot).count() + model.values().filter(|timer| held(timer.2)).count()
            };
            for slot in 0..3 {
                prop_assert_eq!(timers.in_hand(WorkerSlot(slot)) as usize, in_hand(slot));
            }
            prop_assert_eq!(timers.len(), model.len());
            for (name, (due, interval, stage)) in &model {
                let info = timers.info(std::str::from_utf8(&[*name]).expect("ASCII")).expect("it is there");
                prop_assert_eq!(info.interval, *interval);
                if *stage == Stage::InTime || *interval > 0 {
                    prop_assert_eq!(info.due, *due);
                }
            }
        }
    }
}
