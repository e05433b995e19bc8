//! WebSocket (RFC 6455, RFC 7692) without I/O: bytes in, events out, as [`http1`](crate::http1) is for HTTP.
//!
//! [`handshake`] judges an upgrade request and writes the 101, [`extension`] agrees on permessage-deflate,
//! [`decoder`] turns received bytes into messages and control frames, [`frame`] and [`message`] write what is sent.
//! Both roles are spoken. Whatever breaks a rule is a [`Fault`], which holds the Close that the peer must get;
//! nothing that comes after it is read.

pub mod close;
pub mod decoder;
pub mod deflate;
pub mod extension;
pub mod fault;
pub mod frame;
pub mod handshake;
pub mod inflate;
pub mod mask;
pub mod message;

mod progress;
mod utf8;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod roundtrip;

pub use close::{is_close_code, write_close};
pub use decoder::{Decoded, Decoder, Event, Role, Settings};
pub use deflate::{Deflate, Deflater, Deflaters};
pub use extension::{Offer, negotiate};
pub use fault::Fault;
pub use frame::{Opcode, write_frame_header};
pub use handshake::{Refusal, Upgrade, accept_key, check, write_switching};
pub use inflate::Tools;
pub use mask::apply_mask;
pub use message::Message;
