//! A reactor's ends of the rings it shares with one worker.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sluice_core::id::WorkerSlot;
use sluice_shared::record::{AdoptReason, Words};
use sluice_shared::{Consumer, Producer, PushError};

use crate::engine::PacketShare;
use crate::fanout::Fanout;
use crate::static_files::OpenFile;
use crate::wake::lock;
use crate::worker::WorkerLink;

/// What a command carries beside its ring.
pub(crate) enum Parcel {
    /// A body too large for the ring.
    Body(Bytes),
    /// A message to many connections.
    Fanout(Arc<Fanout>),
    /// A file to answer with, and the name that tells its media type.
    File(OpenFile, Vec<u8>),
}

/// What the two sides of a lane share beside the rings.
#[derive(Default)]
pub(crate) struct LaneShared {
    /// What does not go into a ring, in the order of the command records that refer to it.
    pub(crate) parcels: Mutex<VecDeque<Parcel>>,
    /// Commands that found the ring full, oldest first. While there are any, new ones go behind them.
    pub(crate) spill: Mutex<VecDeque<(Words, Vec<u8>)>>,
    pub(crate) spilled: AtomicBool,
    /// Request bodies that the worker fetches by a call, by exchange index, with the generation.
    pub(crate) blobs: Mutex<HashMap<u32, (u32, Bytes)>>,
    /// Messages that the worker fetches by a call, by connection slot and sequence number.
    pub(crate) messages: Mutex<HashMap<(u32, u32), Bytes>>,
    /// The reactor has something for the event ring and no room. The worker's next flush wakes it.
    pub(crate) wants_space: AtomicBool,
    /// The reactor has given the lane up; nobody reads commands any more. A written-off worker may live on.
    closed: AtomicBool,
}

impl LaneShared {
    /// Gives the lane up, and what waits in it.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        lock(&self.parcels).clear();
        lock(&self.spill).clear();
        lock(&self.blobs).clear();
        lock(&self.messages).clear();
    }

    /// Whether commands still reach anybody. A hint: it may turn false at any moment.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn put_blob(&self, index: u32, generation: u32, blob: Bytes) {
        lock(&self.blobs).insert(index, (generation, blob));
    }

    pub(crate) fn drop_blob(&self, index: u32) {
        lock(&self.blobs).remove(&index);
    }

    /// What lies beside the command being read.
    pub(crate) fn take_parcel(&self) -> Option<Parcel> {
        lock(&self.parcels).pop_front()
    }

    pub(crate) fn put_message(&self, slot: u32, sequence: u32, message: Bytes) {
        lock(&self.messages).insert((slot, sequence), message);
    }

    /// A message of a connection, once.
    pub(crate) fn take_message(&self, slot: u32, sequence: u32) -> Option<Bytes> {
        lock(&self.messages).remove(&(slot, sequence))
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
    /// Records that must not be lost and found the ring full: at most three per exchange and connection, with at most
    /// the reason of a closing handshake as payload.
    overflow: VecDeque<(Words, Vec<u8>)>,
    /// Bytes ever written. A ring's own positions wrap at 2^32, and a request may outlive that.
    written: u64,
    /// Space was asked for and not looked for since.
    asked: bool,
    /// Something is pushed and not published.
    pub(crate) dirty: bool,
    /// The dispatcher may choose this worker.
    pub(crate) active: bool,
    /// The worker's logical number.
    pub(crate) home: u16,
    /// Connections it owns, those it is about to let go included.
    pub(crate) owned: usize,
    /// Why it is to go, as the next owners of its connections are told.
    pub(crate) reason: AdoptReason,
    /// It is to go as soon as it owns nothing; this reactor still guards it.
    pub(crate) leaving: bool,
    pub(crate) packets: PacketShare,
}

impl EventLane {
    pub(crate) fn new(ring: Producer, shared: Arc<LaneShared>, link: Arc<WorkerLink>) -> Self {
        Self {
            ring,
            shared,
            link,
            overflow: VecDeque::new(),
            written: 0,
            asked: false,
            dirty: false,
            active: false,
            home: 0,
            owned: 0,
            reason: AdoptReason::Reload,
            leaving: false,
            packets: PacketShare::default(),
        }
    }

    /// Appends a record with a payload, unless it would overtake an older one or does not fit; then the worker is
    /// asked for space. Returns where it is, as [`place`](Self::place) gives it.
    pub(crate) fn push(&mut self, words: Words, parts: &[&[u8]]) -> Result<u64, PushError> {
        if !self.overflow.is_empty() {
            return Err(PushError::Full);
        }
        self.write(words, parts)
    }

    fn write(&mut self, words: Words, parts: &[&[u8]]) -> Result<u64, PushError> {
        let before = self.ring.position();
        let pushed = self.ring.push(words, parts).or_else(|_| {
            self.ask_for_space();
            // Once more: the worker may have made room before it could see that we wait.
            self.ring.push(words, parts)
        });
        let position = pushed?;
        self.written += u64::from(self.ring.position().wrapping_sub(before));
        self.dirty = true;
        Ok(self.place(position))
    }

    /// A position in the ring, counted from the lane's beginning. Only for positions of records that are in the ring.
    pub(crate) fn place(&self, position: u32) -> u64 {
        let behind = self.ring.position().wrapping_sub(position);
        self.written.saturating_sub(u64::from(behind))
    }

