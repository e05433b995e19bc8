//! What a table counts.

use crate::sync::Ordering;

use super::Table;
use super::geometry::header;
use super::row_word::WRITES_MAX;
use super::stripe::Counter;

/// Counts since the table was made, of all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableStats {
    /// Rows there are. One that has expired counts until it is removed.
    pub rows: u64,
    /// Rows made.
    pub inserts: u64,
    /// Writes to rows that were there. After the death of a process some may be missing or counted twice.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Rows removed because their time was over.
    pub expired: u64,
    /// Rows removed to make room.
    pub evicted: u64,
    /// The longest way to a row: 1 = found at once.
    pub max_probe: u64,
    /// Rows that can still be made.
    pub free: u64,
    /// Locks that this process took over from processes that were killed.
    pub recovered: u64,
}

impl Table {
    /// Rows there are.
    #[expect(clippy::len_without_is_empty, reason = "asked by nobody")]
    pub fn len(&self) -> u32 {
        self.sum(Counter::Rows) as u32
    }

    /// Grows with every write that changed something; looks at every row.
    pub fn changes(&self) -> u64 {
        let anew = self.header(header::WRITES_ANEW).load(Ordering::Relaxed);
        (0..self.geometry.rows).fold(anew.wrapping_mul(WRITES_MAX), |sum, row| {
            sum.wrapping_add(self.row_word(row).look().writes())
        })
    }

    /// Counts everything; walks the whole table.
    pub fn stats(&self) -> TableStats {
        let [rows, inserts, deletes, expired, evicted] = [
            Counter::Rows,
            Counter::Inserts,
            Counter::Deletes,
            Counter::Expired,
            Counter::Evicted,
        ]
        .map(|counter| self.sum(counter));
        TableStats {
            rows,
            inserts,
            // A row counts each of its writes, whatever it was.
            updates: self
                .changes()
                .saturating_sub(inserts + deletes + expired + evicted),
            deletes,
            expired,
            evicted,
            max_probe: self.max_probe(),
            free: u64::from(self.geometry.rows).saturating_sub(rows),
            recovered: self.recovered.load(Ordering::Relaxed),
        }
    }

    fn sum(&self, counter: Counter) -> u64 {
        (0..self.geometry.stripes).fold(0, |sum, stripe| {
            sum.wrapping_add(self.stripe(stripe).get(counter))
        })
    }

    fn max_probe(&self) -> u64 {
        let halves = self.halves();
        let chain = |bucket: u32| {
            let mut at = self.geometry.bucket(bucket);
            let mut steps = 0;
            while let Some(number) = self.follow(halves[at].load(Ordering::Relaxed)) {
                steps += 1;
                // A chain that changes under us could lead in a circle; none is as long as this.
                if steps > 4096 {
                    break;
                }
                at = self.geometry.link(number);
            }
            steps
        };
        (0..self.geometry.buckets).map(chain).max().unwrap_or(0)
    }
}
