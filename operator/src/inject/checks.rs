//! Pods that cannot be in the mesh, and what says that a pod is injected already.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::Refusal;
use super::names::{CONTAINERS, INJECTED_LABEL, PORTS, PROBES_ANNOTATION, VOLUMES};
use super::options::field;
use super::probes::ProbeTable;
use super::refusal::OPT_OUT;
use crate::process::ENVOY_UID;

/// What an earlier injection left.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// The version of what it added.
    pub(super) version: String,
    /// The probes that it rewrote.
    pub(super) table: ProbeTable,
}

/// Reads the marks of an earlier injection; refuses a pod that has only a part of them.
pub(super) fn earlier(pod: &Pod, spec: &PodSpec) -> Result<Option<Earlier>, Refusal> {
    let version = pod
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(INJECTED_LABEL));
    let table = pod
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(PROBES_ANNOTATION));
    let own: BTreeSet<&str> = spec
        .init_containers
        .iter()
        .flatten()
        .map(|container| container.name.as_str())
        .filter(|name| CONTAINERS.contains(name))
        .collect();
    if spec
        .containers
        .iter()
        .any(|container| CONTAINERS.contains(&container.name.as_str()))
    {
        let reason = format!("the names {} are the mesh's", CONTAINERS.join(" and "));
        return Err(Refusal::new(
            "spec.containers",
            reason,
            "give the container another name",
        ));
    }
    let Some(version) = version else {
        never_injected(spec, !own.is_empty(), table.is_some())?;
        return Ok(None);
    };
    let label = format!("metadata.labels[{INJECTED_LABEL}]");
    if own.len() != CONTAINERS.len() {
        let reason = "the label says that the pod is injected, but its containers are not all there";
        return Err(Refusal::new(label, reason, "remove the label; injection writes it"));
    }
    let table = table
        .map(|text| serde_json::from_str(text))
        .transpose()
        .map_err(|error| {
            let reason = format!("not as injection wrote it ({error})");
            Refusal::new(field(PROBES_ANNOTATION), reason, "start again from the pod's template")
        })?;
    Ok(Some(Earlier {
        version: version.clone(),
        table: table.unwrap_or_default(),
    }))
}

/// A pod without our label must have nothing of ours.
fn never_injected(spec: &PodSpec, has_containers: bool, has_table: bool) -> Result<(), Refusal> {
    if has_containers {
        let reason = format!("the names {} are the mesh's", CONTAINERS.join(" and "));
        return Err(Refusal::new(
            "spec.initContainers",
            reason,
            "give the container another name",
        ));
    }
    if has_table {
        let reason = "only injection writes this annotation";
        return Err(Refusal::new(field(PROBES_ANNOTATION), reason, "remove it"));
    }
    volumes_are_free(spec)
}

fn volumes_are_free(spec: &PodSpec) -> Result<(), Refusal> {
    let mut volumes = spec.volumes.iter().flatten().map(|volume| &volume.name);
    match volumes.find(|name| VOLUMES.contains(&name.as_str())) {
        Some(name) => Err(Refusal::new(
            "spec.volumes",
            format!("the name {name} is the mesh's"),
            "choose another one",
        )),
        None => Ok(()),
    }
}

/// Refuses what cannot work behind a proxy, or would be around it.
pub(super) fn can_be_in_the_mesh(pod: &Pod, spec: &PodSpec) -> Result<(), Refusal> {
    if spec.host_network == Some(true) {
        let reason = "a pod in the host's network cannot be intercepted: its rules would be the node's";
        return Err(Refusal::new(
            "spec.hostNetwork",
            reason,
            format!("remove it, {OPT_OUT}"),
        ));
    }
    if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
        let reason = "only Linux has what intercepts connections";
        return Err(Refusal::new("spec.os", reason, OPT_OUT.trim_start_matches("or ")));
    }
    let annotations = pod.metadata.annotations.as_ref();
    if annotations.is_some_and(|all| all.contains_key("kubernetes.io/config.mirror")) {
        let reason = "a static pod runs as its node's file says, whatever the API server adds";
        return Err(Refusal::new(
            "metadata.annotations",
            reason,
            "make it a DaemonSet or a Deployment",
        ));
    }
    let pod_user = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    for container in containers(spec).filter(|container| !CONTAINERS.contains(&container.name.as_str())) {
        user_is_not_the_proxys(container, pod_user)?;
        ports_are_not_the_proxys(container)?;
        // It would hold the proxy's token.
        if container
            .volume_mounts
            .iter()
            .flatten()
            .any(|mount| VOLUMES.contains(&mount.name.as_str()))
        {
            let reason = format!("container {} mounts a volume of the proxy", container.name);
            return Err(Refusal::new("spec.containers.volumeMounts", reason, "remove the mount"));
        }
    }
    Ok(())
}

/// What runs as the proxy's user is not intercepted.
fn user_is_not_the_proxys(container: &Container, pod_user: Option<i64>) -> Result<(), Refusal> {
    let own = container
        .security_context
        .as_ref()
        .and_then(|context| context.run_as_user);
    if own.or(pod_user) != Some(ENVOY_UID.into()) {
        return Ok(());
    }
    let reason = format!(
        "container {} would run as user {ENVOY_UID}, whose connections pass no proxy",
        container.name
    );
    Err(Refusal::new(
        "spec.securityContext.runAsUser",
        reason,
        "choose another user",
    ))
}

fn ports_are_not_the_proxys(container: &Container) -> Result<(), Refusal> {
    let ports = container.ports.iter().flatten();
    let mut tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    let taken = tcp.find(|port| PORTS.iter().any(|own| i32::from(*own) == port.container_port));
    let Some(port) = taken else { return Ok(()) };
    let reason = format!(
        "container {} has port {}, which is the proxy's",
        container.name, port.container_port
    );
    Err(Refusal::new(
        "spec.containers.ports",
        reason,
        "let the container listen on another port",
    ))
}

/// All containers of a pod.
pub(super) fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}
