//! The head of a part: which field of the form it is, and which file.

/// What the head of a part says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// The name of the field.
    pub name: String,
    /// The name of the file as the client's system has it, without directories; `None`: it is no file. Empty: no file was chosen.
    pub file_name: Option<String>,
    /// The media type that the client has guessed, as it was sent; empty when it said nothing.
    pub content_type: String,
}

impl PartHead {
    /// Reads header lines, without the empty line behind them. `None` when they cannot be understood, or name no field.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        let mut is_named = false;
        for line in split_lines(head) {
            let colon = memchr::memchr(b':', line)?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let is_token = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic());
            let is_clean = value
                .iter()
                .all(|&byte| byte >= b' ' && byte != 0x7f || byte == b'\t');
            if !is_token || !is_clean {
                return None;
            }
            if name.eq_ignore_ascii_case(b"content-disposition") && !is_named {
                is_named = true;
                found.read_disposition(value)?;
            } else if name.eq_ignore_ascii_case(b"content-type") {
                found.content_type = String::from_utf8_lossy(value).into_owned();
            }
        }
        is_named.then_some(found)
    }

    /// Reads a `content-disposition`. `None` unless it is `form-data` with a name.
    fn read_disposition(&mut self, value: &[u8]) -> Option<()> {
        let end = memchr::memchr(b';', value)?;
        if !value[..end].trim_ascii().eq_ignore_ascii_case(b"form-data") {
            return None;
        }
        let mut rest = &value[end + 1..];
        let mut name = None;
        while let Some((parameter, text, behind)) = parameter(rest)? {
            rest = behind;
            if parameter.eq_ignore_ascii_case(b"name") {
                name = Some(String::from_utf8_lossy(&text).into_owned());
            } else if parameter.eq_ignore_ascii_case(b"filename") {
                self.file_name = Some(base_name(&String::from_utf8_lossy(&text)).to_owned());
            }
        }
        self.name = name?;
        Some(())
    }
}

fn split_lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(head);
    std::iter::from_fn(move || {
        let text = rest?;
        match memchr::memmem::find(text, b"\r\n") {
            Some(end) => {
                rest = Some(&text[end + 2..]);
                Some(&text[..end])
            }
            None => {
                rest = None;
                Some(text)
            }
        }
    })
}

/// A name, a value, and what follows them.
type Parameter<'a> = (&'a [u8], Vec<u8>, &'a [u8]);

/// The next parameter; `Some(None)` at the end, `None` when it cannot be understood.
fn parameter(text: &[u8]) -> Option<Option<Parameter<'_>>> {
    let text = text.trim_ascii_start();
    if text.is_empty() {
        return Some(None);
    }
    let equals = memchr::memchr(b'=', text)?;
    let name = text[..equals].trim_ascii();
    let value = text[equals + 1..].trim_ascii_start();
    if let Some(quoted) = value.strip_prefix(b"\"") {
        let (value, behind) = unquote(quoted)?;
        let behind = behind.trim_ascii_start();
        let behind = match behind.strip_prefix(b";") {
            Some(behind) => behind,
            None if behind.is_empty() => behind,
            None => return None,
        };
        return Some(Some((name, value, behind)));
    }
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let behind = value.get(end + 1..).unwrap_or_default();
    Some(Some((name, value[..end].trim_ascii().to_vec(), behind)))
}

/// The value up to the closing quote, and what is behind that. Browsers write a quote and line ends within as %22, %0D and %0A;
/// others put a backslash before a quote, but one that stands before anything else is part of the name.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        match rest {
            [] => return None,
            [b'"', ..] => return Some((value, &rest[1..])),
            [b'\\', quoted @ (b'"' | b'\\'), ..] => {
                value.push(*quoted);
                at += 2;
            }
            [b'%', b'2', b'2', ..] => {
                value.push(b'"');
                at += 3;
            }
            [b'%', b'0', b'd' | b'D', ..] => {
                value.push(b'\r');
                at += 3;
            }
            [b'%', b'0', b'a' | b'A', ..] => {
                value.push(b'\n');
                at += 3;
            }
            [byte, ..] => {
                value.push(*byte);
                at += 1;
            }
        }
    }
}

/// Some clients send the whole path of the file.
fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disposition(value: &str) -> Option<(String, Option<String>)> {
        PartHead::parse(format!("Content-Disposition: {value}").as_bytes())
            .map(|head| (head.name, head.file_name))
    }

    #[test]
    fn names_are_tokens_or_quoted() {
        for (value, name, file) in [
            ("form-data; name=a", "a", None),
            ("FORM-DATA ; NAME = \"a b\" ", "a b", None),
            ("form-data; name=\"\"", "", None),
            (
                "form-data; name=\"a\"; filename=\"b.txt\"",
                "a",
                Some("b.txt"),
            ),
            (
                "form-data; filename=\"b;c=d\" ; name=\"a\"",
                "a",
                Some("b;c=d"),
            ),
            ("form-data; name=a; filename=\"\"", "a", Some("")),
            ("form-data; name=\"caf\u{e9}\"", "caf\u{e9}", None),
            ("form-data; name=\"a%22%0D%0Ab%20\"", "a\"\r\nb%20", None),
            ("form-data; name=\"a\\\"b\\\\c\\d\"", "a\"b\\c\\d", None),
            (
                "form-data; name=a; filename=\"/etc/passwd\"",
                "a",
                Some("passwd"),
            ),
            (
                "form-data; name=a; filename=\"C:\\\\dir\\file.txt\"",
                "a",
                Some("file.txt"),
            ),
            ("form-data; name=a; filename=\"..\"", "a", Some("..")),
        ] {
            let expected = Some((name.to_owned(), file.map(str::to_owned)));
            assert_eq!(disposition(value), expected, "{value}");
        }
    }

    #[test]
    fn what_names_no_field_is_refused() {
        for value in [
            "form-data",
            "form-data; filename=\"a\"",
            "attachment; name=a",
            "form-data; name=\"a",
            "form-data; name=\"a\" b",
            "form-data; name",
        ] {
            assert_eq!(disposition(value), None, "{value}");
        }
        for head in [
            "",
            "content-type: text/plain",
            "no field",
            ": a",
            "a b: c",
            "content-disposition: form-data; name=\"a\0\"",
        ] {
            assert_eq!(PartHead::parse(head.as_bytes()), None, "{head}");
        }
    }

    #[test]
    fn the_type_is_as_it_was_sent() {
        let head = PartHead::parse(b"X-Other: 1\r\ncontent-disposition: form-data; name=a\r\nCONTENT-TYPE:  text/html; charset=x ")
            .expect("it is sound");
        assert_eq!(head.content_type, "text/html; charset=x");
    }
}
