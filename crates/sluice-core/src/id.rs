//! Identifiers. Each is a newtype, so that one cannot be passed for another.

use std::fmt;

/// One TCP or WebSocket peer, monotonic over the life of the server and never reused.
///
/// Fits in 53 bits, so it crosses to JavaScript as a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// The index of a reactor, `0..reactors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReactorId(pub u8);

/// A place in the worker table. Reused once the thread that held it has ended;
/// the generation that goes with it tells two holders apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerSlot(pub u16);

impl WorkerSlot {
    /// The slot as an index into per-worker tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for WorkerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
