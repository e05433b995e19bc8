//! What timers cost without a server: time to set and clear one, and memory of a million. Prints JSON; `benchmark/timer/run.mjs` runs it.

use std::hint::black_box;
use std::time::Instant;

use sluice_core::timer::{Calling, NamedTimers, NewTimer, TimerLimits, Wheel};

const TIMERS: u64 = 1_000_000;

/// Spread over a day, in no order.
fn due(number: u64) -> u64 {
    1 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 86_400_000
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    pages * 4096
}

fn named(name: &str, number: u64) -> NewTimer<'_> {
    NewTimer {
        name,
        task: "expire",
        calling: Calling::default(),
        input: &[0xff, 0x0f, 0x49, 2],
        due: due(number),
        interval: 0,
    }
}

/// Time that this process, which has one thread, was on a CPU: others on the machine do not count.
struct Watch {
    started: Instant,
    on_cpu: Option<u64>,
}

impl Watch {
    fn start() -> Self {
        Self {
            started: Instant::now(),
            on_cpu: on_cpu_nanos(),
        }
    }

    fn nanos_for_each(&self, count: u64) -> f64 {
        let on_cpu = self.on_cpu.zip(on_cpu_nanos());
        let nanos = on_cpu.map_or_else(
            || self.started.elapsed().as_nanos() as f64,
            |(before, now)| (now - before) as f64,
        );
        nanos / count as f64
    }
}

fn on_cpu_nanos() -> Option<u64> {
    let statistics = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    statistics.split(' ').next()?.parse().ok()
}

fn main() {
    // With as many set already: nothing that is measured is in a cache by chance.
    let before = resident_bytes();
    let mut wheel = Wheel::new();
    for number in 0..TIMERS {
        wheel.insert(due(number), number as u32);
    }
    let wheel_bytes = resident_bytes() - before;
    let started = Watch::start();
    for number in 0..TIMERS {
        let key = wheel.insert(due(number), number as u32);
        black_box(key.and_then(|key| wheel.remove(key)));
    }
    let wheel_set_clear = started.nanos_for_each(TIMERS);
    let started = Watch::start();
    let mut expired = Vec::new();
    let mut now = 0;
    while let Some(at) = wheel.next_due() {
        now = now.max(at);
        wheel.advance(now, 1024, &mut expired);
    }
    assert_eq!(expired.len() as u64, TIMERS);
    let wheel_expire = started.nanos_for_each(TIMERS);
    drop((wheel, expired));

    let names: Vec<String> = (0..TIMERS)
        .map(|number| format!("session:{number}"))
        .collect();
    let before = resident_bytes();
    let mut timers = NamedTimers::new(TimerLimits {
        timers: 2 * TIMERS as usize,
        bytes: 1 << 30,
    });
    for (name, number) in names.iter().zip(0..) {
        assert_eq!(timers.set(&named(name, number)), Ok(true));
    }
    let named_bytes = resident_bytes() - before;
    let others: Vec<String> = (0..TIMERS)
        .map(|number| format!("request:{number}"))
        .collect();
    let started = Watch::start();
    for (name, number) in others.iter().zip(0..) {
        let is_new = timers.set(&named(name, number));
        black_box((is_new.is_ok(), timers.clear(name)));
    }
    let named_set_clear = started.nanos_for_each(TIMERS);
    println!(
        r#"{{"timers":{TIMERS},"wheelBytes":{wheel_bytes},"wheelSetClearNs":{wheel_set_clear:.1},"wheelExpireNs":{wheel_expire:.1},"namedBytes":{named_bytes},"namedSetClearNs":{named_set_clear:.1}}}"#
    );
}
