//! A task that is not over, and the slab of all of them.

use super::{CallId, Mode, NewTask, Origin, Payload, TaskId};
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
    /// What it was submitted with; in a mode other than `Run` its queue, worker and priority are those of such calls.
    pub(super) task: NewTask,
    /// Its result or its error.
    pub(super) extra: Payload,
    /// Those that have submitted it again by its key.
    pub(super) more: Vec<Origin>,
    pub(super) state: State,
    pub(super) mode: Mode,
    pub(super) end: super::End,
    /// Tries that have begun.
    pub(super) attempts: u32,
    /// In the wheel: the end of its delay, of its try, or of its wait for the only worker that may run it.
    pub(super) timer: Option<TimerKey>,
    /// When its delay ends.
    pub(super) due: u64,
    /// Bytes that it has of [`Limits::bytes`](super::Limits::bytes).
    pub(super) bytes: usize,
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
