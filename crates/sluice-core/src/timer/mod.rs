//! Timers without a clock: [`Wheel`] says what is due, whoever calls it says what time it is.

mod level;
mod wheel;

pub use wheel::{TimerKey, Wheel};
