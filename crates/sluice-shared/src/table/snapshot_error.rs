//! What can go wrong with a snapshot.

use std::fmt;
use std::io;
use std::path::PathBuf;

use sluice_core::ErrorCode;

use super::convert::Unfit;
use super::snapshot::Fault;
use super::{ColumnKind, TableError};

/// Why rows could not be kept in a file, or taken from one.
#[derive(Debug)]
pub struct SnapshotError {
    /// The snapshot, or for rows of a process that was killed the table's file.
    pub path: PathBuf,
    /// What went wrong.
    pub fault: SnapshotFault,
}

/// What is wrong with a snapshot.
#[derive(Debug)]
pub enum SnapshotFault {
    /// It is something else.
    Foreign,
    /// It was written by another version of the format.
    Version {
        /// The version in the file.
        found: u32,
    },
    /// It is cut off or damaged.
    Torn {
        /// Bytes before the part that cannot be read.
        at: u64,
    },
    /// It holds the rows of a table with another name.
    Name {
        /// That name.
        found: String,
    },
    /// A column holds something else now.
    Kind {
        /// The column.
        column: String,
        /// What it held.
        before: ColumnKind,
        /// What it holds.
        now: ColumnKind,
    },
    /// A value does not fit into its column any more.
    TooLong {
        /// The column.
        column: String,
        /// Bytes it holds.
        size: u32,
        /// Bytes of the value.
        len: u32,
    },
    /// A key is longer than `max_key` is now.
    KeyLength {
        /// Bytes of the key.
        len: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// There are more rows than the table holds now.
    TooMany {
        /// Rows of the snapshot that have not expired.
        rows: u64,
        /// Rows of the table.
        size: u32,
    },
    /// Another process writes it.
    InUse,
    /// The system refused.
    System {
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// The table refused.
    Table(TableError),
}

impl SnapshotError {
    /// The code that JavaScript sees.
    pub fn code(&self) -> ErrorCode {
        match &self.fault {
            SnapshotFault::Kind { .. }
            | SnapshotFault::TooLong { .. }
            | SnapshotFault::KeyLength { .. } => ErrorCode::TableMismatch,
            SnapshotFault::TooMany { .. } => ErrorCode::TableFull,
            SnapshotFault::Table(error) => error.code(),
            _ => ErrorCode::TableFile,
        }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            SnapshotFault::Foreign => write!(
                f,
                "{path} is not a snapshot of a table. Give `persist` another path, or move the file away"
            ),
            SnapshotFault::Version { found } => write!(
                f,
                "{path} is a snapshot in format {found}, which this version of Sluice cannot read. Start the version that wrote it, or move the file away to begin with an empty table"
            ),
            SnapshotFault::Torn { at } => write!(
                f,
                "{path} is cut off or damaged after byte {at}. Restore it from a backup, or move it away to begin with an empty table"
            ),
            SnapshotFault::Name { found } => write!(
                f,
                "{path} holds the rows of the table {found:?}. Give each table a `persist` path of its own, or move the file away"
            ),
            SnapshotFault::Kind {
                column,
                before,
                now,
            } => write!(
                f,
                "{path} has the column {column:?} as {}, the table as {}. Give the column another name, or move the file away to begin with an empty table",
                named(*before),
                named(*now)
            ),
            SnapshotFault::TooLong { column, size, len } => write!(
                f,
                "{path} has a value of {len} bytes for column {column:?}, which holds {size}. Make the column larger, or move the file away to begin with an empty table"
            ),
            SnapshotFault::KeyLength { len, max } => write!(
                f,
                "{path} has a key of {len} bytes, the table takes {max} (`maxKey`). Raise `maxKey`, or move the file away to begin with an empty table"
            ),
            SnapshotFault::TooMany { rows, size } => write!(
                f,
                "{path} has {rows} rows, the table takes {size} (`size`). Raise `size`, or move the file away to begin with an empty table"
            ),
            SnapshotFault::InUse => write!(
                f,
                "{path} is being written by another process. Give each server a `persist` path of its own"
            ),
            SnapshotFault::System { action, source } => {
                write!(f, "Cannot {action} {path}: {source}")
            }
            SnapshotFault::Table(error) => {
                write!(f, "The rows of {path} cannot be taken over: {error}")
            }
        }
    }
}

fn named(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Int => "int",
        ColumnKind::Float => "float",
        ColumnKind::Bool => "bool",
        ColumnKind::Text { .. } => "string",
        ColumnKind::Bytes { .. } => "bytes",
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            SnapshotFault::System { source, .. } => Some(source),
            SnapshotFault::Table(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Fault> for SnapshotFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Foreign => SnapshotFault::Foreign,
            Fault::Version(found) => SnapshotFault::Version { found },
            Fault::Torn { at } => SnapshotFault::Torn { at },
            Fault::Read(source) => SnapshotFault::System {
                action: "read",
                source,
            },
        }
    }
}

impl From<Unfit> for SnapshotFault {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Kind { name, before, now } => SnapshotFault::Kind {
                column: name,
                before,
                now,
            },
            Unfit::TooLong { name, size, len } => SnapshotFault::TooLong {
                column: name,
                size,
                len,
            },
        }
    }
}

impl From<TableError> for SnapshotFault {
    fn from(error: TableError) -> Self {
        SnapshotFault::Table(error)
    }
}
