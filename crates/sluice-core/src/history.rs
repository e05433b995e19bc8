//! Messages kept for subscribers that come back.
//!
//! All topics with a history share one sequence of numbers, so that one number tells how far a subscriber of many topics
//! has come. A message gets its number, its place in the topic's ring and its place in every reactor's queue in one
//! step: whichever thread publishes, every reactor delivers in the order of the numbers.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use crate::channel::Channel;

/// How much is kept. A message counts [`MESSAGE_OVERHEAD_BYTES`] more than it is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Messages of one topic; 0 = nothing is kept at all. Default 128.
    pub messages: usize,
    /// Bytes of one topic. Default 256 KiB.
    pub bytes: usize,
    /// How long a message is kept, and a topic's history after its last subscriber has left, in milliseconds; 0 = nothing
    /// is kept at all. Default 5 min.
    pub age_ms: u64,
    /// Bytes of all topics. Default 64 MiB.
    pub total_bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            messages: 128,
            bytes: 256 * 1024,
            age_ms: 5 * 60 * 1000,
            total_bytes: 64 * 1024 * 1024,
        }
    }
}

/// A message with its number.
#[derive(Debug)]
pub struct Published<M> {
    /// From 1, without gaps over all topics.
    pub sequence: u64,
    /// The topic.
    pub channel: Arc<Channel>,
    /// What was published.
    pub message: Arc<M>,
    /// Its length, as the publisher said.
    pub bytes: usize,
}

// Not derived: a derived one would want messages that can be cloned.
impl<M> Clone for Published<M> {
    fn clone(&self) -> Self {
        Self {
            sequence: self.sequence,
            channel: Arc::clone(&self.channel),
            message: Arc::clone(&self.message),
            bytes: self.bytes,
        }
    }
}

/// What a subscriber that comes back has missed.
#[derive(Debug)]
pub struct Replay<M> {
    /// In the order of their numbers.
    pub entries: Vec<Published<M>>,
    /// False when it has missed messages that are no longer kept, or may have.
    pub complete: bool,
    /// The number of the last message of all topics: what comes after it is still to be delivered.
    pub latest: u64,
}

/// Topics that have a history; beyond, those without subscribers lose theirs, and if there are none nothing is kept.
pub(crate) const TOPICS_MAX: usize = 65_536;
/// How many topics one [`History::keep`] looks at to find one to give up.
const LOOKED_AT: usize = 64;
/// What a kept message counts besides its bytes, so that many empty ones are bounded, too.
pub const MESSAGE_OVERHEAD_BYTES: usize = 128;

/// The histories of all topics. Plain data: [`Registry`](crate::registry::Registry) holds its lock.
#[derive(Debug)]
pub(crate) struct History<M> {
    limits: HistoryLimits,
    /// The last number given.
    sequence: u64,
    /// Everything that is kept, by number.
    entries: BTreeMap<u64, Entry<M>>,
    /// Cost of `entries`.
    cost: usize,
    /// By [`Channel::serial`].
    topics: BTreeMap<u64, Topic>,
    /// The topic that was last looked at to be given up.
    hand: u64,
    /// For each reactor: what it has not taken yet.
    queues: Vec<Vec<Published<M>>>,
}

#[derive(Debug)]
struct Entry<M> {
    published: Published<M>,
    at: u64,
}

#[derive(Debug)]
struct Topic {
    channel: Arc<Channel>,
    /// Numbers of its entries, ascending.
    numbers: VecDeque<u64>,
    /// Cost of its entries.
    cost: usize,
    /// Whoever has seen nothing after this may have missed something that is not kept.
    lost: u64,
    /// Since when it was seen without subscribers.
    idle_since: Option<u64>,
}

impl<M> History<M> {
    pub(crate) fn new(reactors: u8, limits: HistoryLimits) -> Self {
        Self {
            limits,
            sequence: 0,
            entries: BTreeMap::new(),
            cost: 0,
            topics: BTreeMap::new(),
            hand: 0,
            queues: (0..reactors).map(|_| Vec::new()).collect(),
        }
    }

