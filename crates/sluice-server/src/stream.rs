//! Connected byte streams, whatever the port they came from.

use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::Reason;
use sluice_core::config::TcpConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::http2::{Http2Stream, Wire};
use crate::static_files::FileSlice;
use crate::tls::{TlsInfo, TlsStream};

/// The address of a peer; a unix socket has none.
pub(crate) type Peer = Option<SocketAddr>;

/// A connected byte stream on a reactor's runtime.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// TLS over one of them.
    Tls(Box<TlsStream>),
    /// A stream of an HTTP/2 connection.
    Http2(Box<Http2Stream>),
    /// The socket of an HTTP/2 connection, which is read and written below its streams.
    Wire(Arc<Wire>),
    /// It was closed; its connection is still spoken of.
    Gone,
}

/// A connected byte stream on its way to another reactor.
pub(crate) enum Detached {
    Tcp(StdTcpStream),
    Unix(StdUnixStream),
    /// The socket, and the session without it.
    Tls(Box<Detached>, Box<TlsStream>),
}

impl Stream {
    /// Takes the stream off this reactor's runtime.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Self::Tcp(stream) => Detached::Tcp(stream.into_std()?),
            Self::Unix(stream) => Detached::Unix(stream.into_std()?),
            Self::Tls(stream) => return stream.detach(),
            Self::Http2(_) | Self::Wire(_) | Self::Gone => {
                return Err(io::ErrorKind::NotConnected.into());
            }
        })
    }

    /// Registers with the runtime of the calling thread.
    pub(crate) fn attach(detached: Detached) -> io::Result<Self> {
        Ok(match detached {
            Detached::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream)?),
            Detached::Unix(stream) => Self::Unix(UnixStream::from_std(stream)?),
            Detached::Tls(socket, stream) => Self::Tls(stream.attach(*socket)?),
        })
    }

    /// Options of an accepted connection. Failing to set one is no reason to refuse the peer.
    pub(crate) fn configure(&self, tcp: &TcpConfig) {
        if let Self::Tcp(stream) = self {
            let _ = stream.set_nodelay(tcp.nodelay);
            if tcp.keep_alive > 0 {
                let keepalive =
                    TcpKeepalive::new().with_time(Duration::from_millis(tcp.keep_alive));
                let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            if tcp.user_timeout > 0 {
                let timeout = Duration::from_millis(tcp.user_timeout);
                let _ = SockRef::from(stream).set_tcp_user_timeout(Some(timeout));
            }
        }
    }

    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Tls(stream) => stream.socket().local_address(),
            Self::Wire(wire) => wire.with_stream(|stream| stream.local_address()),
            Self::Unix(_) | Self::Http2(_) | Self::Gone => None,
        }
    }

    /// Reads what is there; registers the waker when nothing is.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => stream.poll_read(cx, buffer),
            Self::Http2(stream) => stream.poll_read(cx, buffer),
            Self::Wire(_) | Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Writes what the socket takes; registers the waker when it takes nothing.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => poll_write(Pin::new(stream), cx, slices),
            Self::Unix(stream) => poll_write(Pin::new(stream), cx, slices),
            Self::Tls(stream) => stream.poll_write(cx, slices),
            Self::Http2(_) | Self::Wire(_) | Self::Gone => {
                Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
            }
        }
    }

    /// Whether files need not be read to be sent.
    pub(crate) fn sends_files(&self) -> bool {
        cfg!(target_os = "linux") && matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    /// Sends up to `max` bytes of a file, as [`sends_files`](Self::sends_files) allows; registers the waker when the socket
    /// takes nothing. 0: the file is shorter than it was.
    #[cfg(target_os = "linux")]
    pub(crate) fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        slice: &FileSlice,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let len = slice.left.min(max as u64) as usize;
        self.poll_out(cx, |socket| slice.file.send_to(socket, slice.offset, len))
    }

    /// The same elsewhere: never called.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn poll_send_file(
        &mut self,
        _: &mut Context<'_>,
        _: &FileSlice,
        _: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Writes what a file follows: the system waits for that before it sends a packet that is not full.
    #[cfg(target_os = "linux")]
    pub(crate) fn poll_write_before_file(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        use rustix::net::SendFlags;
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        self.poll_out(cx, |socket| Ok(rustix::net::send(socket, bytes, flags)?))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn poll_write_before_file(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, &[io::IoSlice::new(bytes)])
    }

    /// Tries a call on the socket, again and again until it goes through or the waker is registered.
    #[cfg(target_os = "linux")]
    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        mut call: impl FnMut(std::os::fd::BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        use std::os::fd::AsFd;
        use tokio::io::Interest;
        loop {
            let done = match self {
                Self::Tcp(stream) => {
                    std::task::ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || call(stream.as_fd()))
                }
                Self::Unix(stream) => {
                    std::task::ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || call(stream.as_fd()))
                }
                // What goes by this way is not encrypted.
                Self::Tls(_) => return Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
                Self::Http2(_) | Self::Wire(_) | Self::Gone => {
                    return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
                }
            };
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Sends FIN, or the end of the stream; the read half stays open.
    pub(crate) fn shutdown_write(&mut self, cx: &mut Context<'_>) {
        let _ = match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => return stream.shutdown_write(cx),
            Self::Http2(stream) => return stream.finish(),
            Self::Wire(_) | Self::Gone => return,
        };
    }

    /// Makes the coming drop send RST instead of FIN, so that a cut answer cannot look complete.
    pub(crate) fn abort_on_drop(&mut self) {
        match self {
            Self::Http2(stream) => stream.reset(Reason::INTERNAL_ERROR),
            Self::Wire(wire) => wire.with_stream(|stream| stream.reset_on_drop()),
            socket => socket.reset_on_drop(),
        }
    }

    fn reset_on_drop(&self) {
        match self {
            Self::Tcp(stream) => {
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
            Self::Tls(stream) => stream.socket().reset_on_drop(),
            Self::Unix(_) | Self::Http2(_) | Self::Wire(_) | Self::Gone => {}
        }
    }

    /// Says what has to be said before the drop of a stream whose peer has ended its side: under TLS, that nothing is cut.
    pub(crate) fn say_end(&mut self, cx: &mut Context<'_>) {
        if let Self::Tls(stream) = self {
            stream.say_end(cx);
        }
    }

    /// Goes on in clear, after a handshake that came to nothing.
    pub(crate) fn remove_tls(&mut self) {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Tls(stream) => stream.into_socket(),
            plain => plain,
        };
    }

    /// Whether what it carries is encrypted on its way.
    pub(crate) fn is_encrypted(&self) -> bool {
        match self {
            Self::Tls(_) => true,
            Self::Http2(stream) => stream.is_encrypted(),
            Self::Wire(wire) => wire.with_stream(|stream| stream.is_encrypted()),
            Self::Tcp(_) | Self::Unix(_) | Self::Gone => false,
        }
    }

    /// What applications are told of TLS.
    pub(crate) fn tls_info(&self) -> Option<TlsInfo> {
        match self {
            Self::Tls(stream) => Some(stream.info()),
            Self::Wire(wire) => wire.with_stream(|stream| stream.tls_info()),
            Self::Tcp(_) | Self::Unix(_) | Self::Http2(_) | Self::Gone => None,
        }
    }

    /// The TLS over a socket.
    pub(crate) fn tls(&self) -> Option<&TlsStream> {
        match self {
            Self::Tls(stream) => Some(stream),
            Self::Tcp(_) | Self::Unix(_) | Self::Http2(_) | Self::Wire(_) | Self::Gone => None,
        }
    }
}

