//! A journal on a disk that is full or broken, and one that is cut.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::disk::{Disk, LogFile, RealDisk};
use crate::error::{Fault, JournalError};
use crate::format::{FRAME_LEN, HEADER_LEN, VERSION};
use crate::journal::{Event, Fsync, Journal, Opened, Options, Stored};

const WAIT: Duration = Duration::from_secs(20);

/// A disk that does what it is told.
#[derive(Clone)]
struct FaultyDisk(Arc<Faults>);

struct Faults {
    /// Bytes that can be written yet.
    room: AtomicU64,
    fsync_fails: AtomicBool,
    set_len_fails: AtomicBool,
    syncs: AtomicU64,
    replaced: AtomicU64,
    /// Hears of each `fsync` that begins, and holds it up until its other half is dropped.
    hang: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
    /// Hears of each write.
    wrote: Mutex<Option<mpsc::Sender<()>>>,
}

impl Faults {
    /// The next `fsync` says that it begins, and ends when what comes second is dropped.
    fn hang(&self) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (begins, waits) = mpsc::channel();
        let (blocked, end) = mpsc::channel();
        *self.hang.lock().unwrap() = Some((begins, end));
        (waits, blocked)
    }

    /// Says when something was written from now on.
    fn writes(&self) -> mpsc::Receiver<()> {
        let (send, writes) = mpsc::channel();
        *self.wrote.lock().unwrap() = Some(send);
        writes
    }
}

struct FaultyFile(Arc<dyn LogFile>, Arc<Faults>);

impl FaultyDisk {
    fn new() -> Self {
        Self(Arc::new(Faults {
            room: AtomicU64::new(u64::MAX),
            fsync_fails: AtomicBool::new(false),
            set_len_fails: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            replaced: AtomicU64::new(0),
            hang: Mutex::default(),
            wrote: Mutex::default(),
        }))
    }

    fn has_room(&self, bytes: u64) {
        self.0.room.store(bytes, Ordering::SeqCst);
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path, like: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(FaultyFile(
            RealDisk.create(path, like)?,
            Arc::clone(&self.0),
        )))
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.replaced.fetch_add(1, Ordering::SeqCst);
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) {
        RealDisk.remove(path);
    }
}

impl LogFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, at)
    }

    /// Writes what there is room for, as a disk does.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let room = self.1.room.load(Ordering::SeqCst);
        let fits = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.0.write_all_at(&bytes[..fits], at)?;
        if room != u64::MAX {
            self.1.room.fetch_sub(fits as u64, Ordering::SeqCst);
        }
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(wrote) = &*self.1.wrote.lock().unwrap() {
            let _ = wrote.send(());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.1.set_len_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("set_len"));
        }
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        if self.1.fsync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("fsync"));
        }
        let hang = self.1.hang.lock().unwrap().take();
        if let Some((begins, end)) = hang {
            begins.send(()).unwrap();
            let _ = end.recv();
        }
        // It is not slow.
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

