//! Why a run ended early.

use std::{fmt, io};

/// What ended a run. There is nothing to recover: the figures taken so far are not comparable.
#[derive(Debug)]
pub enum Error {
    /// The command line cannot be used; the text says what was expected.
    Usage(String),
    /// A system call failed while doing what the text says.
    System(&'static str, io::Error),
    /// The server sent what the protocol or the case does not allow.
    Server(&'static str),
    /// The server did not do its part in time.
    Timeout(&'static str),
    /// The program that started us went away.
    Abandoned,
}

impl Error {
    /// For `map_err`: a failed system call with what it was for.
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::System(what, error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(expected) => f.write_str(expected),
            Self::System(what, error) => write!(f, "cannot {what}: {error}"),
            Self::Server(what) => write!(f, "the server {what}"),
            Self::Timeout(what) => write!(f, "the server did not {what} in time"),
            Self::Abandoned => f.write_str("the runner went away"),
        }
    }
}

impl std::error::Error for Error {}
