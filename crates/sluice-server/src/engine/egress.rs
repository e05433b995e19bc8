//! Writing to sockets: once per connection and pass, however many answers it had.

use std::io;
use std::task::{Context, Poll};

use sluice_shared::record::{EventKind, Words};

use super::Engine;
use crate::connection::{Connection, Phase};
use crate::stream::Stream;

/// Bytes of files that one connection sends in one pass, so that the others get their turn.
const FILE_BYTES: usize = 1024 * 1024;
/// How long a closing connection waits for the peer's FIN, ms.
const LINGER: u64 = 2_000;
/// The same while the server stops: a peer that keeps its half open must not hold up the end.
const LINGER_STOPPING: u64 = 250;

impl Engine {
    /// Goes on with every connection that changed in this pass: parses what had to wait, writes what is to be sent.
    pub(super) fn flush_connections(&mut self) {
        // Taking input may answer at once and mark more; a connection is in the list at most once at a time.
        let mut at = 0;
        while at < self.dirty.len() {
            let slot = self.dirty[at];
            at += 1;
            let Some(connection) = self.connection(slot) else {
                continue;
            };
            connection.dirty = false;
            if !connection.input.is_empty() && !matches!(connection.phase, Phase::Closing) {
                let is_at_end = connection.eof;
                self.resume(slot);
                if is_at_end {
                    self.peer_ends(slot);
                }
            }
            self.flush(slot);
            if let Some(connection) = self.connection(slot)
                && connection.stalled
                && connection.may_read()
            {
                self.read(slot);
            }
        }
        self.dirty.clear();
    }

    /// Writes as much as the socket takes.
    pub(super) fn flush(&mut self, slot: u32) {
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        if connection.http2.is_some() {
            return self.drive_http2(slot);
        }
        if connection.write_blocked || matches!(connection.phase, Phase::Gone) {
            return;
        }
        if connection.parent.is_some() {
            self.drive_parent(slot);
        }
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        let mut lost = false;
        let mut progress = 0;
        let mut file_bytes = FILE_BYTES;
        while !connection.output.is_empty() {
            let mut cx = Context::from_waker(&connection.waker);
            let stream = &mut connection.stream;
            let is_file = connection.output.front_file().is_some();
            if is_file && file_bytes == 0 {
                // Goes on in the next pass, as if the socket had been full.
                connection.waker.wake_by_ref();
                connection.write_blocked = true;
                break;
            }
            let written = if let Stream::Http2(stream) = stream {
                // Its frames are made of bytes in memory.
                match connection.output.load_file() {
                    Ok(()) => stream.poll_send(&mut cx, &connection.output),
                    Err(error) => Poll::Ready(Err(error)),
                }
            } else if is_file {
                send_file(connection, file_bytes)
            } else {
                let is_before_file = connection.output.is_before_file() && stream.sends_files();
                connection.output.with_slices(|slices| match slices {
                    [head] if is_before_file => stream.poll_write_before_file(&mut cx, head),
                    _ => stream.poll_write(&mut cx, slices),
                })
            };
            match written {
                Poll::Ready(Ok(0)) => {
                    lost = true;
                    break;
                }
                Poll::Ready(Ok(count)) => {
                    progress += count;
                    connection.output.advance(count);
                    if is_file {
                        file_bytes = file_bytes.saturating_sub(count);
                    }
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(_)) => {
                    lost = true;
                    break;
                }
                Poll::Pending => {
                    connection.write_blocked = true;
                    break;
                }
            }
        }
        connection.bytes_out += progress as u64;
        if connection.parent.is_none() {
            self.counters.bytes_out += progress as u64;
        }
        if lost {
            if connection.output.front_file().is_some() {
                // It may have become shorter: what the client has got must not look complete.
                connection.stream.abort_on_drop();
            }
            return self.lose(slot);
        }
        self.flushed(slot, progress > 0);
    }

    /// What follows from how much was written.
    fn flushed(&mut self, slot: u32, progressed: bool) {
        let now = self.now;
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        if connection.socket.is_some() {
            self.socket_flushed(slot);
        }
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        let limits = &self.limits[usize::from(connection.port)].0;
        let (low_water, send_timeout) = (limits.send_buffer as usize / 2, limits.send_timeout);
        if connection.output.len() <= low_water
            && let Some(first) = connection.first
        {
            self.release_drain(first);
        }
        if let Some(connection) = self.connection(slot)
            && connection.output_blocked
            && connection.output.len() <= low_water
        {
            connection.output_blocked = false;
            self.mark_dirty(slot);
        }
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        if connection.write_blocked {
            if progressed || !connection.send_timed {
                connection.send_timed = true;
                self.set_send_deadline(slot, now + send_timeout);
            }
            return;
        }
        if std::mem::take(&mut connection.send_timed) {
            self.resume_deadline(slot);
        }
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        if let Some(buffer) = connection.output.take_buffer() {
            self.recycle(buffer);
        }
        let Some(connection) = self.connections[slot as usize].as_deref_mut() else {
            return;
        };
        if connection.first.is_some() || connection.dirty {
            return;
        }
        // After the peer's FIN, what is not a whole request by now never will be. What came by a TCP port is handled first.
        let is_over = connection.eof && !matches!(connection.phase, Phase::Socket);
        if is_over || matches!(connection.phase, Phase::Closing) {
            self.finish(slot);
        }
    }

    /// Everything is sent and nothing more will be: closes so that the peer can still read it all.
    fn finish(&mut self, slot: u32) {
        let now = self.now;
        self.tcp_flushed(slot);
        let Some(connection) = self.connection(slot) else {
            return;
        };
        if connection.parent.is_some() {
            // Said by a frame, behind everything else: nothing can overtake it.
            let waker = connection.waker.clone();
            connection
                .stream
                .shutdown_write(&mut Context::from_waker(&waker));
            return self.close(slot);
        }
        if connection.eof {
            let waker = connection.waker.clone();
            connection.stream.say_end(&mut Context::from_waker(&waker));
            return self.close(slot);
        }
        connection.phase = Phase::Lingering;
        let input = std::mem::take(&mut connection.input);
        let waker = connection.waker.clone();
        connection
            .stream
            .shutdown_write(&mut Context::from_waker(&waker));
        self.recycle(input);
        let linger = if self.stopping {
            LINGER_STOPPING
        } else {
            LINGER
        };
        self.set_deadline(slot, now + linger);
        self.read(slot);
    }

    /// The connection's buffer is low: the worker that streams into it may go on.
    fn release_drain(&mut self, index: u32) {
        let Some(exchange) = self.pending.get_mut(index) else {
            return;
        };
        if std::mem::take(&mut exchange.wants_drain) {
            let words = Words::event(EventKind::Drain, 0).with_exchange(index, exchange.generation);
            self.signal(index, words);
        }
    }
}

/// Sends up to `max` bytes of the file that is next in the output.
fn send_file(connection: &mut Connection, max: usize) -> Poll<io::Result<usize>> {
    let mut cx = Context::from_waker(&connection.waker);
    let stream = &mut connection.stream;
    if stream.sends_files()
        && let Some(slice) = connection.output.front_file()
    {
        match stream.poll_send_file(&mut cx, slice, max) {
            // A file system that cannot do it.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {}
            sent => return sent,
        }
    }
    connection.output.load_file()?;
    connection
        .output
        .with_slices(|slices| stream.poll_write(&mut cx, slices))
}
