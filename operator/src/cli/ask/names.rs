//! Names as people say them -> callers and destinations. A name that could mean several things is refused, with all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::Model;
use config::evaluator::{Caller, Destination};
use config::model::{Key, Service, SpiffeId, Workload};

/// At most so many candidates are listed.
const MOST: usize = 12;

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) caller: Caller,
    pub(crate) identity: Option<SpiffeId>,
    /// Where short names are looked for.
    pub(crate) namespace: Option<Arc<str>>,
}

/// Reads FROM.
pub(crate) fn caller(model: &Model, text: &str) -> anyhow::Result<Who> {
    if text == "plaintext" {
        return Ok(Who {
            caller: Caller::Plaintext,
            identity: None,
            namespace: None,
        });
    }
    if text.starts_with("spiffe://") {
        return Ok(identity(model, text));
    }
    anyhow::ensure!(text != "-", ARROW);
    let (kind, rest) = kind(text);
    // By the identity that each has: replicas of one thing are no ambiguity.
    let mut found: BTreeMap<&SpiffeId, (String, &Workload)> = BTreeMap::new();
    for workload in model.workloads.values() {
        let called = [
            ("workload", &*workload.key.name),
            ("group", &*workload.group),
            ("sa", service_account(workload)),
        ];
        for (what, name) in called
            .into_iter()
            .filter(|(what, _)| kind.is_none_or(|kind| kind == *what))
        {
            let full = format!("{}/{name}", workload.key.namespace);
            if full == rest || (name == rest && !rest.contains('/')) {
                found
                    .entry(&workload.identity)
                    .or_insert((format!("{what}/{full}"), &**workload));
            }
        }
    }
    match found.len() {
        1 => found
            .into_values()
            .next()
            .map(|(_, workload)| of(workload))
            .ok_or_else(|| unknown_caller(model, text)),
        0 => Err(unknown_caller(model, text)),
        _ => {
            let names: Vec<String> = found.iter().map(|(id, (name, _))| format!("{name} ({id})")).collect();
            anyhow::bail!("{text} could be {}; write one of these", list(names));
        }
    }
}

const ARROW: &str = "the shell took `>` of the arrow as a redirection; leave the arrow out, or quote it: '->'";

/// `sa/shop/orders` as what kind of name it is, and the name.
fn kind(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((kind @ ("workload" | "group" | "sa"), rest)) if rest.contains('/') => (Some(kind), rest),
        _ => (None, text),
    }
}

/// Who is named by an identity arrives at a workload with it, as a call of a Service does. A workload that dials the bare address itself
/// has no certificate there: its proxy knows no Service of that address.
pub(crate) fn arriving(mut who: Who, text: &str, to: &Destination) -> Who {
    let by_identity = text.starts_with("spiffe://") || kind(text).0 == Some("sa");
    if let (true, Destination::Workload { .. }, Some(identity)) = (by_identity, to, &who.identity) {
        who.caller = Caller::Identity(identity.clone());
    }
    who
}

/// A workload that proves the identity speaks for it; nobody else has a proxy.
fn identity(model: &Model, uri: &str) -> Who {
    let identity = SpiffeId::from_uri(uri);
    let workload = model.workloads.values().find(|workload| workload.identity == identity);
    workload.map(|workload| of(workload)).unwrap_or(Who {
        caller: Caller::Identity(identity.clone()),
        identity: Some(identity),
        namespace: None,
    })
}

fn of(workload: &Workload) -> Who {
    Who {
        caller: Caller::Workload(workload.key.clone()),
        identity: Some(workload.identity.clone()),
        namespace: Some(Arc::clone(&workload.key.namespace)),
    }
}

fn service_account(workload: &Workload) -> &str {
    workload.identity.as_str().rsplit('/').next().unwrap_or_default()
}

fn unknown_caller(model: &Model, text: &str) -> anyhow::Error {
    let names = model
        .workloads
        .values()
        .map(|workload| format!("{}/{}", workload.key.namespace, workload.group));
    let known = list(closest(text, names));
    anyhow::anyhow!(
        "no workload, group or service account is called {text}; there are {known}; or write a spiffe:// URI, or `plaintext`"
    )
}

