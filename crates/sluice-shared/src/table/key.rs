//! A key as the table keeps it: a hash, and its bytes as words.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::error::TableError;
use super::geometry::INLINE_KEY_WORDS;
use super::spec::KEY_BYTES_MAX;

/// A hash that one who chooses the keys cannot steer, the same in every process.
#[derive(Clone, Copy)]
pub(super) struct HashKey(pub(super) u64, pub(super) u64);

impl HashKey {
    pub(super) fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(bytes);
        hasher.finish()
    }
}

/// A key that is looked for.
pub(super) struct Key<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) hash: u64,
    /// The first bytes, zero-padded.
    pub(super) inline: [u64; INLINE_KEY_WORDS],
}

impl<'a> Key<'a> {
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
        Ok(Self {
            bytes,
            hash: hash_key.hash(bytes),
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

/// Up to 8 bytes as a word, zero-padded.
pub(super) fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
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
