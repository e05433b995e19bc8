//! The smallest program of each protocol, in every interleaving and with every value that the memory
//! model allows. Run with
//! `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p sluice-shared --release --test loom`
//!
//! A lost wake-up is a thread that waits for ever, which loom reports as a deadlock. JavaScript's
//! half of the wake protocol rests on SeqCst accesses instead of fences; loom takes those for weaker
//! than they are, so it is the Rust consumer that is shown here.
#![cfg(loom)]

// The locks of the tables' stripes and rows and the feed of their changes, whose tests are beside them. The rest of a table is mapped memory,
// which loom does not have.
#[path = "../src/table/feed.rs"]
#[allow(dead_code, reason = "the tables use more of it than the models")]
mod feed;
#[path = "../src/table/row_lock.rs"]
#[allow(dead_code, reason = "the tables use more of it than the models")]
mod row_lock;
#[path = "../src/table/row_word.rs"]
#[allow(dead_code, reason = "the tables use more of it than the models")]
mod row_word;
#[path = "../src/sync.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the crate uses more of it than its lock"
)]
mod sync;

mod spec {
    /// What the feed takes from the tables.
    pub const KEY_BYTES_MAX: usize = 255;
}

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use sluice_shared::record::{CommandKind, Words};
use sluice_shared::{CellKind, Cells, Consumer, Parked, Producer, PushError, WorkerBlock, ring};

/// The smallest ring: 256 bytes, which eight records without payload fill.
const CAPACITY_LOG2: u32 = 8;
const RECORDS_MAX: u32 = 8;

fn push(producer: &mut Producer, number: u32) -> Result<u32, PushError> {
    let words = Words::command(CommandKind::Respond, 0, 0).with_exchange(number, !number);
    producer.push(words, &[])
}

/// Reads up to `limit` records, which must be the next in order. Returns the number after them.
fn read(consumer: &mut Consumer, first: u32, limit: usize) -> u32 {
    let mut number = first;
    for _ in 0..limit {
        let Some(record) = consumer.next_command().unwrap() else {
            break;
        };
        assert_eq!(
            (record.words.index(), record.words.generation()),
            (number, !number)
        );
        number += 1;
    }
    number
}

/// What a wake rings and a sleeper waits for. A ring that nobody waits for is kept, as an eventfd and
/// a threadsafe function keep it.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

#[test]
fn published_records_are_seen_whole_and_in_order() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(CAPACITY_LOG2);
        let writer = thread::spawn(move || {
            for number in 0..3 {
                push(&mut producer, number).unwrap();
                assert!(producer.publish());
            }
        });
        let number = read(&mut consumer, 0, usize::MAX);
        consumer.release();
        let number = read(&mut consumer, number, usize::MAX);
        writer.join().unwrap();
        assert_eq!(read(&mut consumer, number, usize::MAX), 3);
    });
}

#[test]
fn released_space_is_written_again_without_a_race() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(CAPACITY_LOG2);
        for number in 0..RECORDS_MAX {
            push(&mut producer, number).unwrap();
        }
        producer.publish();
        let reader = thread::spawn(move || {
            let mut number = read(&mut consumer, 0, 1);
            consumer.release();
            number = read(&mut consumer, number, 1);
            consumer.release();
            read(&mut consumer, number, usize::MAX)
        });
        let mut pushed = RECORDS_MAX;
        for _ in 0..2 {
            if push(&mut producer, pushed).is_ok() {
                pushed += 1;
                producer.publish();
            }
        }
        let seen = reader.join().unwrap();
        assert!((RECORDS_MAX..=pushed).contains(&seen));
    });
}

/// The wake flag, as a reactor and as a worker have it.
trait Flag: Send + Sync + 'static {
    fn prepare(&self);
    fn cancel(&self) -> bool;
    fn try_unpark(&self) -> bool;
}

impl Flag for Parked {
    fn prepare(&self) {
        Self::prepare(self);
    }
    fn cancel(&self) -> bool {
        Self::cancel(self)
    }
    fn try_unpark(&self) -> bool {
        Self::try_unpark(self)
    }
}

impl Flag for WorkerBlock {
    fn prepare(&self) {
        self.park();
    }
    fn cancel(&self) -> bool {
        self.unpark()
    }
    fn try_unpark(&self) -> bool {
        Self::try_unpark(self)
    }
}

/// One producer per entry of `records`, each pushing that many, each with a ring of its own; one
/// consumer that sleeps whenever there is nothing, until it has read them all.
fn everything_arrives<F: Flag>(flag: F, records: &[u32]) {
    let flag = Arc::new(flag);
    let bell = Arc::new(Bell::default());
    let mut consumers = Vec::new();
    let mut writers = Vec::new();
    for &count in records {
        let (mut producer, consumer) = ring(CAPACITY_LOG2);
        consumers.push((consumer, 0));
        let (flag, bell) = (flag.clone(), bell.clone());
        writers.push(thread::spawn(move || {
            for number in 0..count {
                push(&mut producer, number).unwrap();
                if producer.publish() && flag.try_unpark() {
                    bell.ring();
                }
            }
        }));
    }

    let total: u32 = records.iter().sum();
    loop {
        for (consumer, number) in &mut consumers {
            *number = read(consumer, *number, usize::MAX);
        }
        if consumers.iter().map(|(_, number)| number).sum::<u32>() == total {
            break;
        }
        flag.prepare();
        let has_work = consumers.iter().any(|(consumer, _)| !consumer.is_empty());
        if has_work && flag.cancel() {
            continue;
        }
        bell.wait();
    }
    for writer in writers {
        writer.join().unwrap();
    }
}

