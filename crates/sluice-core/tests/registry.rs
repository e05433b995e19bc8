//! The registry against a simple model, and under threads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;
use sluice_core::channel::{Channel, ChannelKind};
use sluice_core::history::HistoryLimits;
use sluice_core::id::ConnectionId;
use sluice_core::member::{Member, MemberKind, Place};
use sluice_core::registry::{
    CHANNELS_PER_MEMBER_MAX, JoinError, RETAINED_MAX, Registry, RetainError,
};

const REACTORS: u8 = 3;
const PORTS: usize = 2;
const KINDS: [ChannelKind; 3] = [ChannelKind::Topic, ChannelKind::Group, ChannelKind::Uid];

fn registry() -> Registry<u64> {
    Registry::new(REACTORS, PORTS, HistoryLimits::default())
}

/// The member with this id, in a slot of its own.
fn member(id: u64) -> Arc<Member> {
    let place = Place {
        reactor: (id % u64::from(REACTORS)) as u8,
        slot: id as u32,
        generation: 1,
    };
    let port = (id % PORTS as u64) as u16;
    Arc::new(Member::new(
        ConnectionId(id),
        place,
        port,
        MemberKind::WebSocket,
    ))
}

fn inserted(registry: &Registry<u64>, id: u64) -> Arc<Member> {
    let member = member(id);
    registry.insert(Arc::clone(&member));
    member
}

fn ids(channel: &Channel) -> BTreeSet<u64> {
    let mut ids = BTreeSet::new();
    channel.for_each_id(|id| assert!(ids.insert(id), "{id} twice"));
    ids
}

fn slots(channel: &Channel) -> BTreeSet<u64> {
    let mut slots = Vec::new();
    for reactor in 0..REACTORS {
        let before = slots.len();
        channel.members_on(reactor, &mut slots);
        for (slot, generation) in &slots[before..] {
            assert_eq!(
                (slot % u32::from(REACTORS), *generation),
                (reactor.into(), 1)
            );
        }
    }
    slots.into_iter().map(|(slot, _)| slot.into()).collect()
}

#[test]
fn a_closed_member_is_not_found_and_in_no_channel() {
    let registry = registry();
    let member = inserted(&registry, 1);
    let room = registry.join(&member, ChannelKind::Group, "room").unwrap();
    registry.bind(&member, Some("ada")).unwrap();
    assert!(Arc::ptr_eq(&registry.get(1).unwrap(), &member));
    assert!(registry.close(&member));
    assert!(!registry.close(&member));
    assert!(registry.get(1).is_none() && !member.is_open() && room.is_empty());
    assert_eq!(registry.count(None), 0);
    for kind in KINDS {
        assert_eq!(
            (member.names(kind).len(), registry.channel_count(kind)),
            (0, 0)
        );
        let refused = registry.join(&member, kind, "room").map(|_| ());
        assert_eq!(refused, Err(JoinError::Closed));
    }
    assert_eq!(registry.bind(&member, None), Err(JoinError::Closed));
    assert!(!registry.leave(&member, ChannelKind::Group, "room"));
    assert!(!member.set_state(None));
    registry.insert(Arc::clone(&member));
    assert!(registry.get(1).is_none());
}

#[test]
fn a_suspended_member_is_not_found_and_stays_in_its_channels() {
    let registry = registry();
    let member = inserted(&registry, 1);
    let room = registry.join(&member, ChannelKind::Group, "room").unwrap();
    registry.bind(&member, Some("ada")).unwrap();
    assert!(registry.suspend(&member));
    assert!(!registry.suspend(&member));
    assert!(registry.get(1).is_none() && !member.is_open());
    assert_eq!((registry.count(None), room.len()), (0, 1));
    assert!(member.is_in(ChannelKind::Uid, "ada"));
    let refused = registry
        .join(&member, ChannelKind::Group, "other")
        .map(|_| ());
    assert_eq!(refused, Err(JoinError::Closed));
    assert!(!registry.close(&member), "it was not open any more");
    assert!(room.is_empty() && member.uid().is_none());
    assert!(KINDS.iter().all(|kind| registry.channel_count(*kind) == 0));
}

