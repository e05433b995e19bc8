//! The command line.

use std::{collections::HashMap, str::FromStr, time::Duration};

use crate::{error::Error, floor::Answer, frame::Opcode};

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Mode {
    /// `echo --port P --connections N --bytes B --kind text|binary --seconds S`
    Echo(EchoLoad),
    /// `broadcast --port P --connections N --bytes B --in-flight K --seconds S`
    Broadcast(BroadcastLoad),
    /// `connect --port P --connections N --seconds S`; `N` handshakes at a time
    Connect(ConnectLoad),
    /// `idle --port P --connections N`
    Idle(IdleLoad),
    /// `floor --answer echo|broadcast`
    Floor(Answer),
}

/// Each connection has one message on its way.
#[derive(Debug, PartialEq)]
pub(crate) struct EchoLoad {
    pub(crate) port: u16,
    pub(crate) connections: usize,
    pub(crate) bytes: usize,
    pub(crate) kind: Opcode,
    pub(crate) window: Duration,
}

/// One of the connections publishes, all of them receive.
#[derive(Debug, PartialEq)]
pub(crate) struct BroadcastLoad {
    pub(crate) port: u16,
    pub(crate) connections: usize,
    pub(crate) bytes: usize,
    pub(crate) in_flight: usize,
    pub(crate) window: Duration,
}

/// Connections that end as soon as they are open.
#[derive(Debug, PartialEq)]
pub(crate) struct ConnectLoad {
    pub(crate) port: u16,
    pub(crate) at_once: usize,
    pub(crate) window: Duration,
}

/// Connections that have had one message and stay.
#[derive(Debug, PartialEq)]
pub(crate) struct IdleLoad {
    pub(crate) port: u16,
    pub(crate) connections: usize,
}

/// Bounds what one run may ask for; the number of open files bounds the connections further.
const CONNECTIONS_MAX: usize = 60_000;
/// The floor's buffer holds a frame of this payload.
const BYTES_MAX: usize = 60_000;
const IN_FLIGHT_MAX: usize = 64;
const SECONDS_MAX: usize = 60;

/// Reads `MODE --name value …`. Every option of a mode is required, none other is taken.
///
/// # Errors
/// [`Error::Usage`] with what was expected.
pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Mode, Error> {
    let mode = arguments.next().unwrap_or_default();
    let mut given = Given::read(arguments)?;
    let parsed = match mode.as_str() {
        "echo" => Mode::Echo(EchoLoad {
            port: given.number("port", 1, u16::MAX)?,
            connections: given.number("connections", 1, CONNECTIONS_MAX)?,
            bytes: given.number("bytes", 1, BYTES_MAX)?,
            kind: given.one_of(
                "kind",
                &[("text", Opcode::Text), ("binary", Opcode::Binary)],
            )?,
            window: given.window()?,
        }),
        "broadcast" => Mode::Broadcast(BroadcastLoad {
            port: given.number("port", 1, u16::MAX)?,
            connections: given.number("connections", 1, CONNECTIONS_MAX)?,
            bytes: given.number("bytes", NUMBER_DIGITS, BYTES_MAX)?,
            in_flight: given.number("in-flight", 1, IN_FLIGHT_MAX)?,
            window: given.window()?,
        }),
        "connect" => Mode::Connect(ConnectLoad {
            port: given.number("port", 1, u16::MAX)?,
            at_once: given.number("connections", 1, CONNECTIONS_MAX)?,
            window: given.window()?,
        }),
        "idle" => Mode::Idle(IdleLoad {
            port: given.number("port", 1, u16::MAX)?,
            connections: given.number("connections", 1, CONNECTIONS_MAX)?,
        }),
        "floor" => {
            let answers = [("echo", Answer::Echo), ("broadcast", Answer::Broadcast)];
            Mode::Floor(given.one_of("answer", &answers)?)
        }
        _ => {
            return usage(format!(
                "{mode:?}: expected echo, broadcast, connect, idle or floor"
            ));
        }
    };
    given.end()?;
    Ok(parsed)
}

/// Digits of the number that each broadcast message starts with.
pub(crate) const NUMBER_DIGITS: usize = 16;

struct Given(HashMap<String, String>);

impl Given {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Error> {
        let mut given = HashMap::new();
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--") else {
                return usage(format!("{argument:?}: expected --name value"));
            };
            let Some(value) = arguments.next() else {
                return usage(format!("--{name}: expected a value"));
            };
            given.insert(name.to_owned(), value);
        }
        Ok(Self(given))
    }

    fn take(&mut self, name: &str) -> Result<String, Error> {
        self.0
            .remove(name)
            .ok_or_else(|| Error::Usage(format!("--{name} is missing")))
    }

    fn number<T: FromStr + PartialOrd + std::fmt::Display>(
        &mut self,
        name: &str,
        min: T,
        max: T,
    ) -> Result<T, Error> {
        let text = self.take(name)?;
        match text.parse() {
            Ok(number) if number >= min && number <= max => Ok(number),
            _ => usage(format!(
                "--{name} {text}: expected a whole number from {min} to {max}"
            )),
        }
    }

    fn window(&mut self) -> Result<Duration, Error> {
        Ok(Duration::from_secs(
            self.number("seconds", 1, SECONDS_MAX)? as u64
        ))
    }

    fn one_of<T: Copy>(&mut self, name: &str, values: &[(&str, T)]) -> Result<T, Error> {
        let text = self.take(name)?;
        match values.iter().find(|(value, _)| *value == text) {
            Some((_, value)) => Ok(*value),
            None => {
                let expected: Vec<_> = values.iter().map(|(value, _)| *value).collect();
                usage(format!(
                    "--{name} {text}: expected {}",
                    expected.join(" or ")
                ))
            }
        }
    }

    fn end(self) -> Result<(), Error> {
        match self.0.keys().next() {
            Some(name) => usage(format!("--{name}: not an option of this mode")),
            None => Ok(()),
        }
    }
}

fn usage<T>(expected: String) -> Result<T, Error> {
    Err(Error::Usage(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Mode, Error> {
        parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn a_mode_takes_exactly_its_own_options() {
        let idle = parsed("idle --port 80 --connections 3").expect("both options are there");
        assert_eq!(
            idle,
            Mode::Idle(IdleLoad {
                port: 80,
                connections: 3
            })
        );
        assert!(parsed("idle --port 80").is_err());
        assert!(parsed("idle --port 80 --connections 3 --seconds 1").is_err());
        assert!(parsed("idle --port 80 --connections").is_err());
        assert!(parsed("rest --port 80").is_err());
    }

    #[test]
    fn a_number_has_a_least_and_a_greatest_value() {
        assert!(parsed("idle --port 1 --connections 60000").is_ok());
        assert!(parsed("idle --port 1 --connections 60001").is_err());
        assert!(parsed("idle --port 0 --connections 1").is_err());
        assert!(parsed("idle --port 1 --connections x").is_err());
    }
}
