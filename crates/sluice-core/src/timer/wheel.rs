//! A hierarchical timer wheel (Varghese and Lauck, 1987), one millisecond to the slot.
//!
//! Level 0 has a slot for each of the 64 milliseconds of the current turn, level 1 one for each of the 64 turns of level 0, and
//! so on for eleven levels, which cover every time there is. Setting and clearing a timer touches one list. A timer moves
//! down one level each time the slot that it is in begins: at most ten times in its life, however long that is.

use super::level::{LEVELS, Level, List, NONE, level_of, slot_of, start_of};

/// Names a timer of a wheel until it is removed; never valid again after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

impl TimerKey {
    /// Its place: no other timer of the wheel has it at the same time.
    pub fn index(self) -> u32 {
        self.index
    }
}

/// Timers that carry a `T` each, by when they are due. Times are milliseconds of whichever clock its owner reads.
///
/// A timer that has come due stays, at rest, until it is [scheduled](Self::schedule) again or [removed](Self::remove): one that repeats keeps
/// its place and its key, and allocates nothing.
#[derive(Debug)]
pub struct Wheel<T> {
    nodes: Vec<Node<T>>,
    /// Nodes to be used again, linked by `next`.
    free: u32,
    levels: Box<[Level; LEVELS]>,
    /// What was due already when it was set.
    late: List,
    /// What is due at or before this time has come out.
    elapsed: u64,
    len: usize,
}

#[derive(Debug)]
struct Node<T> {
    due: u64,
    next: u32,
    previous: u32,
    /// How often the place was given back.
    generation: u32,
    place: Place,
    /// None in a free node.
    value: Option<T>,
}