fn poll_write<S: AsyncWrite>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    slices: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    match slices {
        // write(2) is a little cheaper than writev(2), and one slice is the usual case.
        [one] => stream.poll_write(cx, one),
        many => stream.poll_write_vectored(cx, many),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an accepted connection has after these options were set.
    fn configured<T>(tcp: &TcpConfig, read: impl Fn(SockRef<'_>) -> io::Result<T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("there are descriptors");
        runtime.block_on(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let address = listener.local_addr().expect("it is bound");
            let _client = StdTcpStream::connect(address).expect("it listens");
            let (accepted, _) = listener.accept().expect("one waits");
            accepted.set_nonblocking(true).expect("it is a socket");
            let stream = TcpStream::from_std(accepted).expect("the runtime runs");
            let stream = Stream::Tcp(stream);
            stream.configure(tcp);
            let Stream::Tcp(stream) = &stream else {
                unreachable!("it was TCP two lines above");
            };
            read(SockRef::from(stream)).expect("it is a TCP socket")
        })
    }

    #[test]
    fn options_of_accepted_connections_are_set_as_they_say() {
        let tcp = TcpConfig::default();
        assert!(configured(&tcp, |socket| socket.tcp_nodelay()));
        assert!(!configured(&tcp, |socket| socket.keepalive()));
        let tcp = TcpConfig {
            nodelay: false,
            keep_alive: 7_000,
            ..tcp
        };
        assert!(!configured(&tcp, |socket| socket.tcp_nodelay()));
        assert!(configured(&tcp, |socket| socket.keepalive()));
        let seven = Duration::from_secs(7);
        assert_eq!(
            configured(&tcp, |socket| socket.tcp_keepalive_time()),
            seven
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_user_timeout_is_the_systems_unless_it_is_set() {
        let timeout = |user_timeout| {
            let tcp = TcpConfig {
                user_timeout,
                ..TcpConfig::default()
            };
            configured(&tcp, |socket| socket.tcp_user_timeout())
        };
        let unset = timeout(0);
        assert!(unset.is_none_or(|time| time.is_zero()), "{unset:?}");
        assert_eq!(timeout(1_500), Some(Duration::from_millis(1_500)));
    }
}
