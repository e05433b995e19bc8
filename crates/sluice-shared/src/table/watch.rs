//! Watching a table: from its feed to those in this process who want to know.
//!
//! While somebody watches, a table has a time in its header until which its writers, in all processes, fill the feed. Watchers move
//! that time on; when the last of them is gone, or was killed, it passes. Per table and process one thread reads the feed and hands
//! each event to the queues of those it is for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering as StdOrdering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::sync::{AtomicU64, Ordering};

use super::change::Change;
use super::feed::{Cursor, EVENTS, EventKind, Feed, Next, slot_words};
use super::geometry::header;
use super::spec::KEY_BYTES_MAX;
use super::{Table, TableError};

/// How long the feed is filled for watchers that do not say any more that they are there, in ms.
const LEASE: u64 = 10_000;
/// How often they say so.
const RENEWAL: Duration = Duration::from_secs(2);
/// Events after which a writer looks whether anybody is there.
const LOOK_EVERY: u64 = 256;
/// How long an event is waited for whose writer has begun it.
const UNFINISHED: Duration = Duration::from_millis(50);
/// Events that wait for one watcher at most.
pub const WATCH_QUEUE_MAX: usize = 4096;

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// This happened to the row with this key.
    Change(EventKind, Box<[u8]>),
    /// So many events could not be told, of any rows of the table: the watcher or this machine was too slow.
    Missed(u64),
}

/// One who watches. Dropped, it watches no more.
pub struct Watch {
    watcher: Arc<Watcher>,
    _hub: Arc<Hub>,
}

impl Watch {
    /// Takes up to `max` events that have come. When there is none, the next one is announced by the `wake` of
    /// [`Table::watch`]; until then it is silent.
    pub fn take(&self, max: usize) -> Vec<WatchEvent> {
        let mut queue = self
            .watcher
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if queue.events.is_empty() {
            queue.is_told = false;
        }
        let count = max.min(queue.events.len());
        queue.events.drain(..count).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watcher.is_gone.store(true, StdOrdering::Relaxed);
        // Its thread sees that at once, not when it next says that it is there.
        self._hub.wake();
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

struct Watcher {
    prefix: Box<[u8]>,
    /// The number of the first event that is for it.
    since: u64,
    wake: Box<dyn Fn() + Send + Sync>,
    is_gone: AtomicBool,
    /// Guards what waits for the watcher; never held across a call.
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<WatchEvent>,
    /// It was woken, and has not found the queue empty since.
    is_told: bool,
}

impl Watcher {
    fn push(&self, event: WatchEvent) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = queue.events.len() >= WATCH_QUEUE_MAX;
        match (queue.events.back_mut(), event) {
            (Some(WatchEvent::Missed(count)), WatchEvent::Missed(more)) => *count += more,
            (Some(WatchEvent::Missed(count)), _) if is_full => *count += 1,
            (_, WatchEvent::Change(..)) if is_full => queue.events.push_back(WatchEvent::Missed(1)),
            (_, event) => queue.events.push_back(event),
        }
        let is_first = !std::mem::replace(&mut queue.is_told, true);
        drop(queue);
        if is_first {
            (self.wake)();
        }
    }
}

/// The watchers of one table in this process, and the thread that tells them.
pub(super) struct Hub {
    table: Weak<Table>,
    /// Guards the list; never held across a call.
    watchers: Mutex<Vec<Arc<Watcher>>>,
    is_over: AtomicBool,
}

impl Hub {
    fn wake(&self) {
        if let Some(table) = self.table.upgrade() {
            wake(table.header(header::FEED_HEAD));
        }
    }

    /// Those who still watch. None: this hub has ended.
    fn watching(&self) -> Vec<Arc<Watcher>> {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| !watcher.is_gone.load(StdOrdering::Relaxed));
        if watchers.is_empty() {
            self.is_over.store(true, StdOrdering::Relaxed);
        }
        watchers.clone()
    }

