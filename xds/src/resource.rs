//! One xDS resource, encoded and hashed once, at construction.
//!
//! The version is a seedless hash of the deterministic encoding, hence the same on each replica and after each restart; that is
//! what lets a reconnecting proxy receive nothing at all. Only secrets choose their version themselves.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::Message;
use xxhash_rust::xxh3::Xxh3;

use crate::kind::Kind;
use crate::proto;
use crate::wire::Envelope;

/// A resource's name.
pub type Name = Arc<str>;
/// A resource's version: only ever compared for equality.
pub type Version = Arc<str>;

/// Names a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
}

impl Reference {
    /// Names a resource.
    pub fn new(kind: Kind, name: impl Into<Name>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }
}

/// One resource with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// A seedless hash of the content (32 hexadecimal digits), or what the issuer of a secret chose.
    pub version: Version,
    /// The encoded `envoy.service.discovery.v3.Resource`, without `ttl`.
    pub body: Bytes,
    /// What must be in the same snapshot. Sessions order pushes by it, and wait for the subscriptions it announces.
    pub references: Vec<Reference>,
    /// When the proxy forgets it by itself; sent as `ttl`. Afterwards the stub is served in its place.
    pub expires_at: Option<SystemTime>,
    /// Sent after its users: a secret that loses names once listeners and routes are acknowledged, a listener that says
    /// "ready" once everything is and nothing was refused.
    pub late: bool,
}

impl Resource {
    /// Encodes and hashes a message.
    pub fn new<M: Message + prost::Name>(kind: Kind, name: impl Into<Name>, message: &M) -> Self {
        let name = name.into();
        let payload: Bytes = proto::any(message).encode_to_vec().into();
        let version: Version = content_version(&payload, None).into();
        let body = encode(&name, &version, payload);
        Self {
            kind,
            name,
            version,
            body,
            references: Vec::new(),
            expires_at: None,
            late: false,
        }
    }

    /// Adds what must be in the same snapshot.
    #[must_use]
    pub fn with_references(mut self, references: Vec<Reference>) -> Self {
        self.references = references;
        self
    }

    /// Makes the proxy forget it at this time. The time becomes part of the version.
    #[must_use]
    pub fn with_expiry(mut self, at: SystemTime) -> Self {
        let payload = self.payload();
        self.version = content_version(&payload, Some(at)).into();
        self.body = encode(&self.name, &self.version, payload);
        self.expires_at = Some(at);
        self
    }

    /// Sets the version: for secrets, whose bytes differ at each issue.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<Version>) -> Self {
        self.version = version.into();
        self.body = encode(&self.name, &self.version, self.payload());
        self
    }

    /// Marks it to be sent after its users (see the field).
    #[must_use]
    pub fn with_late(mut self, late: bool) -> Self {
        self.late = late;
        self
    }

    /// The encoded `Any`, not copied. The body comes from `encode`, hence decodes.
    fn payload(&self) -> Bytes {
        Envelope::decode(self.body.clone()).unwrap_or_default().resource
    }
}

fn encode(name: &str, version: &str, resource: Bytes) -> Bytes {
    Envelope {
        version: version.into(),
        resource,
        name: name.into(),
    }
    .encode_to_vec()
    .into()
}

fn content_version(payload: &[u8], expires_at: Option<SystemTime>) -> String {
    let mut hash = Xxh3::new();
    hash.update(payload);
    if let Some(at) = expires_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()) {
        hash.update(&at.as_nanos().to_le_bytes());
    }
    format!("{:032x}", hash.digest128())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proto::envoy::config::cluster::v3::Cluster;
    use crate::proto::envoy::service::discovery::v3 as discovery;

    fn cluster(alt: &str) -> Cluster {
        Cluster {
            name: "c".into(),
            alt_stat_name: alt.into(),
            ..Default::default()
        }
    }

    #[test]
    fn versions_are_hashes_of_content_alone() {
        let first = Resource::new(Kind::Cluster, "c", &cluster("x"));
        assert_eq!(first, Resource::new(Kind::Cluster, "c", &cluster("x")));
        assert_ne!(first.version, Resource::new(Kind::Cluster, "c", &cluster("y")).version);
        assert_eq!(first.version.len(), 32);
        // Pinned: a change here makes every proxy of a running mesh receive everything again.
        assert_eq!(&*first.version, "e1ca155ff13ecd1ebecf453492d828c5");
    }

    #[test]
    fn the_body_is_the_message_of_the_api() {
        let resource = Resource::new(Kind::Cluster, "c", &cluster("x")).with_version("mine");
        let read = discovery::Resource::decode(resource.body.clone()).unwrap();
        assert_eq!((read.name.as_str(), read.version.as_str()), ("c", "mine"));
        assert_eq!(read.resource, Some(proto::any(&cluster("x"))));
    }

    #[test]
    fn the_expiry_is_part_of_the_version() {
        let plain = Resource::new(Kind::Cluster, "c", &cluster("x"));
        let at = UNIX_EPOCH + Duration::from_secs(1_800_000_001);
        let expiring = plain.clone().with_expiry(at);
        assert_ne!(plain.version, expiring.version);
        assert_ne!(
            expiring.version,
            plain.clone().with_expiry(at + Duration::from_secs(1)).version
        );
        assert_eq!(expiring, plain.with_expiry(at).with_expiry(at));
    }
}
