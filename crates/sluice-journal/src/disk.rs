//! What a journal wants of the disk, so that a test can have one that is full or broken.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A file that is written at places.
pub(crate) trait LogFile: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// What was written is on the disk.
    fn sync(&self) -> io::Result<()>;
}

/// Where the files are.
pub(crate) trait Disk: Send + Sync {
    /// An empty and locked file, with the rights of the one at `like` if there is one. `WouldBlock`: somebody else makes one of that name.
    fn create(&self, path: &Path, like: &Path) -> io::Result<Arc<dyn LogFile>>;
    /// Puts a file in the place of another, for good.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path);
}

/// The system's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path, like: &Path) -> io::Result<Arc<dyn LogFile>> {
        match open(path, true)? {
            Found::File(file) => {
                // What a process left that was killed here.
                file.set_len(0)?;
                if let Ok(like) = fs::metadata(like) {
                    file.set_permissions(like.permissions())?;
                }
                Ok(Arc::new(file))
            }
            Found::Locked | Found::Nothing => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        let folder = match to.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()
    }

    fn remove(&self, path: &Path) {
        let _ = fs::remove_file(path);
    }
}

impl LogFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, at)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// What came of opening a file that may be there.
pub(crate) enum Found {
    Nothing,
    Locked,
    File(File),
}

/// Opens and locks the file at `path`, if there is one or it may be made.
pub(crate) fn open(path: &Path, create: bool) -> io::Result<Found> {
    loop {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            // Inputs of tasks are nobody else's business.
            .mode(0o600)
            .open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if !create && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Found::Nothing);
            }
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Found::Locked),
            Err(error) => return Err(error.into()),
        }
        // Who had it open may have put another one in its place, and let go of this one.
        let (mine, there) = (file.metadata()?, fs::metadata(path));
        if there.is_ok_and(|there| there.ino() == mine.ino() && there.dev() == mine.dev()) {
            return Ok(Found::File(file));
        }
    }
}
