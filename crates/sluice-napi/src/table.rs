//! Tables as JavaScript calls them.
//!
//! [`registry`] has the tables of the process by name. [`open_table`] gives a thread its own set of functions for one of them
//! ([`calls`]), bound to a [`Context`](context::Context): so a hot call takes no lock and looks nothing up. Rows cross through a
//! scratch buffer, two row images long, that TypeScript encodes and decodes (`src-ts/table/codec.ts`). A column of one word
//! crosses through a smaller one ([`words`]).

mod batch;
mod calls;
mod context;
mod key;
mod open;
mod persist;
pub(crate) mod registry;
mod watch;
mod words;
