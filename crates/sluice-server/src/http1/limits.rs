//! How large a request head may be.

/// The bounds of a request head. They protect memory and time; a head at the limit passes, one past it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, empty line included. Default and maximum 65,535 (offsets are 16 bits); answered 431.
    pub head_bytes: usize,
    /// Field lines. Default 100, maximum 256; answered 431.
    pub fields: usize,
    /// Bytes of the request target. Default 16 KiB; answered 414.
    pub target_bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes: HEAD_BYTES_MAX,
            fields: 100,
            target_bytes: 16 * 1024,
        }
    }
}

/// Offsets into a head are 16 bits.
pub(super) const HEAD_BYTES_MAX: usize = u16::MAX as usize;

/// The fields the parser has room for.
pub(super) const FIELDS_MAX: usize = 256;
