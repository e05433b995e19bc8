//! The members of a channel on one reactor.

use std::collections::HashMap;

/// A member as its list knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) id: u64,
}

/// What [`MemberList::add`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// One more is in the list.
    New,
    /// It took the seat of the slot's former holder.
    Replaced,
    /// It was in the list.
    Already,
}

/// Up to this many are searched one by one: most lists are that short, and need no index.
const SEARCHED: usize = 16;
/// Capacity that is not worth giving back.
const KEPT: usize = 64;

/// A set of seats, one per slot. Adding and removing take constant time, reading is reading a slice.
#[derive(Debug, Default)]
pub(crate) struct MemberList {
    seats: Vec<Seat>,
    /// From slot to place in `seats`; only while there are more than [`SEARCHED`].
    index: Option<HashMap<u32, usize>>,
}

impl MemberList {
    pub(crate) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    pub(crate) fn add(&mut self, seat: Seat) -> Added {
        if let Some(at) = self.find(seat.slot) {
            if self.seats[at].generation == seat.generation {
                return Added::Already;
            }
            self.seats[at] = seat;
            return Added::Replaced;
        }
        let at = self.seats.len();
        self.seats.push(seat);
        if let Some(index) = &mut self.index {
            index.insert(seat.slot, at);
        } else if self.seats.len() > SEARCHED {
            let places = self.seats.iter().enumerate();
            self.index = Some(places.map(|(at, seat)| (seat.slot, at)).collect());
        }
        Added::New
    }

    /// False if it is not in the list; the slot's next holder is another one.
    pub(crate) fn remove(&mut self, slot: u32, generation: u32) -> bool {
        let Some(at) = self.find(slot) else {
            return false;
        };
        if self.seats[at].generation != generation {
            return false;
        }
        self.seats.swap_remove(at);
        if let Some(index) = &mut self.index {
            index.remove(&slot);
            if let Some(moved) = self.seats.get(at) {
                index.insert(moved.slot, at);
            }
        }
        self.shrink();
        true
    }

    fn find(&self, slot: u32) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(&slot).copied(),
            None => self.seats.iter().position(|seat| seat.slot == slot),
        }
    }

    /// Gives memory back when three quarters lie empty, so that the cost is spread over the leaves before.
    fn shrink(&mut self) {
        let len = self.seats.len();
        // Half, so that joining and leaving at the border do not build it each time.
        if len <= SEARCHED / 2 {
            self.index = None;
        }
        if self.seats.capacity() > KEPT && len < self.seats.capacity() / 4 {
            self.seats.shrink_to(len * 2);
            if let Some(index) = &mut self.index {
                index.shrink_to(len * 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seat(slot: u32, generation: u32) -> Seat {
        let id = u64::from(generation) << 32 | u64::from(slot);
        Seat {
            slot,
            generation,
            id,
        }
    }

    #[test]
    fn memory_follows_the_members() {
        let mut list = MemberList::default();
        for slot in 0..100_000 {
            list.add(seat(slot, 1));
        }
        for slot in 0..99_999 {
            assert!(list.remove(slot, 1));
        }
        assert!(list.seats.capacity() <= KEPT && list.index.is_none());
        assert_eq!(list.seats(), [seat(99_999, 1)]);
    }

    proptest! {
        /// Slots around the size at which the index comes and goes.
        #[test]
        fn it_is_a_map_from_slot_to_generation(
            steps in prop::collection::vec((any::<bool>(), 0..40_u32, 1..3_u32), 0..300),
        ) {
            let mut list = MemberList::default();
            let mut model = HashMap::new();
            for (joins, slot, generation) in steps {
                if joins {
                    let expected = match model.insert(slot, generation) {
                        None => Added::New,
                        Some(before) if before == generation => Added::Already,
                        Some(_) => Added::Replaced,
                    };
                    prop_assert_eq!(list.add(seat(slot, generation)), expected);
                } else {
                    let is_in = model.get(&slot) == Some(&generation);
                    if is_in {
                        model.remove(&slot);
                    }
                    prop_assert_eq!(list.remove(slot, generation), is_in);
                }
                let mut found: Vec<_> = list.seats().iter().map(|seat| (seat.slot, seat.generation)).collect();
                let mut expected: Vec<_> = model.clone().into_iter().collect();
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
                prop_assert!(list.seats().iter().all(|it| *it == seat(it.slot, it.generation)));
            }
        }
    }
}
