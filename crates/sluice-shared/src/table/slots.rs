//! Which processes use a table, and whether they live.
//!
//! Each takes a slot by locking one byte of the file beyond its end. The kernel lets go of that lock when the process ends,
//! however it ends and in whichever container; a pid could not say that.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::geometry::SLOTS;

/// Where the lock bytes begin: beyond any table.
const FIRST_BYTE: i64 = 1 << 62;

/// Takes a slot that no living process has. `None`: all are taken.
pub(super) fn claim(file: &File) -> io::Result<Option<u16>> {
    for slot in 1..SLOTS as u16 {
        match lock(file, libc::F_WRLCK, i64::from(slot), 1) {
            Ok(()) => return Ok(Some(slot)),
            Err(error) if is_taken(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether another opening of the file has this slot. The caller's own slot is never another's.
pub(super) fn is_alive(file: &File, slot: u16) -> io::Result<bool> {
    is_locked(file, i64::from(slot), 1)
}

/// Whether anybody else has attached the file.
pub(super) fn is_in_use(file: &File) -> io::Result<bool> {
    is_locked(file, 0, SLOTS as i64)
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES))
}

#[cfg(target_os = "linux")]
const SET: libc::c_int = libc::F_OFD_SETLK;
#[cfg(target_os = "linux")]
const GET: libc::c_int = libc::F_OFD_GETLK;
// Locks of the process, not of the opening: the same but for two openings by one process.
#[cfg(not(target_os = "linux"))]
const SET: libc::c_int = libc::F_SETLK;
#[cfg(not(target_os = "linux"))]
const GET: libc::c_int = libc::F_GETLK;

fn range(kind: libc::c_int, start: i64, len: i64) -> libc::flock {
    // SAFETY: a plain structure of numbers, for which zero is a value.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    range.l_start = FIRST_BYTE + start;
    range.l_len = len;
    range
}

fn lock(file: &File, kind: libc::c_int, start: i64, len: i64) -> io::Result<()> {
    let range = range(kind, start, len);
    // SAFETY: the descriptor is open, and the pointer is to a flock that outlives the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), SET, &raw const range) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn is_locked(file: &File, start: i64, len: i64) -> io::Result<bool> {
    let mut range = range(libc::F_WRLCK, start, len);
    // SAFETY: as above; the kernel writes into the flock.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), GET, &raw mut range) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(range.l_type != libc::F_UNLCK as libc::c_short)
}
