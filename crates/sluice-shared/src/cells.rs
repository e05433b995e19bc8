//! Numbers by name in memory of a fixed layout: what the atomics are.
//!
//! ```text
//! +0     magic u64, version u32, number of cells u32; the rest of the first 4096 bytes is zero
//! +4096  cells of 128 bytes: value i64 (an int32 is its low half), state u64, meta u64 (kind | length of the name << 8), …, at +64 the name
//! ```
//!
//! A cell is found by the hash of its name and the cells that follow it, and is never given back, so that what a thread has found stays
//! true. It is claimed by one compare-and-swap of its state, which names the claimant's name by a fingerprint: who looks for another goes on,
//! who looks for the same waits for the few stores until it is ready. A claimant that died on the way (a process that was killed) is not
//! waited for for ever: its cell is given up, and the next one taken.

use std::fmt;
#[cfg(not(loom))]
use std::{fs::OpenOptions, io, os::unix::fs::OpenOptionsExt, path::Path};

#[cfg(not(loom))]
use memmap2::{MmapOptions, MmapRaw};

use crate::sync::{AtomicI64, AtomicU64, Ordering, yield_now};

/// Bytes before the first cell.
pub const CELLS_HEADER_BYTES: usize = 4096;
/// Bytes of a cell.
pub const CELL_BYTES: usize = 128;
/// How many there are.
pub const CELLS: usize = 8192;
/// The longest name, in bytes of UTF-8.
pub const CELL_NAME_BYTES_MAX: usize = 64;

#[cfg(not(loom))]
const BYTES: usize = CELLS_HEADER_BYTES + CELLS * CELL_BYTES;
const NAME_WORDS: usize = CELL_NAME_BYTES_MAX / 8;

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CellKind {
    /// 32 bits, the low half of the value.
    Int32 = 1,
    /// 64 bits.
    Int64 = 2,
}

/// Why there is no cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellError {
    /// The name is empty or longer than [`CELL_NAME_BYTES_MAX`].
    Name,
    /// The cell of that name holds the other kind.
    Kind,
    /// All [`CELLS`] have names.
    Full,
}

/// A cell that was found or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Which one.
    pub index: u32,
    /// It was made now, with the initial value.
    pub is_new: bool,
}

/// As it lies in memory. JavaScript changes `value`; the rest is ours.
#[repr(C, align(64))]
struct Cell {
    value: AtomicI64,
    /// 0, or fingerprint << 2 | [`Phase`].
    state: AtomicU64,
    meta: AtomicU64,
    unused: [u64; 5],
    name: [AtomicU64; NAME_WORDS],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Cell>() == CELL_BYTES);

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const READY: u64 = 2;
/// Its claimant did not finish. Never used again.
const GIVEN_UP: u64 = 3;
const PHASE: u64 = 3;

/// How often one yields to a claimant before its cell is given up: some milliseconds.
#[cfg(not(loom))]
const PATIENCE: u32 = 10_000;
#[cfg(loom)]
const PATIENCE: u32 = 1;

/// All the cells of a process. Their memory lasts as long as the process: make them once.
pub struct Cells {
    cells: &'static [Cell],
}

impl Cells {
    /// Cells that only this process has.
    #[cfg(not(loom))]
    pub fn private() -> io::Result<Self> {
        Self::over(MmapOptions::new().len(BYTES).map_anon()?.into())
    }

