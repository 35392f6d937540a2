//! From a resource back to what users wrote: names are parsed back and looked up in the model.

use std::collections::BTreeSet;
use std::sync::Arc;

use xds::Kind;

use crate::model::{InboundPort, Key, Model, PortPermission, RouteTable, Workload};
use crate::names::{ExtensionName, ListenerName, RouteName, SecretName};
use crate::origin::Origin;

/// The rules and objects that went into one resource of a workload's proxy; empty for what no policy or route concerns.
pub fn origins_of(model: &Model, workload: &Key, kind: Kind, name: &str) -> BTreeSet<Origin> {
    let found = match kind {
        Kind::Route => RouteName::parse(name).map(|name| routes(model, workload, &name)),
        Kind::ExtensionConfig => ExtensionName::parse(name).and_then(|name| filter(model, workload, name)),
        Kind::Secret => match SecretName::parse(name) {
            Some(SecretName::Callers(port)) => permission(model, workload, port),
            _ => None,
        },
        Kind::Listener => match ListenerName::parse(name) {
            Some(ListenerName::Inbound(_, port)) => permission(model, workload, port),
            Some(ListenerName::InboundCatchAll) => permission(model, workload, 0),
            Some(ListenerName::Outbound(..) | ListenerName::OutboundCatchAll | ListenerName::Ready) | None => None,
        },
        Kind::Cluster | Kind::Endpoints | Kind::Runtime => None,
    };
    found.unwrap_or_default()
}

fn routes(model: &Model, workload: &Key, name: &RouteName) -> BTreeSet<Origin> {
    let table = |service: &Key, port: &u16| -> Option<Arc<RouteTable>> {
        let port = model.services.get(service)?.ports.get(port)?;
        let consumer = port.consumer_routes.get(&workload.namespace);
        consumer.or(port.routes.as_ref()).cloned()
    };
    let table = match name {
        RouteName::Service(service, port) => table(service, port),
        RouteName::Pod(..) => None,
        RouteName::Inbound(_, port) => return inbound(model, workload, *port).unwrap_or_default(),
    };
    let entries = table.iter().flat_map(|table| &table.entries);
    entries.map(|entry| entry.origin.clone()).collect()
}

fn inbound(model: &Model, workload: &Key, port: u16) -> Option<BTreeSet<Origin>> {
    let port = inbound_port(model.workloads.get(workload)?, port)?;
    let limits = port.limits.slots.values().flat_map(|object| &object.limits);
    let mut all = permission(model, workload, port.number)?;
    all.extend(limits.map(|limit| limit.origin.clone()));
    Some(all)
}

fn filter(model: &Model, key: &Key, name: ExtensionName) -> Option<BTreeSet<Origin>> {
    let workload = model.workloads.get(key)?;
    match name {
        ExtensionName::Limit(port, slot) => {
            let object = inbound_port(workload, port)?.limits.slots.get(&slot)?;
            Some(object.limits.iter().map(|limit| limit.origin.clone()).collect())
        }
        ExtensionName::Fault(port, slot) => Some(BTreeSet::from([inbound_port(workload, port)?
            .faults
            .slots
            .get(&slot)?
            .origin
            .clone()])),
        ExtensionName::Revoke(port)
        | ExtensionName::RevokePlain(port)
        | ExtensionName::Shadow(port, _)
        | ExtensionName::Cause(port) => permission(model, key, port),
    }
}

/// The rules in force on a port, and every permission that targets it: one without any rule in force decides there too, by
/// granting nobody.
fn permission(model: &Model, workload: &Key, port: u16) -> Option<BTreeSet<Origin>> {
    let mut all = rules(&inbound_port(model.workloads.get(workload)?, port)?.permission);
    let here = (workload.clone(), port);
    let reports = model
        .reports
        .values()
        .filter(|report| &*report.object.kind == "TrafficPermission")
        .filter(|report| report.targets.iter().any(|target| target.ports.contains(&here)));
    all.extend(reports.map(|report| Origin::object(&report.object)));
    Some(all)
}

/// Port 0 stands for the undeclared ones.
fn inbound_port(workload: &Workload, port: u16) -> Option<&InboundPort> {
    if port == 0 {
        Some(&workload.undeclared)
    } else {
        workload.ports.get(&port).map(|port| &**port)
    }
}

fn rules(permission: &PortPermission) -> BTreeSet<Origin> {
    let candidate = permission.candidate.iter();
    let candidate = candidate.flat_map(|candidate| candidate.deny.iter().chain(&candidate.allow));
    let enforced = permission.deny.iter().chain(&permission.allow);
    enforced.chain(candidate).map(|rule| rule.origin.clone()).collect()
}