struct Folder {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn folder() -> Folder {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.log");
    Folder {
        _folder: folder,
        path,
    }
}

fn options(path: &Path, fsync: Fsync) -> Options {
    Options {
        path: path.to_owned(),
        fsync,
        backlog_max: 1 << 20,
    }
}

fn open(path: &Path) -> Result<Opened, JournalError> {
    Journal::open(options(path, Fsync::Always))
}

/// As [`open`], without waiting for the disk.
fn open_quickly(path: &Path) -> Result<Opened, JournalError> {
    Journal::open_on(Arc::new(FaultyDisk::new()), options(path, Fsync::Always))
}

/// Where the last commit of a file ends. Behind it there may be zeros, which are none.
fn written_len(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    let mut at = HEADER_LEN;
    while bytes.len() >= at + FRAME_LEN && bytes[at..at + FRAME_LEN] != [0; FRAME_LEN] {
        at += FRAME_LEN + crate::format::number(&bytes[at..]) as usize;
    }
    at as u64
}

/// What its thread says.
fn events(journal: &Journal) -> mpsc::Receiver<Event> {
    let (send, events) = mpsc::channel();
    journal
        .start(move |event| {
            let _ = send.send(event);
        })
        .unwrap();
    events
}

/// Puts, and waits for what comes of it.
fn put(journal: &Journal, events: &mpsc::Receiver<Event>, id: u64, bytes: &[u8]) -> Event {
    let ticket = journal.put(id, bytes.to_vec()).unwrap();
    loop {
        let event = events.recv_timeout(WAIT).unwrap();
        let upto = match &event {
            Event::Committed { upto } | Event::Refused { upto, .. } => *upto,
            Event::Broken { .. } => ticket,
        };
        if upto >= ticket {
            return event;
        }
    }
}

/// Looks until it is so.
fn until(is_so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WAIT, "it does not come");
        std::thread::yield_now();
    }
}

fn ids(stored: &[Stored]) -> Vec<u64> {
    stored.iter().map(|stored| stored.id).collect()
}

#[test]
fn what_was_put_and_not_deleted_is_there_when_it_is_opened_again() {
    let folder = folder();
    let opened = open(&folder.path).unwrap();
    assert_eq!(opened.stored, []);
    let events = events(&opened.journal);
    for id in 1..=5 {
        assert!(matches!(
            put(&opened.journal, &events, id, &[id as u8; 3]),
            Event::Committed { .. }
        ));
    }
    assert!(matches!(
        put(&opened.journal, &events, 2, b"again"),
        Event::Committed { .. }
    ));
    opened.journal.delete(3);
    opened.journal.delete(5);
    opened.journal.close();
    drop(opened);

    let opened = open(&folder.path).unwrap();
    assert_eq!(ids(&opened.stored), [1, 2, 4]);
    assert_eq!(opened.stored[1].bytes, b"again");
    assert_eq!((opened.last_id, opened.cut), (5, 0));
    drop(opened);
    // It was written anew.
    assert_eq!(open(&folder.path).unwrap().last_id, 5);
}

#[test]
fn what_is_put_and_deleted_at_once_is_not_written_but_its_id_is_known() {
    let folder = folder();
    let opened = open(&folder.path).unwrap();
    opened.journal.put(7, vec![0; 100_000]).unwrap();
    opened.journal.delete(7);
    // One batch: it is not started before.
    let events = events(&opened.journal);
    assert!(matches!(
        events.recv_timeout(WAIT).unwrap(),
        Event::Committed { upto: 1 }
    ));
    drop(opened);
    assert!(fs::metadata(&folder.path).unwrap().len() < 200);
    let opened = open(&folder.path).unwrap();
    assert_eq!((ids(&opened.stored), opened.last_id), (vec![], 7));
}

