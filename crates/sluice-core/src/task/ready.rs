//! Tasks that wait for a worker: by queue, within a queue by priority and then in the order in which they came.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

/// The end of a list.
const NONE: u32 = u32::MAX;
/// Priorities of which nothing waits and that stay nevertheless, as they are likely to come again.
const IDLE_LEVELS: usize = 8;

/// Where a task stands among those of its queue: the least is next.
pub(super) type Rank = (Reverse<i32>, u64);

/// Where a task is to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    pub(super) queue: u16,
    /// The only worker that may have it.
    pub(super) pin: Option<u16>,
    pub(super) priority: i32,
}

/// See the module. Tasks are known by the index that they have elsewhere.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// By task.
    links: Vec<Link>,
    queues: Vec<Waiting>,
    /// Queues in which something waits, those first that were served longest ago; some in which nothing waits any more.
    ring: VecDeque<u16>,
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    stand: Stand,
    /// Rises with every task that comes.
    number: u64,
    next: u32,
    previous: u32,
}

#[derive(Debug, Default)]
struct Waiting {
    is_in_ring: bool,
    len: usize,
    shared: Levels,
    pinned: BTreeMap<u16, Levels>,
}

#[derive(Debug, Default)]
struct Levels {
    len: usize,
    lists: BTreeMap<Reverse<i32>, List>,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

impl List {
    const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
    };
}

impl Levels {
    fn list(&mut self, priority: i32) -> &mut List {
        self.lists.entry(Reverse(priority)).or_insert(List::EMPTY)
    }

    fn head(&self) -> Option<u32> {
        let mut heads = self.lists.values().map(|list| list.head);
        heads.find(|&head| head != NONE)
    }
}

impl Ready {
    pub(super) fn new(queues: usize) -> Self {
        let mut ready = Self::default();
        ready.queues.resize_with(queues, Waiting::default);
        ready
    }

    /// How many wait in a queue.
    pub(super) fn len(&self, queue: u16) -> usize {
        self.queues[usize::from(queue)].len
    }

    /// Puts a task behind all of its queue and priority.
    pub(super) fn push(&mut self, task: u32, stand: Stand) {
        self.last += 1;
        let link = Link {
            stand,
            number: self.last,
            next: NONE,
            previous: NONE,
        };
        let index = task as usize;
        if index >= self.links.len() {
            self.links.resize(index + 1, link);
        }
        self.links[index] = link;
        self.insert(task, NONE);
    }

    /// Puts a task that was [removed](Self::remove) where it stood.
    pub(super) fn give_back(&mut self, task: u32) {
        let Link { stand, number, .. } = self.links[task as usize];
        let mut before = self.levels(stand).list(stand.priority).head;
        // What stands before it was given back, too: never more than workers have in their hands.
        while before != NONE && self.links[before as usize].number < number {
            before = self.links[before as usize].next;
        }
        self.insert(task, before);
    }

    /// Takes a task that waits out.
    pub(super) fn remove(&mut self, task: u32) {
        let Link {
            stand,
            next,
            previous,
            ..
        } = self.links[task as usize];
        let queue = &mut self.queues[usize::from(stand.queue)];
        queue.len -= 1;
        let levels = match stand.pin {
            None => &mut queue.shared,
            Some(worker) => queue.pinned.entry(worker).or_default(),
        };
        levels.len -= 1;
        let list = levels.list(stand.priority);
        if previous == NONE {
            list.head = next;
        } else {
            self.links[previous as usize].next = next;
        }
        if next == NONE {
            list.tail = previous;
        } else {
            self.links[next as usize].previous = previous;
        }
        if list.head == NONE && levels.lists.len() > IDLE_LEVELS {
            levels.lists.remove(&Reverse(stand.priority));
        }
        if levels.len == 0
            && let Some(worker) = stand.pin
        {
            queue.pinned.remove(&worker);
        }
    }

    /// The queue that is in turn after `turn` others; forgets those in which nothing waits.
    pub(super) fn queue_in_turn(&mut self, turn: usize) -> Option<u16> {
        loop {
            let queue = *self.ring.get(turn)?;
            let waiting = &mut self.queues[usize::from(queue)];
            if waiting.len > 0 {
                return Some(queue);
            }
            waiting.is_in_ring = false;
            self.ring.remove(turn);
        }
    }

    /// The queue of that turn was served: it is last now.
    pub(super) fn served(&mut self, turn: usize) {
        if let Some(queue) = self.ring.remove(turn) {
            self.ring.push_back(queue);
        }
    }

    /// What is next of that which any worker may have.
    pub(super) fn next(&self, queue: u16) -> Option<(Rank, u32)> {
        self.ranked(self.queues[usize::from(queue)].shared.head()?)
    }

    /// What is next for one worker alone.
    pub(super) fn next_for(&self, queue: u16, worker: u16) -> Option<(Rank, u32)> {
        let levels = self.queues[usize::from(queue)].pinned.get(&worker)?;
        self.ranked(levels.head()?)
    }

