use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::MemoryView;
use crate::record::{CommandKind, EventKind, event_flag};

const TAIL: usize = 0;
const HEAD: usize = 64;
const FLAGS: usize = 128;
const DATA: usize = 256;

/// Plays JavaScript: reads and writes the ring's words at the offsets the contract names.
struct Outside(MemoryView);

impl Outside {
    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.0.len());
        // SAFETY: aligned and inside the memory that the view keeps alive. The words of the header are
        // only used as atomics; those of the data while neither end is in a call, on one thread.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr().add(offset).cast()) }
    }

    fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::SeqCst)
    }

    fn store(&self, offset: usize, word: u32) {
        self.word(offset).store(word, Ordering::SeqCst);
    }
}

fn command() -> Words {
    Words::command(CommandKind::Respond, 0, 0)
}

/// Pushes commands of `size` payload bytes until the ring is full; returns how many went in.
fn fill(producer: &mut Producer, size: usize) -> usize {
    let payload = vec![0xab; size];
    let mut count = 0;
    loop {
        match producer.push(command(), &[&payload]) {
            Ok(_) => count += 1,
            Err(PushError::Full) => return count,
            Err(PushError::TooLarge) => panic!("{size} bytes are above the bound"),
        }
    }
}

/// Reads and releases everything; returns how many records there were.
fn drain(consumer: &mut Consumer) -> usize {
    let mut count = 0;
    while consumer.next_command().unwrap().is_some() {
        count += 1;
    }
    consumer.release();
    count
}

#[test]
fn an_event_arrives_with_its_words_fields_and_bytes() {
    let (mut producer, mut consumer) = ring(12);
    let words = Words::event(EventKind::Http, event_flag::STREAM)
        .with_fields(2)
        .with_exchange(5, 9);
    let fields: Vec<u8> = (0..16).collect();
    let position = producer
        .push(words, &[&fields, b"GET / ", b"HTTP/1.1"])
        .unwrap();
    producer.publish();

    let record = consumer.next_event().unwrap().unwrap();
    assert_eq!(record.position, position);
    assert_eq!(record.words.len_bytes(), 32 + 16 + 16);
    assert_eq!((record.words.index(), record.words.generation()), (5, 9));
    assert_eq!(record.fields, fields);
    assert_eq!(&record.bytes[..14], b"GET / HTTP/1.1");
    assert!(consumer.next_event().unwrap().is_none());
}

#[test]
fn a_commands_template_is_not_a_field_table() {
    let (mut producer, mut consumer) = ring(12);
    producer
        .push(Words::command(CommandKind::Respond, 0, 2), &[b"12345678"])
        .unwrap();
    producer.publish();
    let record = consumer.next_command().unwrap().unwrap();
    assert_eq!((record.fields, record.bytes), (&b""[..], &b"12345678"[..]));
}

#[test]
fn the_bytes_in_memory_are_those_of_the_contract() {
    let (mut producer, _consumer) = ring(12);
    let outside = Outside(producer.memory());
    assert_eq!(outside.0.len(), DATA + 4096);
    let words = Words::event(EventKind::Http, event_flag::HTTP10 | event_flag::REPLAY)
        .with_method(3)
        .with_fields(1)
        .with_connection(0x12_3456, sluice_core::id::ReactorId(7))
        .with_exchange(0x77, 0x33)
        .with_target(0x0102, 5)
        .with_head_len(0x66)
        .with_event_body_len(0x55);
    producer
        .push(words, &[&[1, 0, 2, 0, 3, 0, 4, 0], b"abcdefgh"])
        .unwrap();
    assert_eq!(outside.load(TAIL), 0, "not published yet");
    assert!(producer.publish());

    assert_eq!(outside.load(TAIL), 48);
    let record: Vec<u32> = (0..12).map(|word| outside.load(DATA + 4 * word)).collect();
    assert_eq!(
        record,
        [
            48,
            1 | (4 | 16 | 3 << 5) << 8 | 1 << 16,
            0x0712_3456,
            0x33,
            0x0500_0102,
            0x55,
            0x66,
            0x77,
            0x0002_0001,
            0x0004_0003,
            u32::from_le_bytes(*b"abcd"),
            u32::from_le_bytes(*b"efgh"),
        ]
    );
}

