//! Forms whose files go to a disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use sluice_server::multipart::{FormFault, FormStep};

use crate::support::{Asked, Event, LIMIT, Served, WorkerDouble, config_with};

const TYPE: &[u8] = b"multipart/form-data; boundary=x";

/// A directory that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-forms-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("there is room for it");
        Self(path)
    }

    /// The files in it and below, but for locks.
    fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, found);
                } else if !path.ends_with("lock") {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.0, &mut found);
        found
    }

    fn until_empty(&self) {
        let end = Instant::now() + LIMIT;
        while !self.files().is_empty() {
            assert!(Instant::now() < end, "there are still {:?}", self.files());
            std::thread::yield_now();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn served(folder: &Folder) -> Served {
    let uploads = json!({ "uploads": { "dir": folder.0 } });
    Served::start(&config_with(json!({}), uploads))
}

/// Feeds a form, waiting for the disk where it has to.
fn feed(worker: &mut WorkerDouble, asked: &Asked, form: u32, data: &[u8]) {
    let step = worker.worker.form_write(form, data).expect("it is open");
    if step.expect("it is sound") == FormStep::Wait {
        assert_eq!(worker.event("room on disk"), Event::Drain(asked.name));
    }
}

fn end(worker: &mut WorkerDouble, asked: &Asked, form: u32) {
    while worker.worker.form_end(form).expect("it is open") == Ok(FormStep::Wait) {
        assert_eq!(worker.event("the end on disk"), Event::Drain(asked.name));
    }
}

fn begin(worker: &mut WorkerDouble) -> (Asked, u32) {
    let asked = worker.request("a request");
    let form = worker.worker.form_open(asked.name, TYPE, 1 << 20);
    (asked, form.expect("the type is right"))
}

const PART: &[u8] = b"--x\r\ncontent-disposition: form-data; name=f; filename=a\r\n\r\n";

#[test]
fn a_reader_is_told_when_the_disk_has_caught_up() {
    let folder = Folder::new("caught-up");
    let served = served(&folder);
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let (asked, form) = begin(&mut worker);
    feed(&mut worker, &asked, form, PART);
    for _ in 0..64 {
        feed(&mut worker, &asked, form, &[b'y'; 100_000]);
    }
    feed(&mut worker, &asked, form, b"\r\n--x--");
    end(&mut worker, &asked, form);
    let content = worker.worker.form_content(form).expect("it is open");
    assert_eq!(content.files[0].size, 6_400_000);
    let written = fs::read(&content.files[0].path).expect("it is there");
    assert!(written.len() == 6_400_000 && written.iter().all(|&byte| byte == b'y'));
    worker.worker.form_close(form);
    assert_eq!(worker.worker.form_content(form), None);
    worker.answer(&asked, "done");
    assert_eq!(client.response().text(), "done");
    folder.until_empty();
}

#[test]
fn the_files_of_a_worker_go_with_it() {
    let folder = Folder::new("death");
    let served = served(&folder);
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let (asked, whole) = begin(&mut worker);
    feed(&mut worker, &asked, whole, PART);
    feed(&mut worker, &asked, whole, b"content\r\n--x--");
    end(&mut worker, &asked, whole);
    let part = worker.worker.form_open(asked.name, TYPE, 1 << 20);
    feed(&mut worker, &asked, part.expect("the type is right"), PART);
    assert!(!folder.files().is_empty());
    drop(worker);
    folder.until_empty();
}

#[test]
fn an_end_of_the_server_leaves_nothing() {
    let folder = Folder::new("stop");
    let served = served(&folder);
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let (asked, form) = begin(&mut worker);
    feed(&mut worker, &asked, form, PART);
    feed(&mut worker, &asked, form, b"content\r\n--x--");
    end(&mut worker, &asked, form);
    served.server.release();
    assert_eq!(fs::read_dir(&folder.0).expect("it is there").count(), 0);
    assert!(matches!(
        worker.worker.form_write(form, b""),
        Some(Ok(_)) | Some(Err(FormFault::Malformed(_)))
    ));
}

#[test]
fn what_is_no_form_in_parts_is_not_opened() {
    let served = Served::new();
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/");
    let asked = worker.request("a request");
    for value in [
        "text/plain",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
    ] {
        let form = worker.worker.form_open(asked.name, value.as_bytes(), 1);
        assert_eq!(form, None, "{value}");
    }
    assert!(worker.worker.form_write(1, b"").is_none());
}
