//! Leaves: one workload's certificate and private key.
//!
//! Exactly one URI SAN, an empty subject (so the SAN is critical, as RFC 5280 wants), both TLS roles, ECDSA P-256. The
//! key is made here and leaves the process only on the stream of its own identity. Also the certificate of the xDS port,
//! which differs only in its SANs.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};

use super::ca::{BACKDATE, CaError, CertificateAuthority};
use super::spiffe::SpiffeId;
use super::version::unix;

/// How leaves are issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafPolicy {
    /// How long a leaf lives.
    pub lifetime: Duration,
}

impl Default for LeafPolicy {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_hours(24),
        }
    }
}

/// An issued certificate with its key.
#[derive(Clone)]
pub struct Leaf {
    /// The leaf, then its intermediates.
    pub chain_pem: String,
    /// The private key (PKCS #8).
    pub key_pem: String,
    /// When it ends.
    pub not_after: SystemTime,
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaf")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// A new leaf of a workload.
    pub fn issue(&self, id: &SpiffeId, policy: LeafPolicy, now: SystemTime) -> Result<Leaf, CaError> {
        let uri = id.to_string().try_into()?;
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = self.sign(vec![SanType::URI(uri)], usages, policy.lifetime, now)?;
        self.issued.fetch_add(1, Ordering::Relaxed);
        Ok(leaf)
    }

    /// A new certificate of a server of ours, by DNS names.
    pub fn issue_server(&self, dns_names: &[String], lifetime: Duration, now: SystemTime) -> Result<Leaf, CaError> {
        let names = dns_names
            .iter()
            .map(|name| Ok(SanType::DnsName(name.clone().try_into()?)))
            .collect::<Result<_, CaError>>()?;
        self.sign(names, vec![ExtendedKeyUsagePurpose::ServerAuth], lifetime, now)
    }

    /// A new certificate of a peer of ours that both connects and listens, by DNS name.
    pub fn issue_peer(&self, dns_name: &str, lifetime: Duration, now: SystemTime) -> Result<Leaf, CaError> {
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let name = SanType::DnsName(dns_name.to_owned().try_into()?);
        self.sign(vec![name], usages, lifetime, now)
    }

    fn sign(
        &self,
        names: Vec<SanType>,
        usages: Vec<ExtendedKeyUsagePurpose>,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Leaf, CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        // Certificates count whole seconds; the version must say the same as the certificate.
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(unix((now + lifetime).min(self.not_after)));
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        params.not_before = (now - BACKDATE).into();
        params.not_after = end.into();
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            chain_pem: certificate.pem() + &self.intermediates_pem,
            key_pem: key.serialize_pem(),
            not_after: end,
        })
    }
}
