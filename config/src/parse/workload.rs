//! One Workload -> one node.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crds::conditions::Reason;
use crds::workload::WorkloadPort;

use super::findings::Findings;
use super::{protocol, report_own_unknown, report_unknown, value};
use crate::diagnostic::Diagnostic;
use crate::model::{Key, Protocol};
use crate::origin::ObjectRef;

/// A port that the application listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkloadPortNode {
    /// The name, or the number as text.
    pub(crate) name: Arc<str>,
    /// What the workload states about it.
    pub(crate) stated: Option<Protocol>,
}

/// A Workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkloadNode {
    pub(crate) object: Arc<ObjectRef>,
    pub(crate) key: Key,
    pub(crate) address: IpAddr,
    pub(crate) service_account: Arc<str>,
    pub(crate) labels: Arc<BTreeMap<String, String>>,
    /// What it is called where its labels do not say.
    pub(crate) controller: Option<Arc<str>>,
    pub(crate) ports: BTreeMap<u16, WorkloadPortNode>,
    /// Only `EndpointSlice`s make it an endpoint of a Service.
    pub(crate) by_slices: bool,
    /// Ports that its proxy does not take: reached in plaintext, and out of reach of policies.
    pub(crate) excluded: BTreeSet<u16>,
    /// It calls endpoints by their own addresses.
    pub(crate) dials_endpoints: bool,
}

/// Parses a Workload; `None` if it has no usable address or name: then nobody can reach it or be it.
pub(crate) fn parse(workload: &crds::Workload) -> (Option<WorkloadNode>, Vec<Diagnostic>) {
    let namespace = workload.metadata.namespace.as_deref().unwrap_or("default");
    let name = workload.metadata.name.as_deref().unwrap_or_default();
    let object = Arc::new(ObjectRef::new("Workload", namespace, name));
    let mut findings = Findings::new(&object);
    let spec = &workload.spec;
    report_own_unknown(&spec.unknown, "spec", &mut findings);
    let address = address(spec.address.as_deref(), &mut findings);
    let account = spec.service_account.as_str();
    let named = [
        ("metadata.namespace", namespace),
        ("metadata.name", name),
        ("spec.serviceAccount", account),
    ];
    let mut usable = true;
    for (path, text) in named {
        if !value::is_name(text) {
            let message = format!(
                "{text:?} is not a Kubernetes name, so the workload has no identity; use lower-case letters, digits, `-` and `.`"
            );
            findings.error(path, Reason::Invalid, message);
            usable = false;
        }
    }
    let ports = ports(&spec.ports, &mut findings);
    let dials_endpoints = dials_endpoints(workload, &mut findings);
    let is_pod = note(workload, crds::workload::POD).is_some();
    let node = address.filter(|_| usable).map(|address| WorkloadNode {
        key: Key::new(namespace, name),
        address,
        service_account: account.into(),
        labels: Arc::new(workload.metadata.labels.clone().unwrap_or_default()),
        controller: note(workload, crds::workload::POD_GROUP)
            .filter(|_| is_pod)
            .map(|name| name.as_str().into()),
        ports,
        by_slices: is_pod,
        dials_endpoints,
        excluded: if is_pod { excluded(workload) } else { BTreeSet::new() },
        object,
    });
    (node, findings.into_inner())
}

fn note<'a>(workload: &'a crds::Workload, name: &str) -> Option<&'a String> {
    workload.metadata.annotations.as_ref()?.get(name)
}

fn dials_endpoints(workload: &crds::Workload, findings: &mut Findings) -> bool {
    match note(workload, crds::workload::DIAL_ENDPOINTS).map(String::as_str) {
        Some("true") => true,
        None | Some("false") => false,
        Some(other) => {
            let path = format!("metadata.annotations[{}]", crds::workload::DIAL_ENDPOINTS);
            let message =
                format!("{other:?} is neither \"true\" nor \"false\", so its calls to endpoints stay outside the mesh");
            findings.error(&path, Reason::Invalid, message);
            false
        }
    }
}

/// As the source wrote them.
fn excluded(workload: &crds::Workload) -> BTreeSet<u16> {
    let text = note(workload, crds::workload::EXCLUDED_PORTS);
    let parts = text.into_iter().flat_map(|text| text.split(','));
    parts.filter_map(|part| part.parse().ok()).collect()
}

fn address(text: Option<&str>, findings: &mut Findings) -> Option<IpAddr> {
    let message = match text {
        None => {
            "the workload has no address; write its IP address, or let `tulle up --run` start its process".to_owned()
        }
        Some(text) => match text.parse::<IpAddr>() {
            Ok(address) if !address.is_unspecified() && !address.is_multicast() => return Some(address),
            _ => format!("{text:?} is not an IP address that others can call; write the workload's own address"),
        },
    };
    findings.error("spec.address", Reason::Invalid, message);
    None
}

fn ports(ports: &[WorkloadPort], findings: &mut Findings) -> BTreeMap<u16, WorkloadPortNode> {
    let mut nodes = BTreeMap::new();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        report_unknown(port, &path, findings);
        if port.port == 0 {
            findings.error(
                &format!("{path}.port"),
                Reason::Invalid,
                "0 is not a port; use 1 to 65535",
            );
            continue;
        }
        let name = port.name.as_deref().filter(|name| {
            let usable = value::is_rule_name(name) && names.insert(name);
            if !usable {
                let message = format!(
                    "{name:?} is no port name or occurs twice, so the port goes by its number; give it its own name"
                );
                findings.error(&format!("{path}.name"), Reason::Invalid, message);
            }
            usable
        });
        let node = WorkloadPortNode {
            name: name.map_or_else(|| port.port.to_string().into(), Arc::from),
            stated: protocol::declared(port.app_protocol.as_deref(), port.name.as_deref()),
        };
        match nodes.entry(port.port) {
            Entry::Vacant(entry) => {
                entry.insert(node);
            }
            Entry::Occupied(_) => {
                let message = format!("port {} is declared twice; the first one counts", port.port);
                findings.error(&format!("{path}.port"), Reason::Invalid, message);
            }
        }
    }
    nodes
}
