//! The stream between a socket and the bytes that a port's protocol sees.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;
use rustls::server::ServerConnection;
use rustls::{ProtocolVersion, ServerConfig};
use serde::Serialize;
use tokio::io::ReadBuf;

use super::client_auth::ClientAuth;
use crate::stream::{Detached, Stream};

/// Read at once from a socket. One buffer for each thread: what is read is decrypted before it returns.
const CIPHERTEXT: usize = 64 * 1024;
/// Read at once during the handshake. What comes behind it in the same read has to fit into rustls's buffer of plaintext.
const HANDSHAKE_READ: usize = 4096;
/// The most plaintext that is encrypted and not taken by the socket yet.
const UNSENT_MAX: usize = 64 * 1024;
/// A record with all that TLS may put around 16 KiB.
const RECORD_MAX: usize = 18 * 1024;
/// Reads in a row that bring no plaintext, before others get their turn.
const EMPTY_READS: usize = 8;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CIPHERTEXT]);
}

/// TLS over a socket, which looks like a socket to its owner.
pub(crate) struct TlsStream {
    socket: Stream,
    session: ServerConnection,
    client_auth: Option<Arc<ClientAuth>>,
    /// Plaintext that is encrypted already, and which the owner still counts as unsent.
    encrypted: usize,
    /// Ciphertext for which there was no room in the owner's buffer.
    ciphertext: Vec<u8>,
    /// Something has been read.
    has_begun: bool,
    /// An authority stands behind the peer's certificate.
    is_authorized: bool,
}

/// Where a handshake is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// Waits for the peer; the waker is registered.
    Pending,
    Done,
    /// What has come is no TLS but text.
    ClearText,
    /// It broke a rule, shows no certificate that is wanted, or has left. The alert is sent as far as that was possible.
    Failed,
}

/// What was negotiated, as `ConnectionInfo.tls` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsInfo {
    /// `TLSv1.2` or `TLSv1.3`.
    pub protocol: &'static str,
    /// The name in IANA's registry.
    pub cipher: String,
    /// The name that the client asked for (SNI).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servername: Option<String>,
    /// The application protocol (ALPN).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// The client's certificate, DER in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_certificate: Option<String>,
    /// One of the `ca` has signed it, and it was valid when the client came.
    pub authorized: bool,
}

impl TlsStream {
    pub(super) fn new(
        socket: Stream,
        config: Arc<ServerConfig>,
        client_auth: Option<Arc<ClientAuth>>,
    ) -> Result<Self, rustls::Error> {
        let mut session = ServerConnection::new(config)?;
        session.set_buffer_limit(Some(UNSENT_MAX));
        Ok(Self {
            socket,
            session,
            client_auth,
            encrypted: 0,
            ciphertext: Vec::new(),
            has_begun: false,
            is_authorized: false,
        })
    }

    pub(crate) fn socket(&self) -> &Stream {
        &self.socket
    }

    /// The socket without TLS.
    pub(crate) fn into_socket(self) -> Stream {
        self.socket
    }

    /// Takes the socket off this reactor's runtime.
    pub(crate) fn detach(mut self: Box<Self>) -> io::Result<Detached> {
        let socket = std::mem::replace(&mut self.socket, Stream::Gone).detach()?;
        Ok(Detached::Tls(Box::new(socket), self))
    }

    /// Gives a stream that was detached its socket again.
    pub(crate) fn attach(mut self: Box<Self>, socket: Detached) -> io::Result<Box<Self>> {
        self.socket = Stream::attach(socket)?;
        Ok(self)
    }

    /// What was read with something that came before TLS.
    pub(crate) fn unread(&mut self, ciphertext: &[u8]) {
        self.ciphertext.extend_from_slice(ciphertext);
    }