#[test]
fn names_have_1_to_255_bytes() {
    let registry = registry();
    let member = inserted(&registry, 1);
    for kind in KINDS {
        for name in ["", &"a".repeat(256), &"é".repeat(128)] {
            let refused = registry.join(&member, kind, name).map(|_| ());
            assert_eq!(refused, Err(JoinError::BadName), "{name}");
        }
        assert!(registry.join(&member, kind, &"a".repeat(255)).is_ok());
    }
    assert_eq!(registry.bind(&member, Some("")), Err(JoinError::BadName));
    assert_eq!(
        registry.retain("", None).map(|_| ()),
        Err(RetainError::BadName)
    );
}

#[test]
fn a_member_is_in_1024_topics_and_groups_and_not_in_one_more() {
    let registry = registry();
    let member = inserted(&registry, 1);
    for index in 0..CHANNELS_PER_MEMBER_MAX {
        let kind = KINDS[index % 2];
        registry.join(&member, kind, &index.to_string()).unwrap();
    }
    let refused = registry
        .join(&member, ChannelKind::Topic, "more")
        .map(|_| ());
    assert_eq!(refused, Err(JoinError::TooMany));
    assert!(registry.channel(ChannelKind::Topic, "more").is_none());
    assert!(
        registry.join(&member, ChannelKind::Topic, "0").is_ok(),
        "it is in it"
    );
    assert!(
        registry
            .bind(&member, Some("a uid is not one of them"))
            .is_ok()
    );
    assert!(registry.leave(&member, ChannelKind::Topic, "0"));
    assert!(registry.join(&member, ChannelKind::Topic, "more").is_ok());
}

#[test]
fn a_slot_given_to_another_connection_is_not_taken_from_it() {
    let registry = registry();
    let before = inserted(&registry, 3);
    let topic = registry.join(&before, ChannelKind::Topic, "news").unwrap();
    let place = Place {
        generation: 2,
        ..before.place
    };
    let after = Arc::new(Member::new(
        ConnectionId(6),
        place,
        0,
        MemberKind::WebSocket,
    ));
    registry.insert(Arc::clone(&after));
    registry.join(&after, ChannelKind::Topic, "news").unwrap();
    registry.close(&before);
    assert_eq!((ids(&topic), topic.len()), ([6].into(), 1));
    registry.close(&after);
    assert_eq!(registry.channel_count(ChannelKind::Topic), 0);
}

#[test]
fn names_that_nobody_uses_any_more_leave_nothing() {
    let registry = registry();
    let member = inserted(&registry, 1);
    for index in 0..1_000_000 {
        let kind = KINDS[index % 3];
        let name = index.to_string();
        registry.join(&member, kind, &name).unwrap();
        registry.leave(&member, kind, &name);
        if index % 1000 == 0 {
            assert!(KINDS.iter().all(|kind| registry.channel_count(*kind) == 0));
        }
    }
    assert!(KINDS.iter().all(|kind| registry.channel_count(*kind) == 0));
}

#[test]
fn a_crowd_leaves_a_channel_in_any_order() {
    let registry = registry();
    let crowd: Vec<_> = (1..=100_000).map(|id| inserted(&registry, id)).collect();
    for member in &crowd {
        registry.join(member, ChannelKind::Topic, "news").unwrap();
        registry.join(member, ChannelKind::Group, "all").unwrap();
    }
    let topic = registry.channel(ChannelKind::Topic, "news").unwrap();
    assert_eq!(topic.len(), crowd.len());
    assert_eq!(registry.count(None), crowd.len());
    for member in &crowd {
        registry.leave(member, ChannelKind::Topic, "news");
    }
    for member in crowd.iter().rev() {
        registry.close(member);
    }
    assert_eq!((topic.len(), registry.count(None)), (0, 0));
    assert_eq!(registry.channel_size(ChannelKind::Group, "all"), 0);
    registry.purge(0);
}

