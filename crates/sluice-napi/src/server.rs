//! What the master calls. A server is named by the number that `startServer` gave.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use napi::Env;
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use serde::Serialize;
use sluice_core::ErrorCode;
use sluice_core::id::WorkerSlot;
use sluice_server::{Owner, Role, Server};
use sluice_shared::record::AdoptReason;

use crate::error::{Result, error, from_server, internal};
use crate::wake::Wake;

/// Every running server of the process: the one registry that all threads share.
static SERVERS: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Registry {
    last: u32,
    servers: HashMap<u32, Arc<Server>>,
    /// Of the threads that listen for notices.
    wakes: HashMap<u32, Wake>,
}

fn registry() -> std::sync::MutexGuard<'static, Registry> {
    SERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn server(id: u32) -> Result<Arc<Server>> {
    registry()
        .servers
        .get(&id)
        .cloned()
        .ok_or_else(|| error(ErrorCode::InvalidState, "The server is not running"))
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(internal)
}

fn slot(number: u32) -> Result<WorkerSlot> {
    u16::try_from(number)
        .map(WorkerSlot)
        .map_err(|_| error(ErrorCode::InvalidArg, format!("No worker slot {number}")))
}

/// Binds every port of the JSON configuration and starts the reactors. Accepts nothing yet.
#[napi(catch_unwind)]
pub fn start_server(config: String) -> Result<u32> {
    let server = Server::start(&config).map_err(|source| from_server(&source))?;
    let mut registry = registry();
    registry.last += 1;
    let id = registry.last;
    registry.servers.insert(id, Arc::new(server));
    Ok(id)
}

/// JSON: `{ ports: [{ name, host?, port?, path? }], reactors }`.
#[napi(catch_unwind)]
pub fn server_info(server: u32) -> Result<String> {
    json(self::server(server)?.info())
}

/// Reads the certificates of every port again, for connections to come; notices tell what is wrong with them.
#[napi(catch_unwind)]
pub fn renew_certificates(server: u32) -> Result<()> {
    self::server(server)?.renew_certificates();
    Ok(())
}

/// Starts accepting connections.
#[napi(catch_unwind)]
pub fn accept_connections(server: u32) -> Result<()> {
    self::server(server)?.accept();
    Ok(())
}

/// Accepts no more connections on a port, or accepts again. False when there is no such port.
#[napi(catch_unwind)]
pub fn pause_accept(server: u32, port: u32, pause: bool) -> Result<bool> {
    let server = self::server(server)?;
    let Ok(port) = u16::try_from(port) else {
        return Ok(false);
    };
    Ok(if pause {
        server.pause_accept(port)
    } else {
        server.resume_accept(port)
    })
}

/// JSON: counters of one port; null when there is no such port.
#[napi(catch_unwind)]
pub fn port_stats(server: u32, port: u32) -> Result<Option<String>> {
    let server = self::server(server)?;
    let stats = u16::try_from(port)
        .ok()
        .and_then(|port| server.port_stats(port));
    stats.as_ref().map(json).transpose()
}

/// The numbers of `user`, `user:group` or `:group`: `[uid, gid]`, each null where it is not said.
#[napi(
    catch_unwind,
    ts_return_type = "[uid: number | null, gid: number | null]"
)]
pub fn look_up_owner(owner: String) -> Result<Vec<Option<u32>>> {
    Owner::look_up(&owner)
        .map(|Owner { uid, gid }| vec![uid, gid])
        .map_err(|source| error(ErrorCode::InvalidArg, source.to_string()))
}

/// `wake` is called, coalesced, when `takeNotices` has something. Keeps the calling thread's loop alive until `releaseServer`.
#[napi(catch_unwind, ts_args_type = "server: number, wake: () => void")]
pub fn attach_master(env: Env, server: u32, wake: Function<'_, (), ()>) -> Result<()> {
    let target = self::server(server)?;
    let wake = Wake::new(
        env.raw(),
        napi::bindgen_prelude::JsValue::raw(&wake),
        "sluice:master",
    )
    .ok_or_else(|| internal("Cannot make a threadsafe function"))?;
    registry().wakes.insert(server, wake);
    target.set_notice_wake(Some(wake.function()));
    // The environment may end without `releaseServer`; nobody may call into it then.
    env.add_env_cleanup_hook(server, |server| {
        registry().wakes.remove(&server);
        if let Ok(server) = self::server(server) {
            server.set_notice_wake(None);
        }
    })
    .map_err(internal)?;
    Ok(())
}

