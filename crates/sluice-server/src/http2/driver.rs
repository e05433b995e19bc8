//! The connection's side of HTTP/2: `h2`, polled by the engine.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use sluice_core::config::Limits;

use super::frame_meter::FrameLimits;
use super::wire::{News, Wire, WireIo};
use crate::stream::Stream;

/// What a client may send of one body before any of it is read.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same of all bodies of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The largest frame that is taken.
const FRAME_BYTES: u32 = 16 * 1024;
/// What one stream hands to `h2` before it is written.
const SEND_BUFFER: usize = 64 * 1024;
/// Read from one connection in one pass.
const READ_BUDGET: usize = 256 * 1024;
/// Streams that we have reset and whose frames may still be on their way.
const RESET_STREAMS: usize = 64;
/// Stream errors of a client's making before the connection is closed.
const LOCAL_RESETS: usize = 256;

/// What a port's limits mean for its HTTP/2 connections.
pub(crate) struct Settings {
    builder: Builder,
    frames: FrameLimits,
}

impl Settings {
    pub(crate) fn new(limits: &Limits) -> Self {
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(limits.streams)
            // 32 bytes per field are counted for their own sake (RFC 9113 section 10.5.1): what our own limits allow is let
            // through, and what is somewhat above is refused by them, with a count.
            .max_header_list_size(limits.header_bytes + 2 * 32 * limits.header_fields)
            .max_frame_size(FRAME_BYTES)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_concurrent_reset_streams(RESET_STREAMS)
            .max_local_error_reset_streams(Some(LOCAL_RESETS))
            .enable_connect_protocol();
        Self {
            builder,
            frames: FrameLimits {
                control: limits.control_frames,
                resets: limits.stream_resets,
            },
        }
    }
}

/// A request as it came: its fields, and the two ends of its stream.
pub(crate) type Incoming = (Request<RecvStream>, SendResponse<Bytes>);

/// What one poll came to.
pub(crate) enum Polled {
    Request(Box<Incoming>),
    /// Nothing more for now.
    Pending,
    /// Everything is written, and nothing more will be.
    Closed(Option<h2::Error>),
}

/// `h2` on one connection.
pub(crate) struct Driver {
    phase: Phase,
    wire: Arc<Wire>,
}

enum Phase {
    /// The client's preface and SETTINGS are not complete.
    Handshake(Pin<Box<Handshake<WireIo, Bytes>>>),
    Open(Box<Connection<WireIo, Bytes>>),
    Closed,
}

impl Driver {
    /// Takes a socket over; `prefix` was read from it already.
    pub(crate) fn new(stream: Stream, prefix: Vec<u8>, settings: &Settings) -> Self {
        let wire = Wire::new(stream, prefix, settings.frames);
        let io = WireIo(Arc::clone(&wire));
        Self {
            phase: Phase::Handshake(Box::pin(settings.builder.handshake(io))),
            wire,
        }
    }

    pub(crate) fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// Before the polls of a pass.
    pub(crate) fn begin(&self, now: u64) {
        self.wire.begin(now, READ_BUDGET);
    }

    /// Reads, writes, and returns the next request. Registers the waker when there is none.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Polled {
        loop {
            match &mut self.phase {
                Phase::Handshake(handshake) => match handshake.as_mut().poll(cx) {
                    Poll::Pending => return Polled::Pending,
                    Poll::Ready(Ok(connection)) => {
                        self.phase = Phase::Open(Box::new(connection));
                    }
                    Poll::Ready(Err(error)) => {
                        self.phase = Phase::Closed;
                        return Polled::Closed(Some(error));
                    }
                },
                Phase::Open(connection) => match connection.poll_accept(cx) {
                    Poll::Pending => return Polled::Pending,
                    Poll::Ready(Some(Ok(incoming))) => {
                        return Polled::Request(Box::new(incoming));
                    }
                    Poll::Ready(Some(Err(error))) => {
                        self.phase = Phase::Closed;
                        return Polled::Closed(Some(error));
                    }
                    Poll::Ready(None) => {
                        self.phase = Phase::Closed;
                        return Polled::Closed(None);
                    }
                },
                Phase::Closed => return Polled::Closed(None),
            }
        }
    }

    /// After the polls of a pass.
    pub(crate) fn take_news(&self) -> News {
        self.wire.take_news()
    }

    /// The client is in the middle of something that it must finish in time: the preface, or the fields of a request.
    pub(crate) fn is_in_head(&self) -> bool {
        matches!(self.phase, Phase::Handshake(_)) || self.wire.is_in_head()
    }

    /// No new requests: says so, and ends with the last stream.
    pub(crate) fn shut_down(&mut self) {
        match &mut self.phase {
            Phase::Open(connection) => connection.graceful_shutdown(),
            Phase::Handshake(_) => self.phase = Phase::Closed,
            Phase::Closed => {}
        }
    }

    /// Ends now, whatever is open.
    pub(crate) fn abort(&mut self, reason: Reason) {
        match &mut self.phase {
            Phase::Open(connection) => connection.abrupt_shutdown(reason),
            Phase::Handshake(_) => self.phase = Phase::Closed,
            Phase::Closed => {}
        }
    }
}
