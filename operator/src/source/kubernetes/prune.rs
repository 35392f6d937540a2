//! What of each object is kept. The rest is dropped before it is stored: it would only cost memory, and make an object look
//! changed of which nothing that we read changed.

use k8s_openapi::api::core::v1::{Container, Namespace, Pod, PodCondition, PodSpec, PodStatus, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;

use super::pod::CONTAINERS_READY;
use crate::inject::names::INTERCEPT_CONTAINER;
use crds::workload::{DIAL_ENDPOINTS, POD_GROUP};

/// An object of ours: all but what the API server and controllers note in it.
pub(super) fn ours(object: &mut DynamicObject) {
    metadata(&mut object.metadata);
    if let Some(fields) = object.data.as_object_mut() {
        fields.remove("status");
    }
}

/// A Namespace: its labels.
pub(super) fn namespace(object: &mut Namespace) {
    metadata(&mut object.metadata);
    object.metadata.annotations = None;
    (object.spec, object.status) = (None, None);
}

/// A Service: its spec.
pub(super) fn service(object: &mut Service) {
    metadata(&mut object.metadata);
    object.metadata.annotations = None;
    object.status = None;
}

/// An `EndpointSlice`: its addresses, and whose they are.
pub(super) fn slice(object: &mut EndpointSlice) {
    metadata(&mut object.metadata);
    object.metadata.annotations = None;
    object.metadata.generation = None;
    for endpoint in &mut object.endpoints {
        (endpoint.hints, endpoint.zone, endpoint.node_name) = (None, None, None);
        (endpoint.hostname, endpoint.deprecated_topology) = (None, None);
    }
}

/// A Pod: who it is, where it is, which ports it declares, and whether it is ready but for its node.
pub(super) fn pod(object: &mut Pod) {
    let controller = crate::inject::controller(object);
    metadata(&mut object.metadata);
    object.metadata.generation = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.retain(|name, _| name == DIAL_ENDPOINTS);
    }
    // One word of the owner is enough, and what a user wrote under this name is gone by now.
    if let Some(controller) = controller {
        let annotations = object.metadata.annotations.get_or_insert_default();
        annotations.insert(POD_GROUP.to_owned(), controller);
    }
    object.spec = object.spec.take().map(|spec| PodSpec {
        service_account_name: spec.service_account_name,
        host_network: spec.host_network,
        containers: spec.containers.into_iter().map(container).collect(),
        init_containers: spec
            .init_containers
            .map(|containers| containers.into_iter().map(container).collect()),
        readiness_gates: spec.readiness_gates,
        ..PodSpec::default()
    });
    let gates = object.spec.as_ref().and_then(|spec| spec.readiness_gates.clone());
    let counts = |kind: &str| {
        let mut gates = gates.iter().flatten();
        kind == CONTAINERS_READY || gates.any(|gate| gate.condition_type == kind)
    };
    object.status = object.status.take().map(|status| PodStatus {
        phase: status.phase,
        pod_ip: status.pod_ip,
        pod_ips: status.pod_ips,
        conditions: status.conditions.map(|conditions| {
            let kept = conditions.into_iter().filter(|one| counts(&one.type_));
            kept.map(condition).collect()
        }),
        ..PodStatus::default()
    });
}

/// Without its times, which change when nothing else does.
fn condition(condition: PodCondition) -> PodCondition {
    PodCondition {
        type_: condition.type_,
        status: condition.status,
        ..PodCondition::default()
    }
}

fn container(container: Container) -> Container {
    Container {
        args: container.args.filter(|_| container.name == INTERCEPT_CONTAINER),
        name: container.name,
        ports: container.ports,
        restart_policy: container.restart_policy,
        ..Container::default()
    }
}

fn metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    metadata.resource_version = None;
    metadata.self_link = None;
    metadata.owner_references = None;
    metadata.finalizers = None;
    metadata.generate_name = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}
