//! Which CPU a thread runs on, and what it is called.

use rustix::thread::{CpuSet, Pid, sched_setaffinity};

/// Pins the calling thread. False where the system does not allow it; the thread then runs anywhere.
pub fn pin_current_thread(cpu: usize) -> bool {
    if cpu >= CpuSet::MAX_CPU {
        return false;
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None::<Pid>, &set).is_ok()
}

/// Names the calling thread as `top -H` shows it; the system keeps the first 15 bytes.
pub fn name_current_thread(name: &str) {
    let mut end = name.len().min(15);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    if let Ok(name) = std::ffi::CString::new(&name[..end]) {
        // A thread without its name works as well.
        let _ = rustix::thread::set_name(&name);
    }
}
