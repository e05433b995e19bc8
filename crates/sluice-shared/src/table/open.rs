//! Making, joining and attaching tables.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use serde::{Deserialize, Serialize};

use crate::sync::{AtomicU32, AtomicU64, Ordering};

use super::clock::Clock;
use super::geometry::{Geometry, MAGIC, SPEC_BYTES_MAX, VERSION, header};
use super::key::{HashKey, word_of};
use super::mapping::Mapping;
use super::{FileFault, Table, TableError, TableSpec, slots};

/// A table that was opened by name.
#[derive(Debug)]
pub struct Opened {
    /// The table.
    pub table: Table,
    /// The one that lay there before and that nobody used any more: its process was killed. Its file is gone; its rows can
    /// still be read.
    pub previous: Option<Table>,
    /// It was made; `false`: other processes use it already.
    pub created: bool,
}

/// What the file says about itself.
#[derive(Serialize, Deserialize)]
struct Description {
    name: String,
    spec: TableSpec,
}

impl Table {
    /// A table that only this process can use. Its memory is promised here: later calls cannot run out of it.
    ///
    /// # Errors
    ///
    /// [`TableError::Spec`]; [`TableError::System`] when there is no memory.
    pub fn private(name: &str, spec: &TableSpec) -> Result<Self, TableError> {
        let description = describe(name, spec);
        let (columns, data_words) = checked(spec)?;
        let geometry =
            Geometry::new(spec, data_words, description.len()).map_err(TableError::Spec)?;
        let mapping = Mapping::private(name, geometry.base_bytes(), geometry.file_bytes())
            .map_err(|source| TableError::System {
                action: "get memory for",
                path: None,
                source,
            })?;
        let table = Self::over(
            mapping,
            None,
            (name.to_owned(), spec.clone(), columns, geometry),
            HashKey(0, 0),
        )?;
        table.init(&description)
    }

    /// The table of this name in the file `path`: joined if a living process uses it, made otherwise.
    ///
    /// # Errors
    ///
    /// [`TableError::Spec`]; [`TableError::Mismatch`] when it is in use and made with another description;
    /// [`TableError::File`] when something else lies there; [`TableError::System`].
    pub fn open(path: &Path, name: &str, spec: &TableSpec) -> Result<Opened, TableError> {
        let (columns, data_words) = checked(spec)?;
        let _lock = lock_directory(path)?;
        let mut previous = None;
        match Mapping::open(path) {
            Ok(mapping) if slots::is_in_use(mapping.file()).map_err(system("use", path))? => {
                let table = Self::attached(mapping, path)?;
                if let Some(difference) = spec.difference(&table.spec) {
                    return Err(TableError::Mismatch { difference });
                }
                return Ok(Opened {
                    table,
                    previous: None,
                    created: false,
                });
            }
            Ok(mapping) => {
                previous = match Self::attached(mapping, path) {
                    Ok(table) => Some(table),
                    // What is no table is not ours to remove; what was one is of no use to anybody.
                    Err(
                        error @ TableError::File {
                            fault: FileFault::Foreign,
                            ..
                        },
                    ) => return Err(error),
                    Err(_) => None,
                };
                std::fs::remove_file(path).map_err(system("replace", path))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                std::fs::remove_file(path).map_err(system("replace", path))?
            }
            Err(error) => return Err(system("open", path)(error)),
        }
        let table = Self::create(path, name, spec, (columns, data_words))?;
        Ok(Opened {
            table,
            previous,
            created: true,
        })
    }

