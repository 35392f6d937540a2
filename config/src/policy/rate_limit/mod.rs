//! Stub.
mod disjoint;
pub(crate) mod envoy;

use std::collections::BTreeMap;
use crate::diagnostic::Diagnostic;
use crate::link::topology::Topology;
use crate::model::PortLimits;
use crate::policy::{Head, Merged};

#[derive(Debug)]
pub(crate) struct LimitNode { pub(crate) head: Head }
pub(crate) fn parse(object: &crds::RateLimit) -> (LimitNode, Vec<Diagnostic>) {
    (LimitNode { head: Head::new("RateLimit", &object.metadata) }, Vec::new())
}
pub(crate) fn merge(_nodes: &[LimitNode], _topology: &Topology) -> Merged<PortLimits> {
    Merged { ports: BTreeMap::new(), reports: Vec::new(), diagnostics: Vec::new() }
}
