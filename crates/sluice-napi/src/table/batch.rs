//! Rows in the form that a scan hands out: their number as u32, 4 bytes of nothing, and for each the bytes of its key as u32, 4
//! bytes of nothing, the key and, if they are wanted, its columns, both padded to 8.

use std::ops::ControlFlow;

use sluice_shared::table::ScannedRow;

/// Memory that is being filled with rows.
pub(super) struct Batch<'call> {
    out: &'call mut [u8],
    at: usize,
    count: u32,
    with_rows: bool,
}

impl<'call> Batch<'call> {
    /// Before the rows, and before each of them.
    const HEADER: usize = 8;

    pub(super) fn new(out: &'call mut [u8], with_rows: bool) -> Self {
        Self {
            out,
            at: Self::HEADER,
            count: 0,
            with_rows,
        }
    }

    /// Adds a row, or breaks off because there is no room.
    pub(super) fn push(&mut self, row: &ScannedRow<'_>) -> ControlFlow<()> {
        let key_end = Self::HEADER + row.key.len().next_multiple_of(8);
        let image_bytes = if self.with_rows {
            row.image.len() * 8
        } else {
            0
        };
        let Some(entry) = self.out.get_mut(self.at..self.at + key_end + image_bytes) else {
            return ControlFlow::Break(());
        };
        entry[..4].copy_from_slice(&(row.key.len() as u32).to_le_bytes());
        entry[Self::HEADER..Self::HEADER + row.key.len()].copy_from_slice(row.key);
        for (bytes, word) in entry[key_end..].chunks_exact_mut(8).zip(row.image) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        self.at += key_end + image_bytes;
        self.count += 1;
        ControlFlow::Continue(())
    }

    /// Says how many rows there are.
    pub(super) fn finish(self) {
        if let Some(head) = self.out.get_mut(..4) {
            head.copy_from_slice(&self.count.to_le_bytes());
        }
    }
}
