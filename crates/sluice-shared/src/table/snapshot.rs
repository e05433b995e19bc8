//! The rows of a table in a file that outlives the machine's memory.
//!
//! A snapshot is a stream, written once from end to end:
//!
//! ```text
//! head     "SLUICESN" · version u32 · length u32 · JSON { name, columns, written } · checksum u32
//! block *  length u32 · rows u32 · rows … · checksum u32
//! end      0 u32 · rows of all blocks u64 · checksum u32, and nothing after it
//! row      key length u8 · key · time to live in ms u64, 0 = for ever · columns
//! column   int, float: 8 bytes · bool: 1 byte · string, bytes: length u32 · bytes
//! ```
//!
//! Numbers are little-endian. Each checksum (CRC-32) begins with the one before it, so that no part can be missing, doubled or out
//! of order. Times to live count from `written`, in ms of the wall clock. `docs/reference/table-format.md` says the same.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::spec::{Column, ColumnKind, ColumnSpec, Evict, KEY_BYTES_MAX, ROW_BYTES_MAX, TableSpec};

const MAGIC: [u8; 8] = *b"SLUICESN";
const VERSION: u32 = 1;
/// Bytes of the JSON at most: 64 columns with names a hundred times longer than anybody's.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// A block is written when it has this many bytes.
const BLOCK_BYTES: usize = 64 * 1024;
/// Bytes of a block at most: it has less than [`BLOCK_BYTES`] when its last row is added.
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + 1 + KEY_BYTES_MAX + 8 + ROW_BYTES_MAX as usize;

/// What the head says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The table's name.
    pub(super) name: String,
    /// Its columns, in the order of their values in a row.
    pub(super) columns: Vec<ColumnSpec>,
    /// When the times to live of the rows began to count: ms since 1970.
    pub(super) written: u64,
}

/// What is wrong with a stream.
#[derive(Debug)]
pub(super) enum Fault {
    /// It does not begin like a snapshot.
    Foreign,
    /// It was written by another version of the format.
    Version(u32),
    /// It is cut off, damaged, or goes on after its end.
    Torn {
        /// Bytes before the part that cannot be read.
        at: u64,
    },
    /// It could not be read at all.
    Read(io::Error),
}

/// Writes a snapshot.
pub(super) struct Writer<W: Write> {
    out: W,
    columns: Vec<Column>,
    block: Vec<u8>,
    block_rows: u32,
    rows: u64,
    checksum: u32,
}

impl<W: Write> Writer<W> {
    /// Writes the head.
    pub(super) fn new(mut out: W, head: &Head) -> io::Result<Self> {
        let json = serde_json::to_vec(head)?;
        let mut bytes = Vec::with_capacity(json.len() + 20);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((json.len() as u32).to_le_bytes());
        bytes.extend(json);
        let checksum = chained(0, &bytes);
        bytes.extend(checksum.to_le_bytes());
        out.write_all(&bytes)?;
        Ok(Self {
            out,
            columns: layout(&head.columns).0,
            block: vec![0; 8],
            block_rows: 0,
            rows: 0,
            checksum,
        })
    }

