//! What can go wrong with a journal.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A journal cannot be opened or used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The file is something else, or cannot be understood. It is left as it is.
    #[error("{} is no journal that can be read: {fault}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        fault: Fault,
    },
    /// Another process, or another server of this one, has it open.
    #[error("{} is in use by another server", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    System {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// An earlier `fsync` failed: what is on the disk is not known, and nothing is stored until the journal is opened again.
    #[error("{} stores nothing any more, an earlier write to the disk failed: {source}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The error of then.
        source: Arc<io::Error>,
    },
    /// It was closed.
    #[error("{} is closed", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// More is waiting to be written than may.
    #[error("the disk of {} is too slow: {max} bytes wait to be written", path.display())]
    Backlog {
        /// The file.
        path: PathBuf,
        /// How much may.
        max: usize,
    },
}

impl JournalError {
    pub(crate) fn system(action: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::System {
            action,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is a folder, a device or a pipe.
    #[error("found something that is no file")]
    NoFile,
    /// It is too short to be one.
    #[error("found {len} bytes, expected at least {expected}")]
    Short {
        /// Bytes found.
        len: u64,
        /// Bytes of the header.
        expected: u64,
    },
    /// It begins as none does.
    #[error("found another kind of file, expected one that begins with \"SluiceTaskLog\"")]
    Foreign,
    /// It is of a version that this one does not know.
    #[error("found version {found}, expected {expected}")]
    Version {
        /// Its version.
        found: u32,
        /// The version that is written and read here.
        expected: u32,
    },
    /// Its header was damaged.
    #[error("found checksum {found:08x} of the header, expected {expected:08x}")]
    Header {
        /// As it is written there.
        found: u32,
        /// As it is computed.
        expected: u32,
    },
    /// A commit with the right checksum has something in it that is not known.
    #[error("found an entry of kind {kind} at byte {at}, expected 1, 2 or 3")]
    Entry {
        /// The kind.
        kind: u8,
        /// Where.
        at: u64,
    },
}
