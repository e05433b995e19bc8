//! Choosing the worker for a request.

use std::hash::Hasher;
use std::net::IpAddr;

pub use crate::key_rule::{KeyRule, KeyRuleError};

use crate::config::DispatchConfig;
use crate::id::WorkerSlot;
use crate::workers::SLOTS;

/// What is known of a request when its worker is chosen. Only what the rule needs has to be filled in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The client; `None` on a unix socket.
    pub peer: Option<IpAddr>,
    /// The worker of the connection's last request; `None` for its first.
    pub connection_worker: Option<WorkerSlot>,
    /// What [`KeyRule::extract`] found, when [`Dispatcher::needs_key`].
    pub key: Option<&'a [u8]>,
    /// Whose connection it is, when [`Dispatcher::needs_uid`] and it is bound.
    pub uid: Option<&'a [u8]>,
}

/// A worker that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its slot in the worker table.
    pub slot: WorkerSlot,
    /// The index of the logical worker, the same before and after a reload. Equal to the reactor's
    /// own pair if the two are placed together.
    pub home: u16,
}

/// Chooses workers for one reactor by the configured rule. Never shared: rotation is per reactor.
#[derive(Debug)]
pub struct Dispatcher {
    rule: Rule,
    pair: u16,
    /// Where the next rotation starts. Reactors start apart, so that they do not go in step.
    turn: usize,
}

#[derive(Debug)]
enum Rule {
    LeastRequests,
    RoundRobin,
    Idle,
    Ip,
    Uid,
    /// The home of each slot when a connection was last given to it.
    Connection {
        homes: Box<[Option<u16>; SLOTS]>,
    },
    Key(KeyRule),
}

impl Dispatcher {
    /// A dispatcher for the reactor whose own worker is `pair`.
    pub fn new(config: &DispatchConfig, pair: u16) -> Self {
        let rule = match config {
            DispatchConfig::LeastRequests => Rule::LeastRequests,
            DispatchConfig::RoundRobin => Rule::RoundRobin,
            DispatchConfig::Idle => Rule::Idle,
            DispatchConfig::Ip => Rule::Ip,
            DispatchConfig::Uid => Rule::Uid,
            DispatchConfig::Connection | DispatchConfig::LeastConnections => Rule::Connection {
                homes: Box::new([None; SLOTS]),
            },
            DispatchConfig::Key(key) => Rule::Key(key.clone()),
        };
        Self {
            rule,
            pair,
            turn: usize::from(pair),
        }
    }

    /// Whether [`Facts::key`] matters.
    pub fn needs_key(&self) -> bool {
        self.key_rule().is_some()
    }

    /// Whether [`Facts::uid`] matters.
    pub fn needs_uid(&self) -> bool {
        matches!(self.rule, Rule::Uid)
    }

    /// The rule that finds [`Facts::key`], if one is needed.
    pub fn key_rule(&self) -> Option<&KeyRule> {
        match &self.rule {
            Rule::Key(key) => Some(key),
            _ => None,
        }
    }

