//! The bytes a connection still has to send.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::static_files::{Body, FileSlice, OpenFile};

/// Slices offered to one writev(2).
const SLICES: usize = 16;

/// A file up to this size is read behind its head at once: one write then sends both.
const FILE_READ_BYTES: u64 = 32 * 1024;
/// Read at once of a file for a stream that has to see the bytes.
const FILE_CHUNK_BYTES: usize = 64 * 1024;

/// A piece of the queue.
enum Segment {
    Bytes(Bytes),
    /// Bytes of a file that are not in memory.
    File(FileSlice),
}

/// An output queue: small writes gather in one buffer, large bodies keep their own, files stay where they are.
#[derive(Default)]
pub(crate) struct Output {
    /// What goes first, in order.
    queue: VecDeque<Segment>,
    /// What goes after `queue`; new small writes are appended here.
    tail: Vec<u8>,
    /// How much of `tail` is written already. Only ever non-zero while `queue` is empty.
    written: usize,
    /// Bytes in `queue`, those of files included.
    queued: usize,
    /// Those of files.
    in_files: usize,
}

impl Output {
    pub(crate) fn len(&self) -> usize {
        self.queued + self.tail.len() - self.written
    }

    /// Bytes that are held in memory.
    pub(crate) fn buffered(&self) -> usize {
        self.len() - self.in_files
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
        self.queue_tail();
        self.queued += bytes.len();
        self.queue.push_back(Segment::Bytes(bytes));
    }

    /// Appends a part of a file, which is read when its turn comes.
    fn push_file(&mut self, slice: FileSlice) {
        if slice.left == 0 {
            return;
        }
        self.queue_tail();
        let left = slice.left as usize;
        self.queued += left;
        self.in_files += left;
        self.queue.push_back(Segment::File(slice));
    }

    /// What is in the tail goes before what comes next.
    fn queue_tail(&mut self) {
        if self.tail.len() > self.written {
            let mut head = Bytes::from(std::mem::take(&mut self.tail));
            head.advance(self.written);
            self.queued += head.len();
            self.queue.push_back(Segment::Bytes(head));
        } else {
            self.tail.clear();
        }
        self.written = 0;
    }

    /// Appends the body of an answer with a file.
    ///
    /// # Errors
    ///
    /// The file has become shorter than it was, or cannot be read. Part of it may be in the output.
    pub(crate) fn push_body(&mut self, body: Body) -> io::Result<()> {
        match body {
            Body::Empty => {}
            Body::Bytes(bytes) => self.push(bytes.into()),
            Body::File { file, offset, len } if len <= FILE_READ_BYTES => {
                self.read_file(&file, offset, len as usize)?;
            }
            Body::File { file, offset, len } => self.push_file(FileSlice {
                file: Arc::new(file),
                offset,
                left: len,
            }),
            Body::Parts { file, parts, end } => {
                let file = Arc::new(file);
                for part in parts {
                    self.tail.extend_from_slice(&part.head);
                    if part.len <= FILE_READ_BYTES {
                        self.read_file(&file, part.offset, part.len as usize)?;
                    } else {
                        self.push_file(FileSlice {
                            file: Arc::clone(&file),
                            offset: part.offset,
                            left: part.len,
                        });
                    }
                }
                self.tail.extend_from_slice(&end);
            }
        }
        Ok(())
    }