#[test]
fn a_log_that_is_cut_at_any_byte_is_read_up_to_its_last_whole_commit() {
    let folder = folder();
    let opened = open_quickly(&folder.path).unwrap();
    let events = events(&opened.journal);
    let mut ends = vec![(written_len(&folder.path), vec![])];
    let mut expected = Vec::new();
    for id in 1..=6u64 {
        put(
            &opened.journal,
            &events,
            id,
            &vec![id as u8; id as usize * 3],
        );
        expected.push(id);
        if id == 4 {
            opened.journal.delete(2);
            expected.retain(|id| *id != 2);
            put(&opened.journal, &events, 1, b"changed");
        }
        ends.push((written_len(&folder.path), expected.clone()));
    }
    let whole = fs::read(&folder.path).unwrap();
    assert!(whole.len() > 1000, "there are zeros for what comes");
    let there = fs::File::open(&folder.path).unwrap();
    assert!(matches!(crate::read::read(&there), Ok(contents) if contents.cut == 0));
    drop(opened);
    let whole = fs::read(&folder.path).unwrap();
    assert_eq!(whole.len() as u64, ends.last().unwrap().0);
    let path = folder.path.with_extension("cut");
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let opened = open_quickly(&path);
        if (1..HEADER_LEN).contains(&len) {
            let Err(JournalError::File { fault, .. }) = opened else {
                panic!("cut at {len}: {opened:?}")
            };
            assert_eq!(
                fault,
                Fault::Short {
                    len: len as u64,
                    expected: 32
                }
            );
            // It is left as it is.
            assert_eq!(fs::read(&path).unwrap(), whole[..len]);
            continue;
        }
        let opened = opened.unwrap();
        let at_least = ends.iter().rev().find(|(end, _)| *end <= len as u64);
        let next = ends.iter().find(|(end, _)| *end >= len as u64).unwrap();
        let found = ids(&opened.stored);
        // A step may be two commits: it is as before the step, or as in the midst of it, or as after it.
        let before = at_least.map_or(&[][..], |(_, ids)| ids);
        assert!(
            found == before
                || found == next.1
                || (len as u64) < next.0 && next.1.contains(&4) && found == [1, 2, 3, 4],
            "cut at {len}: {found:?}, before {before:?}, after {:?}",
            next.1
        );
        for stored in &opened.stored {
            assert!(
                stored.bytes == b"changed"
                    || stored.bytes == vec![stored.id as u8; stored.id as usize * 3]
            );
        }
        drop(opened);
        // What is written behind the cut is read.
        let opened = open_quickly(&path).unwrap();
        let events = self::events(&opened.journal);
        put(&opened.journal, &events, 99, b"new");
        drop(opened);
        let opened = open_quickly(&path).unwrap();
        assert_eq!(opened.cut, 0);
        assert_eq!(ids(&opened.stored), [found, vec![99]].concat());
    }
}

#[test]
fn a_flipped_bit_is_never_read_as_something_else() {
    let folder = folder();
    let opened = open_quickly(&folder.path).unwrap();
    let events = events(&opened.journal);
    for id in 1..=4u64 {
        put(&opened.journal, &events, id, &[id as u8; 5]);
    }
    drop(opened);
    let whole = fs::read(&folder.path).unwrap();
    let path = folder.path.with_extension("flipped");
    for at in (0..whole.len()).map(|byte| byte * 8 + byte % 8) {
        let mut bytes = whole.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        match open_quickly(&path) {
            Err(JournalError::File { .. }) => assert!(at / 8 < HEADER_LEN),
            Err(error) => panic!("bit {at}: {error}"),
            Ok(opened) => {
                assert!(opened.cut > 0, "bit {at}");
                let found = ids(&opened.stored);
                assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>());
                assert!(opened.stored.iter().all(|it| it.bytes == [it.id as u8; 5]));
            }
        }
    }
}

#[test]
fn files_of_others_and_of_newer_versions_are_refused_and_left_alone() {
    let folder = folder();
    drop(open(&folder.path).unwrap());
    let mut newer = fs::read(&folder.path).unwrap();
    newer[16] = 2;
    for (bytes, expected) in [
        (
            &newer[..],
            Fault::Version {
                found: 2,
                expected: VERSION,
            },
        ),
        (&[b'x'; 500][..], Fault::Foreign),
        (
            &b"SQLite format 3\0 and so on and so on"[..],
            Fault::Foreign,
        ),
        (
            &b"x"[..],
            Fault::Short {
                len: 1,
                expected: 32,
            },
        ),
    ] {
        fs::write(&folder.path, bytes).unwrap();
        let Err(JournalError::File { fault, path }) = open(&folder.path) else {
            panic!("{expected} is not refused")
        };
        assert_eq!((fault, &path), (expected, &folder.path));
        assert_eq!(fs::read(&folder.path).unwrap(), bytes);
    }
    let error = open(&folder.path).unwrap_err().to_string();
    assert!(error.contains("tasks.log"), "{error}");
}

