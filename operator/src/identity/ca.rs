//! The certificate authority of the mesh: a key, its certificate, and what every proxy trusts.
//!
//! Holds a root of its own, made once and kept on disk, or a supplied root or intermediate. It never makes a second
//! root over a damaged first one: that would silently break every running proxy. Leaves are in `leaf`, the text that
//! proves "this CA issued it" in `version`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, hkdf, hmac};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};

use super::ca_files;

/// How long the built-in root lives.
const ROOT_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);
/// Clocks of other machines may be behind ours by this much.
pub(super) const BACKDATE: Duration = Duration::from_mins(5);

/// Why there is no certificate authority.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// Reading or writing the files failed.
    #[error("cannot use {path}: {source}; check that the folder exists and is writable by the user that runs tulle")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Only one of certificate and key is there, or a file is damaged.
    #[error(
        "the certificate authority in {path} is damaged: {reason}; restore the folder from a backup, or remove it to \
         begin with a new root (then every proxy must be restarted)"
    )]
    Damaged {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Signing or key generation failed.
    #[error("the cryptographic library refused: {0}; this is a defect of tulle or of this machine, please report it")]
    Crypto(String),
}

impl From<rcgen::Error> for CaError {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}

/// A loaded certificate authority.
pub struct CertificateAuthority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// Certificates between a leaf and the root, PEM; empty if the root itself signs.
    pub(super) intermediates_pem: String,
    pub(super) not_after: SystemTime,
    pub(super) version_key: hmac::Key,
    /// Leaves since the start.
    pub(super) issued: AtomicU64,
    key_id: String,
    bundle_pem: Arc<str>,
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// The built-in CA in `<state_dir>/ca`: made at the first call, loaded ever after.
    pub fn open(state_dir: &Path, now: SystemTime) -> Result<Self, CaError> {
        let (certificate, key) = ca_files::load_or_create(state_dir, || new_root(now))?;
        Self::from_pem(&certificate, &key, &state_dir.join(ca_files::FOLDER), now)
    }

    /// A supplied CA: a certificate file (the issuing certificate first, then its chain up to the root) and its key.
    pub fn load(certificate: &Path, key: &Path, now: SystemTime) -> Result<Self, CaError> {
        let (certificate_pem, key_pem) = (ca_files::read(certificate)?, ca_files::read(key)?);
        Self::from_pem(&certificate_pem, &key_pem, certificate, now)
    }

    /// `origin` is only for error texts.
    pub(super) fn from_pem(certificate: &str, key: &str, origin: &Path, now: SystemTime) -> Result<Self, CaError> {
        let damaged = |reason: String| CaError::Damaged {
            path: origin.to_owned(),
            reason,
        };
        let key = KeyPair::from_pem(key).map_err(|e| damaged(format!("the private key does not parse ({e})")))?;
        let chain = ca_files::check_chain(certificate, &key.subject_public_key_info(), now).map_err(damaged)?;
        let key_id = hex(
            digest::digest(&digest::SHA256, &key.subject_public_key_info()).as_ref(),
            8,
        );
        let version_key = derive_version_key(&key)?;
        let issuer = Issuer::from_ca_cert_der(&chain.issuing, key)
            .map_err(|e| damaged(format!("the certificate does not parse ({e})")))?;
        Ok(Self {
            issuer,
            intermediates_pem: chain.intermediates_pem,
            not_after: chain.not_after,
            version_key,
            issued: AtomicU64::new(0),
            key_id,
            bundle_pem: chain.root_pem.into(),
        })
    }

    /// The root certificate that every proxy trusts, PEM.
    pub fn bundle_pem(&self) -> Arc<str> {
        Arc::clone(&self.bundle_pem)
    }

    /// The first 8 bytes of the SHA-256 of the CA's public key, in hex.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// How many leaves of workloads it issued since the start.
    pub fn issued(&self) -> u64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// When the CA itself ends; no leaf outlives it.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

/// The key of leaf versions: derived, so that it needs no file of its own and changes with the CA.
fn derive_version_key(key: &KeyPair) -> Result<hmac::Key, CaError> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tulle leaf version v1");
    let secret = salt.extract(key.serialized_der());
    let okm = secret
        .expand(&[b"hmac-sha256"], hmac::HMAC_SHA256)
        .map_err(|e| CaError::Crypto(e.to_string()))?;
    Ok(hmac::Key::from(okm))
}

/// A new self-signed root: its certificate and private key, both PEM.
pub(super) fn new_root(now: SystemTime) -> Result<(String, String), CaError> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tulle root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + ROOT_LIFETIME).into();
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// The first `take` bytes in lower-case hex.
pub(super) fn hex(bytes: &[u8], take: usize) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16));
    bytes.iter().take(take).flat_map(digits).flatten().collect()
}