/// Reads TO: `service`, `namespace/service[:port]` or `workload/<namespace>/<name>:port`.
pub(crate) fn destination(model: &Model, text: &str, namespace: Option<&str>) -> anyhow::Result<Destination> {
    anyhow::ensure!(text != "-", ARROW);
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    if let Some(rest) = name.strip_prefix("workload/") {
        return workload(model, rest, port, text);
    }
    let service = service(model, name, namespace)?;
    let ports = || {
        list(
            service
                .ports
                .values()
                .map(|port| format!("{}:{} {}", service.key, port.number, port.name))
                .collect(),
        )
    };
    let number = match port {
        Some(port) => {
            let fits = |(number, one): &(&u16, &Arc<config::model::ServicePort>)| {
                (!one.name.is_empty() && *one.name == *port) || port.parse() == Ok(**number)
            };
            service.ports.iter().find(fits).map(|(number, _)| *number)
        }
        None if service.ports.len() == 1 => service.ports.keys().next().copied(),
        None => anyhow::bail!("Service {} has several ports; write one of {}", service.key, ports()),
    };
    let Some(number) = number else {
        anyhow::bail!(
            "Service {} has no port {}; it has {}",
            service.key,
            port.unwrap_or_default(),
            ports()
        );
    };
    Ok(Destination::Service {
        service: service.key.clone(),
        port: number,
    })
}

fn workload(model: &Model, name: &str, port: Option<&str>, text: &str) -> anyhow::Result<Destination> {
    let Some(workload) = name
        .split_once('/')
        .and_then(|(ns, name)| model.workloads.get(&Key::new(ns, name)))
    else {
        let known = list(closest(
            name,
            model.workloads.keys().map(|key| format!("workload/{key}")),
        ));
        anyhow::bail!("there is no {text}; there are {known}");
    };
    let by_name = |port: &str| {
        workload
            .ports
            .values()
            .find(|one| *one.name == *port)
            .map(|one| one.number)
    };
    let Some(number) = port.and_then(|port| port.parse().ok().or_else(|| by_name(port))) else {
        let ports = workload
            .ports
            .values()
            .map(|port| format!("workload/{}:{}", workload.key, port.number))
            .collect();
        anyhow::bail!("{text} names no port; write for example {}", list(ports));
    };
    Ok(Destination::Workload {
        workload: workload.key.clone(),
        port: number,
    })
}

fn service<'a>(model: &'a Model, name: &str, namespace: Option<&str>) -> anyhow::Result<&'a Service> {
    let full = name.split_once('/').map(|(ns, name)| Key::new(ns, name));
    let here = full.or_else(|| namespace.map(|namespace| Key::new(namespace, name)));
    if let Some(service) = here.and_then(|key| model.services.get(&key)) {
        return Ok(service);
    }
    let same: Vec<&Arc<Service>> = model
        .services
        .values()
        .filter(|service| *service.key.name == *name)
        .collect();
    match (same.as_slice(), namespace) {
        ([only], None) => Ok(*only),
        ([], _) => {
            let known = list(closest(name, model.services.keys().map(ToString::to_string)));
            anyhow::bail!("there is no Service {name}; there are {known}")
        }
        (several, _) => {
            let names = list(several.iter().map(|service| service.key.to_string()).collect());
            let place = namespace.map_or_else(String::new, |namespace| format!(" in {namespace}"));
            anyhow::bail!("there is no one Service {name}{place}; write {names}")
        }
    }
}

/// The names that share something with what was written, or all.
fn closest(text: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = names.collect();
    all.sort();
    all.dedup();
    let last = text.rsplit('/').next().unwrap_or(text);
    let start: String = last.chars().take(3).collect();
    let near: Vec<String> = all
        .iter()
        .filter(|name| !start.is_empty() && name.contains(&start))
        .cloned()
        .collect();
    if near.is_empty() { all } else { near }
}

fn list(names: Vec<String>) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let more = names.len().saturating_sub(MOST);
    let shown: Vec<String> = names.into_iter().take(MOST).collect();
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{rest}", shown.join(", "))
}
