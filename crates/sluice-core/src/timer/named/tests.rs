use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn after(name: &str, due: u64) -> NewTimer<'_> {
    every(name, due, 0)
}

fn every(name: &str, due: u64, interval: u64) -> NewTimer<'_> {
    NewTimer {
        name,
        task: "task",
        calling: Calling::default(),
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

/// Hands the call that waits longest over; its id and its timer.
fn hand_over(timers: &mut NamedTimers) -> Option<(TimerCall, String)> {
    timers.skip_cleared();
    let call = timers.next_call()?;
    assert_eq!(call.task, "task");
    let name = String::from_utf8_lossy(call.input).into_owned();
    let id = timers.handed();
    assert!(timers.became(id, id + 1000));
    Some((id, name))
}

/// Hands over, begins and ends what waits; the names.
fn run(timers: &mut NamedTimers) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((id, name)) = hand_over(timers) {
        timers.begun(id);
        timers.over(id);
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
    let (id, name) = hand_over(&mut timers).expect("it is due");
    assert_eq!((name.as_str(), timers.has("a")), ("a", true));
    timers.begun(id);
    assert!(!timers.has("a") && timers.is_empty());
    assert_eq!(timers.set(&after("a", 200)), Ok(true));
    timers.over(id);
    timers.over(id);
    assert_eq!(timers.info("a").map(|info| info.due), Some(200));
}

#[test]
fn a_call_that_never_begins_frees_its_name() {
    let mut timers = room(10);
    timers.set(&after("a", 1)).expect("there is room");
    timers.tick(1);
    let (id, _) = hand_over(&mut timers).expect("it is due");
    timers.over(id);
    assert!(timers.is_empty());
}

#[test]
fn a_repeating_timer_keeps_its_phase_and_replays_nothing() {
    let mut timers = room(10);
    timers.set(&every("a", 1_000, 100)).expect("there is room");
    timers.tick(1_000);
    assert_eq!(run(&mut timers), ["a"]);
    timers.tick(1_130);
    assert_eq!(run(&mut timers), ["a"]);
    assert_eq!(timers.info("a").map(|info| info.due), Some(1_200));
    timers.tick(1_999);
    assert_eq!(run(&mut timers), ["a"]);
    let info = timers.info("a").expect("it goes on");
    assert_eq!((info.due, info.interval, info.count), (2_000, 100, 3));
    assert_eq!(timers.skipped(), 7);
}

#[test]
fn ticks_of_one_timer_do_not_overlap() {
    let mut timers = room(10);
    timers.set(&every("a", 10, 10)).expect("there is room");
    timers.tick(10);
    timers.tick(20);
    assert_eq!(timers.waiting(), 1, "one waits for all that are due");
    let (id, _) = hand_over(&mut timers).expect("it waits");
    timers.tick(30);
    timers.begun(id);
    timers.tick(40);
    assert_eq!((timers.waiting(), timers.skipped()), (0, 3));
    timers.over(id);
    timers.tick(50);
    assert_eq!(run(&mut timers), ["a"]);
}

#[test]
fn what_the_queue_refuses_waits_again_before_all_others() {
    let mut timers = room(10);
    for (name, due) in [("a", 1), ("b", 2)] {
        timers.set(&after(name, due)).expect("there is room");
    }
    timers.tick(10);
    let id = timers.handed();
    timers.refused(id);
    assert!(!timers.became(id, 7));
    assert_eq!(run(&mut timers), ["a", "b"]);
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
    let (id, _) = hand_over(&mut timers).expect("it waits");
    assert_eq!(timers.clear("a"), Clear::Withdrawn(Some(id + 1000)));
    timers.over(id);
    timers.set(&every("a", 30, 10)).expect("there is room");
    timers.tick(30);
    let id = timers.handed();
    assert_eq!(timers.clear("a"), Clear::Withdrawn(None));
    assert!(!timers.became(id, 7), "it is to be cancelled");
    timers.set(&every("a", 40, 10)).expect("there is room");
    timers.tick(40);
    let (id, _) = hand_over(&mut timers).expect("it waits");
    timers.begun(id);
    assert_eq!(timers.clear("a"), Clear::Done, "what runs runs on");
    timers.over(id);
    timers.tick(1_000);
    assert_eq!((timers.waiting(), timers.len()), (0, 0));
    assert!(timers.calls.is_empty());
}

#[test]
fn clear_all_leaves_only_what_runs() {
    let mut timers = room(10);
    for name in ["a", "b", "c"] {
        timers.set(&every(name, 10, 10)).expect("there is room");
    }
    timers.set(&after("far", 1_000)).expect("there is room");
    timers.tick(10);
    let (runs, _) = hand_over(&mut timers).expect("it waits");
    let (waits, _) = hand_over(&mut timers).expect("it waits");
    timers.begun(runs);
    let cleared = timers.clear_all();
    assert_eq!(
        (cleared.count, &cleared.withdrawn[..]),
        (4, &[waits + 1000][..])
    );
    assert_eq!(timers.len(), 0);
    timers.set(&every("new", 2_000, 1)).expect("there is room");
    timers.over(runs);
    timers.tick(2_000);
    assert_eq!(run(&mut timers), ["new"]);
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
        assert_eq!(run(&mut timers), ["\0".repeat(50)]);
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
            calling: Calling::default(),
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
    HandOver,
    Refuse { which: usize },
    Begin { which: usize },
    End { which: usize },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u8..6, 0u64..50, prop_oneof![Just(0), 1u64..20])
            .prop_map(|(name, wait, interval)| Act::Set { name, wait, interval }),
        2 => (0u8..6).prop_map(|name| Act::Clear { name }),
        4 => (0u64..60).prop_map(|by| Act::Tick { by }),
        5 => Just(Act::HandOver),
        1 => any::<usize>().prop_map(|which| Act::Refuse { which }),
        5 => any::<usize>().prop_map(|which| Act::Begin { which }),
        4 => any::<usize>().prop_map(|which| Act::End { which }),
    ]
}

