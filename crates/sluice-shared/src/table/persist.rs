//! Keeping the rows of a table in a file, and taking them from there.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::sync::Ordering;
use rustix::fs::{FlockOperation, flock};

use super::convert::Conversion;
use super::geometry::header;
use super::snapshot::{Head, Reader, Writer};
use super::snapshot_error::{SnapshotError, SnapshotFault};
use super::{Mode, Table, TableError, Ttl};

/// How much is written to the file at once.
const BUFFER_BYTES: usize = 256 * 1024;

fn system(action: &'static str) -> impl FnOnce(io::Error) -> SnapshotFault {
    move |source| SnapshotFault::System { action, source }
}

impl Table {
    /// Fills a table that was just made with the rows it had before: those of `previous`, which a killed process left, else those
    /// of the snapshot `path`. Returns how many came.
    ///
    /// The rows of `previous` go to `path` first, so that nothing is lost if they do not fit into the table as it is described now.
    ///
    /// # Errors
    ///
    /// As [`write_snapshot`](Self::write_snapshot) and [`read_snapshot`](Self::read_snapshot).
    pub fn load(&self, previous: Option<&Table>, path: &Path) -> Result<u64, SnapshotError> {
        // One that was killed while it was being filled has not all of them.
        if let Some(previous) = previous
            .filter(|previous| previous.header(header::IS_FILLED).load(Ordering::Acquire) != 0)
        {
            previous.write_snapshot(path)?;
        }
        let rows = self.read_snapshot(path)?;
        self.header(header::IS_FILLED).store(1, Ordering::Release);
        Ok(rows.unwrap_or(0))
    }

    /// Writes the rows to the snapshot `path`, whole or not at all: they go to a file beside it, which then takes its name.
    /// Directories that are missing are made. Returns how many rows there were.
    ///
    /// # Errors
    ///
    /// What the system says; the snapshot that was there is untouched then.
    pub fn write_snapshot(&self, path: &Path) -> Result<u64, SnapshotError> {
        let written = replace(path, |file| {
            let (rows, buffer) =
                self.write_rows(BufWriter::with_capacity(BUFFER_BYTES, file), unix_ms())?;
            buffer
                .into_inner()
                .map_err(|error| system("write")(error.into_error()))?;
            Ok(rows)
        });
        written.map_err(|fault| SnapshotError {
            path: path.into(),
            fault,
        })
    }

