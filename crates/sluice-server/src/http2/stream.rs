//! A stream of HTTP/2 as a byte stream that speaks HTTP/1.1: one request comes out of it, one answer goes in.

use std::io::{self, Write};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use tokio::io::ReadBuf;

use super::answer_text::AnswerText;
use super::request_text::RequestBody;
use crate::output::Output;

/// What the frame of a chunk takes: up to eight digits and two line ends.
const CHUNK_FRAME: usize = 12;
/// A chunk is not begun in less room than this.
const CHUNK_MIN: usize = 64;

/// See the module. Its request's head is not read from it: the engine has got that already.
pub(crate) struct Http2Stream {
    receive: RecvStream,
    body: Body,
    /// Bytes of the body that have come and were not read yet.
    stash: Bytes,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    answer: Answer,
    is_head_request: bool,
    is_encrypted: bool,
}

/// What comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// As it is, and its end is known from the head.
    Plain,
    Chunked,
    /// A WebSocket that is not open yet, and may never be.
    Refusable,
    Tunnel,
    /// All of it was read.
    Done,
}

/// What is to be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Head,
    /// `left` is what the content length still promises.
    Body {
        left: Option<u64>,
    },
    /// END_STREAM is sent, or the stream is reset.
    Done,
}

impl Http2Stream {
    pub(crate) fn new(
        receive: RecvStream,
        respond: SendResponse<Bytes>,
        body: RequestBody,
        is_head_request: bool,
        is_encrypted: bool,
    ) -> Self {
        Self {
            receive,
            body: match body {
                RequestBody::None => Body::Done,
                RequestBody::Length => Body::Plain,
                RequestBody::Chunked => Body::Chunked,
                RequestBody::Tunnel => Body::Refusable,
            },
            stash: Bytes::new(),
            respond,
            send: None,
            answer: Answer::Head,
            is_head_request,
            is_encrypted,
        }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Reads the body. The client may send as much more as was read.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.body {
                Body::Done | Body::Refusable => return self.poll_reset(cx),
                Body::Plain | Body::Chunked | Body::Tunnel => {}
            }
            if !self.stash.is_empty() {
                self.unload(buffer);
                return Poll::Ready(Ok(()));
            }
            match ready!(self.receive.poll_data(cx)) {
                Some(Ok(bytes)) => self.stash = bytes,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => {
                    // Trailers are read, and not told to anybody.
                    let _ = ready!(self.receive.poll_trailers(cx)).map_err(broken)?;
                    match std::mem::replace(&mut self.body, Body::Done) {
                        Body::Chunked => {
                            buffer.put_slice(b"0\r\n\r\n");
                            return Poll::Ready(Ok(()));
                        }
                        // The client will say nothing more: the end, as of a socket.
                        Body::Tunnel => return Poll::Ready(Ok(())),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Moves bytes from the stash to `buffer`.
    fn unload(&mut self, buffer: &mut ReadBuf<'_>) {
        let mut count = self.stash.len().min(buffer.remaining());
        if self.body == Body::Chunked {
            if buffer.remaining() < CHUNK_MIN {
                return;
            }
            count = self.stash.len().min(buffer.remaining() - CHUNK_FRAME);
            let mut line = [0; CHUNK_FRAME];
            let mut rest = &mut line[..];
            let _ = write!(rest, "{count:x}\r\n");
            let len = CHUNK_FRAME - rest.len();
            buffer.put_slice(&line[..len]);
        }
        buffer.put_slice(&self.stash[..count]);
        if self.body == Body::Chunked {
            buffer.put_slice(b"\r\n");
        }
        self.stash.advance(count);
        // Fails only when more is released than has come.
        let _ = self.receive.flow_control().release_capacity(count);
    }

    /// Waits for the client to give the stream up: all that can still come.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.answer == Answer::Done {
            return Poll::Pending;
        }
        let reset = match &mut self.send {
            Some(send) => send.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        let _ = ready!(reset);
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    /// Sends what is at the front of `output`, which is no file, and returns how much that was. The head of an answer lies
    /// in one piece there, as it was written.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        output: &Output,
    ) -> Poll<io::Result<usize>> {
        match self.answer {
            Answer::Head => Poll::Ready(self.send_head(cx, output)),
            Answer::Body { left } => self.poll_send_body(cx, output, left),
            Answer::Done => {
                // Behind the end there may be bytes that HTTP/1.1 needs: none of them has a meaning here.
                Poll::Ready(Ok(output.len()))
            }
        }
    }

    fn send_head(&mut self, cx: &Context<'_>, output: &Output) -> io::Result<usize> {
        let Some(head) = AnswerText::parse(output.front()) else {
            debug_assert!(false, "an answer begins with its head");
            self.reset(Reason::INTERNAL_ERROR);
            return Err(io::ErrorKind::InvalidData.into());
        };
        let len = head.len;
        match head.status {
            101 if self.body == Body::Refusable => {
                let response = head.into_response(200);
                let send = self.respond.send_response(response, false);
                self.send = Some(send.map_err(broken)?);
                self.answer = Answer::Body { left: None };
                self.body = Body::Tunnel;
                // Whoever has read until now waited for a reset only.
                cx.waker().wake_by_ref();
            }
            // There is no other protocol to switch to.
            101 => {
                self.reset(Reason::INTERNAL_ERROR);
                return Err(io::ErrorKind::InvalidData.into());
            }
            status @ 100..=199 => {
                let response = head.into_response(status);
                self.respond.send_informational(response).map_err(broken)?;
            }
            status => {
                let left = head.content_length;
                let is_over =
                    self.is_head_request || matches!(status, 204 | 304) || left == Some(0);
                let response = head.into_response(status);
                let send = self.respond.send_response(response, is_over);
                self.send = Some(send.map_err(broken)?);
                self.answer = if is_over {
                    Answer::Done
                } else {
                    Answer::Body { left }
                };
            }
        }
        Ok(len)
    }

    fn poll_send_body(
        &mut self,
        cx: &mut Context<'_>,
        output: &Output,
        left: Option<u64>,
    ) -> Poll<io::Result<usize>> {
        let Some(send) = &mut self.send else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        send.reserve_capacity(output.front().len());
        let mut capacity = send.capacity();
        while capacity == 0 {
            capacity = match ready!(send.poll_capacity(cx)) {
                Some(Ok(capacity)) => capacity,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        }
        let bytes = output.front_bytes(capacity);
        let count = bytes.len();
        let left = left.map(|left| left.saturating_sub(count as u64));
        let is_over = left == Some(0);
        send.send_data(bytes, is_over).map_err(broken)?;
        self.answer = if is_over {
            Answer::Done
        } else {
            Answer::Body { left }
        };
        Poll::Ready(Ok(count))
    }

    /// The answer is complete.
    pub(crate) fn finish(&mut self) {
        match self.answer {
            Answer::Done => {}
            Answer::Body { left: None } => {
                self.answer = Answer::Done;
                if let Some(send) = &mut self.send {
                    // Fails when the stream is reset already.
                    let _ = send.send_data(Bytes::new(), true);
                }
            }
            // Without an answer, or with less of it than was promised.
            Answer::Head | Answer::Body { left: Some(_) } => self.reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Tells the client that its answer will not be completed.
    pub(crate) fn reset(&mut self, reason: Reason) {
        if std::mem::replace(&mut self.answer, Answer::Done) == Answer::Done {
            return;
        }
        match &mut self.send {
            Some(send) => send.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::new(io::ErrorKind::ConnectionReset, error)
    }
}
