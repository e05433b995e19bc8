//! Pings, and the end of connections that do not answer them. One deadline per connection in the engine's dense array,
//! looked at when it passes: what is received in between costs one store.

use super::Engine;
use crate::socket::{By, Ending, Protocol, Stage};
use crate::websocket::{self, Opcode};

impl Engine {
    /// Acts on the deadline of a connection that outlives requests, and sets the next. On a TCP port nobody is pinged.
    pub(in crate::engine) fn socket_expired(&mut self, slot: u32) {
        let now = self.now;
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        let heartbeat = &self.shared.config.ports[usize::from(connection.port)].heartbeat;
        let (ping, pong_timeout, idle) = (heartbeat.ping, heartbeat.pong_timeout, heartbeat.idle);
        let (stalled, is_at_end) = (connection.stalled, connection.eof);
        let Some(socket) = connection.socket.as_deref_mut() else {
            return;
        };
        match socket.stage {
            // The peer has closed, and what it sent before takes too long.
            Stage::Open if socket.is_half_closed && socket.is_web_socket() => {
                return self.answer_close(slot);
            }
            Stage::Open => {}
            // The peer has not answered our Close frame.
            Stage::Closing => {
                let ending = Ending::new(By::Server, 1006, "");
                return self.cut_socket(slot, ending);
            }
            Stage::Ended => return self.lose(slot),
        }
        if let Protocol::EventStream { chunked, .. } = socket.protocol {
            if ping > 0 && now >= socket.last_sent + ping {
                socket.last_sent = now;
                // A comment.
                self.write_small(slot, if chunked { b"3\r\n:\n\n\r\n" } else { b":\n\n" });
            }
            return self.arm_socket(slot);
        }
        let ping = if socket.is_tcp() { 0 } else { ping };
        if socket.pinged.is_some_and(|at| socket.last_received > at) || stalled {
            // Anything that comes shows life; and who is not read cannot show any.
            socket.pinged = None;
        }
        if stalled && !is_at_end {
            // What it says is not heard because its worker is behind.
            socket.last_message = now;
        }
        if !socket.is_protected {
            if idle > 0 && now >= socket.last_message + idle {
                self.rejected.heartbeat_idle += 1;
                return self.close_socket(slot, Ending::new(By::Idle, 1001, "idle"));
            }
            if socket.pinged.is_some_and(|at| now >= at + pong_timeout) {
                self.rejected.pong_timeout += 1;
                return self.cut_socket(slot, Ending::new(By::Idle, 1006, "no pong"));
            }
        }
        if ping > 0 && socket.pinged.is_none() && now >= socket.last_received + ping {
            socket.pinged = Some(now);
            if let Some(out) = self.tail(slot) {
                websocket::write_frame_header(out, Opcode::Ping, true, false, 0, None);
            }
            self.mark_dirty(slot);
        }
        self.arm_socket(slot);
    }

    /// Sets the deadline of a connection by what its heartbeat has to look at next.
    pub(in crate::engine) fn arm_socket(&mut self, slot: u32) {
        let Some(connection) = self.connections[slot as usize].as_deref() else {
            return;
        };
        let heartbeat = &self.shared.config.ports[usize::from(connection.port)].heartbeat;
        let Some(socket) = connection.socket.as_deref() else {
            return;
        };
        match socket.stage {
            Stage::Open if socket.is_half_closed && socket.is_web_socket() => {
                return self.set_deadline(slot, socket.close_at.max(self.now + 1));
            }
            Stage::Open => {}
            Stage::Closing => return self.set_deadline(slot, socket.close_at.max(self.now + 1)),
            Stage::Ended => return,
        }
        let after = |since: u64, wait: u64| if wait == 0 { u64::MAX } else { since + wait };
        let at = if socket.is_tcp() {
            if socket.is_protected {
                u64::MAX
            } else {
                after(socket.last_message, heartbeat.idle)
            }
        } else if socket.is_web_socket() {
            let ping = match socket.pinged {
                Some(at) => after(at, heartbeat.pong_timeout),
                None => after(socket.last_received, heartbeat.ping),
            };
            if socket.is_protected {
                ping.max(self.now + heartbeat.pong_timeout.max(1))
            } else {
                ping.min(after(socket.last_message, heartbeat.idle))
            }
        } else {
            after(socket.last_sent, heartbeat.ping)
        };
        // What is due already was looked at just now.
        self.set_deadline(slot, at.max(self.now + 1));
    }
}