    /// Adds a row. `image`: its columns as a table gives them; `expires_in`: ms from `written` on.
    pub(super) fn row(
        &mut self,
        key: &[u8],
        image: &[u64],
        expires_in: Option<u64>,
    ) -> io::Result<()> {
        self.block.push(key.len() as u8);
        self.block.extend(key);
        // 0 says never; what expires this very moment has 1 ms more.
        self.block
            .extend(expires_in.map_or(0, |left| left.max(1)).to_le_bytes());
        for column in &self.columns {
            put(&mut self.block, column, image);
        }
        self.block_rows += 1;
        self.rows += 1;
        if self.block.len() - 8 >= BLOCK_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes the end and gives the number of rows and what was written to.
    pub(super) fn finish(mut self) -> io::Result<(u64, W)> {
        self.flush()?;
        let mut end = Vec::with_capacity(16);
        end.extend(0_u32.to_le_bytes());
        end.extend(self.rows.to_le_bytes());
        end.extend(chained(self.checksum, &end).to_le_bytes());
        self.out.write_all(&end)?;
        self.out.flush()?;
        Ok((self.rows, self.out))
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.block_rows == 0 {
            return Ok(());
        }
        let len = (self.block.len() - 8) as u32;
        self.block[..4].copy_from_slice(&len.to_le_bytes());
        self.block[4..8].copy_from_slice(&self.block_rows.to_le_bytes());
        self.checksum = chained(self.checksum, &self.block);
        self.block.extend(self.checksum.to_le_bytes());
        self.out.write_all(&self.block)?;
        self.block.truncate(8);
        self.block_rows = 0;
        Ok(())
    }
}

/// Reads a snapshot. Rows come out only after the checksum of their block was right.
pub(super) struct Reader<R: Read> {
    input: R,
    head: Head,
    columns: Vec<Column>,
    image: Vec<u64>,
    at: u64,
    checksum: u32,
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    pub(super) fn new(mut input: R) -> Result<Self, Fault> {
        let mut bytes = vec![0; 16];
        let got = read_up_to(&mut input, &mut bytes)?;
        // Fewer bytes than the magic, but those of it: a snapshot that was cut off, as far as one can tell.
        if bytes[..got.min(8)] != MAGIC[..got.min(8)] || got == 0 {
            return Err(Fault::Foreign);
        }
        if got < 16 {
            return Err(Fault::Torn { at: 0 });
        }
        let version = u32_at(&bytes, 8);
        if version != VERSION {
            return Err(Fault::Version(version));
        }
        let len = u32_at(&bytes, 12) as usize;
        if len > HEAD_BYTES_MAX {
            return Err(Fault::Torn { at: 0 });
        }
        bytes.resize(16 + len + 4, 0);
        fill(&mut input, &mut bytes[16..], 0)?;
        let checksum = chained(0, &bytes[..16 + len]);
        if checksum != u32_at(&bytes, 16 + len) {
            return Err(Fault::Torn { at: 0 });
        }
        let head: Head =
            serde_json::from_slice(&bytes[16..16 + len]).map_err(|_| Fault::Torn { at: 0 })?;
        if spec_of(&head.columns).check().is_err() {
            return Err(Fault::Torn { at: 0 });
        }
        let (columns, words) = layout(&head.columns);
        Ok(Self {
            input,
            head,
            columns,
            image: vec![0; words],
            at: bytes.len() as u64,
            checksum,
        })
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// The columns of the images that [`rows`](Self::rows) gives out.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Gives every row to `visit`: key, image, and the ms from `written` on that it lives. Returns how many there were.
    pub(super) fn rows<E: From<Fault>>(
        mut self,
        mut visit: impl FnMut(&[u8], &[u64], Option<u64>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut rows = 0_u64;
        let mut block = Vec::new();
        while let Some(count) = self.block(&mut block, rows)? {
            let mut bytes = &block[8..block.len() - 4];
            for _ in 0..count {
                let Some((key, expires_in)) = self.row(&mut bytes) else {
                    return Err(self.torn().into());
                };
                visit(key, &self.image, expires_in)?;
            }
            if !bytes.is_empty() {
                return Err(self.torn().into());
            }
            rows += u64::from(count);
            self.at += block.len() as u64;
        }
        Ok(rows)
    }

    /// Reads the next block and checks it. `None`: that was the end, which says that there are `rows`.
    fn block(&mut self, block: &mut Vec<u8>, rows: u64) -> Result<Option<u32>, Fault> {
        block.clear();
        block.resize(8, 0);
        fill(&mut self.input, block, self.at)?;
        let len = u32_at(block, 0) as usize;
        if len > BLOCK_BYTES_MAX {
            return Err(self.torn());
        }
        // The end is as long as a block of 4 bytes.
        block.resize(8 + if len == 0 { 4 } else { len } + 4, 0);
        fill(&mut self.input, &mut block[8..], self.at)?;
        let data = block.len() - 4;
        let checksum = chained(self.checksum, &block[..data]);
        if checksum != u32_at(block, data) {
            return Err(self.torn());
        }
        self.checksum = checksum;
        if len > 0 {
            return Ok(Some(u32_at(block, 4)));
        }
        let is_last = read_up_to(&mut self.input, &mut [0])? == 0;
        if u64_at(block, 4) != rows || !is_last {
            return Err(self.torn());
        }
        Ok(None)
    }

    /// Takes a row from the front of `bytes`; its columns are in `image` then. `None`: that is no row.
    fn row<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<(&'b [u8], Option<u64>)> {
        let len = usize::from(take(bytes, 1)?[0]);
        let key = take(bytes, len).filter(|key| !key.is_empty())?;
        let left = u64_at(take(bytes, 8)?, 0);
        for column in &self.columns {
            get(bytes, column, &mut self.image)?;
        }
        Some((key, (left > 0).then_some(left)))
    }

    fn torn(&self) -> Fault {
        Fault::Torn { at: self.at }
    }
}

/// Writes a column of `image`.
fn put(out: &mut Vec<u8>, column: &Column, image: &[u64]) {
    let word = image[column.word()];
    match column.kind {
        ColumnKind::Int | ColumnKind::Float => out.extend(word.to_le_bytes()),
        ColumnKind::Bool => out.push(u8::from(word != 0)),
        ColumnKind::Text { size } | ColumnKind::Bytes { size } => {
            let len = (word as u32).min(size);
            out.extend(len.to_le_bytes());
            let words = &image[column.word()..column.word() + column.words()];
            out.extend(
                words
                    .iter()
                    .flat_map(|word| word.to_le_bytes())
                    .skip(4)
                    .take(len as usize),
            );
        }
    }
}

/// Takes a column from the front of `bytes` into `image`. `None`: that is no such column.
fn get(bytes: &mut &[u8], column: &Column, image: &mut [u64]) -> Option<()> {
    let words = &mut image[column.word()..column.word() + column.words()];
    match column.kind {
        ColumnKind::Int | ColumnKind::Float => words[0] = u64_at(take(bytes, 8)?, 0),
        ColumnKind::Bool => {
            words[0] = u64::from(*take(bytes, 1)?.first().filter(|byte| **byte < 2)?)
        }
        ColumnKind::Text { size } | ColumnKind::Bytes { size } => {
            let len = u32_at(take(bytes, 4)?, 0);
            if len > size {
                return None;
            }
            set_bytes(words, take(bytes, len as usize)?);
        }
    }
    Some(())
}

/// Lays text or bytes into the words of their column: the length, the bytes, zeros to the end.
pub(super) fn set_bytes(words: &mut [u64], value: &[u8]) {
    words.fill(0);
    words[0] = value.len() as u64;
    for (index, byte) in value.iter().enumerate() {
        words[(index + 4) / 8] |= u64::from(*byte) << ((index + 4) % 8 * 8);
    }
}

/// The columns as a table with them would have them, and the words of a row.
fn layout(columns: &[ColumnSpec]) -> (Vec<Column>, usize) {
    spec_of(columns).layout()
}

fn spec_of(columns: &[ColumnSpec]) -> TableSpec {
    TableSpec {
        size: 1,
        columns: columns.to_vec(),
        ttl: None,
        evict: Evict::None,
        max_key: KEY_BYTES_MAX as u8,
    }
}

fn chained(before: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&before.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn take<'b>(bytes: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
    let (front, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(front)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn fill(input: &mut impl Read, bytes: &mut [u8], at: u64) -> Result<(), Fault> {
    input.read_exact(bytes).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Fault::Torn { at }
        } else {
            Fault::Read(error)
        }
    })
}

/// Reads until `bytes` is full or there is no more.
fn read_up_to(input: &mut impl Read, bytes: &mut [u8]) -> Result<usize, Fault> {
    let mut got = 0;
    while got < bytes.len() {
        match input.read(&mut bytes[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::Read(error)),
        }
    }
    Ok(got)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns() -> Vec<ColumnSpec> {
        [
            ("n", ColumnKind::Int),
            ("f", ColumnKind::Float),
            ("b", ColumnKind::Bool),
            ("s", ColumnKind::Text { size: 13 }),
            ("x", ColumnKind::Bytes { size: 3 }),
        ]
        .map(|(name, kind)| ColumnSpec {
            name: name.into(),
            kind,
        })
        .into()
    }

    fn head() -> Head {
        Head {
            name: "users".into(),
            columns: columns(),
            written: 1_700_000_000_000,
        }
    }

    type Row = (Vec<u8>, Vec<u64>, Option<u64>);

    fn image(n: i64, f: f64, b: bool, s: &[u8], x: &[u8]) -> Vec<u64> {
        let (columns, words) = layout(&columns());
        let mut image = vec![0; words];
        image[columns[0].word()] = n as u64;
        image[columns[1].word()] = f.to_bits();
        image[columns[2].word()] = u64::from(b);
        for (column, value) in columns[3..].iter().zip([s, x]) {
            set_bytes(
                &mut image[column.word()..column.word() + column.words()],
                value,
            );
        }
        image
    }

    fn write(rows: &[Row]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), &head()).unwrap();
        for (key, image, expires_in) in rows {
            writer.row(key, image, *expires_in).unwrap();
        }
        let (count, bytes) = writer.finish().unwrap();
        assert_eq!(count, rows.len() as u64);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Row>, Fault> {
        let reader = Reader::new(bytes)?;
        assert_eq!(reader.head(), &head());
        let mut rows = Vec::new();
        let count = reader.rows(|key, image, expires_in| {
            rows.push((key.to_vec(), image.to_vec(), expires_in));
            Ok::<_, Fault>(())
        })?;
        assert_eq!(count, rows.len() as u64);
        Ok(rows)
    }