    /// Up to where the worker has done with the ring.
    pub(crate) fn consumed(&self) -> u64 {
        self.place(self.ring.consumed())
    }

    /// Appends a record that must not be lost.
    pub(crate) fn push_signal(&mut self, words: Words) {
        if self.push(words, &[]).is_err() {
            self.overflow.push_back((words, Vec::new()));
        }
    }

    /// What was written and never read, from `position` on, and what found no room, oldest first.
    pub(crate) fn unread(&self, position: u32, mut visit: impl FnMut(Words, &[u8])) {
        self.ring
            .unread(position, |words, payload, _| visit(words, payload));
        for (words, payload) in &self.overflow {
            visit(*words, payload);
        }
    }

    /// Looks for space again: moves what overflowed into the ring, as far as there is room.
    pub(crate) fn drain_overflow(&mut self) {
        self.asked = false;
        while let Some((words, payload)) = self.overflow.pop_front() {
            if self.write(words, &[&payload]).is_err() {
                self.overflow.push_front((words, payload));
                return;
            }
        }
    }

    /// The worker has read on since it was asked to, and nobody has looked yet: its wake may have found the reactor
    /// awake, between its last look and its sleep.
    pub(crate) fn has_space_news(&self) -> bool {
        (self.asked || self.packets.is_asked()) && !self.shared.wants_space.load(Ordering::SeqCst)
    }

    /// Asks the worker to wake this reactor when it has read on. The caller tries once more after it:
    /// the worker may have made room before it could see the request.
    pub(crate) fn ask_for_space(&mut self) {
        self.asked = true;
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

    /// Publishes what was pushed. True when the worker sleeps and the caller now has to wake it.
    pub(crate) fn publish(&mut self) -> bool {
        let must_wake =
            std::mem::take(&mut self.dirty) && self.ring.publish() && self.link.block.try_unpark();
        if must_wake {
            self.link.block.count_wake();
        }
        must_wake
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

#[cfg(test)]
mod tests {
    use sluice_shared::record::{CommandKind, EventKind};
    use sluice_shared::{WorkerBlock, ring};

    use super::*;

    fn lane(log2: u32) -> (EventLane, Consumer) {
        let (ring, reader) = ring(log2);
        let link = Arc::new(WorkerLink::new(WorkerBlock::acquire(), Box::new(|| {})));
        (
            EventLane::new(ring, Arc::new(LaneShared::default()), link),
            reader,
        )
    }

    fn signal(index: u32) -> Words {
        Words::event(EventKind::Drain, 0).with_exchange(index, 0)
    }

    #[test]
    fn a_place_stays_behind_what_was_read_however_much_follows() {
        let (mut lane, mut reader) = lane(26);
        let first = lane.push(signal(0), &[]).expect("the ring is empty");
        let part = vec![0; 8 << 20];
        let mut written = 0_u64;
        // Past 2^31, where a difference of positions changes its sign, and past 2^32, where they repeat.
        while written < (9 << 29) {
            let part = &part[..part.len() - 40];
            let place = lane.push(signal(1), &[part]).expect("the ring was read");
            lane.publish();
            while reader.next_event().expect("it is sound").is_some() {}
            reader.release();
            assert!(first < place && place < lane.consumed());
            written += part.len() as u64;
        }
        let unread = lane.push(signal(2), &[]).expect("there is room");
        assert!(unread >= lane.consumed());
    }

    #[test]
    fn what_overflowed_comes_later_and_in_order() {
        let (mut lane, mut reader) = lane(8);
        for index in 0..20 {
            lane.push_signal(signal(index));
        }
        assert!(lane.shared.wants_space.load(Ordering::SeqCst));
        let mut seen = Vec::new();
        while seen.len() < 20 {
            lane.publish();
            while let Some(record) = reader.next_event().expect("it is sound") {
                seen.push(record.words.index());
            }
            reader.release();
            lane.drain_overflow();
        }
        assert!(seen.into_iter().eq(0..20));
    }

    #[test]
    fn room_made_while_the_reactor_is_awake_is_news_until_it_looks() {
        let (mut lane, mut reader) = lane(8);
        while lane.push(signal(0), &[]).is_ok() {}
        lane.publish();
        assert!(!lane.has_space_news());
        while reader.next_event().expect("it is sound").is_some() {}
        reader.release();
        // The worker's flush.
        assert!(lane.shared.wants_space.swap(false, Ordering::SeqCst));
        assert!(lane.has_space_news());
        lane.drain_overflow();
        assert!(!lane.has_space_news());
        assert!(lane.push(signal(1), &[]).is_ok());
    }

    #[test]
    fn a_closed_lane_holds_nothing() {
        let shared = LaneShared::default();
        shared.put_blob(1, 2, Bytes::from_static(b"blob"));
        lock(&shared.parcels).push_back(Parcel::Body(Bytes::from_static(b"body")));
        lock(&shared.spill).push_back((Words::command(CommandKind::End, 0, 0), Vec::new()));
        assert!(shared.is_open());
        shared.close();
        assert!(!shared.is_open());
        assert!(shared.take_blob(1, 2).is_none());
        assert!(lock(&shared.parcels).is_empty() && lock(&shared.spill).is_empty());
    }
}
