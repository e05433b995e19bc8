//! What a list of jobs says.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;

use super::{Expression, ExpressionError, TimeZone};

/// Most jobs of a schedule: to list them with their next times is to take no longer than a few milliseconds, as nothing is begun meanwhile.
const JOBS_MAX: usize = 1000;
/// Longest name of a job, in bytes of UTF-8: that of a task.
const NAME_MAX: usize = 240;
/// Longest interval and time-out, ms: about 285 years, beyond which times do not fit any more.
const MS_MAX: u64 = 1 << 53;

/// A job: when it runs and how.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    /// Unique in the list.
    pub name: Arc<str>,
    /// Its times.
    pub when: When,
    /// Whether it runs at once when it is new, too.
    pub immediate: bool,
    /// What becomes of a run whose predecessor is not over.
    pub overlap: Overlap,
    /// What becomes of runs whose time nobody was there for.
    pub missed: Missed,
    /// Most a run may take, ms; 0: no limit.
    pub timeout: u64,
}

/// The times of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Every so many ms, 1 or more, by a clock that is not set.
    Every(u64),
    /// By the clock on the wall.
    Cron(Box<Expression>),
}

/// What becomes of a run whose predecessor is not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It begins when the predecessor is over; one at most waits, more are left out.
    Queue,
    /// It begins; beside 16 that are not over it is left out.
    Allow,
}

/// What becomes of runs that are missed: more than a minute late, or overtaken by a later one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// One run makes up for all of them.
    Once,
}

