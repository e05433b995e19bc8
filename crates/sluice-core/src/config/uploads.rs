//! What forms may have, and where their files go.

use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;
use super::check::{number, wrong};

/// What JavaScript counts without error.
const BYTES_MAX: u64 = (1 << 53) - 1;

/// Bounds of a form, and where its files are kept while its request is handled.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct UploadsConfig {
    /// The directory in which the server makes one of its own. Default: the system's for temporary files.
    pub dir: PathBuf,
    /// A whole form, its framing included, up to 2^53 - 1; beyond: 413. Default 64 MiB.
    pub max_bytes: u64,
    /// One file; a longer one is given up and marked so. 0 (default): as `max_bytes`.
    pub file_bytes: u64,
    /// Files up to this stay in memory, 0 (default) to 1 GiB.
    pub spool_above: u32,
    /// Fields that are no files, 0 to 65 536; beyond: 413. Default 1000.
    pub fields: u32,
    /// Files, 0 to 65 536; beyond: 413. Default 20.
    pub files: u32,
    /// The value of one field, 0 to 1 GiB; beyond: 413. Default 1 MiB.
    pub field_bytes: u32,
}

impl Default for UploadsConfig {
    fn default() -> Self {
        Self {
            dir: std::env::temp_dir(),
            max_bytes: 64 * 1024 * 1024,
            file_bytes: 0,
            spool_above: 0,
            fields: 1000,
            files: 20,
            field_bytes: 1024 * 1024,
        }
    }
}

impl UploadsConfig {
    pub(super) fn check(&self, path: &str) -> Result<(), ConfigError> {
        let dir = self.dir.as_os_str().as_encoded_bytes();
        if dir.is_empty() || dir.contains(&0) {
            let expected = "the path of a directory";
            return Err(wrong(&format!("{path}.dir"), expected, &self.dir));
        }
        for (name, value, max) in [
            ("maxBytes", self.max_bytes, BYTES_MAX),
            ("fileBytes", self.file_bytes, BYTES_MAX),
            ("spoolAbove", self.spool_above.into(), 1 << 30),
            ("fields", self.fields.into(), 65_536),
            ("files", self.files.into(), 65_536),
            ("fieldBytes", self.field_bytes.into(), 1 << 30),
        ] {
            number(&format!("{path}.{name}"), value, 0..=max)?;
        }
        Ok(())
    }
}
