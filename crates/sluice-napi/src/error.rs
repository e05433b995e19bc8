//! Errors with a `code`.

use sluice_core::ErrorCode;

/// The code of an error as Node-API wants it.
pub(crate) struct Code(ErrorCode);

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        self.0.as_str()
    }
}

pub(crate) type Error = napi::Error<Code>;
pub(crate) type Result<T> = std::result::Result<T, Error>;

pub(crate) fn error(code: ErrorCode, message: impl ToString) -> Error {
    napi::Error::new(Code(code), message.to_string())
}

pub(crate) fn from_server(source: &sluice_server::Error) -> Error {
    error(source.code(), source)
}

/// A Node-API call that cannot fail did.
pub(crate) fn internal(message: impl ToString) -> Error {
    error(ErrorCode::Internal, message)
}
