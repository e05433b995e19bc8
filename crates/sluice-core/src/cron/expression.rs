//! The times of a cron expression.

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// Longest text of an expression, in bytes.
const TEXT_MAX: usize = 256;
/// Changes of a clock that are looked beyond for the next time: an expression may match once in 28 years.
const CHANGES_MAX: usize = 512;
/// Times that are passed over because they were in the first half of an hour that is there twice.
const REPEATED_MAX: usize = 24 * 3600;

/// A cron expression in a time zone.
///
/// The dialect is that of `croner`: five fields (minute, hour, day, month, weekday) or six with the second before them, `L`, `W`, `#`, `?`,
/// names of months and weekdays, `@daily` and its like.
///
/// On the days on which clocks are changed, an expression whose second, minute and hour are *named* (numbers, lists, ranges) runs exactly once
/// for each of its times: one that is left out runs at the moment after the gap (all that are left out, together), one that is there twice runs
/// the first time. An expression with `*` or `/` in one of these fields means an interval: it runs whenever the clock on the wall matches, so
/// not for what is left out, and in both halves of an hour that is there twice.
#[derive(Clone, Debug)]
pub struct Expression {
    text: Box<str>,
    cron: Cron,
    zone: TimeZone,
    is_interval: bool,
}

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    /// Which field is wrong: its place from 1, what it holds, and its text. `None`: the expression as a whole.
    pub field: Option<(usize, &'static str, Box<str>)>,
    /// What is wrong with it.
    pub reason: Box<str>,
}

impl std::fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.field {
            Some((place, what, text)) => {
                write!(f, "field {place} ({what}) `{text}`: {}", self.reason)
            }
            None => f.write_str(&self.reason),
        }
    }
}

