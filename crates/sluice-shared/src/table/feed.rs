//! The changes of a table, as those who watch it get to know them, in whichever process they are.
//!
//! Events go into a ring of numbered slots in the table's own memory, and only while somebody watches. Nobody waits for anybody: a
//! writer takes the next number, and whatever lies in its slot is overwritten. A reader that is too slow finds that out from the
//! numbers and counts what it has missed. A slot holds a hash of all that is in it, so that what a writer left that was killed or
//! overtaken in the middle is not taken for an event.

use crate::sync::{AtomicU64, Ordering, fence};

use super::spec::KEY_BYTES_MAX;

/// Events that are kept for slow readers.
#[cfg_attr(loom, allow(dead_code, reason = "the models have a small ring"))]
pub(super) const EVENTS: usize = 4096;

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// It was made or changed.
    Set = 1,
    /// It was deleted, or made room for another.
    Delete = 2,
    /// Its time was over.
    Expire = 3,
}

impl EventKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Set,
            2 => Self::Delete,
            3 => Self::Expire,
            _ => return None,
        })
    }
}

/// Where the parts of the feed lie.
#[derive(Clone, Copy)]
pub(super) struct Feed<'t> {
    /// How many events there have been; the number of the next one.
    pub(super) head: &'t AtomicU64,
    /// 1 while a reader sleeps or is about to.
    pub(super) asleep: &'t AtomicU64,
    /// Slots of [`slot_words`] each.
    pub(super) slots: &'t [AtomicU64],
    /// Words of a slot.
    pub(super) slot_words: usize,
}

/// Words of a slot for keys of up to `key_bytes`: its state, what it is about, the key.
pub(super) const fn slot_words(key_bytes: usize) -> usize {
    2 + key_bytes.div_ceil(8)
}

/// What comes next for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This happened; the key is in the buffer, with this length.
    Event(EventKind, usize),
    /// So many events were overwritten before they were read.
    Missed(u64),
    /// Its writer is at it.
    Unfinished,
    /// Nothing yet.
    None,
}

/// The state of a slot while event `number` is written, and when it is complete.
const fn writing(number: u64) -> u64 {
    number.wrapping_mul(2) + 1
}
const fn written(number: u64) -> u64 {
    number.wrapping_mul(2) + 2
}