    /// The worker for a request: always one of `active` whose `load` (requests in flight) is below
    /// `limit`. `None`: the request waits, because all are at the limit or, under a sticky rule, its own worker is.
    ///
    /// `active` holds the workers that run, in the order of their activation: while a reload has two with one home, the
    /// later one is the newer.
    ///
    /// - least-requests: the smallest load; of equals the reactor's own pair, then in turn.
    /// - round-robin: the next below the limit.
    /// - idle: the own pair if idle, else the first idle one, else as least-requests.
    /// - ip, uid, key: by rendezvous hashing on the home, so that only the requests of a worker that
    ///   left or came move, and none by a reload. Without an address, a uid or a key, as least-requests.
    /// - connection, least-connections: the worker of the last request or its successor with the same home; at the
    ///   first request, or when that home has no worker, as least-requests.
    pub fn choose(
        &mut self,
        facts: &Facts<'_>,
        active: &[Candidate],
        load: impl Fn(WorkerSlot) -> u32,
        limit: u32,
    ) -> Option<WorkerSlot> {
        let open = |candidate: &Candidate| load(candidate.slot) < limit;
        let chosen = match &self.rule {
            Rule::LeastRequests => self.least(active, &load, limit),
            Rule::RoundRobin => self.next(active, open),
            Rule::Idle => {
                let idle = |candidate: &&Candidate| limit > 0 && load(candidate.slot) == 0;
                let own = active
                    .iter()
                    .filter(|candidate| candidate.home == self.pair)
                    .find(idle);
                match own.or_else(|| active.iter().find(idle)) {
                    Some(&candidate) => Some(candidate),
                    None => self.least(active, &load, limit),
                }
            }
            Rule::Ip => match facts.peer {
                Some(peer) => highest(hash_ip(peer), active).filter(open),
                None => self.least(active, &load, limit),
            },
            Rule::Uid => match facts.uid {
                Some(uid) => highest(hash(uid), active).filter(open),
                None => self.least(active, &load, limit),
            },
            Rule::Key(_) => match facts.key {
                Some(key) => highest(hash(key), active).filter(open),
                None => self.least(active, &load, limit),
            },
            Rule::Connection { homes } => {
                match facts
                    .connection_worker
                    .and_then(|last| successor(last, homes, active))
                {
                    Some(candidate) => Some(candidate).filter(open),
                    None => self.least(active, &load, limit),
                }
            }
        }?;
        if let Rule::Connection { homes } = &mut self.rule
            && let Some(home) = homes.get_mut(chosen.slot.index())
        {
            *home = Some(chosen.home);
        }
        Some(chosen.slot)
    }

    fn least(
        &mut self,
        active: &[Candidate],
        load: impl Fn(WorkerSlot) -> u32,
        limit: u32,
    ) -> Option<Candidate> {
        let mut best: Option<(u32, bool, usize)> = None;
        for index in rotation(self.turn, active.len()) {
            let candidate = active[index];
            let is_foreign = candidate.home != self.pair;
            let load = load(candidate.slot);
            if load < limit
                && best.is_none_or(|(least, foreign, _)| (load, is_foreign) < (least, foreign))
            {
                best = Some((load, is_foreign, index));
            }
        }
        let (_, is_foreign, index) = best?;
        // The own pair does not take a turn: if it did, its neighbour would get every second request.
        if is_foreign {
            self.turn = index + 1;
        }
        Some(active[index])
    }

    fn next(
        &mut self,
        active: &[Candidate],
        open: impl Fn(&Candidate) -> bool,
    ) -> Option<Candidate> {
        let index = rotation(self.turn, active.len()).find(|&index| open(&active[index]))?;
        self.turn = index + 1;
        Some(active[index])
    }
}

/// All indices below `len`, starting at `turn`.
fn rotation(turn: usize, len: usize) -> impl Iterator<Item = usize> {
    let start = turn.checked_rem(len).unwrap_or(0);
    (start..len).chain(0..start)
}

/// The candidate that a connection keeps to, or `None` if neither the slot nor its home is left.
fn successor(
    last: WorkerSlot,
    homes: &[Option<u16>; SLOTS],
    active: &[Candidate],
) -> Option<Candidate> {
    let same_slot = active.iter().find(|candidate| candidate.slot == last);
    same_slot.copied().or_else(|| {
        let home = (*homes.get(last.index())?)?;
        active
            .iter()
            .rfind(|candidate| candidate.home == home)
            .copied()
    })
}

/// Rendezvous hashing: every home draws a number for the key, the highest has it. Thaler and Ravishankar,
/// "A name-based mapping scheme for rendezvous", 1996. Of two candidates with one home the later one.
fn highest(key: u64, active: &[Candidate]) -> Option<Candidate> {
    active
        .iter()
        .max_by_key(|candidate| mix(key ^ mix(u64::from(candidate.home) + 1)))
        .copied()
}