    /// Goes on with the handshake.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Handshake {
        loop {
            if self.send(cx).is_err() {
                return Handshake::Failed;
            }
            if !self.session.is_handshaking() {
                self.is_authorized = match (&self.client_auth, self.session.peer_certificates()) {
                    (Some(auth), Some(chain)) => auth.is_authorized(chain),
                    _ => false,
                };
                return Handshake::Done;
            }
            let mut buffer = [0; HANDSHAKE_READ];
            let count = match self.poll_ciphertext(cx, &mut buffer) {
                Poll::Pending => return Handshake::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Handshake::Failed,
                Poll::Ready(Ok(count)) => count,
            };
            // Records begin with their type, and those of a handshake have 20 to 23 (RFC 8446, 5.1).
            if !self.has_begun && buffer[0].is_ascii_alphabetic() {
                return Handshake::ClearText;
            }
            self.has_begun = true;
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                let taken = self.session.read_tls(&mut rest).is_ok()
                    && self.session.process_new_packets().is_ok();
                if !taken {
                    // The alert that says why.
                    let _ = self.send(cx);
                    return Handshake::Failed;
                }
            }
        }
    }

    /// Reads what is there; registers the waker when nothing is. Nothing read and no error: the peer has ended its side.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        for _ in 0..EMPTY_READS {
            let has_ended = self.take_plaintext(out)?;
            if has_ended || out.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            self.send(cx)?;
            // So much that its plaintext has room, with that of a record of which the beginning is here already.
            let capacity = out
                .remaining()
                .saturating_sub(RECORD_MAX)
                .clamp(HANDSHAKE_READ, CIPHERTEXT);
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let count = ready!(self.poll_ciphertext(cx, &mut scratch[..capacity]))?;
                self.decrypt(cx, &scratch[..count], out)?;
                Poll::Ready(io::Result::Ok(count))
            });
            // An end without close_notify: the protocols above tell by themselves whether it was complete.
            if ready!(read)? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        if out.filled().len() == before {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts and writes; registers the waker when the socket takes nothing.
    ///
    /// What is counted as written the socket has. Of what is not, the next call must offer the same bytes again, since some
    /// are encrypted already. So the owner's count of unsent bytes holds for TLS, too, and at most [`UNSENT_MAX`] are here.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.session.is_handshaking() {
            // The handshake's own reading and writing wakes.
            return Poll::Pending;
        }
        if self.encrypted == 0 {
            // Tickets, alerts, key updates: they go first and alone, so that their bytes are not counted below.
            if !self.send(cx)?.is_all {
                return Poll::Pending;
            }
            self.encrypted = self.session.writer().write_vectored(slices)?;
        }
        let Sent { bytes, is_all } = self.send(cx)?;
        // Ciphertext is longer than plaintext, so this never counts what is not written. The last byte waits for the rest.
        let count = if is_all {
            self.encrypted
        } else {
            bytes.min(self.encrypted.saturating_sub(1))
        };
        // Whoever offers less than before gets less counted, and the rest with its next call.
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let count = count.min(offered);
        self.encrypted -= count;
        if count == 0 && !is_all {
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    /// Says that nothing more comes (close_notify), as far as the socket takes it at once.
    pub(crate) fn say_end(&mut self, cx: &mut Context<'_>) {
        if !self.session.is_handshaking() {
            self.session.send_close_notify();
            let _ = self.send(cx);
        }
    }

    /// Sends close_notify and FIN; the read half stays open.
    pub(crate) fn shutdown_write(&mut self, cx: &mut Context<'_>) {
        self.say_end(cx);
        self.socket.shutdown_write(cx);
    }

    /// The application protocol that was negotiated.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    pub(crate) fn info(&self) -> TlsInfo {
        TlsInfo {
            protocol: match self.session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher: self
                .session
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                // rustls says TLS13_AES_128_GCM_SHA256 where IANA says TLS_AES_128_GCM_SHA256.
                .map_or_else(String::new, |name| name.replacen("TLS13_", "TLS_", 1)),
            servername: self.session.server_name().map(str::to_owned),
            alpn: self
                .alpn()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            peer_certificate: self
                .session
                .peer_certificates()
                .and_then(<[CertificateDer<'_>]>::first)
                .map(|certificate| BASE64.encode(certificate)),
            authorized: self.is_authorized,
        }
    }

    /// Moves decrypted bytes to `out`; true when the peer has said that no more come.
    fn take_plaintext(&mut self, out: &mut ReadBuf<'_>) -> io::Result<bool> {
        while out.remaining() > 0 {
            match self.session.reader().read(out.initialize_unfilled()) {
                Ok(0) => return Ok(true),
                Ok(count) => out.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn decrypt(
        &mut self,
        cx: &mut Context<'_>,
        mut ciphertext: &[u8],
        out: &mut ReadBuf<'_>,
    ) -> io::Result<()> {
        while !ciphertext.is_empty() {
            if out.remaining() == 0 {
                self.ciphertext.splice(0..0, ciphertext.iter().copied());
                break;
            }
            self.session.read_tls(&mut ciphertext)?;
            if let Err(error) = self.session.process_new_packets() {
                // The alert that says why.
                let _ = self.send(cx);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            if self.take_plaintext(out)? {
                break;
            }
        }
        Ok(())
    }

    fn poll_ciphertext(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.ciphertext.is_empty() {
            let count = self.ciphertext.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.ciphertext[..count]);
            self.ciphertext.drain(..count);
            return Poll::Ready(Ok(count));
        }
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.socket.poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes what is encrypted; registers the waker when the socket does not take it all.
    fn send(&mut self, cx: &mut Context<'_>) -> io::Result<Sent> {
        let mut bytes = 0;
        while self.session.wants_write() {
            let mut writer = SocketWriter {
                socket: &mut self.socket,
                cx,
            };
            match self.session.write_tls(&mut writer) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let is_all = false;
                    return Ok(Sent { bytes, is_all });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let is_all = true;
        Ok(Sent { bytes, is_all })
    }
}

/// What a socket took of the ciphertext.
struct Sent {
    bytes: usize,
    is_all: bool,
}

/// A socket as rustls writes to it.
struct SocketWriter<'a, 'b, 'c> {
    socket: &'a mut Stream,
    cx: &'b mut Context<'c>,
}

impl Write for SocketWriter<'_, '_, '_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self.socket.poll_write(self.cx, slices) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
