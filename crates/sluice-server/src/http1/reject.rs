//! Why a request is refused.

use super::answer;

/// A reason to refuse a request, one variant per rule.
///
/// Every reason but the last four leaves the connection out of step with its client: answer with
/// [`Reject::status`] and close. [`Reject::name`] is stable; it is a metric label and the answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// More than four empty lines before the request line (RFC 9112 section 2.2).
    LeadingLines,
    /// LF without CR before it (RFC 9112 section 2.2).
    BareLf,
    /// CR without LF after it (RFC 9112 section 2.2).
    BareCr,
    /// A NUL byte (RFC 9110 section 5.5).
    Nul,
    /// A control byte other than HTAB (RFC 9110 section 5.5).
    Control,
    /// The request line is not three parts with single spaces between (RFC 9112 section 3).
    RequestLine,
    /// The method is not a token (RFC 9110 section 9.1).
    Method,
    /// The method is longer than 32 bytes (RFC 9112 section 3).
    MethodTooLong,
    /// CONNECT: this server is no proxy (RFC 9110 section 9.3.6).
    Connect,
    /// The request target has none of the forms of RFC 9112 section 3.2, or bytes that no URI has.
    Target,
    /// `*` with a method other than OPTIONS (RFC 9112 section 3.2.4).
    AsteriskForm,
    /// The request target, or a request line without end, is over its limit.
    TargetTooLong,
    /// The version is malformed (RFC 9112 section 2.3).
    MalformedVersion,
    /// A version other than HTTP/1.0 and HTTP/1.1, or the bare request line of HTTP/0.9.
    UnsupportedVersion,
    /// The head is over its limit in bytes.
    HeadTooLong,
    /// The head has more fields than its limit.
    TooManyFields,
    /// A field line that starts with a space or tab (RFC 9112 section 5.2).
    ObsFold,
    /// White space between a field name and its colon (RFC 9112 section 5.1).
    SpaceBeforeColon,
    /// A field line that starts with a colon (RFC 9110 section 5.1).
    EmptyFieldName,
    /// A field name that is not a token (RFC 9110 section 5.1).
    FieldName,
    /// A field line without a colon, or broken in another way (RFC 9112 section 5).
    FieldLine,
    /// HTTP/1.1 without Host (RFC 9112 section 3.2).
    HostMissing,
    /// More than one Host (RFC 9112 section 3.2).
    HostDuplicate,
    /// A Host that is no host and port, or an empty one where the target names none either (RFC 9112 section 3.2).
    HostInvalid,
    /// Content-Length together with Transfer-Encoding (RFC 9112 section 6.3).
    LengthAndEncoding,
    /// More than one Content-Length, equal or not (RFC 9112 section 6.3).
    LengthDuplicate,
    /// A Content-Length that is a list (RFC 9112 section 6.3).
    LengthList,
    /// A Content-Length with anything but digits, or without any (RFC 9110 section 8.6).
    LengthInvalid,
    /// A Content-Length over 2^63 - 1.
    LengthOverflow,
    /// More than one Transfer-Encoding (RFC 9112 section 6.1).
    EncodingDuplicate,
    /// A Transfer-Encoding that does not end in one `chunked` (RFC 9112 section 6.3).
    EncodingInvalid,
    /// A coding before the final `chunked` (RFC 9112 section 6.1).
    EncodingUnsupported,
    /// Transfer-Encoding in an HTTP/1.0 request (RFC 9112 section 6.1).
    EncodingOnHttp10,
    /// An Expect other than `100-continue` (RFC 9110 section 10.1.1).
    Expectation,
    /// A chunk size that is not plain hexadecimal digits (RFC 9112 section 7.1).
    ChunkSize,
    /// A chunk size of more than 16 digits, or over 2^63 - 1 (RFC 9112 section 7.1).
    ChunkSizeOverflow,
    /// Chunk extensions over 256 bytes in a chunk or 4 KiB in a body (RFC 9112 section 7.1.1).
    ChunkExtension,
    /// Chunk data not followed by CRLF (RFC 9112 section 7.1).
    ChunkEnd,
    /// Trailers over 8 KiB or 32 fields (RFC 9112 section 7.1.2).
    TrailersTooLong,
    /// The body is over its limit.
    BodyTooLarge,
    /// HTTP in clear on a port that speaks TLS.
    ClearText,
    /// The head did not arrive in time.
    HeadTimeout,
    /// The body came slower than the minimum rate.
    BodyTimeout,
    /// As many exchanges as allowed are running. The connection may live on.
    Overloaded,
    /// No worker is ready. The connection may live on.
    NoWorker,
    /// The worker died with the request in its hands. The connection may live on.
    WorkerLost,
    /// The server is stopping. The connection may live until this answer is written.
    Stopping,
}

