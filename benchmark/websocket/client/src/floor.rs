//! The floor: a server that does what the protocol asks for and no more. One thread, one read and one write per message, no library
//! but the system's, the handshake's answer known beforehand. It bounds from below what any server can cost on this kernel.
//!
//! It trusts its client: a frame is a whole data message, and a peer that does not read is dropped rather than queued for.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    ops::Range,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketFlags, SocketType, accept_with, bind, getsockname, listen, socket_with,
    },
};

use crate::{
    error::Error,
    frame::apply_mask,
    handshake,
    poller::{Poller, Tokens},
};

/// Who gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Its sender.
    Echo,
    /// Every open connection: one frame, prepared once.
    Broadcast,
}

const BACKLOG: i32 = 4096;
/// What is read at once, and so the longest frame.
const READ_BYTES: usize = 64 * 1024;
const MASK_BYTES: usize = 4;

/// Listens on a free port of 127.0.0.1, prints `port N` and serves until it is killed.
pub(crate) fn run(answer: Answer) -> Result<(), Error> {
    let (listener, port) = listener().map_err(Error::system("listen"))?;
    println!("port {port}");
    let poller = Poller::new()?;
    let listening = listener.as_raw_fd() as usize;
    poller.add(&listener, listening)?;
    let mut floor = Floor {
        answer,
        peers: Vec::new(),
        buffer: vec![0; READ_BYTES],
        handshake: handshake::answer(),
    };
    let mut ready = Tokens::new();
    loop {
        poller.wait(&mut ready, None)?;
        for token in ready.iter() {
            if token == listening {
                floor.accept(&listener, &poller)?;
            } else {
                floor.serve(token);
            }
        }
    }
}

fn listener() -> Result<(OwnedFd, u16), Errno> {
    let listener = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    listen(&listener, BACKLOG)?;
    let port = SocketAddr::try_from(getsockname(&listener)?)?.port();
    Ok((listener, port))
}

struct Peer {
    stream: TcpStream,
    is_open: bool,
    /// The beginning of a head or frame whose end has not come yet; at most [`READ_BYTES`].
    begun: Vec<u8>,
}

struct Floor {
    answer: Answer,
    /// By file descriptor, whose number is bounded by the limit of open files.
    peers: Vec<Option<Peer>>,
    buffer: Vec<u8>,
    handshake: Vec<u8>,
}

impl Floor {
    fn accept(&mut self, listener: &OwnedFd, poller: &Poller) -> Result<(), Error> {
        loop {
            let stream = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => TcpStream::from(socket),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(Error::System("accept a connection", error.into())),
            };
            stream
                .set_nodelay(true)
                .map_err(Error::system("set TCP_NODELAY"))?;
            let token = stream.as_raw_fd() as usize;
            poller.add(&stream, token)?;
            if self.peers.len() <= token {
                self.peers.resize_with(token + 1, || None);
            }
            self.peers[token] = Some(Peer {
                stream,
                is_open: false,
                begun: Vec::new(),
            });
        }
    }

    /// Reads once and answers what is complete.
    fn serve(&mut self, token: usize) {
        let Some(peer) = self.peers[token].as_mut() else {
            return;
        };
        let kept = peer.begun.len();
        self.buffer[..kept].copy_from_slice(&peer.begun);
        peer.begun.clear();
        let length = match peer.stream.read(&mut self.buffer[kept..]) {
            Ok(read @ 1..) => kept + read,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                kept
            }
            _ => return self.peers[token] = None,
        };
        let used = if peer.is_open {
            self.answer_frames(token, length)
        } else {
            self.open(token, length)
        };
        match (used, self.peers[token].as_mut()) {
            (Some(used), Some(peer)) => peer.begun.extend(&self.buffer[used..length]),
            _ => self.peers[token] = None,
        }
    }

    /// How many bytes were used, `None` when the connection cannot go on. So is the next one's.
    fn open(&mut self, token: usize, length: usize) -> Option<usize> {
        let peer = self.peers[token].as_mut()?;
        if !handshake::is_complete(&self.buffer[..length]).ok()? {
            return Some(0);
        }
        peer.is_open = true;
        is_taken(&mut peer.stream, &self.handshake).then_some(length)
    }

    fn answer_frames(&mut self, token: usize, length: usize) -> Option<usize> {
        let mut used = 0;
        while let Some(frame) = turn_round(&mut self.buffer[used..length]).ok()? {
            let frame = used + frame.start..used + frame.end;
            used = frame.end;
            let bytes = &self.buffer[frame];
            match self.answer {
                Answer::Echo => {
                    if !is_taken(&mut self.peers[token].as_mut()?.stream, bytes) {
                        return None;
                    }
                }
                Answer::Broadcast => {
                    for slot in &mut self.peers {
                        if slot
                            .as_mut()
                            .is_some_and(|peer| peer.is_open && !is_taken(&mut peer.stream, bytes))
                        {
                            *slot = None;
                        }
                    }
                }
            }
        }
        Some(used)
    }
}