/// An IPv4 address counts the same in its IPv6-mapped form, as a dual-stack socket gives it.
fn hash_ip(peer: IpAddr) -> u64 {
    match peer.to_canonical() {
        IpAddr::V4(v4) => hash(&v4.octets()),
        IpAddr::V6(v6) => hash(&v6.octets()),
    }
}

/// Without a random seed: all reactors must agree. A client can aim its requests at a worker, but
/// by sending one key it could do that with any hash.
fn hash(key: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

/// The finalizer of SplitMix64: every input bit reaches every output bit.
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const LIMIT: u32 = 1000;

    fn worker(slot: u16, home: u16) -> Candidate {
        Candidate {
            slot: WorkerSlot(slot),
            home,
        }
    }

    /// Workers with slots 10, 11, … and homes 0, 1, …
    fn workers(count: u16) -> Vec<Candidate> {
        (0..count).map(|home| worker(10 + home, home)).collect()
    }

    fn key_rule() -> DispatchConfig {
        DispatchConfig::Key(KeyRule::parse("cookie:sid").expect("the rule is right"))
    }

    fn by_key(key: &[u8]) -> Facts<'_> {
        Facts {
            key: Some(key),
            ..Facts::default()
        }
    }

    fn by_connection(worker: Option<WorkerSlot>) -> Facts<'static> {
        Facts {
            connection_worker: worker,
            ..Facts::default()
        }
    }

    /// The slots chosen for `count` requests in a row, each still in flight when the next comes
    /// if `is_piling`.
    fn serve(
        dispatcher: &mut Dispatcher,
        active: &[Candidate],
        count: usize,
        is_piling: bool,
    ) -> Vec<u16> {
        let mut loads: HashMap<WorkerSlot, u32> = HashMap::new();
        (0..count)
            .map(|_| {
                let load = |slot| loads.get(&slot).copied().unwrap_or(0);
                let slot = dispatcher
                    .choose(&Facts::default(), active, load, LIMIT)
                    .expect("all are below the limit");
                if is_piling {
                    *loads.entry(slot).or_default() += 1;
                }
                slot.0
            })
            .collect()
    }

    #[test]
    fn without_workers_nothing_is_chosen() {
        for config in every_rule() {
            let mut dispatcher = Dispatcher::new(&config, 0);
            let facts = Facts {
                peer: Some(Ipv4Addr::LOCALHOST.into()),
                connection_worker: Some(WorkerSlot(10)),
                key: Some(b"a"),
                uid: Some(b"7"),
            };
            assert_eq!(dispatcher.choose(&facts, &[], |_| 0, LIMIT), None);
        }
    }

    #[test]
    fn only_the_key_rule_needs_a_key() {
        for config in every_rule() {
            let needs_key = matches!(config, DispatchConfig::Key(_));
            assert_eq!(Dispatcher::new(&config, 0).needs_key(), needs_key);
        }
    }

    #[test]
    fn least_requests_gives_an_idle_server_to_the_own_pair() {
        let mut dispatcher = Dispatcher::new(&DispatchConfig::LeastRequests, 2);
        assert_eq!(serve(&mut dispatcher, &workers(4), 5, false), [12; 5]);
    }

    #[test]
    fn least_requests_spreads_what_piles_up_evenly() {
        let mut dispatcher = Dispatcher::new(&DispatchConfig::LeastRequests, 0);
        let mut chosen = serve(&mut dispatcher, &workers(3), 9, true);
        assert_eq!([chosen[0], chosen[3], chosen[6]], [10; 3]);
        chosen.sort();
        assert_eq!(chosen, [10, 10, 10, 11, 11, 11, 12, 12, 12]);
    }

    #[test]
    fn least_requests_shares_the_overflow_of_the_own_pair_in_turn() {
        let mut dispatcher = Dispatcher::new(&DispatchConfig::LeastRequests, 0);
        let active = workers(4);
        let mut overflow = Vec::new();
        for _ in 0..6 {
            for own in [0, 1] {
                let load = |slot| if slot == WorkerSlot(10) { own } else { 0 };
                let slot = dispatcher.choose(&Facts::default(), &active, load, LIMIT);
                if own == 1 {
                    overflow.extend(slot);
                }
            }
        }
        assert_eq!(overflow, [11, 12, 13, 11, 12, 13].map(WorkerSlot));
    }

    #[test]
    fn round_robin_goes_in_turn_and_passes_over_the_full() {
        let mut dispatcher = Dispatcher::new(&DispatchConfig::RoundRobin, 0);
        assert_eq!(
            serve(&mut dispatcher, &workers(3), 7, true),
            [10, 11, 12, 10, 11, 12, 10]
        );
        let load = |slot| if slot == WorkerSlot(11) { LIMIT } else { 0 };
        let next = dispatcher.choose(&Facts::default(), &workers(3), load, LIMIT);
        assert_eq!(next, Some(WorkerSlot(12)));
    }

    #[test]
    fn idle_takes_the_own_pair_then_the_first_idle_then_the_least() {
        let mut dispatcher = Dispatcher::new(&DispatchConfig::Idle, 2);
        for (loads, chosen) in [
            ([0, 0, 0], 12),
            ([0, 0, 1], 10),
            ([5, 0, 1], 11),
            ([5, 3, 4], 11),
            ([3, 3, 3], 12),
        ] {
            let load = |slot: WorkerSlot| loads[usize::from(slot.0) - 10];
            let slot = dispatcher.choose(&Facts::default(), &workers(3), load, LIMIT);
            assert_eq!(slot, Some(WorkerSlot(chosen)), "{loads:?}");
        }
    }

    #[test]
    fn an_address_keeps_its_worker_in_both_its_forms() {
        let mut dispatcher = Dispatcher::new(&DispatchConfig::Ip, 0);
        let mut used = HashMap::new();
        for host in 0..64 {
            let v4 = Ipv4Addr::new(192, 0, 2, host);
            let mut choose = |peer: IpAddr| {
                let facts = Facts {
                    peer: Some(peer),
                    ..Facts::default()
                };
                dispatcher.choose(&facts, &workers(4), |_| 0, LIMIT)
            };
            let slot = choose(v4.into());
            assert_eq!(choose(v4.to_ipv6_mapped().into()), slot);
            *used.entry(slot).or_insert(0) += 1;
        }
        assert_eq!(used.len(), 4, "{used:?}");
        assert_ne!(
            hash_ip(Ipv6Addr::LOCALHOST.into()),
            hash_ip(Ipv4Addr::LOCALHOST.into())
        );
    }

    #[test]
    fn a_unix_socket_and_a_request_without_key_go_by_least_requests() {
        for config in [DispatchConfig::Ip, key_rule()] {
            let mut dispatcher = Dispatcher::new(&config, 1);
            let load = |slot| u32::from(slot != WorkerSlot(12));
            let slot = dispatcher.choose(&Facts::default(), &workers(4), load, LIMIT);
            assert_eq!(slot, Some(WorkerSlot(12)));
        }
    }

    #[test]
    fn sticky_requests_wait_for_their_worker() {
        let active = workers(4);
        for config in [DispatchConfig::Ip, DispatchConfig::Connection, key_rule()] {
            let mut dispatcher = Dispatcher::new(&config, 0);
            let mut facts = Facts {
                peer: Some(Ipv4Addr::LOCALHOST.into()),
                connection_worker: None,
                key: Some(b"a"),
                uid: Some(b"7"),
            };
            let own = dispatcher.choose(&facts, &active, |_| 0, 5);
            facts.connection_worker = own;
            let load = |slot| if Some(slot) == own { 5 } else { 0 };
            assert_eq!(
                dispatcher.choose(&facts, &active, load, 5),
                None,
                "{config:?}"
            );
            assert_eq!(
                dispatcher.choose(&facts, &active, load, 6),
                own,
                "{config:?}"
            );
        }
    }

    #[test]
    fn a_connection_follows_its_worker_through_a_reload() {
        let mut dispatcher = Dispatcher::new(&DispatchConfig::Connection, 0);
        let load = |slot| u32::from(slot != WorkerSlot(11));
        let first = dispatcher.choose(&by_connection(None), &workers(3), load, LIMIT);
        assert_eq!(first, Some(WorkerSlot(11)));

        let both = [worker(10, 0), worker(11, 1), worker(12, 2), worker(20, 1)];
        let stays = dispatcher.choose(&by_connection(first), &both, |_| 0, LIMIT);
        assert_eq!(stays, first);

        let twice = [worker(10, 0), worker(20, 1), worker(21, 1)];
        let newest = dispatcher.choose(&by_connection(first), &twice, |_| 0, LIMIT);
        assert_eq!(newest, Some(WorkerSlot(21)));

        let after = [worker(10, 0), worker(12, 2), worker(20, 1)];
        let moved = dispatcher.choose(&by_connection(first), &after, |_| 0, LIMIT);
        assert_eq!(moved, Some(WorkerSlot(20)));
    }

    #[test]
    fn a_connection_whose_home_is_gone_starts_again() {
        let mut dispatcher = Dispatcher::new(&DispatchConfig::Connection, 0);
        let only = [worker(11, 1)];
        let first = dispatcher.choose(&by_connection(None), &only, |_| 0, LIMIT);
        let rest = [worker(10, 0), worker(12, 2)];
        let next = dispatcher.choose(&by_connection(first), &rest, |_| 0, LIMIT);
        assert_eq!(next, Some(WorkerSlot(10)));
        let outside = by_connection(Some(WorkerSlot(u16::MAX)));
        assert!(dispatcher.choose(&outside, &rest, |_| 0, LIMIT).is_some());
    }

    #[test]
    fn a_key_goes_to_the_newer_of_two_workers_with_one_home() {
        let mut dispatcher = Dispatcher::new(&key_rule(), 0);
        let both = [worker(10, 0), worker(3, 0)];
        let slot = dispatcher.choose(&by_key(b"a"), &both, |_| 0, LIMIT);
        assert_eq!(slot, Some(WorkerSlot(3)));
    }

    #[test]
    fn reactors_agree_on_the_worker_of_a_key() {
        let active = workers(8);
        let mut reversed = active.clone();
        reversed.reverse();
        for key in 0..100u32 {
            let key = key.to_le_bytes();
            let mut one = Dispatcher::new(&key_rule(), 0);
            let mut other = Dispatcher::new(&key_rule(), 5);
            assert_eq!(
                one.choose(&by_key(&key), &active, |_| 0, LIMIT),
                other.choose(&by_key(&key), &reversed, |_| 0, LIMIT)
            );
        }
    }

    #[test]
    fn keys_spread_over_all_workers() {
        let mut dispatcher = Dispatcher::new(&key_rule(), 0);
        let mut used: HashMap<WorkerSlot, u32> = HashMap::new();
        for key in 0..8000u32 {
            let key = format!("session-{key}");
            let slot = dispatcher.choose(&by_key(key.as_bytes()), &workers(8), |_| 0, LIMIT);
            *used.entry(slot.expect("all are idle")).or_default() += 1;
        }
        // 1000 each on average; the standard deviation is 30.
        assert_eq!(used.len(), 8);
        assert!(
            used.values().all(|count| (850..=1150).contains(count)),
            "{used:?}"
        );
    }

    fn every_rule() -> Vec<DispatchConfig> {
        vec![
            DispatchConfig::LeastRequests,
            DispatchConfig::RoundRobin,
            DispatchConfig::Idle,
            DispatchConfig::Ip,
            DispatchConfig::Connection,
            DispatchConfig::LeastConnections,
            DispatchConfig::Uid,
            key_rule(),
        ]
    }

    proptest! {
        #[test]
        fn the_chosen_worker_is_active_and_below_the_limit(
            rule in prop::sample::select(every_rule()),
            pair in any::<u16>(),
            loads in prop::collection::vec(0u32..4, 0..12),
            limit in 0u32..5,
            peers in prop::collection::vec(prop::option::of(any::<u32>()), 1..8),
        ) {
            let mut dispatcher = Dispatcher::new(&rule, pair);
            let active = workers(loads.len() as u16);
            let load = |slot: WorkerSlot| loads[slot.index() - 10];
            let mut last = None;
            for peer in peers {
                let key = peer.map(u32::to_be_bytes);
                let facts = Facts {
                    peer: peer.map(|peer| Ipv4Addr::from(peer).into()),
                    connection_worker: last,
                    key: key.as_ref().map(|key| &key[..]),
                    uid: key.as_ref().map(|key| &key[..]),
                };
                let chosen = dispatcher.choose(&facts, &active, load, limit);
                match chosen {
                    Some(slot) => {
                        prop_assert!(active.iter().any(|candidate| candidate.slot == slot));
                        prop_assert!(load(slot) < limit);
                        last = chosen;
                    }
                    None => {
                        let is_sticky = matches!(
                            rule,
                            DispatchConfig::Ip
                                | DispatchConfig::Uid
                                | DispatchConfig::Connection
                                | DispatchConfig::LeastConnections
                                | DispatchConfig::Key(_)
                        );
                        prop_assert!(is_sticky || loads.iter().all(|&load| load >= limit));
                    }
                }
            }
        }

        #[test]
        fn least_is_least_and_the_own_pair_wins_ties(
            pair in 0u16..12,
            loads in prop::collection::vec(0u32..4, 1..12),
        ) {
            let mut dispatcher = Dispatcher::new(&DispatchConfig::LeastRequests, pair);
            let load = |slot: WorkerSlot| loads[slot.index() - 10];
            for _ in 0..3 {
                let slot = dispatcher.choose(&Facts::default(), &workers(loads.len() as u16), load, LIMIT);
                let slot = slot.expect("all are below the limit");
                let least = loads.iter().copied().min();
                prop_assert_eq!(Some(load(slot)), least);
                if loads.get(usize::from(pair)).copied() == least {
                    prop_assert_eq!(slot, WorkerSlot(10 + pair));
                }
            }
        }

        #[test]
        fn rotation_is_fair(
            rule in prop::sample::select(vec![DispatchConfig::RoundRobin, DispatchConfig::LeastRequests]),
            count in 1u16..12,
            rounds in 1usize..5,
        ) {
            // A pair that is not there: all workers are equal.
            let mut dispatcher = Dispatcher::new(&rule, u16::MAX);
            let chosen = serve(&mut dispatcher, &workers(count), usize::from(count) * rounds, false);
            for candidate in workers(count) {
                let times = chosen.iter().filter(|&&slot| slot == candidate.slot.0).count();
                prop_assert_eq!(times, rounds);
            }
        }

        #[test]
        fn only_the_keys_of_a_removed_worker_move(
            count in 2u16..12,
            removed in any::<prop::sample::Index>(),
            keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..50),
        ) {
            let mut dispatcher = Dispatcher::new(&key_rule(), 0);
            let before = workers(count);
            let mut after = before.clone();
            let removed = after.remove(removed.index(before.len()));
            for key in keys {
                let then = dispatcher.choose(&by_key(&key), &before, |_| 0, LIMIT);
                let now = dispatcher.choose(&by_key(&key), &after, |_| 0, LIMIT);
                prop_assert!(then == now || then == Some(removed.slot));
            }
        }

        #[test]
        fn a_reload_moves_no_key_to_another_home(
            count in 1u16..12,
            keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..50),
        ) {
            let mut dispatcher = Dispatcher::new(&key_rule(), 0);
            let before = workers(count);
            let after: Vec<_> = (0..count).rev().map(|home| worker(100 + home, home)).collect();
            for key in keys {
                let then = dispatcher.choose(&by_key(&key), &before, |_| 0, LIMIT);
                let now = dispatcher.choose(&by_key(&key), &after, |_| 0, LIMIT);
                prop_assert_eq!(then.map(|slot| slot.0 + 90), now.map(|slot| slot.0));
            }
        }
    }
}
