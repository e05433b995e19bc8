//! placeholder
pub mod http1;
