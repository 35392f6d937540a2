//! Nodes -> topology: which workloads serve which Service ports, what each port speaks, and whether it accepts plaintext.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crds::conditions::Reason;

use super::topology::{Place, PortFacts, PortId, ServiceFacts, ServicePortFacts, Topology, UNDECLARED};
use crate::diagnostic::Diagnostic;
use crate::model::{Endpoint, Key, MtlsMode, Protocol, SpiffeId};
use crate::parse::Parsed;
use crate::parse::findings::Findings;
use crate::parse::mesh::{MeshNode, OverrideNode};
use crate::parse::protocol::well_known;
use crate::parse::service::{ServiceNode, ServicePortNode, SliceNode, TargetPort};
use crate::parse::workload::WorkloadNode;

/// Surveys all workloads and Services.
pub(super) fn survey(parsed: &Parsed, system_namespace: &Arc<str>, found: &mut Vec<Diagnostic>) -> Topology {
    let index = Index::new(parsed);
    let mut services: BTreeMap<Key, ServiceFacts> = BTreeMap::new();
    for service in &parsed.services {
        services.insert(service.key.clone(), index.service(service));
    }
    let stated = stated_by_services(parsed, &services, found);
    let mut workloads = BTreeMap::new();
    for node in &parsed.workloads {
        workloads.insert(node.key.clone(), place(node, &stated, &parsed.mesh));
    }
    Topology {
        mesh: Arc::new(parsed.mesh.mesh.clone()),
        system_namespace: Arc::clone(system_namespace),
        workloads,
        services,
    }
}

/// What Services ask again and again.
struct Index<'a> {
    by_address: BTreeMap<IpAddr, Vec<&'a WorkloadNode>>,
    by_namespace: BTreeMap<&'a str, Vec<&'a WorkloadNode>>,
    slices: BTreeMap<&'a Key, Vec<&'a SliceNode>>,
    identities: BTreeMap<&'a Key, SpiffeId>,
}

impl<'a> Index<'a> {
    fn new(parsed: &'a Parsed) -> Self {
        let mut index = Self {
            by_address: BTreeMap::new(),
            by_namespace: BTreeMap::new(),
            slices: BTreeMap::new(),
            identities: BTreeMap::new(),
        };
        for workload in &parsed.workloads {
            index.by_address.entry(workload.address).or_default().push(workload);
            index
                .by_namespace
                .entry(&workload.key.namespace)
                .or_default()
                .push(workload);
            index.identities.insert(&workload.key, identity(workload, &parsed.mesh));
        }
        for slice in &parsed.slices {
            index.slices.entry(&slice.service).or_default().push(slice);
        }
        index
    }

    fn service(&self, node: &ServiceNode) -> ServiceFacts {
        let selected: Vec<&WorkloadNode> = match self.by_namespace.get(&*node.key.namespace) {
            Some(workloads) if !node.selector.is_empty() => {
                let fits = |w: &&&WorkloadNode| {
                    node.selector
                        .iter()
                        .all(|(name, value)| w.labels.get(name) == Some(value))
                };
                workloads.iter().filter(fits).copied().collect()
            }
            _ => Vec::new(),
        };
        let ports = node
            .ports
            .iter()
            .map(|port| (port.number, self.port(node, port, &selected)))
            .collect();
        ServiceFacts {
            addresses: node.addresses.clone(),
            first_port: node.first_port,
            ports,
        }
    }

    fn port(&self, node: &ServiceNode, port: &ServicePortNode, selected: &[&WorkloadNode]) -> ServicePortFacts {
        let mut behind: BTreeMap<PortId, &WorkloadNode> = BTreeMap::new();
        let mut endpoints: BTreeMap<(IpAddr, u16), Endpoint> = BTreeMap::new();
        for workload in selected {
            let Some(number) = target_number(&port.target, workload) else {
                continue;
            };
            behind.insert((workload.key.clone(), number), workload);
            if workload.by_slices {
                continue;
            }
            let endpoint = Endpoint {
                address: workload.address,
                port: number,
                workload: Some(workload.key.clone()),
                draining: false,
            };
            endpoints.insert((workload.address, number), endpoint);
        }
        for slice in self.slices.get(&node.key).into_iter().flatten() {
            let Some((_, number)) = slice.ports.iter().find(|(name, _)| *name == port.name) else {
                continue;
            };
            for one in &slice.endpoints {
                let workload = self.at(one.address, *number, &node.key.namespace);
                if let Some(workload) = workload {
                    behind.insert((workload.key.clone(), *number), workload);
                }
                // A port that the proxy does not take speaks no mTLS.
                let proxied = workload.filter(|workload| !workload.excluded.contains(number));
                let workload = proxied.map(|workload| workload.key.clone());
                let endpoint = Endpoint {
                    address: one.address,
                    port: *number,
                    workload,
                    draining: one.draining,
                };
                if one.serving {
                    endpoints.entry((one.address, *number)).or_insert(endpoint);
                }
            }
        }
        let identities: BTreeSet<SpiffeId> = endpoints
            .values()
            .filter_map(|endpoint| self.identities.get(endpoint.workload.as_ref()?).cloned())
            .collect();
        let protocol = service_protocol(port, &behind);
        behind.retain(|id, workload| !workload.excluded.contains(&id.1));
        ServicePortFacts {
            name: Arc::clone(&port.name),
            protocol,
            endpoints: Arc::new(endpoints.into_values().collect()),
            identities: Arc::new(identities),
            behind: behind.into_keys().collect(),
        }
    }

