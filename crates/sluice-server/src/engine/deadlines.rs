//! Time limits. Deadlines lie in dense arrays that are scanned a few times a second: a limit costs a
//! request one store, and a hundred thousand idle connections some microseconds per scan.

use super::Engine;
use crate::connection::{Meter, Phase};
use crate::http1::{Reject, answer};
use crate::pending::{self, Stage};
use sluice_shared::record::AbortReason;

/// The rate of a body is looked at once per grace, but no more often than this, ms.
const RATE_CHECK_MIN: u64 = 10;
/// How often the history forgets what is too old, ms.
const PURGE_EVERY: u64 = 1_000;

impl Engine {
    /// Acts on every deadline that has passed.
    pub(crate) fn tick(&mut self) {
        self.resume_accepting();
        self.resume_paced();
        self.end_old_sessions();
        self.stop_sockets();
        if self.id == 0 && self.now >= self.purge_at {
            self.purge_at = self.now + PURGE_EVERY;
            self.shared.registry.purge(self.now);
        }
        let mut expired = std::mem::take(&mut self.expired);
        expired.clear();
        pending::expire(&mut self.deadlines, self.now, &mut expired);
        for &slot in &expired {
            self.connection_expired(slot);
        }
        expired.clear();
        self.pending.expire(self.now, &mut expired);
        for &index in &expired {
            self.exchange_expired(index);
        }
        expired.clear();
        self.expired = expired;
    }

