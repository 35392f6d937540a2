//! What should run: pure functions from the control plane's objects.

use std::net::{IpAddr, Ipv4Addr};

use crds::workload::Process;
use k8s_openapi::api::core::v1::Service;

use crate::netns::HostEntry;

/// A workload that the run starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredMember {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its address, as the control plane gave it.
    pub address: Ipv4Addr,
    /// Replicas of one thing share it.
    pub group: String,
    /// What it runs.
    pub process: Process,
}

impl DesiredMember {
    /// `namespace/name`: the proxy's id.
    pub fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The name of its network namespace and folders.
    pub fn member_name(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }
}

/// The workloads with a process and an IPv4 address, in order.
pub fn desired(workloads: &[crds::Workload]) -> Vec<DesiredMember> {
    let mut members: Vec<DesiredMember> = workloads.iter().filter_map(member).collect();
    members.sort_by_key(DesiredMember::id);
    members
}

fn member(workload: &crds::Workload) -> Option<DesiredMember> {
    let process = workload
        .spec
        .process
        .clone()
        .filter(|process| !process.command.is_empty())?;
    let address = workload.spec.address.as_deref()?.parse().ok()?;
    let name = workload.metadata.name.clone()?;
    let labels = workload.metadata.labels.clone().unwrap_or_default();
    let group = config::model::group_of(&labels, &name).to_owned();
    let namespace = workload
        .metadata
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    Some(DesiredMember {
        namespace,
        name,
        address,
        group,
        process,
    })
}

/// The names that a workload of `namespace` can resolve, as it could on Kubernetes.
pub(super) fn hosts(services: &[Service], namespace: &str) -> Vec<HostEntry> {
    services.iter().filter_map(|service| host(service, namespace)).collect()
}

fn host(service: &Service, namespace: &str) -> Option<HostEntry> {
    let name = service.metadata.name.as_deref()?;
    let own = service.metadata.namespace.as_deref().unwrap_or("default");
    let address: IpAddr = service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()?;
    let mut names = vec![
        format!("{name}.{own}"),
        format!("{name}.{own}.svc"),
        format!("{name}.{own}.svc.cluster.local"),
    ];
    if own == namespace {
        names.insert(0, name.to_owned());
    }
    Some(HostEntry { address, names })
}
