//! Content codings (RFC 9110 section 8.4): bodies of answers made smaller, bodies of requests made whole again.
//!
//! Without I/O. `encoder` and `decoder` turn bytes into bytes, `answer_fields` decides what may be compressed and what its
//! header then says. Answers are compressed on the thread of the worker that gives them, so that no reactor waits for it.

mod answer_fields;
mod decoder;
mod encoder;

pub(crate) use answer_fields::{may_encode, rewrite};
pub use decoder::{ContentDecoder, Decoded};
pub(crate) use encoder::{Encoder, Encoders};

/// A content coding that is made and understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// As in `content-encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }
}
