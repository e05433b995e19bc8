//! Masking (RFC 6455 section 5.3).

/// Masks or unmasks `bytes`, whose first byte goes with `mask[0]`. A second time undoes the first.
pub fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

/// The mask for what follows after `len` bytes.
pub(super) fn rotate(mut mask: [u8; 4], len: usize) -> [u8; 4] {
    mask.rotate_left(len % 4);
    mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_byte_meets_the_byte_of_its_place(mut bytes in proptest::collection::vec(any::<u8>(), 0..100), mask: [u8; 4], cut: prop::sample::Index) {
            let expected: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
            let cut = cut.index(bytes.len() + 1);
            let (left, right) = bytes.split_at_mut(cut);
            apply_mask(left, mask);
            apply_mask(right, rotate(mask, cut));
            prop_assert_eq!(bytes, expected);
        }
    }
}
