//! Broadcast: connection 0 publishes, every connection receives.

use std::{collections::VecDeque, io::Write, time::Instant};

use crate::{
    client::Client,
    dialogue::{self, Figures},
    error::Error,
    frame::{self, Opcode, Piece},
    histogram::Histogram,
    options::{BroadcastLoad, NUMBER_DIGITS},
    poller::Tokens,
    window::Window,
};

/// Deliveries of the warm-up.
const WARM_UP: u64 = 20_000;
const PUBLISHER: usize = 0;

/// One window to warm the server up, one to measure.
pub(crate) fn run(load: &BroadcastLoad) -> Result<(), Error> {
    let client = Client::open(load.port, load.connections)?;
    let mut broadcast = Broadcast::new(client, load.bytes, load.in_flight);
    broadcast.window(&Window::warm_up(WARM_UP))?;
    dialogue::ready()?;
    let figures = broadcast.window(&Window::measured(load.window))?;
    dialogue::result(&figures)
}

/// One published message that not everybody has yet.
struct Round {
    payload: Vec<u8>,
    sent: Instant,
    missing: usize,
}

struct Broadcast {
    client: Client,
    bytes: usize,
    in_flight: usize,
    /// The oldest first; it has the number `finished`.
    rounds: VecDeque<Round>,
    finished: u64,
    /// How many messages each connection has had, which is the number of its next one.
    received: Vec<u64>,
}

impl Broadcast {
    fn new(client: Client, bytes: usize, in_flight: usize) -> Self {
        let received = vec![0; client.len()];
        Self {
            client,
            bytes,
            in_flight,
            rounds: VecDeque::new(),
            finished: 0,
            received,
        }
    }

    /// Keeps `in_flight` messages on their way until `window` is over, at least one round, and waits until everybody has the last.
    fn window(&mut self, window: &Window) -> Result<Figures, Error> {
        let mut latencies = Histogram::new();
        let mut ready = Tokens::new();
        let start = Instant::now();
        let mut last = start;
        self.publish(self.in_flight)?;
        while !self.rounds.is_empty() {
            self.client
                .wait(&mut ready, start + window.limit(), "deliver every message")?;
            for connection in ready.iter() {
                last = self.receive(connection, &mut latencies)?;
            }
            // Together, because rounds tend to end together: the publisher's messages then leave in one write.
            if !window.is_over(last - start, latencies.count()) {
                self.publish(self.in_flight - self.rounds.len())?;
            }
        }
        Ok(Figures {
            elapsed: last - start,
            latencies,
        })
    }

    fn publish(&mut self, count: usize) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        let mut frames = Vec::with_capacity(count * (self.bytes + 16));
        let sent = Instant::now();
        for _ in 0..count {
            let payload = numbered(self.finished + self.rounds.len() as u64, self.bytes);
            frames.extend(frame::masked(Opcode::Text, &payload));
            self.rounds.push_back(Round {
                payload,
                sent,
                missing: self.client.len(),
            });
        }
        self.client.send(PUBLISHER, &frames)
    }

    /// Reads what a connection has got; gives the time of it.
    fn receive(&mut self, connection: usize, latencies: &mut Histogram) -> Result<Instant, Error> {
        let now = Instant::now();
        let Self {
            client,
            rounds,
            finished,
            received,
            ..
        } = self;
        client.turn(connection, |piece| {
            let number = &mut received[connection];
            let round = usize::try_from(*number - *finished)
                .ok()
                .and_then(|index| rounds.get_mut(index));
            match (piece, round) {
                (Piece::Payload { offset, bytes }, Some(round))
                    if round.payload.get(offset..offset + bytes.len()) == Some(bytes) => {}
                (Piece::End { text: true, length }, Some(round))
                    if length == round.payload.len() =>
                {
                    round.missing -= 1;
                    *number += 1;
                    latencies.record(now - round.sent);
                }
                _ => return Err(Error::Server("delivered another message than the next")),
            }
            Ok(())
        })?;
        while rounds.front().is_some_and(|round| round.missing == 0) {
            rounds.pop_front();
            *finished += 1;
        }
        Ok(now)
    }
}

/// A payload that no other message has: one lost, doubled or out of order is seen.
fn numbered(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(bytes);
    write!(payload, "{number:0NUMBER_DIGITS$}").expect("a Vec takes every write");
    payload.resize(bytes, b'.');
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_payload_has_its_length_from_the_shortest_on() {
        assert_eq!(numbered(12, NUMBER_DIGITS), b"0000000000000012");
        assert_eq!(numbered(12, 20), b"0000000000000012....");
    }
}
