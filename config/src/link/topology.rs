//! Workloads, Services and how they hang together: the first half of link, without any policy.
//!
//! Every policy asks the topology which workload ports a target means. Services declare ports on workloads of their own
//! namespace only, so that nobody changes the protocol of somebody else's port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Endpoint, Key, Mesh, MtlsMode, Protocol, SpiffeId};
use crate::parse::workload::WorkloadNode;

/// A workload port; number 0 stands for all ports that nobody declared.
pub(crate) type PortId = (Key, u16);

/// The number that stands for all undeclared ports.
pub(crate) const UNDECLARED: u16 = 0;

/// A workload port's number as people say it.
pub(crate) fn say(number: u16) -> String {
    if number == UNDECLARED {
        "every undeclared port".to_owned()
    } else {
        format!("port {number}")
    }
}

/// What is known of one workload port before any policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortFacts {
    /// The name, or the number as text.
    pub(crate) name: Arc<str>,
    pub(crate) protocol: Protocol,
    pub(crate) mtls: MtlsMode,
}

/// A workload and its ports, the undeclared ones under [`UNDECLARED`].
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) node: WorkloadNode,
    pub(crate) identity: SpiffeId,
    pub(crate) ports: BTreeMap<u16, PortFacts>,
}

/// One port of a Service.
#[derive(Clone, Debug)]
pub(crate) struct ServicePortFacts {
    pub(crate) name: Arc<str>,
    pub(crate) protocol: Protocol,
    pub(crate) endpoints: Arc<Vec<Endpoint>>,
    pub(crate) identities: Arc<BTreeSet<SpiffeId>>,
    /// The workload ports behind it, ready or not.
    pub(crate) behind: BTreeSet<PortId>,
}

/// A Service.
#[derive(Clone, Debug)]
pub(crate) struct ServiceFacts {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) first_port: Option<u16>,
    pub(crate) ports: BTreeMap<u16, ServicePortFacts>,
}

impl ServiceFacts {
    /// The port with this name or number.
    pub(crate) fn port(&self, name: &str) -> Option<(u16, &ServicePortFacts)> {
        let by_name = self
            .ports
            .iter()
            .find(|(_, port)| !port.name.is_empty() && &*port.name == name);
        by_name
            .or_else(|| self.ports.get_key_value(&name.parse().ok()?))
            .map(|(number, port)| (*number, port))
    }
}

/// Everything that policies are about.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) system_namespace: Arc<str>,
    pub(crate) workloads: BTreeMap<Key, Place>,
    pub(crate) services: BTreeMap<Key, ServiceFacts>,
}

impl Topology {
    /// What is known of a port.
    pub(crate) fn port(&self, id: &PortId) -> Option<&PortFacts> {
        self.workloads.get(&id.0)?.ports.get(&id.1)
    }

    /// Whether requests can be seen on it.
    pub(crate) fn is_http(&self, id: &PortId) -> bool {
        self.port(id).is_some_and(|port| port.protocol.is_http())
    }

    /// All ports of all workloads of which the test holds, the undeclared ones included.
    pub(crate) fn ports_where(&self, test: impl Fn(&Place) -> bool) -> BTreeSet<PortId> {
        let places = self.workloads.iter().filter(|(_, place)| test(place));
        places
            .flat_map(|(key, place)| place.ports.keys().map(move |number| (key.clone(), *number)))
            .collect()
    }

    /// Every identity that a workload can prove.
    pub(crate) fn identities(&self) -> BTreeSet<SpiffeId> {
        self.workloads.values().map(|place| place.identity.clone()).collect()
    }
}
