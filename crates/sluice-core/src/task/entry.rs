//! A task that is not over, and the slab of all of them.

use std::sync::Arc;

use super::{Backoff, CallId, Mode, Origin, Payload, TaskId};
use crate::timer::TimerKey;

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Delayed,
    Queued,
    /// In a worker's hands, which has not begun.
    Handed(CallId),
    Begun(CallId),
}

/// A task that is not over, or whose `finish` or `failed` is.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: TaskId,
    pub(super) name: Arc<str>,
    pub(super) input: Payload,
    /// Its result or its error.
    pub(super) extra: Payload,
    pub(super) key: Option<Box<str>>,
    pub(super) origin: Origin,
    /// Those that have submitted it again by its key.
    pub(super) more: Vec<Origin>,
    pub(super) state: State,
    pub(super) mode: Mode,
    pub(super) end: super::End,
    /// That of its spec; in a mode other than `Run` one for such calls.
    pub(super) queue: u16,
    pub(super) worker: Option<u16>,
    pub(super) priority: i32,
    pub(super) tries: u32,
    /// Tries that have begun.
    pub(super) attempts: u32,
    pub(super) timeout: u64,
    pub(super) backoff: Backoff,
    /// In the wheel: the end of its delay, or of its try.
    pub(super) timer: Option<TimerKey>,
    /// When its delay ends.
    pub(super) due: u64,
    /// Bytes that it has of [`Limits::bytes`](super::Limits::bytes).
    pub(super) bytes: usize,
    pub(super) has_finish: bool,
    pub(super) has_failed: bool,
    pub(super) durable: bool,
}

/// Entries by index; indices are used again.
#[derive(Debug, Default)]
pub(super) struct Entries {
    places: Vec<Option<Entry>>,
    free: Vec<u32>,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// One beyond the highest index.
    pub(super) fn end(&self) -> u32 {
        self.places.len() as u32
    }

    /// None when there are 2^32 - 1 of them.
    pub(super) fn insert(&mut self, entry: Entry) -> Option<u32> {
        if let Some(index) = self.free.pop() {
            self.places[index as usize] = Some(entry);
            return Some(index);
        }
        let index = u32::try_from(self.places.len())
            .ok()
            .filter(|&index| index != u32::MAX)?;
        self.places.push(Some(entry));
        Some(index)
    }

    /// Drops one where it is.
    pub(super) fn remove(&mut self, index: u32) {
        if let Some(place) = self.places.get_mut(index as usize)
            && place.is_some()
        {
            *place = None;
            self.free.push(index);
        }
    }

    pub(super) fn get(&self, index: u32) -> Option<&Entry> {
        self.places.get(index as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Entry> {
        self.places.get_mut(index as usize)?.as_mut()
    }
}
