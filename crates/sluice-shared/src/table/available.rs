//! How much memory there is to be had. The kernel promises more of it than it has, and ends a process when it must keep its word.

use std::fs::read_to_string;

/// Bytes that can be taken now, of the machine or of the control group this process is in; `None` where the system does not tell.
pub(super) fn available_bytes() -> Option<u64> {
    let machine = read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| of_machine(&text));
    let group = || {
        let number = |name| {
            read_to_string(format!("/sys/fs/cgroup/{name}"))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        let (limit, used): (u64, u64) = (number("memory.max")?, number("memory.current")?);
        Some(limit.saturating_sub(used))
    };
    machine.into_iter().chain(group()).min()
}

fn of_machine(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read_in_kib() {
        let text =
            "MemTotal:       24683308 kB\nMemFree:          100 kB\nMemAvailable:   23156000 kB\n";
        assert_eq!(of_machine(text), Some(23_156_000 * 1024));
        assert_eq!(of_machine("MemTotal: 5 kB\n"), None);
    }
}
