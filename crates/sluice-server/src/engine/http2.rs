//! Connections that speak HTTP/2, and their streams, which are connections to everything else in the engine.

use std::sync::atomic::Ordering;
use std::task::Context;

use h2::Reason;
use sluice_core::id::ConnectionId;

use super::Engine;
use super::intake::Step;
use crate::connection::{Http2, Phase};
use crate::http2::{Driver, Flood, Http2Stream, Incoming, Polled, Preface, preface, write_request};
use crate::stream::Stream;

/// How long a client may take to answer a GOAWAY before its idle connection is closed, ms.
const DRAIN: u64 = 2_000;
/// The same while the server stops.
const DRAIN_STOPPING: u64 = 250;

impl Engine {
    /// Looks whether a connection begins with the preface of HTTP/2; `None` when it does not.
    pub(super) fn take_preface(&mut self, slot: u32, input: &[u8]) -> Option<Step> {
        let port = self.connection(slot)?.port;
        if !self.shared.config.ports[usize::from(port)].http2 {
            return None;
        }
        match preface(input) {
            Preface::Other => None,
            Preface::Whole => {
                self.begin_http2(slot, input);
                Some(Step::Consumed(input.len()))
            }
            Preface::Begun => {
                let at = self.now + self.port_limits(port).header_timeout;
                if self.deadlines[slot as usize] > at {
                    self.set_deadline(slot, at);
                }
                Some(Step::Stuck)
            }
        }
    }

    /// From here on the connection speaks HTTP/2; `input` was read from it already.
    pub(super) fn begin_http2(&mut self, slot: u32, input: &[u8]) {
        let now = self.now;
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        let settings = &self.http2[usize::from(connection.port)];
        let stream = std::mem::replace(&mut connection.stream, Stream::Gone);
        let driver = Driver::new(stream, input.to_vec(), settings);
        connection.stream = Stream::Wire(driver.wire().clone());
        connection.phase = Phase::Http2;
        connection.http2 = Some(Box::new(Http2 {
            driver: Some(Box::new(driver)),
            streams: Vec::new(),
            idle_since: now,
            head_since: Some(now),
            is_ending: false,
            pass: u64::MAX,
        }));
        if self.stopping {
            self.stop_http2(slot, 1);
        }
        self.mark_dirty(slot);
    }

