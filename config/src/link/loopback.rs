//! What loopback placement cannot serve, said object by object. Nothing is changed: the compiler leaves the same things out.

use std::net::IpAddr;
use std::sync::Arc;

use crds::conditions::Reason;

use super::topology::{Place, ServiceFacts, Topology, UNDECLARED};
use crate::diagnostic::Diagnostic;
use crate::model::Key;
use crate::origin::ObjectRef;
use crate::parse::findings::Findings;
use crate::placement::{LoopbackBlock, is_free_port, outbound_port};

/// Any workload: whether a Service has a place does not depend on who asks.
const ANY_WORKLOAD: u64 = 0;

/// Reports all of it.
pub(super) fn check(topology: &Topology, block: LoopbackBlock, diagnostics: &mut Vec<Diagnostic>) {
    if !topology.mesh.egress_allowed {
        let mut findings = Findings::new(&Arc::new(ObjectRef::new("Mesh", "", "default")));
        findings.error(
            "spec.egress.defaultAction",
            Reason::NotSupportedYet,
            "on loopback addresses nothing sees what applications call outside the mesh, so it cannot be denied; run with root",
        );
        diagnostics.extend(findings.into_inner());
    }
    for place in topology.workloads.values() {
        diagnostics.extend(workload(place, block));
    }
    for (key, facts) in &topology.services {
        diagnostics.extend(service(key, facts, block));
    }
}

fn workload(place: &Place, block: LoopbackBlock) -> Vec<Diagnostic> {
    let mut findings = Findings::new(&place.node.object);
    if !block.holds(place.node.address) {
        let message = format!(
            "{} is no address of this run's loopback block {block}, so nobody reaches the workload; remove the field, and let \
             `tulle up --run` give an address",
            place.node.address
        );
        findings.error("spec.address", Reason::Invalid, message);
    }
    let closed = |port: &&u16| **port != UNDECLARED && !is_free_port(**port);
    for port in place.ports.keys().filter(closed) {
        let message = format!(
            "port {port} is not served on loopback addresses, because only root may listen on it; choose a port from 1024 on \
             here and in `targetPort`, or run with root"
        );
        findings.error("spec.ports", Reason::NotSupportedYet, message);
    }
    findings.into_inner()
}

fn service(key: &Key, facts: &ServiceFacts, block: LoopbackBlock) -> Vec<Diagnostic> {
    let object = Arc::new(ObjectRef::new("Service", &key.namespace, &key.name));
    let mut findings = Findings::new(&object);
    let caller = block.workload(ANY_WORKLOAD).into();
    let reached = |address: &IpAddr| block.outbound(caller, *address).is_some();
    if !facts.addresses.iter().any(reached) {
        findings.error(
            "spec.clusterIP",
            Reason::NotSupportedYet,
            "headless Services, and Services with an address of their own, cannot be called on loopback addresses; remove the \
             field, or run with root",
        );
    }
    for port in facts.ports.keys() {
        if outbound_port(*port, |other| facts.ports.contains_key(&other)).is_none() {
            let message = format!(
                "port {port} cannot be called on loopback addresses, because only root may listen on it and the port that would \
                 stand in for it is another one of the Service; give it a number from 1024 on"
            );
            findings.error("spec.ports", Reason::Conflicted, message);
        }
    }
    findings.into_inner()
}
