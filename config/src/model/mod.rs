//! The immutable mesh model: what link makes of the parsed objects, and all that compile reads.
//!
//! No Kubernetes type and no Envoy type appears here. Every fact that a user wrote carries its [`Origin`](crate::Origin).
//! Shared parts are behind `Arc`, so that comparing two models is cheap where nothing changed.

mod fault;
mod http;
mod limit;
mod mesh;
mod permission;
mod report;
mod route;
mod service;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use fault::{Fault, FaultEffect, PortFaults};
pub use http::{HeaderMatch, HeaderMatchType, HttpMatch, PathMatch, QueryMatch};
pub use limit::{Limit, LimitKey, LimitObject, PortLimits, TokenBucket};
pub use mesh::{DefaultAction, Mesh, MtlsMode};
pub use permission::{Candidate, DefaultVerdict, PermissionRule, PortPermission, Source};
pub use report::{Concerned, PolicyReport, TargetReport};
pub use route::{Backend, HeaderEdit, Redirect, Retry, Rewrite, RouteAction, RouteEntry, RouteTable};
pub use service::{Endpoint, Protocol, Service, ServicePort, Upstream};
pub use workload::{InboundPort, Workload, group_of};

use crate::diagnostic::Diagnostic;
use crate::origin::ObjectRef;

/// A namespaced name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Key {
    /// Names something in a namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A verified identity, `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` (SPIFFE-ID section 2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId(Arc<str>);

impl SpiffeId {
    /// The identity of a service account.
    pub fn of(trust_domain: &str, namespace: &str, service_account: &str) -> Self {
        Self(format!("spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}").into())
    }

    /// Takes a URI that parse has checked.
    pub fn from_uri(uri: &str) -> Self {
        Self(uri.into())
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The whole mesh as of one set of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Mesh-wide settings.
    pub mesh: Arc<Mesh>,
    /// Services by name.
    pub services: BTreeMap<Key, Arc<Service>>,
    /// Workloads by name; each may run one proxy.
    pub workloads: BTreeMap<Key, Arc<Workload>>,
    /// Every identity that a workload of ours can prove: the universe for "allowed minus denied" and for revocation.
    pub identities: Arc<BTreeSet<SpiffeId>>,
    /// What became of each policy and route object, for status.
    pub reports: BTreeMap<Arc<ObjectRef>, Arc<PolicyReport>>,
    /// Findings about all objects, sorted.
    pub diagnostics: Vec<Diagnostic>,
}
