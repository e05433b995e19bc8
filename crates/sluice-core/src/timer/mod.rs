//! Timers without a clock: [`Wheel`] says what is due, [`NamedTimers`] who calls what when it is; whoever calls them says what time it
//! is.

mod callees;
mod level;
mod named;
mod wheel;

pub use callees::Calling;
pub use named::{
    Clear, ClearedAll, Due, Full, NamedTimers, NewTimer, TimerCall, TimerInfo, TimerLimits,
    Withdrawn,
};
pub use wheel::{TimerKey, Wheel};
