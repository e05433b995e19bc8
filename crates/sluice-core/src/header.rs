//! Well-known header names and their small ids, so that neither side compares bytes for them.
//!
//! The list is part of the bridge: `src-ts/bridge/header-names.ts` repeats it in the same order and a
//! test compares the two.

/// The id of a name that is not in [`NAMES`].
pub const UNKNOWN: u8 = 0xff;

/// Lower-case names; the index is the id. Append only.
pub const NAMES: &[&str] = &[
    "host",
    "user-agent",
    "accept",
    "accept-encoding",
    "accept-language",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "authorization",
    "cache-control",
    "origin",
    "referer",
    "if-none-match",
    "if-modified-since",
    "range",
    "transfer-encoding",
    "expect",
    "upgrade",
    "upgrade-insecure-requests",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "x-request-id",
    "forwarded",
    "via",
    "te",
    "trailer",
    "date",
    "pragma",
    "dnt",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
    "sec-fetch-user",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "priority",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "access-control-request-method",
    "access-control-request-headers",
    "if-match",
    "if-range",
    "if-unmodified-since",
    "content-encoding",
    "content-disposition",
    "content-language",
    "accept-charset",
    "keep-alive",
    "last-event-id",
    "max-forwards",
    "proxy-authorization",
    "traceparent",
    "tracestate",
    "x-csrf-token",
    "x-requested-with",
    "x-api-key",
    "idempotency-key",
    "save-data",
];

/// The id of `name` in any case, or [`UNKNOWN`].
///
/// One multiplication, one table look-up and one comparison, whatever the name: the hash has no
/// collisions among [`NAMES`], so a single candidate is left to verify.
#[inline]
pub fn id(name: &[u8]) -> u8 {
    if name.is_empty() {
        return UNKNOWN;
    }
    let candidate = IDS[slot(name, SEED)];
    match NAMES.get(usize::from(candidate)) {
        Some(known) if is_same(name, known.as_bytes()) => candidate,
        _ => UNKNOWN,
    }
}

/// Compares in any case by words that overlap, their number chosen by the length: a loop over bytes
/// costs three times as much, and every header of every request comes by.
#[inline]
fn is_same(name: &[u8], known: &[u8]) -> bool {
    let len = known.len();
    if name.len() != len {
        return false;
    }
    let whole = |at| differs(word(name, at), word(known, at));
    match len {
        4..8 => {
            let ends = |bytes| half(bytes, 0) | half(bytes, len - 4) << 32;
            differs(ends(name), ends(known)) == 0
        }
        8..=16 => whole(0) | whole(len - 8) == 0,
        17..=32 => whole(0) | whole(8) | whole(len - 16) | whole(len - 8) == 0,
        _ => name.eq_ignore_ascii_case(known),
    }
}

/// The bits in which eight bytes differ, the case of letters aside. In a known name, which consists
/// of lower-case letters, digits and "-", bit 0x40 marks the letters.
fn differs(name: u64, known: u64) -> u64 {
    let case = (known & 0x4040_4040_4040_4040) >> 1;
    (name ^ known) & !case
}

/// Eight bytes from `at`, which [`is_same`] has found to be there.
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// Four bytes from `at`, likewise.
fn half(bytes: &[u8], at: usize) -> u64 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |four| u32::from_le_bytes(*four).into())
}

const SLOTS: usize = 512;

/// The first multiplier that gives every name a slot of its own, searched by the compiler. If an
/// appended name makes the search fail, the build fails: [`slot`] then has to read one more byte.
const SEED: u32 = perfect_seed();

/// Slot → id. At most 254 names fit, because 255 is [`UNKNOWN`].
const IDS: [u8; SLOTS] = ids(SEED);