#[test]
fn it_is_opened_once_at_a_time() {
    let folder = folder();
    let opened = open(&folder.path).unwrap();
    assert!(matches!(
        open(&folder.path),
        Err(JournalError::Locked { .. })
    ));
    drop(opened);
    open(&folder.path).unwrap();
}

#[test]
fn a_full_disk_refuses_what_is_put_and_keeps_what_is_there() {
    let folder = folder();
    let disk = FaultyDisk::new();
    let opened =
        Journal::open_on(Arc::new(disk.clone()), options(&folder.path, Fsync::Always)).unwrap();
    let events = events(&opened.journal);
    assert!(matches!(
        put(&opened.journal, &events, 1, b"kept"),
        Event::Committed { .. }
    ));
    for room in [0, 1, 8, 20, 50] {
        disk.has_room(room);
        let Event::Refused {
            error,
            after,
            upto,
            ids: refused,
        } = put(&opened.journal, &events, 2, &[0; 100])
        else {
            panic!("there is no room")
        };
        assert_eq!((upto, refused), (after + 1, vec![2]));
        assert!(error.to_string().contains("tasks.log"), "{error}");
        // What was taken back was taken back on the disk.
        let copy = folder.path.with_extension("copy");
        fs::copy(&folder.path, &copy).unwrap();
        let copied = open(&copy).unwrap();
        assert_eq!((ids(&copied.stored), copied.cut), (vec![1], 0));
    }
    // A delete that did not go through does later.
    opened.journal.delete(1);
    assert!(matches!(
        put(&opened.journal, &events, 3, b"x"),
        Event::Refused { .. }
    ));
    disk.has_room(u64::MAX);
    assert!(matches!(
        put(&opened.journal, &events, 4, b"kept too"),
        Event::Committed { .. }
    ));
    drop(opened);
    assert_eq!(ids(&open(&folder.path).unwrap().stored), [4]);
}

#[test]
fn after_an_fsync_that_failed_nothing_is_acknowledged() {
    for fsync in [Fsync::Always, Fsync::Interval(Duration::from_millis(20))] {
        let folder = folder();
        let disk = FaultyDisk::new();
        let opened =
            Journal::open_on(Arc::new(disk.clone()), options(&folder.path, fsync)).unwrap();
        let events = events(&opened.journal);
        assert!(matches!(
            put(&opened.journal, &events, 1, b"kept"),
            Event::Committed { .. }
        ));
        disk.0.fsync_fails.store(true, Ordering::SeqCst);
        let mut event = put(&opened.journal, &events, 2, b"lost");
        if fsync != Fsync::Always {
            // The system had it; then the system could not.
            assert!(matches!(event, Event::Committed { .. }));
            event = events.recv_timeout(WAIT).unwrap();
        }
        assert!(matches!(event, Event::Broken { .. }), "{event:?}");
        // That the disk says it is well again does not change that.
        disk.0.fsync_fails.store(false, Ordering::SeqCst);
        assert!(matches!(
            opened.journal.put(3, b"no".to_vec()),
            Err(JournalError::Broken { .. })
        ));
        assert!(opened.journal.broken().is_some());
        assert!(events.recv_timeout(Duration::from_millis(50)).is_err());
        drop(opened);
        let opened = open(&folder.path).unwrap();
        assert!(ids(&opened.stored).contains(&1));
        assert!(!ids(&opened.stored).contains(&3));
    }
}

#[test]
fn a_write_that_cannot_be_taken_back_breaks_it() {
    let folder = folder();
    let disk = FaultyDisk::new();
    let opened =
        Journal::open_on(Arc::new(disk.clone()), options(&folder.path, Fsync::Always)).unwrap();
    let events = events(&opened.journal);
    put(&opened.journal, &events, 1, b"kept");
    disk.has_room(10);
    disk.0.set_len_fails.store(true, Ordering::SeqCst);
    assert!(matches!(
        put(&opened.journal, &events, 2, &[0; 100]),
        Event::Broken { .. }
    ));
    drop(opened);
    let opened = open(&folder.path).unwrap();
    // Behind the part of a commit there are zeros.
    assert_eq!(ids(&opened.stored), [1]);
    assert!(opened.cut > 10);
}

