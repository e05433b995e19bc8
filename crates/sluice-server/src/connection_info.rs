//! What an application can know of a connection.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use sluice_core::id::WorkerSlot;

use crate::engine::Engine;

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
        let started = self.shared.started_unix_ms();
        let connection = self.connections.get(slot as usize)?.as_deref()?;
        let local = connection.stream.local_address();
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
            connected_at: started + connection.connected_at,
            bytes_in: connection.bytes_in,
            bytes_out: connection.bytes_out,
            recv_queued: connection.input.len(),
            send_queued: connection.output.len(),
        })
    }
}