    fn connection_expired(&mut self, slot: u32) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        if connection.write_blocked {
            connection.stream.abort_on_drop();
            self.rejected.send_timeout += 1;
            return self.lose(slot);
        }
        match connection.phase {
            Phase::Socket => self.socket_expired(slot),
            Phase::Http2 => self.http2_expired(slot),
            Phase::Gone => {}
            Phase::ProxyHeader | Phase::Handshake => {
                self.rejected.header_timeout += 1;
                self.lose(slot);
            }
            Phase::Head if connection.first.is_some() => {}
            Phase::Head if connection.input.is_empty() => {
                self.rejected.keep_alive_timeout += 1;
                // FIN, not a plain close: a request that crosses it on the wire is not answered by RST.
                self.begin_close(slot);
            }
            Phase::Head => self.reject(slot, Reject::HeadTimeout),
            Phase::Buffering { .. } | Phase::Streaming(_) | Phase::Discarding { .. } => {
                self.check_body_rate(slot);
            }
            Phase::Closing if connection.first.is_some() => {}
            Phase::Closing | Phase::Lingering => self.lose(slot),
        }
    }

    /// The time limit of what the connection does, after that of sending.
    pub(super) fn resume_deadline(&mut self, slot: u32) {
        let now = self.now;
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        let at = match connection.phase {
            Phase::Head if connection.first.is_none() => self.idle_deadline(slot),
            Phase::Socket => return self.arm_socket(slot),
            Phase::Http2 => return self.arm_http2(slot),
            Phase::ProxyHeader
            | Phase::Handshake
            | Phase::Head
            | Phase::Closing
            | Phase::Lingering
            | Phase::Gone => u64::MAX,
            Phase::Buffering { .. } | Phase::Streaming(_) | Phase::Discarding { .. } => {
                connection.meter = Meter {
                    since: now,
                    bytes: 0,
                };
                now + self.limits[usize::from(connection.port)].0.body_grace
            }
        };
        self.set_deadline(slot, at);
    }

    /// Flushes and closes.
    pub(super) fn begin_close(&mut self, slot: u32) {
        if let Some(connection) = self.connection(slot) {
            connection.phase = Phase::Closing;
            self.mark_dirty(slot);
        }
    }

    /// Closes connections that send a body more slowly than `bodyMinRate`.
    fn check_body_rate(&mut self, slot: u32) {
        let now = self.now;
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        let limits = &self.limits[usize::from(connection.port)].0;
        // While the worker takes nothing, or cannot, the client is not to blame.
        let excused = match &connection.phase {
            Phase::Streaming(upload) => {
                connection.ring_blocked
                    || upload
                        .credit
                        .as_ref()
                        .is_none_or(|credit| credit.available() == 0)
            }
            _ => false,
        };
        let unread = match &connection.phase {
            Phase::Streaming(upload) if excused && !connection.ring_blocked => {
                Some(upload.exchange)
            }
            _ => None,
        };
        let elapsed = now.saturating_sub(connection.meter.since).max(1);
        let rate = connection.meter.bytes.saturating_mul(1000) / elapsed;
        // Each grace counts for itself: a client that was quick at first may not stall for hours on its average.
        connection.meter = Meter {
            since: now,
            bytes: 0,
        };
        if !excused && limits.body_min_rate > 0 && rate < limits.body_min_rate {
            self.rejected.body_min_rate += 1;
            return self.refuse_slow_body(slot);
        }
        let wait = limits.body_grace.max(RATE_CHECK_MIN);
        self.set_deadline(slot, now + wait);
        // Neither side moves: the worker has its time for an answer from now on, until it reads.
        if let Some(index) = unread
            && !self.pending.is_timed(index)
            && self
                .pending
                .get(index)
                .is_some_and(|exchange| exchange.stage == Stage::Dispatched)
        {
            self.start_answer_clock(index);
        }
    }

    fn refuse_slow_body(&mut self, slot: u32) {
        let date = *self.date.get(self.shared.unix_seconds(self.now));
        let Some(connection) = self.connection(slot) else {
            return;
        };
        let begun = connection.first.is_some();
        match connection.phase {
            Phase::Discarding { .. } => return self.begin_close(slot),
            Phase::Streaming(ref upload) => {
                let index = upload.exchange;
                let unanswered = self
                    .pending
                    .get(index)
                    .is_some_and(|exchange| !matches!(exchange.stage, Stage::Answering { .. }));
                self.abort_exchanges(slot, AbortReason::ClientGone);
                if !unanswered {
                    return self.lose(slot);
                }
                self.drop_exchanges(slot);
            }
            _ if begun => return self.lose(slot),
            _ => {}
        }
        self.counters.response_count += 1;
        if let Some(out) = self.tail(slot) {
            answer::write_simple(out, 408, Reject::BodyTimeout.name(), true, Some(&date));
        }
        self.begin_close(slot);
    }

    /// Starts the clock of a dispatched exchange whose body is in: the handler cannot answer before that.
    pub(super) fn await_answer(&mut self, index: u32) {
        if self
            .pending
            .get(index)
            .is_some_and(|exchange| exchange.body_done)
        {
            self.start_answer_clock(index);
        } else {
            self.pending.set_deadline(index, u64::MAX);
        }
    }

    pub(super) fn start_answer_clock(&mut self, index: u32) {
        let Some(exchange) = self.pending.get(index) else {
            return;
        };
        let limits = self.connections[exchange.connection as usize]
            .as_deref()
            .map(|connection| self.port_limits(connection.port));
        let (soft, hard) = limits.map_or((0, 0), |limits| {
            (limits.soft_timeout, limits.answer_timeout)
        });
        let wait = match (soft, hard) {
            (0, hard) => hard,
            (soft, 0) => soft,
            (soft, hard) => soft.min(hard),
        };
        let at = if wait == 0 { u64::MAX } else { self.now + wait };
        self.pending.set_deadline(index, at);
    }

    /// The soft limit has passed: tells the handler, and waits for the hard one. False when that has passed.
    fn pass_soft_limit(&mut self, index: u32) -> bool {
        let Some(exchange) = self.pending.get_mut(index) else {
            return false;
        };
        let limits = self.connections[exchange.connection as usize]
            .as_deref()
            .map(|connection| &self.limits[usize::from(connection.port)].0);
        let (soft, hard) = limits.map_or((0, 0), |limits| {
            (limits.soft_timeout, limits.answer_timeout)
        });
        if soft == 0 || (hard > 0 && soft >= hard) || exchange.is_late {
            return false;
        }
        exchange.is_late = true;
        if hard > 0 {
            self.pending.set_deadline(index, self.now + (hard - soft));
        }
        self.abort(index, AbortReason::SoftTimeout);
        true
    }

    fn exchange_expired(&mut self, index: u32) {
        let Some(exchange) = self.pending.get(index) else {
            return;
        };
        let stage = exchange.stage;
        match stage {
            Stage::Waiting => {
                self.rejected.queue_timeout += 1;
                self.refuse(index, 503, Reject::NoWorker.name());
            }
            Stage::Dispatched | Stage::Detached if self.pass_soft_limit(index) => {}
            Stage::Dispatched | Stage::Detached => {
                self.rejected.answer_timeout += 1;
                self.abort(index, AbortReason::AnswerDeadline);
                self.refuse(index, 504, "answer-timeout");
            }
            Stage::Answering { .. } | Stage::Answered => {}
        }
    }
}
