//! The table against a model of it.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

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
