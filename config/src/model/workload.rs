//! Workloads: what one proxy stands in front of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Key, MtlsMode, PortFaults, PortLimits, PortPermission, Protocol, SpiffeId};

/// One port that the application listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundPort {
    /// The number.
    pub number: u16,
    /// The name, or the number as text.
    pub name: Arc<str>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether it accepts plaintext.
    pub mtls: MtlsMode,
    /// Who may call.
    pub permission: Arc<PortPermission>,
    /// How often.
    pub limits: Arc<PortLimits>,
    /// What is broken on purpose.
    pub faults: Arc<PortFaults>,
    /// Paths with `;` are refused, because an enforced rule looks at the path.
    pub refuse_path_parameters: bool,
}

/// The group of a workload with these labels: replicas of one thing share it.
pub fn group_of<'a>(labels: &'a BTreeMap<String, String>, name: &'a str) -> &'a str {
    labels
        .get("app.kubernetes.io/name")
        .or_else(|| labels.get("app"))
        .map_or(name, String::as_str)
}

/// A Pod, VM or process with one proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name; `<namespace>/<name>` is its proxy's id.
    pub key: Key,
    /// Its own address.
    pub address: IpAddr,
    /// Who it is.
    pub identity: SpiffeId,
    /// Replicas of one thing share it: the label `app.kubernetes.io/name` or `app`, else what controls the Pod, else the name.
    pub group: Arc<str>,
    /// It calls endpoints by their own addresses, past the Services that lead there.
    pub dials_endpoints: bool,
    /// Labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Declared ports by number.
    pub ports: BTreeMap<u16, Arc<InboundPort>>,
    /// Ports that its proxy does not take: everybody reaches them, in plaintext, and no policy holds there.
    pub excluded: BTreeSet<u16>,
    /// What holds for every other port: mTLS TCP. Number 0.
    pub undeclared: Arc<InboundPort>,
}