    /// Whether something waits for one worker alone.
    pub(super) fn has_pinned(&self, queue: u16) -> bool {
        !self.queues[usize::from(queue)].pinned.is_empty()
    }

    fn ranked(&self, task: u32) -> Option<(Rank, u32)> {
        let link = self.links.get(task as usize)?;
        Some(((Reverse(link.stand.priority), link.number), task))
    }

    fn levels(&mut self, stand: Stand) -> &mut Levels {
        let queue = &mut self.queues[usize::from(stand.queue)];
        match stand.pin {
            None => &mut queue.shared,
            Some(worker) => queue.pinned.entry(worker).or_default(),
        }
    }

    fn insert(&mut self, task: u32, before: u32) {
        let stand = self.links[task as usize].stand;
        let queue = &mut self.queues[usize::from(stand.queue)];
        queue.len += 1;
        if !std::mem::replace(&mut queue.is_in_ring, true) {
            self.ring.push_back(stand.queue);
        }
        let levels = match stand.pin {
            None => &mut queue.shared,
            Some(worker) => queue.pinned.entry(worker).or_default(),
        };
        levels.len += 1;
        let list = levels.list(stand.priority);
        let previous = if before == NONE {
            std::mem::replace(&mut list.tail, task)
        } else {
            std::mem::replace(&mut self.links[before as usize].previous, task)
        };
        if previous == NONE {
            list.head = task;
        } else {
            self.links[previous as usize].next = task;
        }
        let link = &mut self.links[task as usize];
        (link.next, link.previous) = (before, previous);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(queue: u16, priority: i32) -> Stand {
        Stand {
            queue,
            pin: None,
            priority,
        }
    }

    fn drain(ready: &mut Ready, queue: u16) -> Vec<u32> {
        let mut tasks = Vec::new();
        while let Some((_, task)) = ready.next(queue) {
            ready.remove(task);
            tasks.push(task);
        }
        tasks
    }

    #[test]
    fn higher_priorities_go_first_and_equal_ones_in_their_order() {
        let mut ready = Ready::new(1);
        for (task, priority) in [(0, 0), (1, 5), (2, 0), (3, -9), (4, 5)] {
            ready.push(task, stand(0, priority));
        }
        assert_eq!(ready.len(0), 5);
        assert_eq!(drain(&mut ready, 0), [1, 4, 0, 2, 3]);
        assert_eq!((ready.len(0), ready.queue_in_turn(0)), (0, None));
    }

    #[test]
    fn what_is_given_back_stands_where_it_stood() {
        let mut ready = Ready::new(1);
        for task in 0..6 {
            ready.push(task, stand(0, 0));
        }
        for task in 0..4 {
            ready.remove(task);
        }
        for task in [2, 0, 3] {
            ready.give_back(task);
        }
        assert_eq!(drain(&mut ready, 0), [0, 2, 3, 4, 5]);
        ready.give_back(1);
        assert_eq!(drain(&mut ready, 0), [1]);
    }

    #[test]
    fn a_task_can_be_taken_out_of_anywhere() {
        for out in 0..5 {
            let mut ready = Ready::new(1);
            for task in 0..5 {
                ready.push(task, stand(0, 0));
            }
            ready.remove(out);
            let rest: Vec<u32> = (0..5).filter(|&task| task != out).collect();
            assert_eq!(drain(&mut ready, 0), rest);
        }
    }

    #[test]
    fn queues_take_turns_while_something_waits_in_them() {
        let mut ready = Ready::new(3);
        for (task, queue) in [(0, 1), (1, 1), (2, 0), (3, 2), (4, 2)] {
            ready.push(task, stand(queue, 0));
        }
        let mut order = Vec::new();
        while let Some(queue) = ready.queue_in_turn(0) {
            let (_, task) = ready.next(queue).expect("something waits");
            ready.remove(task);
            ready.served(0);
            order.push(queue);
        }
        assert_eq!(order, [1, 0, 2, 1, 2]);
        assert!(ready.ring.is_empty());
    }

    #[test]
    fn what_is_for_one_worker_alone_is_next_for_nobody_else() {
        let mut ready = Ready::new(1);
        let pin = Some(7);
        ready.push(0, Stand { pin, ..stand(0, 1) });
        ready.push(1, stand(0, 0));
        assert!(ready.has_pinned(0));
        assert_eq!(ready.next(0).map(|next| next.1), Some(1));
        assert_eq!(ready.next_for(0, 6), None);
        let (rank, task) = ready.next_for(0, 7).expect("it waits");
        assert_eq!(task, 0);
        assert!(Some(rank) < ready.next(0).map(|next| next.0));
        ready.remove(0);
        assert!(!ready.has_pinned(0));
    }

    #[test]
    fn priorities_of_which_nothing_waits_do_not_pile_up() {
        let mut ready = Ready::new(1);
        for priority in 0..10_000 {
            ready.push(0, stand(0, priority));
            ready.remove(0);
        }
        assert!(ready.queues[0].shared.lists.len() <= IDLE_LEVELS);
    }
}