/// Why a list of jobs cannot be used. Nothing of it is, then.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// It is not what the TypeScript side writes.
    #[error("The list of jobs cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// There are too many.
    #[error("There are {0} cron jobs, more than 1000")]
    TooMany(usize),
    /// A name is empty or too long.
    #[error("The name of a cron job must have 1 to 240 bytes, got {0}")]
    Name(usize),
    /// Two have the same name.
    #[error("There are two cron jobs \"{0}\"")]
    Twice(Box<str>),
    /// An interval is 0 or beyond all times.
    #[error("Cron job \"{0}\": `every` must be 1 ms or more")]
    Interval(Box<str>),
    /// It has both times or none.
    #[error("Cron job \"{0}\": it needs either `every` or `cron`")]
    When(Box<str>),
    /// An expression is wrong.
    #[error("Cron job \"{name}\": the expression \"{text}\" cannot be used: {fault}")]
    Expression {
        /// The job.
        name: Box<str>,
        /// The whole expression.
        text: Box<str>,
        /// What is wrong with it.
        fault: ExpressionError,
    },
    /// A time zone is unknown.
    #[error("Cron job \"{name}\": there is no time zone \"{zone}\"")]
    Zone {
        /// The job.
        name: Box<str>,
        /// The time zone.
        zone: Box<str>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Job {
    name: Box<str>,
    every: Option<u64>,
    cron: Option<String>,
    time_zone: Option<String>,
    #[serde(default)]
    immediate: bool,
    #[serde(default)]
    overlap: Overlap,
    #[serde(default)]
    missed: Missed,
    #[serde(default)]
    timeout: u64,
}

/// Reads a list of jobs, JSON. `find_zone` knows the time zones; an expression without one is in UTC.
///
/// # Errors
///
/// [`JobsError`], for the first job that is wrong.
pub fn parse_jobs(
    json: &str,
    find_zone: impl Fn(&str) -> Option<TimeZone>,
) -> Result<Vec<JobSpec>, JobsError> {
    let jobs: Vec<Job> = serde_json::from_str(json)?;
    if jobs.len() > JOBS_MAX {
        return Err(JobsError::TooMany(jobs.len()));
    }
    let mut names = HashSet::new();
    jobs.into_iter()
        .map(|job| {
            if !(1..=NAME_MAX).contains(&job.name.len()) {
                return Err(JobsError::Name(job.name.len()));
            }
            if !names.insert(job.name.clone()) {
                return Err(JobsError::Twice(job.name));
            }
            to_spec(job, &find_zone)
        })
        .collect()
}

fn to_spec(job: Job, find_zone: &impl Fn(&str) -> Option<TimeZone>) -> Result<JobSpec, JobsError> {
    let when = match (job.every, job.cron) {
        (Some(every), None) if (1..=MS_MAX).contains(&every) => When::Every(every),
        (Some(_), None) => return Err(JobsError::Interval(job.name)),
        (None, Some(text)) => {
            let zone = match &job.time_zone {
                None => TimeZone::UTC,
                Some(zone) => match find_zone(zone) {
                    Some(zone) => zone,
                    None => {
                        return Err(JobsError::Zone {
                            name: job.name,
                            zone: zone.as_str().into(),
                        });
                    }
                },
            };
            match Expression::parse(&text, zone) {
                Ok(expression) => When::Cron(Box::new(expression)),
                Err(fault) => {
                    return Err(JobsError::Expression {
                        name: job.name,
                        text: text.into(),
                        fault,
                    });
                }
            }
        }
        _ => return Err(JobsError::When(job.name)),
    };
    Ok(JobSpec {
        name: job.name.into(),
        when,
        immediate: job.immediate,
        overlap: job.overlap,
        missed: job.missed,
        timeout: job.timeout.min(MS_MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Vec<JobSpec>, JobsError> {
        parse_jobs(json, |name| TimeZone::get(name).ok())
    }

    #[test]
    fn a_job_has_an_interval_or_an_expression() {
        let jobs = parse(
            r#"[{"name":"a","every":10,"immediate":true,"overlap":"queue"},{"name":"b","cron":"0 3 * * *","timeZone":"Europe/Berlin","missed":"once","timeout":5}]"#,
        )
        .unwrap();
        assert_eq!(jobs[0].when, When::Every(10));
        assert!(jobs[0].immediate);
        assert_eq!(
            (jobs[0].overlap, jobs[0].missed),
            (Overlap::Queue, Missed::Skip)
        );
        let When::Cron(expression) = &jobs[1].when else {
            panic!("it has an expression")
        };
        assert_eq!(
            (expression.text(), expression.zone()),
            ("0 3 * * *", "Europe/Berlin")
        );
        assert_eq!((jobs[1].missed, jobs[1].timeout), (Missed::Once, 5));
    }

    #[test]
    fn a_job_that_cannot_be_used_is_named() {
        let fault = |json: &str| parse(json).unwrap_err().to_string();
        assert_eq!(
            fault(r#"[{"name":"a","cron":"0 24 * * *"}]"#),
            "Cron job \"a\": the expression \"0 24 * * *\" cannot be used: field 2 (hour, 0 to 23) `24`: Number out of bounds"
        );
        assert_eq!(
            fault(r#"[{"name":"a","cron":"0 2 * * *","timeZone":"Mars/Base"}]"#),
            "Cron job \"a\": there is no time zone \"Mars/Base\""
        );
        assert_eq!(
            fault(r#"[{"name":"a","every":1},{"name":"a","every":1}]"#),
            "There are two cron jobs \"a\""
        );
        assert_eq!(
            fault(r#"[{"name":"a","every":0}]"#),
            "Cron job \"a\": `every` must be 1 ms or more"
        );
        assert_eq!(
            fault(r#"[{"name":"a"}]"#),
            "Cron job \"a\": it needs either `every` or `cron`"
        );
        assert_eq!(
            fault(r#"[{"name":""}]"#),
            "The name of a cron job must have 1 to 240 bytes, got 0"
        );
        let many: Vec<String> = (0..1001)
            .map(|number| format!(r#"{{"name":"{number}","every":1}}"#))
            .collect();
        assert_eq!(
            fault(&format!("[{}]", many.join(","))),
            "There are 1001 cron jobs, more than 1000"
        );
        assert!(fault("[{}]").starts_with("The list of jobs cannot be read: "));
    }
}
