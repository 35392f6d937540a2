//! Stub.
pub(crate) mod envoy;

use std::collections::BTreeMap;
use crate::diagnostic::Diagnostic;
use crate::link::topology::Topology;
use crate::model::PortFaults;
use crate::policy::{Head, Merged};

#[derive(Debug)]
pub(crate) struct FaultNode { pub(crate) head: Head }
pub(crate) fn parse(object: &crds::FaultInjection, _now: std::time::SystemTime) -> (FaultNode, Vec<Diagnostic>) {
    (FaultNode { head: Head::new("FaultInjection", &object.metadata) }, Vec::new())
}
pub(crate) fn merge(_nodes: &[FaultNode], _topology: &Topology) -> Merged<PortFaults> {
    Merged { ports: BTreeMap::new(), reports: Vec::new(), diagnostics: Vec::new() }
}
