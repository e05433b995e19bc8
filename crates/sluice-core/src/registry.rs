//! Who is connected, and who is in which channel.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use thiserror::Error;

use crate::channel::{Channel, ChannelKind, hold};
use crate::history::{History, HistoryLimits, Published, Replay};
use crate::member::{Inner, Member};

/// Bytes of a channel's name.
pub const NAME_BYTES_MAX: usize = 255;
/// Topics and groups of one connection.
pub const CHANNELS_PER_MEMBER_MAX: usize = 1024;
/// Topics with a retained message.
pub const RETAINED_MAX: usize = 10_000;

/// Why a connection is not in a channel. The connection is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JoinError {
    /// It is closed.
    #[error("The connection is closed")]
    Closed,
    /// It is in [`CHANNELS_PER_MEMBER_MAX`] channels.
    #[error("The connection is in as many channels as it may be")]
    TooMany,
    /// The name is empty or longer than [`NAME_BYTES_MAX`].
    #[error("The name of a channel must have 1 to 255 bytes")]
    BadName,
}

/// Why a message is not retained. What was retained before still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RetainError {
    /// There is nothing to forget: no topic has this name.
    #[error("There is no topic of this name")]
    NoTopic,
    /// [`RETAINED_MAX`] topics have a retained message.
    #[error("As many topics as may have a retained message")]
    TooMany,
    /// The name is empty or longer than [`NAME_BYTES_MAX`].
    #[error("The name of a topic must have 1 to 255 bytes")]
    BadName,
}

/// All WebSockets and event streams of a server with their channels. All methods may be called from any thread.
///
/// `M` is what is published. It is dropped while locks are held, so its drop takes none.
///
/// # Locks
///
/// In this order, each step optional; none is held while anything outside the registry runs:
///
/// 1. one of: a member's, the history's, the retained messages';
/// 2. a shard of a map;
/// 3. one of: the member list of a channel on one reactor, the ids of a port.
///
/// A channel is in its map while it has members or something is kept for it. It gets its first member under the shard's
/// lock and is removed under the shard's lock for writing once it is unused, so nobody joins one that has been removed.
#[derive(Debug)]
pub struct Registry<M> {
    reactors: u8,
    members: DashMap<u64, Arc<Member>>,
    /// By port, for lists in the order of ids.
    ids: Box<[Mutex<BTreeSet<u64>>]>,
    /// By [`ChannelKind`].
    channels: [DashMap<Arc<str>, Arc<Channel>>; 3],
    last_serial: AtomicU64,
    history: Mutex<History<M>>,
    /// The last messages of topics, for subscribers to come, by [`Channel::serial`].
    retained: Mutex<HashMap<u64, Arc<M>>>,
}

impl<M> Registry<M> {
    /// An empty registry. Places name a reactor in `0..reactors`, members a port in `0..ports`.
    pub fn new(reactors: u8, ports: usize, history: HistoryLimits) -> Self {
        Self {
            reactors,
            members: DashMap::new(),
            ids: (0..ports).map(|_| Mutex::default()).collect(),
            channels: [DashMap::new(), DashMap::new(), DashMap::new()],
            last_serial: AtomicU64::new(0),
            history: Mutex::new(History::new(reactors, history)),
            retained: Mutex::default(),
        }
    }

    /// A member is found by its id from now on, unless it is closed.
    pub fn insert(&self, member: Arc<Member>) {
        let inner = member.inner();
        if inner.is_open {
            let id = member.id.0;
            self.members.insert(id, Arc::clone(&member));
            lock(&self.ids[usize::from(member.port)]).insert(id);
        }
    }

    /// A member is no longer found, and leaves every channel. True the first time.
    ///
    /// The reactor calls it before it gives the member's slot to another connection.
    pub fn close(&self, member: &Member) -> bool {
        let mut inner = member.inner();
        let was_open = self.hide(member, &mut inner);
        let channels = std::mem::take(&mut inner.channels);
        for channel in channels.iter().chain(&inner.uid.take()) {
            self.exit(member, channel);
        }
        was_open
    }

    /// A member is no longer found, and stays in its channels until [`close`](Self::close): its connection is broken, and
    /// what is sent to them is kept in case its client comes back. True the first time.
    pub fn suspend(&self, member: &Member) -> bool {
        self.hide(member, &mut member.inner())
    }

    fn hide(&self, member: &Member, inner: &mut Inner) -> bool {
        if !std::mem::replace(&mut inner.is_open, false) {
            return false;
        }
        self.members.remove(&member.id.0);
        lock(&self.ids[usize::from(member.port)]).remove(&member.id.0);
        true
    }

    /// The open member with this id.
    pub fn get(&self, id: u64) -> Option<Arc<Member>> {
        self.members.get(&id).map(|member| Arc::clone(&member))
    }

