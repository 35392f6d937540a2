//! The certificate authority of a cluster: the Secret `tulle-ca` of the system namespace.
//!
//! Made if it is missing; replicas that start together agree, because only one of them can create it. One that is there is used as
//! it is, ours or supplied: a root, or an intermediate with its root in `ca.crt`. A broken one is an error and stays as it
//! is: a new root over it would silently break every running proxy. While the API server does not answer it is asked again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::super::ca::{self, CaError, CertificateAuthority};
use super::super::ca_files;

/// The Secret.
pub const CA_SECRET: &str = "tulle-ca";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const ROOT: &str = "ca.crt";
/// Between two questions while the API server does not answer.
const PAUSE: Duration = Duration::from_secs(2);

/// Why there is no certificate authority.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// What is in the Secret cannot sign certificates.
    #[error(
        "the certificate authority in Secret {secret} cannot be used: {reason}; correct the Secret and restart tulle, or delete \
         it to begin with a new root (then every Pod of the mesh must be restarted)"
    )]
    Broken {
        /// `namespace/name`.
        secret: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A root cannot be made.
    #[error(transparent)]
    Ca(#[from] CaError),
}

/// What one try gave instead.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Final(#[from] SecretError),
    #[error(transparent)]
    Api(#[from] kube::Error),
}

/// Reads the Secret of this namespace, making it first if there is none. Waits for the API server as long as it takes.
pub async fn open(client: Client, namespace: &str) -> Result<CertificateAuthority, SecretError> {
    let api: Api<Secret> = Api::namespaced(client, namespace);
    let name = format!("{namespace}/{CA_SECRET}");
    loop {
        match attempt(&api, &name).await {
            Ok(ca) => return Ok(ca),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Api(error)) => {
                tracing::warn!(secret = name, %error, "cannot read or make the Secret of the certificate authority; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn attempt(api: &Api<Secret>, name: &str) -> Result<CertificateAuthority, Failure> {
    if let Some(secret) = api.get_opt(CA_SECRET).await? {
        return Ok(read(&secret, name, SystemTime::now())?);
    }
    let new = new_secret(SystemTime::now()).map_err(SecretError::from)?;
    let parameters = PostParams {
        field_manager: Some("tulle".to_owned()),
        ..PostParams::default()
    };
    match api.create(&parameters, &new).await {
        Ok(secret) => {
            tracing::info!(secret = name, "a new root certificate was made");
            Ok(read(&secret, name, SystemTime::now())?)
        }
        // Another replica was faster: its root counts.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            Ok(read(&api.get(CA_SECRET).await?, name, SystemTime::now())?)
        }
        Err(error) => Err(error.into()),
    }
}

fn new_secret(now: SystemTime) -> Result<Secret, CaError> {
    let (certificate, key) = ca::new_root(now)?;
    let data = [(CERTIFICATE, certificate), (KEY, key)];
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(CA_SECRET.to_owned()),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_owned(),
                "tulle".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(
            data.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes())))
                .into(),
        ),
        ..Secret::default()
    })
}

/// The CA in a Secret.
fn read(secret: &Secret, name: &str, now: SystemTime) -> Result<CertificateAuthority, SecretError> {
    let broken = |reason: String| SecretError::Broken {
        secret: name.to_owned(),
        reason,
    };
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes
            .map(|bytes| std::str::from_utf8(&bytes.0).map_err(|_| broken(format!("{key} is no text"))))
            .transpose()
    };
    let needed = |key: &str| text(key)?.ok_or_else(|| broken(format!("{key} is missing")));
    let chain = chain(needed(CERTIFICATE)?, text(ROOT)?.unwrap_or_default());
    let origin = PathBuf::from(name);
    CertificateAuthority::from_pem(&chain, needed(KEY)?, &origin, now).map_err(|error| match error {
        CaError::Damaged { reason, .. } => broken(reason),
        other => other.into(),
    })
}

/// The chain up to the root: what signs, and the root if it is not the end of that already.
fn chain(certificate: &str, root: &str) -> String {
    let mut chain = ca_files::blocks(certificate);
    let roots = ca_files::blocks(root);
    if chain.last().is_none_or(|last| !roots.contains(last)) {
        chain.extend(roots);
    }
    chain.concat()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    fn secret(data: &[(&str, &str)]) -> Secret {
        let entry = |(name, text): &(&str, &str)| ((*name).to_owned(), ByteString((*text).into()));
        Secret {
            data: Some(data.iter().map(entry).collect()),
            ..Secret::default()
        }
    }

    fn authority(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    }

    /// A root, and an intermediate with its key.
    fn supplied() -> (String, String, String) {
        let (root, root_key) = authority("root");
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let (between, key) = authority("between");
        let issuer = Issuer::new(root, root_key);
        let between_pem = between.signed_by(&key, &issuer).unwrap().pem();
        (root_pem, between_pem, key.serialize_pem())
    }

    fn opened(data: &[(&str, &str)]) -> Result<CertificateAuthority, SecretError> {
        read(&secret(data), "system/tulle-ca", SystemTime::now())
    }

    #[test]
    fn what_we_make_can_be_read() {
        let made = new_secret(SystemTime::now()).unwrap();
        let first = read(&made, "a/b", SystemTime::now()).unwrap();
        let again = read(&made, "a/b", SystemTime::now()).unwrap();
        assert_eq!(
            (first.key_id(), first.bundle_pem()),
            (again.key_id(), again.bundle_pem())
        );
    }

    #[test]
    fn an_intermediate_comes_with_its_root() {
        let (root, between, key) = supplied();
        let apart = opened(&[("tls.crt", &between), ("tls.key", &key), ("ca.crt", &root)]).unwrap();
        let together = between.clone() + &root;
        let whole = opened(&[("tls.crt", &together), ("tls.key", &key)]).unwrap();
        // What issuers write that put the root into both.
        let both = opened(&[("tls.crt", &together), ("tls.key", &key), ("ca.crt", &root)]).unwrap();
        for ca in [&apart, &whole, &both] {
            assert_eq!(&*ca.bundle_pem(), ca_files::blocks(&root).concat());
            assert_eq!(ca.intermediates_pem, ca_files::blocks(&between).concat());
        }
    }

    #[test]
    fn what_cannot_sign_is_refused_with_a_reason() {
        let ((root, between, key), (_, _, other)) = (supplied(), supplied());
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("tls.crt", &between)], "tls.key is missing"),
            (&[("tls.key", &key)], "tls.crt is missing"),
            (&[("tls.crt", &between), ("tls.key", &key)], "is not signed by"),
            (
                &[("tls.crt", &between), ("tls.key", &other), ("ca.crt", &root)],
                "does not belong",
            ),
            (&[("tls.crt", ""), ("tls.key", &key)], "no certificate"),
            (&[("tls.crt", &between), ("tls.key", "x")], "does not parse"),
        ];
        for (data, why) in cases {
            let error = opened(data).unwrap_err().to_string();
            assert!(
                error.contains(why) && error.contains("Secret system/tulle-ca"),
                "{error}"
            );
        }
        let years_later = SystemTime::now() + Duration::from_hours(24 * 365 * 5000);
        let made = new_secret(SystemTime::now()).unwrap();
        let expired = read(&made, "a/b", years_later).unwrap_err().to_string();
        assert!(expired.contains("has expired"), "{expired}");
    }
}
