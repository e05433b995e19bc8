//! Reading certificates again when their files change.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Weak;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::server::Shared;
use crate::tls::TlsPort;

/// How often the files are looked at. A change is acted on when nothing has changed for as long: certificate and key are two
/// files, and a renewal writes one after the other.
const PERIOD: Duration = Duration::from_secs(1);

/// What tells that a file is another one: a new name for it, or a new content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

/// The files of one port.
struct Watched {
    port: u16,
    stamps: Vec<Option<Stamp>>,
    has_changed: bool,
}

/// The thread that looks at files. Looking may block, for example on a network's file system, so it is a thread of its own.
/// Ends when it is dropped.
pub(crate) struct Renewal {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Renewal {
    /// Starts watching, if a port wants it.
    pub(crate) fn start(shared: &Weak<Shared>) -> std::io::Result<Self> {
        let mut watched = shared.upgrade().map_or_else(Vec::new, |shared| {
            shared
                .tls_ports()
                .filter(|(_, tls)| tls.config().watch && tls.config().files().next().is_some())
                .map(|(port, tls)| Watched {
                    port,
                    stamps: stamps(tls),
                    has_changed: false,
                })
                .collect()
        });
        if watched.is_empty() {
            return Ok(Self {
                stop: None,
                thread: None,
            });
        }
        let (stop, stopped) = mpsc::channel();
        let shared = Weak::clone(shared);
        let thread = std::thread::Builder::new()
            .name("sluice-certs".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                    let Some(shared) = shared.upgrade() else {
                        return;
                    };
                    for watched in &mut watched {
                        watched.look(&shared);
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It panics only on a bug, and then there is nothing left to wait for.
            let _ = thread.join();
        }
    }
}

impl Watched {
    fn look(&mut self, shared: &Shared) {
        let Some(tls) = shared.tls(self.port) else {
            return;
        };
        let stamps = stamps(tls);
        if stamps != self.stamps {
            self.stamps = stamps;
            self.has_changed = true;
        } else if std::mem::take(&mut self.has_changed) {
            shared.renew_certificates(self.port);
        }
    }
}

fn stamps(tls: &TlsPort) -> Vec<Option<Stamp>> {
    tls.config().files().map(|path| stamp(path)).collect()
}

/// `None` while there is no such file.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        size: metadata.len(),
        inode: metadata.ino(),
    })
}
