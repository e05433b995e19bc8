//! What a connection goes through before its port's protocol begins: the TLS handshake.

use std::task::Context;

use sluice_core::config::PortProtocol;

use super::Engine;
use crate::connection::Phase;
use crate::http1::Reject;
use crate::stream::Stream;
use crate::tls::{Handshake, TlsStream};

impl Engine {
    /// The stream of a new connection as its port wants it, and what it begins with. One that another reactor has opened
    /// stays as it is.
    pub(super) fn begin_opening(&self, port: u16, stream: Stream) -> (Stream, Phase) {
        let Some(tls) = self.shared.tls(port) else {
            return (stream, Phase::Head);
        };
        if stream.tls().is_some() {
            return (stream, Phase::Head);
        }
        match tls.wrap(stream) {
            Ok(stream) => (Stream::Tls(Box::new(stream)), Phase::Handshake),
            // Out of random numbers. What is gone is closed by the first read.
            Err(_) => (Stream::Gone, Phase::Handshake),
        }
    }

    /// Goes on with the handshake. True when the protocol begins.
    pub(super) fn shake_hands(&mut self, slot: u32) -> bool {
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return false;
        };
        let mut cx = Context::from_waker(&connection.waker);
        let handshake = match &mut connection.stream {
            Stream::Tls(stream) => stream.poll_handshake(&mut cx),
            _ => Handshake::Failed,
        };
        match handshake {
            Handshake::Pending => false,
            Handshake::Done => {
                self.begin_protocol(slot);
                true
            }
            Handshake::ClearText => {
                connection.stream.remove_tls();
                if self.protocol_of(slot) == Some(PortProtocol::Tcp) {
                    self.rejected.handshake += 1;
                    self.begin_close(slot);
                } else {
                    // Browsers show it to whoever has forgotten the s of https.
                    self.reject(slot, Reject::ClearText);
                }
                false
            }
            Handshake::Failed => {
                self.rejected.handshake += 1;
                // The alert is in clear, and there will be nothing else.
                connection.stream.remove_tls();
                self.begin_close(slot);
                false
            }
        }
    }

    fn protocol_of(&self, slot: u32) -> Option<PortProtocol> {
        let connection = self.connections.get(slot as usize)?.as_deref()?;
        Some(self.shared.config.ports[usize::from(connection.port)].protocol)
    }

    /// The protocol of the port begins.
    pub(super) fn begin_protocol(&mut self, slot: u32) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        connection.phase = Phase::Head;
        let port = connection.port;
        let alpn = connection.stream.tls().and_then(TlsStream::alpn);
        let wants_http2 = alpn == Some(b"h2");
        let config = &self.shared.config.ports[usize::from(port)];
        if config.protocol == PortProtocol::Tcp {
            return self.begin_tcp(slot, port);
        }
        if wants_http2 && config.http2 {
            return self.begin_http2(slot, &[]);
        }
        let at = self.idle_deadline(slot);
        self.set_deadline(slot, at);
    }
}
