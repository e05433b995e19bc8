//! What each call does to a row, and what it refuses.

use super::*;

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
