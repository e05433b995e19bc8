//! Snapshots of the tables of this process.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use napi_derive::napi;
use serde::Serialize;
use sluice_shared::table::{Persister, Table};

use crate::error::{Result, internal};
use crate::mailbox::{Mail, Mailbox, next_ticket, with_mailbox};

/// Reports that wait to be taken; older ones make room.
const REPORTS_MAX: usize = 256;

/// Where a table is kept, and how often it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Persist {
    pub(super) path: PathBuf,
    pub(super) every: Duration,
}

/// What became of a snapshot that failed, or is well again.
#[derive(Serialize)]
struct Report {
    table: String,
    /// Of the failure; null: it is well again.
    code: Option<&'static str>,
    message: Option<String>,
}

#[derive(Default)]
struct Reports {
    waiting: Vec<Report>,
    /// Who is told: the last to ask.
    listener: Option<(u64, Mailbox)>,
}

/// Guards the reports; never held across a call.
static REPORTS: Mutex<Option<Reports>> = Mutex::new(None);

static PERSISTER: LazyLock<Persister> = LazyLock::new(|| {
    Persister::new(Box::new(|table, failure| {
        let report = Report {
            table: table.to_owned(),
            code: failure.map(|failure| failure.code().as_str()),
            message: failure.map(ToString::to_string),
        };
        with_reports(|reports| {
            if reports.waiting.len() >= REPORTS_MAX {
                reports.waiting.remove(0);
            }
            reports.waiting.push(report);
            if let Some((ticket, mailbox)) = &reports.listener {
                mailbox.post(Mail {
                    ticket: *ticket,
                    value: 0,
                });
            }
        });
    }))
});

fn with_reports<T>(act: impl FnOnce(&mut Reports) -> T) -> T {
    let mut reports = REPORTS.lock().unwrap_or_else(PoisonError::into_inner);
    act(reports.get_or_insert_with(Reports::default))
}

/// Has a table written from now on.
pub(super) fn keep(table: &Arc<Table>, persist: &Persist) {
    PERSISTER.keep(table, persist.path.clone(), persist.every);
}

/// Has a table written no more.
pub(super) fn forget(table: &Arc<Table>) {
    PERSISTER.forget(table);
}

/// Writes the snapshots of all tables that have changed since their last ones, and says how many failed. Waits for the disk: for the end of
/// a server or a process.
#[napi(catch_unwind)]
pub fn write_snapshots() -> u32 {
    PERSISTER.flush() as u32
}

/// A ticket, to which mail comes when `takeSnapshotReports` has something; 0 without a mailbox. The thread that asked before hears no more.
#[napi(catch_unwind)]
pub fn watch_snapshots() -> f64 {
    with_mailbox(|mailbox| {
        let ticket = next_ticket();
        with_reports(|reports| reports.listener = Some((ticket, mailbox.clone())));
        ticket as f64
    })
    .unwrap_or(0.0)
}

/// JSON of what became of snapshots since the last call: `[{ table, code, message }]`.
#[napi(catch_unwind)]
pub fn take_snapshot_reports() -> Result<String> {
    let reports = with_reports(|reports| std::mem::take(&mut reports.waiting));
    serde_json::to_string(&reports).map_err(internal)
}
