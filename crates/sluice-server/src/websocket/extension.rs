//! The agreement on permessage-deflate (RFC 6455 section 9.1, RFC 7692 section 7.1).

use super::Deflate;

/// What this server is willing to agree to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Whether messages may be compressed at all.
    pub compression: bool,
    /// Whether a message may refer to earlier ones. Costs each connection up to 368 KiB for sending and 43 KiB for
    /// receiving; without it connections share both.
    pub takeover: bool,
}

/// The first offer of the client that can be accepted, and the value of the answer's `sec-websocket-extensions`.
///
/// `values` are those of the request's fields of that name, in their order. An offer with an unknown, repeated or
/// malformed parameter is declined, as RFC 7692 section 7.1 demands; other extensions are passed over.
pub fn negotiate<'v>(
    values: impl IntoIterator<Item = &'v [u8]>,
    offer: &Offer,
) -> Option<(Deflate, String)> {
    if !offer.compression {
        return None;
    }
    values
        .into_iter()
        .flat_map(|value| split(value, b','))
        .find_map(Asked::parse)
        .map(|asked| asked.accept(offer))
}

/// The parameters of one offer.
#[derive(Default)]
struct Asked {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// Some(None): the client can keep to a limit and names none.
    client_max_window_bits: Option<Option<u8>>,
}

impl Asked {
    /// None if this is not an offer of permessage-deflate that can be accepted.
    fn parse(element: &[u8]) -> Option<Self> {
        let mut parts = split(element, b';');
        if parts.next()?.trim_ascii() != b"permessage-deflate" {
            return None;
        }
        let mut asked = Self::default();
        for part in parts {
            let (name, value) = match part.iter().position(|&byte| byte == b'=') {
                None => (part.trim_ascii(), None),
                Some(at) => (
                    part[..at].trim_ascii(),
                    Some(unquote(part[at + 1..].trim_ascii())?),
                ),
            };
            let is_new = match name {
                b"server_no_context_takeover" if value.is_none() => {
                    !std::mem::replace(&mut asked.server_no_context_takeover, true)
                }
                b"client_no_context_takeover" if value.is_none() => {
                    !std::mem::replace(&mut asked.client_no_context_takeover, true)
                }
                b"server_max_window_bits" => asked
                    .server_max_window_bits
                    .replace(window_bits(value?)?)
                    .is_none(),
                b"client_max_window_bits" => {
                    let bits = match value {
                        None => None,
                        Some(value) => Some(window_bits(value)?),
                    };
                    asked.client_max_window_bits.replace(bits).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(asked)
    }

    fn accept(&self, offer: &Offer) -> (Deflate, String) {
        let deflate = Deflate {
            server_takeover: offer.takeover && !self.server_no_context_takeover,
            client_takeover: offer.takeover && !self.client_no_context_takeover,
            server_window_bits: self.server_max_window_bits.unwrap_or(15),
            client_window_bits: self.client_max_window_bits.flatten().unwrap_or(15),
        };
        let mut answer = String::from("permessage-deflate");
        if !deflate.server_takeover {
            answer.push_str("; server_no_context_takeover");
        }
        if !deflate.client_takeover {
            answer.push_str("; client_no_context_takeover");
        }
        // Whoever names a limit must find it in the answer (section 7.1.2.1).
        if let Some(bits) = self.server_max_window_bits {
            answer.push_str(&format!("; server_max_window_bits={bits}"));
        }
        if let Some(Some(bits)) = self.client_max_window_bits {
            answer.push_str(&format!("; client_max_window_bits={bits}"));
        }
        (deflate, answer)
    }
}

/// The parts of a value between separators that stand outside of quotes.
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    value.split(move |&byte| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        is_escaped = is_quoted && byte == b'\\';
        is_quoted ^= byte == b'"';
        byte == separator && !is_quoted
    })
}

/// A value that may stand in quotes. None for quotes that do not fit; no value of ours has a reason to escape.
fn unquote(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inner @ .., b'"'] => Some(inner),
        _ if value.contains(&b'"') => None,
        _ => Some(value),
    }
}