    fn run(&self, table: &Table, mut cursor: Cursor) {
        let feed = table.feed();
        let mut key = [0; KEY_BYTES_MAX + 1];
        let mut renewed = Instant::now();
        let mut unfinished = None;
        loop {
            let watchers = self.watching();
            if watchers.is_empty() {
                return;
            }
            let tell = |number: u64, event: &WatchEvent, key: Option<&[u8]>| {
                for watcher in &watchers {
                    if number >= watcher.since
                        && key.is_none_or(|key| key.starts_with(&watcher.prefix))
                    {
                        watcher.push(event.clone());
                    }
                }
            };
            // So many at a time, that what comes and goes is seen under load, too.
            for _ in 0..EVENTS {
                let number = cursor.number();
                let mut next = cursor.next(feed, &mut key);
                if next == Next::Unfinished {
                    let since = *unfinished.get_or_insert_with(Instant::now);
                    if since.elapsed() < UNFINISHED {
                        thread::yield_now();
                        continue;
                    }
                    next = cursor.skip();
                }
                unfinished = None;
                match next {
                    Next::Event(kind, len) => tell(
                        number,
                        &WatchEvent::Change(kind, key[..len].into()),
                        Some(&key[..len]),
                    ),
                    Next::Missed(count) => tell(cursor.number(), &WatchEvent::Missed(count), None),
                    Next::Unfinished | Next::None => break,
                }
            }
            if renewed.elapsed() >= RENEWAL {
                // Nobody may have written to the feed for a while: this thread was held up for long.
                if !table.lease() {
                    tell(cursor.number(), &WatchEvent::Missed(1), None);
                }
                renewed = Instant::now();
            }
            if let Some(head) = cursor.prepare(feed) {
                sleep(table.header(header::FEED_HEAD), head, RENEWAL);
            }
        }
    }
}

impl Table {
    /// Tells of every change from now on of rows whose key begins with `prefix`, by whichever process. `wake` is called on another
    /// thread when there is something to [`take`](Watch::take) where there was nothing; it must not wait.
    ///
    /// # Errors
    ///
    /// [`TableError::System`] when there is no memory for the feed or no thread to be had.
    pub fn watch(
        self: &Arc<Self>,
        prefix: &[u8],
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Watch, TableError> {
        let failed = |action| {
            move |source| TableError::System {
                action,
                path: self.path.clone(),
                source,
            }
        };
        let bytes = (self.geometry.end - self.geometry.feed_start) as u64 * 8;
        self.mapping
            .reserve(self.geometry.feed_start as u64 * 8, bytes)
            .map_err(failed("get memory to watch"))?;
        let mut current = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        self.lease();
        let cursor = Cursor::new(self.feed());
        let watcher = Watcher {
            prefix: prefix.into(),
            since: cursor.number(),
            wake,
            is_gone: AtomicBool::new(false),
            queue: Mutex::default(),
        };
        let watcher = Arc::new(watcher);
        if let Some(hub) = current.upgrade() {
            let mut watchers = hub.watchers.lock().unwrap_or_else(PoisonError::into_inner);
            if !hub.is_over.load(StdOrdering::Relaxed) {
                watchers.push(watcher.clone());
                drop(watchers);
                return Ok(Watch { watcher, _hub: hub });
            }
        }
        let hub = Arc::new(Hub {
            table: Arc::downgrade(self),
            watchers: Mutex::new(vec![watcher.clone()]),
            is_over: AtomicBool::new(false),
        });
        let (running, table) = (hub.clone(), self.clone());
        thread::Builder::new()
            .name("sluice-watch".into())
            .spawn(move || running.run(&table, cursor))
            .map_err(failed("start a thread to watch"))?;
        *current = Arc::downgrade(&hub);
        Ok(Watch { watcher, _hub: hub })
    }

    fn feed(&self) -> Feed<'_> {
        Feed {
            head: self.header(header::FEED_HEAD),
            asleep: self.header(header::FEED_ASLEEP),
            slots: &self.words()[self.geometry.feed_start..],
            slot_words: slot_words(self.spec.max_key.into()),
        }
    }

