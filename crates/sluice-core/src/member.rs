//! A connection that outlives requests, as other threads see it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::send_account::{Claim, SendAccount, SendLimits};
use crate::channel::{Channel, ChannelKind};
use crate::id::ConnectionId;

mod send_account;

/// Where a connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The reactor that owns it.
    pub reactor: u8,
    /// Its slot in the reactor's table.
    pub slot: u32,
    /// Tells it from those that had the slot before it.
    pub generation: u32,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberKind {
    /// RFC 6455.
    WebSocket,
    /// Server-sent events.
    EventStream,
    /// Messages of the application's own, on a TCP port.
    Tcp,
}

/// A connection that outlives requests: where it is, in which channels, the application's state, and the account of what is
/// queued for it. Shared by its reactor, the worker that owns it and whoever sends to it; outlives all workers.
#[derive(Debug)]
pub struct Member {
    /// Never reused.
    pub id: ConnectionId,
    /// Where it lives, to the end of its life.
    pub place: Place,
    /// The index of the port that accepted it.
    pub port: u16,
    /// What is spoken on it.
    pub kind: MemberKind,
    /// What is queued for it.
    pub account: SendAccount,
    /// Guards membership: who closes it and who puts it into a channel take turns here. First in the order of locks,
    /// see [`Registry`](crate::registry::Registry).
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) is_open: bool,
    pub(crate) uid: Option<Arc<Channel>>,
    /// Topics and groups, in the order of joining.
    pub(crate) channels: Vec<Arc<Channel>>,
    state: Option<Box<[u8]>>,
}

impl Member {
    /// An open connection in no channel, without state. Nobody finds it before
    /// [`Registry::insert`](crate::registry::Registry::insert).
    pub fn new(id: ConnectionId, place: Place, port: u16, kind: MemberKind) -> Self {
        Self {
            id,
            place,
            port,
            kind,
            account: SendAccount::default(),
            inner: Mutex::new(Inner {
                is_open: true,
                uid: None,
                channels: Vec::new(),
                state: None,
            }),
        }
    }

    /// False from [`Registry::close`](crate::registry::Registry::close) on.
    pub fn is_open(&self) -> bool {
        self.inner().is_open
    }

    /// Whose connection it is.
    pub fn uid(&self) -> Option<Arc<str>> {
        self.inner().uid.as_ref().map(|uid| Arc::clone(&uid.name))
    }

    /// Whether it is in that channel.
    pub fn is_in(&self, kind: ChannelKind, name: &str) -> bool {
        self.inner().find(kind, name).is_some()
    }

    /// The names of its channels of one kind, in the order of joining.
    pub fn names(&self, kind: ChannelKind) -> Vec<String> {
        let inner = self.inner();
        inner
            .channels
            .iter()
            .chain(&inner.uid)
            .filter(|channel| channel.kind == kind)
            .map(|channel| channel.name.as_ref().into())
            .collect()
    }

    /// A copy of the application's state. Still there when the connection is closed.
    pub fn state(&self) -> Option<Box<[u8]>> {
        self.inner().state.clone()
    }

    /// Keeps a state, in place of the one before. False, and nothing changes, once the connection is closed.
    pub fn set_state(&self, state: Option<Box<[u8]>>) -> bool {
        let mut inner = self.inner();
        if !inner.is_open {
            return false;
        }
        inner.state = state;
        true
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(crate) fn find(&self, kind: ChannelKind, name: &str) -> Option<&Arc<Channel>> {
        self.channels
            .iter()
            .chain(&self.uid)
            .find(|channel| channel.kind == kind && *channel.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_small() {
        assert!(size_of::<Member>() <= 200, "{}", size_of::<Member>());
    }

    #[test]
    fn a_state_is_given_back_as_it_was_set() {
        let place = Place {
            reactor: 0,
            slot: 1,
            generation: 1,
        };
        let member = Member::new(ConnectionId(1), place, 0, MemberKind::WebSocket);
        assert_eq!(member.state(), None);
        assert!(member.set_state(Some([1, 2].into())));
        assert_eq!(member.state().as_deref(), Some(&[1, 2][..]));
        assert!(member.set_state(None));
        assert_eq!(member.state(), None);
    }
}
