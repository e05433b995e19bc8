//! Timers without a clock: [`Wheel`] says what is due, [`NamedTimers`] who calls what when it is; whoever calls them says what time it
//! is.

mod level;
mod named;
mod task_names;
mod wheel;

pub use named::{
    CallCounts, CallId, Clear, ClearedAll, Due, Full, IN_HAND_MAX, NamedTimers, NewTimer, Outcome,
    TimerInfo, TimerLimits,
};
pub use wheel::{TimerKey, Wheel};