    /// How many members are open, on one port or on all.
    pub fn count(&self, port: Option<u16>) -> usize {
        match port {
            Some(port) => self
                .ids
                .get(usize::from(port))
                .map_or(0, |ids| lock(ids).len()),
            None => self.ids.iter().map(|ids| lock(ids).len()).sum(),
        }
    }

    /// Ids of open members greater than `after`, ascending, at most `limit`; of one port or of all.
    pub fn ids(&self, port: Option<u16>, after: u64, limit: usize) -> Vec<u64> {
        let ports = match port {
            Some(port) => self.ids.get(usize::from(port)..=usize::from(port)),
            None => Some(&self.ids[..]),
        };
        let mut found = Vec::new();
        for ids in ports.unwrap_or_default() {
            found.extend(lock(ids).range((Excluded(after), Unbounded)).take(limit));
        }
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    /// Puts a member into a channel, which exists from then on. Nothing happens when it is in it. A uid takes the place
    /// of the one before, as with [`bind`](Self::bind).
    ///
    /// # Errors
    ///
    /// See [`JoinError`].
    pub fn join(
        &self,
        member: &Arc<Member>,
        kind: ChannelKind,
        name: &str,
    ) -> Result<Arc<Channel>, JoinError> {
        if !is_name(name) {
            return Err(JoinError::BadName);
        }
        let mut inner = member.inner();
        if !inner.is_open {
            return Err(JoinError::Closed);
        }
        if kind == ChannelKind::Uid {
            if let Some(uid) = inner.uid.as_ref().filter(|uid| *uid.name == *name) {
                return Ok(Arc::clone(uid));
            }
            let (uid, _) = self.enter(member, kind, name);
            if let Some(before) = inner.uid.replace(Arc::clone(&uid)) {
                self.exit(member, &before);
            }
            return Ok(uid);
        }
        if inner.channels.len() >= CHANNELS_PER_MEMBER_MAX {
            return inner.find(kind, name).cloned().ok_or(JoinError::TooMany);
        }
        let (channel, is_new) = self.enter(member, kind, name);
        if is_new {
            inner.channels.push(Arc::clone(&channel));
        }
        Ok(channel)
    }

    /// Takes a member out of a channel. False when it was not in it.
    pub fn leave(&self, member: &Arc<Member>, kind: ChannelKind, name: &str) -> bool {
        let mut inner = member.inner();
        let is_it = |channel: &Arc<Channel>| channel.kind == kind && *channel.name == *name;
        let left = match kind {
            ChannelKind::Uid => inner.uid.take_if(|uid| is_it(uid)),
            _ => {
                let at = inner.channels.iter().position(is_it);
                at.map(|at| inner.channels.remove(at))
            }
        };
        if let Some(channel) = &left {
            self.exit(member, channel);
        }
        left.is_some()
    }

    /// Says whose connection it is, in place of what was said before; `None`: nobody's.
    ///
    /// # Errors
    ///
    /// [`JoinError::Closed`] and [`JoinError::BadName`].
    pub fn bind(&self, member: &Arc<Member>, uid: Option<&str>) -> Result<(), JoinError> {
        if let Some(uid) = uid {
            return self.join(member, ChannelKind::Uid, uid).map(|_| ());
        }
        let mut inner = member.inner();
        if !inner.is_open {
            return Err(JoinError::Closed);
        }
        if let Some(uid) = inner.uid.take() {
            self.exit(member, &uid);
        }
        Ok(())
    }

    /// The channel of that name, if anybody is in it or anything is kept for it.
    pub fn channel(&self, kind: ChannelKind, name: &str) -> Option<Arc<Channel>> {
        self.channels[kind as usize]
            .get(name)
            .map(|channel| Arc::clone(&channel))
    }

    /// How many members a channel has; 0 when there is none of that name.
    pub fn channel_size(&self, kind: ChannelKind, name: &str) -> usize {
        self.channels[kind as usize]
            .get(name)
            .map_or(0, |channel| channel.len())
    }

    /// How many channels of one kind exist.
    pub fn channel_count(&self, kind: ChannelKind) -> usize {
        self.channels[kind as usize].len()
    }

    /// The channel with the member in it, and whether it was not before.
    fn enter(&self, member: &Member, kind: ChannelKind, name: &str) -> (Arc<Channel>, bool) {
        self.with_channel(kind, name, |channel| channel.add(member))
    }

    /// Makes the channel if there is none, and does something to it before it can be removed.
    fn with_channel<T>(
        &self,
        kind: ChannelKind,
        name: &str,
        act: impl FnOnce(&Arc<Channel>) -> T,
    ) -> (Arc<Channel>, T) {
        let map = &self.channels[kind as usize];
        // Mostly it exists, and many can use the shard at once.
        if let Some(channel) = map.get(name) {
            let done = act(&channel);
            return (Arc::clone(&channel), done);
        }
        let name: Arc<str> = name.into();
        let channel = map.entry(Arc::clone(&name)).or_insert_with(|| {
            // Relaxed: only that no two are alike matters.
            let serial = self.last_serial.fetch_add(1, Ordering::Relaxed) + 1;
            Arc::new(Channel::new(kind, name, serial, self.reactors))
        });
        let done = act(&channel);
        (Arc::clone(&channel), done)
    }

    fn exit(&self, member: &Member, channel: &Channel) {
        if channel.remove(member) {
            self.discard(channel);
        }
    }

    /// Removes a channel that nothing needs. Whoever takes the last reason away calls this.
    fn discard(&self, channel: &Channel) {
        self.channels[channel.kind as usize].remove_if(&channel.name, |_, found| {
            found.serial == channel.serial && found.is_unused()
        });
    }

    /// Keeps what is published to a topic from now on for subscribers that come back, until it has had no subscriber
    /// for the age of its messages. False when nothing is kept: it is no topic, the limits say so, or too many topics
    /// with subscribers have a history.
    pub fn keep_history(&self, channel: &Arc<Channel>) -> bool {
        if channel.kind != ChannelKind::Topic {
            return false;
        }
        let mut history = lock(&self.history);
        // Not for a channel that has left the map: nobody can subscribe to it any more.
        let Some(found) = self.channels[channel.kind as usize]
            .get(&channel.name)
            .filter(|found| found.serial == channel.serial)
        else {
            return false;
        };
        let mut given_up = None;
        let is_kept = history.keep(channel, &mut given_up);
        if is_kept {
            channel.hold(hold::HISTORY);
        }
        // The other one may be in the same shard.
        drop(found);
        if let Some(other) = given_up {
            other.let_go(hold::HISTORY);
            self.discard(&other);
        }
        is_kept
    }

    /// Numbers a message, keeps it if its topic has a history, and queues it for every reactor in the order of the
    /// numbers. `bytes` is its length, `now` the time in milliseconds. Returns the number.
    ///
    /// The queues are not bounded here: the caller counts what reactors have not taken.
    pub fn publish(&self, channel: &Arc<Channel>, message: Arc<M>, bytes: usize, now: u64) -> u64 {
        lock(&self.history).publish(channel, message, bytes, now)
    }

    /// Appends what was published since the reactor last took, in order.
    pub fn take_published(&self, reactor: u8, out: &mut Vec<Published<M>>) {
        lock(&self.history).take(reactor, out);
    }

    /// What was published to any of these topics after the number `after`; `u64::MAX` asks for nothing but the number of
    /// the latest message. Who has joined before misses nothing: what is not in the replay has a greater number than
    /// its latest and is in a queue.
    pub fn replay(&self, channels: &[Arc<Channel>], after: u64, now: u64) -> Replay<M> {
        lock(&self.history).replay(channels, after, now)
    }

    /// Drops what is too old to be kept, and memory that only a former crowd needed. To be called now and then, every few
    /// seconds; `now` in milliseconds.
    pub fn purge(&self, now: u64) {
        let mut history = lock(&self.history);
        for channel in history.purge(now) {
            channel.let_go(hold::HISTORY);
            self.discard(&channel);
        }
        drop(history);
        for map in &self.channels {
            shrink(map);
        }
        shrink(&self.members);
    }

    /// Keeps a message for subscribers to come, in place of the one before; `None`: keeps none. The topic exists while it
    /// has one. Returns the topic.
    ///
    /// # Errors
    ///
    /// See [`RetainError`].
    pub fn retain(&self, name: &str, message: Option<Arc<M>>) -> Result<Arc<Channel>, RetainError> {
        if !is_name(name) {
            return Err(RetainError::BadName);
        }
        let mut retained = lock(&self.retained);
        let found = self.channel(ChannelKind::Topic, name);
        let Some(message) = message else {
            let channel = found.ok_or(RetainError::NoTopic)?;
            if retained.remove(&channel.serial).is_some() {
                channel.let_go(hold::RETAINED);
                self.discard(&channel);
            }
            return Ok(channel);
        };
        let has_one = found.is_some_and(|channel| channel.is_held(hold::RETAINED));
        if !has_one && retained.len() >= RETAINED_MAX {
            return Err(RetainError::TooMany);
        }
        let (channel, ()) = self.with_channel(ChannelKind::Topic, name, |channel| {
            channel.hold(hold::RETAINED);
        });
        retained.insert(channel.serial, message);
        Ok(channel)
    }

    /// The message kept for subscribers to come.
    pub fn retained(&self, channel: &Channel) -> Option<Arc<M>> {
        // Most topics have none, and need no lock to know.
        if !channel.is_held(hold::RETAINED) {
            return None;
        }
        lock(&self.retained).get(&channel.serial).cloned()
    }
}

/// Gives memory back when three quarters lie empty and it is worth it.
fn shrink<K: Eq + Hash, V>(map: &DashMap<K, V>) {
    const KEPT: usize = 16_384;
    let capacity = map.capacity();
    if capacity > KEPT && map.len() < capacity / 4 {
        map.shrink_to_fit();
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
