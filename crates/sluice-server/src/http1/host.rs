//! `host [":" port]` as RFC 9110 section 7.2 and RFC 3986 section 3.2.2 spell it.

use std::net::Ipv6Addr;

/// Whether `value` is a host, with or without a port, and the host is not empty.
///
/// No user information, no IPv6 zone, no IPvFuture: nothing that is behind a Host field has one.
pub(super) fn is_authority(value: &[u8]) -> bool {
    if let Some(rest) = value.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|&byte| byte == b']') else {
            return false;
        };
        let (address, after) = (&rest[..end], &rest[end + 1..]);
        let is_address = str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
        return is_address && (after.is_empty() || after.strip_prefix(b":").is_some_and(is_port));
    }
    let (host, port) = match value.iter().position(|&byte| byte == b':') {
        Some(colon) => (&value[..colon], &value[colon + 1..]),
        None => (value, &b""[..]),
    };
    !host.is_empty() && is_name(host) && is_port(port)
}

/// A registered name or an IPv4 address.
fn is_name(host: &[u8]) -> bool {
    if host.iter().all(|&byte| is_name_byte(byte)) {
        return true;
    }
    let mut rest = host;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                after
            }
            _ if is_name_byte(byte) => after,
            _ => return false,
        };
    }
    true
}

/// Unreserved and sub-delims of RFC 3986.
fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[usize::from(byte)]
}

/// A table, because every request has a Host.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// An empty port is allowed by RFC 3986 section 3.2.3 and means the default.
fn is_port(port: &[u8]) -> bool {
    port.is_empty()
        || (port.len() <= 5
            && port.iter().all(u8::is_ascii_digit)
            && port
                .iter()
                .fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
                <= 65_535)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_port_are_taken() {
        for value in [
            "a",
            "localhost",
            "example.com",
            "example.com:",
            "example.com:0",
            "example.com:65535",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "[2001:db8::7]:",
            "[::ffff:192.0.2.1]",
            "a_b",
            "xn--bcher-kva.example",
            "a%2Db",
            "a,b",
        ] {
            assert!(is_authority(value.as_bytes()), "{value:?}");
        }
    }

    #[test]
    fn anything_else_is_not_a_host() {
        for value in [
            "",
            ":",
            ":80",
            "a:65536",
            "a:123456",
            "a:8x",
            "a:-1",
            "a:+1",
            "a: 1",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a@b",
            "user:pw@a",
            "http://a",
            "[::1",
            "[]",
            "[::1]80",
            "[::1]:x",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "[127.0.0.1]",
            "::1",
            "a%",
            "a%2",
            "a%zz",
            "a\\b",
            "a\"b",
            "<a>",
            "b\u{fc}cher",
            "a:80:80",
        ] {
            assert!(!is_authority(value.as_bytes()), "{value:?}");
        }
    }
}