#[test]
fn a_retained_message_is_there_for_whoever_comes() {
    let registry = registry();
    assert_eq!(
        registry.retain("score", None).map(|_| ()),
        Err(RetainError::NoTopic)
    );
    let topic = registry.retain("score", Some(Arc::new(1))).unwrap();
    registry.retain("score", Some(Arc::new(2))).unwrap();
    let member = inserted(&registry, 1);
    let joined = registry.join(&member, ChannelKind::Topic, "score").unwrap();
    assert!(Arc::ptr_eq(&topic, &joined));
    assert_eq!(registry.retained(&joined).as_deref(), Some(&2));
    registry.leave(&member, ChannelKind::Topic, "score");
    assert_eq!(registry.channel_count(ChannelKind::Topic), 1);
    registry.retain("score", None).unwrap();
    assert_eq!(registry.retained(&joined), None);
    assert_eq!(registry.channel_count(ChannelKind::Topic), 0);
}

#[test]
fn ten_thousand_topics_retain_a_message_and_not_one_more() {
    let registry = registry();
    for index in 0..RETAINED_MAX {
        registry
            .retain(&index.to_string(), Some(Arc::new(0)))
            .unwrap();
    }
    let refused = registry.retain("more", Some(Arc::new(0))).map(|_| ());
    assert_eq!(refused, Err(RetainError::TooMany));
    assert_eq!(registry.channel_count(ChannelKind::Topic), RETAINED_MAX);
    assert!(
        registry.retain("0", Some(Arc::new(1))).is_ok(),
        "it takes the place of its own"
    );
    registry.retain("1", None).unwrap();
    assert!(registry.retain("more", Some(Arc::new(0))).is_ok());
}

#[test]
fn a_history_outlives_its_last_subscriber_for_its_age() {
    let age = HistoryLimits::default().age_ms;
    let registry = registry();
    let first = inserted(&registry, 1);
    let topic = registry.join(&first, ChannelKind::Topic, "score").unwrap();
    assert!(!topic.has_history());
    assert!(registry.keep_history(&topic) && topic.has_history());
    registry.close(&first);
    registry.purge(0);
    registry.publish(&topic, Arc::new(7), 1, 0);
    registry.purge(age - 1);
    let second = inserted(&registry, 2);
    let joined = registry.join(&second, ChannelKind::Topic, "score").unwrap();
    assert!(Arc::ptr_eq(&topic, &joined));
    let replay = registry.replay(std::slice::from_ref(&joined), 0, age - 1);
    assert_eq!((replay.entries.len(), replay.complete), (1, true));
    // Who comes back in time starts the wait anew.
    registry.keep_history(&joined);
    registry.close(&second);
    registry.purge(age);
    assert!(topic.has_history());
    registry.purge(2 * age);
    assert!(!topic.has_history());
    assert_eq!(registry.channel_count(ChannelKind::Topic), 0);
    assert!(
        !registry.keep_history(&topic),
        "nobody can subscribe to it any more"
    );
}

#[test]
fn only_topics_have_a_history() {
    let registry = registry();
    let member = inserted(&registry, 1);
    let room = registry.join(&member, ChannelKind::Group, "room").unwrap();
    assert!(!registry.keep_history(&room) && !room.has_history());
}

