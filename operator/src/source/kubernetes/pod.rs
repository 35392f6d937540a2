//! Pods as the mesh knows them: a Workload for the compiler, and facts for whoever checks a Pod's token.
//!
//! A Workload is a Pod that has a sidecar, its own network and an address, and has not ended: the address of a Pod that has
//! ended may be another one's by now. A terminating Pod is a Workload until it ends; `EndpointSlice`s say that it drains.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use crds::workload::{DIAL_ENDPOINTS, EXCLUDED_PORTS, POD, POD_GROUP, WorkloadPort};
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::inject::excluded_inbound_ports;
use crate::inject::names::{CONTAINERS, EXCLUDED_PORTS_FLAG, INJECTED_LABEL, INTERCEPT_CONTAINER, PORTS};

/// The kubelet's word on all containers.
pub(super) const CONTAINERS_READY: &str = "ContainersReady";

/// What is known of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInfo {
    /// Its UID.
    pub uid: String,
    /// Its service account.
    pub service_account: String,
    /// All its addresses.
    pub addresses: Vec<IpAddr>,
    /// It has ended: its containers run no more.
    pub ended: bool,
    /// It was deleted, and the time it had for its end is over then.
    pub gone_at: Option<SystemTime>,
}

/// The Pods that exist.
pub trait PodDirectory: Send + Sync + 'static {
    /// The Pod of this namespace and name.
    fn pod(&self, namespace: &str, name: &str) -> Option<PodInfo>;
}

/// The Pods that the API server told of.
#[derive(Clone)]
pub struct PodStore(pub(super) Store<Pod>);

impl std::fmt::Debug for PodStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PodStore").field(&self.0.len()).finish()
    }
}

impl PodStore {
    /// All of them, as the source keeps them.
    pub(crate) fn all(&self) -> Vec<std::sync::Arc<Pod>> {
        self.0.state()
    }
}

impl PodDirectory for PodStore {
    fn pod(&self, namespace: &str, name: &str) -> Option<PodInfo> {
        let pod = self.0.get(&ObjectRef::new(name).within(namespace))?;
        info(&pod)
    }
}

/// The facts; nothing if it has no UID.
pub(super) fn info(pod: &Pod) -> Option<PodInfo> {
    let gone_at = pod.metadata.deletion_timestamp.as_ref();
    Some(PodInfo {
        uid: pod.metadata.uid.clone()?,
        service_account: service_account(pod).to_owned(),
        addresses: addresses(pod),
        ended: ended(pod),
        // The API server says when the grace period is over.
        gone_at: gone_at.map(|time| {
            let seconds = u64::try_from(time.0.as_second()).unwrap_or(0);
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
        }),
    })
}

/// All its addresses, the primary one first.
pub(super) fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    let all = status.pod_ips.iter().flatten().map(|one| one.ip.as_str());
    let mut addresses: Vec<IpAddr> = Vec::new();
    for text in status.pod_ip.as_deref().into_iter().chain(all) {
        if let Ok(address) = text.parse()
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

/// Its addresses, if they are its own: not the node's, and not given to somebody else since.
pub(super) fn own_addresses(pod: &Pod) -> Vec<IpAddr> {
    if ended(pod) || on_host_network(pod) {
        return Vec::new();
    }
    addresses(pod)
}

/// The Workload that a meshed Pod is.
pub(super) fn workload(pod: &Pod) -> Option<crds::Workload> {
    let address = own_addresses(pod).first().copied().filter(|_| injected(pod))?;
    let metadata = ObjectMeta {
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        labels: pod.metadata.labels.clone(),
        creation_timestamp: pod.metadata.creation_timestamp.clone(),
        annotations: Some(notes(pod)),
        ..ObjectMeta::default()
    };
    let spec = crds::WorkloadSpec {
        address: Some(address.to_string()),
        ports: ports(pod),
        service_account: service_account(pod).to_owned(),
        process: None,
        unknown: BTreeMap::new(),
    };
    Some(crds::Workload { metadata, spec })
}

/// What the compiler has to know of a Pod, and a Workload has no field for.
fn notes(pod: &Pod) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::from([(POD.to_owned(), pod.metadata.uid.clone().unwrap_or_default())]);
    let annotation = |name| pod.metadata.annotations.as_ref().and_then(|all| all.get(name));
    // What interception was told: the annotation may have been changed since, which changes nothing in the Pod.
    let ports = excluded_ports(pod).and_then(|text| excluded_inbound_ports(text).ok());
    if let Some(ports) = ports {
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        notes.insert(EXCLUDED_PORTS.to_owned(), ports.join(","));
    }
    // Injection refuses what it cannot read, and nothing but "true" grants anything.
    if annotation(DIAL_ENDPOINTS).is_some_and(|text| text == "true") {
        notes.insert(DIAL_ENDPOINTS.to_owned(), "true".to_owned());
    }
    if let Some(controller) = controller(pod) {
        notes.insert(POD_GROUP.to_owned(), controller.to_owned());
    }
    notes
}

/// What controls a pruned Pod: the group of Pods whose labels name none.
pub(crate) fn controller(pod: &Pod) -> Option<&str> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations.get(POD_GROUP).map(String::as_str)
}

/// The flag of interception with the ports that it leaves alone.
fn excluded_ports(pod: &Pod) -> Option<&str> {
    let containers = pod.spec.as_ref()?.init_containers.as_deref()?;
    let interception = containers.iter().find(|one| one.name == INTERCEPT_CONTAINER)?;
    let mut flags = interception.args.iter().flatten();
    flags.find_map(|flag| flag.strip_prefix(EXCLUDED_PORTS_FLAG))
}

/// Whether it was injected: it has a sidecar.
pub(crate) fn injected(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels.is_some_and(|all| all.contains_key(INJECTED_LABEL))
}

fn service_account(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.service_account_name.as_deref())
        .filter(|name| !name.is_empty())
        .unwrap_or("default")
}

/// Whether the Pod is ready as far as its kubelet and its own readiness gates say.
pub(super) fn kubelet_says_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
    let holds = |kind: &str| {
        let mut all = conditions.unwrap_or_default().iter();
        all.any(|one| one.type_ == kind && one.status == "True")
    };
    let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    holds(CONTAINERS_READY) && gates.map(|gate| &gate.condition_type).all(|kind| holds(kind))
}

fn on_host_network(pod: &Pod) -> bool {
    pod.spec
        .as_ref()
        .is_some_and(|spec| spec.host_network.unwrap_or_default())
}

pub(crate) fn ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// TCP ports of containers that run with the Pod, without the proxy's. Containers may repeat each other; the first one counts.
fn ports(pod: &Pod) -> Vec<WorkloadPort> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let sidecar = |one: &&Container| one.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(sidecar);
    let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
    let mut ports = Vec::new();
    let containers = spec.containers.iter().chain(sidecars);
    let theirs = containers.filter(|one| !CONTAINERS.contains(&one.name.as_str()));
    for port in theirs.flat_map(|one| one.ports.iter().flatten()) {
        let tcp = port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP");
        let number = u16::try_from(port.container_port).unwrap_or(0);
        if !tcp || number == 0 || PORTS.contains(&number) || !numbers.insert(number) {
            continue;
        }
        ports.push(WorkloadPort {
            name: port.name.clone().filter(|name| names.insert(name.clone())),
            port: number,
            app_protocol: None,
            unknown: BTreeMap::new(),
        });
    }
    ports
}
