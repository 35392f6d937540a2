//! What became of each policy and route object: the material of status.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Key;
use crate::origin::ObjectRef;

/// Whose proxies must have acknowledged before the object is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concerned {
    /// These workloads.
    Workloads(BTreeSet<Key>),
    /// Every proxy: any of them may call.
    Everyone,
    /// The proxies of one namespace: a consumer route.
    Namespace(Arc<str>),
}

/// What became of one targetRef or parentRef.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    /// `spec.targetRefs[0]`.
    pub path: String,
    /// As people say it: `Service payments, port http`.
    pub text: String,
    /// It names something that exists.
    pub resolved: bool,
    /// The workload ports that it reaches, number 0 for all undeclared ones; for a route the Service ports.
    pub ports: BTreeSet<(Key, u16)>,
    /// Ports of the target that no rule concerns (an HTTP rule and a TCP port).
    pub not_concerned: BTreeSet<(Key, u16)>,
}

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyReport {
    /// The object.
    pub object: Arc<ObjectRef>,
    /// The generation that was read.
    pub generation: i64,
    /// One for each targetRef or parentRef.
    pub targets: Vec<TargetReport>,
    /// Names of the rules that are in force.
    pub rules_in_force: Vec<Arc<str>>,
    /// Names of the rules that failed.
    pub rules_failed: Vec<Arc<str>>,
    /// `(rule, winner)`: entries that a more specific or earlier object replaces.
    pub overridden: Vec<(Arc<str>, Arc<ObjectRef>)>,
    /// Who must ACK.
    pub concerned: Concerned,
}
