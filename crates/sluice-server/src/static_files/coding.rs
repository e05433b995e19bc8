//! The encodings in which a file may lie beside itself (RFC 9110 section 12.5.3).

/// A content coding of a precompressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// In the order of preference, where the client has none.
    const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What is behind the file's name, with the dot.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// What tells its ETag from that of the file.
    pub(super) fn etag_suffix(self) -> &'static str {
        match self {
            Self::Brotli => "-br",
            Self::Zstd => "-zst",
            Self::Gzip => "-gz",
        }
    }

    fn is_named(self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name().as_bytes())
            || (self == Self::Gzip && name.eq_ignore_ascii_case(b"x-gzip"))
    }
}

/// The codings that a client takes and likes at least as much as the plain file, best first.
pub(super) fn accepted(accept_encoding: Option<&[u8]>) -> impl Iterator<Item = Coding> {
    let mut weights = [None; 3];
    let (mut any, mut identity) = (None, None);
    for element in accept_encoding
        .unwrap_or_default()
        .split(|&byte| byte == b',')
    {
        let mut parameters = element.split(|&byte| byte == b';');
        let name = parameters.next().unwrap_or_default().trim_ascii();
        let weight = parameters.next().map_or(Some(1000), weight);
        if name == b"*" {
            any = weight;
        } else if name.eq_ignore_ascii_case(b"identity") {
            identity = weight;
        }
        for (coding, slot) in Coding::ALL.into_iter().zip(&mut weights) {
            if coding.is_named(name) {
                *slot = Some(weight.unwrap_or(0));
            }
        }
    }
    let least = identity.unwrap_or(1).max(1);
    let mut liked: Vec<(u16, Coding)> = Coding::ALL
        .into_iter()
        .zip(weights)
        .filter_map(|(coding, weight)| Some((weight.or(any)?, coding)))
        .filter(|&(weight, _)| weight >= least)
        .collect();
    // Stable: our own order within equals.
    liked.sort_by_key(|&(weight, _)| std::cmp::Reverse(weight));
    liked.into_iter().map(|(_, coding)| coding)
}

/// `q=0.5` in thousandths; `None` for what is no weight.
fn weight(parameter: &[u8]) -> Option<u16> {
    let parameter = parameter.trim_ascii();
    let value = parameter
        .strip_prefix(b"q=")
        .or_else(|| parameter.strip_prefix(b"Q="))?;
    let (whole, fraction) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut thousandths = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, unit) in fraction.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * unit;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_client_chooses_and_we_break_ties() {
        for (field, expected) in [
            ("gzip, deflate, br, zstd", "br zstd gzip"),
            ("gzip", "gzip"),
            ("x-gzip", "gzip"),
            ("GZIP;q=0.5, br;q=0.4", "gzip br"),
            ("br;q=0.8, zstd;q=0.8, gzip", "gzip br zstd"),
            ("*", "br zstd gzip"),
            ("*;q=0.1, gzip", "gzip br zstd"),
            ("br;q=0, *", "zstd gzip"),
            ("gzip;q=0.000", ""),
            ("gzip;q=0.001", "gzip"),
            ("gzip;q=0.5, identity", ""),
            ("gzip, identity;q=0.5", "gzip"),
            ("identity;q=0, gzip;q=0.1", "gzip"),
            ("*;q=0", ""),
            ("", ""),
            ("deflate", ""),
            ("gzip;q=2, br;q=x, zstd;q=0.1234", ""),
            (" gzip ; q=1.0 ", "gzip"),
            ("brotli", ""),
        ] {
            let names: Vec<_> = accepted(Some(field.as_bytes())).map(Coding::name).collect();
            assert_eq!(names.join(" "), expected, "{field:?}");
        }
        assert_eq!(accepted(None).count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(field in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(accepted(Some(&field)).count() <= 3);
        }
    }
}
