//! Writing snapshots of tables from time to time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Table;
use super::snapshot_error::{SnapshotError, SnapshotFault};

/// What a [`Persister`] tells: the table's name, and what went wrong or `None` when it is well again.
pub type PersistReport = dyn Fn(&str, Option<&SnapshotError>) + Send + Sync;

/// Keeps snapshots of tables up to date, by a thread of its own that sleeps until the next one is due. A table that did not change
/// is not written. What fails is reported once, and tried again when it is next due.
pub struct Persister {
    shared: Arc<Shared>,
}

struct Shared {
    /// Guards the list, never while something is written.
    kept: Mutex<Vec<Arc<Kept>>>,
    /// There is a new table in the list.
    news: Condvar,
    has_thread: AtomicBool,
    report: Box<PersistReport>,
}

struct Kept {
    table: Arc<Table>,
    path: PathBuf,
    every: Duration,
    /// Guards the writing: one at a time.
    progress: Mutex<Progress>,
}

struct Progress {
    /// [`Table::changes`] before the snapshot was written.
    saved: Option<u64>,
    due: Instant,
    is_failing: bool,
}

impl Persister {
    /// `report` is called on the thread that writes.
    pub fn new(report: Box<PersistReport>) -> Self {
        Self {
            shared: Arc::new(Shared {
                kept: Mutex::default(),
                news: Condvar::new(),
                has_thread: AtomicBool::new(false),
                report,
            }),
        }
    }

    /// Writes `table` to `path` whenever it has changed, `every` so often. Its rows of before must be in it. A table that is kept
    /// already stays as it is.
    pub fn keep(&self, table: &Arc<Table>, path: PathBuf, every: Duration) {
        let mut kept = self
            .shared
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if kept.iter().any(|kept| Arc::ptr_eq(&kept.table, table)) {
            return;
        }
        let progress = Progress {
            saved: None,
            due: Instant::now() + every,
            is_failing: false,
        };
        kept.push(Arc::new(Kept {
            table: table.clone(),
            path,
            every,
            progress: Mutex::new(progress),
        }));
        drop(kept);
        if !self.shared.has_thread.swap(true, Ordering::Relaxed) {
            let shared = self.shared.clone();
            let begun = thread::Builder::new()
                .name("sluice-persist".into())
                .spawn(move || shared.run());
            // Without a thread what is kept is written at the end, by `flush`.
            drop(begun);
        } else {
            self.shared.news.notify_one();
        }
    }

    /// Writes `table` no more.
    pub fn forget(&self, table: &Arc<Table>) {
        let mut kept = self
            .shared
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| !Arc::ptr_eq(&kept.table, table));
    }

    /// Writes every table that has changed since its last snapshot, on the calling thread, and says how many failed.
    pub fn flush(&self) -> usize {
        let kept = self.shared.list();
        kept.iter().filter(|kept| !self.shared.write(kept)).count()
    }
}

impl Shared {
    fn list(&self) -> Vec<Arc<Kept>> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn run(&self) {
        loop {
            let kept = self.list();
            let now = Instant::now();
            for kept in &kept {
                if kept.due() <= now {
                    self.write(kept);
                }
            }
            let next = kept.iter().map(|kept| kept.due()).min();
            let list = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            // What came meanwhile is in the list, and its notice was lost.
            if list.len() != kept.len() {
                continue;
            }
            match next.map(|next| next.saturating_duration_since(Instant::now())) {
                Some(wait) => drop(self.news.wait_timeout(list, wait)),
                None => drop(self.news.wait(list)),
            }
        }
    }

    /// False: it failed.
    fn write(&self, kept: &Kept) -> bool {
        let mut progress = kept.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = kept.table.changes();
        let result = if progress.saved == Some(changes) {
            Ok(0)
        } else {
            kept.table.write_snapshot(&kept.path)
        };
        progress.due = Instant::now() + kept.every;
        let was_failing = progress.is_failing;
        // Whoever else writes it writes the same rows.
        let error = result
            .err()
            .filter(|error| !matches!(error.fault, SnapshotFault::InUse));
        progress.is_failing = error.is_some();
        if error.is_none() {
            progress.saved = Some(changes);
        }
        drop(progress);
        if error.is_some() != was_failing {
            (self.report)(kept.table.name(), error.as_ref());
        }
        error.is_none()
    }
}

