//! A process that writes a journal is killed at any moment. What it was told is stored must be there, and nothing else than what it has put.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluice_journal::{Event, Fsync, Journal, Options};

const ROUNDS: usize = 20;
const WRITER: &str = "SLUICE_JOURNAL_WRITER";

fn options(path: &Path, fsync: Fsync) -> Options {
    Options {
        path: path.to_owned(),
        fsync,
        backlog_max: 8 << 20,
    }
}

fn bytes(id: u64) -> Vec<u8> {
    vec![id as u8; 50 + (id * 37 % 400) as usize]
}

/// Not a test but the process that is killed: puts, deletes what is stored, and says both on its output.
#[test]
fn writer() {
    let Some(path) = std::env::var_os(WRITER) else {
        return;
    };
    let fsync = match std::env::var_os("SLUICE_JOURNAL_INTERVAL") {
        Some(_) => Fsync::Interval(Duration::from_millis(100)),
        None => Fsync::Always,
    };
    let opened = Journal::open(options(Path::new(&path), fsync)).unwrap();
    let journal = Arc::new(opened.journal);
    // Ids by ticket.
    let put = Arc::new(Mutex::new(Vec::<u64>::new()));
    let (committed, done) = std::sync::mpsc::channel();
    journal
        .start(move |event| match event {
            Event::Committed { upto } => committed.send(upto).unwrap(),
            other => panic!("{other:?}"),
        })
        .unwrap();
    let mut id = opened.last_id;
    let mut said = 0;
    let mut out = std::io::stdout().lock();
    loop {
        for _ in 0..=id % 40 {
            id += 1;
            journal.put(id, bytes(id)).unwrap();
            put.lock().unwrap().push(id);
        }
        let upto = done.recv().unwrap() as usize;
        let stored: Vec<u64> = put.lock().unwrap()[said..upto].to_vec();
        said = upto;
        let lines: String = stored.iter().map(|id| format!("stored {id}\n")).collect();
        out.write_all(lines.as_bytes()).unwrap();
        for id in stored.iter().filter(|id| **id % 3 == 0) {
            writeln!(out, "deletes {id}").unwrap();
            journal.delete(*id);
        }
        out.flush().unwrap();
    }
}

fn survives(interval: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.log");
    let (mut stored, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "writer", "--nocapture", "--test-threads=1"]);
        command.env(WRITER, &path).stdout(Stdio::piped());
        if interval {
            command.env("SLUICE_JOURNAL_INTERVAL", "1");
        }
        let mut writer = command.spawn().unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        // At another moment each time: after so many of its lines, wherever it is by then.
        let mut left = 40 + round * 61 % 400;
        let mut is_killed = false;
        while let Some(Ok(line)) = lines.next() {
            if let Some((_, id)) = line.split_once("stored ") {
                stored.insert(id.parse::<u64>().unwrap());
            } else if let Some((_, id)) = line.split_once("deletes ") {
                deleted.insert(id.parse::<u64>().unwrap());
            }
            left = left.saturating_sub(1);
            if left == 0 && !is_killed {
                // SIGKILL; what it has said before is read to its end.
                writer.kill().unwrap();
                is_killed = true;
            }
        }
        writer.wait().unwrap();
        assert!(is_killed, "the writer ended by itself in round {round}");
        let opened = Journal::open(options(&path, Fsync::Always)).unwrap();
        let there: BTreeSet<u64> = opened.stored.iter().map(|stored| stored.id).collect();
        for it in &opened.stored {
            assert_eq!(it.bytes, bytes(it.id), "round {round}: {} is torn", it.id);
        }
        let lost: Vec<_> = stored
            .difference(&deleted)
            .filter(|id| !there.contains(id))
            .collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        assert!(opened.last_id >= *stored.last().unwrap());
    }
    assert!(stored.len() > 500 && deleted.len() > 100);
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    survives(false);
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_between_two_fsyncs() {
    survives(true);
}
