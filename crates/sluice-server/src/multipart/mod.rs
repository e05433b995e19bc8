//! Forms with files: `multipart/form-data` (RFC 7578), from the bytes of a body to fields, and files on a disk.
//!
//! `parser` and `part_head` are the format, without I/O and without limits but those of its own lines. `form` collects what a
//! form has within its limits, on the thread of the worker that reads it; `spool` is the thread that writes files.

mod form;
mod parser;
mod part_head;
mod spool;

#[cfg(test)]
mod corpus;

pub use form::{FieldValue, FileValue, Form, FormFault, FormLimits, FormStep};
pub use parser::{Malformed, Parser, Piece};
pub use part_head::PartHead;
pub(crate) use spool::{Account, Spooler};
