//! What can go wrong when a server is started or commanded.

use std::io;
use std::path::PathBuf;

use sluice_core::ErrorCode;
use sluice_core::config::ConfigError;
use sluice_core::task::StoredError;
use sluice_journal::JournalError;

use crate::tls::TlsFault;

/// A server could not be started, or a call did not fit its state.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong; the message names the path.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port could not be bound. Nothing was started.
    #[error("cannot listen on {address} (port \"{port}\"): {source}")]
    Listen {
        /// The name of the port in the configuration.
        port: String,
        /// The address as configured.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// The certificates of a port cannot be used. Nothing was started.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// The journal of durable tasks cannot be used. Nothing was started.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A task in the journal cannot be read. Nothing was started; the task is still there.
    #[error("task {id} in {} cannot be read: {source}", path.display())]
    StoredTask {
        /// The journal.
        path: PathBuf,
        /// The task.
        id: u64,
        /// What is wrong with it.
        source: StoredError,
    },
    /// A thread or its runtime could not be started.
    #[error("cannot start a reactor: {0}")]
    Reactor(#[source] io::Error),
    /// Every worker slot is taken (256).
    #[error("no free worker slot")]
    NoWorkerSlot,
    /// The call names a worker slot that is not in the state the call needs.
    #[error("worker slot {slot} is {state}")]
    WorkerState {
        /// The slot named.
        slot: u16,
        /// The state it is in.
        state: &'static str,
    },
}

impl Error {
    /// The code that JavaScript sees.
    pub fn code(&self) -> ErrorCode {
        match self {
            Error::Config(_) | Error::Tls(_) => ErrorCode::InvalidOption,
            Error::Listen { .. } => ErrorCode::Listen,
            Error::Journal(_) | Error::StoredTask { .. } => ErrorCode::TasksJournal,
            Error::Reactor(_) => ErrorCode::Internal,
            Error::NoWorkerSlot | Error::WorkerState { .. } => ErrorCode::InvalidState,
        }
    }
}
