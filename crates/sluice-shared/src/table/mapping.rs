//! The memory of a table: a file that several processes map, seen as atomic words.
//!
//! Every access is an atomic one. What another process writes is outside input, but it cannot make a read of ours undefined.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use memmap2::MmapRaw;

use super::available::available_bytes;
use crate::sync::{AtomicU32, AtomicU64};

/// A mapped file. Unmapped when dropped.
pub(super) struct Mapping {
    file: File,
    map: MmapRaw,
}

impl Mapping {
    /// Makes the file `path`, which must not be there, readable by its owner alone.
    pub(super) fn create(path: &Path, base: u64, whole: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        Self::fill(file, base, whole)
    }

    /// Memory without a name.
    pub(super) fn private(name: &str, base: u64, whole: u64) -> io::Result<Self> {
        Self::fill(nameless(name)?, base, whole)
    }

    /// `base` bytes are promised now: later the kernel could not refuse them but by ending the process.
    fn fill(file: File, base: u64, whole: u64) -> io::Result<Self> {
        if let Some(available) = available_bytes().filter(|available| base > *available) {
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!("{base} bytes are needed, {available} are available"),
            ));
        }
        file.set_len(whole)?;
        reserve(&file, 0, base)?;
        Self::map(file, whole)
    }

    /// Opens a file that is there. Links are not followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Self::map(file, meta.len())
    }

    fn map(file: File, bytes: u64) -> io::Result<Self> {
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        if bytes < 8 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let map = memmap2::MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(Self { file, map })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Promises bytes of the file beyond its base.
    pub(super) fn reserve(&self, start: u64, bytes: u64) -> io::Result<()> {
        reserve(&self.file, start, bytes)
    }

    /// The whole memory.
    #[inline]
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the map is readable and writable for as long as `self` lives, page-aligned, and every bit pattern is a
        // word. All access by this process goes through these atomics, by other processes through theirs; a file that is
        // cut shorter under us by another process of the same user ends the process by SIGBUS, it is not undefined.
        unsafe {
            std::slice::from_raw_parts(
                self.map.as_mut_ptr().cast::<AtomicU64>(),
                self.map.len() / 8,
            )
        }
    }

    /// The whole memory as halves of words, the lower one first. What is read as one is never read as the other.
    #[inline]
    pub(super) fn halves(&self) -> &[AtomicU32] {
        // SAFETY: as in `words`.
        unsafe {
            std::slice::from_raw_parts(
                self.map.as_mut_ptr().cast::<AtomicU32>(),
                self.map.len() / 8 * 2,
            )
        }
    }

    /// Bytes of memory that the file takes now.
    pub(super) fn used_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.blocks() * 512)
    }
}

/// A file without a name, in memory where the system has such.
#[cfg(target_os = "linux")]
fn nameless(name: &str) -> io::Result<File> {
    let descriptor = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?;
    Ok(File::from(descriptor))
}

#[cfg(not(target_os = "linux"))]
fn nameless(name: &str) -> io::Result<File> {
    let path = std::env::temp_dir().join(format!(
        "sluice-{name}-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn reserve(file: &File, start: u64, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), start, bytes) {
        // A file system that cannot promise: pages come as they are touched.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        done => Ok(done?),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &File, _start: u64, _bytes: u64) -> io::Result<()> {
    Ok(())
}
