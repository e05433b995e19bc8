//! One level of a wheel: 64 slots, and a word that says which of them hold anything.

/// Bits of a due time that choose the slot of a level.
pub(super) const SLOT_BITS: u32 = 6;
/// Slots of a level: as many as a word has bits.
pub(super) const SLOTS: usize = 1 << SLOT_BITS;
/// Levels for every time that a u64 can name.
pub(super) const LEVELS: usize = u64::BITS.div_ceil(SLOT_BITS) as usize;
/// The index of no node.
pub(super) const NONE: u32 = u32::MAX;

/// A list of nodes, linked through themselves, oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) head: u32,
    pub(super) tail: u32,
}

impl List {
    pub(super) const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
    };

    pub(super) fn is_empty(&self) -> bool {
        self.head == NONE
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) slots: [List; SLOTS],
    /// Bit n: slot n holds something.
    pub(super) occupied: u64,
}

impl Default for Level {
    fn default() -> Self {
        Self {
            slots: [List::EMPTY; SLOTS],
            occupied: 0,
        }
    }
}

/// The level for something that is due at `due`, seen from `elapsed`: that of the highest digit (in base 64) in which the
/// two differ. Nothing of a level is due in an earlier turn of the level above, so that no slot ever holds two turns.
pub(super) fn level_of(elapsed: u64, due: u64) -> usize {
    // The lowest digit is level 0 whatever it says.
    let differing = (elapsed ^ due) | (SLOTS as u64 - 1);
    ((u64::BITS - 1 - differing.leading_zeros()) / SLOT_BITS) as usize
}

/// The slot of a level for what is due at `due`.
pub(super) fn slot_of(level: usize, due: u64) -> usize {
    (due >> (level as u32 * SLOT_BITS)) as usize & (SLOTS - 1)
}

/// When a slot of a level begins, seen from `elapsed`.
pub(super) fn start_of(elapsed: u64, level: usize, slot: usize) -> u64 {
    let shift = level as u32 * SLOT_BITS;
    // The digits above this level are those of now; those below are 0.
    let above = u64::MAX.checked_shl(shift + SLOT_BITS).unwrap_or(0);
    elapsed & above | (slot as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_that_of_the_highest_differing_digit() {
        assert_eq!(LEVELS, 11);
        for (elapsed, due, level) in [
            (0, 0, 0),
            (0, 63, 0),
            (0, 64, 1),
            (63, 64, 1),
            (64, 127, 0),
            (0, 4095, 1),
            (0, 4096, 2),
            (4095, 4096, 2),
            (0, u64::MAX, 10),
            (u64::MAX - 1, u64::MAX, 0),
        ] {
            assert_eq!(level_of(elapsed, due), level, "{elapsed} {due}");
        }
    }

    #[test]
    fn a_slot_begins_at_or_before_what_it_holds() {
        for (elapsed, due) in [(0, 63), (5, 64), (70, 4097), (1 << 40, (1 << 40) + 999_999)] {
            let level = level_of(elapsed, due);
            let start = start_of(elapsed, level, slot_of(level, due));
            assert!(
                start <= due && start >= elapsed || level == 0,
                "{elapsed} {due}"
            );
            assert!(
                due - start < 1 << (level as u32 * SLOT_BITS),
                "{elapsed} {due}"
            );
        }
        assert_eq!(start_of(0, 10, 15), 15 << 60);
    }
}
