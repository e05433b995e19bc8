//! The socket below an HTTP/2 connection, as `h2` reads and writes it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame_meter::{Flood, FrameLimits, FrameMeter, RefusalMeter};
use crate::stream::Stream;
use crate::wake::lock;

/// A socket that two hold: `h2`, which reads and writes it, and the connection it belongs to, which asks for addresses and
/// gets it back in the end. Only ever used by who holds the engine, so that its lock is never waited for.
pub(crate) struct Wire(Mutex<Inner>);

struct Inner {
    stream: Stream,
    /// What was read before `h2` took over, and how much of it `h2` has had.
    prefix: Vec<u8>,
    taken: usize,
    meter: FrameMeter,
    refusals: RefusalMeter,
    limits: FrameLimits,
    /// The preface is no frame.
    preface_left: usize,
    second: u64,
    /// Bytes sent that the meter has not been told of.
    unmetered: u64,
    /// Bytes that may be read before the others get their turn.
    budget: usize,
    news: News,
}

/// What has happened on the wire since it was asked last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Streams refused.
    pub(crate) refused: u64,
    /// The socket took less than was offered; its waker is registered.
    pub(crate) is_blocked: bool,
    /// The peer has sent FIN.
    pub(crate) eof: bool,
    /// A client that only wants to keep us busy.
    pub(crate) flood: Option<Flood>,
    /// The socket is broken.
    pub(crate) is_broken: bool,
}

impl Wire {
    pub(crate) fn new(stream: Stream, prefix: Vec<u8>, limits: FrameLimits) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner {
            stream,
            prefix,
            taken: 0,
            meter: FrameMeter::default(),
            refusals: RefusalMeter::default(),
            limits,
            preface_left: super::PREFACE.len(),
            second: 0,
            unmetered: 0,
            budget: 0,
            news: News::default(),
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0)
    }

    /// Before a poll: the time, and how much may be read.
    pub(super) fn begin(&self, now: u64, budget: usize) {
        let mut inner = self.inner();
        inner.second = now / 1000;
        inner.budget = budget;
    }

    /// After a poll: what came of it.
    pub(super) fn take_news(&self) -> News {
        let mut inner = self.inner();
        let news = inner.news;
        inner.news = News {
            received: 0,
            sent: 0,
            refused: 0,
            ..news
        };
        news
    }

    /// The client owes the rest of something that it must finish in time.
    pub(super) fn is_in_head(&self) -> bool {
        self.inner().meter.is_in_head()
    }

    /// The socket, while `h2` has it.
    pub(crate) fn with_stream<T>(&self, look: impl FnOnce(&mut Stream) -> T) -> T {
        look(&mut self.inner().stream)
    }

    /// Takes the socket away: what reads or writes from now on fails.
    pub(crate) fn take_stream(&self) -> Stream {
        std::mem::replace(&mut self.inner().stream, Stream::Gone)
    }
}

/// The end that `h2` has.
pub(super) struct WireIo(pub(super) Arc<Wire>);

impl AsyncRead for WireIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.0.inner();
        let inner = &mut *inner;
        if inner.news.flood.is_some() {
            // The engine sees it after this poll.
            return Poll::Pending;
        }
        if inner.budget == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if inner.taken < inner.prefix.len() {
            let rest = &inner.prefix[inner.taken..];
            let count = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..count]);
            inner.taken += count;
            if inner.taken == inner.prefix.len() {
                inner.prefix = Vec::new();
                inner.taken = 0;
            }
            // Counted when it was read.
        } else {
            match inner.stream.poll_read(cx, buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    inner.news.is_broken = true;
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(())) => {}
            }
            let count = buffer.filled().len() - before;
            inner.news.received += count as u64;
            inner.news.eof |= count == 0;
        }
        let mut fresh = &buffer.filled()[before..];
        inner.budget = inner.budget.saturating_sub(fresh.len());
        let skip = inner.preface_left.min(fresh.len());
        inner.preface_left -= skip;
        fresh = &fresh[skip..];
        let sent = std::mem::take(&mut inner.unmetered);
        if let Err(flood) = inner.meter.take(fresh, inner.second, sent, &inner.limits) {
            inner.news.flood = Some(flood);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WireIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.0.inner();
        let inner = &mut *inner;
        let result = inner.stream.poll_write(cx, slices);
        inner.news.is_blocked = result.is_pending();
        match &result {
            Poll::Ready(Ok(count)) => {
                inner.news.sent += *count as u64;
                inner.unmetered += *count as u64;
                let mut left = *count;
                for slice in slices {
                    let written = &slice[..left.min(slice.len())];
                    left -= written.len();
                    inner.news.refused += inner.refusals.take(written);
                }
            }
            Poll::Ready(Err(_)) => inner.news.is_broken = true,
            Poll::Pending => {}
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The engine says FIN, and reads on until the peer's.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