impl<'t> Feed<'t> {
    fn slot(self, number: u64) -> &'t [AtomicU64] {
        let events = (self.slots.len() / self.slot_words) as u64;
        &self.slots[(number % events) as usize * self.slot_words..][..self.slot_words]
    }

    fn events(self) -> u64 {
        (self.slots.len() / self.slot_words) as u64
    }

    /// Adds an event about a key of `len` bytes. True: a reader sleeps that the caller is to wake.
    pub(super) fn publish(self, kind: EventKind, key: &[u64], len: usize) -> bool {
        let number = self.head.fetch_add(1, Ordering::Relaxed);
        let slot = self.slot(number);
        let mut state = slot[0].load(Ordering::Relaxed);
        loop {
            // A writer that was held up for a whole round comes too late.
            if state > writing(number) {
                break;
            }
            match slot[0].compare_exchange(
                state,
                writing(number),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.write(slot, number, kind, key, len);
                    break;
                }
                Err(now) => state = now,
            }
        }
        // Pairs with the fence in `prepare`: either this sees that the reader sleeps, or the reader sees the new head.
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) != 0 && self.asleep.swap(0, Ordering::Relaxed) != 0
    }

    /// Leaves out a number, which counts as one event that was missed.
    pub(super) fn leave_gap(self) {
        self.head.fetch_add(1, Ordering::Relaxed);
    }

    fn write(self, slot: &[AtomicU64], number: u64, kind: EventKind, key: &[u64], len: usize) {
        // Pairs with the Acquire fence in `read`: a reader that sees any of this sees the state changed, too.
        fence(Ordering::Release);
        let words = &key[..len.div_ceil(8).min(slot.len() - 2)];
        let about = u64::from(kind as u8) | (len as u64) << 8;
        slot[1].store(
            about | u64::from(hash(number, about, words.iter().copied())) << 32,
            Ordering::Relaxed,
        );
        for (word, value) in slot[2..].iter().zip(words) {
            word.store(*value, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire in `read`. Fails when a later writer has taken the slot.
        let _ = slot[0].compare_exchange(
            writing(number),
            written(number),
            Ordering::Release,
            Ordering::Relaxed,
        );
    }

    /// Reads the event with the number `cursor`.
    fn read(self, cursor: u64, key: &mut [u8; KEY_BYTES_MAX + 1]) -> Next {
        let slot = self.slot(cursor);
        let state = slot[0].load(Ordering::Acquire);
        if state < written(cursor) {
            return Next::Unfinished;
        }
        let about = slot[1].load(Ordering::Relaxed);
        let len = (about >> 8) as u8 as usize;
        let mut words = [0; KEY_BYTES_MAX.div_ceil(8)];
        let used = len.div_ceil(8).min(slot.len() - 2);
        for (word, value) in words.iter_mut().zip(&slot[2..]).take(used) {
            *word = value.load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        let is_same = state == written(cursor) && slot[0].load(Ordering::Relaxed) == state;
        let is_whole = hash(cursor, about & 0xFFFF_FFFF, words[..used].iter().copied())
            == (about >> 32) as u32;
        match EventKind::from_byte(about as u8) {
            Some(kind) if is_same && is_whole => {
                for (chunk, word) in key.chunks_mut(8).zip(words) {
                    chunk.copy_from_slice(&word.to_le_bytes());
                }
                Next::Event(kind, len)
            }
            _ => Next::Missed(1),
        }
    }
}

/// Where a reader is.
#[derive(Debug)]
pub(super) struct Cursor(u64);

impl Cursor {
    /// From the next event on.
    pub(super) fn new(feed: Feed<'_>) -> Self {
        Self(feed.head.load(Ordering::Relaxed))
    }

    /// The number of the next event.
    pub(super) fn number(&self) -> u64 {
        self.0
    }

    /// What comes next. The reader has it when this returns, unless it is [`Next::Unfinished`].
    pub(super) fn next(&mut self, feed: Feed<'_>, key: &mut [u8; KEY_BYTES_MAX + 1]) -> Next {
        let head = feed.head.load(Ordering::Relaxed);
        let behind = head.wrapping_sub(self.0);
        if behind == 0 {
            return Next::None;
        }
        if behind > feed.events() {
            // A bit more than must be, for the oldest are overwritten at this moment.
            let lost = behind - feed.events() / 2;
            self.0 = self.0.wrapping_add(lost);
            return Next::Missed(lost);
        }
        let next = feed.read(self.0, key);
        if next != Next::Unfinished {
            self.0 = self.0.wrapping_add(1);
        }
        next
    }

    /// Gives up on an event whose writer does not go on.
    pub(super) fn skip(&mut self) -> Next {
        self.0 = self.0.wrapping_add(1);
        Next::Missed(1)
    }

    /// Says that this reader goes to sleep, and what the lower half of the head is while there is nothing new. `None`: something
    /// has come meanwhile.
    pub(super) fn prepare(&self, feed: Feed<'_>) -> Option<u32> {
        feed.asleep.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        (feed.head.load(Ordering::Relaxed) == self.0).then_some(self.0 as u32)
    }
}

/// 32 bits over everything a slot holds and whose turn it is.
fn hash(number: u64, about: u64, words: impl Iterator<Item = u64>) -> u32 {
    let mut mixed = number ^ 0x9E37_79B9_7F4A_7C15;
    for word in std::iter::once(about).chain(words) {
        mixed = (mixed ^ word).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^= mixed >> 29;
    }
    mixed = mixed.wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed >> 32) as u32
}

/// A key as a row has it.
#[cfg(test)]
fn words(key: &[u8]) -> Vec<u64> {
    let mut padded = key.to_vec();
    padded.resize(key.len().next_multiple_of(8), 0);
    padded
        .chunks(8)
        .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes")))
        .collect()
}

#[cfg(test)]
fn publish(feed: Feed<'_>, kind: EventKind, key: &[u8]) -> bool {
    feed.publish(kind, &words(key), key.len())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::VecDeque;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    struct Memory {
        control: [AtomicU64; 2],
        slots: Vec<AtomicU64>,
    }

    impl Memory {
        fn new(events: usize) -> Self {
            Self {
                control: [0, 0].map(AtomicU64::new),
                slots: (0..events * slot_words(255))
                    .map(|_| AtomicU64::new(0))
                    .collect(),
            }
        }

        fn feed(&self) -> Feed<'_> {
            Feed {
                head: &self.control[0],
                asleep: &self.control[1],
                slots: &self.slots,
                slot_words: slot_words(255),
            }
        }
    }

    fn next(cursor: &mut Cursor, feed: Feed<'_>) -> Result<(EventKind, Vec<u8>), Next> {
        let mut key = [0; 256];
        match cursor.next(feed, &mut key) {
            Next::Event(kind, len) => Ok((kind, key[..len].to_vec())),
            other => Err(other),
        }
    }

    #[test]
    fn events_come_in_order_with_their_keys() {
        let memory = Memory::new(8);
        let feed = memory.feed();
        publish(feed, EventKind::Set, b"before");
        let mut cursor = Cursor::new(feed);
        let keys = [b"a".to_vec(), b"12345678".to_vec(), vec![255; 255]];
        for (key, kind) in keys
            .iter()
            .zip([EventKind::Set, EventKind::Delete, EventKind::Expire])
        {
            publish(feed, kind, key);
        }
        assert_eq!(
            next(&mut cursor, feed),
            Ok((EventKind::Set, keys[0].clone()))
        );
        assert_eq!(
            next(&mut cursor, feed),
            Ok((EventKind::Delete, keys[1].clone()))
        );
        assert_eq!(
            next(&mut cursor, feed),
            Ok((EventKind::Expire, keys[2].clone()))
        );
        assert_eq!(next(&mut cursor, feed), Err(Next::None));
    }

    #[test]
    fn a_slow_reader_knows_how_many_it_has_missed() {
        let memory = Memory::new(8);
        let feed = memory.feed();
        let mut cursor = Cursor::new(feed);
        for number in 0..20_u8 {
            publish(feed, EventKind::Set, &[number]);
        }
        assert_eq!(next(&mut cursor, feed), Err(Next::Missed(16)));
        assert_eq!(next(&mut cursor, feed), Ok((EventKind::Set, vec![16])));
    }

    #[test]
    fn a_writer_that_died_in_the_middle_holds_nobody_up() {
        let memory = Memory::new(4);
        let feed = memory.feed();
        let mut cursor = Cursor::new(feed);
        // It has taken a number and begun to write.
        feed.head.fetch_add(1, Ordering::Relaxed);
        feed.slot(0)[0].store(writing(0), Ordering::Relaxed);
        publish(feed, EventKind::Set, b"after");
        assert_eq!(next(&mut cursor, feed), Err(Next::Unfinished));
        assert_eq!(cursor.skip(), Next::Missed(1));
        assert_eq!(
            next(&mut cursor, feed),
            Ok((EventKind::Set, b"after".to_vec()))
        );
        // Its slot can be used again.
        for key in [b"2", b"3", b"4"] {
            publish(feed, EventKind::Set, key);
        }
        for key in [b"2", b"3", b"4"] {
            assert_eq!(next(&mut cursor, feed), Ok((EventKind::Set, key.to_vec())));
        }
    }

    #[test]
    fn a_writer_that_was_held_up_for_a_round_destroys_nothing_unnoticed() {
        let memory = Memory::new(2);
        let feed = memory.feed();
        let mut cursor = Cursor::new(feed);
        feed.head.fetch_add(1, Ordering::Relaxed);
        let late = feed.slot(0);
        late[0].store(writing(0), Ordering::Relaxed);
        publish(feed, EventKind::Set, b"b");
        publish(feed, EventKind::Set, b"c");
        // It goes on where it was: into the slot that has another event now.
        feed.write(late, 0, EventKind::Delete, &words(b"a"), 1);
        assert!(matches!(next(&mut cursor, feed), Err(Next::Missed(_))));
        let mut rest = Vec::new();
        while let Some(event) = match next(&mut cursor, feed) {
            Err(Next::None) => None,
            other => Some(other),
        } {
            rest.push(event);
        }
        assert!(
            !rest
                .iter()
                .any(|event| matches!(event, Ok((EventKind::Delete, _)))),
            "{rest:?}"
        );
    }

    #[test]
    fn who_sleeps_is_woken_once() {
        let memory = Memory::new(4);
        let feed = memory.feed();
        let cursor = Cursor::new(feed);
        assert!(!publish(feed, EventKind::Set, b"a"));
        assert_eq!(cursor.prepare(feed), None);
        let cursor = Cursor::new(feed);
        assert_eq!(cursor.prepare(feed), Some(1));
        assert!(publish(feed, EventKind::Set, b"b"));
        assert!(!publish(feed, EventKind::Set, b"c"));
    }

    #[test]
    fn threads_that_publish_at_once_lose_nothing_and_mix_nothing() {
        const EACH: u64 = 20_000;
        let memory = Memory::new(64);
        let feed = memory.feed();
        let mut cursor = Cursor::new(feed);
        let (mut seen, mut missed) = (0, 0);
        thread::scope(|scope| {
            for writer in 0..2_u8 {
                scope.spawn(move || {
                    for number in 0..EACH {
                        let key = [
                            &[writer][..],
                            &number.to_le_bytes().repeat(1 + number as usize % 20),
                        ]
                        .concat();
                        publish(feed, EventKind::Set, &key);
                    }
                });
            }
            let mut last = [None; 2];
            while seen + missed < 2 * EACH {
                match next(&mut cursor, feed) {
                    Ok((_, key)) => {
                        let number = u64::from_le_bytes(key[1..9].try_into().unwrap());
                        assert_eq!(
                            key[1..],
                            number.to_le_bytes().repeat(1 + number as usize % 20)
                        );
                        let before = last[usize::from(key[0])].replace(number);
                        assert!(before.is_none_or(|before| before < number));
                        seen += 1;
                    }
                    Err(Next::Missed(count)) => missed += count,
                    Err(_) => thread::yield_now(),
                }
            }
        });
        assert_eq!(seen + missed, 2 * EACH);
        assert!(seen > 0);
    }

    proptest! {
        /// Against a queue of the last events: what is read is right, and what is not is counted.
        #[test]
        fn a_reader_gets_or_counts_every_event(steps in prop::collection::vec(prop_oneof![(1_u8..10).prop_map(Some), Just(None)], 1..200)) {
            let memory = Memory::new(8);
            let feed = memory.feed();
            let mut cursor = Cursor::new(feed);
            let (mut waiting, mut number) = (VecDeque::new(), 0_u32);
            for step in steps {
                match step {
                    Some(count) => for _ in 0..count {
                        publish(feed, EventKind::Set, &number.to_le_bytes());
                        waiting.push_back(number);
                        number += 1;
                    },
                    None => match next(&mut cursor, feed) {
                        Ok((_, key)) => prop_assert_eq!(Some(key), waiting.pop_front().map(|number: u32| number.to_le_bytes().to_vec())),
                        Err(Next::Missed(count)) => {
                            prop_assert!(waiting.len() > 8);
                            for _ in 0..count {
                                prop_assert!(waiting.pop_front().is_some());
                            }
                        }
                        Err(other) => {
                            prop_assert_eq!(other, Next::None);
                            prop_assert!(waiting.is_empty());
                        }
                    },
                }
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::Arc;

    const WORDS: usize = slot_words(8);

    /// One slot, which the second event overwrites.
    struct Memory {
        control: [AtomicU64; 2],
        slots: [AtomicU64; WORDS],
    }

    fn feed(memory: &Memory) -> Feed<'_> {
        Feed {
            head: &memory.control[0],
            asleep: &memory.control[1],
            slots: &memory.slots,
            slot_words: WORDS,
        }
    }

    fn memory() -> Arc<Memory> {
        Arc::new(Memory {
            control: [0, 0].map(AtomicU64::new),
            slots: [(); WORDS].map(|()| AtomicU64::new(0)),
        })
    }

    #[test]
    fn an_event_is_read_whole_or_not_at_all() {
        loom::model(|| {
            let memory = memory();
            let mut cursor = Cursor::new(feed(&memory));
            let writer = {
                let memory = memory.clone();
                loom::thread::spawn(move || {
                    for key in [b"1aaaaaaa", b"2bbbbbbb"] {
                        publish(feed(&memory), EventKind::Set, key);
                    }
                })
            };
            let mut key = [0; KEY_BYTES_MAX + 1];
            for _ in 0..2 {
                if let Next::Event(_, len) = cursor.next(feed(&memory), &mut key) {
                    assert!(
                        [b"1aaaaaaa", b"2bbbbbbb"]
                            .iter()
                            .any(|whole| whole[..] == key[..len])
                    );
                }
            }
            writer.join().unwrap();
        });
    }

    #[test]
    fn a_reader_that_goes_to_sleep_is_woken_or_sees_the_event() {
        loom::model(|| {
            let memory = memory();
            let cursor = Cursor::new(feed(&memory));
            let writer = {
                let memory = memory.clone();
                loom::thread::spawn(move || publish(feed(&memory), EventKind::Set, b"a"))
            };
            let sleeps = cursor.prepare(feed(&memory)).is_some();
            let wakes = writer.join().unwrap();
            assert!(!sleeps || wakes);
        });
    }
}