    /// The workload at an address; of several (loopback) the one that declares the port. A Pod proved its address; a Workload only
    /// says it, so it counts for Services of its own namespace and takes no endpoint from others.
    fn at(&self, address: IpAddr, port: u16, namespace: &str) -> Option<&'a WorkloadNode> {
        let all = self.by_address.get(&address)?.iter().copied();
        let here: Vec<_> = all
            .filter(|workload| workload.by_slices || *workload.key.namespace == *namespace)
            .collect();
        let declares = here.iter().find(|workload| workload.ports.contains_key(&port));
        declares.or_else(|| here.first()).copied()
    }
}

fn identity(workload: &WorkloadNode, mesh: &MeshNode) -> SpiffeId {
    SpiffeId::of(
        &mesh.mesh.trust_domain,
        &workload.key.namespace,
        &workload.service_account,
    )
}

fn target_number(target: &TargetPort, workload: &WorkloadNode) -> Option<u16> {
    match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => workload
            .ports
            .iter()
            .find(|(_, port)| port.name == *name)
            .map(|(number, _)| *number),
    }
}

/// What the Service states, or a well-known number, or what all workloads behind it say, or TCP.
fn service_protocol(port: &ServicePortNode, behind: &BTreeMap<PortId, &WorkloadNode>) -> Protocol {
    let here = port.stated.or_else(|| well_known(port.number));
    here.unwrap_or_else(|| {
        let said: BTreeSet<Option<Protocol>> = behind
            .iter()
            .map(|(id, workload)| {
                workload
                    .ports
                    .get(&id.1)
                    .and_then(|port| port.stated)
                    .or_else(|| well_known(id.1))
            })
            .collect();
        match said.first() {
            Some(Some(protocol)) if said.len() == 1 => *protocol,
            _ => Protocol::Tcp,
        }
    })
}

/// What Services of the same namespace make known about workload ports: that they exist, and perhaps what they speak. Of several
/// that disagree the first by name counts.
fn stated_by_services(
    parsed: &Parsed,
    services: &BTreeMap<Key, ServiceFacts>,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<PortId, Option<(Protocol, Key)>> {
    let mut stated: BTreeMap<PortId, Option<(Protocol, Key)>> = BTreeMap::new();
    for node in &parsed.services {
        let Some(facts) = services.get(&node.key) else { continue };
        let mut findings = Findings::new(&node.object);
        for (index, port) in node.ports.iter().enumerate() {
            let says = port.stated.or_else(|| well_known(port.number));
            let behind = facts
                .ports
                .get(&port.number)
                .into_iter()
                .flat_map(|facts| &facts.behind);
            for id in behind.filter(|id| id.0.namespace == node.key.namespace) {
                let known = stated.entry(id.clone()).or_default();
                match (&known, says) {
                    (None, Some(says)) => *known = Some((says, node.key.clone())),
                    (Some((earlier, by)), Some(says)) if *earlier != says && *by != node.key => {
                        let message = format!(
                            "Service {by} says that port {} of {} speaks {earlier:?}, which counts; make both appProtocols the same, or declare it on the Workload",
                            id.1, id.0
                        );
                        findings.warning(&format!("spec.ports[{index}].appProtocol"), Reason::Conflicted, message);
                    }
                    _ => {}
                }
            }
        }
        found.extend(findings.into_inner());
    }
    stated
}

fn place(node: &WorkloadNode, stated: &BTreeMap<PortId, Option<(Protocol, Key)>>, mesh: &MeshNode) -> Place {
    let first = (node.key.clone(), 0);
    let last = (node.key.clone(), u16::MAX);
    let by_services: BTreeMap<u16, Option<Protocol>> = stated
        .range(first..=last)
        .map(|(id, says)| (id.1, says.as_ref().map(|says| says.0)))
        .collect();
    let numbers: BTreeSet<u16> = node.ports.keys().chain(by_services.keys()).copied().collect();
    let mut ports = BTreeMap::new();
    for number in numbers.difference(&node.excluded).copied() {
        let own = node.ports.get(&number);
        let protocol = own
            .and_then(|own| own.stated)
            .or_else(|| by_services.get(&number).copied().flatten())
            .or_else(|| well_known(number))
            .unwrap_or(Protocol::Tcp);
        let name = own.map_or_else(|| Arc::from(number.to_string()), |own| Arc::clone(&own.name));
        ports.insert(
            number,
            PortFacts {
                name,
                protocol,
                mtls: mode(node, mesh, |_, port| port == number),
            },
        );
    }
    let undeclared = PortFacts {
        name: "undeclared".into(),
        protocol: Protocol::Tcp,
        mtls: undeclared_mode(node, &ports, mesh),
    };
    ports.insert(UNDECLARED, undeclared);
    Place {
        node: node.clone(),
        identity: identity(node, mesh),
        ports,
    }
}

/// The mode of a port. The first override that fits counts; `about` says whether one that names this port does.
fn mode(node: &WorkloadNode, mesh: &MeshNode, about: impl Fn(&OverrideNode, u16) -> bool) -> MtlsMode {
    let fits = |one: &&OverrideNode| {
        one.namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == node.key.namespace)
            && one
                .labels
                .iter()
                .all(|(name, value)| node.labels.get(name) == Some(value))
            && one.port.is_none_or(|port| about(one, port))
    };
    mesh.overrides.iter().find(fits).map_or(mesh.mesh.mtls, |one| one.mode)
}

/// The mode of all undeclared ports together: Strict for one of them is Strict for all, Permissive for one is for none.
fn undeclared_mode(node: &WorkloadNode, declared: &BTreeMap<u16, PortFacts>, mesh: &MeshNode) -> MtlsMode {
    mode(node, mesh, |one, port| {
        one.mode == MtlsMode::Strict && !declared.contains_key(&port)
    })
}
