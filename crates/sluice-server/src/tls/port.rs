//! The certificates of a port, now and after a renewal.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, Ticketer};
use rustls::server::ProducesTickets;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use sluice_core::config::{TlsConfig, TlsVersion};

use super::client_auth::ClientAuth;
use super::fault::TlsFault;
use super::identity;
use super::names::Names;
use super::pem::Pem;
use super::stream::TlsStream;
use crate::stream::Stream;

/// What the ports with TLS have in common with their connections: the certificates that new ones get.
pub(crate) struct TlsPort {
    config: TlsConfig,
    provider: Arc<CryptoProvider>,
    /// Kept over renewals, so that clients can resume their sessions.
    tickets: Arc<dyn ProducesTickets>,
    current: ArcSwap<Current>,
}

struct Current {
    server: Arc<ServerConfig>,
    client_auth: Option<Arc<ClientAuth>>,
}

/// A successful renewal: sentences about certificates that are used although something is wrong with them.
pub(crate) type Renewed = Vec<String>;

const TLS13_ONLY: &[&SupportedProtocolVersion] = &[&TLS13];
const TLS12_AND_13: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

impl TlsPort {
    /// Reads every certificate and key.
    pub(crate) fn new(config: &TlsConfig) -> Result<(Self, Renewed), TlsFault> {
        let provider = Arc::new(ring::default_provider());
        let tickets = tickets(&config.option)?;
        let (current, warnings) = read(config, &provider, &tickets)?;
        let port = Self {
            config: config.clone(),
            provider,
            tickets,
            current: ArcSwap::from_pointee(current),
        };
        Ok((port, warnings))
    }

    /// Reads everything again, for connections to come. On a fault all stays as it is.
    pub(crate) fn renew(&self) -> Result<Renewed, TlsFault> {
        // A session that an authority stood behind must not outlive it by a ticket.
        let tickets = if self.config.request_cert {
            tickets(&self.config.option)?
        } else {
            Arc::clone(&self.tickets)
        };
        let (current, warnings) = read(&self.config, &self.provider, &tickets)?;
        self.current.store(Arc::new(current));
        Ok(warnings)
    }

    pub(crate) fn config(&self) -> &TlsConfig {
        &self.config
    }

    /// Begins the handshake on a socket that was just accepted. Nothing is read or written yet.
    pub(crate) fn wrap(&self, socket: Stream) -> Result<TlsStream, rustls::Error> {
        let current = self.current.load();
        TlsStream::new(
            socket,
            Arc::clone(&current.server),
            current.client_auth.clone(),
        )
    }
}

fn read(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<(Current, Renewed), TlsFault> {
    let option = &config.option;
    let mut warnings = Vec::new();
    let default = identity::load(&config.cert, &config.key, option, provider)?;
    warnings.extend(default.warning);
    let mut names = Names::new(default.key);
    for (name, named) in &config.sni {
        let option = format!("{option}.sni[\"{name}\"]");
        let identity = identity::load(&named.cert, &named.key, &option, provider)?;
        warnings.extend(identity.warning);
        if !names.insert(name, identity.key) {
            return Err(TlsFault::ServerName { option });
        }
    }
    let ca = config
        .ca
        .as_ref()
        .map(|ca| Pem::read(ca, format!("{option}.ca")))
        .transpose()?;
    let client_auth = match (config.request_cert, &ca) {
        (true, ca) => Some(Arc::new(ClientAuth::new(
            ca.as_ref(),
            config.reject_unauthorized,
            option,
            provider,
        )?)),
        (false, Some(ca)) => {
            return Err(TlsFault::ClientAuth {
                option: ca.option().to_owned(),
                needs: "needs `requestCert: true`: nobody is asked for a certificate without it",
            });
        }
        (false, None) => None,
    };
    let refused = |error: rustls::Error| TlsFault::Refused {
        option: option.clone(),
        reason: error.to_string(),
    };
    let versions = match config.min_version {
        TlsVersion::V1_2 => TLS12_AND_13,
        TlsVersion::V1_3 => TLS13_ONLY,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)
        .map_err(refused)?;
    let builder = match &client_auth {
        Some(client_auth) => {
            let client_auth = Arc::clone(client_auth);
            builder.with_client_cert_verifier(client_auth)
        }
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_cert_resolver(Arc::new(names));
    server.ticketer = Arc::clone(tickets);
    server.alpn_protocols = config
        .alpn
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    let current = Current {
        server: Arc::new(server),
        client_auth,
    };
    Ok((current, warnings))
}

/// Tickets of which this process has the keys; these change every six hours.
fn tickets(option: &str) -> Result<Arc<dyn ProducesTickets>, TlsFault> {
    Ticketer::new().map_err(|error| TlsFault::Refused {
        option: option.to_owned(),
        reason: error.to_string(),
    })
}