#[test]
fn nothing_is_seen_before_publish() {
    let (mut producer, mut consumer) = ring(12);
    assert!(!producer.publish(), "nothing to publish");
    producer.push(command(), &[]).unwrap();
    assert!(consumer.is_empty());
    assert!(consumer.next_command().unwrap().is_none());
    assert!(producer.publish());
    assert!(!consumer.is_empty());
    assert!(consumer.next_command().unwrap().is_some());
    assert!(consumer.is_empty());
}

#[test]
fn what_a_producer_has_pushed_and_not_published_can_be_salvaged() {
    let (mut producer, mut consumer) = ring(10);
    for size in [0, 24, 96, 8, 96, 96, 96, 88, 96, 96, 96] {
        // Over the end of the data and back.
        producer.push(command(), &[&vec![0xab; size]]).unwrap();
        producer.push(command(), &[]).unwrap();
        consumer.salvage();
        assert!(!consumer.is_empty());
        assert_eq!(drain(&mut consumer), 2);
        consumer.salvage();
        assert!(consumer.is_empty());
        // It goes on after all.
        assert!(producer.publish());
        assert!(consumer.is_empty());
    }
}

#[test]
fn space_comes_back_only_with_release() {
    let (mut producer, mut consumer) = ring(10);
    assert_eq!(fill(&mut producer, 96), 8);
    producer.publish();
    while consumer.next_command().unwrap().is_some() {}
    assert_eq!(producer.push(command(), &[]), Err(PushError::Full));
    assert!(!producer.is_drained());
    consumer.release();
    assert!(producer.is_drained());
    assert_eq!(fill(&mut producer, 96), 8);
}

#[test]
fn a_full_ring_is_unchanged_by_a_refused_push() {
    let (mut producer, mut consumer) = ring(10);
    let count = fill(&mut producer, 64);
    let position = producer.position();
    assert_eq!(producer.push(command(), &[&[0; 64]]), Err(PushError::Full));
    assert_eq!(producer.position(), position);
    producer.publish();
    assert_eq!(drain(&mut consumer), count);
}

#[test]
fn the_largest_record_fits_and_one_byte_more_is_too_large() {
    for capacity_log2 in [8, 9, 12, 18] {
        let (mut producer, mut consumer) = ring(capacity_log2);
        let largest = vec![1; (producer.max_record() - 32) as usize];
        producer.push(command(), &[&largest]).unwrap();
        producer.publish();
        assert_eq!(consumer.next_command().unwrap().unwrap().bytes, largest);
        assert_eq!(
            producer.push(command(), &[&largest, b"+"]),
            Err(PushError::TooLarge)
        );
    }
}

#[test]
fn parts_that_are_long_only_together_are_too_large() {
    let (mut producer, _consumer) = ring(10);
    assert_eq!(
        producer.push(command(), &[&[0; 50], &[0; 50]]),
        Err(PushError::TooLarge)
    );
}

#[test]
fn a_record_that_would_wrap_starts_again_behind_a_pad() {
    let (mut producer, mut consumer) = ring(10);
    // Nine of 104 bytes leave 88 up to the end, too few for a tenth.
    for _ in 0..9 {
        producer.push(command(), &[&[0; 72]]).unwrap();
    }
    producer.publish();
    assert_eq!(drain(&mut consumer), 9);

    let outside = Outside(producer.memory());
    let position = producer.push(command(), &[&[7; 72]]).unwrap();
    assert_eq!(position, 1024, "the start of the second lap");
    assert_eq!(outside.load(DATA + 936), 88);
    assert_eq!(outside.load(DATA + 940), 0, "PAD");
    producer.publish();
    let record = consumer.next_command().unwrap().unwrap();
    assert_eq!((record.position, record.bytes), (1024, &[7; 72][..]));
}