    /// Keeps what is published to a topic from now on. False when that is one too many. `given_up`: another one that
    /// lost its history for it.
    pub(crate) fn keep(
        &mut self,
        channel: &Arc<Channel>,
        given_up: &mut Option<Arc<Channel>>,
    ) -> bool {
        if let Some(topic) = self.topics.get_mut(&channel.serial) {
            topic.idle_since = None;
            return true;
        }
        if self.limits.messages == 0 || self.limits.age_ms == 0 {
            return false;
        }
        if self.topics.len() >= TOPICS_MAX {
            let Some(other) = self.give_up_one() else {
                return false;
            };
            *given_up = Some(other);
        }
        let topic = Topic {
            channel: Arc::clone(channel),
            numbers: VecDeque::new(),
            cost: 0,
            lost: self.sequence,
            idle_since: None,
        };
        self.topics.insert(channel.serial, topic);
        true
    }

    /// Takes the history of a topic without subscribers, in turn.
    fn give_up_one(&mut self) -> Option<Arc<Channel>> {
        for _ in 0..LOOKED_AT {
            let after = self.topics.range((Excluded(self.hand), Unbounded)).next();
            let (&serial, topic) = after.or_else(|| self.topics.first_key_value())?;
            self.hand = serial;
            if topic.channel.is_empty() {
                return self.forget(serial);
            }
        }
        None
    }

    fn forget(&mut self, serial: u64) -> Option<Arc<Channel>> {
        let topic = self.topics.remove(&serial)?;
        for number in &topic.numbers {
            self.entries.remove(number);
        }
        self.cost -= topic.cost;
        Some(topic.channel)
    }

    /// Numbers a message, keeps it if its topic has a history, and queues it for every reactor.
    pub(crate) fn publish(
        &mut self,
        channel: &Arc<Channel>,
        message: Arc<M>,
        bytes: usize,
        now: u64,
    ) -> u64 {
        self.sequence += 1;
        let published = Published {
            sequence: self.sequence,
            channel: Arc::clone(channel),
            message,
            bytes,
        };
        for queue in &mut self.queues {
            queue.push(published.clone());
        }
        self.append(published, now);
        self.sequence
    }

    fn append(&mut self, published: Published<M>, now: u64) {
        let serial = published.channel.serial;
        let Some(topic) = self.topics.get_mut(&serial) else {
            return;
        };
        let cost = cost(&published);
        topic.numbers.push_back(published.sequence);
        topic.cost += cost;
        self.cost += cost;
        self.entries
            .insert(published.sequence, Entry { published, at: now });
        self.trim(serial, now);
        while self.cost > self.limits.total_bytes {
            // The oldest of all is the oldest of its topic.
            let Some((_, oldest)) = self.entries.first_key_value() else {
                return;
            };
            self.drop_oldest(oldest.published.channel.serial);
        }
    }

    /// Drops what is too old or too much for one topic.
    fn trim(&mut self, serial: u64, now: u64) {
        while let Some(topic) = self.topics.get(&serial)
            && let Some(number) = topic.numbers.front()
        {
            let is_old = self
                .entries
                .get(number)
                .is_none_or(|entry| entry.at.saturating_add(self.limits.age_ms) <= now);
            let is_much =
                topic.numbers.len() > self.limits.messages || topic.cost > self.limits.bytes;
            if !is_old && !is_much {
                return;
            }
            self.drop_oldest(serial);
        }
    }

    fn drop_oldest(&mut self, serial: u64) {
        let Some(topic) = self.topics.get_mut(&serial) else {
            return;
        };
        let Some(number) = topic.numbers.pop_front() else {
            return;
        };
        topic.lost = number;
        if let Some(entry) = self.entries.remove(&number) {
            let cost = cost(&entry.published);
            topic.cost -= cost;
            self.cost -= cost;
        }
    }

    /// Appends what was published since the reactor last took, in order.
    pub(crate) fn take(&mut self, reactor: u8, out: &mut Vec<Published<M>>) {
        if let Some(queue) = self.queues.get_mut(usize::from(reactor)) {
            // The queue starts over without the memory of its longest time.
            out.append(&mut std::mem::take(queue));
        }
    }

