//! What a peer did wrong.

/// A broken rule, and the Close that says so to the peer.
///
/// The connection is beyond repair: send a Close with `code` and `reason`, then end it (RFC 6455 section 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct Fault {
    /// The close code: 1002 protocol error, 1007 invalid payload, 1009 too big.
    pub code: u16,
    /// Which rule, in at most 123 bytes.
    pub reason: &'static str,
}

impl Fault {
    pub(super) const fn protocol(reason: &'static str) -> Self {
        Self { code: 1002, reason }
    }

    pub(super) const fn invalid(reason: &'static str) -> Self {
        Self { code: 1007, reason }
    }

    /// The message is longer than its limit, as declared, summed up over its fragments, or once inflated.
    pub(super) const TOO_BIG: Self = Self {
        code: 1009,
        reason: "Message too big",
    };

    /// A text message or a close reason that is not UTF-8 (RFC 6455 section 8.1).
    pub(super) const NOT_UTF8: Self = Self::invalid("Invalid UTF-8");
}
