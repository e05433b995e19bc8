//! A key as the table keeps it: a hash, and its bytes as words.

use super::error::TableError;
use super::geometry::INLINE_KEY_WORDS;
use super::spec::KEY_BYTES_MAX;

/// A hash that one who chooses the keys cannot steer, the same in every process: SipHash-1-3.
///
/// Written out here because the words of a key are needed anyway, and a hasher that takes any pieces costs twice as much.
#[derive(Clone, Copy)]
pub(super) struct HashKey(pub(super) u64, pub(super) u64);

impl HashKey {
    #[inline]
    pub(super) fn hash(self, bytes: &[u8]) -> u64 {
        let (words, rest) = bytes.as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        self.hash_words(words, word_of(rest), bytes.len())
    }

    /// Of all words of 8 bytes and the rest, zero-padded.
    #[inline]
    fn hash_words(self, words: impl Iterator<Item = u64>, rest: u64, len: usize) -> u64 {
        let mut state = [
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ];
        let mut absorb = |word: u64| {
            state[3] ^= word;
            round(&mut state);
            state[0] ^= word;
        };
        for word in words {
            absorb(word);
        }
        absorb(rest | (len as u64) << 56);
        state[2] ^= 0xFF;
        for _ in 0..3 {
            round(&mut state);
        }
        state[0] ^ state[1] ^ state[2] ^ state[3]
    }
}

#[inline]
fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *c = c.wrapping_add(*d);
    *b = b.rotate_left(13) ^ *a;
    *d = d.rotate_left(16) ^ *c;
    *a = a.rotate_left(32).wrapping_add(*d);
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *d = d.rotate_left(21) ^ *a;
    *c = c.rotate_left(32);
}

/// A key that is looked for.
pub(super) struct Key<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) hash: u64,
    /// The first bytes, zero-padded.
    pub(super) inline: [u64; INLINE_KEY_WORDS],
}

impl<'a> Key<'a> {
    // As the result of a call it would be copied.
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8], max: usize, hash_key: HashKey) -> Result<Self, TableError> {
        if bytes.is_empty() || bytes.len() > max {
            return Err(TableError::KeyLength {
                len: bytes.len(),
                max,
            });
        }
        let mut inline = [0; INLINE_KEY_WORDS];
        for (word, chunk) in inline.iter_mut().zip(bytes.chunks(8)) {
            *word = word_of(chunk);
        }
        let whole = bytes.len() / 8;
        // Of a short key the words are there already.
        let hash = match inline.split_at_checked(whole) {
            Some((words, [rest, ..])) => {
                hash_key.hash_words(words.iter().copied(), *rest, bytes.len())
            }
            _ => hash_key.hash(bytes),
        };
        Ok(Self {
            bytes,
            hash,
            inline,
        })
    }

    /// What of the hash stands in a link: never the bits that chose the bucket.
    pub(super) fn tag(&self) -> u32 {
        (self.hash >> 32) as u32
    }

    /// The words beyond the inline ones.
    pub(super) fn overflow(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.bytes.chunks(8).skip(INLINE_KEY_WORDS).map(word_of)
    }
}

/// Up to 8 bytes as a word, zero-padded. Without a call to copy them: keys are short.
#[inline]
pub(super) fn word_of(bytes: &[u8]) -> u64 {
    let four = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|four| four.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    };
    let one = |at: usize| u64::from(bytes[at]) << (8 * at);
    match bytes.len() {
        0 => 0,
        1 => one(0),
        2 => one(0) | one(1),
        3 => one(0) | one(1) | one(2),
        // The last four may be some of the first, too: then they fall on themselves.
        len => u64::from(four(0)) | u64::from(four(len - 4)) << (8 * (len - 4)),
    }
}

/// The bytes of a key that was read.
#[derive(Clone, Copy)]
pub(super) struct KeyBytes {
    pub(super) words: [u64; KEY_BYTES_MAX.div_ceil(8)],
    pub(super) len: usize,
}

impl KeyBytes {
    pub(super) fn copy_to(&self, out: &mut [u8; KEY_BYTES_MAX + 1]) -> usize {
        for (chunk, word) in out.chunks_mut(8).zip(&self.words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        self.len.min(KEY_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    use super::*;

    proptest! {
        #[test]
        fn the_hash_is_siphash_1_3(first: u64, second: u64, bytes in prop::collection::vec(any::<u8>(), 0..=255)) {
            let mut hasher = SipHasher13::new_with_keys(first, second);
            hasher.write(&bytes);
            prop_assert_eq!(HashKey(first, second).hash(&bytes), hasher.finish());
            if let Ok(key) = Key::new(&bytes, 255, HashKey(first, second)) {
                prop_assert_eq!(key.hash, hasher.finish());
            }
        }

        #[test]
        fn a_word_is_its_bytes_and_zeroes(bytes in prop::collection::vec(any::<u8>(), 0..=8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(&bytes);
            prop_assert_eq!(word_of(&bytes), u64::from_le_bytes(padded));
        }
    }
}
