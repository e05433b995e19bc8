//! Idle connections: each has had one message, and stays.

use std::time::Duration;

use crate::{
    client::Client, dialogue, echo::Echo, error::Error, frame::Opcode, options::IdleLoad,
    window::Window,
};

/// Without a message, what a peer allocates at the first one would not be seen.
const BYTES: usize = 64;

/// Opens the connections and keeps them until the runner has looked at the server's memory.
pub(crate) fn run(load: &IdleLoad) -> Result<(), Error> {
    let mut echo = Echo::new(
        Client::open(load.port, load.connections)?,
        Opcode::Text,
        BYTES,
    );
    echo.window(&Window::measured(Duration::ZERO))?;
    dialogue::ready()
}
