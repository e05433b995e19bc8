//! The table against simple models, and after deaths.

use std::ops::ControlFlow;

mod calls;
mod deaths;
mod ends;
mod files;
mod model;
mod scans;
mod threads;

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
            let state = table.row_word(row).look();
            assert_eq!((state.stripe(), state.slot()), (Some(stripe), 0));
        }
    }
    let owned = (0..table.capacity())
        .filter(|row| !table.row_word(*row).look().is_free())
        .count();
    assert_eq!(
        owned,
        linked.len(),
        "a row has an owner if and only if it is linked"
    );
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
