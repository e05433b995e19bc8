//! The fuzz target's corpus, and inputs made from it, as an ordinary test.

use crate::seeds;
use crate::websocket;

#[path = "../../fuzz/message_layer.rs"]
mod message_layer;

const MUTATIONS: usize = 10_000;

#[test]
fn no_promise_is_broken_by_the_corpus_under_any_settings() {
    let corpus = seeds::corpus("websocket");
    assert!(corpus.len() >= 20, "{} inputs", corpus.len());
    for mut input in corpus {
        for choice in 0..16 {
            for step in [1, 2, 3, 5, 64] {
                input[0] = choice;
                input[1] = step;
                message_layer::check(&input);
            }
        }
    }
}

#[test]
fn no_promise_is_broken_by_what_is_made_from_the_corpus() {
    let corpus = seeds::corpus("websocket");
    let mut numbers = seeds::Numbers::new();
    for _ in 0..MUTATIONS {
        message_layer::check(&seeds::mutated(&corpus, &mut numbers, 16));
    }
}
