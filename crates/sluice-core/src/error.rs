//! The error codes that cross to JavaScript. The code is the contract; messages may change.

/// Every `ERR_SLUICE_*` code that Rust can raise.
///
/// `src-ts/errors.ts` holds the whole table; a test compares the two and `docs/reference/errors.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// An argument has the wrong type or range.
    InvalidArg,
    /// The native configuration could not be read.
    InvalidOption,
    /// The call does not fit the life cycle.
    InvalidState,
    /// A port could not be bound.
    Listen,
    /// A table has no free row.
    TableFull,
    /// A table has no such column, or it is of another type.
    TableColumn,
    /// A value is longer than its column.
    TableValueTooLong,
    /// An integer is beyond what a number holds exactly.
    TableInteger,
    /// A key is empty or too long.
    TableKey,
    /// A table is in use with another description.
    TableMismatch,
    /// The file or memory of a table cannot be used.
    TableFile,
    /// A row is locked by a process that does not go on.
    TableBusy,
    /// A cron job cannot be used.
    Cron,
    /// The journal of durable tasks cannot be opened.
    TasksJournal,
    /// A panic or a broken invariant: a bug.
    Internal,
}

impl ErrorCode {
    /// Every code, for the test that compares the tables.
    pub const ALL: &'static [ErrorCode] = &[
        ErrorCode::InvalidArg,
        ErrorCode::InvalidOption,
        ErrorCode::InvalidState,
        ErrorCode::Listen,
        ErrorCode::TableFull,
        ErrorCode::TableColumn,
        ErrorCode::TableValueTooLong,
        ErrorCode::TableInteger,
        ErrorCode::TableKey,
        ErrorCode::TableMismatch,
        ErrorCode::TableFile,
        ErrorCode::TableBusy,
        ErrorCode::Cron,
        ErrorCode::TasksJournal,
        ErrorCode::Internal,
    ];

    /// The string that becomes `err.code`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::InvalidArg => "ERR_SLUICE_INVALID_ARG",
            ErrorCode::InvalidOption => "ERR_SLUICE_INVALID_OPTION",
            ErrorCode::InvalidState => "ERR_SLUICE_INVALID_STATE",
            ErrorCode::Listen => "ERR_SLUICE_LISTEN",
            ErrorCode::TableFull => "ERR_SLUICE_TABLE_FULL",
            ErrorCode::TableColumn => "ERR_SLUICE_TABLE_COLUMN",
            ErrorCode::TableValueTooLong => "ERR_SLUICE_TABLE_VALUE_TOO_LONG",
            ErrorCode::TableInteger => "ERR_SLUICE_TABLE_INTEGER",
            ErrorCode::TableKey => "ERR_SLUICE_TABLE_KEY",
            ErrorCode::TableMismatch => "ERR_SLUICE_TABLE_MISMATCH",
            ErrorCode::TableFile => "ERR_SLUICE_TABLE_FILE",
            ErrorCode::TableBusy => "ERR_SLUICE_TABLE_BUSY",
            ErrorCode::Cron => "ERR_SLUICE_CRON",
            ErrorCode::TasksJournal => "ERR_SLUICE_TASKS_JOURNAL",
            ErrorCode::Internal => "ERR_SLUICE_INTERNAL",
        }
    }
}