    /// What was published to any of these topics after the number `after`.
    pub(crate) fn replay(&mut self, channels: &[Arc<Channel>], after: u64, now: u64) -> Replay<M> {
        let mut numbers = Vec::new();
        let mut complete = true;
        for channel in channels {
            self.trim(channel.serial, now);
            match self.topics.get(&channel.serial) {
                Some(topic) => {
                    complete &= topic.lost <= after;
                    let from = topic.numbers.partition_point(|number| *number <= after);
                    numbers.extend(topic.numbers.range(from..));
                }
                // Who is up to date has missed nothing.
                None => complete &= self.sequence <= after,
            }
        }
        numbers.sort_unstable();
        // A topic may be named twice.
        numbers.dedup();
        let entries = numbers
            .iter()
            .filter_map(|number| Some(self.entries.get(number)?.published.clone()))
            .collect();
        Replay {
            entries,
            complete,
            latest: self.sequence,
        }
    }

    /// Drops what is too old. Returns the topics that have lost their history because nobody has come for it.
    pub(crate) fn purge(&mut self, now: u64) -> Vec<Arc<Channel>> {
        let serials: Vec<u64> = self.topics.keys().copied().collect();
        let mut forgotten = Vec::new();
        for serial in serials {
            self.trim(serial, now);
            let Some(topic) = self.topics.get_mut(&serial) else {
                continue;
            };
            if !topic.channel.is_empty() {
                topic.idle_since = None;
                continue;
            }
            let since = *topic.idle_since.get_or_insert(now);
            if since.saturating_add(self.limits.age_ms) <= now {
                forgotten.extend(self.forget(serial));
            }
        }
        forgotten
    }
}

