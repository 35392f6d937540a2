//! How replicas prove to each other that they are replicas: certificates of the mesh's own CA, of both sides.
//!
//! Every workload has a certificate of that CA too, so the name decides: a leaf of a workload holds one URI and no DNS name, and
//! nobody but who has the CA's key gets [`NAME`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;

use crate::identity::server_tls::RotatingCertificate;
use crate::identity::{CaError, CertificateAuthority};

/// What a replica is called.
pub(super) const NAME: &str = "replica.tulle.internal";
/// Of a certificate. It is looked at when a connection begins.
const LIFETIME: Duration = Duration::from_hours(24);

/// The listening side.
pub(super) fn server(ca: &Arc<CertificateAuthority>) -> Result<rustls::ServerConfig, CaError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), Arc::clone(&provider))
        .build()
        .map_err(crypto)?;
    let own = RotatingCertificate::for_names(Arc::clone(ca), &[NAME.to_owned()], LIFETIME, Arc::new(SystemTime::now))?;
    let config = builder(provider, rustls::ServerConfig::builder_with_provider)?
        .with_client_cert_verifier(Arc::new(ReplicasOnly(verifier)))
        .with_cert_resolver(Arc::new(own));
    Ok(config)
}

/// The side that connects, with a new certificate.
pub(super) fn client(ca: &CertificateAuthority, now: SystemTime) -> Result<rustls::ClientConfig, CaError> {
    let leaf = ca.issue_peer(NAME, LIFETIME, now)?;
    let chain = CertificateDer::pem_slice_iter(leaf.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(crypto)?;
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).map_err(crypto)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    builder(provider, rustls::ClientConfig::builder_with_provider)?
        .with_root_certificates(roots(ca)?)
        .with_client_auth_cert(chain, key)
        .map_err(crypto)
}

/// A client with another certificate, or none.
#[cfg(test)]
pub(super) fn test_client(ca: &CertificateAuthority, leaf: Option<&crate::identity::Leaf>) -> rustls::ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = builder(provider, rustls::ClientConfig::builder_with_provider)
        .unwrap()
        .with_root_certificates(roots(ca).unwrap());
    let Some(leaf) = leaf else {
        return builder.with_no_client_auth();
    };
    let chain = CertificateDer::pem_slice_iter(leaf.chain_pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
    builder
        .with_client_auth_cert(chain.collect::<Result<_, _>>().unwrap(), key)
        .unwrap()
}

fn builder<S: rustls::ConfigSide>(
    provider: Arc<CryptoProvider>,
    make: fn(Arc<CryptoProvider>) -> rustls::ConfigBuilder<S, rustls::WantsVersions>,
) -> Result<rustls::ConfigBuilder<S, rustls::WantsVerifier>, CaError> {
    make(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(crypto)
}

fn roots(ca: &CertificateAuthority) -> Result<RootCertStore, CaError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.bundle_pem().as_bytes()) {
        roots.add(certificate.map_err(crypto)?).map_err(crypto)?;
    }
    Ok(roots)
}

fn crypto(error: impl std::fmt::Display) -> CaError {
    CaError::Crypto(error.to_string())
}

/// Lets in who has a certificate of the CA and the name of a replica in it.
#[derive(Debug)]
struct ReplicasOnly(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for ReplicasOnly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now)?;
        let name = ServerName::try_from(NAME).map_err(|error| rustls::Error::General(error.to_string()))?;
        rustls::client::verify_server_name(&rustls::server::ParsedCertificate::try_from(end_entity)?, &name)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
