//! Reading back a request from its record.

use sluice_core::header;
use sluice_shared::record::{FIELD_BYTES, WELL_KNOWN_NAME, Words};

/// A request as its record has it: field table, then head.
#[derive(Clone, Copy)]
pub(crate) struct Recorded<'a> {
    words: Words,
    table: &'a [u8],
    head: &'a [u8],
}

impl<'a> Recorded<'a> {
    /// `record` is what followed `words`, at least up to the end of the head.
    pub(crate) fn new(words: Words, record: &'a [u8]) -> Self {
        let table = usize::from(words.fields()) * FIELD_BYTES as usize;
        let (table, head) = record.split_at(table.min(record.len()));
        Self { words, table, head }
    }

    /// The request target.
    pub(crate) fn target(&self) -> &'a [u8] {
        let from = usize::from(self.words.target_offset());
        self.head
            .get(from..from + self.words.target_len() as usize)
            .unwrap_or_default()
    }

    /// Names as they came, well-known ones in lower case, and values.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let head = self.head;
        self.table
            .chunks_exact(FIELD_BYTES as usize)
            .map(move |entry| {
                let word = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
                let bytes = |at: u16, len: u16| {
                    head.get(usize::from(at)..usize::from(at) + usize::from(len))
                        .unwrap_or_default()
                };
                let name = if word(0) == WELL_KNOWN_NAME {
                    header::NAMES
                        .get(usize::from(word(2)))
                        .map_or(&b""[..], |name| name.as_bytes())
                } else {
                    bytes(word(0), word(2))
                };
                (name, bytes(word(4), word(6)))
            })
    }

    /// The values of the fields with this name, which is in lower case.
    pub(crate) fn values(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.fields()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}
