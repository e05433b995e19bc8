//! Counters. Each reactor counts for itself under its own lock; the server adds them up when asked.

use std::ops::AddAssign;

use serde::Serialize;

macro_rules! counters {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name { $($(#[$doc])* pub $field: u64),* }

        impl AddAssign<&$name> for $name {
            fn add_assign(&mut self, other: &$name) { $(self.$field += other.$field;)* }
        }
    };
}

counters! {
    /// Requests refused by the reactor, by the limit or rule that refused them.
    Rejected {
        /// 400: the request broke the grammar or a smuggling rule; or a GOAWAY, for an HTTP/2 connection that did.
        malformed,
        /// 431: header bytes or fields.
        header_bytes,
        /// 414: the request target.
        target_bytes,
        /// Connections closed because their peer is not in `proxy.trust`, or did not begin with a PROXY header.
        proxy_header,
        /// TLS handshakes that failed; their connections were closed.
        handshake,
        /// 408: the head, or the TLS handshake before it, did not arrive within `headerTimeout`.
        header_timeout,
        /// 408: the body came slower than `bodyMinRate`.
        body_min_rate,
        /// 413 sent by the reactor.
        body_bytes,
        /// 504: no answer within `answerTimeout`.
        answer_timeout,
        /// 503: more than `concurrency` requests in flight.
        concurrency,
        /// 503: no worker within `queueTimeout`.
        queue_timeout,
        /// Connections reset because the client read nothing for `sendTimeout`.
        send_timeout,
        /// Times accepting paused at `connections`.
        connections,
        /// Times accepting rested because the process or the system had no descriptor or no memory left.
        accept,
        /// Idle connections closed after `keepAliveTimeout`.
        keep_alive_timeout,
        /// WebSocket frames that broke a rule or a limit; their connections were closed.
        frames,
        /// 403: a handshake from an origin that is not in `allowOrigins`.
        origin,
        /// 503: more handshakes than `openPerSecond`.
        open_per_second,
        /// Times a WebSocket had to wait because of `messagesPerSecond`.
        messages_per_second,
        /// WebSockets closed after `heartbeat.idle`.
        heartbeat_idle,
        /// WebSockets cut off after `heartbeat.pongTimeout`.
        pong_timeout,
        /// HTTP/2 streams refused because of `streams`.
        streams,
        /// HTTP/2 connections ended because of `controlFrames` or another flood of frames.
        control_frames,
        /// HTTP/2 connections ended because of `streamResets`.
        stream_resets,
        /// Packets that came and were dropped: no worker could take them, and as many waited as may.
        packets,
        /// Packets that could not be sent: too many waited, the system refused them, or the peer cannot be reached.
        packet_sends,
        /// Other refusals: an unknown expectation, version or method.
        unsupported,
    }
}

counters! {
    /// What one reactor has done for one port.
    PortCounters {
        /// Connections accepted.
        accept_count,
        /// Connections closed.
        close_count,
        /// Complete request heads accepted.
        request_count,
        /// Bytes read from sockets.
        bytes_in,
        /// Bytes written to sockets.
        bytes_out,
    }
}

counters! {
    /// What one reactor has done.
    Counters {
        /// Connections accepted.
        accept_count,
        /// Connections closed.
        close_count,
        /// Connections that the client left with a request unanswered.
        abort_count,
        /// Complete request heads accepted.
        request_count,
        /// Answers finished, the reactor's own included.
        response_count,
        /// Requests answered by `static`, which are not counted as requests.
        static_count,
        /// Records handed to workers.
        dispatch_count,
        /// Bytes read from sockets.
        bytes_in,
        /// Bytes written to sockets.
        bytes_out,
        /// Requests replayed after a worker's death.
        replayed,
        /// Requests answered with an error because their worker died.
        refused,
        /// Times an event ring was full.
        ring_full,
        /// Passes of the reactor's loop.
        passes,
        /// WebSockets and event streams opened.
        socket_open_count,
        /// WebSockets and event streams ended.
        socket_close_count,
        /// WebSocket messages received.
        messages_in,
        /// Messages sent to WebSockets and event streams.
        messages_out,
        /// Messages that a slow receiver missed.
        messages_dropped,
        /// Messages whose handlers were running when their worker died.
        messages_lost,
        /// Connections that a worker took over from another.
        adoptions,
        /// Packets received.
        packets_in,
        /// Packets sent.
        packets_out,
        /// Packets whose handlers were running when their worker died.
        packets_lost,
    }
}