/// JSON array of notices, oldest first, or null when there is none.
#[napi(catch_unwind)]
pub fn take_notices(server: u32) -> Result<Option<String>> {
    let notices = self::server(server)?.take_notices();
    if notices.is_empty() {
        return Ok(None);
    }
    json(&notices).map(Some)
}

/// Reserves a slot for a worker thread that is about to start.
#[napi(catch_unwind)]
pub fn create_worker(server: u32) -> Result<u32> {
    self::server(server)?
        .create_worker()
        .map(|slot| u32::from(slot.0))
        .map_err(|source| from_server(&source))
}

/// Lets a worker have work. `home` is its logical number: a successor has the same. `role`: 0 (default) it serves, 1 it runs tasks, 2 jobs of the
/// schedule, 3 it is a process, from 4 on it runs the tasks of the queues of that pool.
#[napi(catch_unwind)]
pub fn activate_worker(server: u32, slot: u32, home: u32, role: Option<u32>) -> Result<()> {
    let (role, pool) = match role.unwrap_or(0) {
        0 => (Role::Serve, None),
        1 => (Role::Task, None),
        2 => (Role::Cron, None),
        3 => (Role::Process, None),
        pool => (Role::Task, Some(pool)),
    };
    let pool = pool.map(|pool| u16::try_from(pool).unwrap_or(u16::MAX));
    let home = u16::try_from(home)
        .map_err(|_| error(ErrorCode::InvalidArg, format!("No worker number {home}")))?;
    self::server(server)?
        .activate_worker(self::slot(slot)?, home, role, pool)
        .map_err(|source| from_server(&source))
}

/// Takes it out of dispatch. A `drained` notice follows when nothing is in its hands, no connection either. `reason`: what
/// the workers are told that get its connections, 0 reload or 3 recycle.
#[napi(catch_unwind)]
pub fn drain_worker(server: u32, slot: u32, reason: u32) -> Result<()> {
    let reason = AdoptReason::from_u8(reason as u8);
    self::server(server)?.drain_worker(self::slot(slot)?, reason);
    Ok(())
}

/// Treats the worker as dead from now on. A `gone` notice follows. False when it is gone already.
#[napi(catch_unwind)]
pub fn write_off_worker(server: u32, slot: u32) -> Result<bool> {
    Ok(self::server(server)?.write_off_worker(self::slot(slot)?))
}

/// JSON: counters of the whole server.
#[napi(catch_unwind)]
pub fn server_stats(server: u32) -> Result<String> {
    json(&self::server(server)?.stats())
}

/// Stops accepting; connections close after their current answers, idle ones after `grace` ms, WebSockets with `code`. A
/// `stopped` notice follows.
#[napi(catch_unwind)]
pub fn stop_server(server: u32, grace: u32, code: u32) -> Result<()> {
    self::server(server)?.stop(u64::from(grace), code as u16);
    Ok(())
}

/// Asks for a `tasksDone` notice, when nothing is in the hands of any worker and nothing that waits can go to one.
#[napi(catch_unwind)]
pub fn finish_tasks(server: u32) -> Result<()> {
    self::server(server)?.finish_tasks();
    Ok(())
}

/// Closes what is left at once, ends the reactors and frees the server. Idempotent. On the thread of `attachMaster`, if there is one.
#[napi(catch_unwind)]
pub fn release_server(server: u32) {
    let (server, wake) = {
        let mut registry = registry();
        (
            registry.servers.remove(&server),
            registry.wakes.remove(&server),
        )
    };
    if let Some(server) = server {
        server.release();
    }
    if let Some(wake) = wake {
        wake.release();
    }
}

/// Names the calling OS thread (15 bytes), as `top -H` shows it.
#[napi(catch_unwind)]
pub fn name_thread(name: String) {
    sluice_server::name_current_thread(&name);
}

/// Pins the calling OS thread to one CPU. False where it cannot be done.
#[napi(catch_unwind)]
pub fn pin_thread(cpu: u32) -> bool {
    sluice_server::pin_current_thread(cpu as usize)
}

/// Every error code that this addon can raise.
#[napi]
pub fn error_codes() -> Vec<String> {
    ErrorCode::ALL
        .iter()
        .map(|code| code.as_str().to_owned())
        .collect()
}
