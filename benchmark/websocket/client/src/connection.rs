//! One connection to the server.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

use crate::{
    error::Error,
    frame::{self, FrameReader, Piece},
    handshake,
    poller::Poller,
};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A connection that has sent its handshake. Closing it resets it: a closed one leaves nothing behind that a later
/// run of the benchmark would meet.
pub(crate) struct Connection {
    stream: TcpStream,
    token: usize,
    opening: Option<Vec<u8>>,
    reader: FrameReader,
    /// What the kernel has not taken yet.
    unsent: Vec<u8>,
}

impl Connection {
    /// Connects and sends `request`; from then on the socket does not block and `poller` reports it as `token`.
    pub(crate) fn start(
        poller: &Poller,
        token: usize,
        port: u16,
        request: &[u8],
    ) -> Result<Self, Error> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)
            .map_err(Error::system("connect"))?;
        stream
            .set_nodelay(true)
            .map_err(Error::system("set TCP_NODELAY"))?;
        set_socket_linger(&stream, Some(Duration::ZERO)).map_err(Error::system("set SO_LINGER"))?;
        stream
            .set_nonblocking(true)
            .map_err(Error::system("make a socket non-blocking"))?;
        // An empty send buffer takes a few hundred bytes in one piece.
        stream
            .write_all(request)
            .map_err(Error::system("send a handshake"))?;
        poller.add(&stream, token)?;
        Ok(Self {
            stream,
            token,
            opening: Some(Vec::new()),
            reader: FrameReader::default(),
            unsent: Vec::new(),
        })
    }

    /// Reads a part of the handshake's answer; true once it is complete and right.
    pub(crate) fn finish_opening(&mut self, buffer: &mut [u8]) -> Result<bool, Error> {
        let length = self.read(buffer)?;
        let Some(head) = self.opening.as_mut() else {
            return Err(Error::Server("spoke before it was spoken to"));
        };
        head.extend(&buffer[..length]);
        if !handshake::is_complete(head).map_err(Error::Server)? {
            return Ok(false);
        }
        handshake::check_answer(head).map_err(Error::Server)?;
        self.opening = None;
        Ok(true)
    }

    /// Sends `frames`, now or as soon as the kernel takes them.
    pub(crate) fn send(&mut self, poller: &Poller, frames: &[u8]) -> Result<(), Error> {
        if !self.unsent.is_empty() {
            self.unsent.extend(frames);
            return Ok(());
        }
        let sent = self.write(frames)?;
        if sent < frames.len() {
            self.unsent.extend(&frames[sent..]);
            poller.watch_writes(&self.stream, self.token, true)?;
        }
        Ok(())
    }

    /// Handles one report of the poller: sends what was left, reads once and hands `each` message's pieces over. Pings are answered here.
    pub(crate) fn turn(
        &mut self,
        poller: &Poller,
        buffer: &mut [u8],
        mut each: impl FnMut(Piece<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.flush(poller)?;
        let length = self.read(buffer)?;
        let mut input = &buffer[..length];
        while let Some(piece) = self.reader.next(&mut input).map_err(Error::Server)? {
            match piece {
                Piece::Ping(payload) => self.send(poller, &frame::masked_pong(&payload))?,
                piece => each(piece)?,
            }
        }
        Ok(())
    }

    fn flush(&mut self, poller: &Poller) -> Result<(), Error> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let unsent = std::mem::take(&mut self.unsent);
        let sent = self.write(&unsent)?;
        if sent == unsent.len() {
            return poller.watch_writes(&self.stream, self.token, false);
        }
        self.unsent.extend(&unsent[sent..]);
        Ok(())
    }

    /// 0 when nothing is there yet; a connection that ended is an error.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(Error::Server("ended a connection")),
                Ok(length) => return Ok(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::System("read from the server", error)),
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        loop {
            match self.stream.write(bytes) {
                Ok(length) => return Ok(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::System("write to the server", error)),
            }
        }
    }
}
