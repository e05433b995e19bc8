//! The fuzz target's corpus, and inputs made from it, as an ordinary test.

use std::{fs, path::Path};

use proptest::prelude::*;

use crate::proxy_protocol;

#[path = "../../fuzz/header_parse.rs"]
mod header_parse;

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/proxy_protocol");
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
fn no_promise_is_broken_by_the_corpus() {
    let corpus = corpus();
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
        let corpus = corpus();
        let mut input = which.get(&corpus).clone();
        for (at, byte) in changes {
            let at = at.index(input.len());
            input[at] = byte;
        }
        input.extend(more);
        header_parse::check(&input);
    }
}