    /// Has the feed filled for a while from now on. False: it was not, until now.
    fn lease(&self) -> bool {
        self.header(header::WATCHED)
            .fetch_max(self.clock.now_ms() + LEASE, Ordering::SeqCst)
            != 0
    }

    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.header(header::WATCHED).load(Ordering::Relaxed) != 0
    }

    /// Tells those who watch what became of a row, whose lock the caller holds.
    #[cold]
    pub(super) fn publish(&self, change: Change, row: u32) {
        let kind = match change {
            Change::Inserted | Change::Updated => EventKind::Set,
            Change::Deleted | Change::Evicted => EventKind::Delete,
            Change::Expired => EventKind::Expire,
        };
        let key = self.read_key(row);
        let feed = self.feed();
        let asleep = feed.publish(kind, &key.words, key.len);
        if asleep {
            wake(feed.head);
        }
        if feed.head.load(Ordering::Relaxed).is_multiple_of(LOOK_EVERY) {
            let until = self.header(header::WATCHED).load(Ordering::Relaxed);
            if self.clock.now_ms() > until {
                // Fails when somebody has begun to watch.
                let _ = self.header(header::WATCHED).compare_exchange(
                    until,
                    0,
                    Ordering::SeqCst,
                    Ordering::Relaxed,
                );
            }
        }
    }
}

impl Table {
    /// Has those who watch know that an event may be missing: a writer was killed before it told what it had done.
    pub(super) fn publish_gap(&self) {
        if self.is_watched() {
            self.feed().leave_gap();
            wake(self.header(header::FEED_HEAD));
        }
    }
}

/// Waits until the lower half of `word` is not `seen`, in whichever process it changes, or until `time` is over. May end early.
#[cfg(target_os = "linux")]
fn sleep(word: &AtomicU64, seen: u32, time: Duration) {
    let time = libc::timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: time.subsec_nanos().into(),
    };
    // SAFETY: the address is that of a word that lives as long as its borrow, whose lower half comes first; the kernel reads it
    // and the time, and changes nothing.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            std::ptr::from_ref(word),
            libc::FUTEX_WAIT,
            seen,
            &raw const time,
            std::ptr::null::<u32>(),
            0,
        );
    }
}

/// Wakes all who sleep on `word`.
#[cfg(target_os = "linux")]
fn wake(word: &AtomicU64) {
    // SAFETY: the kernel takes the address as a name and touches no memory.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            std::ptr::from_ref(word),
            libc::FUTEX_WAKE,
            i32::MAX,
            std::ptr::null::<libc::timespec>(),
            std::ptr::null::<u32>(),
            0,
        );
    }
}

#[cfg(not(target_os = "linux"))]
fn sleep(_word: &AtomicU64, _seen: u32, time: Duration) {
    thread::sleep(time.min(Duration::from_millis(10)));
}

