//! The TLS of our servers: TLS 1.3 and a certificate from the mesh's own CA; for the xDS port `xds.tulle.internal` and HTTP/2.
//!
//! The certificate is renewed at half its life when a handshake asks for it, so there is no task to die and no file to
//! watch. Clients prove themselves with a token inside (see `authenticator`), not with a certificate: they have none yet.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::ca::{CaError, CertificateAuthority};

/// The name that proxies expect in the certificate of the xDS port.
pub const XDS_SERVER_NAME: &str = "xds.tulle.internal";

/// The configuration of the xDS port.
pub fn server_config(ca: Arc<CertificateAuthority>, lifetime: Duration) -> Result<rustls::ServerConfig, CaError> {
    server_config_for(ca, lifetime, &[XDS_SERVER_NAME.to_owned()], &[b"h2"])
}

/// The configuration of another server of ours, by its DNS names and protocols.
pub fn server_config_for(
    ca: Arc<CertificateAuthority>,
    lifetime: Duration,
    names: &[String],
    protocols: &[&[u8]],
) -> Result<rustls::ServerConfig, CaError> {
    let resolver = RotatingCertificate::for_names(ca, names, lifetime, Arc::new(SystemTime::now))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| CaError::Crypto(e.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

struct Current {
    key: Arc<CertifiedKey>,
    renew_at: SystemTime,
}

/// A server certificate that renews itself.
pub struct RotatingCertificate {
    ca: Arc<CertificateAuthority>,
    names: Vec<String>,
    lifetime: Duration,
    clock: Clock,
    current: Mutex<Current>,
}

impl std::fmt::Debug for RotatingCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RotatingCertificate")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

impl RotatingCertificate {
    /// Issues the first certificate of the xDS port.
    pub fn new(ca: Arc<CertificateAuthority>, lifetime: Duration, clock: Clock) -> Result<Self, CaError> {
        Self::for_names(ca, &[XDS_SERVER_NAME.to_owned()], lifetime, clock)
    }

    /// Issues the first certificate of a server of ours.
    pub fn for_names(
        ca: Arc<CertificateAuthority>,
        names: &[String],
        lifetime: Duration,
        clock: Clock,
    ) -> Result<Self, CaError> {
        let current = Mutex::new(issue(&ca, names, lifetime, clock())?);
        Ok(Self {
            ca,
            names: names.to_vec(),
            lifetime,
            clock,
            current,
        })
    }

    /// The certificate for a handshake now.
    pub fn certificate(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.clock)();
        if now >= current.renew_at {
            match issue(&self.ca, &self.names, self.lifetime, now) {
                Ok(renewed) => *current = renewed,
                // The old one is good for as long again: say so and go on with it.
                Err(error) => tracing::error!(%error, names = ?self.names, "cannot renew the certificate of a server"),
            }
        }
        Arc::clone(&current.key)
    }
}

impl ResolvesServerCert for RotatingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certificate())
    }
}

fn issue(ca: &CertificateAuthority, names: &[String], lifetime: Duration, now: SystemTime) -> Result<Current, CaError> {
    let leaf = ca.issue_server(names, lifetime, now)?;
    let pem = |e: rustls_pki_types::pem::Error| CaError::Crypto(e.to_string());
    let chain = CertificateDer::pem_slice_iter(leaf.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem)?;
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).map_err(pem)?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|e| CaError::Crypto(e.to_string()))?;
    Ok(Current {
        key: Arc::new(CertifiedKey::new(chain, key)),
        renew_at: now + lifetime / 2,
    })
}
