//! Kubernetes Services and `EndpointSlice`s, reduced to what the mesh needs.
//!
//! Services without TCP ports and `ExternalName` Services are no part of the mesh; a diagnostic says so.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crds::conditions::Reason;
use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::findings::Findings;
use super::protocol;
use crate::diagnostic::Diagnostic;
use crate::model::{Key, Protocol};
use crate::origin::ObjectRef;

/// Where a Service port leads on the workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetPort {
    /// A port number.
    Number(u16),
    /// A named port of the workload.
    Name(Arc<str>),
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePortNode {
    pub(crate) number: u16,
    /// May be empty.
    pub(crate) name: Arc<str>,
    pub(crate) target: TargetPort,
    /// What the Service states about it.
    pub(crate) stated: Option<Protocol>,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceNode {
    pub(crate) object: Arc<ObjectRef>,
    pub(crate) key: Key,
    /// Sorted.
    pub(crate) addresses: Vec<IpAddr>,
    /// Empty selects nothing.
    pub(crate) selector: BTreeMap<String, String>,
    pub(crate) ports: Vec<ServicePortNode>,
    /// The number of the one that its author wrote first.
    pub(crate) first_port: Option<u16>,
}

/// One place of an `EndpointSlice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SliceEndpoint {
    pub(crate) address: IpAddr,
    /// Callers may use it. Policies concern it in any case.
    pub(crate) serving: bool,
    pub(crate) draining: bool,
}

/// An `EndpointSlice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SliceNode {
    pub(crate) service: Key,
    /// Port number by the name of the Service's port.
    pub(crate) ports: Vec<(Arc<str>, u16)>,
    pub(crate) endpoints: Vec<SliceEndpoint>,
}

/// Parses a Service; `None` if it is no part of the mesh.
pub(crate) fn service(service: &v1::Service) -> (Option<ServiceNode>, Vec<Diagnostic>) {
    let namespace = service.metadata.namespace.as_deref().unwrap_or("default");
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let object = Arc::new(ObjectRef::new("Service", namespace, name));
    let mut findings = Findings::new(&object);
    let spec = service.spec.as_ref();
    if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
        findings.warning(
            "spec.type",
            Reason::NotSupportedYet,
            "ExternalName Services are not in the mesh yet; call the external name itself",
        );
        return (None, findings.into_inner());
    }
    let ports = spec.map(|spec| ports(spec, &mut findings)).unwrap_or_default();
    let written = spec.into_iter().flat_map(|spec| spec.ports.iter().flatten());
    let mut written = written.filter_map(|port| port_number(port.port));
    let node = ServiceNode {
        first_port: written.find(|number| ports.iter().any(|port| port.number == *number)),
        key: Key::new(namespace, name),
        addresses: spec.map(|spec| addresses(spec, &mut findings)).unwrap_or_default(),
        selector: spec.and_then(|spec| spec.selector.clone()).unwrap_or_default(),
        ports,
        object,
    };
    (Some(node), findings.into_inner())
}

fn addresses(spec: &v1::ServiceSpec, findings: &mut Findings) -> Vec<IpAddr> {
    let single = spec.cluster_ip.iter();
    let mut addresses: Vec<IpAddr> = Vec::new();
    for text in single.chain(spec.cluster_ips.iter().flatten()) {
        match text.parse() {
            Ok(address) => addresses.push(address),
            Err(_) if text == "None" || text.is_empty() => {}
            Err(_) => findings.error(
                "spec.clusterIP",
                Reason::Invalid,
                format!("{text:?} is not an IP address; correct it or remove it"),
            ),
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn ports(spec: &v1::ServiceSpec, findings: &mut Findings) -> Vec<ServicePortNode> {
    let mut nodes: BTreeMap<u16, ServicePortNode> = BTreeMap::new();
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let path = format!("spec.ports[{index}]");
        if port.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
            findings.warning(
                &format!("{path}.protocol"),
                Reason::NotSupportedYet,
                "only TCP ports are in the mesh; this port is left alone",
            );
            continue;
        }
        let Some(number) = port_number(port.port) else {
            findings.error(
                &format!("{path}.port"),
                Reason::Invalid,
                format!("{} is not a port; use 1 to 65535", port.port),
            );
            continue;
        };
        let target = match &port.target_port {
            None | Some(IntOrString::Int(0)) => TargetPort::Number(number),
            Some(IntOrString::String(name)) => name
                .parse()
                .map_or_else(|_| TargetPort::Name(name.as_str().into()), TargetPort::Number),
            Some(IntOrString::Int(target)) => {
                let Some(target) = port_number(*target) else {
                    findings.error(
                        &format!("{path}.targetPort"),
                        Reason::Invalid,
                        format!("{target} is not a port; use 1 to 65535"),
                    );
                    continue;
                };
                TargetPort::Number(target)
            }
        };
        let stated = protocol::declared(port.app_protocol.as_deref(), port.name.as_deref());
        let name = port.name.as_deref().unwrap_or_default().into();
        if nodes
            .insert(
                number,
                ServicePortNode {
                    number,
                    name,
                    target,
                    stated,
                },
            )
            .is_some()
        {
            findings.error(
                &format!("{path}.port"),
                Reason::Invalid,
                format!("port {number} is declared twice; the last one counts"),
            );
        }
    }
    nodes.into_values().collect()
}

fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number > 0)
}

/// Parses an `EndpointSlice`; `None` if it belongs to no Service.
pub(crate) fn slice(slice: &discovery::EndpointSlice) -> (Option<SliceNode>, Vec<Diagnostic>) {
    let namespace = slice.metadata.namespace.as_deref().unwrap_or("default");
    let object = Arc::new(ObjectRef::new(
        "EndpointSlice",
        namespace,
        slice.metadata.name.as_deref().unwrap_or_default(),
    ));
    let mut findings = Findings::new(&object);
    let Some(service) = slice
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get("kubernetes.io/service-name"))
    else {
        return (None, Vec::new());
    };
    let ports = slice
        .ports
        .iter()
        .flatten()
        .filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
        .filter_map(|port| {
            Some((
                port.name.as_deref().unwrap_or_default().into(),
                port_number(port.port?)?,
            ))
        })
        .collect();
    let mut endpoints = Vec::new();
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        let conditions = endpoint.conditions.as_ref();
        let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
        let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
        let serving = ready || (terminating && conditions.and_then(|c| c.serving).unwrap_or(false));
        for text in &endpoint.addresses {
            match text.parse() {
                Ok(address) => endpoints.push(SliceEndpoint {
                    address,
                    serving,
                    draining: terminating,
                }),
                Err(_) => findings.warning(
                    &format!("endpoints[{index}].addresses"),
                    Reason::NotSupportedYet,
                    format!("{text:?} is not an IP address; only addresses are used, so this endpoint is left out"),
                ),
            }
        }
    }
    (
        Some(SliceNode {
            service: Key::new(namespace, service),
            ports,
            endpoints,
        }),
        findings.into_inner(),
    )
}
