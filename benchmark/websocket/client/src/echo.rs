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
    messages: [Message; 2],
    turns: Vec<Turn>,
}

struct Message {
    payload: Vec<u8>,
    frame: Vec<u8>,
}

/// Where a connection is. It sends the two messages in turn, so that one that comes twice is not taken for the next.
#[derive(Clone, Default)]
struct Turn {
    message: usize,
    /// When the message on its way was sent.
    sent: Option<Instant>,
}

impl Echo {
    pub(crate) fn new(client: Client, kind: Opcode, bytes: usize) -> Self {
        let messages = [0, 1].map(|first| {
            // Printable, and in a pattern that a byte left out or doubled would show.
            let payload: Vec<u8> = (first..first + bytes)
                .map(|at| b' ' + (at % 95) as u8)
                .collect();
            let frame = frame::masked(kind, &payload);
            Message { payload, frame }
        });
        let turns = vec![Turn::default(); client.len()];
        Self {
            client,
            kind,
            messages,
            turns,
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
                let Some(sent) = self.receive(connection)? else {
                    continue;
                };
                last = Instant::now();
                latencies.record(last - sent);
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
        let turn = &mut self.turns[connection];
        turn.sent = Some(Instant::now());
        self.client
            .send(connection, &self.messages[turn.message].frame)
    }

    /// When the message was sent that is now back; `None` while a part of it is missing.
    fn receive(&mut self, connection: usize) -> Result<Option<Instant>, Error> {
        let turn = &mut self.turns[connection];
        let (payload, kind) = (&self.messages[turn.message].payload, self.kind);
        let mut is_back = false;
        self.client.turn(connection, |piece| match piece {
            Piece::Payload { offset, bytes }
                if payload.get(offset..offset + bytes.len()) == Some(bytes) =>
            {
                Ok(())
            }
            Piece::End { text, length }
                if length == payload.len() && text == (kind == Opcode::Text) =>
            {
                if std::mem::replace(&mut is_back, true) {
                    return Err(Error::Server("sent a message twice"));
                }
                Ok(())
            }
            _ => Err(Error::Server("sent back another message")),
        })?;
        if !is_back {
            return Ok(None);
        }
        turn.message ^= 1;
        match turn.sent.take() {
            Some(sent) => Ok(Some(sent)),
            None => Err(Error::Server("sent a message that nobody waited for")),
        }
    }
}
