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
    /// There is more that the rules may tell apart than is asked.
    pub truncated: bool,
}

/// The questions that tell apart what these ports decide: one port, or one before and after a change. Rules that not all of them
/// have come first.
pub fn questions(ports: &[&InboundPort], identities: &BTreeSet<SpiffeId>, trust_domain: &str) -> Questions {
    let rules = || ports.iter().flat_map(|port| rules_of(&port.permission));
    let sources: Vec<&Source> = rules().flat_map(|rule| rule.sources.iter().flatten()).collect();
    let said: Vec<BTreeSet<Said<'_>>> = ports.iter().map(|port| said(&port.permission).collect()).collect();
    let everywhere = |one: &Said<'_>| said.iter().all(|known| known.contains(one));
    let all = ports.iter().flat_map(|port| self::said(&port.permission));
    let (common, apart): (Vec<Said<'_>>, Vec<Said<'_>>) = all.partition(everywhere);
    let matches = apart
        .iter()
        .chain(&common)
        .flat_map(|one| one.http.into_iter().flatten());
    let plaintext = ports.iter().any(|port| port.mtls == MtlsMode::Permissive);
    let (mut operations, mut truncated) = (Vec::new(), false);
    if ports.iter().any(|port| !port.protocol.is_http()) {
        operations.push(Operation::Connect);
    }
    if ports.iter().any(|port| port.protocol.is_http()) {
        let grpc = ports.iter().any(|port| port.protocol == Protocol::Grpc);
        let found = examples(matches, grpc, HOST);
        operations.extend(found.requests.into_iter().map(Operation::Http));
        truncated = found.truncated;
    }
    Questions {
        callers: classes(identities, sources, trust_domain, plaintext),
        operations,
        truncated,
    }
}

/// What a rule says, without its name, and the list in which it says so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Said<'a> {
    list: usize,
    sources: Option<&'a Vec<Source>>,
    http: Option<&'a Vec<HttpMatch>>,
}

/// What all rules of a port say; where nothing is shadowed, reports are as what is enforced.
fn said(permission: &PortPermission) -> impl Iterator<Item = Said<'_>> {
    let candidate = permission.candidate.as_ref();
    let lists = [
        &permission.deny,
        &permission.allow,
        candidate.map_or(&permission.deny, |candidate| &candidate.deny),
        candidate.map_or(&permission.allow, |candidate| &candidate.allow),
    ];
    lists.into_iter().enumerate().flat_map(|(list, rules)| {
        rules.iter().map(move |rule| Said {
            list,
            sources: rule.sources.as_ref(),
            http: rule.http.as_ref(),
        })
    })
}

/// Whether two ports decide everything alike, under whatever names.
pub fn decide_alike(a: &InboundPort, b: &InboundPort) -> bool {
    let defaults = |permission: &PortPermission| {
        let reported = permission
            .candidate
            .as_ref()
            .map_or(&permission.default, |one| &one.default);
        [&permission.default, reported].map(|one| (one.allow_mesh, one.allow_plaintext))
    };
    let settings = |port: &InboundPort| (port.protocol, port.mtls, port.refuse_path_parameters);
    let (ours, theirs): (BTreeSet<Said<'_>>, BTreeSet<Said<'_>>) =
        (said(&a.permission).collect(), said(&b.permission).collect());
    settings(a) == settings(b) && defaults(&a.permission) == defaults(&b.permission) && ours == theirs
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
