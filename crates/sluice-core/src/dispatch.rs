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
            DispatchConfig::Connection => Rule::Connection {
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
    /// - ip, key: by rendezvous hashing on the home, so that only the requests of a worker that
    ///   left or came move, and none by a reload. Without an address or a key, as least-requests.
    /// - connection: the worker of the last request or its successor with the same home; at the
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
