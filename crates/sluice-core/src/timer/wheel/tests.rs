use proptest::prelude::*;

use super::*;

fn advance<T: Copy>(wheel: &mut Wheel<T>, now: u64) -> Vec<T> {
    let mut expired = Vec::new();
    wheel.advance(now, usize::MAX, &mut expired);
    expired
        .into_iter()
        .map(|key| *wheel.get(key).expect("it stays until it is removed"))
        .collect()
}

#[test]
fn a_timer_comes_out_at_its_time_and_once() {
    let mut wheel = Wheel::new();
    let key = wheel.insert(100, 'a').expect("there is room");
    assert_eq!(advance(&mut wheel, 99), []);
    assert_eq!(wheel.next_due(), Some(100));
    assert_eq!(advance(&mut wheel, 100), ['a']);
    assert_eq!(advance(&mut wheel, 1000), []);
    assert_eq!((wheel.len(), wheel.next_due()), (1, None));
    assert_eq!(wheel.due(key), Some(100));
    assert_eq!(wheel.remove(key), Some('a'));
    assert_eq!((wheel.len(), wheel.remove(key)), (0, None));
}

#[test]
fn a_timer_at_rest_is_set_again_under_its_key() {
    let mut wheel = Wheel::new();
    let key = wheel.insert(10, 'a').expect("there is room");
    for due in (10..100_000).step_by(999) {
        assert!(wheel.schedule(key, due));
        assert_eq!(advance(&mut wheel, due - 1), []);
        assert_eq!(advance(&mut wheel, due), ['a']);
    }
}

#[test]
fn a_removed_timer_does_not_come_out_and_its_key_names_no_other() {
    let mut wheel = Wheel::new();
    let first = wheel.insert(10, 'a').expect("there is room");
    assert_eq!(wheel.remove(first), Some('a'));
    let second = wheel.insert(10, 'b').expect("there is room");
    assert!(wheel.get(first).is_none() && wheel.due(first).is_none());
    assert!(!wheel.schedule(first, 20));
    assert_eq!(advance(&mut wheel, 30), ['b']);
    assert_eq!(wheel.get(second), Some(&'b'));
}

#[test]
fn what_is_late_comes_out_first_and_in_the_order_it_was_set() {
    let mut wheel = Wheel::new();
    advance(&mut wheel, 1_000);
    for (due, name) in [(1_001, 'c'), (1_000, 'a'), (3, 'b')] {
        wheel.insert(due, name);
    }
    assert_eq!(wheel.next_due(), Some(1_000));
    assert_eq!(advance(&mut wheel, 1_001), ['a', 'b', 'c']);
}

#[test]
fn timers_of_one_time_come_out_in_the_order_they_were_set() {
    let mut wheel = Wheel::new();
    wheel.insert(5_000, 'a');
    advance(&mut wheel, 4_000);
    wheel.insert(5_000, 'b');
    advance(&mut wheel, 4_990);
    wheel.insert(5_000, 'c');
    assert_eq!(advance(&mut wheel, 6_000), ['a', 'b', 'c']);
}

#[test]
fn the_ends_of_time_are_times() {
    let mut wheel = Wheel::new();
    wheel.insert(u64::MAX, 'z');
    wheel.insert(0, 'a');
    assert_eq!(advance(&mut wheel, 0), ['a']);
    assert_eq!(advance(&mut wheel, u64::MAX - 1), []);
    assert_eq!(wheel.next_due(), Some(u64::MAX));
    assert_eq!(advance(&mut wheel, u64::MAX), ['z']);
}

#[test]
fn time_does_not_run_backwards() {
    let mut wheel = Wheel::new();
    advance(&mut wheel, 100);
    wheel.insert(50, 'a');
    assert_eq!(advance(&mut wheel, 10), ['a']);
    wheel.insert(101, 'b');
    assert_eq!(advance(&mut wheel, 10), []);
    assert_eq!(advance(&mut wheel, 101), ['b']);
}

#[test]
fn no_more_come_out_than_are_asked_for_and_the_rest_comes_in_its_order() {
    let mut wheel = Wheel::new();
    advance(&mut wheel, 10);
    for (due, name) in [
        (20, 'c'),
        (10, 'a'),
        (20, 'd'),
        (9, 'b'),
        (70, 'g'),
        (20, 'e'),
    ] {
        wheel.insert(due, name);
    }
    let mut names = Vec::new();
    let mut expired = Vec::new();
    while wheel.next_due().is_some_and(|due| due <= 1_000) {
        expired.clear();
        wheel.advance(1_000, 1, &mut expired);
        assert!(expired.len() <= 1);
        names.extend(
            expired
                .iter()
                .map(|&key| *wheel.get(key).expect("it stays")),
        );
        if names.len() == 3 {
            // What is set between two looks is behind what was set before.
            wheel.insert(20, 'f');
        }
    }
    assert_eq!(names, ['a', 'b', 'c', 'd', 'e', 'f', 'g']);
}

#[test]
fn clear_leaves_nothing() {
    let mut wheel = Wheel::new();
    for due in 0..1000 {
        wheel.insert(due * due, due);
    }
    advance(&mut wheel, 100);
    wheel.clear();
    assert_eq!((wheel.len(), wheel.next_due()), (0, None));
    assert_eq!(wheel.iter().count(), 0);
    assert_eq!(advance(&mut wheel, u64::MAX), [0u64; 0]);
}