impl Kept {
    fn due(&self) -> Instant {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .due
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::super::{ColumnKind, ColumnSpec, Evict, Mode, TableSpec, Ttl};
    use super::*;

    fn table() -> Arc<Table> {
        let columns = vec![ColumnSpec {
            name: "n".into(),
            kind: ColumnKind::Int,
        }];
        let spec = TableSpec {
            size: 8,
            columns,
            ttl: None,
            evict: Evict::None,
            max_key: 255,
        };
        Arc::new(Table::private("users", &spec).unwrap())
    }

    fn set(table: &Table, word: u64) {
        table
            .set_word(b"ada", Mode::Upsert, 0, word, Ttl::Default)
            .unwrap();
    }

    /// Sends whether each report was one of a failure.
    fn persister() -> (Persister, Receiver<bool>) {
        let (sender, reports) = channel();
        (
            Persister::new(Box::new(move |_, error| _ = sender.send(error.is_some()))),
            reports,
        )
    }

    const SOON: Duration = Duration::from_millis(5);
    const NEVER: Duration = Duration::from_secs(86_400);

    fn read(path: &std::path::Path) -> Option<u64> {
        let table = table();
        table.read_snapshot(path).unwrap();
        table.get_word(b"ada", 0).unwrap()
    }

    /// The limit is only reached when the promise is broken.
    fn eventually(mut is_true: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_true() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "it never happened"
            );
            thread::yield_now();
        }
    }

    #[test]
    fn changes_are_written_by_themselves() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("users");
        let (table, (persister, _reports)) = (table(), persister());
        set(&table, 1);
        persister.keep(&table, path.clone(), SOON);
        eventually(|| path.exists());
        assert_eq!(read(&path), Some(1));
        set(&table, 2);
        eventually(|| read(&path) == Some(2));
    }

    #[test]
    fn a_table_that_did_not_change_is_not_written_again() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("users");
        let (table, (persister, _reports)) = (table(), persister());
        set(&table, 1);
        persister.keep(&table, path.clone(), NEVER);
        assert_eq!(persister.flush(), 0);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(persister.flush(), 0);
        assert!(!path.exists());
        set(&table, 2);
        assert_eq!(persister.flush(), 0);
        assert_eq!(read(&path), Some(2));
    }

    #[test]
    fn an_empty_table_is_written_too() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("users");
        let (persister, _reports) = persister();
        persister.keep(&table(), path.clone(), NEVER);
        persister.flush();
        assert!(path.exists());
    }

    #[test]
    fn a_failure_is_reported_once_and_tried_again() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("there");
        // A file where the directory should be.
        std::fs::write(&directory, "").unwrap();
        let (table, (persister, reports)) = (table(), persister());
        set(&table, 1);
        persister.keep(&table, directory.join("users"), NEVER);
        assert_eq!(persister.flush(), 1);
        assert_eq!(persister.flush(), 1);
        std::fs::remove_file(&directory).unwrap();
        assert_eq!(persister.flush(), 0);
        assert_eq!(reports.try_iter().collect::<Vec<_>>(), [true, false]);
        assert_eq!(read(&directory.join("users")), Some(1));
    }

    #[test]
    fn a_second_table_is_written_when_it_is_due_though_the_first_is_not() {
        let place = tempfile::tempdir().unwrap();
        let (first, second, (persister, _reports)) = (table(), table(), persister());
        persister.keep(&first, place.path().join("first"), NEVER);
        persister.keep(&second, place.path().join("second"), SOON);
        eventually(|| place.path().join("second").exists());
        assert!(!place.path().join("first").exists());
    }
}
