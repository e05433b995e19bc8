//! The fuzz target's corpus, and inputs made from it, as an ordinary test.

use proptest::prelude::*;

use crate::proxy_protocol;
use crate::seeds;

#[path = "../../fuzz/header_parse.rs"]
mod header_parse;

#[test]
fn no_promise_is_broken_by_the_corpus() {
    let corpus = seeds::corpus("proxy_protocol");
    assert!(corpus.len() >= 10, "{} inputs", corpus.len());
    for input in corpus {
        for end in 0..=input.len() {
            header_parse::check(&input[..end]);
        }
    }
}

proptest! {
    #[test]
    fn no_promise_is_broken_by_what_is_made_from_the_corpus(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        more in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let corpus = seeds::corpus("proxy_protocol");
        let mut input = which.get(&corpus).clone();
        for (at, byte) in changes {
            let at = at.index(input.len());
            input[at] = byte;
        }
        input.extend(more);
        header_parse::check(&input);
    }
}
