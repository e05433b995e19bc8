//! What timers call, each kept once however many timers do.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::task::Backoff;

/// How a task is called: what its definition says, as far as that is of any use to a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Calling {
    /// The index of its queue.
    pub queue: u16,
    /// Higher ones go first.
    pub priority: i32,
    /// How often it may be tried in all.
    pub tries: u32,
    /// The wait before it is tried again.
    pub backoff: Backoff,
    /// Milliseconds that a try may take; 0: any.
    pub timeout: u64,
    /// The id of the only worker that may run it.
    pub worker: Option<u16>,
    /// Whether its result is to be handed to a worker.
    pub has_finish: bool,
    /// Whether its error is to be handed to a worker.
    pub has_failed: bool,
}

impl Default for Calling {
    /// Once, in the first queue.
    fn default() -> Self {
        Self {
            queue: 0,
            priority: 0,
            tries: 1,
            backoff: Backoff::Fixed(0),
            timeout: 0,
            worker: None,
            has_finish: false,
            has_failed: false,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Callees {
    /// By number.
    callees: Vec<Callee>,
    /// Of those that are held, by name and calling.
    numbers: HashTable<u32>,
    hasher: RandomState,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Callee {
    name: Arc<str>,
    calling: Calling,
    /// How many hold it.
    held: usize,
}

impl Callees {
    /// The number of a task that is called so, held once more.
    pub(super) fn take(&mut self, name: &str, calling: Calling) -> u32 {
        let hash = self.hasher.hash_one((name, calling));
        let callees = &mut self.callees;
        let is_it = |&number: &u32| {
            let callee = &callees[number as usize];
            &*callee.name == name && callee.calling == calling
        };
        if let Some(&number) = self.numbers.find(hash, is_it) {
            callees[number as usize].held += 1;
            return number;
        }
        let callee = Callee {
            name: Arc::from(name),
            calling,
            held: 1,
        };
        let number = match self.free.pop() {
            Some(number) => {
                callees[number as usize] = callee;
                number
            }
            None => {
                callees.push(callee);
                // There are no more of them than timers, whose places are counted in 32 bits.
                callees.len() as u32 - 1
            }
        };
        self.numbers.insert_unique(hash, number, |&number| {
            let callee = &callees[number as usize];
            self.hasher.hash_one((&*callee.name, callee.calling))
        });
        number
    }

    /// One holds it less.
    pub(super) fn give_back(&mut self, number: u32) {
        let Some(callee) = self.callees.get_mut(number as usize) else {
            return;
        };
        callee.held = callee.held.saturating_sub(1);
        if callee.held > 0 {
            return;
        }
        let hash = self.hasher.hash_one((&*callee.name, callee.calling));
        callee.name = Arc::from("");
        if let Ok(found) = self.numbers.find_entry(hash, |&own| own == number) {
            found.remove();
            self.free.push(number);
        }
    }

    /// The task of a number that is held, and how it is called.
    pub(super) fn get(&self, number: u32) -> (&str, Calling) {
        self.callees
            .get(number as usize)
            .map_or(("", Calling::default()), |callee| {
                (&callee.name, callee.calling)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_kept_once_and_for_as_long_as_it_is_held() {
        let once = Calling::default();
        let twice = Calling { tries: 2, ..once };
        let mut callees = Callees::default();
        let (a, b) = (callees.take("a", once), callees.take("b", once));
        assert_eq!(callees.take("a", once), a);
        callees.give_back(a);
        assert_eq!((callees.get(a), callees.get(b)), (("a", once), ("b", once)));
        callees.give_back(a);
        assert_eq!(callees.take("c", twice), a, "its number is used again");
        assert_eq!(callees.get(a), ("c", twice));
        assert_ne!(callees.take("c", once), a, "it is called otherwise");
        assert_eq!(callees.callees.len(), 3);
    }
}