    fn three_rows() -> Vec<Row> {
        vec![
            (
                b"ada".to_vec(),
                image(-1, 0.5, true, "äöü".as_bytes(), &[0, 255, 1]),
                None,
            ),
            (
                vec![0; 255],
                image(i64::MIN, f64::NAN, false, b"", b""),
                Some(1),
            ),
            (
                b"\xff".to_vec(),
                image(i64::MAX, -0.0, true, b"1234567890123", b"abc"),
                Some(u64::MAX),
            ),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&write(&three_rows())).unwrap(), three_rows());
    }

    #[test]
    fn no_rows_are_a_snapshot() {
        assert_eq!(read(&write(&[])).unwrap(), []);
    }

    #[test]
    fn rows_of_many_blocks_come_in_order() {
        let rows: Vec<Row> = (0..5000)
            .map(|n| {
                (
                    format!("key-{n}").into_bytes(),
                    image(n, 0.0, false, b"text", b""),
                    None,
                )
            })
            .collect();
        let bytes = write(&rows);
        assert!(bytes.len() > 3 * BLOCK_BYTES);
        assert_eq!(read(&bytes).unwrap(), rows);
    }

    #[test]
    fn a_snapshot_cut_at_any_byte_is_refused() {
        let bytes = write(&three_rows());
        for len in 0..bytes.len() {
            match read(&bytes[..len]) {
                Err(Fault::Foreign) => assert_eq!(len, 0),
                Err(Fault::Torn { at }) => assert!(at <= len as u64),
                other => panic!("{len} of {} bytes: {other:?}", bytes.len()),
            }
        }
    }

