//! Reading PEM from options and files.

use std::fs::File;
use std::io::Read;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sluice_core::config::PemSource;

use super::fault::TlsFault;

/// Largest file that is read. The bundle of all public authorities has about 220 KB.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// PEM text with where it came from.
pub(super) struct Pem {
    option: String,
    place: String,
    text: Vec<u8>,
}

impl Pem {
    /// Reads the file, or takes the text that is given.
    pub(super) fn read(source: &PemSource, option: String) -> Result<Self, TlsFault> {
        let path = match source {
            PemSource::Text(text) => {
                let (place, text) = ("the text".to_owned(), text.as_bytes().to_vec());
                return Ok(Self {
                    option,
                    place,
                    text,
                });
            }
            PemSource::File(path) => path,
        };
        let mut text = Vec::new();
        // One byte more than allowed tells a file that is too large. A size from stat(2) could be outdated.
        let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut text));
        match read {
            Err(source) => Err(TlsFault::Unreadable {
                option,
                path: path.clone(),
                source,
            }),
            Ok(count) if count as u64 > FILE_MAX => Err(TlsFault::TooLarge {
                option,
                path: path.clone(),
                limit: FILE_MAX,
            }),
            Ok(_) => Ok(Self {
                place: format!("\"{}\"", path.display()),
                option,
                text,
            }),
        }
    }

    pub(super) fn option(&self) -> &str {
        &self.option
    }

    /// All certificates, in their order; at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
        let certificates = CertificateDer::pem_slice_iter(&self.text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.not_pem(&error))?;
        if certificates.is_empty() {
            let (option, place) = self.names();
            return Err(TlsFault::NoCertificate { option, place });
        }
        Ok(certificates)
    }

    /// The first private key.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsFault> {
        let (option, place) = self.names();
        // PKCS#8, and the header of traditional keys (RFC 1421, 4.6.1.1).
        let is_encrypted = [
            &b"BEGIN ENCRYPTED PRIVATE KEY"[..],
            b"Proc-Type: 4,ENCRYPTED",
        ]
        .iter()
        .any(|mark| memchr::memmem::find(&self.text, mark).is_some());
        match PrivateKeyDer::from_pem_slice(&self.text) {
            Ok(key) => Ok(key),
            Err(_) if is_encrypted => Err(TlsFault::EncryptedKey { option, place }),
            Err(rustls::pki_types::pem::Error::NoItemsFound) => {
                Err(TlsFault::NoKey { option, place })
            }
            Err(error) => Err(self.not_pem(&error)),
        }
    }

    /// A fault of what was read.
    pub(super) fn unusable(&self, reason: &rustls::Error) -> TlsFault {
        let (option, place) = self.names();
        TlsFault::Unusable {
            option,
            place,
            reason: reason.to_string(),
        }
    }

    fn not_pem(&self, error: &rustls::pki_types::pem::Error) -> TlsFault {
        let (option, place) = self.names();
        TlsFault::NotPem {
            option,
            place,
            reason: error.to_string(),
        }
    }

    fn names(&self) -> (String, String) {
        (self.option.clone(), self.place.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Pem {
        Pem::read(&PemSource::Text(text.to_owned()), "tls.key".to_owned()).expect("it is here")
    }

    #[test]
    fn what_is_not_there_is_said_with_the_option() {
        let message = |fault: TlsFault| fault.to_string();
        assert_eq!(
            text("hello").key().map_err(message).err().as_deref(),
            Some("tls.key: no private key found in the text")
        );
        assert_eq!(
            text("").certificates().map_err(message).err().as_deref(),
            Some("tls.key: no certificate found in the text")
        );
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let message = text(encrypted)
            .key()
            .map_err(message)
            .err()
            .unwrap_or_default();
        assert!(
            message.starts_with("tls.key: the private key in the text is encrypted"),
            "{message}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let path = std::env::temp_dir().join("sluice-no-such-file.pem");
        let fault = Pem::read(&PemSource::File(path), "tls.cert".to_owned())
            .err()
            .map(|fault| fault.to_string());
        let message = fault.unwrap_or_default();
        assert!(
            message.starts_with("tls.cert: cannot read \"")
                && message.contains("sluice-no-such-file.pem"),
            "{message}"
        );
    }

    #[test]
    fn a_cut_pem_is_told_from_an_empty_one() {
        let message = text("-----BEGIN PRIVATE KEY-----\nMIIB\n")
            .key()
            .err()
            .map(|fault| fault.to_string());
        assert!(
            message
                .is_some_and(|message| message.starts_with("tls.key: the text is not valid PEM"))
        );
    }
}
