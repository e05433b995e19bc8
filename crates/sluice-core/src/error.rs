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
        ErrorCode::Internal,
    ];

    /// The string that becomes `err.code`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::InvalidArg => "ERR_SLUICE_INVALID_ARG",
            ErrorCode::InvalidOption => "ERR_SLUICE_INVALID_OPTION",
            ErrorCode::InvalidState => "ERR_SLUICE_INVALID_STATE",
            ErrorCode::Listen => "ERR_SLUICE_LISTEN",
            ErrorCode::Internal => "ERR_SLUICE_INTERNAL",
        }
    }
}
