//! Echo: each connection sends its next message when the last one has come back.

use std::time::Instant;

use crate::{
    client::Client,
    dialogue::{self, Figures},
    error::Error,
    frame::{self, Opcode, Piece},
    histogram::Histogram,
    options::EchoLoad,
    poller::Tokens,
    window::Window,
};

/// Messages of the warm-up.
const WARM_UP: u64 = 20_000;

/// One window to warm the server up, one to measure.
pub(crate) fn run(load: &EchoLoad) -> Result<(), Error> {
    let mut echo = Echo::new(
        Client::open(load.port, load.connections)?,
        load.kind,
        load.bytes,
    );
    echo.window(&Window::warm_up(WARM_UP))?;
    dialogue::ready()?;
    let figures = echo.window(&Window::measured(load.window))?;
    dialogue::result(&figures)
}

/// Open connections and the message that goes back and forth on each.
pub(crate) struct Echo {
    client: Client,
    kind: Opcode,
    payload: Vec<u8>,
    frame: Vec<u8>,
    sent: Vec<Instant>,
}

impl Echo {
    pub(crate) fn new(client: Client, kind: Opcode, bytes: usize) -> Self {
        // Printable, and in a pattern that a byte left out or doubled would show.
        let payload: Vec<u8> = (0..bytes).map(|at| b' ' + (at % 95) as u8).collect();
        let frame = frame::masked(kind, &payload);
        let sent = vec![Instant::now(); client.len()];
        Self {
            client,
            kind,
            payload,
            frame,
            sent,
        }
    }

    /// Keeps a message on its way on every connection until `window` is over, at least one, and waits for the last to be back.
    pub(crate) fn window(&mut self, window: &Window) -> Result<Figures, Error> {
        let mut latencies = Histogram::new();
        let mut ready = Tokens::new();
        let start = Instant::now();
        let mut last = start;
        for connection in 0..self.client.len() {
            self.send(connection)?;
        }
        let mut on_their_way = self.client.len();
        while on_their_way > 0 {
            self.client
                .wait(&mut ready, start + window.limit(), "answer every message")?;
            for connection in ready.iter() {
                if !self.receive(connection)? {
                    continue;
                }
                last = Instant::now();
                latencies.record(last - self.sent[connection]);
                if window.is_over(last - start, latencies.count()) {
                    on_their_way -= 1;
                } else {
                    self.send(connection)?;
                }
            }
        }
        Ok(Figures {
            elapsed: last - start,
            latencies,
        })
    }

    fn send(&mut self, connection: usize) -> Result<(), Error> {
        self.sent[connection] = Instant::now();
        self.client.send(connection, &self.frame)
    }

    /// True when the message is back; false while a part of it is missing.
    fn receive(&mut self, connection: usize) -> Result<bool, Error> {
        let (payload, kind) = (&self.payload, self.kind);
        let mut ended = 0;
        self.client.turn(connection, |piece| match piece {
            Piece::Payload { offset, bytes }
                if payload.get(offset..offset + bytes.len()) == Some(bytes) =>
            {
                Ok(())
            }
            Piece::End { text, length }
                if length == payload.len() && text == (kind == Opcode::Text) =>
            {
                ended += 1;
                Ok(())
            }
            _ => Err(Error::Server("sent back another message")),
        })?;
        if ended > 1 {
            Err(Error::Server("sent a message twice"))
        } else {
            Ok(ended == 1)
        }
    }
}
