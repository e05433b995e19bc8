//! A task as the bytes that a journal keeps, all numbers little-endian.
//!
//! ```text
//! version u8 = 1   flags u8   priority i32   tries u32   attempts u32   timeout u64   due i64
//! back-off: kind u8   base u64   max u64
//! name, queue, input: each its length u32 and its bytes
//! key: if there is one, as they     worker u16: if it is for one
//! failure: if it has failed: end u8   at i64   error, as they
//! ```
//!
//! Times are Unix milliseconds. The queue is there by its name, because the configuration may have changed.

use std::sync::Arc;

use super::{Backoff, End, NewTask, Payload, RestoredTask, StoredTask, TaskId};

/// The version that is written and read here.
const VERSION: u8 = 1;

const HAS_FINISH: u8 = 1;
const HAS_FAILED: u8 = 2;
const HAS_KEY: u8 = 4;
const HAS_WORKER: u8 = 8;
const HAS_FAILURE: u8 = 16;
const KNOWN: u8 = 31;

/// Bytes that are no stored task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// It is of a version that this one does not know.
    #[error("found version {found}, expected {expected}")]
    Version {
        /// Its version.
        found: u8,
        /// The one that is read here.
        expected: u8,
    },
    /// They end too early, or go on.
    #[error("found {len} bytes, which is not what they say of themselves")]
    Length {
        /// How many there are.
        len: usize,
    },
    /// A value that is none.
    #[error("found {what} {found}, which there is not")]
    Value {
        /// Of what.
        what: &'static str,
        /// The value.
        found: u8,
    },
    /// A name that is not text.
    #[error("found a name that is not UTF-8")]
    Text,
}

impl StoredTask<'_> {
    /// The task as bytes. `epoch`: the Unix time in milliseconds at which the clock of its times began.
    pub fn encode(&self, epoch: i64) -> Vec<u8> {
        let task = self.task;
        let key = task.key.as_deref();
        let names = task.name.len() + self.queue_name.len() + key.map_or(0, str::len);
        let error = self.failure.map_or(0, |(_, error, _)| error.len());
        let mut out = Vec::with_capacity(90 + names + task.input.len() + error);
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        out.push(VERSION);
        out.push(
            flag(task.has_finish, HAS_FINISH)
                | flag(task.has_failed, HAS_FAILED)
                | flag(key.is_some(), HAS_KEY)
                | flag(task.worker.is_some(), HAS_WORKER)
                | flag(self.failure.is_some(), HAS_FAILURE),
        );
        out.extend(task.priority.to_le_bytes());
        out.extend(task.tries.to_le_bytes());
        out.extend(self.attempts.to_le_bytes());
        out.extend(task.timeout.to_le_bytes());
        out.extend(self.due.saturating_add(epoch).to_le_bytes());
        let (kind, base, max) = match task.backoff {
            Backoff::Fixed(ms) => (0, ms, 0),
            Backoff::Exponential { base, max, jitter } => (1 + u8::from(jitter), base, max),
        };
        out.push(kind);
        out.extend(base.to_le_bytes());
        out.extend(max.to_le_bytes());
        append(&mut out, task.name.as_bytes());
        append(&mut out, self.queue_name.as_bytes());
        append(&mut out, &task.input);
        if let Some(key) = key {
            append(&mut out, key.as_bytes());
        }
        if let Some(worker) = task.worker {
            out.extend(worker.to_le_bytes());
        }
        if let Some((end, error, at)) = self.failure {
            out.push(end.code());
            out.extend(at.saturating_add(epoch).to_le_bytes());
            append(&mut out, error);
        }
        out
    }
}

fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend(len.to_le_bytes());
    out.extend(bytes);
}