fn cost<M>(published: &Published<M>) -> usize {
    published.bytes.saturating_add(MESSAGE_OVERHEAD_BYTES)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::channel::ChannelKind;
    use crate::id::ConnectionId;
    use crate::member::{Member, MemberKind, Place};

    const REACTORS: u8 = 2;

    fn topic(serial: u64) -> Arc<Channel> {
        let name = format!("t{serial}").into();
        Arc::new(Channel::new(ChannelKind::Topic, name, serial, REACTORS))
    }

    fn subscriber() -> Member {
        let place = Place {
            reactor: 0,
            slot: 0,
            generation: 1,
        };
        Member::new(ConnectionId(1), place, 0, MemberKind::EventStream)
    }

    fn history(limits: HistoryLimits) -> History<u64> {
        History::new(REACTORS, limits)
    }

    fn numbers(published: &[Published<u64>]) -> Vec<u64> {
        published.iter().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn a_ring_holds_as_many_messages_as_it_may_and_tells_what_it_lost() {
        let mut history = history(HistoryLimits {
            messages: 2,
            ..HistoryLimits::default()
        });
        let news = [topic(1)];
        assert!(history.keep(&news[0], &mut None));
        for payload in 1..=3 {
            assert_eq!(history.publish(&news[0], Arc::new(payload), 1, 0), payload);
        }
        let replay = history.replay(&news, 1, 0);
        assert_eq!(
            (numbers(&replay.entries), replay.complete),
            (vec![2, 3], true)
        );
        let replay = history.replay(&news, 0, 0);
        assert_eq!(
            (numbers(&replay.entries), replay.complete),
            (vec![2, 3], false)
        );
        assert_eq!(replay.latest, 3);
    }

    #[test]
    fn a_message_longer_than_the_bound_is_delivered_and_not_kept() {
        let mut history = history(HistoryLimits {
            bytes: 1000,
            ..HistoryLimits::default()
        });
        let news = [topic(1)];
        history.keep(&news[0], &mut None);
        history.publish(&news[0], Arc::new(1), 1001 - MESSAGE_OVERHEAD_BYTES, 0);
        assert!(!history.replay(&news, 0, 0).complete);
        let mut taken = Vec::new();
        history.take(0, &mut taken);
        assert_eq!(numbers(&taken), [1]);
        assert_eq!(history.cost, 0);
        history.publish(&news[0], Arc::new(2), 1000 - MESSAGE_OVERHEAD_BYTES, 0);
        assert_eq!(numbers(&history.replay(&news, 1, 0).entries), [2]);
    }

    #[test]
    fn a_message_is_kept_for_its_age_and_no_longer() {
        let mut history = history(HistoryLimits {
            age_ms: 10,
            ..HistoryLimits::default()
        });
        let news = [topic(1)];
        history.keep(&news[0], &mut None);
        history.publish(&news[0], Arc::new(1), 1, 5);
        assert_eq!(numbers(&history.replay(&news, 0, 14).entries), [1]);
        let replay = history.replay(&news, 0, 15);
        assert!(replay.entries.is_empty() && !replay.complete);
    }

    #[test]
    fn nothing_is_kept_when_the_limits_say_so() {
        for (messages, age_ms) in [(0, 1), (1, 0)] {
            let mut history = history(HistoryLimits {
                messages,
                age_ms,
                ..HistoryLimits::default()
            });
            assert!(!history.keep(&topic(1), &mut None));
        }
    }

    #[test]
    fn a_topic_without_history_is_numbered_and_delivered_too() {
        let mut history = history(HistoryLimits::default());
        let news = [topic(1)];
        assert_eq!(history.publish(&news[0], Arc::new(1), 1, 0), 1);
        for reactor in 0..REACTORS {
            let mut taken = Vec::new();
            history.take(reactor, &mut taken);
            assert_eq!(numbers(&taken), [1]);
            history.take(reactor, &mut taken);
            assert_eq!(taken.len(), 1);
        }
        assert!(!history.replay(&news, 0, 0).complete);
        assert!(history.replay(&news, 1, 0).complete);
        assert!(history.replay(&news, u64::MAX, 0).complete);
    }

    #[test]
    fn one_topic_too_many_takes_the_place_of_one_without_subscribers() {
        let mut history = history(HistoryLimits::default());
        let member = subscriber();
        let busy = topic(1);
        busy.add(&member);
        assert!(history.keep(&busy, &mut None));
        for serial in 2..=TOPICS_MAX as u64 {
            assert!(history.keep(&topic(serial), &mut None));
        }
        let mut given_up = None;
        assert!(history.keep(&topic(u64::MAX), &mut given_up));
        assert_eq!(given_up.map(|channel| channel.serial), Some(2));
        assert!(history.topics.contains_key(&1) && history.topics.len() == TOPICS_MAX);
    }

    #[test]
    fn no_topic_is_given_up_while_all_have_subscribers() {
        let mut history = history(HistoryLimits::default());
        let member = subscriber();
        for serial in 1..=TOPICS_MAX as u64 {
            let topic = topic(serial);
            topic.add(&member);
            assert!(history.keep(&topic, &mut None));
        }
        let mut given_up = None;
        assert!(!history.keep(&topic(u64::MAX), &mut given_up));
        assert!(given_up.is_none());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Keep(usize),
        Publish(usize, usize),
        Replay(Vec<usize>, u64),
        Subscribe(usize),
        Unsubscribe(usize),
        Purge,
        Take(u8),
        Wait(u64),
    }

    const TOPICS: usize = 4;

    fn step() -> impl Strategy<Value = Step> {
        let topic = 0..TOPICS;
        prop_oneof![
            1 => topic.clone().prop_map(Step::Keep),
            6 => (topic.clone(), 0..600_usize).prop_map(|(topic, bytes)| Step::Publish(topic, bytes)),
            2 => (prop::collection::vec(topic.clone(), 0..4), 0..60_u64)
                .prop_map(|(topics, back)| Step::Replay(topics, back)),
            1 => topic.clone().prop_map(Step::Subscribe),
            1 => topic.prop_map(Step::Unsubscribe),
            1 => Just(Step::Purge),
            1 => (0..REACTORS).prop_map(Step::Take),
            2 => (1..15_u64).prop_map(Step::Wait),
        ]
    }

    /// The rules once more, over one list, and nothing put off.
    #[derive(Default)]
    struct Model {
        now: u64,
        sequence: u64,
        /// Number, topic, cost, time.
        kept: Vec<(u64, usize, usize, u64)>,
        /// Topics with a history, with the last number that is not kept.
        lost: HashMap<usize, u64>,
        idle_since: HashMap<usize, u64>,
        subscribed: [bool; TOPICS],
        untaken: [Vec<u64>; REACTORS as usize],
    }

    impl Model {
        fn drop_at(&mut self, at: usize) {
            let (number, topic, ..) = self.kept.remove(at);
            self.lost.insert(topic, number);
        }

        fn expire(&mut self, age: u64) {
            while self
                .kept
                .first()
                .is_some_and(|(.., at)| at + age <= self.now)
            {
                self.drop_at(0);
            }
        }

        fn publish(&mut self, topic: usize, bytes: usize, limits: &HistoryLimits) {
            self.sequence += 1;
            for queue in &mut self.untaken {
                queue.push(self.sequence);
            }
            if !self.lost.contains_key(&topic) {
                return;
            }
            let cost = bytes + MESSAGE_OVERHEAD_BYTES;
            self.kept.push((self.sequence, topic, cost, self.now));
            loop {
                let of_topic = || self.kept.iter().filter(|(_, other, ..)| *other == topic);
                let cost: usize = of_topic().map(|(_, _, cost, _)| cost).sum();
                if of_topic().count() <= limits.messages && cost <= limits.bytes {
                    break;
                }
                let oldest = self.kept.iter().position(|(_, other, ..)| *other == topic);
                self.drop_at(oldest.expect("something is too much"));
            }
            while self.kept.iter().map(|(_, _, cost, _)| cost).sum::<usize>() > limits.total_bytes {
                self.drop_at(0);
            }
        }

        fn replay(&self, topics: &[usize], after: u64) -> (Vec<u64>, bool) {
            let missed = self
                .kept
                .iter()
                .filter(|(number, topic, ..)| topics.contains(topic) && *number > after)
                .map(|(number, ..)| *number)
                .collect();
            let complete = topics
                .iter()
                .all(|topic| *self.lost.get(topic).unwrap_or(&self.sequence) <= after);
            (missed, complete)
        }

        fn purge(&mut self, age: u64) {
            for topic in 0..TOPICS {
                if self.subscribed[topic] || !self.lost.contains_key(&topic) {
                    self.idle_since.remove(&topic);
                } else if *self.idle_since.entry(topic).or_insert(self.now) + age <= self.now {
                    self.idle_since.remove(&topic);
                    self.lost.remove(&topic);
                    self.kept.retain(|(_, other, ..)| *other != topic);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_rules_say(steps in prop::collection::vec(step(), 0..200)) {
            let limits = HistoryLimits { messages: 5, bytes: 2000, age_ms: 40, total_bytes: 4000 };
            let mut history = history(limits);
            let topics: Vec<_> = (0..TOPICS).map(|index| topic(index as u64 + 1)).collect();
            let member = subscriber();
            let mut model = Model::default();
            for step in steps {
                model.expire(limits.age_ms);
                match step {
                    Step::Keep(topic) => {
                        prop_assert!(history.keep(&topics[topic], &mut None));
                        model.lost.entry(topic).or_insert(model.sequence);
                        model.idle_since.remove(&topic);
                    }
                    Step::Publish(topic, bytes) => {
                        let number = history.publish(&topics[topic], Arc::new(0), bytes, model.now);
                        model.publish(topic, bytes, &limits);
                        prop_assert_eq!(number, model.sequence);
                    }
                    Step::Replay(of, back) => {
                        let after = model.sequence.saturating_sub(back);
                        let channels: Vec<_> = of.iter().map(|topic| Arc::clone(&topics[*topic])).collect();
                        let replay = history.replay(&channels, after, model.now);
                        let (missed, complete) = model.replay(&of, after);
                        prop_assert_eq!(numbers(&replay.entries), missed);
                        prop_assert_eq!(replay.complete, complete);
                        prop_assert_eq!(replay.latest, model.sequence);
                        prop_assert!(replay.entries.iter().all(|entry| channels.iter().any(|channel| Arc::ptr_eq(channel, &entry.channel))));
                    }
                    Step::Subscribe(topic) => {
                        topics[topic].add(&member);
                        model.subscribed[topic] = true;
                    }
                    Step::Unsubscribe(topic) => {
                        topics[topic].remove(&member);
                        model.subscribed[topic] = false;
                    }
                    Step::Purge => {
                        history.purge(model.now);
                        model.purge(limits.age_ms);
                    }
                    Step::Take(reactor) => {
                        let mut taken = Vec::new();
                        history.take(reactor, &mut taken);
                        prop_assert_eq!(numbers(&taken), std::mem::take(&mut model.untaken[usize::from(reactor)]));
                    }
                    Step::Wait(millis) => model.now += millis,
                }
                prop_assert!(history.cost <= limits.total_bytes);
                prop_assert_eq!(history.cost, history.topics.values().map(|topic| topic.cost).sum::<usize>());
                prop_assert_eq!(history.entries.len(), history.topics.values().map(|topic| topic.numbers.len()).sum::<usize>());
            }
        }
    }
}
