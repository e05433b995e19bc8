//! Packet sockets: UDP over IPv4 and IPv6, and unix datagrams.
//!
//! Packets are received and sent in batches, one system call each (`recvmmsg(2)`, `sendmmsg(2)`); a run of equal packets to one
//! peer leaves as one (UDP_SEGMENT). No error of one packet or one peer breaks the socket.

mod batch;
mod bind;
mod outbox;
mod peer;

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::{UdpSocket, UnixDatagram};

use crate::unix_socket::SocketFile;

pub(crate) use bind::{BoundPackets, bind};
pub(crate) use outbox::{Outbox, Sent};
pub(crate) use peer::{Peer, PeerFamily};

/// A packet socket on a reactor's runtime.
pub(crate) enum PacketSocket {
    Ip(UdpSocket, IpShape),
    Unix(
        UnixDatagram,
        #[expect(dead_code, reason = "removes the file when dropped")] SocketFile,
    ),
}

/// What has to be known of a UDP socket to use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpShape {
    /// IPv4 peers of a dual-stack socket have mapped addresses.
    is_v6: bool,
    /// Bound to every address: where a packet was sent to is worth knowing, and is where the reply must come from.
    is_wildcard: bool,
}

impl IpShape {
    fn family(self) -> PeerFamily {
        if self.is_v6 {
            PeerFamily::V6
        } else {
            PeerFamily::V4
        }
    }
}

impl PacketSocket {
    /// Registers with the runtime of the calling thread.
    pub(crate) fn register(bound: BoundPackets) -> io::Result<Self> {
        Ok(match bound {
            BoundPackets::Ip(socket, shape) => Self::Ip(UdpSocket::from_std(socket)?, shape),
            BoundPackets::Unix(socket, file) => Self::Unix(UnixDatagram::from_std(socket)?, file),
        })
    }

    /// What kind of address its peers have.
    pub(crate) fn family(&self) -> PeerFamily {
        match self {
            Self::Ip(_, shape) => shape.family(),
            Self::Unix(..) => PeerFamily::Unix,
        }
    }

    /// Receives one batch; `visit` gets each packet with its sender. Pending: there is none, and the waker hears of the next.
    ///
    /// An error concerns one packet or one peer only.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        visit: &mut dyn FnMut(&[u8], Peer),
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut count = 0;
            // To be told by one more call that the socket is empty would cost that call. What has come since is kept in mind.
            let mut note = |received| {
                count = received;
                if received < batch::PACKETS {
                    Err(io::ErrorKind::WouldBlock.into())
                } else {
                    Ok(())
                }
            };
            let result = match self {
                Self::Ip(socket, shape) => {
                    ready!(socket.poll_recv_ready(cx))?;
                    socket.try_io(Interest::READABLE, || {
                        note(batch::receive(socket, *shape, visit)?)
                    })
                }
                Self::Unix(socket, _) => {
                    ready!(socket.poll_recv_ready(cx))?;
                    socket.try_io(Interest::READABLE, || {
                        note(batch::receive_unix(socket, visit)?)
                    })
                }
            };
            match result {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                _ if count > 0 => return Poll::Ready(Ok(count)),
                // Not ready after all: once more, for the waker.
                _ => {}
            }
        }
    }

    /// Sends what waits in `outbox`, as far as the socket takes it; the waker hears when it takes more.
    pub(crate) fn send(&self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Sent {
        let mut sent = Sent::default();
        while !outbox.is_empty() {
            let step = match self {
                Self::Ip(socket, shape) => match socket.poll_send_ready(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Err(error)) => Err(error),
                    Poll::Ready(Ok(())) => {
                        match socket.try_io(Interest::WRITABLE, || outbox.step(socket, *shape)) {
                            // Not ready any more: once more, for the waker.
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                            step => step,
                        }
                    }
                },
                // Always writable: it is the receiver's queue that may be full, and nobody tells when it is not.
                Self::Unix(socket, _) => outbox.step_unix(socket),
            };
            outbox.settle(step, &mut sent);
        }
        sent
    }
}

#[cfg(test)]
mod tests;
