//! Connect rate: a connection that is open is reset, and another takes its place.

use std::time::Instant;

use crate::{
    client::{READ_BYTES, allow_open_files},
    connection::Connection,
    dialogue::{self, Figures},
    error::Error,
    handshake,
    histogram::Histogram,
    options::ConnectLoad,
    poller::{Poller, Tokens},
    window::Window,
};

/// Handshakes of the warm-up.
const WARM_UP: u64 = 2_000;

/// One window to warm the server up, one to measure.
pub(crate) fn run(load: &ConnectLoad) -> Result<(), Error> {
    allow_open_files(load.at_once)?;
    run_window(load, &Window::warm_up(WARM_UP))?;
    dialogue::ready()?;
    let figures = run_window(load, &Window::measured(load.window))?;
    dialogue::result(&figures)
}

/// A latency is from before the TCP connection to the end of the handshake's answer.
fn run_window(load: &ConnectLoad, window: &Window) -> Result<Figures, Error> {
    let poller = Poller::new()?;
    let request = handshake::request(load.port);
    let begin = |token| {
        Ok::<_, Error>((
            Instant::now(),
            Connection::start(&poller, token, load.port, &request)?,
        ))
    };
    let mut buffer = vec![0; READ_BYTES];
    let mut latencies = Histogram::new();
    let mut ready = Tokens::new();
    let start = Instant::now();
    let mut last = start;
    let mut opening: Vec<_> = (0..load.at_once)
        .map(|token| begin(token).map(Some))
        .collect::<Result<_, _>>()?;
    let mut on_their_way = opening.len();
    while on_their_way > 0 {
        poller.wait(&mut ready, Some(start + window.limit()))?;
        if ready.is_empty() {
            return Err(Error::Timeout("answer every handshake"));
        }
        for token in ready.iter() {
            let Some((begun, connection)) = &mut opening[token] else {
                continue;
            };
            if !connection.finish_opening(&mut buffer)? {
                continue;
            }
            last = Instant::now();
            latencies.record(last - *begun);
            opening[token] = None;
            if window.is_over(last - start, latencies.count()) {
                on_their_way -= 1;
            } else {
                opening[token] = Some(begin(token)?);
            }
        }
    }
    Ok(Figures {
        elapsed: last - start,
        latencies,
    })
}
