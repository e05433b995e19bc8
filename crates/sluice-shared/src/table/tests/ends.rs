//! Rows that go by themselves.

use super::*;

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
