//! The corpus of the fuzz target of framing, and inputs made from it, as an ordinary test.

use std::{fs, path::Path};

use crate::framing;

#[path = "../../../sluice-server/fuzz/framing_layer.rs"]
mod framing_layer;

const MUTATIONS: usize = 20_000;

/// Xorshift: the same inputs in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sluice-server/fuzz/corpus/framing");
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

#[test]
fn no_promise_is_broken_by_the_corpus_under_any_framing() {
    let corpus = corpus();
    assert!(corpus.len() >= 30, "{} inputs", corpus.len());
    for mut input in corpus {
        for choice in 0..=255 {
            for step in [1, 2, 3, 5, 64] {
                input[0] = choice;
                input[1] = step;
                framing_layer::check(&input);
            }
        }
    }
}

#[test]
fn no_promise_is_broken_by_what_is_made_from_the_corpus() {
    let corpus = corpus();
    let mut numbers = Numbers(0x5eed_0f5e_ed0f_5eed);
    for _ in 0..MUTATIONS {
        let mut input = corpus[numbers.below(corpus.len())].clone();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(input.len());
            match numbers.below(6) {
                0 => input[at] ^= 1 << numbers.below(8),
                1 => input[at] = numbers.below(256) as u8,
                2 => input.insert(at, numbers.below(256) as u8),
                3 => drop(input.drain(at..(at + 1 + numbers.below(8)).min(input.len()))),
                4 => input[0] = numbers.below(256) as u8,
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
        framing_layer::check(&input);
    }
}