    #[test]
    fn a_snapshot_with_any_byte_changed_is_refused() {
        let bytes = write(&three_rows());
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xFF] {
                let mut bytes = bytes.clone();
                bytes[at] ^= change;
                match (at, read(&bytes)) {
                    (0..8, Err(Fault::Foreign))
                    | (8..12, Err(Fault::Version(_)))
                    | (12.., Err(Fault::Torn { .. })) => {}
                    (_, other) => panic!("byte {at}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_comes_after_the_end_is_refused() {
        let mut bytes = write(&three_rows());
        bytes.push(0);
        assert!(matches!(read(&bytes), Err(Fault::Torn { .. })));
        let twice = write(&three_rows()).repeat(2);
        assert!(matches!(read(&twice), Err(Fault::Torn { .. })));
    }

    #[test]
    fn blocks_of_two_snapshots_do_not_mix() {
        let rows = |from: i64| -> Vec<Row> {
            (from..from + 3000)
                .map(|n| {
                    (
                        format!("key-{n:08}").into_bytes(),
                        image(n, 0.0, false, b"text", b""),
                        None,
                    )
                })
                .collect()
        };
        let (one, other) = (write(&rows(0)), write(&rows(10_000)));
        assert_eq!(one.len(), other.len());
        let reader = Reader::new(&one[..]).unwrap();
        let first_block = reader.at as usize;
        let second_block = first_block + 8 + u32_at(&one, first_block) as usize + 4;
        let mixed = [&one[..second_block], &other[second_block..]].concat();
        assert!(matches!(read(&mixed), Err(Fault::Torn { at }) if at == second_block as u64));
        let swapped = [&one[..first_block], &one[second_block..]].concat();
        assert!(matches!(read(&swapped), Err(Fault::Torn { at }) if at == first_block as u64));
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = write(&three_rows());
        bytes[8] = 2;
        assert!(matches!(read(&bytes), Err(Fault::Version(2))));
    }

    #[test]
    fn other_files_are_foreign() {
        for bytes in [
            &b""[..],
            b"x",
            b"SLUICETB and more than sixteen bytes",
            b"{\"users\": []}",
        ] {
            assert!(matches!(read(bytes), Err(Fault::Foreign)), "{bytes:?}");
        }
    }

    #[test]
    fn a_writer_that_fails_says_so() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self
                    .0
                    .checked_sub(bytes.len())
                    .ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let bytes = write(&three_rows()).len();
        for room in 0..=bytes {
            let done = Writer::new(Full(room), &head()).and_then(|mut writer| {
                for (key, image, expires_in) in &three_rows() {
                    writer.row(key, image, *expires_in)?;
                }
                writer.finish()
            });
            assert_eq!(done.is_ok(), room == bytes);
        }
    }

    proptest! {
        #[test]
        fn any_rows_are_read_as_they_were_written(rows in prop::collection::vec((
            prop::collection::vec(any::<u8>(), 1..=255),
            (any::<i64>(), any::<f64>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..=13), prop::collection::vec(any::<u8>(), 0..=3)),
            prop::option::of(1..u64::MAX),
        ), 0..50)) {
            let rows: Vec<Row> = rows.into_iter().map(|(key, (n, f, b, s, x), left)| (key, image(n, f, b, &s, &x), left)).collect();
            prop_assert_eq!(read(&write(&rows)).unwrap(), rows);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(tail in prop::collection::vec(any::<u8>(), 0..400), keep in 0_usize..200) {
            let mut bytes = write(&three_rows());
            bytes.truncate(keep);
            bytes.extend(tail);
            let _ = read(&bytes);
        }
    }
}
