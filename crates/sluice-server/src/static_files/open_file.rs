//! A file that is being sent.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// An open regular file, as it was when it was opened. What is to be removed after sending goes with the last holder,
/// however that comes about.
#[derive(Debug)]
pub(crate) struct OpenFile {
    fd: OwnedFd,
    pub(super) len: u64,
    /// Time of the last change, ns since 1970.
    pub(super) modified_ns: u64,
    remove: Option<PathBuf>,
}

/// A part of an open file on its way to a socket.
#[derive(Clone, Debug)]
pub(crate) struct FileSlice {
    pub(crate) file: Arc<OpenFile>,
    pub(crate) offset: u64,
    pub(crate) left: u64,
}

/// Opening never waits for the other end of a FIFO, and a terminal does not become ours.
pub(super) const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// 1990-01-01. An earlier time of a change is not one: images and stores that are built reproducibly say 1970 or 1980
/// of all their files. When the file came to be here is then known from its inode.
const PLAUSIBLE_SECONDS: i64 = 631_152_000;

impl OpenFile {
    /// Opens a file that the application names.
    ///
    /// # Errors
    ///
    /// The system's; EISDIR for a directory, EINVAL for what is no regular file either.
    pub(crate) fn open(path: &Path, remove: bool) -> io::Result<Self> {
        let fd = rustix::fs::open(path, OPEN, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(Errno::ISDIR.into()),
            _ => return Err(Errno::INVAL.into()),
        }
        let mut file = Self::of(fd, &stat);
        file.remove = remove.then(|| path.to_path_buf());
        Ok(file)
    }

    /// The file of a descriptor of which `stat` says that it is regular.
    pub(super) fn of(fd: OwnedFd, stat: &Stat) -> Self {
        Self {
            fd,
            len: u64::try_from(stat.st_size).unwrap_or(0),
            modified_ns: modified_ns(stat),
            remove: None,
        }
    }

    /// Appends up to `len` bytes from `offset` to `out`. Fewer only where the file ends.
    pub(crate) fn read(&self, out: &mut Vec<u8>, offset: u64, len: usize) -> io::Result<usize> {
        let start = out.len();
        out.reserve(len);
        while out.len() < start + len {
            let at = offset + (out.len() - start) as u64;
            match rustix::io::pread(&self.fd, rustix::buffer::spare_capacity(out), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The buffer may have had more room than was asked for.
        out.truncate(start + len);
        Ok(out.len() - start)
    }

    /// Sends up to `len` bytes from `offset` to a socket without touching them. 0 where the file ends.
    #[cfg(target_os = "linux")]
    pub(crate) fn send_to(&self, socket: impl AsFd, offset: u64, len: usize) -> io::Result<usize> {
        let mut offset = offset;
        Ok(rustix::fs::sendfile(
            socket,
            &self.fd,
            Some(&mut offset),
            len,
        )?)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(path) = &self.remove {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn modified_ns(stat: &Stat) -> u64 {
    #[expect(
        clippy::unnecessary_cast,
        reason = "the types differ between platforms"
    )]
    let times = [
        (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        (stat.st_ctime as i64, stat.st_ctime_nsec as u64),
    ];
    let (seconds, nanos) = if times[0].0 < PLAUSIBLE_SECONDS {
        times[1]
    } else {
        times[0]
    };
    u64::try_from(seconds)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_none_is_waited_for() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .expect("a FIFO can be made");
        let code = |path: &Path| {
            OpenFile::open(path, false)
                .expect_err("it is no file")
                .raw_os_error()
        };
        assert_eq!(code(&fifo), Some(Errno::INVAL.raw_os_error()));
        assert_eq!(code(folder.path()), Some(Errno::ISDIR.raw_os_error()));
        assert_eq!(
            code(&folder.path().join("none")),
            Some(Errno::NOENT.raw_os_error())
        );
        assert_eq!(
            code(Path::new("/dev/null")),
            Some(Errno::INVAL.raw_os_error())
        );
    }

    #[test]
    fn reading_stops_where_asked_and_where_the_file_ends() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, b"0123456789").expect("a file can be written");
        let file = OpenFile::open(&path, false).expect("it was just written");
        let mut out = Vec::with_capacity(1000);
        out.extend_from_slice(b"> ");
        assert_eq!(file.read(&mut out, 2, 3).expect("it can be read"), 3);
        assert_eq!(out, b"> 234");
        assert_eq!(file.read(&mut out, 8, 5).expect("it can be read"), 2);
        assert_eq!(out, b"> 23489");
    }

    #[test]
    fn what_is_to_be_removed_goes_with_the_last_holder() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, b"x").expect("a file can be written");
        let file = Arc::new(OpenFile::open(&path, true).expect("it was just written"));
        let other = Arc::clone(&file);
        drop(file);
        assert!(path.exists());
        drop(other);
        assert!(!path.exists());
    }
}
