//! The corpus of the fuzz target of framing, and inputs made from it, as an ordinary test.

use crate::framing;

#[path = "../../../sluice-server/fuzz/framing_layer.rs"]
mod framing_layer;
#[path = "../../../sluice-server/fuzz/seeds.rs"]
mod seeds;

const MUTATIONS: usize = 20_000;

#[test]
fn no_promise_is_broken_by_the_corpus_under_any_framing() {
    let corpus = seeds::corpus("framing");
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
    let corpus = seeds::corpus("framing");
    let mut numbers = seeds::Numbers::new();
    for _ in 0..MUTATIONS {
        framing_layer::check(&seeds::mutated(&corpus, &mut numbers, 256));
    }
}
