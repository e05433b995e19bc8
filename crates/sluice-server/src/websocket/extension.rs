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
        if !parts
            .next()?
            .trim_ascii()
            .eq_ignore_ascii_case(b"permessage-deflate")
        {
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