#[test]
fn the_smallest_pad_is_eight_bytes() {
    let (mut producer, mut consumer) = ring(10);
    // Records of 40, seven times 128 and 80 bytes: 8 short of the end.
    for size in [8, 96, 96, 96, 96, 96, 96, 96, 48] {
        producer.push(command(), &[&vec![0; size]]).unwrap();
    }
    assert_eq!(producer.position(), 1016);
    producer.publish();
    drain(&mut consumer);
    assert_eq!(producer.push(command(), &[]), Ok(1024));
    producer.publish();
    assert_eq!(drain(&mut consumer), 1);
}

#[test]
fn a_record_that_fills_the_end_exactly_needs_no_pad() {
    let (mut producer, mut consumer) = ring(10);
    assert_eq!(fill(&mut producer, 96), 8);
    producer.publish();
    assert_eq!(drain(&mut consumer), 8);
    assert_eq!(producer.push(command(), &[]), Ok(1024));
}

#[test]
fn counts_wrap_at_32_bits() {
    let (mut producer, mut consumer) = ring_from(10, u32::MAX - 1023);
    let mut positions = Vec::new();
    for lap in 0..40_u8 {
        positions.push(producer.push(command(), &[&[lap; 40]]).unwrap());
        producer.publish();
        assert!(!producer.is_drained());
        let record = consumer.next_command().unwrap().unwrap();
        assert_eq!(record.bytes, [lap; 40]);
        assert_eq!(record.position, positions[usize::from(lap)]);
        consumer.release();
        assert!(producer.is_drained());
    }
    assert!(
        positions.windows(2).any(|pair| pair[1] < pair[0]),
        "it has wrapped"
    );
}

#[test]
fn consumed_follows_the_head() {
    let (mut producer, mut consumer) = ring(10);
    let first = producer.push(command(), &[]).unwrap();
    let second = producer.push(command(), &[]).unwrap();
    producer.publish();
    assert_eq!(producer.consumed(), first);
    consumer.next_command().unwrap();
    consumer.release();
    assert_eq!(producer.consumed(), second);
    assert_eq!(consumer.position(), second);
}

#[test]
fn a_head_that_cannot_be_right_is_no_progress() {
    let (mut producer, _consumer) = ring(10);
    let outside = Outside(producer.memory());
    for _ in 0..4 {
        producer.push(command(), &[]).unwrap();
    }
    producer.publish();
    producer.push(command(), &[]).unwrap();
    outside.store(HEAD, 64);
    assert_eq!(producer.consumed(), 64);

    let published = 128;
    for hostile in [
        32,
        0,
        65,
        100,
        published + 8,
        published + 32,
        1 << 31,
        u32::MAX - 7,
    ] {
        outside.store(HEAD, hostile);
        assert_eq!(producer.consumed(), 64, "head {hostile}");
        assert!(!producer.is_drained());
    }
    outside.store(HEAD, published);
    assert_eq!(producer.consumed(), published);
}

#[test]
fn a_hostile_head_makes_no_space() {
    let (mut producer, _consumer) = ring(10);
    let outside = Outside(producer.memory());
    fill(&mut producer, 96);
    outside.store(HEAD, 1024);
    assert_eq!(
        producer.push(command(), &[]),
        Err(PushError::Full),
        "nothing was published"
    );
    producer.publish();
    for hostile in [1032, 2048, 1, 1023, u32::MAX - 1023] {
        outside.store(HEAD, hostile);
        assert_eq!(
            producer.push(command(), &[]),
            Err(PushError::Full),
            "head {hostile}"
        );
    }
}

#[test]
fn space_requests_are_taken_once() {
    let (mut producer, consumer) = ring(10);
    assert!(!consumer.take_space_request());
    producer.request_space();
    assert_eq!(Outside(producer.memory()).load(FLAGS), 1);
    assert!(consumer.take_space_request());
    assert!(!consumer.take_space_request());
}

