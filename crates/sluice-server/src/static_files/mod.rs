//! Files that the core sends by itself.
//!
//! What a request may name ([`path`]), what it asks of a file ([`conditions`], [`range`], [`coding`]) and what it gets
//! ([`answer`]) are decided without I/O. [`root`] opens files so that nothing outside a document root can be reached,
//! [`site`] puts the parts together for one entry of `static`. `engine/file.rs` sends what comes out, and the files that
//! a worker names.

pub(crate) mod answer;
pub(crate) mod conditions;
pub(crate) mod open_file;
pub(crate) mod site;

mod app_headers;
mod coding;
mod listing;
mod media_type;
mod path;
mod range;
mod root;
mod validators;

pub(crate) use answer::{Body, FileAnswer};
pub(crate) use app_headers::AppHeaders;
pub(crate) use conditions::Conditions;
pub(crate) use open_file::{FileSlice, OpenFile};
pub(crate) use site::Site;
