//! What can be wrong with certificates, keys and the options that name them.

use std::io;
use std::path::PathBuf;

/// Why the certificates of a port cannot be used. `option` is where the user named them, as `ports.chat.tls.key`.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The file cannot be read.
    #[error("{option}: cannot read \"{}\": {source}", path.display())]
    Unreadable {
        /// The option that names the file.
        option: String,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is larger than any certificate.
    #[error("{option}: \"{}\" is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The option that names the file.
        option: String,
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// There is a `-----BEGIN` without a proper end, or what is between them is not base64.
    #[error("{option}: {place} is not valid PEM: {reason}")]
    NotPem {
        /// The option.
        option: String,
        /// The file, or "the text".
        place: String,
        /// What the reader says.
        reason: String,
    },
    /// No `CERTIFICATE` in it.
    #[error("{option}: no certificate found in {place}")]
    NoCertificate {
        /// The option.
        option: String,
        /// The file, or "the text".
        place: String,
    },
    /// No private key in it.
    #[error("{option}: no private key found in {place}")]
    NoKey {
        /// The option.
        option: String,
        /// The file, or "the text".
        place: String,
    },
    /// The key needs a passphrase, and there is nobody to ask.
    #[error(
        "{option}: the private key in {place} is encrypted; decrypt it first (openssl pkey -in … -out …)"
    )]
    EncryptedKey {
        /// The option.
        option: String,
        /// The file, or "the text".
        place: String,
    },
    /// It cannot be parsed, or is of a kind that nobody speaks.
    #[error("{option}: {place} cannot be used: {reason}")]
    Unusable {
        /// The option.
        option: String,
        /// The file, or "the text".
        place: String,
        /// What the library says.
        reason: String,
    },
    /// Key and certificate are not a pair.
    #[error("{option}: the key does not belong to the certificate of {cert_option}")]
    KeyMismatch {
        /// The option of the key.
        option: String,
        /// The option of the certificate.
        cert_option: String,
    },
    /// A name in `sni` that no client can ask for.
    #[error("{option} must be a host name such as \"example.com\" or \"*.example.com\"")]
    ServerName {
        /// The option with the name.
        option: String,
    },
    /// `requestCert` without `ca` would refuse everybody, `ca` without it would ask nobody.
    #[error("{option} {needs}")]
    ClientAuth {
        /// The option.
        option: String,
        /// What it needs.
        needs: &'static str,
    },
    /// The library refuses what the options ask for together.
    #[error("{option} cannot be used: {reason}")]
    Refused {
        /// The option.
        option: String,
        /// What the library says.
        reason: String,
    },
}
