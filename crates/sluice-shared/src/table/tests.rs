//! The table against simple models, and after deaths.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use super::stripe::Intent;
use super::*;

const ID: usize = 0;
const SCORE: usize = 1;
const NAME: usize = 2;
const OK: usize = 3;

fn spec(size: u32) -> TableSpec {
    let column = |name: &str, kind| ColumnSpec {
        name: name.to_owned(),
        kind,
    };
    TableSpec {
        size,
        columns: vec![
            column("id", ColumnKind::Int),
            column("score", ColumnKind::Float),
            column("name", ColumnKind::Text { size: 20 }),
            column("ok", ColumnKind::Bool),
        ],
        ttl: None,
        evict: Evict::None,
        max_key: 255,
    }
}

fn table(size: u32) -> Table {
    Table::private("test", &spec(size)).unwrap()
}

/// An image with every column set.
fn image(table: &Table, id: i64, score: f64, name: &[u8], ok: bool) -> Vec<u64> {
    let mut image = vec![0; table.row_words()];
    image[0] = id as u64;
    image[1] = score.to_bits();
    let mut bytes = (name.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(name);
    for (word, chunk) in image[2..].iter_mut().zip(bytes.chunks(8)) {
        *word = key::word_of(chunk);
    }
    image[5] = ok.into();
    image
}

const ALL: u64 = 0b1111;

fn name_of(table: &Table, key: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    table.get_bytes(key, NAME, &mut out).unwrap().then_some(out)
}

fn keys(table: &Table) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    table
        .scan(0, b"", &mut |row| {
            keys.push(row.key.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    keys.sort();
    keys
}

/// What must hold whenever nobody writes.
fn check(table: &Table) {
    let linked: Vec<u32> = (0..table.geometry.stripes)
        .flat_map(|stripe| table.rows_of(stripe).collect::<Vec<_>>())
        .collect();
    assert_eq!(linked.len() as u32, table.len());
    for stripe in 0..table.geometry.stripes {
        assert_eq!(table.stripe(stripe).intent(), Intent::None);
        assert_eq!(table.stripe(stripe).lock().owner(), 0);
        for row in table.rows_of(stripe) {
            assert_eq!(
                stripe_of_owner(table.row(row)[row::OWNER].load(Ordering::Relaxed)),
                Some(stripe)
            );
        }
    }
    let owned = (0..table.capacity())
        .filter(|row| table.row(*row)[row::OWNER].load(Ordering::Relaxed) != 0)
        .count();
    assert_eq!(
        owned,
        linked.len(),
        "a row has an owner if and only if it is linked"
    );
}

#[test]
fn a_row_keeps_what_is_not_written() {
    let table = table(8);
    assert!(
        table
            .set(
                b"a",
                Mode::Upsert,
                &image(&table, 7, 1.5, "héllo".as_bytes(), true),
                ALL,
                Ttl::Default
            )
            .unwrap()
    );
    assert!(
        table
            .set(
                b"a",
                Mode::Upsert,
                &image(&table, -9, 0.0, b"", false),
                1 << ID,
                Ttl::Default
            )
            .unwrap()
    );
    assert_eq!(table.get_word(b"a", ID).unwrap(), Some(-9_i64 as u64));
    assert_eq!(
        table.get_word(b"a", SCORE).unwrap(),
        Some(1.5_f64.to_bits())
    );
    assert_eq!(name_of(&table, b"a").unwrap(), "héllo".as_bytes());
    assert_eq!(table.get_word(b"a", OK).unwrap(), Some(1));
    let mut whole = vec![9; table.row_words()];
    assert!(table.get(b"a", &mut whole).unwrap());
    assert_eq!(whole, image(&table, -9, 1.5, "héllo".as_bytes(), true));
    assert!(!table.get(b"b", &mut whole).unwrap());
}

#[test]
fn modes_apply_to_the_rows_they_name() {
    let table = table(8);
    assert!(
        !table
            .set_word(b"a", Mode::Update, ID, 1, Ttl::Default)
            .unwrap()
    );
    assert!(
        table
            .set_word(b"a", Mode::Insert, ID, 2, Ttl::Default)
            .unwrap()
    );
    assert!(
        !table
            .set_word(b"a", Mode::Insert, ID, 3, Ttl::Default)
            .unwrap()
    );
    assert!(
        table
            .set_bytes(b"a", Mode::Update, NAME, b"n", Ttl::Default)
            .unwrap()
    );
    assert_eq!(
        (
            table.get_word(b"a", ID).unwrap(),
            name_of(&table, b"a").unwrap()
        ),
        (Some(2), b"n".to_vec())
    );
    assert!(table.delete(b"a").unwrap());
    assert!(!table.delete(b"a").unwrap());
    assert_eq!(
        table.stats(),
        TableStats {
            inserts: 1,
            updates: 1,
            deletes: 1,
            free: 8,
            ..TableStats::default()
        }
    );
}

#[test]
fn a_row_that_is_made_again_is_empty() {
    let table = table(1);
    table
        .set(
            b"a",
            Mode::Upsert,
            &image(&table, 1, 2.0, b"left", true),
            ALL,
            Ttl::After(5),
        )
        .unwrap();
    table.delete(b"a").unwrap();
    table
        .set_word(b"b", Mode::Upsert, ID, 3, Ttl::Default)
        .unwrap();
    let mut whole = vec![9; table.row_words()];
    assert!(table.get(b"b", &mut whole).unwrap());
    assert_eq!(whole, image(&table, 3, 0.0, b"", false));
    assert_eq!(table.get_word(b"a", ID).unwrap(), None);
}

#[test]
fn sums_wrap_or_are_refused() {
    let table = table(4);
    assert_eq!(table.add_int(b"a", ID, i64::MAX).unwrap(), i64::MAX);
    assert_eq!(table.add_int(b"a", ID, 1).unwrap(), i64::MIN);
    let safe = (1 << 53) - 1;
    assert_eq!(table.add_safe(b"b", ID, safe).unwrap(), safe);
    assert!(matches!(
        table.add_safe(b"b", ID, 1),
        Err(TableError::UnsafeInteger)
    ));
    assert_eq!(table.add_safe(b"b", ID, -2 * safe).unwrap(), -safe);
    assert!(matches!(
        table.add_safe(b"c", ID, safe + 1),
        Err(TableError::UnsafeInteger)
    ));
    assert!(
        !table.contains(b"c").unwrap(),
        "what is refused leaves no row"
    );
    assert_eq!(table.add_float(b"d", SCORE, 0.5).unwrap(), 0.5);
    assert!(matches!(
        table.add_int(b"d", SCORE, 1),
        Err(TableError::Column { column: SCORE })
    ));
    assert!(matches!(
        table.add_float(b"d", 9, 1.0),
        Err(TableError::Column { column: 9 })
    ));
    check(&table);
}

#[test]
fn comparing_and_acting_are_one_step() {
    let table = table(4);
    let row = image(&table, 1, f64::NAN, b"name", true);
    table
        .set(b"a", Mode::Upsert, &row, ALL, Ttl::Default)
        .unwrap();
    for (expected, mask, equal) in [
        (image(&table, 1, f64::NAN, b"name", true), ALL, true),
        (image(&table, 2, f64::NAN, b"name", true), 1 << ID, false),
        (image(&table, 1, 0.0, b"name", true), 1 << SCORE, false),
        (image(&table, 1, 0.0, b"nam", true), 1 << NAME, false),
        (image(&table, 1, 0.0, b"namf", true), 1 << NAME, false),
        (image(&table, 1, 0.0, b"name", false), 1 << OK, false),
        (image(&table, 9, 9.0, b"name", false), 1 << NAME, true),
    ] {
        assert_eq!(
            table.compare_set(b"a", &expected, mask, &row, ALL).unwrap(),
            equal,
            "{expected:?} {mask}"
        );
    }
    table
        .set_word(
            b"a",
            Mode::Update,
            SCORE,
            (-0.0_f64).to_bits(),
            Ttl::Default,
        )
        .unwrap();
    assert!(
        table
            .compare_set(
                b"a",
                &image(&table, 0, 0.0, b"", false),
                1 << SCORE,
                &row,
                0
            )
            .unwrap(),
        "-0 equals 0"
    );
    assert!(
        !table
            .compare_delete(b"a", &image(&table, 2, 0.0, b"", false), 1)
            .unwrap()
    );
    assert!(table.compare_delete(b"a", &row, 1).unwrap());
    assert!(!table.compare_delete(b"a", &row, 1).unwrap());
    assert!(
        !table.compare_set(b"a", &row, 0, &row, ALL).unwrap(),
        "only rows that are there"
    );
    table
        .set(b"a", Mode::Upsert, &row, ALL, Ttl::Default)
        .unwrap();
    let mut taken = vec![0; table.row_words()];
    assert!(table.take(b"a", &mut taken).unwrap());
    assert_eq!(taken[2..], row[2..]);
    assert!(!table.take(b"a", &mut taken).unwrap());
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let table = table(4);
    assert!(matches!(
        table.contains(b""),
        Err(TableError::KeyLength { len: 0, max: 255 })
    ));
    assert!(matches!(
        table.add_int(&[1; 256], ID, 1),
        Err(TableError::KeyLength { len: 256, .. })
    ));
    assert!(matches!(
        table.set_bytes(b"a", Mode::Upsert, NAME, &[1; 21], Ttl::Default),
        Err(TableError::TooLong {
            column: NAME,
            size: 20,
            len: 21
        })
    ));
    let mut long = image(&table, 1, 1.0, b"", true);
    long[2] = 21;
    assert!(matches!(
        table.set(b"a", Mode::Upsert, &long, ALL, Ttl::Default),
        Err(TableError::TooLong { .. })
    ));
    assert!(matches!(
        table.set(b"a", Mode::Upsert, &long, 1 << 4, Ttl::Default),
        Err(TableError::Column { column: 4 })
    ));
    assert!(matches!(
        table.set_word(b"a", Mode::Upsert, NAME, 1, Ttl::Default),
        Err(TableError::Column { column: NAME })
    ));
    assert!(matches!(
        table.get_word(b"a", NAME),
        Err(TableError::Column { column: NAME })
    ));
    assert!(matches!(
        table.get_bytes(b"a", ID, &mut Vec::new()),
        Err(TableError::Column { column: ID })
    ));
    assert_eq!(table.len(), 0);
    check(&table);
}

#[test]
fn every_row_of_the_size_can_be_had_and_no_more() {
    for size in [1, 2, 63, 64, 65, 1000] {
        let table = table(size);
        for number in 0..size {
            table
                .add_int(format!("key {number}").as_bytes(), ID, number.into())
                .unwrap();
        }
        assert!(
            matches!(table.add_int(b"one more", ID, 1), Err(TableError::Full { size: full }) if full == size)
        );
        assert_eq!((table.len(), table.stats().free), (size, 0));
        assert!(table.delete(b"key 0").unwrap());
        table.add_int(b"one more", ID, 1).unwrap();
        check(&table);
    }
}

#[test]
fn keys_of_every_length_and_content_are_told_apart() {
    let table = table(2000);
    let keys: Vec<Vec<u8>> = (1..=255)
        .flat_map(|len| [vec![0; len], vec![0xFF; len], (0..len as u8).collect()])
        .collect();
    let unique: std::collections::BTreeSet<_> = keys.iter().cloned().collect();
    for (number, key) in unique.iter().enumerate() {
        table
            .set_word(key, Mode::Insert, ID, number as u64, Ttl::Default)
            .unwrap();
    }
    for (number, key) in unique.iter().enumerate() {
        assert_eq!(table.get_word(key, ID).unwrap(), Some(number as u64));
    }
    assert_eq!(
        super::tests::keys(&table),
        unique.into_iter().collect::<Vec<_>>()
    );
    check(&table);
}

#[test]
fn rows_end_when_their_time_is_over() {
    let mut described = spec(4);
    described.ttl = Some(100);
    let table = Table::private("test", &described).unwrap();
    assert_eq!(table.next_expiry(), None);
    table
        .set_word(b"default", Mode::Upsert, ID, 1, Ttl::Default)
        .unwrap();
    table
        .set_word(b"long", Mode::Upsert, ID, 2, Ttl::After(1000))
        .unwrap();
    table
        .set_word(b"never", Mode::Upsert, ID, 3, Ttl::Never)
        .unwrap();
    assert!(table.next_expiry().is_some_and(|ms| ms <= 100));
    table.clock.go_on(60);
    table.add_int(b"default", ID, 1).unwrap();
    table.clock.go_on(60);
    assert_eq!(
        table.get_word(b"default", ID).unwrap(),
        None,
        "a sum does not make a row live longer"
    );
    assert_eq!(keys(&table), [b"long".to_vec(), b"never".to_vec()]);
    assert!(!table.delete(b"default").unwrap());
    assert_eq!(table.stats().expired, 1);
    table
        .set_word(b"long", Mode::Update, ID, 2, Ttl::Default)
        .unwrap();
    table.clock.go_on(120);
    assert_eq!(table.sweep(), 1);
    assert_eq!((table.len(), table.next_expiry()), (1, None));
    assert_eq!(table.get_word(b"never", ID).unwrap(), Some(3));
    check(&table);
}

#[test]
fn rows_whose_time_is_over_make_room() {
    let table = table(64);
    for number in 0..64_u32 {
        table
            .set_word(&number.to_le_bytes(), Mode::Upsert, ID, 0, Ttl::After(10))
            .unwrap();
    }
    assert!(matches!(
        table.add_int(b"more", ID, 1),
        Err(TableError::Full { .. })
    ));
    table.clock.go_on(11);
    table.add_int(b"more", ID, 1).unwrap();
    assert_eq!((table.len(), table.stats().expired), (1, 64));
}

#[test]
fn the_row_that_was_not_used_for_longest_makes_room() {
    let mut described = spec(16);
    described.evict = Evict::Lru;
    let table = Table::private("test", &described).unwrap();
    for number in 0..16_u8 {
        table.add_int(&[number], ID, 1).unwrap();
    }
    table.get_word(&[0], ID).unwrap();
    table
        .set_word(&[1], Mode::Update, ID, 1, Ttl::Default)
        .unwrap();
    for number in 16..30_u8 {
        table.add_int(&[number], ID, 1).unwrap();
        assert!(!table.contains(&[number - 14]).unwrap_or(true));
    }
    assert!(table.contains(&[0]).unwrap() && table.contains(&[1]).unwrap());
    assert_eq!(table.stats().evicted, 14);
    table.delete(&[0]).unwrap();
    table.add_int(b"in the free row", ID, 1).unwrap();
    assert_eq!(table.stats().evicted, 14);
    check(&table);
}

#[test]
fn a_large_table_that_evicts_never_refuses() {
    let mut described = spec(1000);
    described.evict = Evict::Lru;
    let table = Table::private("test", &described).unwrap();
    for number in 0..20_000_u32 {
        table.add_int(&number.to_le_bytes(), ID, 1).unwrap();
        table.get_word(b"\0\0\0\0", ID).unwrap();
    }
    assert_eq!(table.len(), 1000);
    assert!(table.contains(b"\0\0\0\0").unwrap(), "what is used stays");
    check(&table);
}

#[test]
fn tokens_come_back_at_their_rate() {
    let table = table(4);
    let rate = |cost| TokenRate {
        interval_ns: 100,
        burst: 3,
        cost,
    };
    let take = |cost, now| table.take_tokens(b"user", ID, &rate(cost), now).unwrap();
    let taken = |remaining| Taken {
        ok: true,
        remaining,
        retry_after_ns: 0,
    };
    assert_eq!([take(1, 1000), take(2, 1000)], [taken(2), taken(0)]);
    assert_eq!(
        take(1, 1010),
        Taken {
            ok: false,
            remaining: 0,
            retry_after_ns: 90
        }
    );
    assert_eq!(take(1, 1100), taken(0));
    assert_eq!(take(0, 1250), taken(1));
    assert_eq!(
        take(4, 1250),
        Taken {
            ok: false,
            remaining: 1,
            retry_after_ns: u64::MAX
        }
    );
    assert_eq!(take(3, 10_000), taken(0), "never more than the burst");
    assert_eq!(
        take(1, 5_000),
        Taken {
            ok: false,
            remaining: 0,
            retry_after_ns: 100
        },
        "a clock that went back"
    );
}

#[test]
fn a_scan_goes_on_where_it_broke_off() {
    let table = table(100);
    for number in 0..100_u32 {
        table
            .add_int(
                format!("{}:{number}", if number % 2 == 0 { "even" } else { "odd" }).as_bytes(),
                ID,
                1,
            )
            .unwrap();
    }
    let (mut from, mut seen) = (0, Vec::new());
    while from < table.capacity() {
        let mut left = 7;
        from = table
            .scan(from, b"even:", &mut |row| {
                if left == 0 {
                    return ControlFlow::Break(());
                }
                left -= 1;
                seen.push(row.key.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    seen.sort();
    let mut wanted: Vec<Vec<u8>> = (0..100)
        .step_by(2)
        .map(|number| format!("even:{number}").into_bytes())
        .collect();
    wanted.sort();
    assert_eq!(seen, wanted);
}

#[test]
fn threads_lose_no_sum_and_read_no_torn_row() {
    let table = Arc::new(table(8));
    let threads: Vec<_> = (0..4)
        .map(|seed: u64| {
            let table = table.clone();
            thread::spawn(move || {
                let mut row = vec![0; table.row_words()];
                for round in 0..5_000_u64 {
                    table.add_int(b"sum", ID, 1).unwrap();
                    let value = seed << 32 | round;
                    let name = [value as u8; 20];
                    table
                        .set(
                            b"row",
                            Mode::Upsert,
                            &image(&table, value as i64, value as f64, &name, value % 2 == 1),
                            ALL,
                            Ttl::Default,
                        )
                        .unwrap();
                    if round % 100 == seed {
                        table.delete(b"row").unwrap();
                    }
                    if table.get(b"row", &mut row).unwrap() {
                        let id = row[0];
                        assert_eq!(
                            row,
                            image(&table, id as i64, id as f64, &[id as u8; 20], id % 2 == 1)
                        );
                    }
                    table
                        .scan(0, b"r", &mut |row| {
                            assert_eq!(row.image[1], (row.image[0] as f64).to_bits());
                            ControlFlow::Continue(())
                        })
                        .unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(table.get_word(b"sum", ID).unwrap(), Some(20_000));
    check(&table);
}

#[test]
fn threads_that_make_and_delete_rows_find_room_for_all() {
    let table = Arc::new(table(40));
    let threads: Vec<_> = (0..4_u8)
        .map(|seed| {
            let table = table.clone();
            thread::spawn(move || {
                for round in 0..3_000_u32 {
                    let key = [seed, (round % 10) as u8];
                    assert!(
                        table
                            .set_word(&key, Mode::Insert, ID, round.into(), Ttl::Default)
                            .unwrap(),
                        "all forty fit at once"
                    );
                    if round % 10 == 9 {
                        for number in 0..10 {
                            assert!(table.delete(&[seed, number]).unwrap());
                        }
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    check(&table);
}

mod files {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn two_openings_are_one_table() {
        let folder = folder();
        let path = folder.path().join("users.table");
        let first = Table::open(&path, "users", &spec(10)).unwrap();
        assert!(first.created);
        let second = Table::open(&path, "users", &spec(10)).unwrap();
        assert!(!second.created);
        let third = Table::attach(&path).unwrap();
        first.table.add_int(b"a", ID, 1).unwrap();
        second.table.add_int(b"a", ID, 1).unwrap();
        assert_eq!(third.add_int(b"a", ID, 1).unwrap(), 3);
        assert_eq!((third.name(), third.spec()), ("users", &spec(10)));
        let Err(TableError::Mismatch { difference }) = Table::open(&path, "users", &spec(11))
        else {
            panic!("another size")
        };
        assert_eq!(difference, "`size` is 10, not 11");
        assert_eq!(
            std::fs::metadata(&path)
                .map(|meta| std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777)
                .unwrap(),
            0o600
        );
    }

    #[test]
    fn a_file_that_nobody_uses_is_replaced_and_its_rows_handed_out() {
        let folder = folder();
        let path = folder.path().join("users.table");
        drop(
            Table::open(&path, "users", &spec(10))
                .unwrap()
                .table
                .add_int(b"a", ID, 5),
        );
        let Opened {
            table,
            previous,
            created,
        } = Table::open(&path, "users", &spec(20)).unwrap();
        assert!(created);
        assert_eq!(table.len(), 0);
        assert_eq!(previous.unwrap().get_word(b"a", ID).unwrap(), Some(5));
    }

    #[test]
    fn what_is_no_table_is_refused_and_stays() {
        let folder = folder();
        let path = folder.path().join("users.table");
        std::fs::write(&path, [7; 9000]).unwrap();
        assert!(matches!(
            Table::open(&path, "users", &spec(10)),
            Err(TableError::File {
                fault: FileFault::Foreign,
                ..
            })
        ));
        assert!(matches!(
            Table::attach(&path),
            Err(TableError::File {
                fault: FileFault::Foreign,
                ..
            })
        ));
        assert_eq!(std::fs::read(&path).unwrap(), [7; 9000]);
        assert!(matches!(
            Table::attach(folder.path()),
            Err(TableError::System { .. })
        ));
        assert!(matches!(
            Table::attach(&folder.path().join("none")),
            Err(TableError::System { .. })
        ));
    }

    #[test]
    fn a_file_cut_anywhere_or_with_another_header_is_refused() {
        let folder = folder();
        let path = folder.path().join("users.table");
        let kept = Table::open(&path, "users", &spec(10)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        drop(kept);
        for len in (0..whole.len()).step_by(509).chain([whole.len() - 1]) {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(Table::attach(&path).is_err(), "cut to {len} bytes");
        }
        let described = header::SPEC * 8 + 120;
        for byte in (0..16)
            .chain(header::SPEC_BYTES * 8..header::SPEC_BYTES * 8 + 16)
            .chain(header::SPEC * 8..described)
        {
            let mut bent = whole.clone();
            bent[byte] ^= 0x11;
            std::fs::write(&path, &bent).unwrap();
            let attached = Table::attach(&path);
            // The upper half of the version's word is for other readers.
            assert!(attached.is_err() || (12..16).contains(&byte), "byte {byte}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(Table::attach(&path).is_ok());
    }

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
            let found = table.find(&key, &|| true).unwrap();
            table.save(guard.stripe, found.row);
            table.data(found.row)[0].store(99, Ordering::Relaxed);
            table.data(found.row)[2].store(u64::MAX, Ordering::Relaxed);
        });
        let mut now = vec![0; table.row_words()];
        assert!(table.get(b"a", &mut now).unwrap(), "a reader mends it");
        assert_eq!(now, row);
        assert_eq!(table.stats().recovered, 1);
        dies(&path, b"a", |_, _, _| {});
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
            assert!(table.row(number)[row::OWNER].load(Ordering::Relaxed) != 0);
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
            let found = table.find(&key, &|| true).unwrap();
            guard.words().intend(Intent::Owning(found.row));
            let next = table.row(found.row)[row::LINK].load(Ordering::Relaxed);
            table.words()[found.at].store(next, Ordering::Relaxed);
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
        assert!(
            matches!(table.contains(b"a"), Err(TableError::Busy { pid: holder }) if holder == pid)
        );
        assert!(matches!(
            table.add_int(b"a", ID, 1),
            Err(TableError::Busy { .. })
        ));
        drop(guard);
        assert_eq!(table.add_int(b"a", ID, 1).unwrap(), 1);
    }
}

#[derive(Clone, Debug)]
enum Act {
    Set(u8, u8, i64, Vec<u8>),
    Add(u8, i64),
    Delete(u8),
    Compare(u8, i64, i64),
    Take(u8),
    Wait(u16),
    SetFor(u8, u16, i64),
    Clear,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let key = 0..24_u8;
    let act = prop_oneof![
        4 => (key.clone(), 0..3_u8, 0..4_i64, prop::collection::vec(any::<u8>(), 0..=20)).prop_map(|(key, mode, id, name)| Act::Set(key, mode, id, name)),
        4 => (key.clone(), 0..4_i64).prop_map(|(key, by)| Act::Add(key, by)),
        3 => key.clone().prop_map(Act::Delete),
        2 => (key.clone(), 0..4_i64, 0..4_i64).prop_map(|(key, expected, id)| Act::Compare(key, expected, id)),
        1 => key.clone().prop_map(Act::Take),
        1 => (0..50_u16).prop_map(Act::Wait),
        2 => (key, 1..60_u16, 0..4_i64).prop_map(|(key, ms, id)| Act::SetFor(key, ms, id)),
        1 => Just(Act::Clear),
    ];
    prop::collection::vec(act, 1..120)
}

/// A row of the model: id, name, and when it ends.
type ModelRow = (i64, Vec<u8>, Option<u64>);

proptest! {
    #[test]
    fn it_does_what_a_map_does(acts in acts(), size in 1..20_u32) {
        let table = table(size);
        let (mut model, mut now) = (HashMap::<Vec<u8>, ModelRow>::new(), 0_u64);
        // The real clock goes on, too: a test takes far less than this.
        let slack = 100_000;
        for act in acts {
            model.retain(|_, (_, _, end)| end.is_none_or(|end| end > now));
            // Keys of three lengths: in one word, in the row, and beyond it.
            let bytes = |key: u8| vec![key; [1, 20, 100][usize::from(key % 3)]];
            let is_full = model.len() as u32 == size;
            match act {
                Act::Set(key, mode, id, name) => {
                    let key = bytes(key);
                    let mode = [Mode::Upsert, Mode::Insert, Mode::Update][usize::from(mode)];
                    let there = model.contains_key(&key);
                    let applies = match mode { Mode::Upsert => true, Mode::Insert => !there, Mode::Update => there };
                    let row = image(&table, id, 0.0, &name, false);
                    let done = table.set(&key, mode, &row, 1 << ID | 1 << NAME, Ttl::Default);
                    if applies && !there && is_full {
                        let refused = matches!(done, Err(TableError::Full { .. }));
                        prop_assert!(refused);
                    } else {
                        prop_assert_eq!(done.unwrap(), applies);
                        if applies {
                            let end = model.get(&key).and_then(|row| row.2);
                            model.insert(key, (id, name, end));
                        }
                    }
                }
                Act::SetFor(key, ms, id) => {
                    let key = bytes(key);
                    let ms = u64::from(ms) * slack;
                    let done = table.set_word(&key, Mode::Upsert, ID, id as u64, Ttl::After(ms));
                    if !model.contains_key(&key) && is_full {
                        prop_assert!(done.is_err());
                    } else {
                        prop_assert!(done.unwrap());
                        let row = model.entry(key).or_default();
                        (row.0, row.2) = (id, Some(now + ms));
                    }
                }
                Act::Add(key, by) => {
                    let key = bytes(key);
                    let done = table.add_int(&key, ID, by);
                    if !model.contains_key(&key) && is_full {
                        prop_assert!(done.is_err());
                    } else {
                        let row = model.entry(key).or_default();
                        row.0 += by;
                        prop_assert_eq!(done.unwrap(), row.0);
                    }
                }
                Act::Delete(key) => prop_assert_eq!(table.delete(&bytes(key)).unwrap(), model.remove(&bytes(key)).is_some()),
                Act::Compare(key, expected, id) => {
                    let row = |id| image(&table, id, 0.0, b"", false);
                    let equal = model.get(&bytes(key)).is_some_and(|row| row.0 == expected);
                    prop_assert_eq!(table.compare_set(&bytes(key), &row(expected), 1, &row(id), 1).unwrap(), equal);
                    if equal {
                        model.get_mut(&bytes(key)).unwrap().0 = id;
                    }
                }
                Act::Take(key) => {
                    let mut row = vec![0; table.row_words()];
                    let taken = table.take(&bytes(key), &mut row).unwrap();
                    prop_assert_eq!(taken.then_some(row[0] as i64), model.remove(&bytes(key)).map(|row| row.0));
                }
                Act::Wait(ms) => {
                    now += u64::from(ms) * slack + slack / 2;
                    table.clock.go_on(u64::from(ms) * slack + slack / 2);
                }
                Act::Clear => {
                    table.clear().unwrap();
                    model.clear();
                }
            }
        }
        model.retain(|_, (_, _, end)| end.is_none_or(|end| end > now));
        let mut rows = BTreeMap::new();
        table.scan(0, b"", &mut |row| {
            rows.insert(row.key.to_vec(), row.image[0] as i64);
            ControlFlow::Continue(())
        }).unwrap();
        prop_assert_eq!(rows, model.iter().map(|(key, row)| (key.clone(), row.0)).collect::<BTreeMap<_, _>>());
        for (key, (_, name, _)) in &model {
            prop_assert_eq!(name_of(&table, key), Some(name.clone()));
        }
        table.sweep();
        prop_assert_eq!(table.len() as usize, model.len());
        check(&table);
    }
}
