//! All routes -> the tables of each Service port.
//!
//! The rules of all objects on one port form one pool; a route of another namespace is a consumer route, whose table replaces
//! the pool for callers of that namespace. A table exists as soon as an object routes the port's requests, even if every rule
//! failed: then nothing matches, and nothing falls back to the Service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crds::conditions::Reason;

use super::parents::{Attachment, attach};
use super::parse::RouteNode;
use super::precedence::{Precedence, precedence};
use super::rule::{BackendNode, Body, RuleNode};
use crate::diagnostic::Diagnostic;
use crate::link::topology::Topology;
use crate::model::{Backend, Concerned, HeaderEdit, HttpMatch, Key, PolicyReport, RouteAction, RouteEntry, RouteTable};
use crate::origin::{ObjectRef, Origin};
use crate::parse::findings::Findings;
use crate::policy::{Fate, Report};

/// Routes of one Service port.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortRoutes {
    pub(crate) producer: Option<Arc<RouteTable>>,
    pub(crate) consumers: BTreeMap<Arc<str>, Arc<RouteTable>>,
    pub(crate) connect_timeout: Option<Duration>,
}

/// What merging all routes yields.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) tables: BTreeMap<(Key, u16), PortRoutes>,
    pub(crate) reports: Vec<PolicyReport>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

type Pool = BTreeMap<Precedence, RouteEntry>;

/// What is known of a Service port so far.
#[derive(Debug, Default)]
struct Draft {
    producer: Option<Pool>,
    consumers: BTreeMap<Arc<str>, Pool>,
    upstream: Option<(Owner, Duration)>,
}

/// The oldest object owns `upstream`, then the first by name.
type Owner = (Option<i64>, Arc<ObjectRef>);

/// Merges all routes.
pub(crate) fn merge(nodes: &[RouteNode], topology: &Topology) -> Routed {
    let mut drafts: BTreeMap<(Key, u16), Draft> = BTreeMap::new();
    let mut routed = Routed {
        tables: BTreeMap::new(),
        reports: Vec::new(),
        diagnostics: Vec::new(),
    };
    let mut in_order: Vec<&RouteNode> = nodes.iter().collect();
    in_order.sort_by_key(|node| (node.created, Arc::clone(&node.head.object)));
    for node in in_order {
        let (report, diagnostics) = apply(node, topology, &mut drafts);
        routed.reports.push(report);
        routed.diagnostics.extend(diagnostics);
    }
    for (port, draft) in drafts {
        let table = |pool: Pool| {
            let entries = pool.into_values().collect();
            Arc::new(RouteTable::new(entries, topology.mesh.allow_path_parameters))
        };
        let made = PortRoutes {
            producer: draft.producer.map(table),
            consumers: draft
                .consumers
                .into_iter()
                .map(|(namespace, pool)| (namespace, table(pool)))
                .collect(),
            connect_timeout: draft.upstream.map(|(_, timeout)| timeout),
        };
        routed.tables.insert(port, made);
    }
    routed
}

fn apply(
    node: &RouteNode,
    topology: &Topology,
    drafts: &mut BTreeMap<(Key, u16), Draft>,
) -> (PolicyReport, Vec<Diagnostic>) {
    let mut findings = Findings::new(&node.head.object);
    let namespace = &node.head.object.namespace;
    let attachments: Vec<Attachment> = node
        .parents
        .iter()
        .map(|parent| attach(parent, node.routes_requests, topology, &mut findings))
        .collect();
    let targets = attachments.iter().map(|attachment| attachment.report.clone()).collect();
    let mut report = Report::new(&node.head, targets, node.rules.iter().map(|rule| &rule.name));
    let mut entries: Vec<(Precedence, RouteEntry)> = Vec::new();
    for (index, rule) in node.rules.iter().enumerate() {
        findings.in_rule(&rule.name);
        let body = rule.body.as_ref();
        let action = body.map(|body| action(body, rule, topology, &mut findings));
        let serves = action.as_ref().is_some_and(|action| !is_500(action));
        let fate = if serves && rule.matches.is_some() {
            Fate::InForce
        } else {
            Fate::Failed
        };
        report.fate(index, fate);
        for (number, matches) in rule.matches.iter().flatten().enumerate() {
            let made = entry(&node.head.object, &rule.name, matches, body.zip(action.clone()));
            entries.push((precedence(node, index, number, matches), made));
        }
    }
    findings.in_object();
    let mut everyone = false;
    for (parent, attachment) in node.parents.iter().zip(&attachments) {
        let is_consumer = attachment
            .service
            .as_ref()
            .is_some_and(|service| service.namespace != *namespace);
        everyone |= attachment.service.is_some() && !is_consumer;
        for port in &attachment.report.ports {
            let draft = drafts.entry(port.clone()).or_default();
            if node.routes_requests {
                let pool = if is_consumer {
                    draft.consumers.entry(Arc::clone(namespace)).or_default()
                } else {
                    draft.producer.get_or_insert_default()
                };
                let as_500 = |(key, entry): &(Precedence, RouteEntry)| {
                    (
                        key.clone(),
                        if parent.doubtful { refused(entry) } else { entry.clone() },
                    )
                };
                pool.extend(entries.iter().map(as_500));
            }
            own_upstream(node, port, is_consumer, draft, &mut findings);
        }
    }
    let concerned = if everyone {
        Concerned::Everyone
    } else {
        Concerned::Namespace(Arc::clone(namespace))
    };
    (report.finish(Some(concerned)), findings.into_inner())
}

