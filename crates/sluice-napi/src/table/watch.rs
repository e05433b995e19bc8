//! Watching a table from JavaScript: mail says that something has come, and then it is taken in batches.

use napi::sys;
use sluice_shared::table::{EventKind, WatchEvent};

use super::calls::{answer, arguments, from_double, key_text};
use crate::mailbox::{Mail, next_ticket, with_mailbox};
use crate::value::{double, from_bool, from_text};

/// Watches of one table in one thread at most.
const WATCHES_MAX: usize = 1024;
/// Events that one call takes.
const BATCH: usize = 256;

/// `watch(prefix)`: a ticket, to which mail comes when `watchTake` has something again after it had nothing. 0: there are too many, or this
/// thread has no mailbox.
pub(super) extern "C" fn watch(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let (context, [prefix], _) = arguments::<1>(env, info);
    answer(
        env,
        context,
        |context| {
            let prefix = key_text(env, prefix)?;
            let mailbox = with_mailbox(Clone::clone);
            let Some(mailbox) = mailbox.filter(|_| context.watches.len() < WATCHES_MAX) else {
                return Ok(0.0);
            };
            let ticket = next_ticket();
            let wake = move || mailbox.post(Mail { ticket, value: 0 });
            let watch = context.table.watch(&prefix, Box::new(wake))?;
            context.watches.insert(ticket, watch);
            Ok(ticket as f64)
        },
        |_, ticket| from_double(env, ticket),
    )
}

/// `watchTake(ticket)`: JSON of the next events, `[kind, key]` or `["missed", count]` each; `[]` when there is none.
pub(super) extern "C" fn watch_take(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let (context, [ticket], _) = arguments::<1>(env, info);
    let ticket = double(env, ticket) as u64;
    answer(
        env,
        context,
        |context| {
            let events = context.watches.get(&ticket).map(|watch| watch.take(BATCH));
            let events: Vec<_> = events.unwrap_or_default().iter().map(told).collect();
            Ok(serde_json::Value::from(events).to_string())
        },
        |_, json| from_text(env, Some(&json)),
    )
}

/// `watchEnd(ticket)`: no more mail and no more events. False: there is no such watch.
pub(super) extern "C" fn watch_end(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let (context, [ticket], _) = arguments::<1>(env, info);
    let ticket = double(env, ticket) as u64;
    answer(
        env,
        context,
        |context| Ok(context.watches.remove(&ticket).is_some()),
        |_, done| from_bool(env, done),
    )
}

fn told(event: &WatchEvent) -> serde_json::Value {
    match event {
        WatchEvent::Change(kind, key) => {
            let kind = match kind {
                EventKind::Set => "set",
                EventKind::Delete => "delete",
                EventKind::Expire => "expire",
            };
            serde_json::json!([kind, String::from_utf8_lossy(key)])
        }
        WatchEvent::Missed(count) => serde_json::json!(["missed", count]),
    }
}
