//! What the caller's proxy does: which route takes the request, and where it goes.
//!
//! The address decides which Service is meant, never the host. Of two Services with one address both are answered for as dialled.

use std::sync::Arc;

use super::decision::{Backing, Fate, RouteDecision};
use super::edits::leaving;
use super::matching::{Matching, Reading};
use super::normalise::{Seen, Side, normalise};
use super::request::{HttpRequest, Operation};
use crate::model::{Backend, Key, RouteAction, RouteEntry, RouteTable, Service, ServicePort};

/// The scheme that a caller's proxy sees: applications speak to it in plaintext.
const SCHEME: (&str, &str) = ("x-forwarded-proto", "http");

/// What the proxy of a caller in this namespace does.
pub(super) fn route(
    matching: Matching<'_>,
    namespace: &str,
    service: &Service,
    port: &ServicePort,
    operation: &Operation,
) -> RouteDecision {
    let table = table(namespace, service, port);
    let plain = RouteDecision {
        service: service.key.clone(),
        port: port.number,
        rule: standing_for_none(service, port),
        fate: Fate::NoMatch,
        timeout: None,
        backend_timeout: None,
        retry: None,
    };
    match operation {
        Operation::Http(request) if port.protocol.is_http() => match received(request) {
            Ok(seen) => requested(matching, table, &seen, plain),
            Err(reason) => RouteDecision {
                rule: "".into(),
                fate: Fate::Malformed(reason),
                ..plain
            },
        },
        // Bytes are not looked at; of an HTTP port only where requests could go is known.
        Operation::Http(_) | Operation::Connect => {
            let backends = match table.filter(|_| port.protocol.is_http()) {
                None => vec![itself(&plain, None)],
                Some(table) => everywhere(table),
            };
            let fate = Fate::Forward {
                backends,
                invalid_weight: 0,
            };
            RouteDecision { fate, ..plain }
        }
    }
}

/// The first entry that matches decides; without a table everything goes to the Service itself. `plain` is what nothing takes.
fn requested(matching: Matching<'_>, table: Option<&RouteTable>, seen: &Seen, plain: RouteDecision) -> RouteDecision {
    let nothing = |plain| RouteDecision {
        rule: "".into(),
        ..plain
    };
    // What is no path (`*`) is taken by nothing.
    if !seen.path.starts_with('/') {
        return nothing(plain);
    }
    let Some(table) = table else {
        let fate = Fate::Forward {
            backends: vec![itself(&plain, Some(seen.to_request()))],
            invalid_weight: 0,
        };
        return RouteDecision { fate, ..plain };
    };
    if table.refuse_path_parameters && seen.path.contains(';') {
        return RouteDecision {
            rule: "path-parameters".into(),
            fate: Fate::Malformed("the path contains `;`"),
            ..plain
        };
    }
    let takes = |entry: &&RouteEntry| matching.request(&entry.matches, seen, Reading::Each);
    match table.entries.iter().find(takes) {
        None => nothing(plain),
        Some(entry) => RouteDecision {
            rule: entry.origin.to_string().into(),
            fate: fate(entry, seen),
            timeout: entry.timeout,
            backend_timeout: entry.backend_timeout,
            retry: entry.retry.clone(),
            ..plain
        },
    }
}

/// The request as the caller's proxy sees it.
fn received(request: &HttpRequest) -> Result<Seen, &'static str> {
    let mut seen = normalise(request, Side::Outbound)?;
    if seen.values(SCHEME.0).next().is_none() {
        seen.headers.push((SCHEME.0.into(), SCHEME.1.into()));
    }
    Ok(seen)
}

/// Routes of the caller's namespace replace those for everyone. Who dials one endpoint of a headless Service means it, so that
/// no routes apply.
fn table<'a>(namespace: &str, service: &Service, port: &'a ServicePort) -> Option<&'a RouteTable> {
    if service.addresses.is_empty() {
        return None;
    }
    let consumer = port.consumer_routes.get(namespace);
    consumer.or(port.routes.as_ref()).map(Arc::as_ref)
}

/// The route's name where there are no routes: the cluster's. A headless Service with several endpoints has one a endpoint.
fn standing_for_none(service: &Service, port: &ServicePort) -> Arc<str> {
    if !service.addresses.is_empty() {
        return format!("svc/{}/{}", service.key, port.number).into();
    }
    match port.endpoints.as_slice() {
        [one] => format!("pod/{}/{}", one.address, one.port).into(),
        _ => "pod/*".into(),
    }
}

fn itself(decision: &RouteDecision, request: Option<HttpRequest>) -> Backing {
    Backing {
        service: decision.service.clone(),
        port: decision.port,
        weight: 1,
        request,
    }
}

fn backends(action: &RouteAction) -> &[Backend] {
    match action {
        RouteAction::Forward(backends) | RouteAction::ForwardPartly { backends, .. } => backends,
        RouteAction::Redirect(_) => &[],
    }
}

/// Every backend of every route, once.
fn everywhere(table: &RouteTable) -> Vec<Backing> {
    let all = table.entries.iter().flat_map(|entry| backends(&entry.action));
    let used = all.filter(|backend| backend.weight > 0);
    let mut names: Vec<(Key, u16)> = used.map(|backend| (backend.service.clone(), backend.port)).collect();
    names.sort();
    names.dedup();
    let backing = |(service, port)| Backing {
        service,
        port,
        weight: 1,
        request: None,
    };
    names.into_iter().map(backing).collect()
}

fn fate(entry: &RouteEntry, seen: &Seen) -> Fate {
    let invalid_weight = match &entry.action {
        RouteAction::Redirect(redirect) => return Fate::Redirect(redirect.clone()),
        RouteAction::Forward(_) => 0,
        RouteAction::ForwardPartly { invalid_weight, .. } => *invalid_weight,
    };
    let used = backends(&entry.action).iter().filter(|backend| backend.weight > 0);
    let backing = |backend: &Backend| Backing {
        service: backend.service.clone(),
        port: backend.port,
        weight: backend.weight,
        request: Some(leaving(seen, entry, backend).to_request()),
    };
    Fate::Forward {
        backends: used.map(backing).collect(),
        invalid_weight,
    }
}
