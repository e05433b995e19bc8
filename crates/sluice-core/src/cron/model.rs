//! Expressions against a clock on the wall that is looked at every minute.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use proptest::prelude::*;

use super::Expression;

/// A field and the values it stands for.
#[derive(Clone, Debug)]
struct Field {
    text: String,
    values: Vec<i8>,
}

fn field(from: i8, to: i8) -> impl Strategy<Value = Field> {
    let all = move || (from..=to).collect::<Vec<_>>();
    prop_oneof![
        Just(Field {
            text: "*".into(),
            values: all()
        }),
        (2..20_i8).prop_map(move |step| Field {
            text: format!("*/{step}"),
            values: all().into_iter().step_by(step as usize).collect(),
        }),
        prop::collection::btree_set(from..=to, 1..4).prop_map(|values| Field {
            text: values
                .iter()
                .map(i8::to_string)
                .collect::<Vec<_>>()
                .join(","),
            values: values.into_iter().collect(),
        }),
        (from..=to, from..=to).prop_map(|(a, b)| Field {
            text: format!("{}-{}", a.min(b), a.max(b)),
            values: (a.min(b)..=a.max(b)).collect(),
        }),
    ]
}

/// The zones with the middle of a day on which their clocks are changed.
const CHANGES: [(&str, &str); 8] = [
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    // Midnight is left out.
    ("America/Santiago", "2026-09-06T04:00:00Z"),
    // A whole day is left out.
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
];

/// Every minute, with the reading of the wall before it: what is new on the wall has come.
fn oracle(
    minutes: &Field,
    hours: &Field,
    zone: &TimeZone,
    from: Timestamp,
    to: Timestamp,
) -> Vec<Timestamp> {
    let is_interval = [minutes, hours]
        .iter()
        .any(|field| field.text.contains('*'));
    let matches = |wall: DateTime| {
        minutes.values.contains(&wall.minute()) && hours.values.contains(&wall.hour())
    };
    let mut runs = Vec::new();
    let mut seen = zone.to_datetime(from - SignedDuration::from_mins(1));
    let mut at = from;
    while at <= to {
        let wall = zone.to_datetime(at);
        let is_run = if is_interval {
            matches(wall)
        } else {
            let mut is_run = false;
            while seen < wall {
                seen = seen.checked_add(Span::new().minutes(1)).unwrap();
                is_run |= matches(seen);
            }
            is_run
        };
        if is_run {
            runs.push(at);
        }
        at += SignedDuration::from_mins(1);
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_expression_has_the_times_of_a_wall_that_is_looked_at_every_minute(
        minutes in field(0, 59),
        hours in field(0, 23),
        change in prop::sample::select(&CHANGES[..]),
        offset in 0..600_i64,
    ) {
        let zone = TimeZone::get(change.0).unwrap();
        let middle: Timestamp = change.1.parse().unwrap();
        let from = middle - SignedDuration::from_hours(20) - SignedDuration::from_mins(offset);
        let to = middle + SignedDuration::from_hours(40);
        let expression = Expression::parse(&format!("{} {} * * *", minutes.text, hours.text), zone.clone()).unwrap();
        let mut times = Vec::new();
        let mut last = from.as_millisecond() as u64 - 1;
        while let Some(next) = expression.next(last).filter(|&next| next <= to.as_millisecond() as u64) {
            prop_assert!(next > last);
            times.push(Timestamp::from_millisecond(next as i64).unwrap());
            last = next;
        }
        prop_assert_eq!(times, oracle(&minutes, &hours, &zone, from, to));
    }

    #[test]
    fn no_text_is_too_odd_to_be_read(text in "[0-9A-Za-z*/,#?@+ \u{fc}-]{0,40}") {
        if let Ok(expression) = Expression::parse(&text, TimeZone::UTC) {
            prop_assert!(expression.next(1_780_272_000_000).is_some_and(|next| next > 1_780_272_000_000) || text.split_whitespace().count() == 7);
        }
    }
}