#[test]
fn a_hostile_length_ends_the_reading() {
    // Of a record of 48 bytes in a ring of 1024, at offset 32.
    for hostile in [0, 4, 8, 24, 31, 47, 56, 136, 1024, 1 << 31, u32::MAX] {
        let (mut producer, mut consumer) = ring(10);
        producer.push(command(), &[]).unwrap();
        let position = producer.push(command(), &[&[0; 16]]).unwrap();
        producer.publish();
        Outside(producer.memory()).store(DATA + 32, hostile);
        assert!(consumer.next_command().unwrap().is_some());
        for _ in 0..2 {
            let verdict = consumer.next_command().map(|record| record.is_some());
            assert_eq!(verdict, Err(Corrupt { position }), "length {hostile}");
        }
        assert_eq!(consumer.position(), position);
    }
}

#[test]
fn a_length_over_the_end_of_the_data_ends_the_reading() {
    let (mut producer, mut consumer) = ring(10);
    for _ in 0..9 {
        producer.push(command(), &[&[0; 72]]).unwrap();
    }
    producer.publish();
    drain(&mut consumer);
    let position = producer.position();
    producer.push(command(), &[&[0; 72]]).unwrap();
    producer.publish();
    // Makes a record of the PAD, as long as a record may be, with as much published: it would wrap.
    let outside = Outside(producer.memory());
    outside.store(DATA + 936, 96);
    outside.store(DATA + 940, 1);
    assert_eq!(consumer.next_command().unwrap_err(), Corrupt { position });
}

#[test]
fn a_pad_before_the_end_ends_the_reading() {
    let (mut producer, mut consumer) = ring(10);
    producer.push(command(), &[&[0; 16]]).unwrap();
    producer.publish();
    Outside(producer.memory()).store(DATA + 4, 0);
    assert_eq!(
        consumer.next_command().unwrap_err(),
        Corrupt { position: 0 }
    );
}

#[test]
fn a_field_table_longer_than_its_record_ends_the_reading() {
    let (mut producer, mut consumer) = ring(10);
    producer
        .push(Words::event(EventKind::Http, 0).with_fields(3), &[&[0; 16]])
        .unwrap();
    producer.publish();
    for _ in 0..2 {
        assert_eq!(consumer.next_event().unwrap_err(), Corrupt { position: 0 });
    }
}

#[test]
fn a_hostile_tail_ends_the_reading() {
    for hostile in [1, 4, 7, 1032, 1 << 31, u32::MAX - 7] {
        let (producer, mut consumer) = ring(10);
        Outside(producer.memory()).store(TAIL, hostile);
        assert!(consumer.next_command().is_err(), "tail {hostile}");
    }
}

#[test]
fn memory_is_used_again_with_a_clean_header() {
    // A size no other test has, for the pool is one for the process.
    const LOG2: u32 = 13;
    let (mut producer, consumer) = ring(LOG2);
    let view = producer.memory();
    let address = view.as_ptr();
    producer.push(command(), &[b"left over"]).unwrap();
    producer.publish();
    producer.request_space();

    drop(producer);
    assert_ne!(
        ring(LOG2).0.memory().as_ptr(),
        address,
        "the consumer is alive"
    );
    drop(consumer);
    assert_ne!(ring(LOG2).0.memory().as_ptr(), address, "a view is alive");
    drop(view);
    let (producer, mut consumer) = ring(LOG2);
    assert_eq!(producer.memory().as_ptr(), address);
    assert!(consumer.next_command().unwrap().is_none());
    assert!(!consumer.take_space_request());
    assert!(producer.is_drained());
}

#[test]
#[should_panic(expected = "not supported")]
fn a_ring_below_the_bound_is_refused() {
    ring(CAPACITY_LOG2_MIN - 1);
}

#[test]
#[should_panic(expected = "not supported")]
fn a_ring_above_the_bound_is_refused() {
    ring(CAPACITY_LOG2_MAX + 1);
}

#[derive(Clone, Debug)]
enum Action {
    /// Lengths of the parts.
    Push(Vec<usize>),
    Publish,
    Read(usize),
    Release,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => prop::collection::vec(prop_oneof![0..9_usize, 0..600_usize], 0..4).prop_map(Action::Push),
        2 => Just(Action::Publish),
        4 => (1..6_usize).prop_map(Action::Read),
        2 => Just(Action::Release),
    ]
}