    /// The cells in a file, which is made unless it is there: those of every process that opens it. Links are not followed.
    #[cfg(not(loom))]
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() || (meta.len() != 0 && meta.len() != BYTES as u64) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it has no atomics of this version in it",
            ));
        }
        // Two processes may do so at a time: it stays the same length, and zero.
        file.set_len(BYTES as u64)?;
        Self::over(MmapOptions::new().len(BYTES).map_raw(&file)?)
    }

    /// The cells in a mapping, which lasts from now on.
    #[cfg(not(loom))]
    fn over(map: MmapRaw) -> io::Result<Self> {
        let start = map.as_mut_ptr();
        // SAFETY: the mapping is readable and writable, begins at a page and is `BYTES` long. It lasts for ever by the last line. Every bit
        // pattern is a valid cell, and all who use them, in this process and in others, do so atomically.
        let (magic, version, cells) = unsafe {
            let words = &*start.cast::<[AtomicU64; 2]>();
            let first = start.add(CELLS_HEADER_BYTES).cast::<Cell>();
            (
                &words[0],
                &words[1],
                std::slice::from_raw_parts(first, CELLS),
            )
        };
        for (word, expected) in [
            (version, u64::from(VERSION) | (CELLS as u64) << 32),
            (magic, MAGIC),
        ] {
            // Whoever comes first writes them, and all write the same.
            let found = word.compare_exchange(0, expected, Ordering::AcqRel, Ordering::Acquire);
            if found.is_err_and(|found| found != expected) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it has no atomics of this version in it",
                ));
            }
        }
        std::mem::forget(map);
        Ok(Self { cells })
    }

    /// As few as a model can check.
    #[cfg(loom)]
    pub fn model(count: usize) -> Self {
        let cell = |_| Cell {
            value: AtomicI64::new(0),
            state: AtomicU64::new(FREE),
            meta: AtomicU64::new(0),
            unused: [0; 5],
            name: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        Self {
            cells: Box::leak((0..count).map(cell).collect()),
        }
    }

    /// The memory as the binding shows it to JavaScript: its first byte, at the begin of a page, and its length. It lasts as long as the process.
    #[cfg(not(loom))]
    pub fn memory(&self) -> (*mut u8, usize) {
        let first = self.cells.as_ptr().cast_mut().cast::<u8>();
        (first.wrapping_sub(CELLS_HEADER_BYTES), BYTES)
    }

    /// The cell of a name. The first to ask for it makes it, with `initial`.
    pub fn claim(&self, name: &[u8], kind: CellKind, initial: i64) -> Result<Claimed, CellError> {
        if name.is_empty() || name.len() > CELL_NAME_BYTES_MAX {
            return Err(CellError::Name);
        }
        let words = words_of(name);
        let meta = kind as u64 | (name.len() as u64) << 8;
        let hash = fingerprint(name);
        let count = self.cells.len();
        for step in 0..count {
            let index = (hash as usize % count + step) % count;
            let cell = &self.cells[index];
            let claimed = |is_new| Claimed {
                index: index as u32,
                is_new,
            };
            match cell.claim(hash, &words, meta, initial) {
                Claim::Made => return Ok(claimed(true)),
                Claim::Found if cell.meta.load(Ordering::Relaxed) == meta => {
                    return Ok(claimed(false));
                }
                Claim::Found => return Err(CellError::Kind),
                Claim::Other => {}
            }
        }
        Err(CellError::Full)
    }

    /// The value of a cell that holds 32 bits. 0 for one that does not exist.
    pub fn int32(&self, index: u32) -> i32 {
        // SeqCst: who waits for a change looks here after it has said that it waits, who makes one looks for waiters after it.
        self.cells
            .get(index as usize)
            .map_or(0, |cell| cell.value.load(Ordering::SeqCst) as i32)
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").finish_non_exhaustive()
    }
}

enum Claim {
    Made,
    Found,
    Other,
}

impl Cell {
    fn claim(&self, hash: u64, words: &[u64; NAME_WORDS], meta: u64, initial: i64) -> Claim {
        let mut patience = PATIENCE;
        loop {
            // Acquire: pairs with the Release below, so that what is ready is seen whole.
            let state = self.state.load(Ordering::Acquire);
            if state == FREE {
                let mine = hash << 2 | CLAIMED;
                let swap =
                    self.state
                        .compare_exchange(FREE, mine, Ordering::AcqRel, Ordering::Acquire);
                if swap.is_err() {
                    continue;
                }
                self.value.store(initial, Ordering::Relaxed);
                self.meta.store(meta, Ordering::Relaxed);
                for (to, from) in self.name.iter().zip(words) {
                    to.store(*from, Ordering::Relaxed);
                }
                let ready = hash << 2 | READY;
                // It fails when somebody has lost patience; then nobody uses this cell.
                return match self.state.compare_exchange(
                    mine,
                    ready,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => Claim::Made,
                    Err(_) => Claim::Other,
                };
            }
            if state >> 2 != hash {
                return Claim::Other;
            }
            match state & PHASE {
                READY if self.has_name(words, meta) => return Claim::Found,
                CLAIMED if patience > 0 => {
                    patience -= 1;
                    yield_now();
                }
                CLAIMED => {
                    let given_up = hash << 2 | GIVEN_UP;
                    let _ = self.state.compare_exchange(
                        state,
                        given_up,
                        Ordering::AcqRel,
                        Ordering::Relaxed,
                    );
                }
                _ => return Claim::Other,
            }
        }
    }

    fn has_name(&self, words: &[u64; NAME_WORDS], meta: u64) -> bool {
        self.meta.load(Ordering::Relaxed) >> 8 == meta >> 8
            && self
                .name
                .iter()
                .zip(words)
                .all(|(word, other)| word.load(Ordering::Relaxed) == *other)
    }
}

#[cfg(not(loom))]
const MAGIC: u64 = u64::from_le_bytes(*b"SLUICEAT");
#[cfg(not(loom))]
const VERSION: u32 = 1;

