//! Certificates and keys of a cluster: made anew at each start, never kept.
//!
//! One authority signs all: the API server, the client certificate of each component and the administrator. Service
//! account tokens have an RSA key of their own, because clients expect RS256.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use operator::identity::files;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SanType,
};

use super::layout::{ADDRESS, API_SERVICE, Layout, NODE};

/// The file names of an identity are `<name>.crt` and `<name>.key`.
pub(super) const API_SERVER: &str = "apiserver";
/// May do everything.
pub(super) const ADMIN: &str = "admin";
/// Names under which pods and tests call the API server.
const API_NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];
/// A cluster of tests is long gone by then.
const LIFETIME: Duration = Duration::from_hours(365 * 24);
const BACKDATE: Duration = Duration::from_mins(5);

/// The clients: file name, common name, group.
pub(super) fn clients() -> [(&'static str, String, &'static str); 5] {
    let component = |name: &'static str| (name, format!("system:{name}"), "");
    [
        (ADMIN, "admin".to_owned(), "system:masters"),
        component("kube-controller-manager"),
        component("kube-scheduler"),
        component("kube-proxy"),
        ("kubelet", format!("system:node:{NODE}"), "system:nodes"),
    ]
}

/// Writes all certificates and keys.
pub(super) fn write(layout: &Layout) -> Result<()> {
    files::ensure_dir(&layout.pki(""), 0o700)?;
    let authority = authority(layout)?;
    let mut server = params("kube-apiserver", "", ExtendedKeyUsagePurpose::ServerAuth);
    for name in API_NAMES {
        server.subject_alt_names.push(SanType::DnsName(name.try_into()?));
    }
    for address in [[127, 0, 0, 1].into(), API_SERVICE, ADDRESS] {
        server.subject_alt_names.push(SanType::IpAddress(address.into()));
    }
    sign(layout, &authority, API_SERVER, &server)?;
    for (file, name, group) in clients() {
        sign(
            layout,
            &authority,
            file,
            &params(&name, group, ExtendedKeyUsagePurpose::ClientAuth),
        )?;
    }
    let tokens = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    save(layout, "sa.key", &tokens.serialize_pem())?;
    save(layout, "sa.pub", &tokens.public_key_pem())
}

fn authority(layout: &Layout) -> Result<Issuer<'static, KeyPair>> {
    let key = new_key()?;
    let mut params = dated(CertificateParams::default());
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "tulle-e2e");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    save(layout, "ca.crt", &certificate.pem())?;
    save(layout, "ca.key", &key.serialize_pem())?;
    Ok(Issuer::new(params, key))
}

fn params(name: &str, group: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = dated(CertificateParams::default());
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if !group.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params
}

fn dated(mut params: CertificateParams) -> CertificateParams {
    let now = SystemTime::now();
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + LIFETIME).into();
    params
}

fn sign(layout: &Layout, authority: &Issuer<'static, KeyPair>, file: &str, params: &CertificateParams) -> Result<()> {
    let key = new_key()?;
    let certificate = params.signed_by(&key, authority)?;
    save(layout, &format!("{file}.crt"), &certificate.pem())?;
    save(layout, &format!("{file}.key"), &key.serialize_pem())
}

fn new_key() -> Result<KeyPair> {
    Ok(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?)
}

fn save(layout: &Layout, file: &str, text: &str) -> Result<()> {
    Ok(files::write_atomic(&layout.pki(file), text.as_bytes(), 0o600)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_components_name_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(Some(folder.path()));
        std::fs::create_dir(layout.run()).unwrap();
        write(&layout).unwrap();
        for file in [
            "ca.crt",
            "apiserver.crt",
            "admin.key",
            "kubelet.crt",
            "sa.key",
            "sa.pub",
        ] {
            let text = std::fs::read_to_string(layout.pki(file)).unwrap();
            assert!(text.starts_with("-----BEGIN "), "{file}");
        }
    }
}
