//! Messages kept for subscribers that come back.
//!
//! All topics with a history share one sequence of numbers, so that one number tells how far a subscriber of many topics
//! has come. A message gets its number, its place in the topic's ring and its place in every reactor's queue in one
//! step: whichever thread publishes, every reactor delivers in the order of the numbers.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use crate::channel::Channel;

/// How much is kept.
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
/// What a kept message costs besides its bytes, so that many empty ones are bounded, too.
const ENTRY_BYTES: usize = 128;

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
            *given_up = self.give_up_one();
            if given_up.is_none() {
                return false;
            }
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
    published.bytes.saturating_add(ENTRY_BYTES)
}