#[test]
fn a_timer_far_away_asks_for_few_looks() {
    const YEARS: u64 = 7 * 365 * 24 * 3_600_000;
    for due in [YEARS, YEARS + 1, 86_400_000 + 4_095, 65] {
        let mut wheel = Wheel::new();
        wheel.insert(due, 'a');
        let mut looks = 0;
        while let Some(at) = wheel.next_due() {
            assert!(at <= due);
            looks += 1;
            if advance(&mut wheel, at) == ['a'] {
                assert_eq!(at, due);
            }
        }
        assert!(looks <= LEVELS, "{looks} for {due}");
    }
}

/// What an owner may do.
#[derive(Clone, Debug)]
enum Act {
    Insert {
        after: u64,
    },
    Remove {
        which: usize,
    },
    Schedule {
        which: usize,
        after: u64,
    },
    /// In steps of at most `step` timers.
    Advance {
        by: u64,
        step: usize,
    },
    /// As its thread does it: sleeps until `next_due`.
    Sleep,
}

/// From nothing over milliseconds to years, each scale as likely as the others.
fn span() -> impl Strategy<Value = u64> {
    (0u32..40, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1))
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => span().prop_map(|after| Act::Insert { after }),
        2 => any::<usize>().prop_map(|which| Act::Remove { which }),
        2 => (any::<usize>(), span()).prop_map(|(which, after)| Act::Schedule { which, after }),
        3 => (span(), 1usize..20).prop_map(|(by, step)| Act::Advance { by, step }),
        2 => Just(Act::Sleep),
    ]
}

/// Timers as a list that is sorted when it is asked: (effective due, order of setting, name).
#[derive(Default)]
struct Model {
    set: Vec<(u64, u64, u32)>,
    orders: u64,
}

impl Model {
    fn put(&mut self, due: u64, name: u32) {
        self.orders += 1;
        self.set.push((due, self.orders, name));
    }

    fn take(&mut self, name: u32) {
        self.set.retain(|timer| timer.2 != name);
    }

    fn advance(&mut self, now: u64) -> Vec<u32> {
        self.set.sort_unstable();
        let count = self.set.partition_point(|timer| timer.0 <= now);
        self.set.drain(..count).map(|timer| timer.2).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_wheel_is_a_sorted_list(start in span(), acts in prop::collection::vec(act(), 1..200)) {
        let mut wheel = Wheel::new();
        let mut model = Model::default();
        let mut keys: Vec<(u32, TimerKey)> = Vec::new();
        let mut now = start;
        prop_assert!(advance::<u32>(&mut wheel, now).is_empty());
        for (act, name) in acts.into_iter().zip(0u32..) {
            match act {
                Act::Insert { after } => {
                    let key = wheel.insert(now + after, name).expect("there is room");
                    keys.push((name, key));
                    model.put(now + after, name);
                }
                Act::Remove { which } if !keys.is_empty() => {
                    let (name, key) = keys.swap_remove(which % keys.len());
                    prop_assert_eq!(wheel.remove(key), Some(name));
                    prop_assert_eq!(wheel.remove(key), None);
                    model.take(name);
                }
                Act::Schedule { which, after } if !keys.is_empty() => {
                    let (name, key) = keys[which % keys.len()];
                    prop_assert!(wheel.schedule(key, now + after));
                    prop_assert_eq!(wheel.due(key), Some(now + after));
                    model.take(name);
                    model.put(now + after, name);
                }
                Act::Remove { .. } | Act::Schedule { .. } => {}
                Act::Advance { by, step } => {
                    now += by;
                    let mut expired = Vec::new();
                    while { wheel.advance(now, step, &mut expired); wheel.next_due().is_some_and(|due| due <= now) } {}
                    let names: Vec<u32> = expired.into_iter().filter_map(|key| wheel.get(key).copied()).collect();
                    prop_assert_eq!(names, model.advance(now));
                }
                Act::Sleep => {
                    let first = model.set.iter().min().map(|timer| timer.0);
                    let next = wheel.next_due();
                    prop_assert_eq!(next.is_some(), first.is_some());
                    if let (Some(next), Some(first)) = (next, first) {
                        prop_assert!(next <= first);
                        prop_assert!(next >= now || first <= now);
                        now = next.max(now);
                        prop_assert_eq!(advance(&mut wheel, now), model.advance(now));
                    }
                }
            }
            prop_assert_eq!(wheel.len(), keys.len());
            prop_assert_eq!(wheel.iter().count(), keys.len());
        }
        prop_assert_eq!(advance(&mut wheel, u64::MAX), model.advance(u64::MAX));
    }
}

#[test]
fn a_million_timers_fit_in_100_mib() {
    const TIMERS: usize = 1_000_000;
    let mut wheel = Wheel::new();
    for due in 0..TIMERS as u64 {
        wheel.insert(due * 7919 % 100_000_007, due as u32);
    }
    let bytes = wheel.bytes();
    assert!(bytes <= 100 << 20, "{bytes} bytes");
    assert!(size_of::<Node<u32>>() <= 40, "{}", size_of::<Node<u32>>());
}
