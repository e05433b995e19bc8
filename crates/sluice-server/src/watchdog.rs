//! Finding workers that hang, with a clock and a thread of its own: it works when every event loop is blocked.

use std::sync::Weak;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use sluice_core::id::WorkerSlot;
use sluice_core::workers::SLOTS;

use crate::server::Shared;
use crate::task_lane::Role;
use crate::worker::WorkerLink;

/// What is known of one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pulse {
    beat: u32,
    generation: u32,
    since: u64,
    probed: bool,
}

/// What to do about a worker now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// It may only be waiting for something slow: see whether it answers a wake.
    Probe,
    Stuck {
        ms: u64,
    },
}

impl Pulse {
    /// Looks at a worker: its heartbeat, and whether work waits in its hands.
    fn look(
        &mut self,
        now: u64,
        generation: u32,
        beat: u32,
        has_work: bool,
        stuck_after: u64,
    ) -> Verdict {
        if !has_work || beat != self.beat || generation != self.generation {
            *self = Self {
                beat,
                generation,
                since: now,
                probed: false,
            };
            return Verdict::Fine;
        }
        let ms = now.saturating_sub(self.since);
        if ms >= stuck_after {
            return Verdict::Stuck { ms };
        }
        if ms >= stuck_after / 2 && !self.probed {
            self.probed = true;
            return Verdict::Probe;
        }
        Verdict::Fine
    }
}

/// The watchdog's thread. Ends when it is dropped.
pub(crate) struct Watchdog {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts watching; `stuck_after` 0 watches nothing.
    pub(crate) fn start(shared: Weak<Shared>, stuck_after: u64) -> std::io::Result<Self> {
        if stuck_after == 0 {
            return Ok(Self {
                stop: None,
                thread: None,
            });
        }
        let (stop, stopped) = mpsc::channel();
        let period = Duration::from_millis((stuck_after / 64).clamp(5, 25));
        let thread = std::thread::Builder::new()
            .name("sluice-watch".to_owned())
            .spawn(move || {
                let mut pulses = vec![Pulse::default(); SLOTS];
                while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                    let Some(shared) = shared.upgrade() else {
                        return;
                    };
                    watch(&shared, &mut pulses, stuck_after);
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It panics only on a bug, and then there is nothing left to wait for.
            let _ = thread.join();
        }
    }
}

fn watch(shared: &Shared, pulses: &mut [Pulse], stuck_after: u64) {
    let now = shared.now();
    let taken: Vec<WorkerSlot> = shared.workers.taken().collect();
    for slot in taken {
        let (Some(link), Some(pulse)) = (shared.link(slot), pulses.get_mut(slot.index())) else {
            continue;
        };
        let verdict = pulse.look(
            now,
            shared.workers.generation(slot),
            link.block.heartbeat(),
            has_work(shared, slot, &link),
            stuck_after,
        );
        match verdict {
            Verdict::Fine => {}
            Verdict::Probe => link.wake(),
            Verdict::Stuck { ms } => {
                shared.worker_stuck(slot, &link, ms);
            }
        }
    }
}

/// Whether a worker should be heard of. One that serves: it is awake or to be, for one that has nothing to do is parked. Others may compute for as long
/// as they like, but for calls that are past their time-out.
fn has_work(shared: &Shared, slot: WorkerSlot, link: &WorkerLink) -> bool {
    match shared.role(slot) {
        None | Some(Role::Serve) => shared.workers.inflight(slot) > 0 || !link.block.parked(),
        Some(_) => shared.is_overdue(slot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUCK: u64 = 100;

    #[test]
    fn a_worker_without_work_is_never_stuck() {
        let mut pulse = Pulse::default();
        for now in (0..10_000).step_by(50) {
            assert_eq!(pulse.look(now, 1, 0, false, STUCK), Verdict::Fine);
        }
    }

    #[test]
    fn a_silent_worker_is_probed_once_and_then_stuck() {
        let mut pulse = Pulse::default();
        assert_eq!(pulse.look(1000, 1, 7, true, STUCK), Verdict::Fine);
        assert_eq!(pulse.look(1049, 1, 7, true, STUCK), Verdict::Fine);
        assert_eq!(pulse.look(1050, 1, 7, true, STUCK), Verdict::Probe);
        assert_eq!(pulse.look(1099, 1, 7, true, STUCK), Verdict::Fine);
        assert_eq!(
            pulse.look(1100, 1, 7, true, STUCK),
            Verdict::Stuck { ms: 100 }
        );
    }

    #[test]
    fn a_heartbeat_or_a_successor_starts_the_clock_again() {
        let mut pulse = Pulse::default();
        pulse.look(0, 1, 7, true, STUCK);
        assert_eq!(pulse.look(99, 1, 8, true, STUCK), Verdict::Fine);
        assert_eq!(pulse.look(150, 1, 8, true, STUCK), Verdict::Probe);
        assert_eq!(pulse.look(190, 2, 8, true, STUCK), Verdict::Fine);
        assert_eq!(pulse.look(239, 2, 8, true, STUCK), Verdict::Fine);
        assert_eq!(
            pulse.look(290, 2, 8, true, STUCK),
            Verdict::Stuck { ms: 100 }
        );
    }

    #[test]
    fn finished_work_stops_the_clock() {
        let mut pulse = Pulse::default();
        pulse.look(0, 1, 7, true, STUCK);
        assert_eq!(pulse.look(99, 1, 7, false, STUCK), Verdict::Fine);
        assert_eq!(pulse.look(100, 1, 7, true, STUCK), Verdict::Fine);
        assert_eq!(pulse.look(148, 1, 7, true, STUCK), Verdict::Fine);
    }
}