fn is_taken(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream
        .write(bytes)
        .is_ok_and(|written| written == bytes.len())
}

/// Makes the first of `bytes`, a client's frame, the server's frame with the same payload, in place: what is left out is the
/// mask, so the shorter head ends where the longer one did. Gives where it lies, `None` while a part of it is missing.
///
/// # Errors
/// It is not a masked data message in one frame, or longer than we take.
fn turn_round(bytes: &mut [u8]) -> Result<Option<Range<usize>>, NotOurs> {
    let &[first, second, ..] = &*bytes else {
        return Ok(None);
    };
    if !matches!(first, 0x81 | 0x82) || second & 0x80 == 0 {
        return Err(NotOurs);
    }
    let (head, length) = match (second & 0x7F, &bytes[2..]) {
        (127, _) => return Err(NotOurs),
        (126, [high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        (126, _) => return Ok(None),
        (short, _) => (2, usize::from(short)),
    };
    let payload = head + MASK_BYTES;
    let end = payload + length;
    if end > READ_BYTES {
        return Err(NotOurs);
    }
    if bytes.len() < end {
        return Ok(None);
    }
    let mask = bytes[head..].first_chunk().copied().ok_or(NotOurs)?;
    apply_mask(&mut bytes[payload..end], mask);
    bytes[1] = second & 0x7F;
    bytes.copy_within(..head, MASK_BYTES);
    Ok(Some(MASK_BYTES..end))
}

/// What the floor does not serve.
#[derive(Debug, PartialEq, Eq)]
struct NotOurs;

#[cfg(test)]
mod tests {
    use crate::frame::{Opcode, masked};

    use super::*;

    #[test]
    fn a_frame_is_turned_round_in_place_once_it_is_complete() {
        for (length, head) in [(0, 2), (5, 2), (125, 2), (126, 4), (16_384, 4)] {
            let payload = vec![b'x'; length];
            let whole = masked(Opcode::Binary, &payload);
            for part in [0, 1, 2, 3, whole.len() - 1] {
                assert_eq!(
                    turn_round(&mut whole.clone()[..part]),
                    Ok(None),
                    "{part} bytes of {length}"
                );
            }
            let mut bytes = [whole.as_slice(), b"next"].concat();
            let frame = turn_round(&mut bytes)
                .expect("it is ours")
                .expect("it is complete");
            assert_eq!(frame.end, whole.len());
            assert_eq!((bytes[frame.start], frame.len()), (0x82, head + length));
            assert_eq!(bytes[frame.start + head..frame.end], payload);
        }
    }

    #[test]
    fn what_is_not_a_whole_masked_message_is_refused() {
        for bytes in [[0x01, 0x80], [0x88, 0x80], [0x81, 0x05], [0x81, 0xFF]] {
            assert_eq!(turn_round(&mut bytes.clone()), Err(NotOurs), "{bytes:?}");
        }
    }
}
