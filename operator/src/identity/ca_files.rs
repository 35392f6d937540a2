//! The CA's files: created once and whole, checked each time.
//!
//! Certificate and key are made in a folder of another name that is then renamed, under a lock: a crash leaves
//! nothing or both. So one file without the other means that somebody touched them, and that is an error, not a reason
//! to begin anew. Also checks a certificate chain, supplied or our own.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ca::CaError;
use super::files;

/// The folder within the state folder.
pub(super) const FOLDER: &str = "ca";
const CERTIFICATE: &str = "root.pem";
const KEY: &str = "root.key";

/// A checked chain.
pub(super) struct Chain {
    /// The certificate that signs leaves.
    pub(super) issuing: CertificateDer<'static>,
    /// What is sent with each leaf.
    pub(super) intermediates_pem: String,
    /// What everybody trusts.
    pub(super) root_pem: String,
    /// The earliest end of the chain.
    pub(super) not_after: SystemTime,
}

/// Reads certificate and key, both PEM; makes them first if neither was ever made.
pub(super) fn load_or_create(
    state_dir: &Path,
    make: impl FnOnce() -> Result<(String, String), CaError>,
) -> Result<(String, String), CaError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| CaError::Io { path, source }
    };
    files::ensure_dir(state_dir, 0o700).map_err(io(state_dir))?;
    // Two processes that start at once must end up with one root.
    let _lock = files::lock(&state_dir.join("ca.lock")).map_err(io(state_dir))?;
    let folder = state_dir.join(FOLDER);
    if !folder.exists() {
        let (certificate, key) = make()?;
        create(state_dir, &folder, &certificate, &key).map_err(io(&folder))?;
    }
    let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
    for (file, other) in [(&certificate, KEY), (&key, CERTIFICATE)] {
        if !file.exists() {
            let reason = format!("{} is missing (beside it: {other})", file.display());
            return Err(CaError::Damaged { path: folder, reason });
        }
    }
    Ok((read(&certificate)?, read(&key)?))
}

/// Reads a text file of the CA.
pub(super) fn read(path: &Path) -> Result<String, CaError> {
    fs::read_to_string(path).map_err(|source| CaError::Io {
        path: path.to_owned(),
        source,
    })
}

fn create(state_dir: &Path, folder: &Path, certificate: &str, key: &str) -> std::io::Result<()> {
    let unfinished = state_dir.join("ca.new");
    if unfinished.exists() {
        // Nobody has used it: it never got its name.
        fs::remove_dir_all(&unfinished)?;
    }
    files::ensure_dir(&unfinished, 0o700)?;
    files::write_new(&unfinished.join(KEY), key.as_bytes(), 0o600)?;
    files::write_new(&unfinished.join(CERTIFICATE), certificate.as_bytes(), 0o644)?;
    files::sync_parent(&unfinished.join(KEY))?;
    fs::rename(&unfinished, folder)?;
    files::sync_parent(folder)
}

/// Checks that the chain can sign leaves with the key that has this public key; the error is a reason for a person.
pub(super) fn check_chain(pem: &str, public_key: &[u8], now: SystemTime) -> Result<Chain, String> {
    let blocks = blocks(pem);
    let chain: Vec<CertificateDer<'static>> = blocks
        .iter()
        .map(|block| CertificateDer::from_pem_slice(block.as_bytes()))
        .collect::<Result<_, _>>()
        .map_err(|e| format!("the certificate file is not PEM ({e})"))?;
    let (Some(issuing), Some((root, between))) = (chain.first(), blocks.split_last()) else {
        return Err("the certificate file holds no certificate".to_owned());
    };
    if parse(issuing)?.public_key().raw != public_key {
        return Err("the private key does not belong to the first certificate".to_owned());
    }
    let mut not_after = u64::MAX;
    for certificate in &chain {
        not_after = not_after.min(check_authority(&parse(certificate)?, now)?);
    }
    check_links(&chain)?;
    Ok(Chain {
        intermediates_pem: between.concat(),
        root_pem: root.clone(),
        issuing: issuing.clone(),
        not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(not_after),
    })
}

/// Each certificate is signed by the next, the last by itself.
fn check_links(chain: &[CertificateDer<'static>]) -> Result<(), String> {
    for (index, certificate) in chain.iter().enumerate() {
        let (child, signer) = (parse(certificate)?, parse(chain.get(index + 1).unwrap_or(certificate))?);
        if child.issuer() != signer.subject() || child.verify_signature(Some(signer.public_key())).is_err() {
            return Err(format!(
                "certificate {} ({}) is not signed by the one after it; list the issuing certificate first and the \
                 self-signed root last",
                index + 1,
                child.subject()
            ));
        }
    }
    Ok(())
}

/// Returns the end of its validity.
fn check_authority(certificate: &X509Certificate<'_>, now: SystemTime) -> Result<u64, String> {
    let name = certificate.subject().to_string();
    if !certificate.is_ca() {
        return Err(format!("{name} is not a CA certificate (basicConstraints)"));
    }
    if matches!(certificate.key_usage(), Ok(Some(usage)) if !usage.value.key_cert_sign()) {
        return Err(format!("{name} may not sign certificates (keyUsage)"));
    }
    let end = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    if SystemTime::UNIX_EPOCH + Duration::from_secs(end) <= now {
        return Err(format!("{name} has expired ({})", certificate.validity().not_after));
    }
    Ok(end)
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    X509Certificate::from_der(der)
        .map(|(_, c)| c)
        .map_err(|e| format!("a certificate does not parse ({e})"))
}

/// The certificates of a PEM text, each a text of its own (comments between them are dropped).
pub(super) fn blocks(pem: &str) -> Vec<String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    pem.split(END)
        .filter_map(|part| part.split_once(BEGIN))
        .map(|(_, body)| format!("{BEGIN}\n{}\n{END}\n", body.trim()))
        .collect()
}
