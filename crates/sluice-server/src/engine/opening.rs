//! What a connection goes through before its port's protocol begins: the PROXY header, the TLS handshake.

use std::task::{Context, Poll};

use sluice_core::config::PortProtocol;
use tokio::io::ReadBuf;

use super::Engine;
use crate::connection::Phase;
use crate::http1::Reject;
use crate::proxy_protocol::{self, HEADER_BYTES_MAX, Parsed};
use crate::stream::Stream;
use crate::tls::{Handshake, TlsStream};

impl Engine {
    /// The stream of a connection that was just accepted as its port wants it, and what it begins with.
    pub(super) fn begin_opening(&self, port: u16, stream: Stream) -> (Stream, Phase) {
        let has_proxy_header = self.shared.config.ports[usize::from(port)]
            .proxy
            .protocol
            .is_some();
        if has_proxy_header {
            return (stream, Phase::ProxyHeader);
        }
        self.begin_tls(port, stream)
    }

    fn begin_tls(&self, port: u16, stream: Stream) -> (Stream, Phase) {
        let Some(tls) = self.shared.tls(port) else {
            return (stream, Phase::Head);
        };
        match tls.wrap(stream) {
            Ok(stream) => (Stream::Tls(Box::new(stream)), Phase::Handshake),
            // Out of random numbers. What is gone is closed by the first read.
            Err(_) => (Stream::Gone, Phase::Handshake),
        }
    }

    /// Goes on with what comes before the protocol. True when that begins.
    pub(super) fn go_on_opening(&mut self, slot: u32) -> bool {
        match self.connection(slot).map(|connection| &connection.phase) {
            Some(Phase::ProxyHeader) => self.read_proxy_header(slot),
            Some(Phase::Handshake) => self.shake_hands(slot),
            _ => true,
        }
    }

    fn read_proxy_header(&mut self, slot: u32) -> bool {
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return false;
        };
        let port = connection.port;
        let config = &self.shared.config.ports[usize::from(port)].proxy;
        let Some(version) = config.protocol else {
            return false;
        };
        let mut refused = !config.trusts(connection.peer.map(|peer| peer.ip()));
        let mut header = None;
        while !refused && header.is_none() {
            let mut bytes = [0; HEADER_BYTES_MAX];
            let mut buffer = ReadBuf::new(&mut bytes);
            let mut cx = Context::from_waker(&connection.waker);
            match connection.stream.poll_read(&mut cx, &mut buffer) {
                Poll::Pending => return false,
                // Nothing was asked: a balancer has looked whether somebody is there.
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    self.close(slot);
                    return false;
                }
                Poll::Ready(Err(_)) => {
                    self.close(slot);
                    return false;
                }
                Poll::Ready(Ok(())) => {}
            }
            connection.bytes_in += buffer.filled().len() as u64;
            connection.input.extend_from_slice(buffer.filled());
            match proxy_protocol::parse(&connection.input, version) {
                Ok(Parsed::Incomplete) => {}
                Ok(Parsed::Header { len, client }) => header = Some((len, client)),
                Err(_) => refused = true,
            }
        }
        let Some((len, client)) = header else {
            self.rejected.proxy_header += 1;
            self.close(slot);
            return false;
        };
        connection.peer = client.or(connection.peer);
        let mut rest = connection.input.split_off(len);
        connection.input.clear();
        let stream = std::mem::replace(&mut connection.stream, Stream::Gone);
        let (stream, phase) = self.begin_tls(port, stream);
        let Some(connection) = self.connection(slot) else {
            return false;
        };
        connection.stream = stream;
        connection.phase = phase;
        if let Stream::Tls(stream) = &mut connection.stream {
            stream.unread(&rest);
            return self.shake_hands(slot);
        }
        self.begin_protocol(slot);
        if !rest.is_empty() {
            self.deliver(slot, &mut rest);
        }
        true
    }

    /// Goes on with the handshake. True when the protocol begins.
    fn shake_hands(&mut self, slot: u32) -> bool {
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
