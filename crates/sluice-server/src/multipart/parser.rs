//! The format: parts between delimiters, each with a head of its own.

use memchr::memmem::Finder;
use thiserror::Error;

use super::PartHead;

/// The longest head of a part. Browsers send two or three lines.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The longest boundary (RFC 2046 section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;
/// Blanks that may stand behind a delimiter.
const PADDING_BYTES_MAX: usize = 256;

/// How a body breaks the rules of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It ends before the last delimiter.
    #[error("it ends before its last delimiter")]
    CutShort,
    /// Something else than a line's end stands behind a delimiter.
    #[error("a delimiter is not alone on its line")]
    Delimiter,
    /// The head of a part is too long, has a line that is no field, or names no field of the form.
    #[error("the head of a part cannot be understood")]
    Head,
}

/// What a form is made of, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A part begins.
    Part(PartHead),
    /// More of its content.
    Data(&'a [u8]),
    /// It is complete.
    End,
}

/// A parser that takes a body in pieces of any size, and gives out its content without waiting for the end of a part.
///
/// It holds at most a delimiter, or the head of a part.
#[derive(Debug)]
pub struct Parser {
    /// CRLF, two dashes, the boundary.
    delimiter: Finder<'static>,
    state: State,
    /// What was given and not understood yet.
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first delimiter; what is there is for nobody.
    Preamble,
    /// Right behind a delimiter.
    Delimiter,
    Head,
    Content,
    /// Behind the last delimiter.
    Epilogue,
}

impl Parser {
    /// For the value of a `content-type`. `None` when that is not `multipart/form-data` with a boundary.
    pub fn for_type(content_type: &[u8]) -> Option<Self> {
        let boundary = boundary_of(content_type)?;
        let delimiter = [b"\r\n--".as_slice(), &boundary].concat();
        Some(Self {
            delimiter: Finder::new(&delimiter).into_owned(),
            state: State::Preamble,
            // The first delimiter has no line before it.
            buffer: b"\r\n".to_vec(),
        })
    }

