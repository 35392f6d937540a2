//! Answers for names that lead to nothing (any more): removing them would leave a listener warming for ever.
//!
//! What protects denies; what only adds behaviour does nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use xds::{Kind, Resource};

use super::endpoint::{LocalInput, local};
use super::revoke::{RevokeInput, RevokePlainInput, revoke, revoke_plain};
use super::runtime::{RuntimeInput, runtime};
use super::{endpoint, route, secret};
use crate::names::{ClusterName, ExtensionName, LOCAL_ENDPOINTS, RUNTIME_LAYER, RouteName, SecretName};
use crate::policy::traffic_permission::tcp_cause::CauseInput;
use crate::policy::traffic_permission::tcp_shadow::ShadowInput;
use crate::policy::{fault_injection, rate_limit, traffic_permission};

/// The stub for a name of ours; absent for names that are not, for certificates, and for kinds that Envoy forgets by itself.
pub fn stub(kind: Kind, name: &str) -> Option<Arc<Resource>> {
    let resource = match kind {
        Kind::Route => route::configuration(&RouteName::parse(name)?.to_string(), Vec::new()),
        Kind::ExtensionConfig => match ExtensionName::parse(name)? {
            ExtensionName::Limit(port, slot) => rate_limit::envoy::slot(&rate_limit::envoy::empty(port, slot)),
            ExtensionName::Fault(port, slot) => {
                fault_injection::envoy::slot(&fault_injection::envoy::empty(port, slot))
            }
            ExtensionName::Revoke(port) => revoke(&RevokeInput {
                port,
                identities: Arc::default(),
            }),
            ExtensionName::RevokePlain(port) => revoke_plain(&RevokePlainInput { port, access: false }),
            ExtensionName::Shadow(port, part) => traffic_permission::tcp_shadow::filter(&ShadowInput {
                port,
                part,
                candidate: None,
                trust_domain: "".into(),
            }),
            ExtensionName::Cause(port) => traffic_permission::tcp_cause::filter(&CauseInput {
                port,
                permission: None,
                known: Arc::default(),
                trust_domain: "".into(),
            }),
        },
        Kind::Secret => match SecretName::parse(name)? {
            SecretName::Identity => return None,
            other => secret::refusing(&other),
        },
        Kind::Endpoints if name == LOCAL_ENDPOINTS => local(&LocalInput { members: Vec::new() }),
        Kind::Endpoints => endpoint::endpoints(&endpoint::EndpointsInput {
            cluster: ClusterName::parse(name)?,
            endpoints: Arc::default(),
        }),
        Kind::Runtime if name == RUNTIME_LAYER => runtime(&RuntimeInput {
            revoked: BTreeMap::new(),
            denial_header: false,
        }),
        Kind::Runtime | Kind::Cluster | Kind::Listener => return None,
    };
    Some(Arc::new(resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_envoy_asks_for_has_one() {
        let names = [
            (Kind::Route, "in/shop/web/8080"),
            (Kind::Route, "svc/shop/web/80"),
            (Kind::ExtensionConfig, "limit/8080/7"),
            (Kind::ExtensionConfig, "fault/8080/3"),
            (Kind::ExtensionConfig, "revoke/8080"),
            (Kind::ExtensionConfig, "revoke-plain/8080"),
            (Kind::ExtensionConfig, "shadow/5432/denied"),
            (Kind::ExtensionConfig, "cause/5432"),
            (Kind::Secret, "callers/5432"),
            (Kind::Secret, "server/shop/web/80"),
            (Kind::Endpoints, "svc/shop/web/80"),
            (Kind::Endpoints, "local"),
            (Kind::Runtime, "tulle"),
        ];
        for (kind, name) in names {
            let stub = stub(kind, name).unwrap();
            assert_eq!((stub.kind, &*stub.name), (kind, name));
        }
        assert_eq!(stub(Kind::Secret, "identity"), None);
        assert_eq!(stub(Kind::Route, "nobody's"), None);
    }
}
