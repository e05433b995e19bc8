//! Rows of a table whose columns were other ones, before the code that describes it changed.

use super::spec::{Column, ColumnKind};

/// How images of one layout become images of another. Columns are matched by their names: one that is new is zero, one that is
/// gone is dropped.
#[derive(Debug)]
pub(super) struct Conversion {
    moves: Vec<Move>,
    words: usize,
}

/// Why rows of one layout cannot become rows of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// A column of this name holds something else.
    Kind {
        name: String,
        before: ColumnKind,
        now: ColumnKind,
    },
    /// A value has more bytes than its column holds now.
    TooLong { name: String, size: u32, len: u32 },
}

#[derive(Debug)]
struct Move {
    name: String,
    from: usize,
    to: usize,
    words: usize,
    /// Of text and bytes, what the column holds now.
    size: Option<u32>,
}

impl Conversion {
    /// `words`: of the new image.
    pub(super) fn new(before: &[Column], now: &[Column], words: usize) -> Result<Self, Unfit> {
        let mut moves = Vec::with_capacity(now.len());
        for column in now {
            let Some(source) = before.iter().find(|source| source.name == column.name) else {
                continue;
            };
            if std::mem::discriminant(&source.kind) != std::mem::discriminant(&column.kind) {
                return Err(Unfit::Kind {
                    name: column.name.clone(),
                    before: source.kind,
                    now: column.kind,
                });
            }
            moves.push(Move {
                name: column.name.clone(),
                from: source.word(),
                to: column.word(),
                words: source.words().min(column.words()),
                size: column.kind.bytes(),
            });
        }
        Ok(Self { moves, words })
    }

    /// Whether a row fits.
    pub(super) fn check(&self, before: &[u64]) -> Result<(), Unfit> {
        for Move {
            name, from, size, ..
        } in &self.moves
        {
            let len = before[*from] as u32;
            if let Some(size) = size.filter(|size| len > *size) {
                return Err(Unfit::TooLong {
                    name: name.clone(),
                    size,
                    len,
                });
            }
        }
        Ok(())
    }

    /// Makes the new image.
    pub(super) fn convert(&self, before: &[u64], now: &mut Vec<u64>) -> Result<(), Unfit> {
        self.check(before)?;
        now.clear();
        now.resize(self.words, 0);
        for Move {
            from, to, words, ..
        } in &self.moves
        {
            now[*to..to + words].copy_from_slice(&before[*from..from + words]);
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::snapshot::set_bytes;
    use super::super::spec::{ColumnSpec, Evict, TableSpec};
    use super::*;

    fn columns(columns: &[(&str, ColumnKind)]) -> (Vec<Column>, usize) {
        let columns = columns
            .iter()
            .map(|(name, kind)| ColumnSpec {
                name: (*name).into(),
                kind: *kind,
            })
            .collect();
        TableSpec {
            size: 1,
            columns,
            ttl: None,
            evict: Evict::None,
            max_key: 255,
        }
        .layout()
    }

    #[test]
    fn columns_are_found_by_name_new_ones_are_zero_and_old_ones_gone() {
        let (before, before_words) = columns(&[
            ("gone", ColumnKind::Float),
            ("name", ColumnKind::Text { size: 30 }),
            ("n", ColumnKind::Int),
        ]);
        let (now, words) = columns(&[
            ("n", ColumnKind::Int),
            ("new", ColumnKind::Int),
            ("name", ColumnKind::Text { size: 5 }),
        ]);
        let conversion = Conversion::new(&before, &now, words).unwrap();
        let mut image = vec![7; before_words];
        set_bytes(&mut image[before[1].word()..before[2].word()], b"abcde");
        let mut converted = vec![99; 40];
        conversion.convert(&image, &mut converted).unwrap();
        let mut name = [0; 2];
        set_bytes(&mut name, b"abcde");
        assert_eq!(converted, [7, 0, name[0], name[1]]);
    }

    #[test]
    fn a_value_longer_than_its_column_now_is_named() {
        let (before, before_words) = columns(&[("name", ColumnKind::Bytes { size: 30 })]);
        let (now, words) = columns(&[("name", ColumnKind::Bytes { size: 5 })]);
        let conversion = Conversion::new(&before, &now, words).unwrap();
        let mut image = vec![0; before_words];
        set_bytes(&mut image, b"abcdef");
        let unfit = Unfit::TooLong {
            name: "name".into(),
            size: 5,
            len: 6,
        };
        assert_eq!(conversion.convert(&image, &mut Vec::new()), Err(unfit));
    }

    #[test]
    fn a_column_of_another_kind_is_named() {
        let (before, _) = columns(&[("n", ColumnKind::Int)]);
        let (now, words) = columns(&[("n", ColumnKind::Float)]);
        let unfit = Conversion::new(&before, &now, words).unwrap_err();
        assert_eq!(
            unfit,
            Unfit::Kind {
                name: "n".into(),
                before: ColumnKind::Int,
                now: ColumnKind::Float
            }
        );
    }
}
