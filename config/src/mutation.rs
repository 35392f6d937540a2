//! Compilers that are broken on purpose: what reaches the proxies is what a compiler with that mistake would send.
//!
//! Only with the feature `mutations`, which only the end-to-end tests ask for: they must notice each of these. Nothing of the
//! `tulle` command line leads here.

use std::sync::Arc;

use crate::envoy::matcher::quote;
use crate::model::{InboundPort, Model, PathMatch, PermissionRule, PortPermission, Source};

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// `/a` matches `/ab`: path prefixes are not compared by segments.
    PathPrefix,
    /// Headers of rules are not looked at.
    Headers,
    /// `ns/shop` matches `ns/shop-eu`: identity prefixes are not compared by segments.
    IdentityPrefix,
    /// The first Deny rule of each port is lost.
    FirstDeny,
    /// TCP ports report nothing of Shadow permissions.
    TcpShadow,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::PathPrefix,
        Self::Headers,
        Self::IdentityPrefix,
        Self::FirstDeny,
        Self::TcpShadow,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::PathPrefix => "path-prefix",
            Self::Headers => "headers",
            Self::IdentityPrefix => "identity-prefix",
            Self::FirstDeny => "first-deny",
            Self::TcpShadow => "tcp-shadow",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Breaks a model.
    pub(crate) fn apply(self, model: &mut Model) {
        for workload in model.workloads.values_mut() {
            let workload = Arc::make_mut(workload);
            for port in workload.ports.values_mut() {
                self.port(port);
            }
            self.port(&mut workload.undeclared);
        }
    }

    fn port(self, port: &mut Arc<InboundPort>) {
        let port = Arc::make_mut(port);
        let permission: &mut PortPermission = Arc::make_mut(&mut port.permission);
        if self == Self::TcpShadow && !port.protocol.is_http() {
            permission.candidate = None;
        }
        if self == Self::FirstDeny && !permission.deny.is_empty() {
            permission.deny.remove(0);
        }
        for rule in permission.deny.iter_mut().chain(&mut permission.allow) {
            self.rule(Arc::make_mut(rule));
        }
    }

    fn rule(self, rule: &mut PermissionRule) {
        for source in rule.sources.iter_mut().flatten() {
            if let (Self::IdentityPrefix, Source::Prefix(prefix)) = (self, &*source) {
                *source = Source::Prefix(prefix.trim_end_matches('/').into());
            }
        }
        for request in rule.http.iter_mut().flatten() {
            match (self, &request.path) {
                (Self::Headers, _) => request.headers.clear(),
                (Self::PathPrefix, Some(PathMatch::Prefix(prefix))) => {
                    request.path = Some(PathMatch::Regex(format!("{}.*", quote(prefix)).into()));
                }
                _ => {}
            }
        }
    }
}
