//! What the tests of the fuzz targets' corpora have in common: the inputs that are kept, and others made from them.

use std::{fs, path::Path};

/// Xorshift: the same inputs in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new() -> Self {
        Self(0x5eed_0f5e_ed0f_5eed)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

/// The corpus of a target, in the order of its files' names.
pub(crate) fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../sluice-server/fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(folder).expect("the corpus is kept beside the crate");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry of the corpus").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("a file of the corpus"))
        .collect()
}

/// An input made from the corpus by a few changes. The first byte, which chooses settings, is often one of `choices`.
pub(crate) fn mutated(corpus: &[Vec<u8>], numbers: &mut Numbers, choices: usize) -> Vec<u8> {
    let mut input = corpus[numbers.below(corpus.len())].clone();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(input.len());
        match numbers.below(6) {
            0 => input[at] ^= 1 << numbers.below(8),
            1 => input[at] = numbers.below(256) as u8,
            2 => input.insert(at, numbers.below(256) as u8),
            3 => drop(input.drain(at..(at + 1 + numbers.below(8)).min(input.len()))),
            4 => input[0] = numbers.below(choices) as u8,
            _ => {
                let other = &corpus[numbers.below(corpus.len())];
                let from = numbers.below(other.len());
                input.splice(at.., other[from..].iter().copied());
            }
        }
        if input.is_empty() {
            break;
        }
    }
    input
}