#[test]
fn a_full_disk_when_it_is_opened_leaves_the_file_as_it_is() {
    let folder = folder();
    let opened = open(&folder.path).unwrap();
    put(&opened.journal, &events(&opened.journal), 1, &[7; 300]);
    drop(opened);
    let before = fs::read(&folder.path).unwrap();
    let disk = FaultyDisk::new();
    disk.has_room(100);
    let error = Journal::open_on(Arc::new(disk), options(&folder.path, Fsync::Always)).unwrap_err();
    assert!(matches!(error, JournalError::System { .. }));
    assert_eq!(fs::read(&folder.path).unwrap(), before);
    assert_eq!(ids(&open(&folder.path).unwrap().stored), [1]);
}

#[test]
fn more_than_may_wait_is_refused() {
    let folder = folder();
    let opened = open(&folder.path).unwrap();
    for id in 1..=10 {
        opened.journal.put(id, vec![0; 100_000]).unwrap();
    }
    assert!(matches!(
        opened.journal.put(11, vec![0; 100_000]),
        Err(JournalError::Backlog { max: 1_048_576, .. })
    ));
    // Deletes are not: there is one for what was put at most.
    opened.journal.delete(1);
    let events = events(&opened.journal);
    assert!(matches!(
        events.recv_timeout(WAIT).unwrap(),
        Event::Committed { upto: 10 }
    ));
    assert!(matches!(
        put(&opened.journal, &events, 12, &[0; 2_000_000]),
        Event::Committed { .. }
    ));
    drop(opened);
    assert_eq!(
        ids(&open(&folder.path).unwrap().stored),
        [2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
    );
}

#[test]
fn a_file_that_is_mostly_about_what_is_gone_is_written_anew() {
    let folder = folder();
    let disk = FaultyDisk::new();
    let opened = Journal::open_on(
        Arc::new(disk.clone()),
        options(&folder.path, Fsync::Interval(Duration::from_secs(1))),
    )
    .unwrap();
    let events = events(&opened.journal);
    let most = Mutex::new(0);
    for id in 1..=400u64 {
        put(&opened.journal, &events, id, &vec![id as u8; 100_000]);
        if id % 10 != 0 {
            opened.journal.delete(id);
        }
        let mut most = most.lock().unwrap();
        *most = u64::max(*most, fs::metadata(&folder.path).unwrap().len());
    }
    drop(opened);
    assert!(disk.0.replaced.load(Ordering::SeqCst) > 1);
    // It grows while it is copied.
    assert!(most.into_inner().unwrap() < 32 << 20);
    let opened = open(&folder.path).unwrap();
    assert_eq!(opened.stored.len(), 40);
    for stored in &opened.stored {
        assert_eq!(stored.bytes, vec![stored.id as u8; 100_000]);
    }
    assert!(fs::metadata(&folder.path).unwrap().len() < 5 << 20);
}

#[test]
fn a_file_that_cannot_be_written_anew_goes_on() {
    let folder = folder();
    let disk = FaultyDisk::new();
    let opened = Journal::open_on(
        Arc::new(disk.clone()),
        options(&folder.path, Fsync::Interval(Duration::from_secs(1))),
    )
    .unwrap();
    let events = events(&opened.journal);
    for id in 1..=5u64 {
        put(&opened.journal, &events, id, &vec![id as u8; 1_000_000]);
    }
    // There is room for what is put, and then not for a copy, which is made beside it.
    disk.has_room(12 << 20);
    for id in 6..=17u64 {
        assert!(matches!(
            put(&opened.journal, &events, id, &vec![id as u8; 1_000_000]),
            Event::Committed { .. }
        ));
    }
    until(|| opened.journal.stats().failed_writes == 1);
    disk.has_room(u64::MAX);
    put(&opened.journal, &events, 18, b"after");
    assert_eq!(opened.journal.stats().rewrites, 0);
    drop(opened);
    assert_eq!(
        ids(&open(&folder.path).unwrap().stored),
        (1..=18).collect::<Vec<_>>()
    );
}

#[test]
fn one_fsync_is_for_all_that_came_meanwhile() {
    let folder = folder();
    let disk = FaultyDisk::new();
    let opened =
        Journal::open_on(Arc::new(disk.clone()), options(&folder.path, Fsync::Always)).unwrap();
    for id in 1..=1000u64 {
        opened.journal.put(id, vec![0; 100]).unwrap();
    }
    let before = disk.0.syncs.load(Ordering::SeqCst);
    let events = events(&opened.journal);
    assert!(matches!(
        events.recv_timeout(WAIT).unwrap(),
        Event::Committed { upto: 1000 }
    ));
    assert_eq!(disk.0.syncs.load(Ordering::SeqCst) - before, 1);
    assert_eq!(opened.journal.last_ticket(), 1000);
}

#[test]
fn what_comes_while_the_disk_is_waited_for_is_written_meanwhile() {
    let folder = folder();
    let disk = FaultyDisk::new();
    let opened =
        Journal::open_on(Arc::new(disk.clone()), options(&folder.path, Fsync::Always)).unwrap();
    let events = events(&opened.journal);
    put(&opened.journal, &events, 1, b"done soon");
    let (waits, blocked) = disk.0.hang();
    opened.journal.put(2, b"not on the disk".to_vec()).unwrap();
    waits.recv_timeout(WAIT).unwrap();
    // From here on the disk is waited for.
    let writes = disk.0.writes();
    opened.journal.delete(1);
    writes.recv_timeout(WAIT).unwrap();
    // As it is after a kill of the process, which the system outlives.
    let copy = folder.path.with_extension("copy");
    fs::copy(&folder.path, &copy).unwrap();
    assert_eq!(ids(&open(&copy).unwrap().stored), [2]);
    assert!(
        events.try_recv().is_err(),
        "nothing is acknowledged before it is on the disk"
    );
    drop(blocked);
    assert!(matches!(
        events.recv_timeout(WAIT).unwrap(),
        Event::Committed { upto: 2 }
    ));
}

#[test]
fn what_is_written_and_not_on_the_disk_counts_as_waiting() {
    let folder = folder();
    let disk = FaultyDisk::new();
    let opened =
        Journal::open_on(Arc::new(disk.clone()), options(&folder.path, Fsync::Always)).unwrap();
    let events = events(&opened.journal);
    let (waits, blocked) = disk.0.hang();
    opened.journal.put(1, vec![0; 1 << 19]).unwrap();
    waits.recv_timeout(WAIT).unwrap();
    let writes = disk.0.writes();
    opened.journal.put(2, vec![0; (1 << 19) - 100]).unwrap();
    writes.recv_timeout(WAIT).unwrap();
    assert!(opened.journal.stats().waiting_bytes >= (1 << 20) - 100);
    assert!(matches!(
        opened.journal.put(3, vec![0; 100]),
        Err(JournalError::Backlog { .. })
    ));
    drop(blocked);
    for upto in [1, 2] {
        let event = events.recv_timeout(WAIT).unwrap();
        assert!(matches!(event, Event::Committed { upto: found } if found == upto));
    }
    assert_eq!(opened.journal.stats().waiting_bytes, 0);
    opened.journal.put(3, vec![0; 100]).unwrap();
}

#[test]
fn a_broken_journal_is_locked_until_it_is_closed() {
    let folder = folder();
    let disk = FaultyDisk::new();
    let opened =
        Journal::open_on(Arc::new(disk.clone()), options(&folder.path, Fsync::Always)).unwrap();
    let events = events(&opened.journal);
    put(&opened.journal, &events, 1, b"kept");
    disk.0.fsync_fails.store(true, Ordering::SeqCst);
    assert!(matches!(
        put(&opened.journal, &events, 2, b"lost"),
        Event::Broken { .. }
    ));
    assert!(matches!(
        open(&folder.path),
        Err(JournalError::Locked { .. })
    ));
    opened.journal.close();
    open(&folder.path).unwrap();
}

#[test]
fn deletes_do_not_pile_up_while_the_disk_is_full() {
    let folder = folder();
    let disk = FaultyDisk::new();
    let opened =
        Journal::open_on(Arc::new(disk.clone()), options(&folder.path, Fsync::Always)).unwrap();
    let events = events(&opened.journal);
    put(&opened.journal, &events, 1, b"kept");
    disk.has_room(0);
    opened.journal.delete(1);
    for id in 2..200 {
        assert!(matches!(
            put(&opened.journal, &events, id, b"refused"),
            Event::Refused { .. }
        ));
        opened.journal.delete(id);
        // Nothing was put as that.
        opened.journal.delete(1000 + id);
    }
    disk.has_room(u64::MAX);
    let before = written_len(&folder.path);
    put(&opened.journal, &events, 200, b"x");
    // The put, the delete of 1, and the highest id that was used: no 198 deletes of what is not there.
    let grown = written_len(&folder.path) - before;
    assert!(grown < 60, "{grown}");
    drop(opened);
    assert_eq!(ids(&open(&folder.path).unwrap().stored), [200]);
}

#[test]
fn only_a_file_is_used_and_a_link_stays_one() {
    let folder = folder();
    let refused = open(folder.path.parent().unwrap());
    assert!(matches!(
        refused,
        Err(JournalError::File {
            fault: Fault::NoFile,
            ..
        })
    ));
    // It would be replaced, for all who use it.
    assert!(matches!(
        open(Path::new("/dev/null")),
        Err(JournalError::File { .. })
    ));
    let target = folder.path.with_extension("target");
    fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, &folder.path).unwrap();
    let opened = open(&folder.path).unwrap();
    put(&opened.journal, &events(&opened.journal), 1, b"kept");
    drop(opened);
    assert!(folder.path.is_symlink());
    assert_eq!(ids(&open(&target).unwrap().stored), [1]);
}