/// What a ring holds, as queues of (position, length in the ring, payload).
#[derive(Default)]
struct Model {
    pushed: VecDeque<(u32, u32, Vec<u8>)>,
    published: VecDeque<(u32, u32, Vec<u8>)>,
    /// Where the last record of each kind ended.
    read_end: u32,
    released_end: u32,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_ring_is_a_queue(
        capacity_log2 in prop::sample::select(vec![8_u32, 9, 10, 12, 14]),
        laps in prop_oneof![Just(0_u32), Just(u32::MAX / 8 * 8 - 504), any::<u32>()],
        actions in prop::collection::vec(action(), 1..300),
    ) {
        let start = laps & !7;
        let (mut producer, mut consumer) = ring_from(capacity_log2, start);
        let capacity = 1_u32 << capacity_log2;
        let mut model = Model { read_end: start, released_end: start, ..Model::default() };
        let mut sequence = 0_u8;
        for action in actions {
            match action {
                Action::Push(lengths) => {
                    sequence = sequence.wrapping_add(1);
                    let parts: Vec<Vec<u8>> = lengths.iter().map(|len| vec![sequence; *len]).collect();
                    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                    let payload = parts.concat();
                    let len = (32 + payload.len() as u32).div_ceil(8) * 8;
                    let write = producer.position();
                    let to_end = capacity - write % capacity;
                    let position = if len > to_end { write.wrapping_add(to_end) } else { write };
                    let end = position.wrapping_add(len);
                    let expected = if 32 + payload.len() as u32 > capacity / 8 {
                        Err(PushError::TooLarge)
                    } else if end.wrapping_sub(model.released_end) > capacity {
                        Err(PushError::Full)
                    } else {
                        Ok(position)
                    };
                    let words = command().with_exchange(payload.len() as u32, u32::from(sequence));
                    prop_assert_eq!(producer.push(words, &slices), expected);
                    if expected.is_ok() {
                        prop_assert_eq!(producer.position(), end);
                        model.pushed.push_back((position, len, payload));
                    }
                }
                Action::Publish => {
                    prop_assert_eq!(producer.publish(), !model.pushed.is_empty());
                    model.published.append(&mut model.pushed);
                }
                Action::Read(count) => {
                    for _ in 0..count {
                        prop_assert_eq!(consumer.is_empty(), model.published.is_empty());
                        let record = consumer.next_command().unwrap();
                        let Some((position, len, payload)) = model.published.pop_front() else {
                            prop_assert!(record.is_none());
                            break;
                        };
                        let record = record.unwrap();
                        prop_assert_eq!(record.position, position);
                        prop_assert_eq!(record.words.len_bytes(), len);
                        prop_assert_eq!(record.words.index() as usize, payload.len());
                        prop_assert_eq!(&record.bytes[..payload.len()], &payload[..]);
                        prop_assert_eq!(record.bytes.len() as u32, len - 32);
                        model.read_end = position.wrapping_add(len);
                    }
                }
                Action::Release => {
                    consumer.release();
                    model.released_end = model.read_end;
                    prop_assert_eq!(producer.consumed(), model.released_end);
                }
            }
        }
    }

    #[test]
    fn no_content_makes_the_consumer_read_outside(
        words in prop::collection::vec(prop_oneof![0..256_u32, any::<u32>()], 64),
        tail in prop_oneof![(0..33_u32).prop_map(|count| count * 8), any::<u32>()],
    ) {
        let (producer, mut consumer) = ring(8);
        let outside = Outside(producer.memory());
        for (index, word) in words.iter().enumerate() {
            outside.store(DATA + 4 * index, *word);
        }
        outside.store(TAIL, tail);
        let base = producer.memory().as_ptr() as usize + DATA;
        // At most 32 records of the smallest length fit; reading must end by then.
        let mut records = 0;
        while let Ok(Some(record)) = consumer.next_event() {
            let bytes = record.bytes.as_ptr_range();
            prop_assert!(record.fields.as_ptr() as usize >= base + 32);
            prop_assert!(bytes.end as usize <= base + 256);
            records += 1;
            prop_assert!(records <= 32);
        }
    }
}
