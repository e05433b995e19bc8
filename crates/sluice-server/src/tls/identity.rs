//! A certificate with its key, checked before a client sees it.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};
use sluice_core::config::PemSource;

use super::fault::TlsFault;
use super::pem::Pem;

/// What clients get to see, and what is noteworthy about it.
pub(super) struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    /// A sentence for the log: the certificate is not valid at this time. It is used all the same, as a server that does
    /// not start helps nobody.
    pub(super) warning: Option<String>,
}

/// Reads certificate and key; `option` is the object that holds both, as `ports.chat.tls`.
pub(super) fn load(
    cert: &PemSource,
    key: &PemSource,
    option: &str,
    provider: &CryptoProvider,
) -> Result<Identity, TlsFault> {
    let cert = Pem::read(cert, format!("{option}.cert"))?;
    let chain = cert.certificates()?;
    let key = Pem::read(key, format!("{option}.key"))?;
    let signing = provider
        .key_provider
        .load_private_key(key.key()?)
        .map_err(|error| key.unusable(&error))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => {
            return Err(TlsFault::KeyMismatch {
                option: key.option().to_owned(),
                cert_option: cert.option().to_owned(),
            });
        }
        Err(error) => return Err(cert.unusable(&error)),
    }
    let warning = certified
        .end_entity_cert()
        .ok()
        .and_then(|end| untimely(end, provider))
        .map(|what| format!("{}: the certificate {what}", cert.option()));
    Ok(Identity {
        key: Arc::new(certified),
        warning,
    })
}

/// Why a certificate is not valid now, if it is not. The check of a chain looks at the time first, so that one without any
/// authority tells.
fn untimely(cert: &CertificateDer<'_>, provider: &CryptoProvider) -> Option<String> {
    let parsed = ParsedCertificate::try_from(cert).ok()?;
    let checked = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        &[],
        UnixTime::now(),
        provider.signature_verification_algorithms.all,
    );
    let date = |time: UnixTime| {
        let at = std::time::UNIX_EPOCH + Duration::from_secs(time.as_secs());
        httpdate::fmt_http_date(at)
    };
    match checked {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(format!("has expired on {}", date(not_after)))
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before, ..
        })) => Some(format!("is not valid before {}", date(not_before))),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rustls::crypto::ring;

    use super::*;

    /// A certificate for this name.
    pub(crate) fn self_signed(name: &str) -> Arc<CertifiedKey> {
        let (cert, key) = pem(|_| {}, name);
        loaded(&cert, &key).expect("they are a pair").key
    }

    fn pem(change: impl FnOnce(&mut CertificateParams), name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("there is randomness");
        let mut params = CertificateParams::new([name.to_owned()]).expect("it is a name");
        change(&mut params);
        let cert = params.self_signed(&key).expect("the key is its own");
        (cert.pem(), key.serialize_pem())
    }

    fn loaded(cert: &str, key: &str) -> Result<Identity, String> {
        let source = |text: &str| PemSource::Text(text.to_owned());
        let provider = ring::default_provider();
        load(&source(cert), &source(key), "ports.chat.tls", &provider)
            .map_err(|fault| fault.to_string())
    }

    fn fault(cert: &str, key: &str) -> String {
        loaded(cert, key).err().unwrap_or_default()
    }

    #[test]
    fn a_pair_is_taken_without_a_warning() {
        let (cert, key) = pem(|_| {}, "a.test");
        let identity = loaded(&cert, &key).expect("they are a pair");
        assert_eq!(identity.warning, None);
    }

    #[test]
    fn a_certificate_out_of_its_time_is_taken_with_a_warning() {
        let (cert, key) = pem(
            |params| {
                params.not_before = date_time_ymd(2001, 2, 3);
                params.not_after = date_time_ymd(2002, 3, 4);
            },
            "a.test",
        );
        let identity = loaded(&cert, &key).expect("it is a pair all the same");
        assert_eq!(
            identity.warning.as_deref(),
            Some(
                "ports.chat.tls.cert: the certificate has expired on Mon, 04 Mar 2002 00:00:00 GMT"
            )
        );
        let (cert, key) = pem(
            |params| params.not_before = date_time_ymd(3000, 1, 1),
            "a.test",
        );
        let identity = loaded(&cert, &key).expect("it is a pair all the same");
        assert!(
            identity
                .warning
                .is_some_and(|warning| warning.contains("is not valid before Wed, 01 Jan 3000"))
        );
    }

    #[test]
    fn the_key_of_another_certificate_is_refused() {
        let ((cert, _), (_, key)) = (pem(|_| {}, "a.test"), pem(|_| {}, "a.test"));
        assert_eq!(
            fault(&cert, &key),
            "ports.chat.tls.key: the key does not belong to the certificate of ports.chat.tls.cert"
        );
    }

    #[test]
    fn certificate_and_key_in_each_others_place_are_named() {
        let (cert, key) = pem(|_| {}, "a.test");
        assert_eq!(
            fault(&key, &key),
            "ports.chat.tls.cert: no certificate found in the text"
        );
        assert_eq!(
            fault(&cert, &cert),
            "ports.chat.tls.key: no private key found in the text"
        );
    }

    #[test]
    fn what_is_no_certificate_inside_its_armour_is_refused() {
        let (_, key) = pem(|_| {}, "a.test");
        let cert = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        let message = fault(cert, &key);
        assert!(
            message.starts_with("ports.chat.tls.cert: the text cannot be used: "),
            "{message}"
        );
        let key = "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n";
        let (cert, _) = pem(|_| {}, "a.test");
        let message = fault(&cert, key);
        assert!(
            message.starts_with("ports.chat.tls.key: the text cannot be used: "),
            "{message}"
        );
    }
}
