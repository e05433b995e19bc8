//! The header by which a proxy says whose connection it hands on: the PROXY protocol of HAProxy, versions 1 and 2
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sluice_core::config::ProxyVersion;

/// The longest line of version 1, its end included (2.1).
const V1_BYTES_MAX: usize = 107;
/// What version 2 begins with (2.2).
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Before the addresses of version 2.
const V2_HEAD: usize = 16;
/// The longest header that is waited for. Addresses have at most 216 bytes; the rest is for TLVs, which are skipped.
pub const HEADER_BYTES_MAX: usize = 4096;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header.
    Incomplete,
    /// A header of `len` bytes.
    Header {
        /// Where the protocol of the port begins.
        len: usize,
        /// Whose connection it is; `None` when the proxy speaks for itself, or does not know.
        client: Option<SocketAddr>,
    },
}

/// The first bytes are no such header. The connection cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a PROXY header")]
pub struct Fault;

/// Looks for a header at the beginning of `input`.
///
/// # Errors
///
/// [`Fault`] as soon as it can be no header of this version.
pub fn parse(input: &[u8], version: ProxyVersion) -> Result<Parsed, Fault> {
    match (version, input.first()) {
        (_, None) => Ok(Parsed::Incomplete),
        (ProxyVersion::V1 | ProxyVersion::Auto, Some(b'P')) => parse_v1(input),
        (ProxyVersion::V2 | ProxyVersion::Auto, Some(b'\r')) => parse_v2(input),
        _ => Err(Fault),
    }
}

fn parse_v1(input: &[u8]) -> Result<Parsed, Fault> {
    let start = b"PROXY ";
    let known = start.len().min(input.len());
    if input[..known] != start[..known] {
        return Err(Fault);
    }
    let window = &input[..input.len().min(V1_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if input.len() < V1_BYTES_MAX {
            Ok(Parsed::Incomplete)
        } else {
            Err(Fault)
        };
    };
    let line = window[..end].strip_suffix(b"\r").ok_or(Fault)?;
    let line = std::str::from_utf8(line).map_err(|_| Fault)?;
    let len = end + 1;
    let mut words = line.split(' ').skip(1);
    let client = match words.next() {
        // Whatever follows it is to be ignored.
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(client_of::<Ipv4Addr>(words)?),
        Some("TCP6") => Some(client_of::<Ipv6Addr>(words)?),
        _ => return Err(Fault),
    };
    Ok(Parsed::Header { len, client })
}

/// Source and destination, the ports of both; both have to be right, the source is what counts.
fn client_of<'a, A: std::str::FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Result<SocketAddr, Fault> {
    let mut next = || words.next().ok_or(Fault);
    let (source, destination) = (next()?, next()?);
    let (source_port, destination_port) = (next()?, next()?);
    if words.next().is_some() {
        return Err(Fault);
    }
    let address = |text: &str| text.parse::<A>().map(A::into).map_err(|_| Fault);
    let client = SocketAddr::new(address(source)?, port(source_port)?);
    address(destination)?;
    port(destination_port)?;
    Ok(client)
}

/// A number without a sign and leading zeros.
fn port(text: &str) -> Result<u16, Fault> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || (text.len() > 1 && text.starts_with('0')) {
        return Err(Fault);
    }
    text.parse().map_err(|_| Fault)
}

fn parse_v2(input: &[u8]) -> Result<Parsed, Fault> {
    let known = V2_SIGNATURE.len().min(input.len());
    if input[..known] != V2_SIGNATURE[..known] {
        return Err(Fault);
    }
    let Some(head) = input.first_chunk::<V2_HEAD>() else {
        return Ok(Parsed::Incomplete);
    };
    let (version, command, family) = (head[12] >> 4, head[12] & 0xf, head[13]);
    let rest = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let len = V2_HEAD + rest;
    if version != 2 || command > 1 || len > HEADER_BYTES_MAX {
        return Err(Fault);
    }
    // Family and transport. What is no stream cannot have come by one.
    let needed = match family {
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(Fault),
    };
    let is_local = command == 0;
    if rest < needed && !is_local {
        return Err(Fault);
    }
    if input.len() < len {
        return Ok(Parsed::Incomplete);
    }
    let body = &input[V2_HEAD..len];
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let client = match family {
        _ if is_local => None,
        0x11 => body
            .first_chunk::<4>()
            .map(|source| SocketAddr::new(Ipv4Addr::from(*source).into(), port(8))),
        0x21 => body
            .first_chunk::<16>()
            .map(|source| SocketAddr::new(Ipv6Addr::from(*source).into(), port(32))),
        _ => None,
    };
    Ok(Parsed::Header { len, client })
}

