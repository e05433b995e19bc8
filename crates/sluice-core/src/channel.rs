//! A named set of connections, to which a message can be sent as one.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::channel::member_list::{Added, MemberList, Seat};
use crate::member::Member;

mod member_list;

/// What a channel stands for. Names of different kinds are different channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ChannelKind {
    /// What anybody may subscribe to and publish on; the only kind with a history or a retained message.
    Topic = 0,
    /// What the application puts connections into.
    Group = 1,
    /// Whose connection it is: a connection is in one of these at most.
    Uid = 2,
}

impl ChannelKind {
    /// The kind with this number, as JavaScript gives it.
    pub fn from_u32(kind: u32) -> Option<Self> {
        match kind {
            0 => Some(Self::Topic),
            1 => Some(Self::Group),
            2 => Some(Self::Uid),
            _ => None,
        }
    }
}

/// Reasons to keep a channel that has no members.
pub(crate) mod hold {
    /// Messages are kept for subscribers that come back.
    pub(crate) const HISTORY: u8 = 1;
    /// A message is kept for subscribers that are to come.
    pub(crate) const RETAINED: u8 = 2;
}

/// See the module. Made and found by [`Registry`](crate::registry::Registry); one that has left it is empty for ever.
#[derive(Debug)]
pub struct Channel {
    /// What it stands for.
    pub kind: ChannelKind,
    /// 1 to 255 bytes.
    pub name: Arc<str>,
    /// Tells it from all others, those that had its name before it too.
    pub(crate) serial: u64,
    /// Members in all lists.
    len: AtomicUsize,
    /// Bits of [`hold`]. Set under a guard of the map that holds the channel, so never on one that has left it.
    holds: AtomicU8,
    /// By reactor. Made with the first member there: most channels have members on few reactors.
    lists: Box<[OnceLock<Box<Mutex<MemberList>>>]>,
}

impl Channel {
    pub(crate) fn new(kind: ChannelKind, name: Arc<str>, serial: u64, reactors: u8) -> Self {
        Self {
            kind,
            name,
            serial,
            len: AtomicUsize::new(0),
            holds: AtomicU8::new(0),
            lists: (0..reactors).map(|_| OnceLock::new()).collect(),
        }
    }

    /// How many connections are in it now.
    pub fn len(&self) -> usize {
        // Relaxed, here and where it is changed: changes have one order, as all are read-modify-write, so just one
        // leave sees the last member go. Whoever must see a join has a lock in common with it, the map's.
        self.len.load(Ordering::Relaxed)
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether messages to it are kept: [`Registry::publish`](crate::registry::Registry::publish) is the way to send them.
    pub fn has_history(&self) -> bool {
        self.is_held(hold::HISTORY)
    }

    /// Appends slot and generation of the members on one reactor, in no order.
    pub fn members_on(&self, reactor: u8, out: &mut Vec<(u32, u32)>) {
        if let Some(list) = self.list(reactor) {
            let list = lock(list);
            out.extend(list.seats().iter().map(|seat| (seat.slot, seat.generation)));
        }
    }

    /// Calls `visit` with the id of every member, in no order. No lock is held meanwhile: who comes or goes may be missed.
    pub fn for_each_id(&self, mut visit: impl FnMut(u64)) {
        for list in self.lists.iter().filter_map(OnceLock::get) {
            let seats = lock(list).seats().to_vec();
            for seat in seats {
                visit(seat.id);
            }
        }
    }

    fn list(&self, reactor: u8) -> Option<&Mutex<MemberList>> {
        Some(self.lists.get(usize::from(reactor))?.get()?)
    }

    /// False if the member is in it already. Only under a guard of the map: one that has left the map stays empty.
    pub(crate) fn add(&self, member: &Member) -> bool {
        let place = member.place;
        let list = self.lists[usize::from(place.reactor)].get_or_init(Box::default);
        let seat = Seat {
            slot: place.slot,
            generation: place.generation,
            id: member.id.0,
        };
        let added = lock(list).add(seat);
        if added == Added::New {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        added != Added::Already
    }

    /// True if that was its last member.
    pub(crate) fn remove(&self, member: &Member) -> bool {
        let place = member.place;
        let is_removed = self
            .list(place.reactor)
            .is_some_and(|list| lock(list).remove(place.slot, place.generation));
        is_removed && self.len.fetch_sub(1, Ordering::Relaxed) == 1
    }

    // Release and Acquire: who sees the bit finds what it stands for.

    pub(crate) fn is_held(&self, hold: u8) -> bool {
        self.holds.load(Ordering::Acquire) & hold != 0
    }

    pub(crate) fn hold(&self, hold: u8) {
        self.holds.fetch_or(hold, Ordering::Release);
    }

    pub(crate) fn let_go(&self, hold: u8) {
        self.holds.fetch_and(!hold, Ordering::Release);
    }

    /// Whether nothing needs it. Exact while the map is locked for writing.
    pub(crate) fn is_unused(&self) -> bool {
        self.is_empty() && self.holds.load(Ordering::Acquire) == 0
    }
}

fn lock(list: &Mutex<MemberList>) -> MutexGuard<'_, MemberList> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
