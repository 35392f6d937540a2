//! What to ask about a port: which callers and which operations its rules tell apart, and which ports are alike.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::callers::{CallerClass, classes};
use super::examples::examples;
use super::{Operation, Request};
use crate::model::{HttpMatch, InboundPort, Key, MtlsMode, PermissionRule, PortPermission, Protocol, Source, SpiffeId};

/// The host of all example requests: no rule looks at it.
const HOST: &str = "example";

/// Questions whose answers describe a port.
#[derive(Clone, Debug)]
pub struct Questions {
    /// Who asks.
    pub callers: Vec<CallerClass>,
    /// For what.
    pub operations: Vec<Operation>,
}

/// The questions that tell apart what these ports decide: one port, or one before and after a change.
pub fn questions(ports: &[&InboundPort], identities: &BTreeSet<SpiffeId>, trust_domain: &str) -> Questions {
    let rules = || ports.iter().flat_map(|port| rules_of(&port.permission));
    let sources: Vec<&Source> = rules().flat_map(|rule| rule.sources.iter().flatten()).collect();
    let matches: Vec<&HttpMatch> = rules().flat_map(|rule| rule.http.iter().flatten()).collect();
    let plaintext = ports.iter().any(|port| port.mtls == MtlsMode::Permissive);
    let mut operations = Vec::new();
    if ports.iter().any(|port| !port.protocol.is_http()) {
        operations.push(Operation::Connect);
    }
    if ports.iter().any(|port| port.protocol.is_http()) {
        let grpc = ports.iter().any(|port| port.protocol == Protocol::Grpc);
        operations.extend(examples(matches, grpc, HOST).into_iter().map(Operation::Http));
    }
    Questions {
        callers: classes(identities, sources, trust_domain, plaintext),
        operations,
    }
}

/// Every rule of a port, shadowed ones included.
pub fn rules_of(permission: &PortPermission) -> impl Iterator<Item = &Arc<PermissionRule>> {
    let candidate = permission
        .candidate
        .iter()
        .flat_map(|candidate| candidate.deny.iter().chain(&candidate.allow));
    permission.deny.iter().chain(&permission.allow).chain(candidate)
}

/// Ports of one model with equal likenesses give the same answers. Rules are compared by address: replicas share them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Likeness {
    rules: [Vec<usize>; 4],
    defaults: Vec<(bool, bool, Arc<str>)>,
    port: (Protocol, MtlsMode, bool),
}

/// The likeness of a port.
pub fn likeness(port: &InboundPort) -> Likeness {
    let addresses = |rules: &[Arc<PermissionRule>]| rules.iter().map(|rule| Arc::as_ptr(rule).addr()).collect();
    let permission = &port.permission;
    let candidate = permission.candidate.as_ref();
    let defaults = std::iter::once(&permission.default).chain(candidate.map(|candidate| &candidate.default));
    Likeness {
        rules: [
            addresses(&permission.deny),
            addresses(&permission.allow),
            candidate.map_or_else(Vec::new, |candidate| addresses(&candidate.deny)),
            candidate.map_or_else(Vec::new, |candidate| addresses(&candidate.allow)),
        ],
        defaults: defaults
            .map(|one| (one.allow_mesh, one.allow_plaintext, Arc::clone(&one.name)))
            .collect(),
        port: (port.protocol, port.mtls, port.refuse_path_parameters),
    }
}

/// Asks one workload port about one operation.
pub fn ask(caller: &CallerClass, workload: &Key, port: u16, operation: &Operation) -> Request {
    Request {
        from: caller.example.clone(),
        to: super::Destination::Workload {
            workload: workload.clone(),
            port,
        },
        operation: operation.clone(),
    }
}