#[cfg(not(target_os = "linux"))]
fn wake(_word: &AtomicU64) {}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::super::{ColumnKind, ColumnSpec, Evict, Mode, TableSpec, Ttl};
    use super::*;

    fn spec() -> TableSpec {
        let columns = vec![ColumnSpec {
            name: "n".into(),
            kind: ColumnKind::Int,
        }];
        TableSpec {
            size: 1000,
            columns,
            ttl: None,
            evict: Evict::None,
            max_key: 255,
        }
    }

    fn table() -> Arc<Table> {
        Arc::new(Table::private("users", &spec()).unwrap())
    }

    fn set(table: &Table, key: &str) {
        table
            .set_word(key.as_bytes(), Mode::Upsert, 0, 1, Ttl::Default)
            .unwrap();
    }

    /// A watcher, and its wakes.
    fn watch(table: &Arc<Table>, prefix: &str) -> (Watch, Receiver<()>) {
        let (sender, wakes) = channel();
        let watch = table
            .watch(prefix.as_bytes(), Box::new(move || _ = sender.send(())))
            .unwrap();
        (watch, wakes)
    }

    /// Waits for the next event.
    fn next((watch, wakes): &(Watch, Receiver<()>)) -> WatchEvent {
        loop {
            if let Some(event) = watch.take(1).pop() {
                return event;
            }
            wakes
                .recv_timeout(Duration::from_secs(20))
                .expect("an event is announced");
        }
    }

    fn change(kind: EventKind, key: &str) -> WatchEvent {
        WatchEvent::Change(kind, key.as_bytes().into())
    }

    #[test]
    fn every_kind_of_change_is_told_in_order() {
        let table = table();
        set(&table, "before");
        let watch = watch(&table, "");
        set(&table, "a");
        table.add_int(b"a", 0, 1).unwrap();
        table.delete(b"a").unwrap();
        table.delete(b"a").unwrap();
        table
            .set_word(b"b", Mode::Upsert, 0, 1, Ttl::After(1000))
            .unwrap();
        table.clock.go_on(1001);
        table.sweep();
        for event in [
            change(EventKind::Set, "a"),
            change(EventKind::Set, "a"),
            change(EventKind::Delete, "a"),
            change(EventKind::Set, "b"),
            change(EventKind::Expire, "b"),
        ] {
            assert_eq!(next(&watch), event);
        }
    }

    #[test]
    fn a_watcher_is_told_of_its_prefix_alone() {
        let table = table();
        let (all, some) = (watch(&table, ""), watch(&table, "user:"));
        for key in ["user", "user:1", "other", "user:2"] {
            set(&table, key);
        }
        assert_eq!(next(&some), change(EventKind::Set, "user:1"));
        assert_eq!(next(&some), change(EventKind::Set, "user:2"));
        assert_eq!(next(&all), change(EventKind::Set, "user"));
    }

    #[test]
    fn what_another_process_does_is_told() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("users.table");
        let table = Arc::new(Table::open(&path, "users", &spec()).unwrap().table);
        let watch = watch(&table, "");
        // Another opening of the file is as good as another process.
        let other = Table::attach(&path).unwrap();
        set(&other, "a");
        assert_eq!(next(&watch), change(EventKind::Set, "a"));
    }

    #[test]
    fn a_watcher_that_does_not_take_its_events_learns_how_many_it_missed() {
        let table = table();
        let watch = watch(&table, "");
        let sum = |watch: &Watch| {
            watch
                .take(usize::MAX)
                .into_iter()
                .map(|event| match event {
                    WatchEvent::Change(..) => 1,
                    WatchEvent::Missed(count) => count,
                })
                .sum::<u64>()
        };
        let all = 3 * WATCH_QUEUE_MAX as u64;
        for number in 0..all {
            set(&table, &format!("key-{}", number % 1000));
        }
        let begun = Instant::now();
        let mut told = 0;
        while told < all {
            let queued = watch.0.watcher.queue.lock().unwrap().events.len();
            assert!(queued <= WATCH_QUEUE_MAX + 1);
            told += sum(&watch.0);
            assert!(begun.elapsed() < Duration::from_secs(20), "{told} of {all}");
            thread::yield_now();
        }
        assert_eq!(told, all);
    }

    #[test]
    fn a_writer_that_was_killed_before_it_told_leaves_a_gap() {
        let table = table();
        let watch = watch(&table, "");
        table.publish_gap();
        set(&table, "a");
        assert_eq!(next(&watch), WatchEvent::Missed(1));
        assert_eq!(next(&watch), change(EventKind::Set, "a"));
    }

    #[test]
    fn when_nobody_watches_any_more_nothing_is_published() {
        let table = table();
        let first = watch(&table, "");
        drop(first);
        table.clock.go_on(LEASE + 1);
        for number in 0..2 * LOOK_EVERY {
            set(&table, &format!("{}", number % 100));
        }
        assert!(!table.is_watched());
        let head = table.header(header::FEED_HEAD).load(Ordering::Relaxed);
        set(&table, "a");
        assert_eq!(
            table.header(header::FEED_HEAD).load(Ordering::Relaxed),
            head
        );
        // And who comes later is told again.
        let second = watch(&table, "");
        set(&table, "b");
        assert_eq!(next(&second), change(EventKind::Set, "b"));
    }

    #[test]
    fn the_thread_ends_with_the_last_watcher_and_lets_go_of_the_table() {
        let table = table();
        let (first, second) = (watch(&table, ""), watch(&table, ""));
        drop(first);
        set(&table, "a");
        assert_eq!(next(&second), change(EventKind::Set, "a"));
        drop(second);
        let begun = Instant::now();
        while Arc::strong_count(&table) > 1 {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "its thread lives"
            );
            thread::yield_now();
        }
    }

    #[test]
    fn a_table_that_nobody_watches_takes_no_memory_for_it() {
        let table = table();
        let before = table.memory_bytes();
        let _watch = watch(&table, "");
        let feed = (EVENTS * slot_words(255) * 8) as u64;
        assert!(before < feed);
        assert!(table.memory_bytes() >= before + feed);
    }
}
