//! The thread that writes the files of forms to disk, and removes them.
//!
//! A disk may be slow and a network's may hang: neither a reactor nor a worker waits for it. Whoever reads a form hands its bytes over
//! and counts, in the form's [`Account`], what is not written yet; above [`WINDOW`] it stops reading, and so, by the body's credit, does
//! the reactor.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use data_encoding::HEXLOWER;
use rustix::fs::{FlockOperation, flock};

use crate::wake::lock;

/// What one form may have handed over and not yet on disk.
const WINDOW: usize = 256 * 1024;
/// Names of the directories that servers make, with random letters behind it.
const PREFIX: &str = "sluice-uploads-";
/// A directory that nobody has locked is left alone for so long: its server may be about to.
const YOUNG: Duration = Duration::from_secs(60);

/// PHP's number for: no directory for temporary files.
pub(crate) const NO_DIRECTORY: u8 = 6;
/// PHP's number for: it could not be written.
pub(crate) const CANNOT_WRITE: u8 = 7;

/// What a form has handed over.
pub(crate) struct Account {
    /// Bytes, and one for each opening and closing, that are not done yet.
    queued: AtomicUsize,
    /// The reader waits until no more than this is left.
    wanted: AtomicUsize,
    waits: AtomicBool,
    /// Tells the reader, from the thread that writes.
    notify: Box<dyn Fn() + Send + Sync>,
}

impl Account {
    pub(crate) fn new(notify: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            queued: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
            waits: AtomicBool::new(false),
            notify,
        })
    }

    /// Whether the reader may go on. If not, it is told when it may.
    pub(crate) fn has_room(&self) -> bool {
        self.queued.load(Ordering::SeqCst) <= WINDOW || self.falls_to(WINDOW / 2)
    }

    /// Whether everything is done. If not, the reader is told when it is.
    pub(crate) fn is_settled(&self) -> bool {
        self.falls_to(0)
    }

    fn falls_to(&self, wanted: usize) -> bool {
        self.wanted.store(wanted, Ordering::SeqCst);
        // SeqCst with `done`: either it sees that we wait, or we see what it has done.
        self.waits.store(true, Ordering::SeqCst);
        self.queued.load(Ordering::SeqCst) <= wanted && self.waits.swap(false, Ordering::SeqCst)
    }

    fn add(&self, count: usize) {
        self.queued.fetch_add(count, Ordering::SeqCst);
    }

    fn done(&self, count: usize) {
        let left = self.queued.fetch_sub(count, Ordering::SeqCst) - count;
        if left <= self.wanted.load(Ordering::SeqCst) && self.waits.swap(false, Ordering::SeqCst) {
            (self.notify)();
        }
    }
}

/// A file on its way to the disk, or there. Removed with the last reference to it.
pub(crate) struct SpoolFile {
    id: u64,
    path: PathBuf,
    account: Arc<Account>,
    jobs: Sender<Job>,
    /// What went wrong, once something has: PHP's number, and the system's word for it.
    failure: OnceLock<(u8, String)>,
}

impl SpoolFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn failure(&self) -> Option<&(u8, String)> {
        self.failure.get()
    }
}

/// The writing end of a [`SpoolFile`].
pub(crate) struct SpoolWriter {
    file: Arc<SpoolFile>,
}

impl SpoolWriter {
    pub(crate) fn write(&self, data: &[u8]) {
        if self.file.failure.get().is_some() {
            return;
        }
        self.send(data.len(), |file| Job::Write(file, data.to_vec()));
    }

    fn send(&self, count: usize, job: impl FnOnce(Arc<FileJob>) -> Job) {
        let file = &self.file;
        file.account.add(count);
        let job = job(Arc::new(FileJob {
            file: Arc::downgrade(file),
            id: file.id,
            path: file.path.clone(),
            account: Arc::clone(&file.account),
        }));
        if file.jobs.send(job).is_err() {
            // There is no thread, or none any more.
            let reason = String::from("There is no thread to write it");
            let _ = file.failure.set((CANNOT_WRITE, reason));
            file.account.done(count);
        }
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        self.send(1, Job::Close);
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        let _ = self.jobs.send(Job::Remove(self.id, path));
    }
}

/// What the thread needs of a file: it must not keep it.
struct FileJob {
    file: std::sync::Weak<SpoolFile>,
    id: u64,
    path: PathBuf,
    account: Arc<Account>,
}

enum Job {
    Open(Arc<FileJob>),
    Write(Arc<FileJob>, Vec<u8>),
    Close(Arc<FileJob>),
    Remove(u64, PathBuf),
    End,
}

/// The files of one server. Its thread starts with the first of them.
pub(crate) struct Spooler {
    /// The server's own directory, made with the first file.
    folder: PathBuf,
    next: AtomicU64,
    thread: Mutex<Option<(Sender<Job>, JoinHandle<()>)>>,
    closed: AtomicBool,
}

