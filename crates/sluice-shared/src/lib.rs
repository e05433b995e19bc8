//! Memory that threads and JavaScript share. The only home of our own unsafe code outside the
//! Node-API binding; everything public here is safe to call.
//!
//! * [`ring`] makes the two ends of a lane's byte ring: a [`Producer`] and a [`Consumer`].
//! * [`record`] is the layout of what travels in it: [`Words`](record::Words), kinds and flags.
//! * [`WorkerBlock`] holds what a worker tells about itself: asleep, alive, working on which record.
//! * [`Parked`] is the same wake flag for a sleeping reactor.
//! * [`duplicate`] and [`set_tcp_option`] are calls on descriptors that no library offers in a safe form.
//! * [`table`] is rows of typed columns that threads and other processes read and write.
//! * [`Cells`] are numbers by name, in memory that JavaScript changes.
//! * [`MemoryView`] lends memory to the binding, which shows it to JavaScript.
//!
//! The layout is the contract in `docs/architecture.md`; `src-ts/bridge/` reads it from the other
//! side. Words that JavaScript writes are outside input here: they are checked, never trusted.

#[cfg(target_endian = "big")]
compile_error!("the bridge is little-endian: JavaScript reads the same words through typed arrays");

mod cells;
mod descriptor;
mod memory;
mod parker;
pub mod record;
mod ring;
mod sync;
// Loom has no memory that is mapped; `tests/loom.rs` models the lock alone.
#[cfg(not(loom))]
pub mod table;
mod worker_block;

pub use cells::{
    CELL_BYTES, CELL_NAME_BYTES_MAX, CELLS, CELLS_HEADER_BYTES, CellError, CellKind, Cells, Claimed,
};
pub use descriptor::{TcpOption, duplicate, set_tcp_option};
pub use memory::MemoryView;
pub use parker::Parked;
pub use ring::{
    CAPACITY_LOG2_MAX, CAPACITY_LOG2_MIN, Consumer, Corrupt, Producer, PushError,
    RING_HEADER_BYTES, Record, ring,
};
pub use worker_block::{Counters, Current, WORKER_BLOCK_BYTES, WorkerBlock, WorkerPhase};