#[derive(Clone, Debug)]
enum Step {
    Insert,
    Close(usize),
    Join(usize, usize, usize),
    Leave(usize, usize, usize),
    Bind(usize, Option<usize>),
    Retain(usize, Option<u64>),
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn step() -> impl Strategy<Value = Step> {
    let who = 0..12_usize;
    let name = 0..NAMES.len();
    prop_oneof![
        3 => Just(Step::Insert),
        1 => who.clone().prop_map(Step::Close),
        6 => (who.clone(), 0..3_usize, name.clone()).prop_map(|(who, kind, name)| Step::Join(who, kind, name)),
        4 => (who.clone(), 0..3_usize, name.clone()).prop_map(|(who, kind, name)| Step::Leave(who, kind, name)),
        1 => (who, prop::option::of(name.clone())).prop_map(|(who, name)| Step::Bind(who, name)),
        1 => (name, prop::option::of(any::<u64>())).prop_map(|(name, message)| Step::Retain(name, message)),
    ]
}

/// What a member should be: its names by kind, in the order of joining; `None` when it is closed.
type Model = Vec<Option<[Vec<&'static str>; 3]>>;

fn check(
    registry: &Registry<u64>,
    members: &[Arc<Member>],
    model: &Model,
    retained: &BTreeMap<&str, u64>,
) {
    let open: Vec<u64> = (0..model.len())
        .filter(|index| model[*index].is_some())
        .map(|index| index as u64 + 1)
        .collect();
    assert_eq!(registry.ids(None, 0, usize::MAX), open);
    assert_eq!(registry.count(None), open.len());
    for port in 0..PORTS as u16 {
        let on_port: Vec<u64> = open
            .iter()
            .copied()
            .filter(|id| id % PORTS as u64 == u64::from(port))
            .collect();
        assert_eq!(registry.count(Some(port)), on_port.len());
        assert_eq!(
            registry.ids(Some(port), 2, 3),
            on_port
                .into_iter()
                .filter(|id| *id > 2)
                .take(3)
                .collect::<Vec<_>>()
        );
    }
    assert_eq!(
        registry.ids(None, 1, 2),
        open.iter()
            .copied()
            .filter(|id| *id > 1)
            .take(2)
            .collect::<Vec<_>>()
    );
    for (index, names) in model.iter().enumerate() {
        let member = &members[index];
        assert_eq!(registry.get(member.id.0).is_some(), names.is_some());
        assert_eq!(member.is_open(), names.is_some());
        for kind in KINDS {
            let expected = names
                .as_ref()
                .map_or(&[][..], |names| &names[kind as usize]);
            assert_eq!(member.names(kind), expected);
            for name in NAMES {
                assert_eq!(member.is_in(kind, name), expected.contains(&name));
            }
        }
        assert_eq!(
            member.uid().as_deref(),
            member.names(ChannelKind::Uid).first().map(String::as_str)
        );
    }
    for kind in KINDS {
        let mut count = 0;
        for name in NAMES {
            let expected: BTreeSet<u64> = (0..model.len())
                .filter(|index| {
                    model[*index]
                        .as_ref()
                        .is_some_and(|names| names[kind as usize].contains(&name))
                })
                .map(|index| index as u64 + 1)
                .collect();
            let is_retained = kind == ChannelKind::Topic && retained.contains_key(name);
            let found = registry.channel(kind, name);
            assert_eq!(found.is_some(), is_retained || !expected.is_empty());
            assert_eq!(registry.channel_size(kind, name), expected.len());
            let Some(channel) = found else { continue };
            count += 1;
            assert_eq!((channel.kind, &*channel.name), (kind, name));
            assert_eq!(
                (ids(&channel), slots(&channel)),
                (expected.clone(), expected)
            );
            let message = is_retained.then(|| retained[name]);
            assert_eq!(registry.retained(&channel).map(|message| *message), message);
        }
        assert_eq!(registry.channel_count(kind), count);
    }
    assert!(registry.ids(Some(PORTS as u16), 0, 1).is_empty());
}

proptest! {
    #[test]
    fn it_does_what_a_list_of_names_does(steps in prop::collection::vec(step(), 0..120)) {
        let registry = registry();
        let mut members: Vec<Arc<Member>> = Vec::new();
        let mut model = Model::new();
        let mut retained = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert if members.len() < 12 => {
                    members.push(inserted(&registry, members.len() as u64 + 1));
                    model.push(Some(Default::default()));
                }
                Step::Close(who) if who < members.len() => {
                    prop_assert_eq!(registry.close(&members[who]), model[who].take().is_some());
                }
                Step::Join(who, kind, name) if who < members.len() => {
                    let joined = registry.join(&members[who], KINDS[kind], NAMES[name]);
                    prop_assert_eq!(joined.is_ok(), model[who].is_some());
                    if let Some(names) = &mut model[who] && !names[kind].contains(&NAMES[name]) {
                        if KINDS[kind] == ChannelKind::Uid {
                            names[kind].clear();
                        }
                        names[kind].push(NAMES[name]);
                    }
                }
                Step::Leave(who, kind, name) if who < members.len() => {
                    let mut was_in = false;
                    if let Some(names) = &mut model[who] {
                        was_in = names[kind].contains(&NAMES[name]);
                        names[kind].retain(|other| *other != NAMES[name]);
                    }
                    prop_assert_eq!(registry.leave(&members[who], KINDS[kind], NAMES[name]), was_in);
                }
                Step::Bind(who, name) if who < members.len() => {
                    let uid = name.map(|name| NAMES[name]);
                    prop_assert_eq!(registry.bind(&members[who], uid).is_ok(), model[who].is_some());
                    if let Some(names) = &mut model[who] {
                        names[ChannelKind::Uid as usize] = uid.into_iter().collect();
                    }
                }
                Step::Retain(name, message) => {
                    let name = NAMES[name];
                    let exists = registry.channel(ChannelKind::Topic, name).is_some();
                    let done = registry.retain(name, message.map(Arc::new));
                    prop_assert_eq!(done.is_ok(), message.is_some() || exists);
                    match message {
                        Some(message) => retained.insert(name, message),
                        None => retained.remove(name),
                    };
                }
                _ => {}
            }
            check(&registry, &members, &model, &retained);
        }
    }
}