/// The list that a node is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// None: it has come due, or its place is free.
    Rest,
    Late,
    Slot {
        level: u8,
        slot: u8,
    },
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Wheel<T> {
    /// A wheel at time 0. Allocates nothing for timers that are not set.
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: NONE,
            levels: Box::default(),
            late: List::EMPTY,
            elapsed: 0,
            len: 0,
        }
    }

    /// How many timers there are, those at rest included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer. One that is due already comes out with the next [`advance`](Self::advance), whatever its time. `None` when there are 2^32 - 1
    /// timers.
    pub fn insert(&mut self, due: u64, value: T) -> Option<TimerKey> {
        let index = self.take_node(value)?;
        self.link(index, due);
        self.len += 1;
        Some(self.key(index))
    }

    /// Sets the time of a timer anew, whether it is at rest or not. False when there is none of this key.
    pub fn schedule(&mut self, key: TimerKey, due: u64) -> bool {
        let Some(index) = self.find(key) else {
            return false;
        };
        self.unlink(index);
        self.link(index, due);
        true
    }

    /// Removes a timer and gives what it carried.
    pub fn remove(&mut self, key: TimerKey) -> Option<T> {
        let index = self.find(key)?;
        self.unlink(index);
        let node = &mut self.nodes[index as usize];
        let value = node.value.take();
        // After 2^32 timers in one place its keys repeat; nobody keeps one that long.
        node.generation = node.generation.wrapping_add(1);
        node.next = self.free;
        self.free = index;
        self.len -= 1;
        value
    }

    /// Removes every timer.
    pub fn clear(&mut self) {
        for index in 0..self.nodes.len() as u32 {
            if self.nodes[index as usize].value.is_some() {
                self.remove(self.key(index));
            }
        }
    }

    /// What a timer carries.
    pub fn get(&self, key: TimerKey) -> Option<&T> {
        self.nodes[self.find(key)? as usize].value.as_ref()
    }

    /// What a timer carries.
    pub fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        let index = self.find(key)?;
        self.nodes[index as usize].value.as_mut()
    }

    /// The timer in a place, for owners that remember [`TimerKey::index`] alone.
    pub fn at(&self, index: u32) -> Option<(TimerKey, &T)> {
        let value = self.nodes.get(index as usize)?.value.as_ref()?;
        Some((self.key(index), value))
    }

    /// How many places there are: every [`index`](TimerKey::index) is below it.
    pub fn places(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// Bytes that the wheel has allocated for itself.
    pub fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node<T>>() + size_of::<[Level; LEVELS]>()
    }

    /// When a timer is due; of one at rest, when it was.
    pub fn due(&self, key: TimerKey) -> Option<u64> {
        Some(self.nodes[self.find(key)? as usize].due)
    }

    /// Every timer, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (TimerKey, &T)> {
        (0..self.nodes.len() as u32).filter_map(|index| self.at(index))
    }

    /// Goes on to `now`, and appends to `expired` the keys of what came due, in the order of their times; timers of one time in the order
    /// in which they were set. They are at rest from then on. A time before that of an earlier call is that of the earlier call.
    ///
    /// At most `limit` come out. If there are more, time stands still before them: [`next_due`](Self::next_due) is not after `now`.
    pub fn advance(&mut self, now: u64, limit: usize, expired: &mut Vec<TimerKey>) {
        let end = expired.len().saturating_add(limit);
        let mut late = self.late;
        self.expire(&mut late, end, expired);
        self.late = late;
        if !late.is_empty() {
            return;
        }
        while let Some((level, slot, start)) = self.next_slot() {
            if start > now {
                break;
            }
            let mut list = std::mem::replace(&mut self.levels[level].slots[slot], List::EMPTY);
            if level == 0 {
                self.expire(&mut list, end, expired);
                if !list.is_empty() {
                    self.levels[level].slots[slot] = list;
                    return;
                }
            }
            self.levels[level].occupied &= !(1 << slot);
            self.elapsed = start;
            self.descend(list);
        }
        self.elapsed = self.elapsed.max(now);
    }

    /// When to advance next: no later than the first timer is due, and exactly then within the 64 ms before it. Earlier for one that is far away, at
    /// most ten times in its life. `None` when nothing is set.
    pub fn next_due(&self) -> Option<u64> {
        if !self.late.is_empty() {
            return Some(self.elapsed);
        }
        self.next_slot().map(|(_, _, start)| start)
    }

    /// The slot that begins first. All of level n is due before anything of level n + 1.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        let slot = self.levels[level].occupied.trailing_zeros() as usize;
        Some((level, slot, start_of(self.elapsed, level, slot)))
    }

    /// Takes what is in a list out of it, until `end` have come out.
    fn expire(&mut self, list: &mut List, end: usize, expired: &mut Vec<TimerKey>) {
        while list.head != NONE && expired.len() < end {
            let index = list.head;
            let node = &mut self.nodes[index as usize];
            node.place = Place::Rest;
            list.head = node.next;
            expired.push(TimerKey {
                index,
                generation: node.generation,
            });
        }
        match list.head {
            NONE => list.tail = NONE,
            head => self.nodes[head as usize].previous = NONE,
        }
    }

    /// Puts what a slot held where it belongs now that the slot has begun.
    fn descend(&mut self, list: List) {
        let mut index = list.head;
        while index != NONE {
            let Node { due, next, .. } = self.nodes[index as usize];
            self.put(index, due);
            index = next;
        }
    }

    /// Puts a node that is in no list into the one for `due`.
    fn link(&mut self, index: u32, due: u64) {
        self.nodes[index as usize].due = due;
        if due > self.elapsed {
            self.put(index, due);
        } else {
            self.nodes[index as usize].place = Place::Late;
            let Self { nodes, late, .. } = self;
            append(nodes, late, index);
        }
    }

    /// As [`link`](Self::link), for what is not late; a slot that begins now holds also what is due now.
    fn put(&mut self, index: u32, due: u64) {
        let level = level_of(self.elapsed, due);
        let slot = slot_of(level, due);
        let Self { nodes, levels, .. } = self;
        nodes[index as usize].place = Place::Slot {
            level: level as u8,
            slot: slot as u8,
        };
        levels[level].occupied |= 1 << slot;
        append(nodes, &mut levels[level].slots[slot], index);
    }

    /// Takes a node out of its list.
    fn unlink(&mut self, index: u32) {
        let Node {
            next,
            previous,
            place,
            ..
        } = self.nodes[index as usize];
        let list = match place {
            Place::Rest => return,
            Place::Late => &mut self.late,
            Place::Slot { level, slot } => {
                &mut self.levels[usize::from(level)].slots[usize::from(slot)]
            }
        };
        if previous == NONE {
            list.head = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next == NONE {
            list.tail = previous;
        } else {
            self.nodes[next as usize].previous = previous;
        }
        if let Place::Slot { level, slot } = place
            && list.is_empty()
        {
            self.levels[usize::from(level)].occupied &= !(1 << slot);
        }
        self.nodes[index as usize].place = Place::Rest;
    }

    fn take_node(&mut self, value: T) -> Option<u32> {
        if self.free == NONE {
            let index = u32::try_from(self.nodes.len())
                .ok()
                .filter(|&index| index != NONE)?;
            self.nodes.push(Node {
                due: 0,
                next: NONE,
                previous: NONE,
                generation: 0,
                place: Place::Rest,
                value: Some(value),
            });
            return Some(index);
        }
        let index = self.free;
        let node = &mut self.nodes[index as usize];
        self.free = node.next;
        node.value = Some(value);
        Some(index)
    }

    fn key(&self, index: u32) -> TimerKey {
        TimerKey {
            index,
            generation: self.nodes[index as usize].generation,
        }
    }

    fn find(&self, key: TimerKey) -> Option<u32> {
        let node = self.nodes.get(key.index as usize)?;
        (node.generation == key.generation && node.value.is_some()).then_some(key.index)
    }
}

fn append<T>(nodes: &mut [Node<T>], list: &mut List, index: u32) {
    let node = &mut nodes[index as usize];
    node.next = NONE;
    node.previous = list.tail;
    match list.tail {
        NONE => list.head = index,
        tail => nodes[tail as usize].next = index,
    }
    list.tail = index;
}

#[cfg(test)]
mod tests;
