//! All connections of a run, and the one thread that serves them.

use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::{
    connection::Connection,
    error::Error,
    frame::Piece,
    handshake,
    poller::{Poller, Tokens},
};

/// Handshakes on their way at once: fewer than any peer's backlog.
const OPENING_AT_ONCE: usize = 128;
const OPENING_LIMIT: Duration = Duration::from_secs(60);
/// Larger than what a socket holds of one message, so that one read gets it.
pub(crate) const READ_BYTES: usize = 256 * 1024;
/// Open files beside the connections.
const OTHER_FILES: u64 = 16;

/// Open connections, numbered from 0.
pub(crate) struct Client {
    poller: Poller,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

impl Client {
    /// Opens `count` connections. None has sent a message yet.
    pub(crate) fn open(port: u16, count: usize) -> Result<Self, Error> {
        allow_open_files(count)?;
        let poller = Poller::new()?;
        let request = handshake::request(port);
        let until = Instant::now() + OPENING_LIMIT;
        let mut buffer = vec![0; READ_BYTES];
        let mut connections: Vec<Connection> = Vec::with_capacity(count);
        let mut tokens = Tokens::new();
        let mut open = 0;
        while open < count {
            while connections.len() < count && connections.len() - open < OPENING_AT_ONCE {
                connections.push(Connection::start(
                    &poller,
                    connections.len(),
                    port,
                    &request,
                )?);
            }
            poller.wait(&mut tokens, Some(until))?;
            if tokens.is_empty() {
                return Err(Error::Timeout("answer every handshake"));
            }
            for token in tokens.iter() {
                open += usize::from(connections[token].finish_opening(&mut buffer)?);
            }
        }
        Ok(Self {
            poller,
            connections,
            buffer,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn send(&mut self, connection: usize, frames: &[u8]) -> Result<(), Error> {
        self.connections[connection].send(&self.poller, frames)
    }

    /// Fills `ready` with connections for [`turn`](Self::turn).
    ///
    /// # Errors
    /// [`Error::Timeout`] with `what` was waited for, when nothing came until then.
    pub(crate) fn wait(
        &self,
        ready: &mut Tokens,
        until: Instant,
        what: &'static str,
    ) -> Result<(), Error> {
        self.poller.wait(ready, Some(until))?;
        if ready.is_empty() {
            Err(Error::Timeout(what))
        } else {
            Ok(())
        }
    }

    /// Serves a connection that is ready.
    pub(crate) fn turn(
        &mut self,
        connection: usize,
        each: impl FnMut(Piece<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.connections[connection].turn(&self.poller, &mut self.buffer, each)
    }
}

/// Raises the limit of open files to what `connections` need.
pub(crate) fn allow_open_files(connections: usize) -> Result<(), Error> {
    let wanted = connections as u64 + OTHER_FILES;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        return Err(Error::Usage(format!(
            "{connections} connections need `ulimit -Hn` of at least {wanted}"
        )));
    }
    limit.current = Some(wanted);
    setrlimit(Resource::Nofile, limit).map_err(Error::system("raise the limit of open files"))
}
