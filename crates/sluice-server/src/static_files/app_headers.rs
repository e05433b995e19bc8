//! What the application says of a file that it sends.

use super::validators::{Validators, parse_date};
use crate::http1::answer::template;

/// The header block of an answer with a file, taken apart: what says which content it is decides about ranges and
/// conditions, and moves into the parts of a multipart answer.
#[derive(Debug, Default)]
pub(crate) struct AppHeaders {
    /// The other lines, whole.
    pub(super) lines: Vec<u8>,
    pub(super) content_type: Option<Vec<u8>>,
    /// What stands in for those of the file.
    pub(super) validators: Validators,
    /// The application has a line of its own about ranges.
    pub(super) accept_ranges: Option<bool>,
}

impl AppHeaders {
    /// `block` has whole lines only; what is none is kept, for the writer of the head to refuse.
    pub(crate) fn of(block: &[u8], template_id: u8) -> Self {
        let mut headers = Self::default();
        for line in template(template_id)
            .split_inclusive(|&byte| byte == b'\n')
            .chain(block.split_inclusive(|&byte| byte == b'\n'))
        {
            headers.take(line);
        }
        headers
    }

    fn take(&mut self, line: &[u8]) {
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(0);
        let (name, value) = (&line[..colon], line[colon..].trim_ascii());
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        if name.eq_ignore_ascii_case(b"content-type") {
            self.content_type = Some(value.to_vec());
        } else if name.eq_ignore_ascii_case(b"etag") {
            self.validators.etag = Some(value.to_vec());
        } else if name.eq_ignore_ascii_case(b"last-modified")
            && let Some(date) = parse_date(value)
        {
            self.validators.modified = Some(date);
        } else {
            if name.eq_ignore_ascii_case(b"accept-ranges") {
                self.accept_ranges = Some(!value.eq_ignore_ascii_case(b"none"));
            }
            self.lines.extend_from_slice(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_content_is_taken_out() {
        let block = b"x-a: 1\r\netag: \"e\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nx-b: a:b\r\n";
        let headers = AppHeaders::of(block, 2);
        assert_eq!(headers.lines, b"x-a: 1\r\nx-b: a:b\r\n");
        assert_eq!(
            headers.content_type.as_deref(),
            Some(b"application/json".as_slice())
        );
        assert_eq!(
            headers.validators.etag.as_deref(),
            Some(b"\"e\"".as_slice())
        );
        assert_eq!(headers.validators.modified, Some(784_111_777));
        assert_eq!(headers.accept_ranges, None);
    }

    #[test]
    fn lines_of_its_own_are_kept() {
        let headers = AppHeaders::of(b"content-type: a/b\r\naccept-ranges: none\r\nbad", 0);
        assert_eq!(headers.content_type.as_deref(), Some(b"a/b".as_slice()));
        assert_eq!(headers.accept_ranges, Some(false));
        assert_eq!(headers.lines, b"accept-ranges: none\r\nbad");
    }
}