    fn write_rows<W: Write>(&self, out: W, written: u64) -> Result<(u64, W), SnapshotFault> {
        let begun = Instant::now();
        let head = Head {
            name: self.name().into(),
            columns: self.spec().columns.clone(),
            written,
        };
        let mut writer = Writer::new(out, &head).map_err(system("write"))?;
        let mut failed = None;
        self.scan(0, b"", &mut |row| {
            let gone = begun.elapsed().as_millis() as u64;
            let expires_in = row.expires_in.map(|left| left.saturating_add(gone));
            match writer.row(row.key, row.image, expires_in) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match failed {
            Some(error) => Err(system("write")(error)),
            None => writer.finish().map_err(system("write")),
        }
    }

    /// Takes over the rows of the snapshot `path`, all or none. Rows whose time is over are left out. Returns how many came, or
    /// `None` when there is no such file.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, and what does not fit into this table. It is read twice, so that nothing of a file that is
    /// torn near its end gets into the table.
    pub fn read_snapshot(&self, path: &Path) -> Result<Option<u64>, SnapshotError> {
        let read = match OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
        {
            Ok(file) => self.read_file(&file, unix_ms()).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(system("open")(error)),
        };
        read.map_err(|fault| SnapshotError {
            path: path.into(),
            fault,
        })
    }

    fn read_file(&self, mut file: &File, now: u64) -> Result<u64, SnapshotFault> {
        if !file.metadata().map_err(system("read"))?.is_file() {
            return Err(SnapshotFault::Foreign);
        }
        let again = |file: &mut &File| io::Seek::rewind(file).map_err(system("read"));
        let rows = self.check_rows(BufReader::with_capacity(BUFFER_BYTES, file), now)?;
        again(&mut file)?;
        if rows > u64::from(self.capacity()) {
            self.check_keys(BufReader::with_capacity(BUFFER_BYTES, file), now)?;
            again(&mut file)?;
        }
        self.take_rows(BufReader::with_capacity(BUFFER_BYTES, file), now)
    }

    /// Reads all and checks all. Returns how many rows have not expired.
    fn check_rows(&self, input: impl io::Read, now: u64) -> Result<u64, SnapshotFault> {
        let reader = Reader::new(input)?;
        if reader.head().name != self.name() {
            return Err(SnapshotFault::Name {
                found: reader.head().name.clone(),
            });
        }
        let conversion = Conversion::new(reader.columns(), self.columns(), self.row_words())?;
        let gone = now.saturating_sub(reader.head().written);
        let max = usize::from(self.spec().max_key);
        let mut rows = 0;
        reader.rows(|key, image, expires_in| {
            if key.len() > max {
                return Err(SnapshotFault::KeyLength {
                    len: key.len(),
                    max,
                });
            }
            conversion.check(image)?;
            rows += u64::from(expires_in.is_none_or(|left| left > gone));
            Ok(())
        })?;
        Ok(rows)
    }

    /// A row that was deleted and made again while the snapshot was written may be in it twice.
    fn check_keys(&self, input: impl io::Read, now: u64) -> Result<(), SnapshotFault> {
        let reader = Reader::new(input)?;
        let gone = now.saturating_sub(reader.head().written);
        let mut keys = HashSet::new();
        reader.rows(|key, _, expires_in| {
            if expires_in.is_none_or(|left| left > gone) && !keys.contains(key) {
                keys.insert(Box::<[u8]>::from(key));
            }
            Ok::<_, SnapshotFault>(())
        })?;
        let (rows, size) = (keys.len() as u64, self.capacity());
        if rows > u64::from(size) {
            Err(SnapshotFault::TooMany { rows, size })
        } else {
            Ok(())
        }
    }

    fn take_rows(&self, input: impl io::Read, now: u64) -> Result<u64, SnapshotFault> {
        let reader = Reader::new(input)?;
        let conversion = Conversion::new(reader.columns(), self.columns(), self.row_words())?;
        let gone = now.saturating_sub(reader.head().written);
        let mut converted = Vec::new();
        let mut rows = 0;
        reader.rows(|key, image, expires_in| {
            if expires_in.is_some_and(|left| left <= gone) {
                return Ok(());
            }
            conversion.convert(image, &mut converted)?;
            self.import_row(key, &converted, expires_in.map(|left| left - gone))?;
            rows += 1;
            Ok::<_, SnapshotFault>(())
        })?;
        Ok(rows)
    }

    fn import_row(
        &self,
        key: &[u8],
        image: &[u64],
        expires_in: Option<u64>,
    ) -> Result<(), TableError> {
        let all = u64::MAX >> (64 - self.columns().len());
        self.set(
            key,
            Mode::Upsert,
            image,
            all,
            expires_in.map_or(Ttl::Never, Ttl::After),
        )?;
        Ok(())
    }
}

/// Milliseconds since 1970.
fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_millis() as u64)
}

