//! What can go wrong with a table.

use std::fmt;
use std::io;
use std::path::PathBuf;

use sluice_core::ErrorCode;

/// Why a call on a table did not do what it says. Nothing was changed.
#[derive(Debug)]
pub enum TableError {
    /// Every row is taken, and none may be evicted.
    Full {
        /// The number of rows the table was made for.
        size: u32,
    },
    /// The key is empty or has too many bytes.
    KeyLength {
        /// Bytes of the key.
        len: usize,
        /// The table's `max_key`.
        max: usize,
    },
    /// The value has more bytes than its column.
    TooLong {
        /// Position of the column.
        column: usize,
        /// Bytes the column holds.
        size: u32,
        /// Bytes of the value.
        len: usize,
    },
    /// There is no such column, or it is of another kind than the call.
    Column {
        /// Position of the column.
        column: usize,
    },
    /// The sum is beyond ±(2^53 − 1), the integers that a double holds.
    UnsafeInteger,
    /// The row's lock is held by a process that lives but does not go on.
    Busy {
        /// That process, as it calls itself; 0 when it did not say.
        pid: u32,
    },
    /// A table cannot be made as described.
    Spec(SpecError),
    /// The table in use under this name was made with another description.
    Mismatch {
        /// What differs.
        difference: String,
    },
    /// The file is no table, or none that can be read.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: FileFault,
    },
    /// The system refused.
    System {
        /// What was tried.
        action: &'static str,
        /// The file, when it has a name.
        path: Option<PathBuf>,
        /// Its answer.
        source: io::Error,
    },
}

/// What is wrong with a description of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// `size` is 0 or beyond the bound.
    Size {
        /// The largest possible.
        max: u32,
    },
    /// No column, or more than the bound.
    Columns {
        /// The largest number.
        max: usize,
    },
    /// Two columns have one name, or a name is empty.
    ColumnName(String),
    /// A string or bytes column is 0 bytes long or beyond the bound.
    ColumnSize {
        /// The column.
        name: String,
        /// The largest possible.
        max: u32,
    },
    /// A row has too many bytes in all.
    RowSize {
        /// Bytes of a row.
        bytes: u64,
        /// The largest possible.
        max: u64,
    },
    /// The table has too many bytes in all.
    Memory {
        /// Bytes it would take.
        bytes: u64,
    },
    /// `max_key` is 0.
    MaxKey,
    /// The default time to live is 0 or beyond the bound.
    TimeToLive,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// Its first bytes are not those of a table.
    Foreign,
    /// It was written by another version of the format.
    Version {
        /// The version in the file.
        found: u32,
        /// The one this program reads.
        known: u32,
    },
    /// It is shorter than it says, or its description is damaged.
    Torn,
    /// As many processes as the format allows have attached it.
    Crowded,
    /// It was left by an earlier boot of the machine.
    OldBoot,
}

impl TableError {
    /// The code that JavaScript sees.
    pub fn code(&self) -> ErrorCode {
        match self {
            TableError::Full { .. } => ErrorCode::TableFull,
            TableError::KeyLength { .. } => ErrorCode::TableKey,
            TableError::TooLong { .. } => ErrorCode::TableValueTooLong,
            TableError::Column { .. } => ErrorCode::TableColumn,
            TableError::UnsafeInteger => ErrorCode::TableInteger,
            TableError::Busy { .. } => ErrorCode::TableBusy,
            TableError::Spec(_) => ErrorCode::InvalidArg,
            TableError::Mismatch { .. } => ErrorCode::TableMismatch,
            TableError::File { .. } | TableError::System { .. } => ErrorCode::TableFile,
        }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableError::Full { size } => {
                write!(f, "The table is full: all {size} rows (`size`) are taken")
            }
            TableError::KeyLength { len, max } => {
                write!(f, "A key has 1 to {max} bytes (`maxKey`), not {len}")
            }
            TableError::TooLong { column, size, len } => {
                write!(f, "Column {column} holds {size} bytes, the value has {len}")
            }
            TableError::Column { column } => {
                write!(f, "Column {column} does not exist or is of another kind")
            }
            TableError::UnsafeInteger => write!(
                f,
                "The sum is beyond ±(2^53 - 1); a bigint column goes to 2^63"
            ),
            TableError::Busy { pid: 0 } => {
                write!(f, "A row is locked by a process that does not go on")
            }
            TableError::Busy { pid } => write!(
                f,
                "A row is locked by process {pid}, which does not go on; is it stopped?"
            ),
            TableError::Spec(fault) => fault.fmt(f),
            TableError::Mismatch { difference } => write!(
                f,
                "A table of this name is in use with another description: {difference}"
            ),
            TableError::File { path, fault } => write!(f, "{}: {fault}", path.display()),
            TableError::System {
                action,
                path: Some(path),
                source,
            } => write!(f, "Cannot {action} {}: {source}", path.display()),
            TableError::System {
                action,
                path: None,
                source,
            } => write!(f, "Cannot {action} a table: {source}"),
        }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpecError::Size { max } => write!(f, "`size` must be 1 to {max} rows"),
            SpecError::Columns { max } => write!(f, "`columns` must have 1 to {max} columns"),
            SpecError::ColumnName(name) => {
                write!(f, "The column name {name:?} is empty or used twice")
            }
            SpecError::ColumnSize { name, max } => {
                write!(f, "The size of column {name:?} must be 1 to {max} bytes")
            }
            SpecError::RowSize { bytes, max } => write!(
                f,
                "A row would have {bytes} bytes; at most {max} are possible"
            ),
            SpecError::Memory { bytes } => write!(
                f,
                "The table would take {bytes} bytes, more than a process can map"
            ),
            SpecError::MaxKey => write!(f, "`maxKey` must be 1 to 255 bytes"),
            SpecError::TimeToLive => write!(f, "`ttl` must be 1 ms to 100 years"),
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileFault::Foreign => write!(f, "this is not a table of Sluice"),
            FileFault::Version { found, known } => write!(
                f,
                "the table has format {found}, this version of Sluice reads format {known}"
            ),
            FileFault::Torn => write!(f, "the table is cut off or damaged"),
            FileFault::Crowded => write!(f, "too many processes have attached the table"),
            FileFault::OldBoot => {
                write!(f, "the table was left by an earlier boot of this machine")
            }
        }
    }
}

impl std::error::Error for TableError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TableError::System { source, .. } => Some(source),
            _ => None,
        }
    }
}
