//! What every thread may ask and do about all connections of a server. `worker` is the calling thread's attachment, -1
//! where it has none.

use napi::bindgen_prelude::{Either, Float64Array, Uint8Array};
use napi_derive::napi;
use serde::de::DeserializeOwned;
use sluice_core::ErrorCode;
use sluice_server::{MessageKind, PostFlags};

use crate::error::{Result, error, internal};
use crate::server::server;
use crate::socket::{channel_kind, id_of};
use crate::worker::with_worker;

fn parse<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|source| error(ErrorCode::InvalidArg, source.to_string()))
}

fn port(number: i32) -> Option<u16> {
    u16::try_from(number).ok()
}

/// To all WebSockets that fit. `options`: JSON `{ port?, uids?, group?, except? }`.
#[napi(catch_unwind)]
pub fn broadcast(
    server: u32,
    worker: i32,
    options: String,
    data: Either<String, Uint8Array>,
    kind: u32,
    flags: u32,
) -> Result<u32> {
    let options = parse(&options)?;
    let data: &[u8] = match &data {
        Either::A(text) => text.as_bytes(),
        Either::B(bytes) => bytes,
    };
    let (kind, flags) = (MessageKind(kind), PostFlags(flags));
    match u32::try_from(worker) {
        Ok(worker) => {
            let count = with_worker(worker, |worker| {
                worker.broadcast(options, data, kind, flags)
            });
            Ok(count.unwrap_or(0))
        }
        Err(_) => Ok(self::server(server)?.broadcast(options, data, kind, flags)),
    }
}

/// Sends a packet by a UDP port to an IP address and port, or to the path of a unix socket. False when that cannot be.
#[napi(catch_unwind)]
pub fn send_to(
    server: u32,
    worker: i32,
    port: u32,
    address: String,
    udp_port: u32,
    data: Either<String, Uint8Array>,
) -> Result<bool> {
    let data: &[u8] = match &data {
        Either::A(text) => text.as_bytes(),
        Either::B(bytes) => bytes,
    };
    let (Ok(port), Ok(udp_port)) = (u16::try_from(port), u16::try_from(udp_port)) else {
        return Ok(false);
    };
    match u32::try_from(worker) {
        Ok(worker) => {
            let sent = with_worker(worker, |worker| {
                worker.send_to(port, &address, udp_port, data)
            });
            Ok(sent.unwrap_or(false))
        }
        Err(_) => Ok(self::server(server)?.send_to(port, &address, udp_port, data)),
    }
}

/// Closes a connection. `terminate`: without a closing handshake. False when there is no such connection.
#[napi(catch_unwind)]
pub fn close_by_id(
    server: u32,
    worker: i32,
    id: f64,
    code: u32,
    reason: String,
    terminate: bool,
) -> Result<bool> {
    let (id, code) = (id_of(id), code as u16);
    match u32::try_from(worker) {
        Ok(worker) => {
            let done = with_worker(worker, |worker| {
                worker.close_by_id(id, code, &reason, terminate)
            });
            Ok(done.unwrap_or(false))
        }
        Err(_) => Ok(self::server(server)?.close_by_id(id, code, &reason, terminate)),
    }
}

/// Closes every connection that fits. `target`: JSON `{ id?, uid?, group? }`. How many were asked to close.
#[napi(catch_unwind)]
pub fn kick(server: u32, worker: i32, target: String, code: u32, reason: String) -> Result<u32> {
    let target = parse(&target)?;
    let code = code as u16;
    match u32::try_from(worker) {
        Ok(worker) => {
            let count = with_worker(worker, |worker| worker.kick(&target, code, &reason));
            Ok(count.unwrap_or(0))
        }
        Err(_) => Ok(self::server(server)?.kick(&target, code, &reason)),
    }
}

/// Says whose connection it is; null: nobody's. False when there is no such connection.
#[napi(catch_unwind)]
pub fn bind_uid_by_id(server: u32, id: f64, uid: Option<String>) -> Result<bool> {
    Ok(self::server(server)?.bind_uid(id_of(id), uid.as_deref()))
}

/// JSON of a connection, or null when there is none with this id.
#[napi(catch_unwind)]
pub fn connection_by_id(server: u32, _worker: i32, id: f64) -> Result<Option<String>> {
    self::server(server)?
        .connection(id_of(id))
        .map(|info| serde_json::to_string(&info).map_err(internal))
        .transpose()
}

/// 0 none, 2 an open WebSocket, 3 an open event stream.
#[napi(catch_unwind)]
pub fn connection_kind(server: u32, id: f64) -> Result<u32> {
    Ok(self::server(server)?.connection_kind(id_of(id)))
}

/// At most `limit` ids above `after`, ascending. `port` -1 = all.
#[napi(catch_unwind)]
pub fn connection_ids(server: u32, port: i32, after: f64, limit: u32) -> Result<Float64Array> {
    let after = if after > 0.0 { after as u64 } else { 0 };
    let ids = self::server(server)?.connection_ids(self::port(port), after, limit as usize);
    // Ids are counted from 1 and never pass 2^53.
    Ok(Float64Array::new(
        ids.into_iter().map(|id| id as f64).collect(),
    ))
}

/// How many WebSockets and event streams there are. `port` -1 = all.
#[napi(catch_unwind)]
pub fn connection_count(server: u32, port: i32) -> Result<u32> {
    let count = self::server(server)?.connection_count(self::port(port));
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// How many connections a channel has. `kind`: 0 topic, 1 group, 2 uid.
#[napi(catch_unwind)]
pub fn channel_size(server: u32, kind: u32, name: String) -> Result<u32> {
    let count = self::server(server)?.channel_size(channel_kind(kind), &name);
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}