/// Puts a new file in the place of `path`, made by `fill`. It is on the disk when this returns.
fn replace<T>(
    path: &Path,
    fill: impl FnOnce(&File) -> Result<T, SnapshotFault>,
) -> Result<T, SnapshotFault> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(system("make the directory of"))?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let file = claim(&beside)?;
    let written = (|| {
        file.set_len(0).map_err(system("write"))?;
        let result = fill(&file)?;
        file.sync_all().map_err(system("write"))?;
        fs::rename(&beside, path).map_err(system("write"))?;
        // The name is on the disk when the directory is.
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(system("write"))?;
        Ok(result)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Opens the file `beside` for this caller alone; one that a killed process left is taken over.
fn claim(beside: &Path) -> Result<File, SnapshotFault> {
    for _ in 0..16 {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(beside)
            .map_err(system("write"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(SnapshotFault::InUse),
            // A file system without locks.
            Err(
                rustix::io::Errno::NOLCK | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS,
            ) => return Ok(file),
            Err(error) => return Err(system("lock")(error.into())),
        }
        // Whoever had the lock before may have given this file its final name meanwhile.
        let ours = file.metadata().map_err(system("write"))?;
        match fs::symlink_metadata(beside) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => return Ok(file),
            _ => {}
        }
    }
    Err(SnapshotFault::InUse)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::fmt;
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use sluice_core::ErrorCode;

    use super::super::{ColumnKind, ColumnSpec, Evict, TableSpec};
    use super::*;

    fn spec(size: u32, columns: &[(&str, ColumnKind)]) -> TableSpec {
        let columns = columns
            .iter()
            .map(|(name, kind)| ColumnSpec {
                name: (*name).into(),
                kind: *kind,
            })
            .collect();
        TableSpec {
            size,
            columns,
            ttl: None,
            evict: Evict::None,
            max_key: 255,
        }
    }

    fn table(size: u32, columns: &[(&str, ColumnKind)]) -> Table {
        Table::private("users", &spec(size, columns)).unwrap()
    }

    const PLAIN: [(&str, ColumnKind); 2] = [
        ("n", ColumnKind::Int),
        ("name", ColumnKind::Text { size: 16 }),
    ];

    fn place() -> (TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("users.snapshot");
        (place, path)
    }

    fn filled(rows: u32) -> Table {
        let table = table(rows, &PLAIN);
        for number in 0..rows {
            let key = format!("key-{number}");
            table
                .set_word(key.as_bytes(), Mode::Upsert, 0, number.into(), Ttl::Default)
                .unwrap();
            table
                .set_bytes(
                    key.as_bytes(),
                    Mode::Upsert,
                    1,
                    key.as_bytes(),
                    Ttl::Default,
                )
                .unwrap();
        }
        table
    }

    fn fault(result: Result<impl fmt::Debug, SnapshotError>) -> SnapshotFault {
        result.unwrap_err().fault
    }

    #[test]
    fn rows_come_back() {
        let (_place, path) = place();
        let before = filled(3000);
        assert_eq!(before.write_snapshot(&path).unwrap(), 3000);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let after = table(3000, &PLAIN);
        assert_eq!(after.read_snapshot(&path).unwrap(), Some(3000));
        assert_eq!(after.len(), 3000);
        for number in 0..3000_u32 {
            let key = format!("key-{number}");
            let mut name = Vec::new();
            assert_eq!(
                after.get_word(key.as_bytes(), 0).unwrap(),
                Some(number.into())
            );
            assert!(after.get_bytes(key.as_bytes(), 1, &mut name).unwrap());
            assert_eq!(name, key.as_bytes());
        }
    }

    #[test]
    fn no_file_is_no_error_and_leaves_the_table_empty() {
        let (_place, path) = place();
        let table = table(1, &PLAIN);
        assert_eq!(table.read_snapshot(&path).unwrap(), None);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn directories_that_are_missing_are_made() {
        let (place, _) = place();
        let path = place.path().join("a/b/users");
        filled(1).write_snapshot(&path).unwrap();
        assert_eq!(
            path.parent()
                .unwrap()
                .metadata()
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o700
        );
    }

    #[test]
    fn times_to_live_go_on_and_rows_whose_time_is_over_are_left_out() {
        let before = table(3, &PLAIN);
        for (key, ttl) in [
            (b"a", Ttl::After(10_000)),
            (b"b", Ttl::After(60_000)),
            (b"c", Ttl::Never),
        ] {
            before.set_word(key, Mode::Upsert, 0, 1, ttl).unwrap();
        }
        let (_, bytes) = before.write_rows(Vec::new(), 1_000_000).unwrap();
        let after = table(3, &PLAIN);
        // As read_file does, half a minute later.
        let now = 1_030_000;
        assert_eq!(after.check_rows(&bytes[..], now).unwrap(), 2);
        assert_eq!(after.take_rows(&bytes[..], now).unwrap(), 2);
        let mut left = Vec::new();
        after
            .scan(0, b"", &mut |row| {
                left.push((row.key.to_vec(), row.expires_in));
                ControlFlow::Continue(())
            })
            .unwrap();
        left.sort();
        assert!(
            matches!(&left[..], [(b, Some(29_000..=30_000)), (c, None)] if b == b"b" && c == b"c"),
            "{left:?}"
        );
        // A clock that was set back does not make them live longer.
        let after = table(3, &PLAIN);
        after.take_rows(&bytes[..], 0).unwrap();
        let mut longest = 0;
        after
            .scan(0, b"", &mut |row| {
                longest = longest.max(row.expires_in.unwrap_or(0));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!((59_000..=60_000).contains(&longest), "{longest}");
    }

    #[test]
    fn of_a_file_that_is_cut_or_changed_anywhere_no_row_is_taken() {
        let (_place, path) = place();
        filled(3).write_snapshot(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let table = table(3, &PLAIN);
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).unwrap();
            assert!(table.read_snapshot(&path).is_err(), "cut to {at}");
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let error = table.read_snapshot(&path).unwrap_err();
            assert_eq!(error.code(), ErrorCode::TableFile, "{error}");
            assert_eq!(table.len(), 0);
        }
    }

    #[test]
    fn what_is_no_snapshot_is_refused_with_its_path() {
        let (place, path) = place();
        fs::write(&path, "hello, world: sixteen bytes and more").unwrap();
        let table = table(1, &PLAIN);
        let error = table.read_snapshot(&path).unwrap_err();
        assert!(matches!(error.fault, SnapshotFault::Foreign));
        assert!(error.to_string().contains(path.to_str().unwrap()));
        assert!(matches!(
            fault(table.read_snapshot(place.path())),
            SnapshotFault::Foreign
        ));
    }

    #[test]
    fn another_tables_snapshot_is_refused() {
        let (_place, path) = place();
        filled(1).write_snapshot(&path).unwrap();
        let other = Table::private("other", &spec(1, &PLAIN)).unwrap();
        assert!(
            matches!(fault(other.read_snapshot(&path)), SnapshotFault::Name { found } if found == "users")
        );
    }

    #[test]
    fn columns_may_change_as_long_as_the_values_fit() {
        let (_place, path) = place();
        filled(2).write_snapshot(&path).unwrap();
        let after = table(
            2,
            &[
                ("new", ColumnKind::Float),
                ("name", ColumnKind::Text { size: 5 }),
            ],
        );
        assert_eq!(after.read_snapshot(&path).unwrap(), Some(2));
        assert_eq!(after.get_word(b"key-1", 0).unwrap(), Some(0));

        let error = table(2, &[("n", ColumnKind::Float)])
            .read_snapshot(&path)
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::TableMismatch);
        assert!(matches!(error.fault, SnapshotFault::Kind { column, .. } if column == "n"));

        let smaller = table(2, &[("name", ColumnKind::Text { size: 4 })]);
        let error = smaller.read_snapshot(&path).unwrap_err();
        assert!(matches!(
            error.fault,
            SnapshotFault::TooLong {
                size: 4,
                len: 5,
                ..
            }
        ));
        assert_eq!(smaller.len(), 0);

        let short_keys = TableSpec {
            max_key: 4,
            ..spec(2, &PLAIN)
        };
        let short_keys = Table::private("users", &short_keys).unwrap();
        assert!(matches!(
            fault(short_keys.read_snapshot(&path)),
            SnapshotFault::KeyLength { len: 5, max: 4 }
        ));
    }

    #[test]
    fn more_rows_than_the_table_has_are_refused_and_as_many_are_not() {
        let (_place, path) = place();
        filled(10).write_snapshot(&path).unwrap();
        let smaller = table(9, &PLAIN);
        let error = smaller.read_snapshot(&path).unwrap_err();
        assert_eq!(error.code(), ErrorCode::TableFull);
        assert!(matches!(
            error.fault,
            SnapshotFault::TooMany { rows: 10, size: 9 }
        ));
        assert_eq!(smaller.len(), 0);
        assert_eq!(table(10, &PLAIN).read_snapshot(&path).unwrap(), Some(10));
    }

    #[test]
    fn a_key_that_stands_in_it_twice_counts_once_and_the_later_row_is_it() {
        let head = Head {
            name: "users".into(),
            columns: spec(1, &PLAIN).columns,
            written: 0,
        };
        let mut writer = Writer::new(Vec::new(), &head).unwrap();
        for number in [1, 2] {
            let mut image = vec![0; table(1, &PLAIN).row_words()];
            image[0] = number;
            writer.row(b"ada", &image, None).unwrap();
        }
        let (_, bytes) = writer.finish().unwrap();
        let (_place, path) = place();
        fs::write(&path, bytes).unwrap();
        let after = table(1, &PLAIN);
        after.read_snapshot(&path).unwrap();
        assert_eq!(after.get_word(b"ada", 0).unwrap(), Some(2));
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_snapshot_and_nothing_else() {
        let (place, path) = place();
        filled(2).write_snapshot(&path).unwrap();
        let before = fs::read(&path).unwrap();
        struct Full;
        impl Write for Full {
            fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let table = filled(5000);
        let failed = replace(&path, |mut file| {
            // Some of it gets there before the disk is full.
            file.write_all(&before[..10]).map_err(system("write"))?;
            table.write_rows(Full, 0)
        });
        assert!(matches!(
            failed,
            Err(SnapshotFault::System {
                action: "write",
                ..
            })
        ));
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        table.write_snapshot(&path).unwrap();
        assert_eq!(
            super::super::Table::private("users", &spec(5000, &PLAIN))
                .unwrap()
                .read_snapshot(&path)
                .unwrap(),
            Some(5000)
        );
    }

    #[test]
    fn what_a_killed_writer_left_is_written_over() {
        let (place, path) = place();
        fs::write(place.path().join("users.snapshot.new"), vec![1; 100_000]).unwrap();
        filled(2).write_snapshot(&path).unwrap();
        assert_eq!(table(2, &PLAIN).read_snapshot(&path).unwrap(), Some(2));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_never_write_one_snapshot_at_once() {
        let (_place, path) = place();
        let first = filled(2);
        let second = replace(&path, |_| Ok(fault(first.write_snapshot(&path)))).unwrap();
        assert!(matches!(second, SnapshotFault::InUse));
        first.write_snapshot(&path).unwrap();
    }

    #[test]
    fn rows_of_a_process_that_was_killed_come_before_those_of_the_snapshot() {
        let (_place, path) = place();
        filled(2).write_snapshot(&path).unwrap();
        let previous = filled(5);
        previous
            .header(header::IS_FILLED)
            .store(1, Ordering::Release);
        let now = table(5, &[("name", ColumnKind::Text { size: 16 })]);
        assert_eq!(now.load(Some(&previous), &path).unwrap(), 5);
        let mut name = Vec::new();
        assert!(now.get_bytes(b"key-4", 0, &mut name).unwrap());
        assert_eq!(name, b"key-4");
    }

    #[test]
    fn rows_that_do_not_fit_any_more_are_in_the_snapshot() {
        let (_place, path) = place();
        let previous = filled(5);
        previous
            .header(header::IS_FILLED)
            .store(1, Ordering::Release);
        let smaller = table(4, &PLAIN);
        assert!(matches!(
            fault(smaller.load(Some(&previous), &path)),
            SnapshotFault::TooMany { rows: 5, size: 4 }
        ));
        assert_eq!(smaller.len(), 0);
        assert_eq!(table(5, &PLAIN).load(None, &path).unwrap(), 5);
    }

    #[test]
    fn a_table_whose_process_was_killed_while_it_was_filled_does_not_count() {
        let (_place, path) = place();
        filled(5).write_snapshot(&path).unwrap();
        let half = filled(2);
        assert_eq!(table(5, &PLAIN).load(Some(&half), &path).unwrap(), 5);
    }
}
