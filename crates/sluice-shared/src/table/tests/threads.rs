//! Threads that use one table at once.

use std::sync::Arc;
use std::thread;

use super::*;

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
