//! The one secret of a stream: `identity`, the leaf of the identity that the stream proved.
//!
//! No cache and no sharing: a leaf is made for one stream and forgotten once it is sent. What a proxy already holds is
//! recognised by its version alone (see `version`). Trust bundles are not secret and come with the configuration.

use std::sync::Arc;
use std::time::SystemTime;

use xds::proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use xds::proto::envoy::extensions::transport_sockets::tls::v3::{Secret, TlsCertificate, secret};
use xds::{Identity, Kind, Resource, SecretAnswer, SecretSource};

use super::ca::CertificateAuthority;
use super::leaf::{Leaf, LeafPolicy};
use super::server_tls::Clock;
use super::spiffe::SpiffeId;
use super::version::renew_at;

/// The SDS name of a workload's own certificate.
pub const IDENTITY: &str = "identity";

/// Answers SDS requests out of the CA.
pub struct IdentitySecrets {
    ca: Arc<CertificateAuthority>,
    policy: LeafPolicy,
    clock: Clock,
}

impl IdentitySecrets {
    /// Secrets by this CA and policy.
    pub fn new(ca: Arc<CertificateAuthority>, policy: LeafPolicy) -> Self {
        Self::with_clock(ca, policy, Arc::new(SystemTime::now))
    }

    /// The same with another clock.
    pub fn with_clock(ca: Arc<CertificateAuthority>, policy: LeafPolicy, clock: Clock) -> Self {
        Self { ca, policy, clock }
    }

    /// When the held leaf is to be renewed, if it is good and not due yet.
    fn keep(&self, identity: &Identity, held: &str, now: SystemTime) -> Option<SystemTime> {
        let leaf = self.ca.verify_version(held, &identity.spiffe_id, now)?;
        // Someone has shortened the lifetime: the old, longer one must not go on for its own sake.
        if leaf.not_after > now + self.policy.lifetime {
            return None;
        }
        let due = self.renewal(identity, leaf.not_after);
        (now < due).then_some(due)
    }

    fn renewal(&self, identity: &Identity, not_after: SystemTime) -> SystemTime {
        renew_at(not_after, self.policy.lifetime, &identity.proxy.to_string())
    }

    fn send(&self, identity: &Identity, now: SystemTime) -> Option<SecretAnswer> {
        let id = SpiffeId::parse(&identity.spiffe_id)
            .inspect_err(|error| tracing::error!(proxy = %identity.proxy, %error, "no certificate for this proxy"))
            .ok()?;
        let leaf = self
            .ca
            .issue(&id, self.policy, now)
            .inspect_err(|error| tracing::error!(proxy = %identity.proxy, %error, "cannot issue a certificate"))
            .ok()?;
        let version = self.ca.version(&identity.spiffe_id, leaf.not_after);
        // A CA near its end issues short leaves; those must not be due at once, again and again.
        let renew_at = self
            .renewal(identity, leaf.not_after)
            .max(now + self.policy.lifetime / 100);
        let resource = Resource::new(Kind::Secret, IDENTITY, &message(leaf)).with_version(version);
        Some(SecretAnswer::Send {
            resource: Arc::new(resource),
            renew_at,
        })
    }
}

impl SecretSource for IdentitySecrets {
    fn secret(&self, identity: &Identity, name: &str, held: Option<&str>) -> Option<SecretAnswer> {
        if name != IDENTITY {
            return None;
        }
        let now = (self.clock)();
        match held.and_then(|held| Some((held, self.keep(identity, held, now)?))) {
            Some((held, renew_at)) => Some(SecretAnswer::Keep {
                version: held.into(),
                renew_at,
            }),
            None => self.send(identity, now),
        }
    }
}

fn message(leaf: Leaf) -> Secret {
    let inline = |text: String| DataSource {
        specifier: Some(Specifier::InlineString(text)),
        ..Default::default()
    };
    Secret {
        name: IDENTITY.to_owned(),
        r#type: Some(secret::Type::TlsCertificate(TlsCertificate {
            certificate_chain: Some(inline(leaf.chain_pem)),
            private_key: Some(inline(leaf.key_pem)),
            ..Default::default()
        })),
    }
}
