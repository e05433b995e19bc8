//! A reactor's ends of the rings it shares with one worker.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sluice_core::id::WorkerSlot;
use sluice_shared::record::Words;
use sluice_shared::{Consumer, Producer, PushError};

use crate::wake::lock;
use crate::worker::WorkerLink;

/// What the two sides of a lane share beside the rings.
#[derive(Default)]
pub(crate) struct LaneShared {
    /// Bodies too large for a ring, in the order of the command records that refer to them.
    pub(crate) bodies: Mutex<VecDeque<Bytes>>,
    /// Commands that found the ring full, oldest first. While there are any, new ones go behind them.
    pub(crate) spill: Mutex<VecDeque<(Words, Vec<u8>)>>,
    pub(crate) spilled: AtomicBool,
    /// Request bodies that the worker fetches by a call, by exchange index, with the generation.
    pub(crate) blobs: Mutex<HashMap<u32, (u32, Bytes)>>,
    /// The reactor has something for the event ring and no room. The worker's next flush wakes it.
    pub(crate) wants_space: AtomicBool,
}

impl LaneShared {
    pub(crate) fn put_blob(&self, index: u32, generation: u32, blob: Bytes) {
        lock(&self.blobs).insert(index, (generation, blob));
    }

    pub(crate) fn drop_blob(&self, index: u32) {
        lock(&self.blobs).remove(&index);
    }

    /// The out-of-line body of the command being read.
    pub(crate) fn take_body(&self) -> Bytes {
        lock(&self.bodies).pop_front().unwrap_or_default()
    }

    /// The blob of an exchange, once.
    pub(crate) fn take_blob(&self, index: u32, generation: u32) -> Option<Bytes> {
        let mut blobs = lock(&self.blobs);
        match blobs.get(&index) {
            Some((stored, _)) if *stored == generation => {
                blobs.remove(&index).map(|(_, blob)| blob)
            }
            _ => None,
        }
    }
}

/// The event side: records go down to the worker.
pub(crate) struct EventLane {
    pub(crate) ring: Producer,
    pub(crate) shared: Arc<LaneShared>,
    pub(crate) link: Arc<WorkerLink>,
    /// Payload-free records that found the ring full. At most three per exchange.
    overflow: VecDeque<Words>,
    /// Something is pushed and not published.
    pub(crate) dirty: bool,
    /// The dispatcher may choose this worker.
    pub(crate) active: bool,
}

impl EventLane {
    pub(crate) fn new(ring: Producer, shared: Arc<LaneShared>, link: Arc<WorkerLink>) -> Self {
        Self {
            ring,
            shared,
            link,
            overflow: VecDeque::new(),
            dirty: false,
            active: false,
        }
    }

    /// Appends a record with a payload, unless it would overtake an older one or does not fit.
    pub(crate) fn push(&mut self, words: Words, parts: &[&[u8]]) -> Result<u32, PushError> {
        if !self.overflow.is_empty() {
            return Err(PushError::Full);
        }
        let position = self.ring.push(words, parts)?;
        self.dirty = true;
        Ok(position)
    }

    /// Appends a record that must not be lost.
    pub(crate) fn push_signal(&mut self, words: Words) {
        if self.push(words, &[]).is_err() {
            self.overflow.push_back(words);
            self.ask_for_space();
        }
    }

    /// Moves what overflowed into the ring. True when nothing is left over.
    pub(crate) fn drain_overflow(&mut self) -> bool {
        while let Some(&words) = self.overflow.front() {
            if self.ring.push(words, &[]).is_err() {
                self.ask_for_space();
                return false;
            }
            self.dirty = true;
            self.overflow.pop_front();
        }
        true
    }

    /// Asks the worker to wake this reactor when it has read on. The caller tries once more after it:
    /// the worker may have made room before it could see the request.
    pub(crate) fn ask_for_space(&self) {
        self.shared.wants_space.store(true, Ordering::SeqCst);
    }

    /// Room for a record with `payload` bytes.
    pub(crate) fn has_room(&self, payload: usize) -> bool {
        const HEADER_AND_PADDING: u32 = 40;
        let used = self.ring.position().wrapping_sub(self.ring.consumed());
        // A record may waste up to its own length at the wrap.
        self.overflow.is_empty()
            && self.ring.capacity().saturating_sub(used)
                >= 2 * (payload as u32 + HEADER_AND_PADDING)
    }

    /// Publishes what was pushed and wakes the worker if it sleeps.
    pub(crate) fn publish(&mut self) {
        if !self.dirty {
            return;
        }
        self.dirty = false;
        if self.ring.publish() && self.link.block.try_unpark() {
            self.link.wake();
        }
    }
}

/// The command side: answers come up from the worker.
pub(crate) struct CommandLane {
    pub(crate) slot: WorkerSlot,
    pub(crate) ring: Consumer,
    pub(crate) shared: Arc<LaneShared>,
}

impl CommandLane {
    pub(crate) fn has_work(&self) -> bool {
        !self.ring.is_empty() || self.shared.spilled.load(Ordering::SeqCst)
    }

    pub(crate) fn has_spill(&self) -> bool {
        self.shared.spilled.load(Ordering::SeqCst)
    }

    /// Takes everything that spilled. Called when the ring is empty, so order is kept.
    pub(crate) fn take_spill(&self) -> VecDeque<(Words, Vec<u8>)> {
        let mut spill = lock(&self.shared.spill);
        self.shared.spilled.store(false, Ordering::SeqCst);
        std::mem::take(&mut *spill)
    }
}
