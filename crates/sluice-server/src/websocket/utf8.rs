//! UTF-8 that arrives in pieces (RFC 6455 section 8.1).

use super::Fault;

/// A check of text whose characters may be cut anywhere. It fails at the first byte that no text can have.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The first bytes of a character that is not complete.
    partial: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// Takes the next bytes of the text.
    ///
    /// # Errors
    ///
    /// [`Fault::NOT_UTF8`] if no bytes that could follow make valid text of what has come.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while self.len > 0 {
            let Some((&next, rest)) = bytes.split_first() else {
                return Ok(());
            };
            bytes = rest;
            let have = usize::from(self.len);
            let mut character = [0; 4];
            character[..have].copy_from_slice(&self.partial[..have]);
            character[have] = next;
            match std::str::from_utf8(&character[..=have]) {
                Ok(_) => self.len = 0,
                // Three bytes at most can be incomplete, so there is room for this one.
                Err(error) if error.error_len().is_none() => {
                    self.partial[have] = next;
                    self.len += 1;
                }
                Err(_) => return Err(Fault::NOT_UTF8),
            }
        }
        let Err(error) = simdutf8::compat::from_utf8(bytes) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(Fault::NOT_UTF8);
        }
        let cut = &bytes[error.valid_up_to()..];
        self.partial[..cut.len()].copy_from_slice(cut);
        self.len = cut.len() as u8;
        Ok(())
    }

    /// Whether the text may end here.
    ///
    /// # Errors
    ///
    /// [`Fault::NOT_UTF8`] in the middle of a character.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        if self.len == 0 {
            Ok(())
        } else {
            Err(Fault::NOT_UTF8)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many bytes, given one by one, it takes to be refused; None if the text is taken.
    fn refused_after(bytes: &[u8]) -> Option<usize> {
        let mut utf8 = Utf8::default();
        let at = bytes
            .iter()
            .position(|&byte| utf8.feed(&[byte]).is_err())
            .map(|at| at + 1);
        at.or_else(|| utf8.finish().is_err().then_some(bytes.len() + 1))
    }

    #[test]
    fn text_is_refused_at_the_first_byte_that_none_can_have() {
        for (bytes, at) in [
            (&b"\xc0"[..], 1),
            (b"\xc1", 1),
            (b"\xf5", 1),
            (b"\xff", 1),
            (b"a\x80", 2),
            (b"\xe0\x9f", 2),
            (b"\xed\xa0", 2),
            (b"\xf0\x8f", 2),
            (b"\xf4\x90", 2),
            (b"\xe2\x82a", 3),
            (b"\xf0\x9f\x98a", 4),
            // Cut at the end, each is refused only there.
            (b"\xc3", 2),
            (b"\xe2\x82", 3),
            (b"\xf0\x9f\x98", 4),
        ] {
            assert_eq!(refused_after(bytes), Some(at), "{bytes:x?}");
        }
        assert_eq!(refused_after("aé€😀".as_bytes()), None);
    }

    proptest! {
        #[test]
        fn pieces_get_the_verdict_of_the_whole(
            parts in proptest::collection::vec(prop_oneof![
                any::<char>().prop_map(|c| c.to_string().into_bytes()),
                "[ -~]{0,70}".prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..2),
            ], 0..6),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let bytes = parts.concat();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            let mut utf8 = Utf8::default();
            let verdict = places.windows(2).try_for_each(|ends| utf8.feed(&bytes[ends[0]..ends[1]])).and_then(|()| utf8.finish());
            prop_assert_eq!(verdict.is_ok(), std::str::from_utf8(&bytes).is_ok());
        }
    }
}
