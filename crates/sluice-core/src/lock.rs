//! Locks by name: who holds each one, and who waits for it in which order.
//!
//! A request is a *ticket*. It is granted when nobody stands before it and those who hold the lock let it in: readers let readers in,
//! a writer nobody. So a writer that waits is never overtaken, by readers either. A ticket ends by [`Locks::end`], whether it was granted
//! or not, and with its owner. Every change returns the grants that follow from it, for the caller to report when it has let go of
//! whatever guards this.
//!
//! Tickets and fences come from one counter that starts at the wall clock, so that a fence also grows over a restart.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Who asks: a number that its thread has for life. Everything it holds or waits for ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LockOwner(pub u64);

/// How many may have the lock at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// One.
    Exclusive,
    /// All who ask for it so.
    Shared,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It has the lock. The fence is the ticket's own number.
    Granted {
        /// Names the request.
        ticket: u64,
    },
    /// It stands in line; a [`Grant`] follows.
    Waits {
        /// Names the request.
        ticket: u64,
    },
    /// It would have to wait, and may not.
    Busy,
    /// One of the [`LockLimits`] is reached.
    Refused,
}

/// A ticket that waited has the lock now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose it is.
    pub owner: LockOwner,
    /// The request.
    pub ticket: u64,
    /// Above the fences of all grants before.
    pub fence: u64,
}

/// What all locks together may take.
#[derive(Clone, Copy, Debug)]
pub struct LockLimits {
    /// Locks that are held.
    pub locks: usize,
    /// Requests that wait for one lock.
    pub waiters: usize,
    /// Requests that hold or wait, in all.
    pub tickets: usize,
}

impl Default for LockLimits {
    fn default() -> Self {
        Self {
            locks: 65_536,
            waiters: 16_384,
            tickets: 262_144,
        }
    }
}

/// All locks that are held. A lock that nobody holds is not in here.
#[derive(Debug)]
pub struct Locks {
    locks: HashMap<Arc<str>, Queue>,
    tickets: HashMap<u64, Ticket>,
    /// The last ticket or fence that was given out.
    last: u64,
    limits: LockLimits,
}

#[derive(Debug, Default)]
struct Queue {
    /// How many hold it: never 0 between two calls.
    holders: usize,
    /// They share it.
    is_shared: bool,
    /// Ascending, for tickets are.
    waiting: VecDeque<u64>,
}

#[derive(Debug)]
struct Ticket {
    lock: Arc<str>,
    owner: LockOwner,
    mode: LockMode,
    is_granted: bool,
}

impl Queue {
    fn admits(&self, mode: LockMode) -> bool {
        self.holders == 0 || (self.is_shared && mode == LockMode::Shared)
    }

    fn enter(&mut self, mode: LockMode) {
        self.holders += 1;
        self.is_shared = mode == LockMode::Shared;
    }
}

impl Locks {
    /// No lock is held. `seed` is below every fence to come; the wall clock in microseconds keeps them growing over a restart.
    pub fn new(seed: u64, limits: LockLimits) -> Self {
        Self {
            locks: HashMap::new(),
            tickets: HashMap::new(),
            last: seed,
            limits,
        }
    }

    /// How many locks are held.
    pub fn len(&self) -> usize {
        self.locks.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.locks.is_empty()
    }

    /// Asks for a lock. Without `may_wait` it does not stand in line.
    pub fn acquire(
        &mut self,
        name: &str,
        owner: LockOwner,
        mode: LockMode,
        may_wait: bool,
    ) -> Acquired {
        if self.tickets.len() >= self.limits.tickets {
            return Acquired::Refused;
        }
        let (name, granted) = match self.locks.get_key_value(name) {
            Some((name, queue)) => {
                let granted = queue.waiting.is_empty() && queue.admits(mode);
                if !granted && !may_wait {
                    return Acquired::Busy;
                }
                if !granted && queue.waiting.len() >= self.limits.waiters {
                    return Acquired::Refused;
                }
                (Arc::clone(name), granted)
            }
            None if self.locks.len() >= self.limits.locks => return Acquired::Refused,
            None => (Arc::from(name), true),
        };
        self.last += 1;
        let ticket = self.last;
        let queue = self.locks.entry(Arc::clone(&name)).or_default();
        if granted {
            queue.enter(mode);
        } else {
            queue.waiting.push_back(ticket);
        }
        self.tickets.insert(
            ticket,
            Ticket {
                lock: name,
                owner,
                mode,
                is_granted: granted,
            },
        );
        if granted {
            Acquired::Granted { ticket }
        } else {
            Acquired::Waits { ticket }
        }
    }

    /// Ends a request: gives the lock back, or leaves the line. False when there is no such ticket any more. Who has the lock
    /// thereby is appended to `grants`.
    pub fn end(&mut self, ticket: u64, grants: &mut Vec<Grant>) -> bool {
        let Some(lock) = self.remove(ticket) else {
            return false;
        };
        self.admit(&lock, grants);
        true
    }

