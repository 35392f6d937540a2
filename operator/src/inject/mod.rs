//! Injection: what a pod of the mesh gets, as a JSON patch. Pure: no cluster, no clock, no files.
//!
//! Our two init containers come first, Envoy as a native sidecar: so the application's own init containers have a network that
//! is already the mesh's. A pod may come again (`reinvocationPolicy: IfNeeded`, or a copy of a living pod): only what is new is
//! changed then. Operations name single fields, so that fields of a newer Kubernetes survive. What cannot be in the
//! mesh is refused, with a reason, never let in beside it.

mod additions;
mod checks;
pub mod names;
mod operations;
mod options;
mod probes;
mod quantity;
mod refusal;

use std::collections::BTreeMap;

use json_patch::{Patch, PatchOperation};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use serde_json::{Value, json};

use additions::{Additions, PROBES_VARIABLE, additions};
use checks::Earlier;
use names::{CONTAINERS, INJECT_LABEL, INJECTED_LABEL, PROBES_ANNOTATION, VOLUMES};
use operations::{add, at, remove, replace, shift};
pub use options::excluded_inbound_ports;
pub use probes::{Check, Pace, ProbeTable, Use, path as probe_path};
pub use refusal::Refusal;

/// What is the same for all pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectSettings {
    /// The image with `tulle`.
    pub image: String,
    /// The image with Envoy.
    pub envoy_image: String,
    /// Where proxies find the control plane, `HOST:PORT`.
    pub control_plane: String,
    /// The CPU that Envoy requests, unless the pod says otherwise.
    pub proxy_cpu: String,
    /// The memory that Envoy requests, unless the pod says otherwise.
    pub proxy_memory: String,
}

impl InjectSettings {
    /// The usual settings with an image and a control plane.
    pub fn new(image: impl Into<String>, control_plane: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            envoy_image: format!("docker.io/envoyproxy/envoy:v{}", crate::envoy_binary::PINNED),
            control_plane: control_plane.into(),
            proxy_cpu: "100m".to_owned(),
            proxy_memory: "128Mi".to_owned(),
        }
    }
}

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Injection {
    /// It stays out of the mesh, as its label says.
    LeftAlone,
    /// It is in the mesh, once this is applied; empty if it was already.
    Patched(Patch),
}

/// Decides about a pod.
pub fn inject(pod: &Pod, settings: &InjectSettings) -> Result<Injection, Refusal> {
    if opted_out(pod)? {
        return Ok(Injection::LeftAlone);
    }
    let Some(spec) = &pod.spec else {
        return Err(Refusal::new("spec", "the pod has none", "write one"));
    };
    checks::can_be_in_the_mesh(pod, spec)?;
    let earlier = checks::earlier(pod, spec)?;
    let none = BTreeMap::new();
    let options = options::parse(pod.metadata.annotations.as_ref().unwrap_or(&none))?;
    let known = earlier
        .as_ref()
        .map_or_else(ProbeTable::default, |earlier| earlier.table.clone());
    let probes = probes::rewrite(&applications(spec), &known, &options.inbound_ports)?;
    let additions = additions(settings, &options, controller(pod).as_deref(), &probes.table);
    let mut operations = probes.operations;
    operations.extend(containers(spec, &additions, earlier.as_ref(), &probes.table));
    operations.extend(volumes(spec, &additions, earlier.as_ref()));
    operations.extend(marks(pod, &additions.version, &probes.table));
    Ok(Injection::Patched(Patch(operations)))
}

fn opted_out(pod: &Pod) -> Result<bool, Refusal> {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(INJECT_LABEL));
    match label.map(String::as_str) {
        None | Some("true") => Ok(false),
        Some("false") => Ok(true),
        Some(other) => {
            let reason = format!("{other:?} says neither that the pod is in the mesh nor that it is not");
            let field = format!("metadata.labels[{INJECT_LABEL}]");
            Err(Refusal::new(
                field,
                reason,
                "write \"true\" or \"false\", or remove the label",
            ))
        }
    }
}

/// The containers that are not ours, with their paths.
fn applications(spec: &PodSpec) -> Vec<(Vec<String>, &Container)> {
    let list = |field: &'static str, containers: &'_ [Container]| -> Vec<Vec<String>> {
        (0..containers.len())
            .map(|index| at(&["spec", field, &index.to_string()]))
            .collect()
    };
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let paths = list("initContainers", init)
        .into_iter()
        .chain(list("containers", &spec.containers));
    let all = paths.zip(init.iter().chain(&spec.containers));
    all.filter(|(_, container)| !CONTAINERS.contains(&container.name.as_str()))
        .collect()
}

