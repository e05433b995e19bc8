//! The order in which a connection's messages reach its worker.
//!
//! Messages are numbered as they arrive and handed over in that order. What cannot be handed over now waits here: its
//! worker is busy with an earlier one, or has died, or the connection has none. What a worker gives back because it
//! got busy meanwhile comes here, too.

use std::collections::VecDeque;

use bytes::Bytes;

/// A numbered event of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// For a message its opcode, for the end of the connection the code and more, as w4 of the record has it.
    pub(crate) detail: u32,
    /// The flags of the record, without BLOB and EPOCH.
    pub(crate) flags: u8,
    pub(crate) is_close: bool,
    pub(crate) payload: Bytes,
}

/// Bytes that wait for a busy worker before its connection is no longer read. One message may pass it.
const WAITING_BYTES: usize = 64 * 1024;
/// What one connection may have in a worker's ring, unread: a flood on one must not delay the others by more.
const BURST_BYTES: usize = 64 * 1024;
/// Bookkeeping of a waiting event, counted so that many empty messages are bounded, too.
const EVENT_BYTES: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// The number of the next event that arrives.
    next: u32,
    /// The number of the next event to hand over.
    cursor: u32,
    /// By number, ascending.
    waiting: VecDeque<(u32, Event)>,
    waiting_bytes: usize,
    /// The worker's handlers are busy.
    paused: bool,
    /// Flipped whenever the worker resumes: what it gets from then on can be told from what was in its ring before.
    epoch: bool,
    /// Bytes handed over and not known to be read, up to the place in the ring where they end.
    burst: usize,
    burst_events: u32,
    burst_end: u64,
    /// How many events may be handed over and not read; 0 = as many as there are. A worker that has just been busy is
    /// probably busy again after the next one, and would have to give the others back: it gets one, and twice as many
    /// whenever it has read them all.
    burst_max: u32,
}

/// Beyond this only bytes count.
const BURST_EVENTS: u32 = 1024;

impl Delivery {
    /// The number of the next event to hand over.
    pub(crate) fn cursor(&self) -> u32 {
        self.cursor
    }

    pub(crate) fn epoch(&self) -> bool {
        self.epoch
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Whether enough waits: the connection is not to be read until less does.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting_bytes >= WAITING_BYTES
    }

    /// Whether an event that arrives now may be handed over at once. `consumed` is how far the worker has read.
    pub(crate) fn is_clear(&mut self, consumed: u64) -> bool {
        self.waiting.is_empty()
            && !self.paused
            && self.cursor == self.next
            && self.may_burst(consumed)
    }

    /// Whether the worker has read enough of what it was handed.
    pub(crate) fn may_burst(&mut self, consumed: u64) -> bool {
        if self.is_burst_spent() && consumed > self.burst_end {
            self.burst = 0;
            self.burst_events = 0;
            self.burst_max *= 2;
            if self.burst_max > BURST_EVENTS {
                self.burst_max = 0;
            }
        }
        !self.is_burst_spent()
    }

    fn is_burst_spent(&self) -> bool {
        self.burst >= BURST_BYTES || self.burst_max > 0 && self.burst_events >= self.burst_max
    }

    /// Numbers an event that is handed over at once; call [`handed`](Self::handed) when it was.
    pub(crate) fn number(&self) -> u32 {
        self.next
    }

    /// The event with the number that [`number`](Self::number) or [`due`](Self::due) gave lies in the ring at `place`.
    pub(crate) fn handed(&mut self, bytes: usize, place: u64) {
        if self.cursor == self.next {
            self.next = self.next.wrapping_add(1);
        }
        self.cursor = self.cursor.wrapping_add(1);
        self.burst += bytes + EVENT_BYTES;
        self.burst_events = self.burst_events.saturating_add(1);
        self.burst_end = place;
    }

    /// Keeps an event that cannot be handed over now.
    pub(crate) fn wait(&mut self, event: Event) {
        self.waiting_bytes += event.payload.len() + EVENT_BYTES;
        self.waiting.push_back((self.next, event));
        self.next = self.next.wrapping_add(1);
    }