    /// Ends every request of an owner.
    pub fn end_owner(&mut self, owner: LockOwner, grants: &mut Vec<Grant>) {
        let tickets: Vec<u64> = self
            .tickets
            .iter()
            .filter(|(_, ticket)| ticket.owner == owner)
            .map(|(number, _)| *number)
            .collect();
        // All of them leave before anybody is let in: else one could be granted on the way, only to end.
        let locks: Vec<Arc<str>> = tickets
            .into_iter()
            .filter_map(|ticket| self.remove(ticket))
            .collect();
        for lock in locks {
            self.admit(&lock, grants);
        }
    }

    /// Takes a request out of its lock, whose name is returned, and lets nobody in yet.
    fn remove(&mut self, number: u64) -> Option<Arc<str>> {
        let ticket = self.tickets.remove(&number)?;
        if let Some(queue) = self.locks.get_mut(&ticket.lock) {
            if ticket.is_granted {
                queue.holders -= 1;
            } else if let Ok(at) = queue.waiting.binary_search(&number) {
                queue.waiting.remove(at);
            }
        }
        Some(ticket.lock)
    }

    /// Lets in who is next, and who may come in with them. Forgets a lock that nobody wants.
    fn admit(&mut self, name: &Arc<str>, grants: &mut Vec<Grant>) {
        let Some(queue) = self.locks.get_mut(name) else {
            return;
        };
        while let Some(&number) = queue.waiting.front() {
            let Some(ticket) = self.tickets.get_mut(&number) else {
                debug_assert!(false, "who waits has a ticket");
                queue.waiting.pop_front();
                continue;
            };
            if !queue.admits(ticket.mode) {
                break;
            }
            queue.waiting.pop_front();
            queue.enter(ticket.mode);
            ticket.is_granted = true;
            self.last += 1;
            grants.push(Grant {
                owner: ticket.owner,
                ticket: number,
                fence: self.last,
            });
        }
        if queue.holders == 0 {
            self.locks.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: LockOwner = LockOwner(1);
    const B: LockOwner = LockOwner(2);

    fn locks() -> Locks {
        Locks::new(1_000, LockLimits::default())
    }

    fn granted(acquired: Acquired) -> u64 {
        match acquired {
            Acquired::Granted { ticket } => ticket,
            other => panic!("not granted: {other:?}"),
        }
    }

    fn waits(acquired: Acquired) -> u64 {
        match acquired {
            Acquired::Waits { ticket } => ticket,
            other => panic!("does not wait: {other:?}"),
        }
    }

    #[test]
    fn the_fence_of_a_lock_handed_on_is_above_that_of_its_holder() {
        let mut locks = locks();
        let first = granted(locks.acquire("a", A, LockMode::Exclusive, true));
        let second = waits(locks.acquire("a", B, LockMode::Exclusive, true));
        let mut grants = Vec::new();
        assert!(locks.end(first, &mut grants));
        assert_eq!(grants.len(), 1);
        assert_eq!((grants[0].owner, grants[0].ticket), (B, second));
        assert!(grants[0].fence > second && first > 1_000);
    }

    #[test]
    fn a_writer_that_waits_is_not_overtaken_by_readers() {
        let mut locks = locks();
        let reader = granted(locks.acquire("a", A, LockMode::Shared, true));
        let writer = waits(locks.acquire("a", B, LockMode::Exclusive, true));
        let late = waits(locks.acquire("a", A, LockMode::Shared, true));
        assert_eq!(
            locks.acquire("a", A, LockMode::Shared, false),
            Acquired::Busy
        );
        let mut grants = Vec::new();
        locks.end(reader, &mut grants);
        assert_eq!(grants.pop().map(|grant| grant.ticket), Some(writer));
        assert!(grants.is_empty());
        locks.end(writer, &mut grants);
        assert_eq!(grants.pop().map(|grant| grant.ticket), Some(late));
    }

    #[test]
    fn readers_behind_a_writer_that_gives_up_come_in() {
        let mut locks = locks();
        granted(locks.acquire("a", A, LockMode::Shared, true));
        let writer = waits(locks.acquire("a", B, LockMode::Exclusive, true));
        let late = waits(locks.acquire("a", B, LockMode::Shared, true));
        let mut grants = Vec::new();
        locks.end(writer, &mut grants);
        assert_eq!(grants.pop().map(|grant| grant.ticket), Some(late));
    }

    #[test]
    fn a_ticket_ends_once_and_a_lock_without_holders_is_forgotten() {
        let mut locks = locks();
        let ticket = granted(locks.acquire("a", A, LockMode::Exclusive, true));
        assert_eq!(locks.len(), 1);
        assert!(locks.end(ticket, &mut Vec::new()));
        assert!(!locks.end(ticket, &mut Vec::new()));
        assert!(locks.is_empty() && locks.tickets.is_empty());
    }

    #[test]
    fn each_limit_holds_at_its_value_and_not_before() {
        let limits = LockLimits {
            locks: 2,
            waiters: 2,
            tickets: 5,
        };
        let mut locks = Locks::new(0, limits);
        granted(locks.acquire("a", A, LockMode::Exclusive, true));
        granted(locks.acquire("b", A, LockMode::Exclusive, true));
        let refused = |acquired| assert_eq!(acquired, Acquired::Refused);
        refused(locks.acquire("c", A, LockMode::Exclusive, true));
        waits(locks.acquire("a", A, LockMode::Exclusive, true));
        waits(locks.acquire("a", A, LockMode::Exclusive, true));
        refused(locks.acquire("a", A, LockMode::Exclusive, true));
        waits(locks.acquire("b", A, LockMode::Exclusive, true));
        refused(locks.acquire("b", A, LockMode::Exclusive, true));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Acquire(usize, u64, LockMode, bool),
        End(usize),
        EndOwner(u64),
    }

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn step() -> impl Strategy<Value = Step> {
        let mode = prop_oneof![Just(LockMode::Exclusive), Just(LockMode::Shared)];
        prop_oneof![
            6 => (0..NAMES.len(), 0..4_u64, mode, prop::bool::weighted(0.8))
                .prop_map(|(name, owner, mode, waits)| Step::Acquire(name, owner, mode, waits)),
            5 => any::<usize>().prop_map(Step::End),
            1 => (0..4_u64).prop_map(Step::EndOwner),
        ]
    }

    /// The rules once more: one list of requests, in the order in which they came.
    #[derive(Default)]
    struct Model(Vec<Request>);

    #[derive(Clone, Debug)]
    struct Request {
        ticket: u64,
        name: usize,
        owner: u64,
        mode: LockMode,
        is_granted: bool,
    }

    impl Model {
        /// Grants what can be granted; the tickets, in their order.
        fn settle(&mut self) -> Vec<u64> {
            let mut news = Vec::new();
            for name in 0..NAMES.len() {
                for at in 0..self.0.len() {
                    let request = &self.0[at];
                    if request.name != name || request.is_granted {
                        continue;
                    }
                    let mut holders = self
                        .0
                        .iter()
                        .filter(|other| other.name == name && other.is_granted);
                    let fits = holders.all(|other| {
                        other.mode == LockMode::Shared && request.mode == LockMode::Shared
                    });
                    if !fits {
                        break;
                    }
                    news.push(request.ticket);
                    self.0[at].is_granted = true;
                }
            }
            news
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_rules_say(steps in prop::collection::vec(step(), 0..300)) {
            let mut locks = locks();
            let mut model = Model::default();
            let mut fence = 0;
            for step in steps {
                let mut grants = Vec::new();
                let mut expected = Vec::new();
                match step {
                    Step::Acquire(name, owner, mode, may_wait) => {
                        let acquired = locks.acquire(NAMES[name], LockOwner(owner), mode, may_wait);
                        let ticket = match acquired {
                            Acquired::Granted { ticket } | Acquired::Waits { ticket } => ticket,
                            Acquired::Busy | Acquired::Refused => u64::MAX,
                        };
                        model.0.push(Request { ticket, name, owner, mode, is_granted: false });
                        let now = model.settle();
                        match acquired {
                            Acquired::Granted { .. } => {
                                prop_assert_eq!(now, vec![ticket]);
                                prop_assert!(ticket > fence);
                                fence = ticket;
                            }
                            Acquired::Waits { .. } => prop_assert!(may_wait && now.is_empty()),
                            Acquired::Busy => {
                                prop_assert!(!may_wait && now.is_empty());
                                model.0.pop();
                            }
                            Acquired::Refused => prop_assert!(false, "no limit is near"),
                        }
                    }
                    Step::End(which) => {
                        if model.0.is_empty() {
                            prop_assert!(!locks.end(1, &mut grants));
                        } else {
                            let request = model.0.remove(which % model.0.len());
                            prop_assert!(locks.end(request.ticket, &mut grants));
                            expected = model.settle();
                        }
                    }
                    Step::EndOwner(owner) => {
                        locks.end_owner(LockOwner(owner), &mut grants);
                        model.0.retain(|request| request.owner != owner);
                        expected = model.settle();
                    }
                }
                for grant in &grants {
                    prop_assert!(grant.fence > fence);
                    fence = grant.fence;
                    let request = model.0.iter().find(|request| request.ticket == grant.ticket);
                    prop_assert_eq!(request.map(|request| request.owner), Some(grant.owner.0));
                }
                let mut granted: Vec<u64> = grants.iter().map(|grant| grant.ticket).collect();
                // Locks are independent of each other: only within one the order counts.
                let of_one = |list: &[u64], name: usize| -> Vec<u64> {
                    let of_name = |ticket: &&u64| model.0.iter().any(|request| request.ticket == **ticket && request.name == name);
                    list.iter().filter(of_name).copied().collect()
                };
                for name in 0..NAMES.len() {
                    prop_assert_eq!(of_one(&granted, name), of_one(&expected, name));
                }
                granted.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(granted, expected);
                let held = (0..NAMES.len()).filter(|name| model.0.iter().any(|request| request.name == *name && request.is_granted));
                prop_assert_eq!(locks.len(), held.count());
                prop_assert_eq!(locks.tickets.len(), model.0.len());
            }
        }
    }
}