impl Spooler {
    /// Files will be in a directory of the server's own in `dir`. What servers that were killed have left there is removed.
    pub(crate) fn new(dir: &Path) -> Self {
        let swept = dir.to_owned();
        // Its end is waited for by nobody: it only tidies up.
        let _ = std::thread::Builder::new()
            .name("sluice-sweep".into())
            .spawn(move || sweep(&swept));
        Self {
            folder: dir.join(format!("{PREFIX}{}", random_name())),
            next: AtomicU64::new(0),
            thread: Mutex::new(None),
            closed: AtomicBool::new(false),
        }
    }

    /// A new file. That it cannot be made shows in its [`failure`](SpoolFile::failure), later.
    pub(crate) fn create(&self, account: &Arc<Account>) -> (Arc<SpoolFile>, SpoolWriter) {
        let file = Arc::new(SpoolFile {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            path: self.folder.join(random_name()),
            account: Arc::clone(account),
            jobs: self.jobs(),
            failure: OnceLock::new(),
        });
        let writer = SpoolWriter {
            file: Arc::clone(&file),
        };
        writer.send(1, Job::Open);
        (file, writer)
    }

    fn jobs(&self) -> Sender<Job> {
        let mut thread = lock(&self.thread);
        if let Some((jobs, _)) = &*thread {
            return jobs.clone();
        }
        let (jobs, queue) = channel();
        if self.closed.load(Ordering::SeqCst) {
            return jobs;
        }
        let folder = self.folder.clone();
        let spawned = std::thread::Builder::new()
            .name("sluice-spool".into())
            .spawn(move || Disk::new(folder).run(&queue));
        // Without a thread every file fails, by the first job that nobody takes.
        if let Ok(handle) = spawned {
            *thread = Some((jobs.clone(), handle));
        }
        jobs
    }

    /// Writes what was handed over, removes everything and ends the thread. Idempotent.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let thread = lock(&self.thread).take();
        if let Some((jobs, handle)) = thread {
            let _ = jobs.send(Job::End);
            // It does not panic, and if it did there would be nothing left to wait for.
            let _ = handle.join();
        }
    }
}

impl Drop for Spooler {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread's own state.
struct Disk {
    folder: PathBuf,
    /// Held as long as the directory is in use; `None` before it is made.
    locked: Option<File>,
    open: HashMap<u64, File>,
}

impl Disk {
    fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            locked: None,
            open: HashMap::new(),
        }
    }

    fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(job) = queue.recv() {
            match job {
                Job::Open(job) => {
                    match self.create(&job.path) {
                        Ok(file) => drop(self.open.insert(job.id, file)),
                        Err(error) => fail(&job, NO_DIRECTORY, &error),
                    }
                    job.account.done(1);
                }
                Job::Write(job, bytes) => {
                    if let Some(file) = self.open.get_mut(&job.id)
                        && let Err(error) = file.write_all(&bytes)
                    {
                        self.open.remove(&job.id);
                        // What is there of it only takes room that others lack.
                        let _ = fs::remove_file(&job.path);
                        fail(&job, CANNOT_WRITE, &error);
                    }
                    job.account.done(bytes.len());
                }
                Job::Close(job) => {
                    self.open.remove(&job.id);
                    job.account.done(1);
                }
                Job::Remove(id, path) => {
                    self.open.remove(&id);
                    // The application may have moved it.
                    let _ = fs::remove_file(path);
                }
                Job::End => break,
            }
        }
        if self.locked.is_some() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    fn create(&mut self, path: &Path) -> io::Result<File> {
        let open = || {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
        };
        if self.locked.is_some() {
            match open() {
                // Somebody tidies up temporary files.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
        }
        self.locked = Some(make_folder(&self.folder)?);
        open()
    }
}

fn fail(job: &FileJob, code: u8, error: &io::Error) {
    if let Some(file) = job.file.upgrade() {
        let _ = file.failure.set((code, error.to_string()));
    }
}

/// Makes a directory that only its owner can look into, and locks it as long as the file that this gives is open.
fn make_folder(folder: &Path) -> io::Result<File> {
    DirBuilder::new().mode(0o700).create(folder)?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join("lock"))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Removes the directories of servers that are no longer there.
fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            continue;
        }
        // Not through a link: it is not ours then.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && is_left(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether nobody holds the lock of a directory. The lock tells, not a process id: containers share directories, not processes.
fn is_left(folder: &Path) -> bool {
    match File::open(folder.join("lock")) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok(),
        Err(error) => {
            let age = fs::metadata(folder).and_then(|data| data.modified());
            error.kind() == io::ErrorKind::NotFound
                && age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > YOUNG))
        }
    }
}