    /// Takes the event whose turn it is, if there is one and the worker can take it.
    pub(crate) fn due(&mut self) -> Option<(u32, Event)> {
        if self.paused || self.waiting.front()?.0 != self.cursor {
            return None;
        }
        let (number, event) = self.waiting.pop_front()?;
        self.waiting_bytes -= event.payload.len() + EVENT_BYTES;
        Some((number, event))
    }

    /// Puts back what [`due`](Self::due) gave: there was no room for it.
    pub(crate) fn put_back(&mut self, number: u32, event: Event) {
        self.waiting_bytes += event.payload.len() + EVENT_BYTES;
        self.waiting.push_front((number, event));
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// The worker goes on, and runs nothing before the event `number`.
    pub(crate) fn resume(&mut self, number: u32) {
        self.paused = false;
        self.epoch = !self.epoch;
        self.cursor = self.within(number);
        self.burst_events = 0;
        self.burst_max = 1;
    }

    /// An event comes back: the worker got it at a time when it could not run it.
    pub(crate) fn returned(&mut self, number: u32, event: Event) {
        let offset = |of: u32| self.next.wrapping_sub(of);
        if offset(number) == 0 || offset(number) > u32::MAX / 2 {
            return;
        }
        let at = self
            .waiting
            .iter()
            .position(|(other, _)| offset(*other) <= offset(number))
            .unwrap_or(self.waiting.len());
        if self
            .waiting
            .get(at)
            .is_some_and(|(other, _)| *other == number)
        {
            return;
        }
        self.waiting_bytes += event.payload.len() + EVENT_BYTES;
        self.waiting.insert(at, (number, event));
    }

    /// Nobody is to be told any more.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    /// The connection gets another worker, which begins with what waits: everything else is handled or lost.
    pub(crate) fn start_over(&mut self) {
        self.paused = false;
        self.epoch = false;
        self.burst = 0;
        self.burst_events = 0;
        self.burst_end = 0;
        self.burst_max = 0;
        self.cursor = self.next.wrapping_sub(self.waiting.len() as u32);
        let mut number = self.cursor;
        for (waiting, _) in &mut self.waiting {
            *waiting = number;
            number = number.wrapping_add(1);
        }
    }

    /// A worker cannot go on from an event that has not arrived.
    fn within(&self, number: u32) -> u32 {
        if self.next.wrapping_sub(number) > u32::MAX / 2 {
            self.next
        } else {
            number
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn event(serial: u32) -> Event {
        Event {
            detail: serial,
            flags: 0,
            is_close: false,
            payload: Bytes::new(),
        }
    }

    /// A worker as the contract has it: runs what is in order and in its epoch while it is idle, gives the rest back.
    #[derive(Default)]
    struct Double {
        ring: VecDeque<(u32, bool, Event)>,
        next: u32,
        epoch: bool,
        busy: bool,
        said_pause: bool,
        commands: VecDeque<Command>,
        ran: Vec<u32>,
    }

    enum Command {
        Pause,
        Resume(u32),
        Return(u32, Event),
    }

    impl Double {
        fn read(&mut self, becomes_busy: bool) {
            let Some((number, epoch, event)) = self.ring.pop_front() else {
                return;
            };
            if self.busy || number != self.next || epoch != self.epoch {
                self.commands.push_back(Command::Return(number, event));
                return;
            }
            self.next = self.next.wrapping_add(1);
            self.ran.push(event.detail);
            if becomes_busy {
                self.busy = true;
                self.said_pause = true;
                self.commands.push_back(Command::Pause);
            }
        }

        fn settle(&mut self) {
            if std::mem::take(&mut self.busy) {
                self.epoch = !self.epoch;
                self.commands.push_back(Command::Resume(self.next));
            }
        }
    }

    fn pump(delivery: &mut Delivery, double: &mut Double) {
        while let Some((number, event)) = delivery.due() {
            double.ring.push_back((number, delivery.epoch(), event));
            delivery.handed(0, 0);
            delivery.burst = 0;
        }
    }

    fn arrive(delivery: &mut Delivery, double: &mut Double, serial: u32) {
        if delivery.is_clear(1) {
            let number = delivery.number();
            double
                .ring
                .push_back((number, delivery.epoch(), event(serial)));
            delivery.handed(0, 0);
            delivery.burst = 0;
        } else {
            delivery.wait(event(serial));
        }
    }

    fn command(delivery: &mut Delivery, double: &mut Double) {
        match double.commands.pop_front() {
            Some(Command::Pause) => delivery.pause(),
            Some(Command::Resume(next)) => delivery.resume(next),
            Some(Command::Return(number, event)) => delivery.returned(number, event),
            None => {}
        }
        pump(delivery, double);
    }

    proptest! {
        #[test]
        fn every_message_is_run_once_and_in_order(steps in prop::collection::vec(0u8..6, 1..300), start in prop_oneof![Just(0u32), Just(u32::MAX - 3)]) {
            let mut delivery = Delivery { next: start, cursor: start, ..Delivery::default() };
            let mut double = Double { next: start, ..Double::default() };
            let mut sent = 0;
            for step in steps {
                match step {
                    0 | 1 => { arrive(&mut delivery, &mut double, sent); sent += 1; }
                    2 => double.read(false),
                    3 => double.read(true),
                    4 => double.settle(),
                    _ => command(&mut delivery, &mut double),
                }
            }
            for _ in 0..4 * sent as usize + 8 {
                double.settle();
                while !double.commands.is_empty() { command(&mut delivery, &mut double); }
                while !double.ring.is_empty() { double.read(false); }
            }
            prop_assert_eq!(double.ran, (0..sent).collect::<Vec<_>>());
            prop_assert!(delivery.is_empty());
            prop_assert_eq!(delivery.bytes(), 0);
        }

        #[test]
        fn a_new_worker_begins_with_what_was_not_run(arrived in 0u32..20, read in 0usize..20, busy in any::<bool>(), later in 0u32..5) {
            let mut delivery = Delivery::default();
            let mut double = Double::default();
            for serial in 0..arrived { arrive(&mut delivery, &mut double, serial); }
            for _ in 0..read { double.read(busy); }
            while !double.commands.is_empty() { command(&mut delivery, &mut double); }
            // It dies. What it had not looked at comes back.
            for (number, _, event) in std::mem::take(&mut double.ring) { delivery.returned(number, event); }
            for serial in arrived..arrived + later { delivery.pause(); arrive(&mut delivery, &mut double, serial); }
            delivery.start_over();
            let mut heir = Double { next: delivery.cursor(), ..Double::default() };
            pump(&mut delivery, &mut heir);
            while !heir.ring.is_empty() { heir.read(false); }
            let mut all = double.ran;
            all.extend(heir.ran);
            prop_assert_eq!(all, (0..arrived + later).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_returns_twice_or_was_never_sent_is_ignored() {
        let mut delivery = Delivery::default();
        delivery.returned(0, event(0));
        delivery.returned(7, event(7));
        assert!(delivery.is_empty());
        delivery.handed(0, 0);
        delivery.returned(0, event(0));
        delivery.returned(0, event(0));
        assert_eq!(delivery.waiting.len(), 1);
    }

    #[test]
    fn a_burst_ends_when_the_worker_has_read_it() {
        let mut delivery = Delivery::default();
        assert!(delivery.is_clear(0));
        delivery.handed(BURST_BYTES, 100);
        assert!(!delivery.is_clear(100));
        assert!(delivery.is_clear(101));
    }

    #[test]
    fn a_worker_that_was_busy_gets_one_event_and_more_as_it_reads() {
        let mut delivery = Delivery::default();
        for place in 0..10 {
            assert!(delivery.is_clear(0));
            delivery.handed(0, place);
        }
        delivery.pause();
        delivery.resume(10);
        let mut place = 10;
        for batch in [1, 2, 4, 8] {
            for _ in 0..batch {
                assert!(delivery.is_clear(place));
                delivery.handed(0, place);
                place += 1;
            }
            // It has not read the last one.
            assert!(!delivery.is_clear(place - 1));
        }
    }

    #[test]
    fn many_empty_messages_fill_it_too() {
        let mut delivery = Delivery::default();
        delivery.pause();
        for serial in 0..WAITING_BYTES / EVENT_BYTES {
            assert!(!delivery.is_full());
            delivery.wait(event(serial as u32));
        }
        assert!(delivery.is_full());
    }
}