/// Takes the port's `upstream` if nobody older has it.
fn own_upstream(node: &RouteNode, port: &(Key, u16), is_consumer: bool, draft: &mut Draft, findings: &mut Findings) {
    let Some(timeout) = node.connect_timeout else { return };
    let path = "spec.upstream";
    if is_consumer {
        let message = format!(
            "how callers reach {} is decided in its own namespace; remove `upstream` from this consumer route",
            port.0
        );
        findings.error(path, Reason::NotPermitted, message);
        return;
    }
    match &draft.upstream {
        None => draft.upstream = Some(((node.created, Arc::clone(&node.head.object)), timeout)),
        Some(((_, owner), _)) if *owner == node.head.object => {}
        Some(((_, owner), _)) => {
            let message = format!(
                "{owner} is older and owns `upstream` of {} port {}; remove one of the two",
                port.0, port.1
            );
            findings.error(path, Reason::Conflicted, message);
        }
    }
}

fn entry(
    object: &Arc<ObjectRef>,
    rule: &Arc<str>,
    matches: &HttpMatch,
    does: Option<(&Body, RouteAction)>,
) -> RouteEntry {
    let mut entry = RouteEntry {
        origin: Origin::rule(object, rule),
        matches: matches.clone(),
        request_headers: HeaderEdit::default(),
        response_headers: HeaderEdit::default(),
        rewrite_path: None,
        rewrite_host: None,
        timeout: None,
        backend_timeout: None,
        retry: None,
        action: always_500(),
    };
    if let Some((body, action)) = does {
        entry.request_headers.clone_from(&body.filters.request_headers);
        entry.response_headers.clone_from(&body.filters.response_headers);
        entry.rewrite_path.clone_from(&body.filters.rewrite_path);
        entry.rewrite_host.clone_from(&body.filters.rewrite_host);
        entry.timeout = body.timeout;
        entry.backend_timeout = body.backend_timeout;
        entry.retry.clone_from(&body.retry);
        entry.action = action;
    }
    entry
}

fn refused(entry: &RouteEntry) -> RouteEntry {
    RouteEntry {
        action: always_500(),
        ..entry.clone()
    }
}

fn always_500() -> RouteAction {
    RouteAction::ForwardPartly {
        backends: Vec::new(),
        invalid_weight: 1,
    }
}

fn is_500(action: &RouteAction) -> bool {
    matches!(action, RouteAction::ForwardPartly { backends, .. } if backends.is_empty())
}

fn action(body: &Body, rule: &RuleNode, topology: &Topology, findings: &mut Findings) -> RouteAction {
    if let Some(redirect) = body.redirect() {
        return RouteAction::Redirect(redirect.clone());
    }
    let mut backends = Vec::new();
    let mut invalid_weight = 0_u32;
    for node in &body.backends {
        match backend(node, topology, findings) {
            Some(backend) if backend.weight > 0 => backends.push(backend),
            Some(_) => {}
            None => invalid_weight = invalid_weight.saturating_add(node.weight),
        }
    }
    if backends.is_empty() {
        if invalid_weight == 0 && !body.backends.is_empty() {
            let message = "all weights are 0, so what matches is answered 500; give one backend a weight";
            findings.error(&format!("{}.backendRefs", rule.path), Reason::BackendNotFound, message);
        }
        return always_500();
    }
    if invalid_weight == 0 {
        RouteAction::Forward(backends)
    } else {
        RouteAction::ForwardPartly {
            backends,
            invalid_weight,
        }
    }
}

fn backend(node: &BackendNode, topology: &Topology, findings: &mut Findings) -> Option<Backend> {
    let target = node.target.as_ref()?;
    let (service, port) = (&target.service, target.port);
    let (field, message) = match topology.services.get(service) {
        Some(facts) if facts.ports.contains_key(&port) => {
            return Some(Backend {
                service: service.clone(),
                port,
                weight: node.weight,
                request_headers: target.request_headers.clone(),
                response_headers: target.response_headers.clone(),
            });
        }
        Some(_) => (
            "port",
            format!("Service {service} has no port {port}, so this backend's share is answered 500; correct it"),
        ),
        None => (
            "name",
            format!(
                "there is no Service {service}, so this backend's share is answered 500; create it, or correct the name"
            ),
        ),
    };
    findings.error(&format!("{}.{field}", node.path), Reason::BackendNotFound, message);
    None
}