fn words_of(name: &[u8]) -> [u64; NAME_WORDS] {
    let mut bytes = [0; CELL_NAME_BYTES_MAX];
    bytes[..name.len()].copy_from_slice(name);
    std::array::from_fn(|word| {
        u64::from_le_bytes(std::array::from_fn(|byte| bytes[word * 8 + byte]))
    })
}

/// FNV-1a, the same in every version and process, without the two bits that the phase takes.
fn fingerprint(name: &[u8]) -> u64 {
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The high bits of short names differ little.
    (hash ^ hash >> 32) & (u64::MAX >> 2)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    fn claim(cells: &Cells, name: &str, initial: i64) -> Claimed {
        cells
            .claim(name.as_bytes(), CellKind::Int32, initial)
            .unwrap()
    }

    #[test]
    fn a_name_is_one_cell_and_its_first_initial_value_counts() {
        let cells = Cells::private().unwrap();
        let first = claim(&cells, "a", 7);
        assert!(first.is_new);
        assert_eq!(
            claim(&cells, "a", 9),
            Claimed {
                is_new: false,
                ..first
            }
        );
        assert_eq!(cells.int32(first.index), 7);
        assert_ne!(claim(&cells, "b", 0).index, first.index);
    }

    #[test]
    fn a_name_in_use_for_the_other_kind_is_an_error() {
        let cells = Cells::private().unwrap();
        claim(&cells, "a", 0);
        assert_eq!(cells.claim(b"a", CellKind::Int64, 0), Err(CellError::Kind));
    }

    #[test]
    fn names_have_1_to_64_bytes_and_all_of_them_count() {
        let cells = Cells::private().unwrap();
        let longest = "x".repeat(64);
        let other = format!("{}y", "x".repeat(63));
        assert_ne!(
            claim(&cells, &longest, 0).index,
            claim(&cells, &other, 0).index
        );
        assert_eq!(
            cells.claim("x".repeat(65).as_bytes(), CellKind::Int32, 0),
            Err(CellError::Name)
        );
        assert_eq!(cells.claim(b"", CellKind::Int32, 0), Err(CellError::Name));
        assert_ne!(claim(&cells, "a", 0).index, claim(&cells, "a\0", 0).index);
    }

    #[test]
    fn there_is_room_for_all_cells_and_no_more() {
        let cells = Cells::private().unwrap();
        let mut indices: Vec<u32> = (0..CELLS)
            .map(|number| claim(&cells, &number.to_string(), number as i64).index)
            .collect();
        assert_eq!(
            cells.claim(b"more", CellKind::Int32, 0),
            Err(CellError::Full)
        );
        assert_eq!(cells.int32(claim(&cells, "4711", 0).index), 4711);
        indices.sort_unstable();
        indices.dedup();
        assert_eq!(indices.len(), CELLS);
    }

    #[test]
    fn threads_that_claim_the_same_names_agree() {
        let cells = Arc::new(Cells::private().unwrap());
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let cells = Arc::clone(&cells);
                thread::spawn(move || {
                    (0..500)
                        .map(|number| claim(&cells, &number.to_string(), thread))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let claims: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        for number in 0..500 {
            let of_number: Vec<Claimed> = claims.iter().map(|claims| claims[number]).collect();
            assert!(of_number.iter().all(|one| one.index == of_number[0].index));
            assert_eq!(of_number.iter().filter(|one| one.is_new).count(), 1);
        }
    }

    #[test]
    fn a_cell_whose_claimant_died_is_given_up_and_the_next_one_taken() {
        let cells = Cells::private().unwrap();
        let hash = fingerprint(b"a");
        let dead = hash as usize % CELLS;
        cells.cells[dead]
            .state
            .store(hash << 2 | CLAIMED, Ordering::Release);
        let claimed = claim(&cells, "a", 5);
        assert_ne!(claimed.index as usize, dead);
        assert_eq!(cells.int32(claimed.index), 5);
        assert_eq!(claim(&cells, "a", 6).index, claimed.index);
    }
    #[test]
    fn a_file_is_the_same_cells_for_all_who_open_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atomics.cells");
        let (one, other) = (Cells::open(&path).unwrap(), Cells::open(&path).unwrap());
        let claimed = claim(&one, "a", 7);
        assert_eq!(
            claim(&other, "a", 9),
            Claimed {
                is_new: false,
                ..claimed
            }
        );
        assert_eq!(other.int32(claimed.index), 7);
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atomics.cells");
        for (content, what) in [
            (vec![1; 100], "another length"),
            (vec![1; BYTES], "another magic"),
        ] {
            std::fs::write(&path, &content).unwrap();
            let error = Cells::open(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}");
            assert_eq!(
                std::fs::read(&path).unwrap(),
                content,
                "it is left as it is"
            );
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        Cells::open(&link).unwrap_err();
    }
}
