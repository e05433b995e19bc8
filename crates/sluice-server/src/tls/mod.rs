//! TLS: certificates and keys, who may connect, and the stream between a socket and the bytes that a port's protocol sees.
//!
//! [`TlsPort`] is what a port has: it makes a [`TlsStream`] of every socket, with the certificates of the moment. They are
//! read again on demand, and by the `renewal` thread when their files change; what is established keeps its own.

mod client_auth;
mod fault;
mod identity;
mod names;
mod pem;
mod port;
mod renewal;
mod stream;

pub use fault::TlsFault;
pub(crate) use port::TlsPort;
pub(crate) use renewal::Renewal;
pub use stream::TlsInfo;
pub(crate) use stream::{Handshake, TlsStream};