#[cfg(test)]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    fn v1(text: &str) -> Result<Parsed, Fault> {
        parse(text.as_bytes(), ProxyVersion::V1)
    }

    fn header(len: usize, client: &str) -> Result<Parsed, Fault> {
        let client = Some(client.parse().expect("it is an address"));
        Ok(Parsed::Header { len, client })
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn version_1_names_the_client_in_text() {
        assert_eq!(
            v1("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET /"),
            header(45, "192.0.2.1:56324")
        );
        assert_eq!(
            v1("PROXY TCP6 2001:db8::1 ::2 1 65535\r\n"),
            header(36, "[2001:db8::1]:1")
        );
        for text in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:: ::1 1 2\r\n"] {
            let len = text.len();
            assert_eq!(v1(text), Ok(Parsed::Header { len, client: None }));
        }
    }

    #[test]
    fn version_1_is_strict() {
        for text in [
            "PROXY",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
            "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
            "PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n",
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY \r\n",
            "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "GET / HTTP/1.1\r\n",
            "PROXX",
        ] {
            let is_prefix = "PROXY ".starts_with(text);
            let expected = if is_prefix {
                Ok(Parsed::Incomplete)
            } else {
                Err(Fault)
            };
            assert_eq!(v1(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_has_at_most_107_bytes() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(longest.len(), 107);
        assert_eq!(
            v1(&longest),
            Ok(Parsed::Header {
                len: 107,
                client: None
            })
        );
        assert_eq!(v1(&longest.replace("\r\n", "x\r\n")), Err(Fault));
        assert_eq!(v1(&longest[..106]), Ok(Parsed::Incomplete));
        assert_eq!(v1(&"PROXY ".repeat(18)), Err(Fault));
    }

    #[test]
    fn version_2_names_the_client_in_bytes_and_tlvs_are_skipped() {
        let ipv4 = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 1, 0xbb];
        assert_eq!(
            parse(&v2(0x21, 0x11, &ipv4), ProxyVersion::V2),
            header(28, "192.0.2.1:56324")
        );
        let tlv = [&ipv4[..], &[4, 0, 1, 9]].concat();
        let bytes = [v2(0x21, 0x11, &tlv), b"GET".to_vec()].concat();
        assert_eq!(
            parse(&bytes, ProxyVersion::Auto),
            header(32, "192.0.2.1:56324")
        );
        let mut ipv6 = [0; 36];
        ipv6[..2].copy_from_slice(&[0x20, 1]);
        ipv6[33] = 7;
        assert_eq!(
            parse(&v2(0x21, 0x21, &ipv6), ProxyVersion::V2),
            header(52, "[2001::]:7")
        );
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_nobody() {
        for bytes in [
            v2(0x20, 0x00, &[]),
            v2(0x20, 0x11, &[]),
            v2(0x20, 0x11, &[1; 12]),
            v2(0x21, 0x00, &[9; 5]),
            v2(0x21, 0x31, &[1; 216]),
        ] {
            let len = bytes.len();
            assert_eq!(
                parse(&bytes, ProxyVersion::V2),
                Ok(Parsed::Header { len, client: None })
            );
        }
    }

    #[test]
    fn version_2_is_strict() {
        for bytes in [
            v2(0x11, 0x11, &[1; 12]),
            v2(0x22, 0x11, &[1; 12]),
            v2(0x21, 0x12, &[1; 12]),
            v2(0x21, 0x41, &[1; 12]),
            v2(0x21, 0x11, &[1; 11]),
            v2(0x21, 0x21, &[1; 35]),
            v2(0x21, 0x31, &[1; 215]),
            v2(0x21, 0x00, &[0; HEADER_BYTES_MAX - V2_HEAD + 1]),
        ] {
            assert_eq!(parse(&bytes, ProxyVersion::V2), Err(Fault), "{bytes:?}");
        }
        let longest = v2(0x21, 0x00, &[0; HEADER_BYTES_MAX - V2_HEAD]);
        assert!(matches!(
            parse(&longest, ProxyVersion::V2),
            Ok(Parsed::Header {
                len: HEADER_BYTES_MAX,
                ..
            })
        ));
    }

    #[test]
    fn the_other_version_is_a_fault_unless_both_are_taken() {
        let (one, two) = (b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, &[]));
        assert_eq!(parse(&one, ProxyVersion::V2), Err(Fault));
        assert_eq!(parse(&two, ProxyVersion::V1), Err(Fault));
        for bytes in [one, two] {
            assert!(matches!(
                parse(&bytes, ProxyVersion::Auto),
                Ok(Parsed::Header { .. })
            ));
            assert_eq!(parse(&[], ProxyVersion::Auto), Ok(Parsed::Incomplete));
        }
    }
}
