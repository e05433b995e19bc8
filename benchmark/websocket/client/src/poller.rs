//! epoll, level-triggered.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, EventData, EventFlags},
    },
    io::Errno,
};

use crate::error::Error;

/// What one wait gives back at most.
pub(crate) const EVENTS_MAX: usize = 1024;

/// One epoll instance. A source leaves it by being closed.
pub(crate) struct Poller(OwnedFd);

impl Poller {
    pub(crate) fn new() -> Result<Self, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(Error::system("create an epoll instance"))?;
        Ok(Self(epoll))
    }

    /// Reports `source` as `token` whenever it can be read or has ended.
    pub(crate) fn add(&self, source: impl AsFd, token: usize) -> Result<(), Error> {
        epoll::add(
            &self.0,
            source,
            EventData::new_u64(token as u64),
            EventFlags::IN,
        )
        .map_err(Error::system("watch a socket"))
    }

    /// Also reports (or no longer reports) that `source` can be written.
    pub(crate) fn watch_writes(
        &self,
        source: impl AsFd,
        token: usize,
        watch: bool,
    ) -> Result<(), Error> {
        let flags = if watch {
            EventFlags::IN | EventFlags::OUT
        } else {
            EventFlags::IN
        };
        epoll::modify(&self.0, source, EventData::new_u64(token as u64), flags)
            .map_err(Error::system("watch a socket"))
    }

    /// Fills `tokens` with what is ready, waiting until `until` or, when that is `None`, for ever. Empty means time is up.
    pub(crate) fn wait(&self, tokens: &mut Tokens, until: Option<Instant>) -> Result<(), Error> {
        tokens.0.clear();
        loop {
            let timeout = until.map(|until| {
                let left = until.saturating_duration_since(Instant::now());
                Timespec {
                    tv_sec: left.as_secs() as i64,
                    tv_nsec: i64::from(left.subsec_nanos()) as _,
                }
            });
            match epoll::wait(&self.0, spare_capacity(&mut tokens.0), timeout.as_ref()) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => {
                    return Err(Error::System("wait for sockets", io::Error::from(error)));
                }
            }
        }
    }
}

/// The sources one wait found ready. Outlives the wait, so that the poller stays free to be changed meanwhile.
pub(crate) struct Tokens(Vec<epoll::Event>);

impl Tokens {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(EVENTS_MAX))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|event| { event.data }.u64() as usize)
    }
}
