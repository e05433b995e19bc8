//! Bodies, and what is in them; and the fuzz target's corpus as an ordinary test.

use super::{Malformed, Parser, Piece};
use crate::multipart;
use crate::seeds;

#[path = "../../fuzz/form_parts.rs"]
mod form_parts;

pub(super) const BOUNDARY: &str = "----b0undary";
pub(super) const TYPE: &[u8] = b"multipart/form-data; boundary=----b0undary";

/// Name, file name and content of each part.
pub(super) type Outcome = Vec<(String, Option<String>, Vec<u8>)>;

/// What a body comes to that is given in these pieces.
pub(super) fn outcome(pieces: &[&[u8]]) -> Result<Outcome, Malformed> {
    let mut parser = Parser::for_type(TYPE).expect("it has a boundary");
    let mut parts = Outcome::new();
    let mut is_open = false;
    for input in pieces {
        parser.feed::<Malformed>(input, |piece| {
            match piece {
                Piece::Part(head) => {
                    assert!(!is_open);
                    is_open = true;
                    parts.push((head.name, head.file_name, Vec::new()));
                }
                Piece::Data(data) => {
                    assert!(is_open && !data.is_empty());
                    let part = parts.last_mut().expect("a part is open");
                    part.2.extend_from_slice(data);
                }
                Piece::End => {
                    assert!(is_open);
                    is_open = false;
                }
            }
            Ok(())
        })?;
    }
    parser.finish()?;
    Ok(parts)
}

/// Names of bodies, the bodies, and the parts they have.
pub(super) fn cases() -> Vec<(&'static str, String, Result<Outcome, Malformed>)> {
    let part = |name: &str, content: &str| (name.to_owned(), None, content.as_bytes().to_vec());
    let field = |name: &str| format!("content-disposition: form-data; name=\"{name}\"\r\n\r\n");
    let (a, b) = (field("a"), field("b"));
    let open = format!("--{BOUNDARY}\r\n");
    let close = format!("--{BOUNDARY}--");
    vec![
        ("no part", close.clone(), Ok(vec![])),
        (
            "no part but a preamble",
            format!("for old mailers\r\n{close}\r\n"),
            Ok(vec![]),
        ),
        (
            "one field",
            format!("{open}{a}1\r\n{close}\r\n"),
            Ok(vec![part("a", "1")]),
        ),
        (
            "an empty field",
            format!("{open}{a}\r\n{close}"),
            Ok(vec![part("a", "")]),
        ),
        (
            "two fields, and lines in the first",
            format!("{open}{a}1\r\n\r\n--x\r\n{open}{b}2\r\n{close}\r\nepilogue --{BOUNDARY}"),
            Ok(vec![part("a", "1\r\n\r\n--x"), part("b", "2")]),
        ),
        (
            "a file and its type",
            format!(
                "{open}content-disposition: form-data; name=\"f\"; filename=\"x.png\"\r\nContent-Type: image/png\r\n\r\n\u{1}\r\n{close}"
            ),
            Ok(vec![("f".into(), Some("x.png".into()), vec![1])]),
        ),
        (
            "nearly a delimiter",
            format!("{open}{a}\r\n-{}\r\n\r--{BOUNDARY}\r\n{close}", &open[..6]),
            Ok(vec![part(
                "a",
                &format!("\r\n-{}\r\n\r--{BOUNDARY}", &open[..6]),
            )]),
        ),
        (
            "blanks behind a delimiter",
            format!("--{BOUNDARY} \t\r\n{a}1\r\n{close}"),
            Ok(vec![part("a", "1")]),
        ),
        ("nothing", String::new(), Err(Malformed::CutShort)),
        ("no delimiter", "hello".into(), Err(Malformed::CutShort)),
        (
            "only the first delimiter",
            open.clone(),
            Err(Malformed::CutShort),
        ),
        (
            "no last delimiter",
            format!("{open}{a}1\r\n{open}"),
            Err(Malformed::CutShort),
        ),
        (
            "cut in the last delimiter",
            format!("{open}{a}1\r\n{}", &close[..close.len() - 1]),
            Err(Malformed::CutShort),
        ),
        (
            "a longer boundary",
            format!("{open}{a}1\r\n--{BOUNDARY}x\r\n{close}"),
            Err(Malformed::Delimiter),
        ),
        (
            "a bare line feed behind a delimiter",
            format!("--{BOUNDARY}\n{a}1\r\n{close}"),
            Err(Malformed::Delimiter),
        ),
        (
            "a head without a name",
            format!("{open}x: 1\r\n\r\n1\r\n{close}"),
            Err(Malformed::Head),
        ),
        (
            "no head",
            format!("{open}\r\n\r\n1\r\n{close}"),
            Err(Malformed::Head),
        ),
    ]
}

const MUTATIONS: usize = 10_000;

#[test]
fn no_promise_is_broken_by_the_corpus_and_what_is_made_from_it() {
    let corpus = seeds::corpus("multipart");
    assert!(corpus.len() >= 10, "{} inputs", corpus.len());
    let mut numbers = seeds::Numbers::new();
    for input in &corpus {
        form_parts::check(input);
    }
    for _ in 0..MUTATIONS {
        form_parts::check(&seeds::mutated(&corpus, &mut numbers, 256));
    }
}
