//! What is said to the program that started us. It reads the server's CPU time between the lines.

use std::{
    io::{self, BufRead, Write},
    time::Duration,
};

use crate::{error::Error, histogram::Histogram};

/// What one window gave.
pub(crate) struct Figures {
    /// From the first message sent to the last one received.
    pub(crate) elapsed: Duration,
    /// One entry per message received, or per handshake.
    pub(crate) latencies: Histogram,
}

/// Says that everything is open and quiet, and waits for the word to go on.
pub(crate) fn ready() -> Result<(), Error> {
    say("ready")?;
    hear()
}

/// Hands the figures over and stays, with every connection open, until the other side has read what it wants.
pub(crate) fn result(figures: &Figures) -> Result<(), Error> {
    let Figures { elapsed, latencies } = figures;
    say(&format!(
        r#"result {{"count":{},"micros":{:.0},"p50":{:.1},"p99":{:.1},"max":{:.1}}}"#,
        latencies.count(),
        micros(*elapsed),
        micros(latencies.percentile(50)),
        micros(latencies.percentile(99)),
        micros(latencies.max()),
    ))?;
    hear()
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1000.0
}

fn say(line: &str) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .map_err(Error::system("write to the runner"))
}

fn hear() -> Result<(), Error> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) => Err(Error::Abandoned),
        Ok(_) => Ok(()),
        Err(error) => Err(Error::System("read from the runner", error)),
    }
}