    /// Reads and writes frames, and begins the streams that have come.
    pub(super) fn drive_http2(&mut self, slot: u32) {
        let (now, pass) = (self.now, self.counters.passes);
        let Some(connection) = self.connection(slot) else {
            return;
        };
        // What its streams sent woke it; this is what it was woken for.
        connection.socket_waker.rearm();
        let waker = connection.waker.clone();
        let Some(http2) = connection.http2.as_deref_mut() else {
            return;
        };
        let Some(mut driver) = http2.driver.take() else {
            return;
        };
        if std::mem::replace(&mut http2.pass, pass) != pass {
            driver.begin(now);
        }
        let mut cx = Context::from_waker(&waker);
        let mut end = loop {
            match driver.poll(&mut cx) {
                Polled::Request(incoming) => self.open_stream(slot, *incoming),
                Polled::Pending => break None,
                Polled::Closed(error) => break Some(error),
            }
        };
        let mut news = driver.take_news();
        if let Some(flood) = news.flood {
            match flood {
                Flood::Control => self.rejected.control_frames += 1,
                Flood::Resets => self.rejected.stream_resets += 1,
            }
            driver.abort(Reason::ENHANCE_YOUR_CALM);
            // Writes the GOAWAY, as far as the socket takes it.
            let _ = driver.poll(&mut cx);
            let last = driver.take_news();
            news.sent += last.sent;
            end = Some(None);
        }
        self.rejected.streams += news.refused;
        self.counters.bytes_in += news.received;
        self.counters.bytes_out += news.sent;
        if let Some(Some(error)) = &end
            && error.is_library()
        {
            if error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
                self.rejected.control_frames += 1;
            } else {
                self.rejected.malformed += 1;
            }
        }
        let send_timeout = self
            .connections
            .get(slot as usize)
            .and_then(Option::as_deref)
            .map_or(0, |connection| {
                self.port_limits(connection.port).send_timeout
            });
        let Some(connection) = self.connection(slot) else {
            return;
        };
        connection.bytes_in += news.received;
        connection.bytes_out += news.sent;
        connection.eof |= news.eof;
        if end.is_some() || news.is_broken {
            drop(driver);
            return self.end_http2(slot, news.is_broken);
        }
        let Some(http2) = connection.http2.as_deref_mut() else {
            return;
        };
        http2.head_since = if driver.is_in_head() {
            http2.head_since.or(Some(now))
        } else {
            None
        };
        http2.driver = Some(driver);
        connection.write_blocked = news.is_blocked;
        if news.is_blocked {
            if news.sent > 0 || !connection.send_timed {
                connection.send_timed = true;
                self.set_send_deadline(slot, now + send_timeout);
            }
            return;
        }
        connection.send_timed = false;
        self.arm_http2(slot);
    }

    /// A request has come on a stream of its own.
    fn open_stream(&mut self, parent: u32, (request, respond): Incoming) {
        let (parts, receive) = request.into_parts();
        let mut text = std::mem::take(&mut self.request_text);
        text.clear();
        let body = write_request(&mut text, &parts, receive.is_end_stream());
        let is_head_request = parts.method == http::Method::HEAD;
        let Some(connection) = self.connection(parent) else {
            return;
        };
        let is_encrypted = connection.stream.is_encrypted();
        let stream = Http2Stream::new(receive, respond, body, is_head_request, is_encrypted);
        let (id, port, peer) = (connection.id, connection.port, connection.peer);
        let worker = connection.worker;
        let slot = self.occupy(
            id,
            port,
            Stream::Http2(Box::new(stream)),
            peer,
            Phase::Head,
            Some(parent),
        );
        self.streams += 1;
        if let Some(connection) = self.connection(slot) {
            connection.worker = worker;
        }
        if let Some(http2) = self.http2_of(parent) {
            http2.streams.push(slot);
        }
        self.deliver(slot, &mut text);
        self.request_text = text;
        if let Some(worker) = self.connection(slot).and_then(|stream| stream.worker)
            && let Some(connection) = self.connection(parent)
        {
            // `dispatch: connection` means the connection, not the stream.
            connection.worker = Some(worker);
        }
        // Its body, and the news that the client has given it up.
        self.read(slot);
    }

    /// What a stream is about to send, its connection writes at the end of the pass. It need not be woken for that.
    pub(super) fn drive_parent(&mut self, slot: u32) {
        let Some(parent) = self.connection(slot).and_then(|stream| stream.parent) else {
            return;
        };
        if let Some(connection) = self.connection(parent) {
            connection.socket_waker.hold();
            self.mark_dirty(parent);
        }
    }

    /// A stream is over.
    pub(super) fn leave_parent(&mut self, parent: u32, slot: u32) {
        let now = self.now;
        self.streams -= 1;
        let Some(http2) = self.http2_of(parent) else {
            return;
        };
        if let Some(at) = http2.streams.iter().position(|&stream| stream == slot) {
            http2.streams.swap_remove(at);
        }
        if http2.streams.is_empty() {
            http2.idle_since = now;
        }
        // There may be a frame to send, or nothing more to wait for.
        self.mark_dirty(parent);
    }

    /// A stream that becomes a WebSocket or an event stream is named for itself: it is one of many on its connection.
    pub(super) fn rename_stream(&mut self, slot: u32) {
        let shared = &self.shared;
        if let Some(connection) = self.connections[slot as usize].as_deref_mut()
            && connection.parent.is_some()
        {
            connection.id = ConnectionId(shared.next_connection_id.fetch_add(1, Ordering::Relaxed));
        }
    }

    /// The connection is broken: so are its streams.
    pub(super) fn lose_streams(&mut self, slot: u32) {
        let Some(http2) = self.http2_of(slot) else {
            return;
        };
        for stream in std::mem::take(&mut http2.streams) {
            self.lose(stream);
        }
    }

    /// `h2` has nothing more to say. Closes the socket so that the peer can read it all.
    fn end_http2(&mut self, slot: u32, is_broken: bool) {
        self.lose_streams(slot);
        let Some(connection) = self.connection(slot) else {
            return;
        };
        connection.http2 = None;
        if let Stream::Wire(wire) = &connection.stream {
            let stream = wire.take_stream();
            connection.stream = stream;
        }
        connection.write_blocked = false;
        connection.send_timed = false;
        if is_broken {
            return self.lose(slot);
        }
        self.begin_close(slot);
    }

    /// No new streams; the connection ends with the last one.
    fn drain_http2(&mut self, slot: u32) {
        if let Some(http2) = self.http2_of(slot) {
            http2.is_ending = true;
            if let Some(driver) = &mut http2.driver {
                driver.shut_down();
            }
            self.mark_dirty(slot);
        }
    }

    /// The server stops.
    pub(super) fn stop_http2(&mut self, slot: u32, grace: u64) {
        let Some(http2) = self.http2_of(slot) else {
            return;
        };
        if grace == 0 && http2.streams.is_empty() {
            return self.close_http2(slot);
        }
        self.drain_http2(slot);
    }

    /// Ends a connection now.
    fn close_http2(&mut self, slot: u32) {
        if let Some(http2) = self.http2_of(slot)
            && let Some(driver) = &mut http2.driver
        {
            driver.abort(Reason::NO_ERROR);
        }
        self.mark_dirty(slot);
    }

    /// Acts on the deadline of a connection.
    pub(super) fn http2_expired(&mut self, slot: u32) {
        let now = self.now;
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        let header_timeout = self.limits[usize::from(connection.port)].0.header_timeout;
        let Some(http2) = connection.http2.as_deref_mut() else {
            return;
        };
        if http2
            .head_since
            .is_some_and(|since| since + header_timeout <= now)
        {
            self.rejected.header_timeout += 1;
            return self.close_http2(slot);
        }
        if !http2.streams.is_empty() {
            return self.arm_http2(slot);
        }
        if http2.is_ending {
            return self.close_http2(slot);
        }
        self.rejected.keep_alive_timeout += 1;
        // A request that crosses this on the wire is still answered.
        http2.idle_since = now;
        self.drain_http2(slot);
    }

    /// Sets the deadline of a connection by what its client owes.
    pub(super) fn arm_http2(&mut self, slot: u32) {
        let Some(connection) = self.connections[slot as usize].as_deref() else {
            return;
        };
        let limits = self.port_limits(connection.port);
        let Some(http2) = connection.http2.as_deref() else {
            return;
        };
        let idle = if !http2.streams.is_empty() {
            u64::MAX
        } else if !http2.is_ending {
            http2.idle_since + limits.keep_alive_timeout
        } else if self.stopping {
            http2.idle_since.max(self.stopped_at) + DRAIN_STOPPING
        } else {
            http2.idle_since + DRAIN
        };
        let head = http2
            .head_since
            .map_or(u64::MAX, |since| since + limits.header_timeout);
        self.set_deadline(slot, idle.min(head));
    }

    fn http2_of(&mut self, slot: u32) -> Option<&mut Http2> {
        self.connection(slot)?.http2.as_deref_mut()
    }
}