    fn read_file(&mut self, file: &OpenFile, offset: u64, len: usize) -> io::Result<()> {
        if file.read(&mut self.tail, offset, len)? < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The file that is next to be sent, if it is one.
    pub(crate) fn front_file(&self) -> Option<&FileSlice> {
        match self.queue.front() {
            Some(Segment::File(slice)) => Some(slice),
            _ => None,
        }
    }

    /// Whether a file is what follows the first slice.
    pub(crate) fn is_before_file(&self) -> bool {
        matches!(self.queue.get(1), Some(Segment::File(_)))
    }

    /// Brings a chunk of the file that is next to be sent into memory, for a stream that has to see the bytes. Nothing to
    /// do when it is none.
    ///
    /// # Errors
    ///
    /// The file has become shorter than it was, or cannot be read.
    pub(crate) fn load_file(&mut self) -> io::Result<()> {
        let Some(Segment::File(slice)) = self.queue.front_mut() else {
            return Ok(());
        };
        let want = slice.left.min(FILE_CHUNK_BYTES as u64) as usize;
        let mut chunk = Vec::with_capacity(want);
        let count = slice.file.read(&mut chunk, slice.offset, want)?;
        if count < want {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        slice.offset += count as u64;
        slice.left -= count as u64;
        self.in_files -= count;
        if slice.left == 0 {
            self.queue.pop_front();
        }
        self.queue.push_front(Segment::Bytes(chunk.into()));
        Ok(())
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
        while let Some(segment) = self.queue.pop_front() {
            match segment {
                Segment::Bytes(bytes) => output.push(bytes),
                Segment::File(slice) => output.push_file(slice),
            }
        }
        if self.written < self.tail.len() {
            self.tail.drain(..self.written);
            output.append(self.tail);
        }
    }

    /// What is to be sent next and lies in one piece; nothing where a file is next.
    pub(crate) fn front(&self) -> &[u8] {
        match self.queue.front() {
            Some(Segment::Bytes(bytes)) => bytes,
            Some(Segment::File(_)) => &[],
            None => &self.tail[self.written..],
        }
    }

    /// At most `max` bytes of [`front`](Self::front); copies only what is in the tail.
    pub(crate) fn front_bytes(&self, max: usize) -> Bytes {
        match self.queue.front() {
            Some(Segment::Bytes(bytes)) => bytes.slice(..bytes.len().min(max)),
            _ => {
                let front = self.front();
                Bytes::copy_from_slice(&front[..front.len().min(max)])
            }
        }
    }

    /// Calls `write` with what is to be sent next, as far as the next file: with nothing, if a file is next.
    pub(crate) fn with_slices<T>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        if self.queue.is_empty() {
            return write(&[IoSlice::new(&self.tail[self.written..])]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        let mut before_file = false;
        for segment in self.queue.iter().take(SLICES) {
            let Segment::Bytes(bytes) = segment else {
                before_file = true;
                break;
            };
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        if !before_file && count < SLICES && !self.tail.is_empty() {
            slices[count] = IoSlice::new(&self.tail);
            count += 1;
        }
        write(&slices[..count])
    }

    /// Forgets `sent` bytes from the front.
    pub(crate) fn advance(&mut self, mut sent: usize) {
        while let Some(front) = self.queue.front_mut() {
            let len = match front {
                Segment::Bytes(bytes) => bytes.len(),
                Segment::File(slice) => slice.left as usize,
            };
            let step = sent.min(len);
            match front {
                Segment::Bytes(bytes) => bytes.advance(step),
                Segment::File(slice) => {
                    slice.offset += step as u64;
                    slice.left -= step as u64;
                    self.in_files -= step;
                }
            }
            self.queued -= step;
            if step < len {
                return;
            }
            sent -= step;
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

    fn file(content: &[u8]) -> (tempfile::TempDir, Arc<OpenFile>) {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, content).expect("a file can be written");
        let file = OpenFile::open(&path, false).expect("it was just written");
        (folder, Arc::new(file))
    }

    #[test]
    fn files_leave_in_their_place_whether_they_are_read_or_not() {
        let content: Vec<u8> = (0..200_000u32).map(|at| (at % 251) as u8).collect();
        let (_folder, file) = file(&content);
        for reads in [true, false] {
            let mut held = Output::default();
            held.tail().extend_from_slice(b"before ");
            held.push_file(FileSlice {
                file: Arc::clone(&file),
                offset: 10,
                left: 150_000,
            });
            held.tail().extend_from_slice(b" between ");
            held.push_file(FileSlice {
                file: Arc::clone(&file),
                offset: 0,
                left: 5,
            });
            held.push(Bytes::from_static(b" after"));
            let mut output = Output::default();
            output.tail().extend_from_slice(b"> ");
            held.append_to(&mut output);
            let expected = [
                b"> before ",
                &content[10..150_010],
                b" between ",
                &content[..5],
                b" after",
            ]
            .concat();
            assert_eq!(output.len(), expected.len());
            assert_eq!(output.buffered(), expected.len() - 150_005);
            let mut sent = Vec::new();
            while !output.is_empty() {
                if let Some(slice) = output.front_file() {
                    if reads {
                        output.load_file().expect("it can be read");
                        assert!(output.buffered() <= FILE_CHUNK_BYTES + 20);
                    } else {
                        let step = slice.left.min(70_000) as usize;
                        slice
                            .file
                            .read(&mut sent, slice.offset, step)
                            .expect("it can be read");
                        output.advance(step);
                    }
                    continue;
                }
                let count = output.with_slices(|slices| {
                    for slice in slices {
                        sent.extend_from_slice(slice);
                    }
                    slices.iter().map(|slice| slice.len()).sum()
                });
                assert!(count > 0);
                output.advance(count);
            }
            assert!(sent == expected);
            assert_eq!((output.len(), output.buffered()), (0, 0));
        }
    }

    #[test]
    fn what_a_file_has_lost_is_not_made_up() {
        let (folder, file) = file(&[1; 100_000]);
        let mut output = Output::default();
        output.push_file(FileSlice {
            file,
            offset: 0,
            left: 100_000,
        });
        std::fs::write(folder.path().join("file"), [1; 1000]).expect("a file can be written");
        let error = output.load_file().expect_err("it is shorter");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
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
