//! A process that uses a table is killed after each instruction of a call. What it leaves must be the row before the call or the
//! row after it, nobody may wait for it, and every row must still be to be had.
//!
//! The victim is stepped through the call by ptrace. Some sixty instructions of each call are tried, others in each run; with
//! `SLUICE_EVERY_INSTRUCTION=1` all of them.
#![cfg(all(target_os = "linux", not(loom)))]

use std::ops::ControlFlow;
use std::path::Path;

use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use sluice_shared::table::{
    ColumnKind, ColumnSpec, Evict, Mode, Table, TableError, TableSpec, Ttl,
};

const SIZE: u32 = 5;
const ALL: u64 = 0b111;
const SUM: u64 = 0x0101_0101_0101_0101;

fn spec(evict: Evict) -> TableSpec {
    let column = |name: &str, kind| ColumnSpec {
        name: name.to_owned(),
        kind,
    };
    TableSpec {
        size: SIZE,
        columns: vec![
            column("count", ColumnKind::Int),
            column("text", ColumnKind::Text { size: 40 }),
            column("double", ColumnKind::Int),
            column("sum", ColumnKind::Int),
        ],
        ttl: None,
        evict,
        max_key: 255,
    }
}

/// A row whose columns belong together: text and double follow from count. The sum is a thing of its own.
fn image(count: u64) -> Vec<u64> {
    let letter = u64::from(b'a') + count % 26;
    let letters = letter * 0x0101_0101_0101_0101;
    let mut image = vec![count, 40 | letters << 32];
    image.extend([letters; 4]);
    image.push(letters & 0xFFFF_FFFF);
    image.extend([count * 2, 0]);
    image
}

/// A key and its count.
type Row = (Vec<u8>, u64);

/// A call that is cut short.
struct Call {
    evict: Evict,
    prepare: fn(&Table),
    act: fn(&Table),
    /// Whether the rows, by key and count, are as before or after the call.
    may_be: fn(&[Row]) -> bool,
}

/// How a victim ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was killed after so many instructions.
    Killed,
    /// It was done after so many.
    Done(u64),
}

/// Runs `call` in a process of its own and kills it after so many instructions, if it is not done before.
fn kill_after(path: &Path, call: &Call, instructions: u64) -> End {
    // SAFETY: the child calls nothing but the table's own functions, ptrace and _exit; the C library makes its allocator usable
    // in a child of a process with threads.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let done = std::panic::catch_unwind(|| {
                let table = Table::attach(path).unwrap();
                ptrace::traceme().unwrap();
                raise(Signal::SIGSTOP).unwrap();
                (call.act)(&table);
            });
            // SAFETY: ends the process without running what belongs to its parent.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        ForkResult::Parent { child } => step(child, instructions),
    }
}

fn step(child: Pid, instructions: u64) -> End {
    assert_eq!(
        waitpid(child, None).unwrap(),
        WaitStatus::Stopped(child, Signal::SIGSTOP)
    );
    for done in 0..instructions {
        ptrace::step(child, None).unwrap();
        match waitpid(child, None).unwrap() {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            WaitStatus::Exited(_, 0) => return End::Done(done),
            other => panic!("the victim did not get through the call: {other:?}"),
        }
    }
    ptrace::kill(child).unwrap();
    assert_eq!(
        waitpid(child, None).unwrap(),
        WaitStatus::Signaled(child, Signal::SIGKILL, false)
    );
    End::Killed
}

fn rows(table: &Table) -> Vec<Row> {
    let mut rows = Vec::new();
    table
        .scan(0, b"", &mut |row| {
            let (sum, rest) = row.image.split_last().unwrap();
            assert_eq!(rest, &image(rest[0])[..rest.len()], "a torn row");
            assert!([0, SUM].contains(sum), "a torn sum");
            rows.push((row.key.to_vec(), row.image[0]));
            ControlFlow::Continue(())
        })
        .unwrap();
    rows.sort();
    rows
}

/// After how many instructions the victims of a call that takes `len` are killed.
fn moments(len: u64) -> Vec<u64> {
    if std::env::var_os("SLUICE_EVERY_INSTRUCTION").is_some() {
        return (0..len).collect();
    }
    let stride = len.div_ceil(60);
    let first = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |now| u64::from(now.subsec_nanos()))
        / 1000
        % stride;
    (first..len).step_by(stride as usize).collect()
}

