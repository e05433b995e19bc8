//! Certificates that clients show.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::fault::TlsFault;
use super::pem::Pem;

/// Checks what clients show, and lets in whom the port wants.
#[derive(Debug)]
pub(super) struct ClientAuth {
    /// `None` without authorities: then nobody is authorized.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Whoever is not authorized is refused.
    is_strict: bool,
    provider: Arc<CryptoProvider>,
}

impl ClientAuth {
    /// `option`: that of the port, as `ports.chat.tls`.
    pub(super) fn new(
        ca: Option<&Pem>,
        is_strict: bool,
        option: &str,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsFault> {
        let verifier = match ca {
            Some(ca) => Some(verifier(ca, provider)?),
            None if is_strict => {
                return Err(TlsFault::ClientAuth {
                    option: format!("{option}.requestCert"),
                    needs: "needs `ca`, the authorities of the clients, unless `rejectUnauthorized` is false",
                });
            }
            None => None,
        };
        Ok(Self {
            verifier,
            is_strict,
            provider: Arc::clone(provider),
        })
    }

    /// Whether an authority stands behind the certificate that a client has shown.
    pub(super) fn is_authorized(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return false;
        };
        self.verifier.as_ref().is_some_and(|verifier| {
            verifier
                .verify_client_cert(end_entity, intermediates, UnixTime::now())
                .is_ok()
        })
    }
}

fn verifier(
    ca: &Pem,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in ca.certificates()? {
        roots
            .add(certificate)
            .map_err(|error| ca.unusable(&error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| ca.unusable(&Error::General(error.to_string())))
}

impl ClientCertVerifier for ClientAuth {
    fn client_auth_mandatory(&self) -> bool {
        self.is_strict
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.verifier {
            Some(verifier) => verifier.root_hint_subjects(),
            None => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.verifier {
            Some(verifier) if self.is_strict => {
                verifier.verify_client_cert(end_entity, intermediates, now)
            }
            // The application asks for it and decides; `authorized` tells it.
            _ => Ok(ClientCertVerified::assertion()),
        }
    }

    // Whoever shows a certificate has to prove that it is theirs, whatever the authorities say of it.

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
