//! All objects -> all nodes, in order of name whatever the order of the objects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crds::conditions::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::findings::Findings;
use super::mesh::MeshNode;
use super::service::{ServiceNode, SliceNode};
use super::workload::WorkloadNode;
use super::{mesh, service, workload};
use crate::diagnostic::Diagnostic;
use crate::input::Objects;
use crate::origin::ObjectRef;
use crate::policy::fault_injection::{self, FaultNode};
use crate::policy::rate_limit::{self, LimitNode};
use crate::policy::traffic_permission::{self, PermissionNode};
use crate::policy::traffic_route::{self, RouteNode};

/// Everything that was written, object by object, before any name is resolved.
#[derive(Debug)]
pub struct Parsed {
    pub(crate) mesh: MeshNode,
    pub(crate) services: Vec<ServiceNode>,
    pub(crate) slices: Vec<SliceNode>,
    pub(crate) workloads: Vec<WorkloadNode>,
    pub(crate) permissions: Vec<PermissionNode>,
    pub(crate) routes: Vec<RouteNode>,
    pub(crate) limits: Vec<LimitNode>,
    pub(crate) faults: Vec<FaultNode>,
    /// What is wrong with single objects; the webhook and `tulle lint` stop here.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses all objects. `now` decides which faults are over.
pub fn parse(objects: &Objects, now: SystemTime) -> Parsed {
    let mut found = Vec::new();
    let meshes = unique("Mesh", &objects.meshes, |o| &o.metadata, &mut found);
    let mut mesh = mesh::defaults();
    for object in meshes {
        let (node, diagnostics) = mesh::parse(object);
        found.extend(diagnostics);
        if object.metadata.name.as_deref() == Some("default") {
            mesh = node;
        } else {
            let object = Arc::new(ObjectRef::new(
                "Mesh",
                "",
                object.metadata.name.as_deref().unwrap_or_default(),
            ));
            let mut findings = Findings::new(&object);
            findings.error(
                "metadata.name",
                Reason::Invalid,
                "only the Mesh named default counts; rename this one or remove it",
            );
            found.extend(findings.into_inner());
        }
    }
    let services = unique("Service", &objects.services, |o| &o.metadata, &mut found);
    let slices = unique("EndpointSlice", &objects.endpoint_slices, |o| &o.metadata, &mut found);
    let workloads = unique("Workload", &objects.workloads, |o| &o.metadata, &mut found);
    let permissions = unique("TrafficPermission", &objects.permissions, |o| &o.metadata, &mut found);
    let routes = unique("TrafficRoute", &objects.routes, |o| &o.metadata, &mut found);
    let limits = unique("RateLimit", &objects.rate_limits, |o| &o.metadata, &mut found);
    let faults = unique("FaultInjection", &objects.faults, |o| &o.metadata, &mut found);
    Parsed {
        mesh,
        services: each(services, service::service, &mut found)
            .into_iter()
            .flatten()
            .collect(),
        slices: each(slices, service::slice, &mut found).into_iter().flatten().collect(),
        workloads: each(workloads, workload::parse, &mut found)
            .into_iter()
            .flatten()
            .collect(),
        permissions: each(permissions, traffic_permission::parse, &mut found),
        routes: each(routes, traffic_route::parse, &mut found),
        limits: each(limits, rate_limit::parse, &mut found),
        faults: each(faults, |fault| fault_injection::parse(fault, now), &mut found),
        diagnostics: found,
    }
}

fn each<T, N>(objects: Vec<&T>, parse: impl Fn(&T) -> (N, Vec<Diagnostic>), found: &mut Vec<Diagnostic>) -> Vec<N> {
    objects
        .into_iter()
        .map(|object| {
            let (node, diagnostics) = parse(object);
            found.extend(diagnostics);
            node
        })
        .collect()
}

/// The objects of one kind by namespace and name. Sources do not hand over two of one name; should they, the choice does not
/// depend on their order.
fn unique<'a, T: Serialize + PartialEq>(
    kind: &str,
    objects: &'a [Arc<T>],
    metadata: impl Fn(&T) -> &ObjectMeta,
    found: &mut Vec<Diagnostic>,
) -> Vec<&'a T> {
    let mut chosen: BTreeMap<(&str, &str), &'a T> = BTreeMap::new();
    let mut twice: Vec<ObjectRef> = Vec::new();
    for object in objects {
        let object: &'a T = object;
        let metadata: &'a ObjectMeta = metadata(object);
        let key = (
            metadata.namespace.as_deref().unwrap_or("default"),
            metadata.name.as_deref().unwrap_or_default(),
        );
        let Some(other) = chosen.get(&key).copied() else {
            chosen.insert(key, object);
            continue;
        };
        if *other != *object {
            twice.push(ObjectRef::new(kind, key.0, key.1));
            if text(object) < text(other) {
                chosen.insert(key, object);
            }
        }
    }
    for object in twice {
        let mut findings = Findings::new(&Arc::new(object));
        findings.error(
            "metadata.name",
            Reason::Conflicted,
            "two objects have this kind, namespace and name, and only one counts; rename one",
        );
        found.extend(findings.into_inner());
    }
    chosen.into_values().collect()
}

fn text<T: Serialize>(object: &T) -> String {
    serde_json::to_string(object).unwrap_or_default()
}
