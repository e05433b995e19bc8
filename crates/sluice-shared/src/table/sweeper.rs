//! Removing rows whose time is over, though nobody touches them.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::Table;

/// Between two sweeps of one table at least: a sweep looks at every row.
const PAUSE: Duration = Duration::from_millis(500);
/// A sweep that takes long is made more seldom, so that it takes this part of the time at most.
const SHARE: u32 = 20;
/// How often tables are looked at to which another process may have written a row that ends.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The sweeper of this process: one thread for all its tables. It sleeps until the next row may end, and for ever when none does.
pub(super) struct Sweeper {
    /// Guards the list; never held across a sweep.
    tables: Mutex<Vec<Weak<Table>>>,
    thread: OnceLock<Thread>,
    /// When the thread will look next, in ms of the monotonic clock.
    planned: AtomicU64,
}

pub(super) static SWEEPER: Sweeper = Sweeper {
    tables: Mutex::new(Vec::new()),
    thread: OnceLock::new(),
    planned: AtomicU64::new(u64::MAX),
};

struct Swept {
    table: Weak<Table>,
    not_before: Instant,
}

impl Table {
    /// Has expired rows removed within about a second though nobody touches them, as long as the table lives in this process.
    pub fn keep_swept(self: &Arc<Self>) {
        SWEEPER
            .tables
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(self));
        let thread = SWEEPER.thread.get_or_init(|| {
            let begun = thread::Builder::new()
                .name("sluice-sweep".into())
                .spawn(|| SWEEPER.run());
            // Without a thread rows still go when they are touched; whose handle it is then matters to nobody.
            begun.map_or_else(|_| thread::current(), |handle| handle.thread().clone())
        });
        thread.unpark();
    }
}

impl Sweeper {
    /// A row ends at `expiry`, before any other of its table.
    #[cold]
    pub(super) fn expect(&self, expiry: u64) {
        // Pairs with the fence in `run`: either this sees when the thread looks next, or the thread sees the expiry.
        fence(Ordering::SeqCst);
        if expiry < self.planned.load(Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn run(&self) {
        let mut swept: Vec<Swept> = Vec::new();
        loop {
            self.planned.store(u64::MAX, Ordering::Relaxed);
            for table in self
                .tables
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .drain(..)
            {
                swept.push(Swept {
                    table,
                    not_before: Instant::now(),
                });
            }
            let mut sleep = None;
            swept.retain_mut(|swept| {
                let Some(table) = swept.table.upgrade() else {
                    return false;
                };
                if let Some(wait) = swept.sweep(&table) {
                    sleep = Some(sleep.map_or(wait, |sleep: Duration| sleep.min(wait)));
                }
                true
            });
            if let Some(wait) = sleep {
                self.planned
                    .store(monotonic_ms() + wait.as_millis() as u64, Ordering::Relaxed);
            }
            fence(Ordering::SeqCst);
            let is_due = |swept: &Swept| {
                swept.table.upgrade().is_some_and(|table| {
                    table
                        .next_expiry()
                        .is_some_and(|left| sleep.is_none_or(|sleep| swept.wait(left) < sleep))
                })
            };
            if swept.iter().any(is_due) {
                continue;
            }
            match sleep {
                Some(sleep) => thread::park_timeout(sleep),
                None => thread::park(),
            }
        }
    }
}

impl Swept {
    /// Sweeps the table if it is time, and says when it will be next.
    fn sweep(&mut self, table: &Table) -> Option<Duration> {
        let now = Instant::now();
        if self.not_before <= now && table.sweep() > 0 {
            self.not_before = Instant::now() + PAUSE.max(now.elapsed() * SHARE);
        }
        match table.next_expiry() {
            Some(left) => Some(self.wait(left)),
            None => table.path().map(|_| LOOK_EVERY),
        }
    }

    /// How long until a row that ends in `left` ms is swept.
    fn wait(&self, left: u64) -> Duration {
        // A bit later than it ends, so that it has ended by then.
        let wait = Duration::from_millis(left + 1)
            .max(self.not_before.saturating_duration_since(Instant::now()));
        wait.max(Duration::from_millis(1))
    }
}

fn monotonic_ms() -> u64 {
    super::clock::Clock::default().now_ms()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::{ColumnKind, ColumnSpec, Evict, Mode, TableSpec, Ttl};
    use super::*;

    fn table(ttl: Option<u64>) -> Arc<Table> {
        let columns = vec![ColumnSpec {
            name: "n".into(),
            kind: ColumnKind::Int,
        }];
        let spec = TableSpec {
            size: 1000,
            columns,
            ttl,
            evict: Evict::None,
            max_key: 255,
        };
        Arc::new(Table::private("users", &spec).unwrap())
    }

    /// The limit is only reached when the promise is broken.
    fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_true() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{what} never happened"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn expired(table: &Table) -> u64 {
        table.stats().expired
    }

    #[test]
    fn rows_are_removed_though_nobody_touches_them() {
        let table = table(None);
        table.keep_swept();
        for key in [b"a", b"b"] {
            table
                .set_word(key, Mode::Upsert, 0, 1, Ttl::After(20))
                .unwrap();
        }
        table
            .set_word(b"c", Mode::Upsert, 0, 1, Ttl::Never)
            .unwrap();
        eventually("the end of two rows", || expired(&table) == 2);
        assert_eq!(table.len(), 1);
        // And later ones, after it has slept for ever.
        table
            .set_word(b"a", Mode::Upsert, 0, 1, Ttl::After(20))
            .unwrap();
        eventually("the end of a third", || expired(&table) == 3);
    }

    #[test]
    fn a_row_that_ends_sooner_than_all_others_is_removed_in_time() {
        let table = table(Some(3_600_000));
        table.keep_swept();
        table
            .set_word(b"late", Mode::Upsert, 0, 1, Ttl::Default)
            .unwrap();
        table
            .set_word(b"soon", Mode::Upsert, 0, 1, Ttl::After(20))
            .unwrap();
        eventually("the end of a row", || expired(&table) == 1);
        assert!(table.contains(b"late").unwrap());
    }

    #[test]
    fn a_table_that_was_there_before_is_swept() {
        let table = table(Some(1));
        table
            .set_word(b"a", Mode::Upsert, 0, 1, Ttl::Default)
            .unwrap();
        table.keep_swept();
        eventually("the end of a row", || expired(&table) == 1);
    }

    #[test]
    fn it_lets_go_of_tables_that_are_gone() {
        let table = table(Some(1));
        table.keep_swept();
        let weak = Arc::downgrade(&table);
        drop(table);
        eventually("the end of the table", || weak.strong_count() == 0);
    }
}