impl Reject {
    /// Every reason, for metrics that must show a zero.
    pub const ALL: &'static [Self] = &[
        Self::LeadingLines,
        Self::BareLf,
        Self::BareCr,
        Self::Nul,
        Self::Control,
        Self::RequestLine,
        Self::Method,
        Self::MethodTooLong,
        Self::Connect,
        Self::Target,
        Self::AsteriskForm,
        Self::TargetTooLong,
        Self::MalformedVersion,
        Self::UnsupportedVersion,
        Self::HeadTooLong,
        Self::TooManyFields,
        Self::ObsFold,
        Self::SpaceBeforeColon,
        Self::EmptyFieldName,
        Self::FieldName,
        Self::FieldLine,
        Self::HostMissing,
        Self::HostDuplicate,
        Self::HostInvalid,
        Self::LengthAndEncoding,
        Self::LengthDuplicate,
        Self::LengthList,
        Self::LengthInvalid,
        Self::LengthOverflow,
        Self::EncodingDuplicate,
        Self::EncodingInvalid,
        Self::EncodingUnsupported,
        Self::EncodingOnHttp10,
        Self::Expectation,
        Self::ChunkSize,
        Self::ChunkSizeOverflow,
        Self::ChunkExtension,
        Self::ChunkEnd,
        Self::TrailersTooLong,
        Self::BodyTooLarge,
        Self::ClearText,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::Overloaded,
        Self::NoWorker,
        Self::WorkerLost,
        Self::Stopping,
    ];

    /// The status to answer with: 400, 408, 413, 414, 417, 431, 501, 503 or 505.
    pub fn status(self) -> u16 {
        match self {
            Self::HeadTimeout | Self::BodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLong | Self::TooManyFields | Self::TrailersTooLong => 431,
            Self::MethodTooLong | Self::Connect | Self::EncodingUnsupported => 501,
            Self::Overloaded | Self::NoWorker | Self::WorkerLost | Self::Stopping => 503,
            Self::UnsupportedVersion => 505,
            _ => 400,
        }
    }

    /// The reason phrase of [`Reject::status`].
    pub fn reason_phrase(self) -> &'static str {
        answer::reason_phrase(self.status())
    }

    /// A short stable name in lower case and hyphens.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeadingLines => "leading-empty-lines",
            Self::BareLf => "bare-lf",
            Self::BareCr => "bare-cr",
            Self::Nul => "nul-byte",
            Self::Control => "control-byte",
            Self::RequestLine => "bad-request-line",
            Self::Method => "bad-method",
            Self::MethodTooLong => "method-too-long",
            Self::Connect => "connect",
            Self::Target => "bad-target",
            Self::AsteriskForm => "asterisk-target",
            Self::TargetTooLong => "target-too-long",
            Self::MalformedVersion => "bad-version",
            Self::UnsupportedVersion => "unsupported-version",
            Self::HeadTooLong => "head-too-long",
            Self::TooManyFields => "too-many-fields",
            Self::ObsFold => "obs-fold",
            Self::SpaceBeforeColon => "space-before-colon",
            Self::EmptyFieldName => "empty-field-name",
            Self::FieldName => "bad-field-name",
            Self::FieldLine => "bad-field-line",
            Self::HostMissing => "missing-host",
            Self::HostDuplicate => "duplicate-host",
            Self::HostInvalid => "bad-host",
            Self::LengthAndEncoding => "conflicting-length",
            Self::LengthDuplicate => "duplicate-length",
            Self::LengthList => "listed-length",
            Self::LengthInvalid => "bad-length",
            Self::LengthOverflow => "length-overflow",
            Self::EncodingDuplicate => "duplicate-encoding",
            Self::EncodingInvalid => "bad-encoding",
            Self::EncodingUnsupported => "unsupported-encoding",
            Self::EncodingOnHttp10 => "encoding-on-http10",
            Self::Expectation => "unknown-expectation",
            Self::ChunkSize => "bad-chunk-size",
            Self::ChunkSizeOverflow => "chunk-size-overflow",
            Self::ChunkExtension => "chunk-extension-too-long",
            Self::ChunkEnd => "bad-chunk-end",
            Self::TrailersTooLong => "trailers-too-long",
            Self::BodyTooLarge => "body-too-large",
            Self::ClearText => "https-required",
            Self::HeadTimeout => "head-timeout",
            Self::BodyTimeout => "body-timeout",
            Self::Overloaded => "overloaded",
            Self::NoWorker => "no-worker",
            Self::WorkerLost => "worker-lost",
            Self::Stopping => "stopping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_its_own_name_and_a_status_with_a_phrase() {
        let names: HashSet<_> = Reject::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reject::ALL.len());
        for reason in Reject::ALL {
            assert!(!reason.reason_phrase().is_empty(), "{reason:?}");
            assert!(
                reason
                    .name()
                    .bytes()
                    .all(|byte| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit()),
                "{reason:?}"
            );
        }
    }
}