impl Expression {
    /// Reads `text`.
    ///
    /// # Errors
    ///
    /// [`ExpressionError`], also for an expression that never matches, such as one of 30 February.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, ExpressionError> {
        let whole = |reason: &str| ExpressionError {
            field: None,
            reason: reason.into(),
        };
        if text.len() > TEXT_MAX {
            return Err(whole("it has more than 256 bytes"));
        }
        let cron = parse(text).map_err(|reason| find_fault(text, reason))?;
        // A time zone does not make a difference to whether there is a time at all.
        let is_empty = cron
            .find_next_occurrence(&DateTime::constant(2000, 1, 1, 0, 0, 0, 0), true)
            .is_err();
        if is_empty {
            return Err(whole("it matches no time"));
        }
        let is_interval = is_interval(cron.as_str());
        Ok(Self {
            text: text.into(),
            cron,
            zone,
            is_interval,
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of the time zone.
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// Whether it means an interval rather than times by name, see above.
    pub fn is_interval(&self) -> bool {
        self.is_interval
    }

    /// The first time after `after`, in Unix ms; `None` when there is no more (the calendar ends with the year 9999).
    pub fn next(&self, after: u64) -> Option<u64> {
        // Times are whole seconds: what comes after 10.5 s comes after 10 s.
        let after = Timestamp::from_second(i64::try_from(after / 1000).ok()?).ok()?;
        let next = if self.is_interval {
            self.next_matching(after)
        } else {
            self.next_named(after)
        };
        u64::try_from(next?.as_millisecond()).ok()
    }

    /// Whatever the wall says: offset by offset.
    fn next_matching(&self, after: Timestamp) -> Option<Timestamp> {
        let (mut from, mut is_inclusive) = (after, false);
        for _ in 0..CHANGES_MAX {
            let offset = self.zone.to_offset(from);
            let wall = offset.to_datetime(from);
            let change = self
                .zone
                .following(from)
                .next()
                .map(|change| change.timestamp());
            let found = self.cron.find_next_occurrence(&wall, is_inclusive).ok();
            let found = found.and_then(|wall| offset.to_timestamp(wall).ok());
            match (found, change) {
                (Some(found), Some(change)) if found < change => return Some(found),
                (_, Some(change)) => (from, is_inclusive) = (change, true),
                (found, None) => return found,
            }
        }
        None
    }

    /// Each time of the calendar once. Where it is on the line of time never runs backwards, so the first one behind `after` is the next.
    fn next_named(&self, after: Timestamp) -> Option<Timestamp> {
        let mut wall = self.zone.to_datetime(after);
        for _ in 0..REPEATED_MAX {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let at = self.moment(wall)?;
            if at > after {
                return Some(at);
            }
        }
        None
    }

    /// The moment of a time that is named.
    fn moment(&self, wall: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
            AmbiguousOffset::Gap { before, .. } => {
                let beyond = before.to_timestamp(wall).ok()?;
                // The change itself is asked for when the time is the first one that is left out.
                let beyond = beyond.checked_add(SignedDuration::from_secs(1)).ok()?;
                Some(self.zone.preceding(beyond).next()?.timestamp())
            }
        }
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

fn parse(text: &str) -> Result<Cron, String> {
    CronParser::builder()
        .seconds(Seconds::Optional)
        .build()
        .parse(text)
        .map_err(|error| match error {
            CronError::InvalidPattern(reason)
            | CronError::IllegalCharacters(reason)
            | CronError::ComponentError(reason) => reason,
            other => other.to_string(),
        })
}

/// Whether second, minute or hour are not named.
fn is_interval(pattern: &str) -> bool {
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    let times = if fields.len() == 5 { 2 } else { 3 };
    fields
        .iter()
        .take(times)
        .any(|field| field.contains(['*', '/', '?']))
}

/// Which field is to blame: the first one that is wrong on its own.
fn find_fault(text: &str, reason: String) -> ExpressionError {
    const NAMES: [&str; 7] = [
        "second, 0 to 59",
        "minute, 0 to 59",
        "hour, 0 to 23",
        "day, 1 to 31",
        "month, 1 to 12 or JAN to DEC",
        "weekday, 0 to 7 or SUN to SAT",
        "year",
    ];
    let fields: Vec<&str> = text.split_whitespace().collect();
    let names = match fields.len() {
        5 => &NAMES[1..6],
        6 => &NAMES[..6],
        7 => &NAMES[..],
        count => {
            return ExpressionError {
                field: None,
                reason: format!("it has {count} fields, not five or six").into(),
            };
        }
    };
    let fault = fields.iter().enumerate().find_map(|(index, field)| {
        let mut alone = vec!["*"; fields.len()];
        alone[index] = field;
        Some((index, field, parse(&alone.join(" ")).err()?))
    });
    match fault {
        Some((index, field, reason)) => ExpressionError {
            field: Some((index + 1, names[index], (*field).into())),
            reason: reason.trim_end_matches('.').into(),
        },
        None => ExpressionError {
            field: None,
            reason: reason.trim_end_matches('.').into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn expression(text: &str, name: &str) -> Expression {
        Expression::parse(text, zone(name)).unwrap()
    }

    fn unix(at: &str) -> u64 {
        at.parse::<Timestamp>().unwrap().as_millisecond() as u64
    }

    /// The times from `from` on, until `to`, as an RFC 3339 time says them.
    fn times(expression: &Expression, from: &str, to: &str) -> Vec<String> {
        let mut at = unix(from) - 1;
        let mut times = Vec::new();
        while let Some(next) = expression.next(at).filter(|&next| next <= unix(to)) {
            times.push(
                Timestamp::from_millisecond(next as i64)
                    .unwrap()
                    .to_string(),
            );
            at = next;
        }
        times
    }

    #[test]
    fn the_dialect_has_seconds_names_and_the_last_day() {
        let from = "2026-02-10T00:00:00Z";
        assert_eq!(
            times(
                &expression("*/20 * * * * *", "UTC"),
                from,
                "2026-02-10T00:00:50Z"
            ),
            [
                "2026-02-10T00:00:00Z",
                "2026-02-10T00:00:20Z",
                "2026-02-10T00:00:40Z"
            ]
        );
        let last = expression("30 18 L * *", "UTC");
        assert_eq!(last.next(unix(from)), Some(unix("2026-02-28T18:30:00Z")));
        let weekday = expression("0 9 1W * ?", "UTC");
        assert_eq!(weekday.next(unix(from)), Some(unix("2026-03-02T09:00:00Z")));
        let second_friday = expression("0 0 * * FRI#2", "UTC");
        assert_eq!(
            second_friday.next(unix(from)),
            Some(unix("2026-02-13T00:00:00Z"))
        );
        let nickname = expression("@hourly", "UTC");
        assert!(nickname.is_interval());
        assert_eq!(
            nickname.next(unix(from)),
            Some(unix("2026-02-10T01:00:00Z"))
        );
    }

    #[test]
    fn a_time_within_a_second_is_not_the_second_itself() {
        let each = expression("* * * * * *", "UTC");
        assert_eq!(each.next(10_000), Some(11_000));
        assert_eq!(each.next(10_001), Some(11_000));
        assert_eq!(each.next(10_999), Some(11_000));
    }

    #[test]
    fn a_named_time_that_is_left_out_runs_at_the_moment_after() {
        // 29 March 2026, Berlin: 02:00 → 03:00 at 01:00 UTC.
        let berlin = expression("30 2 * * *", "Europe/Berlin");
        assert_eq!(
            times(&berlin, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z"),
            [
                "2026-03-28T01:30:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-30T00:30:00Z"
            ]
        );
        // 8 March 2026, New York: 02:00 → 03:00 at 07:00 UTC. Three times fall together; 03:00 is one of its own.
        let new_york = expression("0,20,40 2,3 * * *", "America/New_York");
        assert_eq!(
            times(&new_york, "2026-03-08T00:00:00Z", "2026-03-08T12:00:00Z"),
            [
                "2026-03-08T07:00:00Z",
                "2026-03-08T07:20:00Z",
                "2026-03-08T07:40:00Z"
            ]
        );
        // 4 October 2026, Lord Howe: 02:00 → 02:30 at 15:30 UTC of the day before.
        let lord_howe = expression("15 2 * * *", "Australia/Lord_Howe");
        assert_eq!(
            times(&lord_howe, "2026-10-03T12:00:00Z", "2026-10-04T18:00:00Z"),
            ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]
        );
    }

    #[test]
    fn a_named_time_that_is_there_twice_runs_the_first_time() {
        // 25 October 2026, Berlin: 03:00 → 02:00 at 01:00 UTC.
        let berlin = expression("30 2 * * *", "Europe/Berlin");
        assert_eq!(
            times(&berlin, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        // 1 November 2026, New York: 02:00 → 01:00 at 06:00 UTC.
        let new_york = expression("0 1,2 * * *", "America/New_York");
        assert_eq!(
            times(&new_york, "2026-11-01T00:00:00Z", "2026-11-01T12:00:00Z"),
            ["2026-11-01T05:00:00Z", "2026-11-01T07:00:00Z"]
        );
        // 5 April 2026, Lord Howe: 02:00 → 01:30 at 15:00 UTC of the day before.
        let lord_howe = expression("45 1 * * *", "Australia/Lord_Howe");
        assert_eq!(
            times(&lord_howe, "2026-04-04T00:00:00Z", "2026-04-05T18:00:00Z"),
            ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]
        );
        // Asked for in the second half, it is the next day's.
        assert_eq!(
            berlin.next(unix("2026-10-25T01:10:00Z")),
            Some(unix("2026-10-26T01:30:00Z"))
        );
    }

    #[test]
    fn an_interval_goes_by_the_wall() {
        let berlin = expression("*/30 * * * *", "Europe/Berlin");
        assert_eq!(
            times(&berlin, "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
            [
                "2026-03-29T00:30:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-29T01:30:00Z"
            ]
        );
        // The minutes of an hour that is left out are left out, and those of one that is there twice are there twice.
        let minutes = expression("* 2 * * *", "Europe/Berlin");
        assert_eq!(
            times(&minutes, "2026-03-29T00:00:00Z", "2026-03-29T22:00:00Z").len(),
            0
        );
        assert_eq!(
            times(&minutes, "2026-10-25T00:00:00Z", "2026-10-25T22:00:00Z").len(),
            120
        );
        let lord_howe = expression("*/15 1 * * *", "Australia/Lord_Howe");
        assert_eq!(
            times(&lord_howe, "2026-04-04T12:00:00Z", "2026-04-04T22:00:00Z").len(),
            6
        );
    }

    #[test]
    fn a_fault_names_its_field() {
        let fault = |text: &str| {
            Expression::parse(text, TimeZone::UTC)
                .unwrap_err()
                .to_string()
        };
        assert!(fault("61 * * * *").starts_with("field 1 (minute, 0 to 59) `61`: "));
        assert!(
            fault("0 0 * * * MOO").starts_with("field 6 (weekday, 0 to 7 or SUN to SAT) `MOO`: ")
        );
        assert!(fault("* * 32 * *").starts_with("field 3 (day, 1 to 31) `32`: "));
        assert_eq!(fault("* * *"), "it has 3 fields, not five or six");
        assert_eq!(fault(""), "it has 0 fields, not five or six");
        assert_eq!(fault("0 0 30 2 *"), "it matches no time");
        assert_eq!(fault(&"* ".repeat(200)), "it has more than 256 bytes");
    }
}