/// Xorshift: which steps the threads take does not matter, only that they are many and mixed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

const THREADS: u64 = 4;

/// Every member in exactly the channels it says, and every channel with somebody in it.
fn check_at_rest(registry: &Registry<u64>, members: &[Arc<Member>]) {
    for kind in KINDS {
        let mut count = 0;
        for name in NAMES {
            let expected: BTreeSet<u64> = members
                .iter()
                .filter(|member| member.is_in(kind, name))
                .map(|member| member.id.0)
                .collect();
            assert_eq!(registry.channel_size(kind, name), expected.len());
            if let Some(channel) = registry.channel(kind, name) {
                count += 1;
                assert!(!expected.is_empty(), "{name} should be gone");
                assert_eq!(
                    (ids(&channel), slots(&channel)),
                    (expected.clone(), expected)
                );
            }
        }
        assert_eq!(registry.channel_count(kind), count);
    }
}

#[test]
fn who_joins_while_others_leave_is_found_in_the_channel() {
    let registry = registry();
    let members: Vec<_> = (1..=THREADS).map(|id| inserted(&registry, id)).collect();
    thread::scope(|scope| {
        for member in &members {
            let registry = &registry;
            scope.spawn(move || {
                let mut dice = Dice(member.id.0);
                for _ in 0..50_000 {
                    // Few names, so that channels come and go all the time.
                    let (kind, name) = (KINDS[dice.below(3)], NAMES[dice.below(2)]);
                    let joined = registry.join(member, kind, name).unwrap();
                    let found = registry.channel(kind, name).expect("a member is in it");
                    assert!(Arc::ptr_eq(&joined, &found) && !joined.is_empty());
                    assert!(registry.leave(member, kind, name));
                }
            });
        }
    });
    check_at_rest(&registry, &members);
    assert!(KINDS.iter().all(|kind| registry.channel_count(*kind) == 0));
}

