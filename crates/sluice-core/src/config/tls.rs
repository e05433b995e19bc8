//! The `tls` of a port: which certificates it shows and what it asks of clients. Nothing is read here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// TLS on a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsConfig {
    /// Where the user wrote this, as `ports.chat.tls`; messages begin with it. 1 to 256 bytes.
    pub option: String,
    /// The certificate for clients that name no server, or one that is not in `sni`, followed by its intermediates.
    pub cert: PemSource,
    /// Its private key: PKCS#8, SEC1 or PKCS#1.
    pub key: PemSource,
    /// The authorities whose certificates clients may show. Needs `request_cert`.
    #[serde(default)]
    pub ca: Option<PemSource>,
    /// Ask clients for a certificate. Default false.
    #[serde(default)]
    pub request_cert: bool,
    /// With `request_cert`: refuse clients that show none, or one that `ca` has not signed. Default true.
    #[serde(default = "yes")]
    pub reject_unauthorized: bool,
    /// The oldest version spoken. Default TLS 1.2.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Application protocols, the preferred one first; at most 16 of 1 to 255 bytes. Empty (default): none is negotiated.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// Certificates by the name that the client asks for: `example.com`, or `*.example.com` for one label more. At most
    /// 1024.
    #[serde(default)]
    pub sni: BTreeMap<String, IdentityConfig>,
    /// Read the files again when they change. Default true.
    #[serde(default = "yes")]
    pub watch: bool,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityConfig {
    /// The certificate, followed by its intermediates.
    pub cert: PemSource,
    /// The private key: PKCS#8, SEC1 or PKCS#1.
    pub key: PemSource,
}

/// Where PEM text is.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PemSource {
    /// In a file, which is read again when it changes.
    File(PathBuf),
    /// Here.
    Text(String),
}

/// A key is not for logs.
impl std::fmt::Debug for PemSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text(…)"),
        }
    }
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[serde(rename = "TLSv1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "TLSv1.3")]
    V1_3,
}

impl TlsConfig {
    /// Every file that is named.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert, &self.key]
            .into_iter()
            .chain(
                self.sni
                    .values()
                    .flat_map(|named| [&named.cert, &named.key]),
            )
            .chain(&self.ca)
            .filter_map(|source| match source {
                PemSource::File(path) => Some(path),
                PemSource::Text(_) => None,
            })
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(value: Value) -> Result<TlsConfig, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let config =
            parse(json!({ "option": "tls", "cert": { "file": "/c" }, "key": { "text": "k" } }))
                .expect("nothing else is needed");
        assert!(!config.request_cert && config.reject_unauthorized && config.watch);
        assert_eq!(config.min_version, TlsVersion::V1_2);
        assert_eq!(config.files().collect::<Vec<_>>(), [&PathBuf::from("/c")]);
        assert_eq!(format!("{:?}", config.key), "Text(…)");
    }

    #[test]
    fn an_unknown_version_or_source_is_an_error() {
        let with = |key: &str, value: Value| {
            let mut config =
                json!({ "option": "tls", "cert": { "file": "/c" }, "key": { "text": "k" } });
            config[key] = value;
            parse(config)
        };
        assert!(with("minVersion", json!("TLSv1.3")).is_ok());
        assert!(with("minVersion", json!("TLSv1.1")).is_err());
        assert!(with("cert", json!({ "url": "x" })).is_err());
        assert!(with("sni", json!({ "a": { "cert": { "text": "c" } } })).is_err());
    }
}