/// Ours, first and in their order. Those of an earlier injection are kept, unless they are of another version.
fn containers(spec: &PodSpec, new: &Additions, earlier: Option<&Earlier>, table: &ProbeTable) -> Vec<PatchOperation> {
    let position = |index: usize| at(&["spec", "initContainers", &index.to_string()]);
    let wanted = [&new.intercept, &new.proxy];
    let Some(init) = &spec.init_containers else {
        return vec![add(&at(&["spec", "initContainers"]), json!(wanted))];
    };
    let Some(earlier) = earlier else {
        let insert = wanted.iter().enumerate();
        return insert
            .map(|(index, &container)| add(&position(index), container.clone()))
            .collect();
    };
    let mut order: Vec<&str> = init.iter().map(|container| container.name.as_str()).collect();
    let mut operations = Vec::new();
    for (index, (name, wanted)) in CONTAINERS.into_iter().zip(wanted).enumerate() {
        let Some(found) = order.iter().position(|other| *other == name) else {
            continue;
        };
        if found != index {
            operations.push(shift(&position(found), &position(index)));
            order.remove(found);
            order.insert(index, name);
        }
        if earlier.version != new.version {
            operations.push(replace(&position(index), wanted.clone()));
        }
    }
    let intercept = init
        .iter()
        .find(|container| CONTAINERS.first() == Some(&container.name.as_str()));
    if let Some(intercept) = intercept.filter(|_| earlier.version == new.version && earlier.table != *table) {
        operations.push(with_probes(intercept, &position(0), table));
    }
    operations
}

/// The table in the environment of a container that stays.
fn with_probes(intercept: &Container, position: &[String], table: &ProbeTable) -> PatchOperation {
    let variable = json!({"name": PROBES_VARIABLE, "value": table.to_json()});
    let below = |parts: &[&str]| position.iter().cloned().chain(at(parts)).collect::<Vec<_>>();
    let variables = intercept.env.as_deref().unwrap_or_default();
    match variables.iter().position(|other| other.name == PROBES_VARIABLE) {
        Some(index) => replace(&below(&["env", &index.to_string()]), variable),
        None if intercept.env.is_some() => add(&below(&["env", "-"]), variable),
        None => add(&below(&["env"]), json!([variable])),
    }
}

fn volumes(spec: &PodSpec, new: &Additions, earlier: Option<&Earlier>) -> Vec<PatchOperation> {
    let all = at(&["spec", "volumes"]);
    let Some(volumes) = &spec.volumes else {
        return vec![add(&all, json!(new.volumes))];
    };
    let stale = |name: &str| VOLUMES.contains(&name) && earlier.is_some_and(|earlier| earlier.version != new.version);
    let mut operations = Vec::new();
    // From the end, so that earlier positions stay what they are.
    for (index, volume) in volumes.iter().enumerate().rev() {
        if stale(&volume.name) {
            operations.push(remove(&at(&["spec", "volumes", &index.to_string()])));
        }
    }
    let there = |wanted: &Value| {
        volumes
            .iter()
            .any(|volume| wanted["name"] == volume.name && !stale(&volume.name))
    };
    let missing = new.volumes.iter().filter(|wanted| !there(wanted));
    operations.extend(missing.map(|volume| add(&at(&["spec", "volumes", "-"]), volume.clone())));
    operations
}

fn marks(pod: &Pod, version: &str, table: &ProbeTable) -> Vec<PatchOperation> {
    let mut operations = Vec::new();
    for (field, there, key, value) in [
        ("labels", &pod.metadata.labels, INJECTED_LABEL, version.to_owned()),
        (
            "annotations",
            &pod.metadata.annotations,
            PROBES_ANNOTATION,
            table.to_json(),
        ),
    ] {
        match there {
            None => operations.push(add(&at(&["metadata", field]), json!({key: value}))),
            Some(there) if there.get(key) != Some(&value) => {
                operations.push(add(&at(&["metadata", field, key]), value.into()));
            }
            Some(_) => {}
        }
    }
    operations
}

/// The workload of which a pod is a replica: what controls it; for a Deployment its name, not the `ReplicaSet`'s.
pub(crate) fn controller(pod: &Pod) -> Option<String> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    let hash = pod
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get("pod-template-hash"));
    let deployment = hash.filter(|_| owner.kind == "ReplicaSet").and_then(|hash| {
        let (name, suffix) = owner.name.rsplit_once('-')?;
        (suffix == hash).then(|| name.to_owned())
    });
    Some(deployment.unwrap_or_else(|| owner.name.clone()))
}