#[test]
fn the_file_is_for_its_owner_alone_or_has_the_rights_that_it_had() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let rights = || fs::metadata(&folder.path).unwrap().permissions().mode() & 0o777;
    drop(open(&folder.path).unwrap());
    assert_eq!(rights(), 0o600);
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o640)).unwrap();
    drop(open(&folder.path).unwrap());
    assert_eq!(rights(), 0o640);
}

#[test]
fn it_says_what_it_has_done() {
    let folder = folder();
    let opened = open_quickly(&folder.path).unwrap();
    let events = events(&opened.journal);
    put(&opened.journal, &events, 1, b"12345");
    put(&opened.journal, &events, 2, b"678");
    opened.journal.delete(2);
    put(&opened.journal, &events, 3, b"90");
    let stats = opened.journal.stats();
    assert_eq!((stats.records, stats.record_bytes), (2, 7));
    assert_eq!(stats.bytes, written_len(&folder.path));
    assert!((3..=4).contains(&stats.commits) && (3..=4).contains(&stats.fsyncs));
    assert_eq!((stats.waiting, stats.waiting_bytes), (0, 0));
    assert_eq!((stats.refused, stats.failed_writes, stats.cut), (0, 0, 0));
}

#[test]
fn a_file_that_was_damaged_is_kept_as_it_was_found() {
    let folder = folder();
    let opened = open_quickly(&folder.path).unwrap();
    let events = events(&opened.journal);
    let mut ends = Vec::new();
    for id in 1..=3u64 {
        put(&opened.journal, &events, id, &[id as u8; 100]);
        ends.push(written_len(&folder.path) as usize);
    }
    drop(opened);
    let whole = fs::read(&folder.path).unwrap();
    let kept = folder.path.with_extension("log.damaged");
    // A bit of the last commit, or an end that is missing: that is a write that was cut off.
    for torn in [&whole[..], &whole[..whole.len() - 1]] {
        let mut torn = torn.to_vec();
        torn[ends[1] + 60] ^= 1;
        fs::write(&folder.path, &torn).unwrap();
        let opened = open_quickly(&folder.path).unwrap();
        assert_eq!((ids(&opened.stored), opened.damaged), (vec![1, 2], None));
    }
    assert!(!kept.exists());
    // A bit of the one before.
    let mut damaged = whole.clone();
    damaged[ends[0] + 60] ^= 1;
    for _ in 0..2 {
        fs::write(&folder.path, &damaged).unwrap();
        let opened = open_quickly(&folder.path).unwrap();
        assert_eq!(ids(&opened.stored), [1]);
        assert_eq!(opened.damaged.as_ref(), Some(&kept));
        assert_eq!(fs::read(&kept).unwrap(), damaged);
    }
}

