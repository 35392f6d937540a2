//! Every xDS name, statistics prefix and runtime key, typed, and parsed back by the same module.
//!
//! A name never depends on policy or on a generation: resources keep their names for as long as the thing they describe
//! exists. Names of a proxy's own resources (`limit/8080/0`) repeat between proxies, never inside one snapshot.

mod cluster;
mod extension;
mod listener;
mod parts;
mod route;
mod rule_counter;
mod secret;
#[cfg(test)]
mod tests;

use std::fmt;

pub use cluster::{AppProtocol, ClusterName};
pub use extension::{ExtensionName, ShadowPart};
pub use listener::ListenerName;
pub use route::RouteName;
pub use rule_counter::{RuleCounter, RuleOutcome};
pub use secret::SecretName;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{Key, SpiffeId};
use crate::origin::ObjectRef;

/// Mesh traffic is recognised by this suffix of the SNI.
pub const SNI_SUFFIX: &str = ".tulle.mesh";

/// The header that carries the caller's identity, followed by `/`, to the filters of the destination.
pub const SOURCE_HEADER: &str = "x-tulle-source";

/// The header that carries the normalised path without the query, followed by `/`.
pub const PATH_HEADER: &str = "x-tulle-path";

/// The response header that names the `RateLimit` object which refused the request.
pub const LIMITED_BY_HEADER: &str = "x-tulle-limited-by";

/// The response header that names the rule or default which refused the request, where the Mesh asks for it.
pub const DENIED_BY_HEADER: &str = "x-tulle-denied-by";

/// The runtime key that switches this header on.
pub const DENIAL_HEADER_KEY: &str = "tulle.denial_header";

/// The filter state of a TCP connection that holds what decides about callers that no other state names.
pub(crate) const CAUSE: &str = "tulle.cause";

/// The same for callers without a certificate.
pub(crate) const PLAIN_CAUSE: &str = "tulle.plain";

/// The filter state of a connection whose handshake succeeded.
pub(crate) const VERIFIED: &str = "tulle.verified";

/// The EDS name of a proxy's own group (`cluster_manager.local_cluster_name` of the bootstrap).
pub const LOCAL_ENDPOINTS: &str = "local";

/// The bootstrap's cluster of the admin socket.
pub const ADMIN_CLUSTER: &str = "admin";

/// The path at which a proxy says that it is ready.
pub const READY_PATH: &str = "/ready";

/// The RTDS layer.
pub const RUNTIME_LAYER: &str = "tulle";

/// What stands before a rule's name in the names of Envoy's own counters of rules.
pub const RULE_STATISTICS: &str = ".rbac.policy.";

/// The name under which a cut connection of a caller without an identity is reported.
pub const PLAIN_REVOCATION_RULE: &str = "revoked/plaintext";

/// The namespace of our route metadata.
pub const METADATA: &str = "tulle";

/// The SNI by which callers announce the Service port they mean.
pub fn sni(service: &Key, port: u16) -> String {
    format!("{port}.{}.{}{SNI_SUFFIX}", service.name, service.namespace)
}

/// The runtime key that cuts the connections of one identity to one port.
pub fn revocation_key(port: u16, identity: &SpiffeId) -> String {
    format!("tulle.revoke.{port}.{:016x}", xxh3_64(identity.as_str().as_bytes()))
}

/// The runtime key that cuts the connections of callers without an identity to one port.
pub fn plain_revocation_key(port: u16) -> String {
    format!("tulle.revoke.{port}.plaintext")
}

/// The name under which a cut connection is reported.
pub fn revocation_rule(identity: &SpiffeId) -> String {
    format!("revoked/{identity}")
}

/// Statistics prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatPrefix<'a> {
    /// What a workload port receives.
    Inbound(u16),
    /// What goes to a Service port.
    Outbound(&'a Key, u16),
    /// Connections that no listener of ours concerns.
    CatchAll(&'a str),
    /// One `RateLimit` object.
    Limit(&'a ObjectRef),
}

impl fmt::Display for StatPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inbound(port) => write!(f, "inbound.{port}"),
            Self::Outbound(service, port) => write!(f, "outbound.{}.{}.{port}", service.namespace, service.name),
            Self::CatchAll(name) => write!(f, "catchall.{name}"),
            Self::Limit(object) => write!(f, "limit.{}.{}", object.namespace, object.name),
        }
    }
}