/// 128 random bits.
fn random_name() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // Not to be guessed is a second line of defence; the first is that nobody else may look into the directory.
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        bytes = now.as_nanos().to_le_bytes();
    }
    HEXLOWER.encode(&bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc::sync_channel;

    use super::*;

    /// A directory that goes with its test.
    pub(super) struct TestDir(pub(super) PathBuf);

    impl TestDir {
        pub(super) fn new() -> Self {
            let path = std::env::temp_dir().join(format!("sluice-test-{}", random_name()));
            fs::create_dir(&path).expect("there is room for it");
            Self(path)
        }
    }

    impl Drop for TestDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn account() -> (Arc<Account>, Receiver<()>) {
        let (send, told) = sync_channel(8);
        let notify = move || send.try_send(()).expect("it is told once for each wait");
        (Account::new(Box::new(notify)), told)
    }

    fn settle(account: &Account, told: &Receiver<()>) {
        while !account.is_settled() {
            told.recv_timeout(Duration::from_secs(20))
                .expect("the disk gets there");
        }
    }

    #[test]
    fn a_file_is_there_until_its_last_reference_is_gone() {
        let dir = TestDir::new();
        let spooler = Spooler::new(&dir.0);
        let (account, told) = account();
        let (file, writer) = spooler.create(&account);
        writer.write(b"hello ");
        writer.write(b"file");
        drop(writer);
        settle(&account, &told);
        assert_eq!(file.failure(), None);
        assert_eq!(fs::read(file.path()).expect("it is there"), b"hello file");
        let mode = |path: &Path| {
            fs::metadata(path)
                .expect("it is there")
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(&spooler.folder), 0o700);
        let path = file.path().to_owned();
        drop(file);
        let (other, writer) = spooler.create(&account);
        drop(writer);
        settle(&account, &told);
        assert!(!path.exists());
        drop(other);
    }

    #[test]
    fn the_end_of_the_server_removes_everything() {
        let dir = TestDir::new();
        let spooler = Spooler::new(&dir.0);
        let (account, told) = account();
        let (file, writer) = spooler.create(&account);
        writer.write(b"x");
        drop(writer);
        settle(&account, &told);
        assert!(file.path().exists());
        spooler.close();
        assert_eq!(fs::read_dir(&dir.0).expect("it is there").count(), 0);
        let (late, writer) = spooler.create(&account);
        writer.write(b"x");
        assert!(!late.path().exists());
    }

    #[test]
    fn a_reader_waits_above_the_window_and_is_told_once_there_is_room() {
        let dir = TestDir::new();
        let spooler = Spooler::new(&dir.0);
        let (account, told) = account();
        let (_file, writer) = spooler.create(&account);
        settle(&account, &told);
        account.add(WINDOW);
        assert!(account.has_room());
        account.add(1);
        assert!(!account.has_room());
        account.done(WINDOW / 2);
        assert!(told.try_recv().is_err());
        account.done(1);
        assert!(told.try_recv().is_ok());
        account.done(WINDOW / 2);
        assert!(told.try_recv().is_err());
        drop(writer);
    }

    #[test]
    fn a_directory_that_is_not_there_has_its_number() {
        let dir = TestDir::new();
        let spooler = Spooler::new(&dir.0.join("none"));
        let (account, told) = account();
        let (file, writer) = spooler.create(&account);
        writer.write(b"x");
        drop(writer);
        settle(&account, &told);
        let (code, reason) = file.failure().expect("it failed");
        assert_eq!(*code, NO_DIRECTORY);
        assert!(reason.contains("No such file"), "{reason}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_disk_that_is_full_has_its_number() {
        let dir = TestDir::new();
        let (account, _told) = account();
        let mut disk = Disk::new(dir.0.join("mine"));
        let full = OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it");
        disk.open.insert(0, full);
        let (jobs, queue) = channel();
        let file = Arc::new(SpoolFile {
            id: 0,
            path: dir.0.join("full"),
            account: Arc::clone(&account),
            jobs,
            failure: OnceLock::new(),
        });
        let writer = SpoolWriter {
            file: Arc::clone(&file),
        };
        writer.write(b"x");
        file.jobs.send(Job::End).expect("the queue is here");
        disk.run(&queue);
        let (code, reason) = file.failure().expect("it failed");
        assert_eq!(*code, CANNOT_WRITE);
        assert!(reason.contains("No space left"), "{reason}");
    }

    #[test]
    fn what_a_dead_server_left_is_swept_and_what_a_live_one_uses_is_not() {
        let dir = TestDir::new();
        let live = dir.0.join(format!("{PREFIX}live"));
        let dead = dir.0.join(format!("{PREFIX}dead"));
        let fresh = dir.0.join(format!("{PREFIX}fresh"));
        let other = dir.0.join("other");
        let _held = make_folder(&live).expect("there is room");
        drop(make_folder(&dead).expect("there is room"));
        for folder in [&fresh, &other] {
            fs::create_dir(folder).expect("there is room");
        }
        fs::write(dead.join("file"), "x").expect("there is room");
        sweep(&dir.0);
        assert!(live.exists() && fresh.exists() && other.exists());
        assert!(!dead.exists());
    }
}