    /// Takes the next bytes, and calls `take` for each piece. What that fails with is given back; the parser is of no use then.
    ///
    /// # Errors
    ///
    /// [`Malformed`], and what `take` gives.
    pub fn feed<E: From<Malformed>>(
        &mut self,
        input: &[u8],
        mut take: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.state == State::Epilogue {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.extend_from_slice(input);
        let mut at = 0;
        while let Some(next) = self.step(&buffer[at..], &mut take)? {
            at += next;
            if self.state == State::Epilogue {
                buffer.clear();
                at = 0;
                break;
            }
        }
        at += self.skip(&buffer[at..], &mut take)?;
        buffer.drain(..at);
        self.buffer = buffer;
        Ok(())
    }

    /// The body is complete.
    ///
    /// # Errors
    ///
    /// [`Malformed::CutShort`] when it is not.
    pub fn finish(&self) -> Result<(), Malformed> {
        match self.state {
            State::Epilogue => Ok(()),
            _ => Err(Malformed::CutShort),
        }
    }

    /// One step from state to state: how many bytes it took. `None`: it needs more.
    fn step<E: From<Malformed>>(
        &mut self,
        rest: &[u8],
        take: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        match self.state {
            State::Preamble | State::Content => {
                let Some(found) = self.delimiter.find(rest) else {
                    return Ok(None);
                };
                if self.state == State::Content {
                    if found > 0 {
                        take(Piece::Data(&rest[..found]))?;
                    }
                    take(Piece::End)?;
                }
                self.state = State::Delimiter;
                Ok(Some(found + self.delimiter.needle().len()))
            }
            State::Delimiter => {
                if rest.starts_with(b"--") {
                    self.state = State::Epilogue;
                    return Ok(Some(2));
                }
                let padding = rest
                    .iter()
                    .take_while(|&&byte| byte == b' ' || byte == b'\t')
                    .count();
                let line = &rest[padding..];
                if line.starts_with(b"\r\n") {
                    self.state = State::Head;
                    return Ok(Some(padding + 2));
                }
                let may_be_end = rest.is_empty() || rest == b"-";
                let may_be_line = (line.is_empty() || line == b"\r") && padding < PADDING_BYTES_MAX;
                if may_be_end || may_be_line {
                    Ok(None)
                } else {
                    Err(Malformed::Delimiter.into())
                }
            }
            State::Head => {
                let Some(end) = memchr::memmem::find(rest, b"\r\n\r\n") else {
                    if rest.len() > HEAD_BYTES_MAX + 3 {
                        return Err(Malformed::Head.into());
                    }
                    return Ok(None);
                };
                if end > HEAD_BYTES_MAX {
                    return Err(Malformed::Head.into());
                }
                let head = PartHead::parse(&rest[..end]).ok_or(Malformed::Head)?;
                take(Piece::Part(head))?;
                self.state = State::Content;
                Ok(Some(end + 4))
            }
            State::Epilogue => Ok(None),
        }
    }

    /// Gives out what no delimiter can begin in any more; how many bytes that are.
    fn skip<E>(
        &self,
        rest: &[u8],
        take: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let is_open = matches!(self.state, State::Preamble | State::Content);
        let out = rest.len().saturating_sub(self.delimiter.needle().len() - 1);
        if !is_open || out == 0 {
            return Ok(0);
        }
        if self.state == State::Content {
            take(Piece::Data(&rest[..out]))?;
        }
        Ok(out)
    }
}

/// The boundary in a `content-type` of `multipart/form-data`.
fn boundary_of(content_type: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(content_type).ok()?;
    let (kind, parameters) = text.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim())
    })?;
    let boundary = boundary
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(boundary);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let is_sound = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && boundary.bytes().all(is_allowed)
        && !boundary.ends_with(' ');
    is_sound.then(|| boundary.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::multipart::corpus::{BOUNDARY, Outcome, TYPE, cases, outcome};

    #[test]
    fn each_body_of_the_corpus_comes_out_as_it_should_however_it_is_cut() {
        for (name, body, expected) in cases() {
            let body = body.as_bytes();
            assert_eq!(outcome(&[body]), expected, "{name}");
            for at in 0..=body.len() {
                let (front, back) = body.split_at(at);
                assert_eq!(outcome(&[front, back]), expected, "{name} at {at}");
            }
            let single: Vec<&[u8]> = body.chunks(1).collect();
            assert_eq!(outcome(&single), expected, "{name} byte by byte");
        }
    }

    #[test]
    fn a_boundary_is_1_to_70_characters_and_may_be_quoted() {
        let is = |value: &str| Parser::for_type(value.as_bytes()).is_some();
        assert!(is("multipart/form-data; boundary=a"));
        assert!(is("Multipart/Form-Data;charset=utf-8 ; Boundary=\"a b'?\""));
        assert!(is(&format!(
            "multipart/form-data; boundary={}",
            "b".repeat(70)
        )));
        assert!(!is(&format!(
            "multipart/form-data; boundary={}",
            "b".repeat(71)
        )));
        for wrong in [
            "",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"\"",
            "multipart/form-data; boundary=\"a \"",
            "multipart/form-data; boundary=a\u{e9}",
            "multipart/form-data; boundary=a%",
            "multipart/mixed; boundary=a",
            "text/plain; boundary=a",
        ] {
            assert!(!is(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_head_is_bounded() {
        let head = |len: usize| format!("--{BOUNDARY}\r\nx: {}\r\n", "y".repeat(len));
        let fits = head(HEAD_BYTES_MAX - 100) + "content-disposition: form-data; name=a\r\n\r\n";
        assert!(outcome(&[fits.as_bytes()]).is_err_and(|fault| fault == Malformed::CutShort));
        let long = head(HEAD_BYTES_MAX);
        assert_eq!(outcome(&[long.as_bytes()]), Err(Malformed::Head));
    }

    #[test]
    fn padding_is_bounded() {
        let padded = |len: usize| format!("--{BOUNDARY}{}", " ".repeat(len));
        assert_eq!(outcome(&[padded(255).as_bytes()]), Err(Malformed::CutShort));
        assert_eq!(
            outcome(&[padded(256).as_bytes()]),
            Err(Malformed::Delimiter)
        );
    }

    #[test]
    fn little_is_held_back() {
        let mut parser = Parser::for_type(TYPE).expect("it has a boundary");
        let head = format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=a\r\n\r\n");
        let mut given = 0;
        for piece in [head.as_bytes(), &[b'x'; 100_000]] {
            parser
                .feed::<Malformed>(piece, |piece| {
                    if let Piece::Data(data) = piece {
                        given += data.len();
                    }
                    Ok(())
                })
                .expect("it is sound");
        }
        assert!(given > 100_000 - BOUNDARY.len() - 10);
        assert!(parser.buffer.len() < BOUNDARY.len() + 10);
    }

    proptest! {
        #[test]
        fn contents_come_back_whole(
            contents in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..60), 0..5),
            cuts in prop::collection::vec(0usize..400, 0..6),
        ) {
            let mut body = Vec::new();
            for content in &contents {
                body.extend_from_slice(format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n").as_bytes());
                body.extend_from_slice(content);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (body.len() + 1)).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            let expected: Outcome = contents.into_iter().map(|content| (String::from("a"), None, content)).collect();
            prop_assert_eq!(outcome(&parts), Ok(expected));
        }

        #[test]
        fn rubbish_comes_out_the_same_however_it_is_cut(
            body in prop::collection::vec(prop_oneof![
                Just(b"\r\n".to_vec()), Just(format!("--{BOUNDARY}").into_bytes()), Just(b"--".to_vec()), Just(b" ".to_vec()),
                Just(b"content-disposition: form-data; name=a\r\n\r\n".to_vec()), prop::collection::vec(any::<u8>(), 0..4),
            ], 0..12),
            at in 0usize..200,
        ) {
            let body = body.concat();
            let at = at % (body.len() + 1);
            prop_assert_eq!(outcome(&[&body]), outcome(&[&body[..at], &body[at..]]));
        }
    }
}
