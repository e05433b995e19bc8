//! HTTP/1.1 without I/O: bytes in, verdicts and bytes out.
//!
//! [`head`] parses a request head, [`body`] takes the framing off a request body, [`answer`] writes
//! responses. Nothing here owns a socket, a clock or a buffer that outlives a call, so every rule of
//! RFC 9112 that the server keeps can be tested by calling a function. Whatever is ambiguous enough to
//! be read differently by a proxy in front of us is refused with a [`Reject`], and the connection that
//! sent it must be closed after the answer.

pub mod answer;
pub mod body;
pub mod date;
pub mod head;
pub mod reject;

mod connection_options;
mod fault;
mod framing;
mod host;
mod limits;
mod method;
mod octets;
mod target;

#[cfg(test)]
pub(crate) mod cases;

pub use answer::{
    AnswerHead, Length, write_chunk, write_head, write_last_chunk, write_simple,
    write_simple_to_head,
};
pub use body::{BodyDecoder, Decoded};
pub use date::DateCache;
pub use head::{Field, Framing, HeadLimits, Method, Parse, RequestHead};
pub use reject::Reject;