/// Hashes the length and three bytes that together differ between all names. `| 0x20` folds the
/// case of letters; that it also folds other bytes together is caught by the comparison in [`id`].
/// `name` must not be empty.
const fn slot(name: &[u8], seed: u32) -> usize {
    let len = name.len();
    let first = name[0] | 0x20;
    let middle = name[len.saturating_sub(3)] | 0x20;
    let last = name[len - 1] | 0x20;
    let key = u32::from_le_bytes([first, middle, last, len as u8]);
    (key.wrapping_mul(seed) >> 23) as usize
}

const fn perfect_seed() -> u32 {
    assert!(NAMES.len() < UNKNOWN as usize);
    let mut seed: u32 = 0x9e37_79b1;
    let mut tries = 0;
    while tries < 10_000 {
        if is_perfect(seed) {
            return seed;
        }
        seed = seed.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f) | 1;
        tries += 1;
    }
    panic!("no multiplier separates the names")
}

const fn is_perfect(seed: u32) -> bool {
    let mut taken = [false; SLOTS];
    let mut id = 0;
    while id < NAMES.len() {
        let slot = slot(NAMES[id].as_bytes(), seed);
        if taken[slot] {
            return false;
        }
        taken[slot] = true;
        id += 1;
    }
    true
}

const fn ids(seed: u32) -> [u8; SLOTS] {
    let mut ids = [UNKNOWN; SLOTS];
    let mut id = 0;
    while id < NAMES.len() {
        ids[slot(NAMES[id].as_bytes(), seed)] = id as u8;
        id += 1;
    }
    ids
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition that [`id`] must agree with.
    fn scan(name: &[u8]) -> u8 {
        NAMES
            .iter()
            .position(|known| known.as_bytes() == name.to_ascii_lowercase())
            .map_or(UNKNOWN, |index| index as u8)
    }

    #[test]
    fn names_are_lower_case_tokens_and_unique() {
        for (index, name) in NAMES.iter().enumerate() {
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{name}"
            );
            assert_eq!(NAMES.iter().position(|other| other == name), Some(index));
        }
    }

    #[test]
    fn every_name_has_its_index() {
        for (index, name) in NAMES.iter().enumerate() {
            assert_eq!(usize::from(id(name.as_bytes())), index, "{name}");
        }
    }

    #[test]
    fn the_empty_name_and_a_very_long_one_are_unknown() {
        assert_eq!(id(b""), UNKNOWN);
        assert_eq!(id(&[b'a'; 70_000]), UNKNOWN);
    }

    #[test]
    fn bytes_that_differ_from_a_name_only_in_the_case_bit_are_unknown() {
        // 0x0d | 0x20 is '-': the hash cannot tell them apart, the comparison must.
        assert_eq!(id(b"user\ragent"), UNKNOWN);
        assert_eq!(id(b"x-real-i\x50"), id(b"x-real-ip"));
        for name in NAMES {
            for at in 0..name.len() {
                let mut changed = name.as_bytes().to_vec();
                changed[at] ^= 0x20;
                assert_eq!(id(&changed), scan(&changed), "{changed:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn case_does_not_matter(index in 0..NAMES.len(), upper in any::<u64>()) {
            let name: Vec<u8> = NAMES[index]
                .bytes()
                .enumerate()
                .map(|(at, byte)| {
                    if upper >> (at % 64) & 1 == 1 { byte.to_ascii_uppercase() } else { byte }
                })
                .collect();
            prop_assert_eq!(usize::from(id(&name)), index);
        }

        #[test]
        fn one_changed_byte_makes_another_name(
            index in 0..NAMES.len(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut name = NAMES[index].as_bytes().to_vec();
            let at = at.index(name.len());
            name[at] = byte;
            prop_assert_eq!(id(&name), scan(&name));
        }

        #[test]
        fn any_bytes_are_known_only_if_listed(name in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(id(&name), scan(&name));
        }

        #[test]
        fn any_token_is_known_only_if_listed(name in "[a-zA-Z-]{1,12}") {
            prop_assert_eq!(id(name.as_bytes()), scan(name.as_bytes()));
        }
    }
}