/// Where the call of a timer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    InTime,
    Waiting,
    Handed(TimerCall),
    Begun(TimerCall),
}

/// A timer as the model has it.
#[derive(Clone, Copy, Debug)]
struct Known {
    due: u64,
    interval: u64,
    stage: Stage,
}

fn pick<T: Copy>(of: &[T], which: usize) -> Option<T> {
    of.get(which.checked_rem(of.len())?).copied()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Against a map from names to where their calls are.
    #[test]
    fn every_call_is_in_one_place(acts in prop::collection::vec(act(), 1..200)) {
        let mut timers = room(100);
        let mut model: BTreeMap<u8, Known> = BTreeMap::new();
        // Runs whose timers are gone.
        let mut loose: Vec<TimerCall> = Vec::new();
        let mut now = 0;
        for act in acts {
            let handed: Vec<(u8, TimerCall)> = model
                .iter()
                .filter_map(|(&name, timer)| match timer.stage {
                    Stage::Handed(id) => Some((name, id)),
                    _ => None,
                })
                .collect();
            match act {
                Act::Set { name, wait, interval } => {
                    let is_new = !model.contains_key(&name);
                    let timer = every(std::str::from_utf8(std::slice::from_ref(&name)).expect("ASCII"), now + wait, interval);
                    prop_assert_eq!(timers.set(&timer), Ok(is_new));
                    if is_new {
                        model.insert(name, Known { due: now + wait, interval, stage: Stage::InTime });
                    }
                }
                Act::Clear { name } => {
                    let text = [name];
                    let text = std::str::from_utf8(&text).expect("ASCII");
                    let expected = match model.remove(&name).map(|timer| timer.stage) {
                        None => Clear::Unknown,
                        Some(Stage::Handed(id)) => Clear::Withdrawn(Some(id + 1000)),
                        Some(Stage::Begun(id)) => {
                            loose.push(id);
                            Clear::Done
                        }
                        Some(_) => Clear::Done,
                    };
                    prop_assert_eq!(timers.clear(text), expected);
                }
                Act::Tick { by } => {
                    now += by;
                    timers.tick(now);
                    for Known { due, interval, stage } in model.values_mut() {
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
                Act::HandOver => {
                    let waits = model.values().any(|timer| timer.stage == Stage::Waiting);
                    let handed = hand_over(&mut timers);
                    prop_assert_eq!(handed.is_some(), waits);
                    if let Some((id, name)) = handed {
                        let timer = model.get_mut(&name.as_bytes()[0]).expect("it is not cleared");
                        prop_assert_eq!(timer.stage, Stage::Waiting);
                        timer.stage = Stage::Handed(id);
                    }
                }
                Act::Refuse { which } => {
                    if let Some((name, id)) = pick(&handed, which) {
                        timers.refused(id);
                        model.get_mut(&name).expect("it is there").stage = Stage::Waiting;
                    }
                }
                Act::Begin { which } => {
                    if let Some((name, id)) = pick(&handed, which) {
                        timers.begun(id);
                        let timer = model.get_mut(&name).expect("it is there");
                        timer.stage = Stage::Begun(id);
                        if timer.interval == 0 {
                            model.remove(&name);
                            loose.push(id);
                        }
                    }
                }
                Act::End { which } => {
                    let mut begun = loose.clone();
                    begun.extend(model.values().filter_map(|timer| match timer.stage {
                        Stage::Begun(id) => Some(id),
                        _ => None,
                    }));
                    if let Some(id) = pick(&begun, which) {
                        timers.over(id);
                        loose.retain(|&own| own != id);
                        for timer in model.values_mut() {
                            if timer.stage == Stage::Begun(id) {
                                timer.stage = Stage::InTime;
                            }
                        }
                    }
                }
            }
            prop_assert_eq!(timers.len(), model.len());
            let in_queue = model.values().filter(|timer| matches!(timer.stage, Stage::Handed(_) | Stage::Begun(_)));
            prop_assert_eq!(timers.calls.len(), in_queue.count() + loose.len());
            for (name, Known { due, interval, stage }) in &model {
                let info = timers.info(std::str::from_utf8(&[*name]).expect("ASCII")).expect("it is there");
                prop_assert_eq!(info.interval, *interval);
                if *stage == Stage::InTime || *interval > 0 {
                    prop_assert_eq!(info.due, *due);
                }
            }
        }
    }
}

#[test]
fn a_call_that_is_tried_again_is_one() {
    let mut timers = room(10);
    let calling = Calling {
        tries: 3,
        ..Calling::default()
    };
    let timer = NewTimer {
        calling,
        ..every("a", 1, 10)
    };
    timers.set(&timer).expect("there is room");
    timers.tick(1);
    assert_eq!(timers.next_call().map(|call| call.calling), Some(calling));
    let (id, _) = hand_over(&mut timers).expect("it is due");
    for _ in 0..3 {
        timers.begun(id);
        assert_eq!(timers.info("a").map(|info| info.count), Some(1));
    }
    // It goes on, and so does the timer.
    timers.tick(11);
    assert_eq!((timers.skipped(), timers.waiting()), (1, 0));
    timers.over(id);
    timers.tick(21);
    assert_eq!(run(&mut timers), ["a"]);
}
