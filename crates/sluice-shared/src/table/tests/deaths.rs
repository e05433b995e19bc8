//! What processes leave that die, and what they leave alone that live.

use std::path::Path;

use super::super::sight::Sight;
use super::*;

/// A process that dies while it holds a stripe, after `deed`.
fn dies(path: &Path, key: &[u8], deed: impl FnOnce(&Table, &recover::Guard<'_>, Key<'_>)) {
    let table = Table::attach(path).unwrap();
    let wanted = table.key(key).unwrap();
    let guard = table.lock(table.stripe_of(&wanted)).unwrap();
    deed(&table, &guard, wanted);
    std::mem::forget(guard);
}

#[test]
fn a_lock_of_the_dead_is_taken_over_and_a_half_written_row_is_undone() {
    let folder = folder();
    let path = folder.path().join("users.table");
    let table = Table::open(&path, "users", &spec(10)).unwrap().table;
    let row = image(&table, 1, 2.0, b"whole", true);
    table
        .set(b"a", Mode::Upsert, &row, ALL, Ttl::Default)
        .unwrap();
    dies(&path, b"a", |table, guard, key| {
        let found = table.find(&key).unwrap();
        let row = table.lock_row(guard, found.row).unwrap();
        table.save(guard.stripe, found.row);
        row.hand_over();
        table.data(found.row)[0].store(99, Ordering::Relaxed);
        table.data(found.row)[2].store(u64::MAX, Ordering::Relaxed);
    });
    let mut now = vec![0; table.row_words()];
    assert!(table.get(b"a", &mut now).unwrap(), "a reader mends it");
    assert_eq!(now, row);
    assert_eq!(table.stats().recovered, 1);
    dies(&path, b"a", |_, _, _| {});
    assert_eq!(
        table.add_int(b"a", ID, 1).unwrap(),
        2,
        "one word needs no stripe"
    );
    assert!(table.delete(b"a").unwrap());
    assert_eq!(table.stats().recovered, 2);
    check(&table);
}

/// A process that dies while it holds a row and nothing else.
fn dies_with_a_row(path: &Path, key: &[u8]) {
    let table = Table::attach(path).unwrap();
    let wanted = table.key(key).unwrap();
    let Sight::Row(number, seen) = table.sight(&wanted) else {
        panic!("there is such a row")
    };
    assert!(table.row_word(number).try_lock(seen, table.slot));
    table.data(number)[ID].store(5, Ordering::Relaxed);
}

#[test]
fn a_row_that_the_dead_held_is_let_go() {
    let folder = folder();
    let path = folder.path().join("users.table");
    let table = Table::open(&path, "users", &spec(10)).unwrap().table;
    table.add_int(b"a", ID, 1).unwrap();
    let wants: [fn(&Table); 5] = [
        |table| assert_eq!(table.get_word(b"a", ID).unwrap(), Some(5)),
        |table| assert_eq!(table.add_int(b"a", ID, 1).unwrap(), 6),
        |table| assert!(table.compare_delete(b"a", &[0; 9], 1 << SCORE).unwrap()),
        |table| assert_eq!(keys(table), [b"a"]),
        |table| table.clear().unwrap(),
    ];
    for (index, want) in wants.iter().enumerate() {
        table.add_int(b"a", ID, 1).unwrap();
        dies_with_a_row(&path, b"a");
        want(&table);
        assert_eq!(table.stats().recovered, index as u64 + 1);
        check(&table);
    }
    table.add_int(b"a", ID, 1).unwrap();
    dies_with_a_row(&path, b"a");
    let successor = Table::attach(&path).unwrap();
    assert_eq!(successor.stats().recovered, 1);
    assert_eq!(successor.get_word(b"a", ID).unwrap(), Some(5));
    check(&table);
}

#[test]
fn a_row_of_the_living_is_not_taken() {
    let table = table(10);
    table.add_int(b"a", ID, 1).unwrap();
    let key = table.key(b"a").unwrap();
    let guard = table.lock(table.stripe_of(&key)).unwrap();
    let row = table
        .lock_row(&guard, table.find(&key).unwrap().row)
        .unwrap();
    drop(guard);
    let is_busy = |error| matches!(error, TableError::Busy { .. });
    assert!(is_busy(table.contains(b"a").unwrap_err()));
    assert!(is_busy(table.add_int(b"a", ID, 1).unwrap_err()));
    assert!(is_busy(table.delete(b"a").unwrap_err()));
    drop(row);
    assert_eq!(table.add_int(b"a", ID, 1).unwrap(), 2);
    check(&table);
}

#[test]
fn a_row_that_the_dead_had_taken_is_free_again() {
    let folder = folder();
    let path = folder.path().join("users.table");
    let table = Table::open(&path, "users", &spec(3)).unwrap().table;
    dies(&path, b"a", |table, guard, key| {
        let number = table
            .take_row(guard.stripe, 1, None, |number| {
                guard.words().intend(Intent::Owning(number))
            })
            .unwrap();
        assert!(!table.row_word(number).look().is_free());
        let _ = key;
    });
    assert!(!table.contains(b"a").unwrap());
    // In the bitmap it was taken, its owner did not come to be.
    table.words()[table.geometry.free_start].fetch_and(!0b100, Ordering::Relaxed);
    for number in 0..3_u8 {
        table.add_int(&[number], ID, 1).unwrap();
    }
    assert!(matches!(
        table.add_int(b"more", ID, 1),
        Err(TableError::Full { .. })
    ));
    dies(&path, &[1], |table, guard, key| {
        // Unlinked, not yet free.
        let found = table.find(&key).unwrap();
        let row = table.lock_row(guard, found.row).unwrap();
        guard.words().intend(Intent::Owning(found.row));
        row.hand_over();
        let next = table.halves()[table.geometry.link(found.row)].load(Ordering::Relaxed);
        table.halves()[found.at].store(next, Ordering::Relaxed);
    });
    assert!(!table.contains(&[1]).unwrap());
    table.add_int(b"more", ID, 1).unwrap();
    check(&table);
}

#[test]
fn who_gets_the_slot_of_the_dead_does_not_get_its_locks() {
    let folder = folder();
    let path = folder.path().join("users.table");
    let table = Table::open(&path, "users", &spec(10)).unwrap().table;
    dies(&path, b"a", |table, guard, key| {
        let number = table
            .take_row(guard.stripe, 1, None, |number| {
                guard.words().intend(Intent::Owning(number))
            })
            .unwrap();
        table.fill(number, &key, 0).unwrap();
    });
    let successor = Table::attach(&path).unwrap();
    assert_eq!(successor.add_int(b"a", ID, 1).unwrap(), 1);
    assert_eq!(
        (successor.stats().recovered, table.stats().recovered),
        (1, 0)
    );
    check(&table);
}

#[test]
fn a_lock_of_the_living_is_not_taken() {
    let folder = folder();
    let path = folder.path().join("users.table");
    let table = Table::open(&path, "users", &spec(10)).unwrap().table;
    let other = Table::attach(&path).unwrap();
    let key = other.key(b"a").unwrap();
    let guard = other.lock(other.stripe_of(&key)).unwrap();
    let pid = std::process::id();
    assert!(matches!(table.contains(b"a"), Err(TableError::Busy { pid: holder }) if holder == pid));
    assert!(matches!(
        table.add_int(b"a", ID, 1),
        Err(TableError::Busy { .. })
    ));
    drop(guard);
    assert_eq!(table.add_int(b"a", ID, 1).unwrap(), 1);
}