#[test]
fn threads_that_join_leave_and_close_the_same_members_agree_in_the_end() {
    let registry = registry();
    let members: Vec<_> = (1..=64).map(|id| inserted(&registry, id)).collect();
    let closed = AtomicU64::new(0);
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let (registry, members, closed) = (&registry, &members, &closed);
            scope.spawn(move || {
                let mut dice = Dice(seed);
                for _ in 0..20_000 {
                    let member = &members[dice.below(members.len())];
                    let (kind, name) = (KINDS[dice.below(3)], NAMES[dice.below(4)]);
                    match dice.below(1000) {
                        0..500 => drop(registry.join(member, kind, name)),
                        500..998 => drop(registry.leave(member, kind, name)),
                        998 => drop(registry.bind(member, None)),
                        _ => {
                            closed.fetch_add(registry.close(member).into(), Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let open = members.iter().filter(|member| member.is_open()).count();
    assert_eq!(
        closed.into_inner(),
        (members.len() - open) as u64,
        "each is closed once"
    );
    assert_eq!(registry.count(None), open);
    check_at_rest(&registry, &members);
    for member in &members {
        registry.close(member);
    }
    assert!(KINDS.iter().all(|kind| registry.channel_count(*kind) == 0));
}

#[test]
fn every_reactor_gets_what_threads_publish_in_one_order() {
    const EACH: u64 = 5_000;
    let registry = registry();
    let member = inserted(&registry, 1);
    let topics = ["a", "b"].map(|name| registry.join(&member, ChannelKind::Topic, name).unwrap());
    // One with a history and one without: the order is the same.
    registry.keep_history(&topics[0]);
    let taken = thread::scope(|scope| {
        for _ in 0..THREADS {
            let (registry, topics) = (&registry, &topics);
            scope.spawn(move || {
                let mut last = 0;
                for round in 0..EACH {
                    let topic = &topics[(round % 2) as usize];
                    let number = registry.publish(topic, Arc::new(round), 8, 0);
                    assert!(number > last, "a thread's own order is kept");
                    last = number;
                }
            });
        }
        let takers: Vec<_> = (0..REACTORS)
            .map(|reactor| {
                let registry = &registry;
                scope.spawn(move || {
                    let mut taken = Vec::new();
                    while taken.len() < (THREADS * EACH) as usize {
                        registry.take_published(reactor, &mut taken);
                        thread::yield_now();
                    }
                    taken
                })
            })
            .collect();
        takers
            .into_iter()
            .map(|taker| taker.join().unwrap())
            .collect::<Vec<_>>()
    });
    for entries in &taken {
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
        assert_eq!(numbers, (1..=THREADS * EACH).collect::<Vec<_>>());
        for (entry, elsewhere) in entries.iter().zip(&taken[0]) {
            assert!(Arc::ptr_eq(&entry.message, &elsewhere.message));
            assert!(Arc::ptr_eq(&entry.channel, &elsewhere.channel));
        }
    }
}

#[test]
fn a_subscriber_that_joins_and_asks_misses_nothing_and_gets_nothing_twice() {
    const MESSAGES: u64 = 2_000;
    let registry = registry();
    let first = inserted(&registry, 3);
    let topic = registry.join(&first, ChannelKind::Topic, "score").unwrap();
    registry.keep_history(&topic);
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            for message in 0..MESSAGES {
                registry.publish(&topic, Arc::new(message), 8, 0);
                thread::yield_now();
            }
        });
        // It comes back again and again, each time with the number of the last message it got.
        let (mut last, mut published) = (0, Vec::new());
        while last < MESSAGES {
            let is_over = publisher.is_finished();
            let replay = registry.replay(std::slice::from_ref(&topic), last, 0);
            let mut got: Vec<u64> = replay.entries.iter().map(|entry| entry.sequence).collect();
            published.clear();
            registry.take_published(0, &mut published);
            got.extend(
                published
                    .iter()
                    .map(|entry| entry.sequence)
                    .filter(|number| *number > replay.latest),
            );
            if replay.complete {
                assert_eq!(
                    got,
                    (last + 1..=last + got.len() as u64).collect::<Vec<_>>()
                );
            }
            last = got.last().copied().unwrap_or(last);
            assert!(!is_over || last == MESSAGES, "stopped at {last}");
        }
    });
}
