//! Cron jobs: when each of them runs, and whether it may.
//!
//! [`Schedule`] decides; it is told the time, which list of jobs holds and how runs end, and gives the runs that are to begin. [`Expression`] has
//! the times of a cron expression in a time zone, also on the days on which clocks are changed.

mod expression;
#[cfg(test)]
mod model;
mod schedule;
mod spec;

pub use expression::{Expression, ExpressionError};
/// Time zones, as [`parse_jobs`] wants them.
pub use jiff::tz::TimeZone;
pub use schedule::{Counts, JobState, Last, Now, Run, RunId, Schedule, Trigger};
pub use spec::{JobSpec, JobsError, Missed, Overlap, When, parse_jobs};