/// 8 to 15, without leading zeros (section 7.1.2.1).
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: Offer = Offer {
        compression: true,
        takeover: false,
    };
    const TAKEOVER: Offer = Offer {
        compression: true,
        takeover: true,
    };

    fn answer(offer: &Offer, values: &[&str]) -> Option<String> {
        negotiate(values.iter().map(|value| value.as_bytes()), offer).map(|(_, answer)| answer)
    }

    #[test]
    fn without_takeover_both_sides_are_told_so() {
        const PLAIN: &str =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        for (value, expected) in [
            ("permessage-deflate", PLAIN.to_owned()),
            (
                "permessage-deflate; client_max_window_bits",
                PLAIN.to_owned(),
            ),
            (PLAIN, PLAIN.to_owned()),
            ("x-other; a=1, permessage-deflate", PLAIN.to_owned()),
            (
                "permessage-deflate;server_max_window_bits=10",
                format!("{PLAIN}; server_max_window_bits=10"),
            ),
            (
                "permessage-deflate;server_max_window_bits=15",
                format!("{PLAIN}; server_max_window_bits=15"),
            ),
            (
                "permessage-deflate ; client_max_window_bits = \"9\" ",
                format!("{PLAIN}; client_max_window_bits=9"),
            ),
            (
                "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8",
                format!("{PLAIN}; server_max_window_bits=8; client_max_window_bits=8"),
            ),
        ] {
            assert_eq!(answer(&SHARED, &[value]), Some(expected), "{value}");
        }
    }

    #[test]
    fn takeover_is_given_up_where_the_client_asks_for_it() {
        for (value, expected, server_takeover, client_takeover) in [
            ("permessage-deflate", "permessage-deflate", true, true),
            (
                "permessage-deflate; server_no_context_takeover",
                "permessage-deflate; server_no_context_takeover",
                false,
                true,
            ),
            (
                "permessage-deflate; client_no_context_takeover",
                "permessage-deflate; client_no_context_takeover",
                true,
                false,
            ),
        ] {
            let agreed = negotiate([value.as_bytes()], &TAKEOVER);
            let deflate = Deflate {
                server_takeover,
                client_takeover,
                server_window_bits: 15,
                client_window_bits: 15,
            };
            assert_eq!(agreed, Some((deflate, expected.to_owned())), "{value}");
        }
    }

    #[test]
    fn the_windows_are_those_that_the_client_named() {
        let value = b"permessage-deflate; server_max_window_bits=12; client_max_window_bits=11";
        let agreed = negotiate([&value[..]], &TAKEOVER).map(|(deflate, _)| deflate);
        assert_eq!(
            agreed.map(|deflate| (deflate.server_window_bits, deflate.client_window_bits)),
            Some((12, 11))
        );
    }

    #[test]
    fn an_offer_with_a_bad_parameter_is_declined() {
        for parameters in [
            "unknown",
            "unknown=1",
            "",
            "=",
            "server_no_context_takeover=1",
            "server_no_context_takeover=",
            "client_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits",
            "server_max_window_bits=",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "server_max_window_bits=+9",
            "server_max_window_bits=9 9",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits=",
            "client_max_window_bits=0",
            "client_max_window_bits=100",
            "client_max_window_bits; client_max_window_bits=10",
            "SERVER_NO_CONTEXT_TAKEOVER",
        ] {
            let value = format!("permessage-deflate; {parameters}");
            assert_eq!(answer(&SHARED, &[&value]), None, "{parameters}");
            let fallback = format!("{value}, permessage-deflate; server_max_window_bits=9");
            let expected = "permessage-deflate; server_max_window_bits=9";
            assert_eq!(
                answer(&TAKEOVER, &[&fallback]).as_deref(),
                Some(expected),
                "{parameters}"
            )
        }
    }

    #[test]
    fn the_first_acceptable_offer_wins_over_fields_too() {
        let values = [
            "x-webkit-deflate-frame, permessage-deflate; x",
            "x=\"a, permessage-deflate\", permessage-deflate; server_max_window_bits=11",
            "permessage-deflate",
        ];
        assert_eq!(
            answer(&TAKEOVER, &values).as_deref(),
            Some("permessage-deflate; server_max_window_bits=11")
        );
    }

    #[test]
    fn nothing_is_agreed_without_compression_or_without_an_offer() {
        assert_eq!(answer(&Offer::default(), &["permessage-deflate"]), None);
        assert_eq!(answer(&SHARED, &[]), None);
        assert_eq!(answer(&SHARED, &["", ",,", "permessage-bzip2"]), None);
        // The quotes never end, so there is no second offer.
        let open = "permessage-deflate; server_max_window_bits=\"9, permessage-deflate";
        assert_eq!(answer(&SHARED, &[open]), None);
    }
}