fn survives(call: &Call) {
    let folder = tempfile::tempdir().unwrap();
    let (mut killed, mut recovered) = (0, 0);
    let fresh = |name: &str| {
        let path = folder.path().join(name);
        let table = Table::open(&path, "victim", &spec(call.evict))
            .unwrap()
            .table;
        (call.prepare)(&table);
        (path, table)
    };
    let End::Done(len) = kill_after(&fresh("whole").0, call, u64::MAX) else {
        unreachable!("it is never killed")
    };
    for instructions in moments(len) {
        let (path, table) = fresh("cut");
        // The way through a call differs by what the clock says; a short way is no failure.
        if kill_after(&path, call, instructions) != End::Killed {
            continue;
        }
        killed += 1;
        // Who wants a stripe mends it.
        for key in [b"a", b"b", b"c", b"d", b"e", b"f"] {
            table.contains(key).unwrap();
        }
        let rows = rows(&table);
        assert!(
            (call.may_be)(&rows),
            "after {instructions} instructions: {rows:?}"
        );
        for (key, count) in &rows {
            assert!(
                table
                    .set(key, Mode::Update, &image(*count), ALL, Ttl::Default)
                    .unwrap()
            );
        }
        let left: Vec<u32> = (0..SIZE - rows.len() as u32).collect();
        for number in &left {
            let made = table.set(
                format!("filler {number}").as_bytes(),
                Mode::Insert,
                &image(1),
                ALL,
                Ttl::Default,
            );
            assert!(
                made.unwrap(),
                "after {instructions} instructions a row is lost"
            );
        }
        if call.evict == Evict::None {
            assert!(matches!(
                table.add_int(b"one too many", 0, 1),
                Err(TableError::Full { .. })
            ));
        }
        assert_eq!(table.len(), SIZE, "after {instructions} instructions");
        recovered += table.stats().recovered;
        drop(table);
        std::fs::remove_file(path).unwrap();
    }
    assert!(killed > 10, "the victim was killed {killed} times only");
    assert!(recovered > 0, "it never held the lock");
}

fn rows_of(rows: &[Row], counts: &[(&str, u64)]) -> bool {
    rows.len() == counts.len()
        && rows
            .iter()
            .zip(counts)
            .all(|((key, count), (wanted, number))| key == wanted.as_bytes() && count == number)
}

fn set(table: &Table, key: &str, count: u64) {
    table
        .set(
            key.as_bytes(),
            Mode::Upsert,
            &image(count),
            ALL,
            Ttl::Default,
        )
        .unwrap();
}

fn three(table: &Table) {
    for (key, count) in [("a", 1), ("b", 2), ("c", 3)] {
        set(table, key, count);
    }
}

#[test]
fn in_the_middle_of_a_change() {
    let call = Call {
        evict: Evict::None,
        prepare: three,
        act: |table| set(table, "b", 9),
        may_be: |rows| {
            rows_of(rows, &[("a", 1), ("b", 2), ("c", 3)])
                || rows_of(rows, &[("a", 1), ("b", 9), ("c", 3)])
        },
    };
    survives(&call);
}

#[test]
fn in_the_middle_of_a_change_of_one_word() {
    let call = Call {
        evict: Evict::None,
        prepare: three,
        act: |table| assert_eq!(table.add_int(b"b", 3, SUM as i64).unwrap(), SUM as i64),
        may_be: |rows| rows_of(rows, &[("a", 1), ("b", 2), ("c", 3)]),
    };
    survives(&call);
}

#[test]
fn in_the_middle_of_making_a_row() {
    let call = Call {
        evict: Evict::None,
        prepare: three,
        act: |table| set(table, "d", 4),
        may_be: |rows| {
            rows_of(rows, &[("a", 1), ("b", 2), ("c", 3)])
                || rows_of(rows, &[("a", 1), ("b", 2), ("c", 3), ("d", 4)])
        },
    };
    survives(&call);
}

#[test]
fn in_the_middle_of_making_a_row_with_a_long_key() {
    const KEY: &str = "z-a-key-that-goes-on-for-much-longer-than-what-a-row-has-room-for-and-needs-memory-of-its-own";
    let call = Call {
        evict: Evict::None,
        prepare: three,
        act: |table| set(table, KEY, 4),
        may_be: |rows| {
            rows_of(rows, &[("a", 1), ("b", 2), ("c", 3)])
                || rows_of(rows, &[("a", 1), ("b", 2), ("c", 3), (KEY, 4)])
        },
    };
    survives(&call);
}

#[test]
fn in_the_middle_of_a_deletion() {
    let call = Call {
        evict: Evict::None,
        prepare: three,
        act: |table| assert!(table.delete(b"b").unwrap()),
        may_be: |rows| {
            rows_of(rows, &[("a", 1), ("b", 2), ("c", 3)]) || rows_of(rows, &[("a", 1), ("c", 3)])
        },
    };
    survives(&call);
}

#[test]
fn in_the_middle_of_making_room() {
    let call = Call {
        evict: Evict::Lru,
        prepare: |table| {
            three(table);
            set(table, "d", 4);
            set(table, "e", 5);
        },
        act: |table| set(table, "f", 6),
        may_be: |rows| {
            let after = [("b", 2), ("c", 3), ("d", 4), ("e", 5)];
            let (before, made) = (
                [&[("a", 1)][..], &after].concat(),
                [&after[..], &[("f", 6)]].concat(),
            );
            rows_of(rows, &before) || rows_of(rows, &after) || rows_of(rows, &made)
        },
    };
    survives(&call);
}

#[test]
fn in_the_middle_of_clearing() {
    let call = Call {
        evict: Evict::None,
        prepare: three,
        act: |table| table.clear().unwrap(),
        may_be: |rows| {
            rows.iter().all(|row| {
                [(b"a".to_vec(), 1), (b"b".to_vec(), 2), (b"c".to_vec(), 3)].contains(row)
            })
        },
    };
    survives(&call);
}
