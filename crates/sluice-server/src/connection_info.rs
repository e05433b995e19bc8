//! What an application can know of a connection.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use sluice_core::channel::ChannelKind;
use sluice_core::id::WorkerSlot;
use sluice_core::member::Place;
use sluice_shared::record::event_flag;

use crate::engine::Engine;
use crate::recorded::Recorded;
use crate::socket::{Protocol, Socket, Stage};
use crate::tls::TlsInfo;
use crate::worker::HandshakeInfo;

/// A connection as `ctx.conn` shows it. Times are Unix milliseconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionInfo {
    /// Its id, never reused.
    pub id: u64,
    /// The name of its port.
    pub port: String,
    /// The peer; empty on a unix socket.
    pub remote_address: String,
    /// The peer's port; 0 on a unix socket.
    pub remote_port: u16,
    /// Our address; empty on a unix socket.
    pub local_address: String,
    /// Our port; 0 on a unix socket.
    pub local_port: u16,
    /// `4`, `6` or `unix`.
    pub family: &'static str,
    /// When it was accepted.
    pub connected_at: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Bytes received and not yet parsed.
    pub recv_queued: usize,
    /// Bytes not yet sent.
    pub send_queued: usize,
    /// `http`, `websocket`, `sse` or `tcp`.
    pub kind: &'static str,
    /// `open`, `closing` or `closed`.
    pub state: &'static str,
    /// What was negotiated, where the port speaks TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsInfo>,
    /// What a WebSocket or an event stream has beyond that.
    #[serde(flatten)]
    pub socket: Option<SocketInfo>,
}

/// A connection that outlives requests as `server.getConnection()` shows it, beyond what every connection has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketInfo {
    /// Whose connection it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its topics.
    pub topics: Vec<String>,
    /// The logical number of the worker that gets its events; -1 while it needs none.
    pub worker: i32,
    /// The subprotocol; empty for none.
    pub protocol: String,
    /// Heartbeats do not close it.
    pub protected: bool,
    /// When something came last.
    pub last_received_at: u64,
    /// When something was sent last.
    pub last_sent_at: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
}

impl Engine {
    /// The connection of an exchange that `worker` holds.
    pub(crate) fn connection_info(
        &mut self,
        index: u32,
        generation: u32,
        worker: WorkerSlot,
    ) -> Option<ConnectionInfo> {
        let slot = self.exchange_connection(index, generation, worker)?;
        self.info_of(slot)
    }

    /// The WebSocket or event stream at this place.
    pub(crate) fn socket_info(&self, place: &Place) -> Option<ConnectionInfo> {
        if self.generations.get(place.slot as usize) != Some(&place.generation) {
            return None;
        }
        self.info_of(place.slot)
    }

    /// The request that the connection at this place began with.
    pub(crate) fn handshake_info(&self, place: &Place) -> Option<HandshakeInfo> {
        if self.generations.get(place.slot as usize) != Some(&place.generation) {
            return None;
        }
        let connection = self.connections.get(place.slot as usize)?.as_deref()?;
        let socket = connection.socket.as_deref()?;
        let handshake = socket.handshake.as_deref()?;
        let recorded = Recorded::new(handshake.words, &handshake.record);
        let latin1 = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect();
        Some(HandshakeInfo {
            protocol: handshake.protocol.to_string(),
            url: latin1(recorded.target()),
            secure: handshake.words.has(event_flag::HTTPS),
            headers: recorded
                .fields()
                .map(|(name, value)| (latin1(name), latin1(value)))
                .collect(),
            compressed: matches!(
                &socket.protocol,
                Protocol::WebSocket {
                    compression: Some(_),
                    ..
                }
            ),
            resume_token: socket
                .session
                .as_deref()
                .map(|session| session.token.to_string()),
        })
    }

    fn info_of(&self, slot: u32) -> Option<ConnectionInfo> {
        let started = self.shared.started_unix_ms();
        let connection = self.connections.get(slot as usize)?.as_deref()?;
        // What is asked of a stream of HTTP/2 is answered by its connection.
        let wire = match connection.parent {
            Some(parent) => self.connections.get(parent as usize)?.as_deref()?,
            None => connection,
        };
        let local = wire.stream.local_address();
        let address = |address: Option<SocketAddr>| {
            address.map_or_else(String::new, |address| {
                address.ip().to_canonical().to_string()
            })
        };
        Some(ConnectionInfo {
            id: connection.id.0,
            port: self.shared.config.ports[usize::from(connection.port)]
                .name
                .clone(),
            remote_address: address(connection.peer),
            remote_port: connection.peer.map_or(0, |peer| peer.port()),
            local_address: address(local),
            local_port: local.map_or(0, |local| local.port()),
            family: match connection.peer.map(|peer| peer.ip().to_canonical()) {
                Some(IpAddr::V4(_)) => "4",
                Some(IpAddr::V6(_)) => "6",
                None => "unix",
            },
            connected_at: started + wire.connected_at,
            bytes_in: wire.bytes_in,
            bytes_out: wire.bytes_out,
            recv_queued: connection.input.len()
                + connection
                    .socket
                    .as_deref()
                    .map_or(0, |socket| socket.delivery.bytes()),
            send_queued: connection.output.len(),
            kind: match connection.socket.as_deref() {
                None => "http",
                Some(socket) => match socket.protocol {
                    Protocol::WebSocket { .. } => "websocket",
                    Protocol::EventStream { .. } => "sse",
                    Protocol::Tcp { .. } => "tcp",
                },
            },
            state: match connection.socket.as_deref().map(|socket| socket.stage) {
                None | Some(Stage::Open) => "open",
                Some(Stage::Closing) => "closing",
                Some(Stage::Ended) => "closed",
            },
            tls: wire.stream.tls_info(),
            socket: connection
                .socket
                .as_deref()
                .map(|socket| self.socket_part(socket)),
        })
    }

    fn socket_part(&self, socket: &Socket) -> SocketInfo {
        let started = self.shared.started_unix_ms();
        let worker = socket
            .owner
            .worker()
            .and_then(|worker| self.home_of(worker))
            .map_or(-1, i32::from);
        SocketInfo {
            uid: socket.member.uid().map(|uid| uid.to_string()),
            groups: socket.member.names(ChannelKind::Group),
            topics: socket.member.names(ChannelKind::Topic),
            worker,
            protocol: socket
                .handshake
                .as_deref()
                .map_or_else(String::new, |handshake| handshake.protocol.to_string()),
            protected: socket.is_protected,
            last_received_at: started + socket.last_received,
            last_sent_at: started + socket.last_sent,
            messages_in: socket.messages_in,
            messages_out: socket.messages_out,
        }
    }
}