impl RestoredTask {
    /// The task that was [encoded](StoredTask::encode). `queue` gives the index of a queue by its name; a task whose queue is no more goes to the first.
    ///
    /// # Errors
    ///
    /// [`StoredError`]: it was not.
    pub fn decode(
        id: TaskId,
        bytes: &[u8],
        epoch: i64,
        queue: impl FnOnce(&str) -> Option<u16>,
    ) -> Result<Self, StoredError> {
        let mut from = Reader { bytes, at: 0 };
        let version = from.u8()?;
        if version != VERSION {
            return Err(StoredError::Version {
                found: version,
                expected: VERSION,
            });
        }
        let flags = from.u8()?;
        if flags & !KNOWN != 0 {
            return Err(StoredError::Value {
                what: "flags",
                found: flags,
            });
        }
        let has = |flag: u8| flags & flag != 0;
        let priority = i32::from_le_bytes(from.array()?);
        let tries = u32::from_le_bytes(from.array()?);
        let attempts = u32::from_le_bytes(from.array()?);
        let timeout = u64::from_le_bytes(from.array()?);
        let due = from.time(epoch)?;
        let (kind, base, max) = (
            from.u8()?,
            u64::from_le_bytes(from.array()?),
            u64::from_le_bytes(from.array()?),
        );
        let backoff = match kind {
            0 => Backoff::Fixed(base),
            1 | 2 => Backoff::Exponential {
                base,
                max,
                jitter: kind == 2,
            },
            found => {
                return Err(StoredError::Value {
                    what: "back-off",
                    found,
                });
            }
        };
        let name = Arc::from(from.text()?);
        let queue = queue(from.text()?).unwrap_or(0);
        let input = Payload::from(from.bytes()?);
        let key = if has(HAS_KEY) {
            Some(Box::from(from.text()?))
        } else {
            None
        };
        let worker = if has(HAS_WORKER) {
            Some(u16::from_le_bytes(from.array()?))
        } else {
            None
        };
        let failure = if has(HAS_FAILURE) {
            let end = end_of(from.u8()?)?;
            let at = from.time(epoch)?;
            Some((end, Payload::from(from.bytes()?), at))
        } else {
            None
        };
        if from.at != bytes.len() {
            return Err(StoredError::Length { len: bytes.len() });
        }
        Ok(Self {
            id,
            task: NewTask {
                queue,
                priority,
                tries,
                backoff,
                timeout,
                key,
                worker,
                has_finish: has(HAS_FINISH),
                has_failed: has(HAS_FAILED),
                durable: true,
                ..NewTask::new(name, input)
            },
            due,
            attempts,
            failure,
        })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], StoredError> {
        let end = self.at.checked_add(len);
        let found = end.and_then(|end| self.bytes.get(self.at..end));
        let found = found.ok_or(StoredError::Length {
            len: self.bytes.len(),
        })?;
        self.at += len;
        Ok(found)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoredError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, StoredError> {
        self.array().map(u8::from_le_bytes)
    }

    fn time(&mut self, epoch: i64) -> Result<i64, StoredError> {
        Ok(i64::from_le_bytes(self.array()?).saturating_sub(epoch))
    }

    fn bytes(&mut self) -> Result<&'a [u8], StoredError> {
        let len = u32::from_le_bytes(self.array()?);
        self.take(len as usize)
    }

    fn text(&mut self) -> Result<&'a str, StoredError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| StoredError::Text)
    }
}