#[test]
fn no_wake_up_of_a_reactor_is_lost() {
    loom::model(|| everything_arrives(Parked::new(), &[2]));
}

#[test]
fn no_wake_up_of_a_worker_is_lost() {
    loom::model(|| everything_arrives(WorkerBlock::acquire(), &[2]));
}

#[test]
fn no_wake_up_is_lost_between_two_producers() {
    let mut model = loom::model::Builder::new();
    // Bounds the run to seconds; a lost wake-up takes one forced switch on each side.
    model.preemption_bound = Some(3);
    model.check(|| everything_arrives(WorkerBlock::acquire(), &[1, 1]));
}

#[test]
fn a_sleeper_is_woken_by_one_producer_only() {
    loom::model(|| {
        let flag = Arc::new(Parked::new());
        flag.prepare();
        let other = flag.clone();
        let thread = thread::spawn(move || other.try_unpark());
        let here = flag.try_unpark();
        assert!(here != thread.join().unwrap());
    });
}

#[test]
fn no_request_for_space_is_lost() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(CAPACITY_LOG2);
        for number in 0..RECORDS_MAX {
            push(&mut producer, number).unwrap();
        }
        producer.publish();
        let bell = Arc::new(Bell::default());
        let reader = {
            let bell = bell.clone();
            thread::spawn(move || {
                let mut number = 0;
                // Two batches, each released and then looked after.
                for limit in [1, RECORDS_MAX as usize - 1] {
                    number = read(&mut consumer, number, limit);
                    consumer.release();
                    if consumer.take_space_request() {
                        bell.ring();
                    }
                }
                (consumer, number)
            })
        };
        for number in RECORDS_MAX..RECORDS_MAX + 2 {
            while push(&mut producer, number).is_err() {
                producer.request_space();
                if push(&mut producer, number).is_ok() {
                    break;
                }
                bell.wait();
            }
            producer.publish();
        }
        let (mut consumer, number) = reader.join().unwrap();
        assert_eq!(read(&mut consumer, number, usize::MAX), RECORDS_MAX + 2);
    });
}

#[test]
fn the_pool_gives_a_block_to_one_holder_at_a_time() {
    /// Takes a block, which must be clean, and marks it as its own for as long as it lives.
    fn hold(epoch: u32) {
        let block = WorkerBlock::acquire();
        assert_eq!((block.epoch(), block.parked()), (0, false));
        block.set_epoch(epoch);
        block.park();
        assert_eq!(block.epoch(), epoch);
    }

    loom::model(|| {
        let other = thread::spawn(|| {
            hold(1);
            hold(2);
        });
        hold(3);
        hold(4);
        other.join().unwrap();
    });
}

#[test]
fn a_ring_goes_back_to_the_pool_with_its_last_end() {
    loom::model(|| {
        let (mut producer, consumer) = ring(CAPACITY_LOG2);
        let other = thread::spawn(move || drop(consumer));
        push(&mut producer, 0).unwrap();
        producer.publish();
        drop(producer);
        // The same memory, if the other end was dropped by now, and as clean as new memory.
        let (producer, mut consumer) = ring(CAPACITY_LOG2);
        assert!(producer.is_drained());
        assert_eq!(read(&mut consumer, 0, usize::MAX), 0);
        other.join().unwrap();
    });
}

#[test]
fn a_name_that_two_threads_claim_is_one_cell_made_once() {
    loom::model(|| {
        let cells = Arc::new(Cells::model(3));
        let claim = |cells: &Cells, initial| cells.claim(b"a", CellKind::Int32, initial).unwrap();
        let other = {
            let cells = Arc::clone(&cells);
            thread::spawn(move || {
                let claimed = claim(&cells, 1);
                (claimed, cells.int32(claimed.index))
            })
        };
        let mine = claim(&cells, 2);
        let seen = cells.int32(mine.index);
        let (theirs, seen_there) = other.join().unwrap();
        assert_eq!(mine.index, theirs.index);
        assert!(mine.is_new != theirs.is_new);
        assert_eq!(
            (seen, seen_there),
            if mine.is_new { (2, 2) } else { (1, 1) }
        );
    });
}

#[test]
fn names_that_begin_at_one_place_get_cells_of_their_own() {
    loom::model(|| {
        let cells = Arc::new(Cells::model(2));
        let other = {
            let cells = Arc::clone(&cells);
            thread::spawn(move || cells.claim(b"a", CellKind::Int32, 1).unwrap())
        };
        let mine = cells.claim(b"b", CellKind::Int32, 2).unwrap();
        let theirs = other.join().unwrap();
        assert!(mine.is_new && theirs.is_new && mine.index != theirs.index);
        assert_eq!((cells.int32(mine.index), cells.int32(theirs.index)), (2, 1));
    });
}
