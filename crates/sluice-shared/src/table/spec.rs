//! The description of a table, and the layout of its rows.

use serde::{Deserialize, Serialize};

use super::error::SpecError;

/// Rows of a table at most. Row numbers travel as 32 bits, and 0 says none.
pub const SIZE_MAX: u32 = 1 << 30;
/// Columns at most: a mask of them is 64 bits.
pub const COLUMNS_MAX: usize = 64;
/// Bytes of one string or bytes column at most.
pub const COLUMN_BYTES_MAX: u32 = 1 << 20;
/// Bytes of the columns of one row at most.
pub const ROW_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a key at most.
pub const KEY_BYTES_MAX: usize = 255;
/// The longest time to live, 100 years in ms.
pub const TTL_MAX: u64 = 100 * 366 * 24 * 3600 * 1000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ColumnKind {
    /// A 64-bit integer.
    Int,
    /// A double.
    Float,
    /// 0 or 1.
    Bool,
    /// UTF-8 text of up to `size` bytes.
    #[serde(rename = "string")]
    Text {
        /// Bytes.
        size: u32,
    },
    /// Up to `size` bytes.
    Bytes {
        /// Bytes.
        size: u32,
    },
}

impl ColumnKind {
    /// How many 8-byte words the column takes in a row.
    fn words(self) -> u32 {
        match self {
            ColumnKind::Int | ColumnKind::Float | ColumnKind::Bool => 1,
            ColumnKind::Text { size } | ColumnKind::Bytes { size } => (4 + size).div_ceil(8),
        }
    }

    /// Bytes of a value at most; `None` for those that are one word.
    pub fn bytes(self) -> Option<u32> {
        match self {
            ColumnKind::Text { size } | ColumnKind::Bytes { size } => Some(size),
            _ => None,
        }
    }
}

/// One column as it is declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSpec {
    /// Unique in its table.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub kind: ColumnKind,
}

/// What makes room when every row is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evict {
    /// Nothing: the call fails.
    #[default]
    None,
    /// The row that was not used for longest, of a sample (of all, in a small table).
    Lru,
}

/// What a table is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableSpec {
    /// Rows.
    pub size: u32,
    /// Columns, in the order of their positions.
    pub columns: Vec<ColumnSpec>,
    /// How long a row lives after it was last set, in ms. `None`: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// What makes room.
    #[serde(default)]
    pub evict: Evict,
    /// Bytes of a key at most.
    #[serde(default = "default_max_key")]
    pub max_key: u8,
}

fn default_max_key() -> u8 {
    KEY_BYTES_MAX as u8
}

/// A column and where it lies in a row image.
///
/// Integers, doubles and booleans are one word; text and bytes are their length as u32 and then their bytes, zero to the end of
/// the word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Unique in its table.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Bytes before it in the row image; a multiple of 8.
    pub offset: u32,
}

impl Column {
    /// The position of its first word.
    pub(super) fn word(&self) -> usize {
        self.offset as usize / 8
    }

    /// How many words it takes.
    pub(super) fn words(&self) -> usize {
        self.kind.words() as usize
    }
}

impl TableSpec {
    /// # Errors
    ///
    /// What is wrong with it, when something is.
    pub fn check(&self) -> Result<(), SpecError> {
        if self.size == 0 || self.size > SIZE_MAX {
            return Err(SpecError::Size { max: SIZE_MAX });
        }
        if self.columns.is_empty() || self.columns.len() > COLUMNS_MAX {
            return Err(SpecError::Columns { max: COLUMNS_MAX });
        }
        for (position, ColumnSpec { name, kind }) in self.columns.iter().enumerate() {
            if name.is_empty()
                || self.columns[..position]
                    .iter()
                    .any(|other| other.name == *name)
            {
                return Err(SpecError::ColumnName(name.clone()));
            }
            if kind
                .bytes()
                .is_some_and(|size| size == 0 || size > COLUMN_BYTES_MAX)
            {
                return Err(SpecError::ColumnSize {
                    name: name.clone(),
                    max: COLUMN_BYTES_MAX,
                });
            }
        }
        let bytes = self
            .columns
            .iter()
            .map(|column| u64::from(column.kind.words()) * 8)
            .sum();
        if bytes > ROW_BYTES_MAX {
            return Err(SpecError::RowSize {
                bytes,
                max: ROW_BYTES_MAX,
            });
        }
        if self.max_key == 0 {
            return Err(SpecError::MaxKey);
        }
        if self.ttl.is_some_and(|ttl| ttl == 0 || ttl > TTL_MAX) {
            return Err(SpecError::TimeToLive);
        }
        Ok(())
    }

    /// The columns with their places, and how many words they take in all.
    pub(super) fn layout(&self) -> (Vec<Column>, usize) {
        let mut offset = 0;
        let columns = self.columns.iter().map(|ColumnSpec { name, kind }| {
            let column = Column {
                name: name.clone(),
                kind: *kind,
                offset,
            };
            offset += kind.words() * 8;
            column
        });
        let columns = columns.collect();
        (columns, offset as usize / 8)
    }

    /// What of `self` is otherwise in `other`, in words for people; `None` when nothing is.
    pub fn difference(&self, other: &TableSpec) -> Option<String> {
        fn json(value: &impl Serialize) -> String {
            serde_json::to_string(value).unwrap_or_default()
        }
        fn changed<T: Serialize + PartialEq>(name: &str, before: &T, now: &T) -> Option<String> {
            (before != now).then(|| format!("`{name}` is {}, not {}", json(before), json(now)))
        }
        changed("size", &other.size, &self.size)
            .or_else(|| changed("columns", &other.columns, &self.columns))
            .or_else(|| changed("ttl", &other.ttl, &self.ttl))
            .or_else(|| changed("evict", &other.evict, &self.evict))
            .or_else(|| changed("maxKey", &other.max_key, &self.max_key))
    }
}
