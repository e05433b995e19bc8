// What must hold of any body of a form: included by the fuzz target and by the tests of the crate.

use super::multipart::{Malformed, Parser, Piece};

/// The first byte of `input` says in which pieces the rest is given.
pub(crate) fn check(input: &[u8]) {
    let Some((&step, body)) = input.split_first() else {
        return;
    };
    let whole = run(body, body.len().max(1));
    let pieces = run(body, usize::from(step).max(1));
    assert_eq!(whole, pieces, "the outcome depends on how the body is cut");
}

/// Names and contents.
type Parts = Vec<(String, Vec<u8>)>;

/// The parts that come out, and how it ends.
fn run(body: &[u8], step: usize) -> (Parts, Result<(), Malformed>) {
    let Some(mut parser) = Parser::for_type(b"multipart/form-data; boundary=bound") else {
        return (Parts::new(), Ok(()));
    };
    let mut parts = Parts::new();
    let mut is_open = false;
    for piece in body.chunks(step) {
        let fed = parser.feed::<Malformed>(piece, |piece| {
            match piece {
                Piece::Part(head) => {
                    assert!(!is_open, "a part begins in a part");
                    is_open = true;
                    parts.push((head.name, Vec::new()));
                }
                Piece::Data(data) => {
                    assert!(is_open, "content outside a part");
                    if let Some(part) = parts.last_mut() {
                        part.1.extend_from_slice(data);
                    }
                }
                Piece::End => {
                    assert!(is_open, "an end outside a part");
                    is_open = false;
                }
            }
            Ok(())
        });
        if let Err(fault) = fed {
            // How much of an unfinished part has come out depends on the cuts.
            if is_open {
                parts.pop();
            }
            return (parts, Err(fault));
        }
    }
    if is_open {
        parts.pop();
    }
    (parts, parser.finish())
}
