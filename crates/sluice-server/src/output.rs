//! The bytes a connection still has to send.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Slices offered to one writev(2).
const SLICES: usize = 16;

/// An output queue: small writes gather in one buffer, large bodies keep their own.
#[derive(Default)]
pub(crate) struct Output {
    /// What goes first, in order.
    queue: VecDeque<Bytes>,
    /// What goes after `queue`; new small writes are appended here.
    tail: Vec<u8>,
    /// How much of `tail` is written already. Only ever non-zero while `queue` is empty.
    written: usize,
    /// Bytes in `queue`.
    queued: usize,
}

impl Output {
    pub(crate) fn len(&self) -> usize {
        self.queued + self.tail.len() - self.written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queued == 0 && self.tail.len() == self.written
    }

    /// The buffer to append to.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// True when no buffer has been given to this queue yet.
    pub(crate) fn wants_buffer(&self) -> bool {
        self.tail.capacity() == 0
    }

    /// Lends an empty buffer, to be had back by [`take_buffer`](Self::take_buffer).
    pub(crate) fn give_buffer(&mut self, buffer: Vec<u8>) {
        debug_assert!(buffer.is_empty());
        self.tail = buffer;
    }

    /// The buffer, once everything in it is sent.
    pub(crate) fn take_buffer(&mut self) -> Option<Vec<u8>> {
        if !self.is_empty() || self.tail.capacity() == 0 {
            return None;
        }
        self.written = 0;
        let mut buffer = std::mem::take(&mut self.tail);
        buffer.clear();
        Some(buffer)
    }

    /// Appends a body without copying it.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if self.tail.len() > self.written {
            let mut head = Bytes::from(std::mem::take(&mut self.tail));
            head.advance(self.written);
            self.queued += head.len();
            self.queue.push_back(head);
        } else {
            self.tail.clear();
        }
        self.written = 0;
        self.queued += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Appends a finished buffer, without copying it where it can become the tail.
    pub(crate) fn append(&mut self, buffer: Vec<u8>) {
        if self.is_empty() {
            self.written = 0;
            self.tail = buffer;
        } else {
            self.tail.extend_from_slice(&buffer);
        }
    }

    /// Moves everything to the end of `output`.
    pub(crate) fn append_to(mut self, output: &mut Output) {
        while let Some(bytes) = self.queue.pop_front() {
            output.push(bytes);
        }
        if self.written < self.tail.len() {
            self.tail.drain(..self.written);
            output.append(self.tail);
        }
    }

    /// Calls `write` with what is to be sent next.
    pub(crate) fn with_slices<T>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        if self.queue.is_empty() {
            return write(&[IoSlice::new(&self.tail[self.written..])]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for bytes in self.queue.iter().take(SLICES) {
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        if count < SLICES && !self.tail.is_empty() {
            slices[count] = IoSlice::new(&self.tail);
            count += 1;
        }
        write(&slices[..count])
    }

    /// Forgets `sent` bytes from the front.
    pub(crate) fn advance(&mut self, mut sent: usize) {
        while let Some(front) = self.queue.front_mut() {
            if sent < front.len() {
                front.advance(sent);
                self.queued -= sent;
                return;
            }
            sent -= front.len();
            self.queued -= front.len();
            self.queue.pop_front();
        }
        self.written += sent;
        debug_assert!(self.written <= self.tail.len());
        if self.written == self.tail.len() {
            self.tail.clear();
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(output: &mut Output, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !output.is_empty() {
            let sent = output.with_slices(|slices| {
                let mut left = step;
                let mut sent = 0;
                for slice in slices {
                    let take = left.min(slice.len());
                    all.extend_from_slice(&slice[..take]);
                    left -= take;
                    sent += take;
                }
                sent
            });
            output.advance(sent);
        }
        all
    }

    proptest! {
        #[test]
        fn everything_leaves_once_and_in_order(
            writes in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..40),
            partial in 1usize..30,
            step in 1usize..50,
        ) {
            let mut output = Output::default();
            let mut expected = Vec::new();
            let mut sent = Vec::new();
            for (index, (large, bytes)) in writes.iter().enumerate() {
                expected.extend_from_slice(bytes);
                if *large {
                    output.push(Bytes::copy_from_slice(bytes));
                } else {
                    output.tail().extend_from_slice(bytes);
                }
                prop_assert_eq!(output.len(), expected.len() - sent.len());
                if index % 3 == 0 && !output.is_empty() {
                    let count = output.with_slices(|slices| {
                        let front = slices.iter().find(|slice| !slice.is_empty()).unwrap();
                        let count = partial.min(front.len());
                        sent.extend_from_slice(&front[..count]);
                        count
                    });
                    output.advance(count);
                }
            }
            sent.extend(drain(&mut output, step));
            prop_assert_eq!(sent, expected);
            prop_assert_eq!(output.len(), 0);
        }
    }

    #[test]
    fn a_lent_buffer_comes_back_only_when_sent() {
        let mut output = Output::default();
        assert!(output.wants_buffer());
        output.give_buffer(Vec::with_capacity(64));
        output.tail().extend_from_slice(b"abc");
        assert!(output.take_buffer().is_none());
        output.advance(3);
        assert_eq!(output.take_buffer().map(|b| b.capacity()), Some(64));
        assert!(output.wants_buffer());
    }
}
