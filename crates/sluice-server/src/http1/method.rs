//! The method of a request (RFC 9110 section 9).

/// The method of a request; the discriminant is the number that the bridge's records carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// Any other token: read it from the bytes before the target.
    #[default]
    Other = 0,
    /// GET
    Get = 1,
    /// HEAD
    Head = 2,
    /// POST
    Post = 3,
    /// PUT
    Put = 4,
    /// DELETE
    Delete = 5,
    /// PATCH
    Patch = 6,
    /// OPTIONS
    Options = 7,
}

impl Method {
    /// The method of these bytes; methods are case-sensitive.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"PATCH" => Self::Patch,
            b"OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

/// The longest method that is taken, in bytes.
pub(super) const METHOD_BYTES_MAX: usize = 32;
