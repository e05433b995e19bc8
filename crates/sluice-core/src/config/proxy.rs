//! The `proxy` of a port: which peers speak for others, and how they say for whom.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Peers in front of us. Default: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// Whom to believe: at most 1024.
    pub trust: Vec<Trusted>,
    /// In which fields of a request they name the client. Not read by the core, but by whoever asks for it.
    pub headers: ForwardedHeaders,
    /// Their connections begin with a PROXY header of this version. `None` (default): with none.
    pub protocol: Option<ProxyVersion>,
}

/// A peer, or many.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Trusted {
    /// Addresses: `10.0.0.0/8`, `::1`.
    Net(IpNet),
    /// `unix`: whoever may connect to a unix socket.
    Unix,
}

/// The fields that name the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeaders {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, `-Port`.
    #[default]
    XForwarded,
    /// `X-Real-IP`, `X-Real-Port`, `Scheme`.
    XReal,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// The binary header.
    V2,
    /// One of both; its first byte tells.
    Auto,
}

impl ProxyConfig {
    /// Whether this peer may speak for others; `None` is one on a unix socket.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        // A dual-stack socket shows IPv4 peers in IPv6's clothes.
        let peer = peer.map(|address| address.to_canonical());
        self.trust.iter().any(|trusted| match (trusted, &peer) {
            (Trusted::Net(net), Some(address)) => net.contains(address),
            (Trusted::Unix, None) => true,
            (Trusted::Net(_), None) | (Trusted::Unix, Some(_)) => false,
        })
    }
}

impl TryFrom<String> for Trusted {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let net = text.parse::<IpNet>().ok();
        net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
            .map(Self::Net)
            .ok_or_else(|| {
                format!("must be an IP address, a range such as \"10.0.0.0/8\" or \"unix\", got {text:?}")
            })
    }
}

impl From<Trusted> for String {
    fn from(trusted: Trusted) -> Self {
        match trusted {
            Trusted::Net(net) => net.to_string(),
            Trusted::Unix => "unix".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trusts(trust: &[&str], peer: Option<&str>) -> bool {
        let config: ProxyConfig =
            serde_json::from_value(json!({ "trust": trust })).expect("they are addresses");
        config.trusts(peer.map(|peer| peer.parse().expect("it is an address")))
    }

    #[test]
    fn a_peer_is_trusted_by_address_by_range_or_as_unix() {
        assert!(trusts(&["10.0.0.0/8"], Some("10.255.0.1")));
        assert!(!trusts(&["10.0.0.0/8"], Some("11.0.0.1")));
        assert!(trusts(&["127.0.0.1/8"], Some("127.9.9.9")));
        assert!(trusts(&["::1", "192.0.2.7"], Some("192.0.2.7")));
        assert!(trusts(&["fd00::/8"], Some("fd12::1")));
        assert!(!trusts(&["fd00::/8"], Some("fe80::1")));
        assert!(trusts(&["10.0.0.0/8"], Some("::ffff:10.0.0.1")));
        assert!(trusts(&["0.0.0.0/0", "::/0"], Some("2001:db8::1")));
        assert!(trusts(&["unix"], None) && !trusts(&["unix"], Some("127.0.0.1")));
        assert!(!trusts(&["0.0.0.0/0"], None) && !trusts(&[], None) && !trusts(&[], Some("::1")));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "localhost",
            "10.0.0.0/33",
            "10.0.0",
            "::1/129",
            "10.0.0.1/",
            "1.2.3.4:80",
            "UNIX",
        ] {
            let parsed = serde_json::from_value::<ProxyConfig>(json!({ "trust": [text] }));
            assert!(parsed.is_err(), "{text}");
        }
    }
}