/// A journal of 1 to 20 whose file is being written anew: the copy is made, and waits for the disk until what comes last is dropped. Nothing else does.
fn copying(path: &Path) -> (Opened, mpsc::Receiver<Event>, mpsc::Sender<()>) {
    let disk = FaultyDisk::new();
    let opened = Journal::open_on(
        Arc::new(disk.clone()),
        options(path, Fsync::Interval(Duration::from_secs(3600))),
    )
    .unwrap();
    let events = events(&opened.journal);
    let (begins, blocked) = disk.0.hang();
    for id in 1..=20u64 {
        put(&opened.journal, &events, id, &vec![id as u8; 900_000]);
    }
    begins.recv_timeout(WAIT).unwrap();
    (opened, events, blocked)
}

#[test]
fn what_comes_while_the_file_is_written_anew_is_in_both() {
    let folder = folder();
    let (opened, events, blocked) = copying(&folder.path);
    opened.journal.delete(3);
    opened.journal.delete(20);
    put(&opened.journal, &events, 4, b"changed");
    put(&opened.journal, &events, 30, b"new");
    put(&opened.journal, &events, 31, b"new and gone");
    opened.journal.delete(31);
    put(&opened.journal, &events, 32, b"more");
    // As a kill would leave it.
    let copy = folder.path.with_extension("copy");
    fs::copy(&folder.path, &copy).unwrap();
    drop(blocked);
    until(|| opened.journal.stats().rewrites == 1);
    put(&opened.journal, &events, 33, b"behind");
    opened.journal.delete(5);
    drop(opened);
    let mut expected: Vec<u64> = (1..20).chain([30, 32]).collect();
    expected.retain(|id| *id != 3);
    assert_eq!(ids(&open(&copy).unwrap().stored), expected);
    expected.push(33);
    expected.retain(|id| *id != 5);
    let opened = open(&folder.path).unwrap();
    assert_eq!(ids(&opened.stored), expected);
    for stored in &opened.stored {
        let is_it = match stored.id {
            4 => stored.bytes == b"changed",
            30..=33 => stored.bytes.len() < 10,
            id => stored.bytes == vec![id as u8; 900_000],
        };
        assert!(is_it, "{}", stored.id);
    }
}

#[test]
fn a_copy_that_is_not_done_is_gone_with_its_journal() {
    let folder = folder();
    let (opened, _events, blocked) = copying(&folder.path);
    drop(blocked);
    drop(opened);
    assert_eq!(open(&folder.path).unwrap().stored.len(), 20);
    assert!(!folder.path.with_extension("log.new").exists());
}