    fn create(
        path: &Path,
        name: &str,
        spec: &TableSpec,
        (columns, data_words): (Vec<super::Column>, usize),
    ) -> Result<Self, TableError> {
        let description = describe(name, spec);
        let geometry =
            Geometry::new(spec, data_words, description.len()).map_err(TableError::Spec)?;
        // Under another name until it is whole.
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(system("replace", &unfinished)(error));
            }
            _ => {}
        }
        let make = || {
            let mapping =
                Mapping::create(&unfinished, geometry.base_bytes(), geometry.file_bytes())
                    .map_err(system("make", path))?;
            let table = Self::over(
                mapping,
                Some(path.to_owned()),
                (name.to_owned(), spec.clone(), columns, geometry),
                HashKey(0, 0),
            )?;
            let table = table.init(&description)?;
            std::fs::rename(&unfinished, path).map_err(system("make", path))?;
            Ok(table)
        };
        make().inspect_err(|_| drop(std::fs::remove_file(&unfinished)))
    }

    /// A table that another process made.
    ///
    /// # Errors
    ///
    /// [`TableError::File`] when the file is none, or none of this format; [`TableError::System`].
    pub fn attach(path: &Path) -> Result<Self, TableError> {
        let _lock = lock_directory(path)?;
        let mapping = Mapping::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => torn(path),
            _ => system("open", path)(error),
        })?;
        Self::attached(mapping, path)
    }

    /// Checks all that the file says before anything relies on it.
    fn attached(mapping: Mapping, path: &Path) -> Result<Self, TableError> {
        let fault = |fault| TableError::File {
            path: path.to_owned(),
            fault,
        };
        let word = |at: usize| {
            mapping
                .words()
                .get(at)
                .map(|word| word.load(Ordering::Acquire))
        };
        if word(header::MAGIC) != Some(MAGIC) {
            return Err(fault(FileFault::Foreign));
        }
        let found = word(header::VERSION).unwrap_or(0) as u32;
        if found != VERSION {
            return Err(fault(FileFault::Version {
                found,
                known: VERSION,
            }));
        }
        if mapping.words().len() <= header::SPEC {
            return Err(fault(FileFault::Torn));
        }
        let at = |at: usize| mapping.words()[at].load(Ordering::Relaxed);
        if at(header::BOOT) != boot() {
            return Err(fault(FileFault::OldBoot));
        }
        let hash_key = HashKey(at(header::HASH_KEY), at(header::HASH_KEY + 1));
        let len = usize::try_from(at(header::SPEC_BYTES))
            .ok()
            .filter(|len| *len <= SPEC_BYTES_MAX);
        let words = len.and_then(|len| {
            mapping
                .words()
                .get(header::SPEC..header::SPEC + len.div_ceil(8))
        });
        let (Some(len), Some(words)) = (len, words) else {
            return Err(fault(FileFault::Torn));
        };
        let mut text: Vec<u8> = words
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
            .collect();
        text.truncate(len);
        if hash_key.hash(&text) != at(header::SPEC_HASH) {
            return Err(fault(FileFault::Torn));
        }
        let description: Description =
            serde_json::from_slice(&text).map_err(|_| fault(FileFault::Torn))?;
        let spec = description.spec;
        let (columns, data_words) = checked(&spec).map_err(|_| fault(FileFault::Torn))?;
        let geometry = Geometry::new(&spec, data_words, len).map_err(|_| fault(FileFault::Torn))?;
        if geometry.file_bytes() != mapping.words().len() as u64 * 8 {
            return Err(fault(FileFault::Torn));
        }
        let table = Self::over(
            mapping,
            Some(path.to_owned()),
            (description.name, spec, columns, geometry),
            hash_key,
        )?;
        table.recover_slot();
        Ok(table)
    }

    /// A table over its memory, with a slot of its own.
    fn over(
        mapping: Mapping,
        path: Option<PathBuf>,
        (name, spec, columns, geometry): (String, TableSpec, Vec<super::Column>, Geometry),
        hash_key: HashKey,
    ) -> Result<Self, TableError> {
        let slot = slots::claim(mapping.file()).map_err(|source| TableError::System {
            action: "use",
            path: path.clone(),
            source,
        })?;
        let slot = slot.ok_or_else(|| TableError::File {
            path: path.clone().unwrap_or_default(),
            fault: FileFault::Crowded,
        })?;
        let pages = (geometry.file_bytes() - geometry.base_bytes()).div_ceil(4096);
        let table = Self {
            name,
            spec,
            columns,
            mapping,
            slot,
            hash_key,
            path,
            reserved: (0..pages.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            geometry,
            clock: Clock::default(),
            free_hint: AtomicU32::new(0),
            is_exhausted: AtomicBool::new(false),
            dice: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
            hub: Mutex::default(),
        };
        table.dice.store(table.clock.now_ns(), Ordering::Relaxed);
        table
            .header(header::PIDS + usize::from(slot))
            .store(std::process::id().into(), Ordering::Relaxed);
        Ok(table)
    }

    /// Writes what an empty table begins with. The mark that makes it one comes last.
    fn init(mut self, description: &str) -> Result<Self, TableError> {
        let key = || {
            getrandom::u64().map_err(|error| TableError::System {
                action: "draw a hash key for",
                path: self.path.clone(),
                source: io::Error::other(error),
            })
        };
        self.hash_key = HashKey(key()?, key()?);
        let put = |at: usize, word: u64| self.header(at).store(word, Ordering::Relaxed);
        put(header::HASH_KEY, self.hash_key.0);
        put(header::HASH_KEY + 1, self.hash_key.1);
        put(header::BOOT, boot());
        put(header::NEXT_EXPIRY, u64::MAX);
        put(header::SPEC_BYTES, description.len() as u64);
        put(
            header::SPEC_HASH,
            self.hash_key.hash(description.as_bytes()),
        );
        for (at, chunk) in description.as_bytes().chunks(8).enumerate() {
            put(header::SPEC + at, word_of(chunk));
        }
        self.init_free();
        put(
            header::VERSION,
            u64::from(VERSION) | (self.geometry.header_words() as u64) << 32,
        );
        self.header(header::MAGIC).store(MAGIC, Ordering::Release);
        Ok(self)
    }
}

fn checked(spec: &TableSpec) -> Result<(Vec<super::Column>, usize), TableError> {
    spec.check().map_err(TableError::Spec)?;
    Ok(spec.layout())
}

fn describe(name: &str, spec: &TableSpec) -> String {
    let description = Description {
        name: name.to_owned(),
        spec: spec.clone(),
    };
    serde_json::to_string(&description).expect("names, numbers and words have a JSON form")
}

fn torn(path: &Path) -> TableError {
    TableError::File {
        path: path.to_owned(),
        fault: FileFault::Torn,
    }
}

fn system(action: &'static str, path: &Path) -> impl Fn(io::Error) -> TableError {
    let path = path.to_owned();
    move |source| TableError::System {
        action,
        path: Some(path.clone()),
        source,
    }
}

/// One process at a time makes, joins or replaces a table of a directory. Let go when dropped.
fn lock_directory(path: &Path) -> Result<File, TableError> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let open = || -> io::Result<File> {
        let directory = rustix::fs::open(
            directory,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        flock(&directory, FlockOperation::LockExclusive)?;
        Ok(File::from(directory))
    };
    open().map_err(system("lock the directory of", path))
}

/// Which boot of the machine this is. The clock of expiries begins anew with each.
fn boot() -> u64 {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    HashKey(0, 0).hash(&id)
}
