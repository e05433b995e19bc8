//! The tables of this process by name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_core::ErrorCode;
use sluice_shared::table::{Opened, SnapshotError, Table, TableError, TableSpec};

use super::persist::{self, Persist};
use crate::error::{Error, Result, error};

/// Names at most. A table is never given back while the process lives: a program that makes up names must hear of it.
const TABLES_MAX: usize = 4096;
/// Bytes of a name at most.
const NAME_BYTES_MAX: usize = 64;
/// Of a table's file.
const EXTENSION: &str = "table";
/// Names the directory of the tables to the processes that a server starts.
const DIRECTORY_VARIABLE: &str = "SLUICE_TABLES";

#[derive(Default)]
struct Registry {
    /// Where tables are files; `None`: in memory of this process alone.
    directory: Option<PathBuf>,
    tables: HashMap<String, Entry>,
}

struct Entry {
    table: Arc<Table>,
    /// In the directory, and not in memory of this process alone.
    is_file: bool,
    persist: Option<Persist>,
}

/// Guards the names. Held while a table is made, so that two threads that want the same one get the same.
static REGISTRY: Mutex<Option<Registry>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Registry>> {
    // A panic while it was held has left at most one name out.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_registry() -> Registry {
    let directory = std::env::var_os(DIRECTORY_VARIABLE).filter(|path| !path.is_empty());
    Registry {
        directory: directory.map(PathBuf::from),
        tables: HashMap::new(),
    }
}

/// The table of that name, made if there is none.
pub(crate) fn open(name: &str, spec: &TableSpec, persist: Option<Persist>) -> Result<Arc<Table>> {
    if !is_name(name) {
        return Err(error(
            ErrorCode::InvalidArg,
            format!(
                "The name of a table has 1 to {NAME_BYTES_MAX} of the characters A-Z a-z 0-9 . _ -, not {name:?}"
            ),
        ));
    }
    let mut guard = lock();
    let registry = guard.get_or_insert_with(new_registry);
    if let Some(entry) = registry.tables.get(name) {
        let table = &entry.table;
        let difference = spec.difference(table.spec()).or_else(|| {
            let is_same = entry.persist == persist;
            (!is_same).then(|| "`persist` or `persistEvery` differs".to_owned())
        });
        return match difference {
            None => Ok(Arc::clone(table)),
            Some(difference) => Err(from_table(name, &TableError::Mismatch { difference })),
        };
    }
    if registry.tables.len() >= TABLES_MAX {
        return Err(error(
            ErrorCode::InvalidState,
            format!("There are {TABLES_MAX} tables already, table {name:?} cannot be made"),
        ));
    }
    let file = registry
        .directory
        .as_ref()
        .map(|directory| directory.join(format!("{name}.{EXTENSION}")));
    let opened = match &file {
        Some(path) => Table::open(path, name, spec),
        None => Table::private(name, spec).map(|table| Opened {
            table,
            previous: None,
            created: true,
        }),
    };
    let opened = opened.map_err(|source| from_table(name, &source))?;
    if let (Some(persist), true) = (&persist, opened.created) {
        let loaded = opened.table.load(opened.previous.as_ref(), &persist.path);
        if let Err(source) = loaded {
            // It is empty, or has some of the rows; the next start makes a new one.
            if let Some(path) = &file {
                let _ = std::fs::remove_file(path);
            }
            return Err(from_snapshot(name, &source));
        }
    }
    let table = Arc::new(opened.table);
    table.keep_swept();
    if let Some(persist) = &persist {
        persist::keep(&table, persist);
    }
    let entry = Entry {
        table: Arc::clone(&table),
        is_file: file.is_some(),
        persist,
    };
    registry.tables.insert(name.to_owned(), entry);
    Ok(table)
}

/// Where tables are files, if they are.
pub(crate) fn directory() -> Option<PathBuf> {
    lock().get_or_insert_with(new_registry).directory.clone()
}

/// From now on tables are files in `directory`, which exists. Those that are open stay where they are. Atomics begin anew: a server that
/// was killed may have left its own.
pub(super) fn use_directory(directory: PathBuf) {
    let _ = std::fs::remove_file(directory.join(crate::atomic::FILE));
    lock().get_or_insert_with(new_registry).directory = Some(directory);
}

/// Removes the files of the tables and forgets them: whoever opens a name now gets a fresh table. What threads hold stays theirs.
pub(super) fn release_directory() {
    let mut guard = lock();
    let registry = guard.get_or_insert_with(new_registry);
    let Some(directory) = registry.directory.take() else {
        return;
    };
    registry.tables.retain(|_, entry| {
        if entry.is_file {
            persist::forget(&entry.table);
        }
        !entry.is_file
    });
    // Those of tables that the application has no more, too. A file that cannot be removed is found and replaced by the next start.
    for entry in std::fs::read_dir(&directory)
        .into_iter()
        .flatten()
        .flatten()
    {
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == EXTENSION)
        {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    let _ = std::fs::remove_file(directory.join(crate::atomic::FILE));
    // Only when nothing else is in it.
    let _ = std::fs::remove_dir(directory);
}

/// The table in a file that another process has made.
pub(super) fn attach(path: &Path) -> Result<Arc<Table>> {
    let table = Table::attach(path).map_err(|source| error(source.code(), source))?;
    let table = Arc::new(table);
    table.keep_swept();
    Ok(table)
}

fn from_snapshot(name: &str, source: &SnapshotError) -> Error {
    error(
        source.code(),
        format!("Table {name:?} cannot get its rows back: {source}"),
    )
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn from_table(name: &str, source: &TableError) -> Error {
    error(source.code(), describe(name, source))
}

/// An error of a whole table, with its name.
fn describe(name: &str, source: &TableError) -> String {
    match source {
        TableError::Mismatch { difference } => format!(
            "Table {name:?} is in use with another description: {difference}. A changed table needs a restart of the server"
        ),
        TableError::Spec(fault) => format!("Table {name:?}: {fault}"),
        _ => format!("Table {name:?} cannot be opened: {source}"),
    }
}
