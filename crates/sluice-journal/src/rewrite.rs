//! Writing a file anew beside the one that is in use, in a thread of its own.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::disk::{Disk, LogFile};
use crate::format::Commit;
use crate::written::{Place, Written};

/// A copy on its way. Dropped, it ends, and what there is of it is to be removed.
pub(crate) struct Rewrite {
    /// What has changed since it began.
    pub(crate) changed: HashSet<u64>,
    state: Arc<State>,
    thread: Option<JoinHandle<io::Result<Written>>>,
}

#[derive(Default)]
struct State {
    is_done: AtomicBool,
    is_cancelled: AtomicBool,
}

/// Says at its end, whichever it is, that there is one.
struct Done<F: FnOnce()> {
    state: Arc<State>,
    tell: Option<F>,
}

impl<F: FnOnce()> Drop for Done<F> {
    fn drop(&mut self) {
        // Pairs with the load in `is_done`.
        self.state.is_done.store(true, Ordering::Release);
        if let Some(tell) = self.tell.take() {
            tell();
        }
    }
}

impl Rewrite {
    /// Copies what is in a file, as of now, into one that is to be in the place of `path`. Calls `tell` when it is done.
    pub(crate) fn begin(
        disk: Arc<dyn Disk>,
        path: &Path,
        old: &Written,
        tell: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let mut places: Vec<(u64, Place)> =
            old.live.iter().map(|(id, place)| (*id, *place)).collect();
        places.sort_unstable_by_key(|(_, place)| place.at);
        let (path, file) = (path.to_owned(), Arc::clone(&old.file));
        let (last_id, has_zeros) = (old.last_id, old.zeros.is_some());
        let state = Arc::<State>::default();
        let done = Done {
            state: Arc::clone(&state),
            tell: Some(tell),
        };
        let thread = thread::Builder::new()
            .name("sluice-rewrite".to_owned())
            .spawn(move || {
                let new = Written::create(&*disk, &path, last_id, has_zeros);
                let written = new.and_then(|new| copy(new, &*file, &places, &done.state));
                // What it has is let go of before anybody hears that it is done.
                drop((file, disk));
                written
            })?;
        Ok(Self {
            changed: HashSet::new(),
            state,
            thread: Some(thread),
        })
    }

    /// Whether [`finish`](Self::finish) does not wait.
    pub(crate) fn is_done(&self) -> bool {
        self.state.is_done.load(Ordering::Acquire)
    }

    /// The copy, with what has changed since it began as `old` has it. It is on the disk.
    pub(crate) fn finish(mut self, old: &Written) -> io::Result<Written> {
        let thread = self.thread.take();
        let ended = thread.map(JoinHandle::join);
        let Some(Ok(new)) = ended else {
            return Err(io::Error::other("the thread that copies has panicked"));
        };
        let mut new = new?;
        let mut commit = Commit::new();
        if old.last_id > new.last_id {
            commit.last_id(old.last_id);
            new.last_id = old.last_id;
        }
        for &id in &self.changed {
            match old.live.get(&id) {
                Some(&place) => new.copy(id, (&*old.file, place), &mut commit)?,
                None if new.live.contains_key(&id) => {
                    commit.delete(id);
                    new.has_not(id);
                    new.append_large(&mut commit)?;
                }
                None => {}
            }
        }
        if !commit.is_empty() || !self.changed.is_empty() {
            new.append(&mut commit)?;
            new.file.sync()?;
        }
        Ok(new)
    }
}

impl Drop for Rewrite {
    fn drop(&mut self) {
        self.state.is_cancelled.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn copy(
    mut new: Written,
    file: &dyn LogFile,
    places: &[(u64, Place)],
    state: &State,
) -> io::Result<Written> {
    let mut commit = Commit::new();
    for &(id, place) in places {
        if state.is_cancelled.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        new.copy(id, (file, place), &mut commit)?;
    }
    new.append(&mut commit)?;
    new.file.sync()?;
    Ok(new)
}
