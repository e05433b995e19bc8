//! The calls of packets, as [`socket`](crate::socket) has those of connections.

use napi::sys;
use sluice_server::PacketPeer;

use crate::function::Call;
use crate::socket::{on_worker, with_data};
use crate::value::{arguments, boolean, bytes, from_bool, uint32};

/// The functions, by the name that they have in JavaScript.
pub(crate) const CALLS: [(&str, Call); 3] = [
    ("replyPacket", reply_packet),
    ("returnPacket", return_packet),
    ("pausePackets", pause_packets),
];

extern "C" fn reply_packet(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<7>(env, info);
    let meta = uint32(env, values[2]);
    let to = PacketPeer {
        flags: (meta >> 8) as u8,
        peer: uint32(env, values[3]),
        port: (meta >> 16) as u16,
        local: uint32(env, values[4]),
        address: bytes(env, values[5]).unwrap_or(&[]),
    };
    let (lane, port) = (uint32(env, values[1]), meta as u16 & 63);
    let sent = with_data(env, values[6], false, |data| {
        on_worker(env, &values, false, |worker| {
            worker.reply_packet(lane, port, &to, data)
        })
    });
    from_bool(env, sent)
}

extern "C" fn return_packet(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<3>(env, info);
    let record = bytes(env, values[2]).unwrap_or(&[]);
    let lane = uint32(env, values[1]);
    let done = on_worker(env, &values, false, |worker| {
        worker.return_packet(lane, record)
    });
    from_bool(env, done)
}

extern "C" fn pause_packets(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let values = arguments::<4>(env, info);
    let (lane, port) = (uint32(env, values[1]), uint32(env, values[2]) as u16 & 63);
    let yes = boolean(env, values[3]);
    let done = on_worker(env, &values, false, |worker| {
        worker.pause_packets(lane, port, yes)
    });
    from_bool(env, done)
}