fn end_of(number: u8) -> Result<End, StoredError> {
    Ok(match number {
        1 => End::Failed,
        2 => End::Unknown,
        3 => End::TimedOut,
        4 => End::WorkerLost,
        found => {
            return Err(StoredError::Value { what: "end", found });
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of the clock of the tests.
    const EPOCH: i64 = 1_700_000_000_000;

    fn payload() -> impl Strategy<Value = Payload> {
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Payload::from)
    }

    fn text() -> impl Strategy<Value = String> {
        proptest::collection::vec(any::<char>(), 0..6).prop_map(String::from_iter)
    }

    fn backoff() -> impl Strategy<Value = Backoff> {
        prop_oneof![
            any::<u64>().prop_map(Backoff::Fixed),
            (any::<u64>(), any::<u64>(), any::<bool>())
                .prop_map(|(base, max, jitter)| Backoff::Exponential { base, max, jitter }),
        ]
    }

    fn failure() -> impl Strategy<Value = Option<(End, Payload, i64)>> {
        let end = prop_oneof![
            Just(End::Failed),
            Just(End::Unknown),
            Just(End::TimedOut),
            Just(End::WorkerLost)
        ];
        proptest::option::of((end, payload(), -EPOCH..EPOCH))
    }

    prop_compose! {
        fn task()(
            (name, queue, key) in (text(), text(), proptest::option::of(text())),
            (input, failure, backoff) in (payload(), failure(), backoff()),
            (priority, tries, attempts) in (any::<i32>(), any::<u32>(), any::<u32>()),
            (timeout, worker, due) in (any::<u64>(), any::<Option<u16>>(), -EPOCH..EPOCH),
            (has_finish, has_failed) in any::<(bool, bool)>(),
        ) -> (String, RestoredTask) {
            let task = NewTask {
                queue: 3,
                priority,
                tries,
                backoff,
                timeout,
                key: key.map(String::into_boxed_str),
                worker,
                has_finish,
                has_failed,
                durable: true,
                ..NewTask::new(Arc::from(name), input)
            };
            (queue, RestoredTask { id: 7, task, due, attempts, failure })
        }
    }

    fn encode(queue_name: &str, restored: &RestoredTask) -> Vec<u8> {
        let failure = restored.failure.as_ref();
        StoredTask {
            id: restored.id,
            task: &restored.task,
            queue_name,
            due: restored.due,
            attempts: restored.attempts,
            failure: failure.map(|(end, error, at)| (*end, error, *at)),
        }
        .encode(EPOCH)
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded((queue, task) in task()) {
            let bytes = encode(&queue, &task);
            let found = RestoredTask::decode(7, &bytes, EPOCH, |name| {
                assert_eq!(name, queue);
                Some(3)
            });
            // Neither has an equality of its own.
            prop_assert_eq!(format!("{found:?}"), format!("{:?}", Ok::<_, StoredError>(&task)));
        }

        #[test]
        fn what_is_cut_or_goes_on_is_refused((queue, task) in task()) {
            let mut bytes = encode(&queue, &task);
            for len in 0..bytes.len() {
                let found = RestoredTask::decode(7, &bytes[..len], EPOCH, |_| Some(3));
                prop_assert_eq!(found.unwrap_err(), StoredError::Length { len });
            }
            bytes.push(0);
            let found = RestoredTask::decode(7, &bytes, EPOCH, |_| Some(3));
            prop_assert_eq!(found.unwrap_err(), StoredError::Length { len: bytes.len() });
        }

        #[test]
        fn any_bytes_are_a_task_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 0u8..3) {
            let bytes = [vec![version], bytes].concat();
            let found = RestoredTask::decode(7, &bytes, EPOCH, |_| None);
            if version != VERSION {
                prop_assert_eq!(found.unwrap_err(), StoredError::Version { found: version, expected: VERSION });
            }
        }
    }

    #[test]
    fn times_are_those_of_the_wall_clock() {
        let task = RestoredTask {
            id: 1,
            task: NewTask {
                durable: true,
                ..NewTask::new(Arc::from("mail"), Payload::from([]))
            },
            due: 5_000,
            attempts: 0,
            failure: Some((End::Failed, Payload::from([]), 6_000)),
        };
        let bytes = encode("default", &task);
        // The clock of the next server begins a minute later.
        let found = RestoredTask::decode(1, &bytes, EPOCH + 60_000, |_| None).unwrap();
        assert_eq!(found.due, -55_000);
        assert_eq!(found.failure.unwrap().2, -54_000);
        assert_eq!(found.task.queue, 0);
    }
}
