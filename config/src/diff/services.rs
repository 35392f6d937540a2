//! Services that come, go, are found elsewhere or are spoken to otherwise. Where their routes lead is another question.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::effects::{Change, Effect};
use crate::model::{Key, Model, Service, ServicePort};

/// All of them.
pub(super) fn changes(before: &Model, after: &Model) -> Vec<Effect> {
    let mut found = Vec::new();
    for (key, new) in &after.services {
        match before.services.get(key) {
            None => found.push(effect(key, Change::Begins, String::new())),
            Some(old) if Arc::ptr_eq(old, new) => {}
            Some(old) => {
                let details = service(old, new).into_iter();
                found.extend(details.map(|detail| effect(key, Change::Changes, detail)));
            }
        }
    }
    let gone = before.services.keys().filter(|key| !after.services.contains_key(key));
    found.extend(gone.map(|key| effect(key, Change::Ends, String::new())));
    found
}

fn effect(key: &Key, change: Change, detail: String) -> Effect {
    Effect {
        subject: format!("Service {key}"),
        change,
        detail,
        callees: Vec::new(),
    }
}

fn service(old: &Service, new: &Service) -> Vec<String> {
    let mut found = Vec::new();
    if old.addresses != new.addresses {
        let (is, was) = (addresses(&new.addresses), addresses(&old.addresses));
        found.push(format!("has the addresses {is} instead of {was}"));
    }
    for (number, is) in &new.ports {
        match old.ports.get(number) {
            None => found.push(format!("port {number} is new")),
            Some(was) => found.extend(port(was, is).into_iter().map(|what| format!("port {number} {what}"))),
        }
    }
    let gone = old.ports.keys().filter(|number| !new.ports.contains_key(number));
    found.extend(gone.map(|number| format!("port {number} is gone")));
    found
}

fn addresses(all: &[IpAddr]) -> String {
    if all.is_empty() {
        return "none".to_owned();
    }
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn port(was: &ServicePort, is: &ServicePort) -> Vec<String> {
    let mut found = Vec::new();
    if was.protocol != is.protocol {
        found.push(format!("speaks {:?} instead of {:?}", is.protocol, was.protocol));
    }
    let counts = (is.endpoints.len(), was.endpoints.len());
    if was.endpoints != is.endpoints {
        found.push(if counts.0 == counts.1 {
            "has other endpoints".to_owned()
        } else {
            format!("has {} endpoints instead of {}", counts.0, counts.1)
        });
    }
    // The rest of how it is reached follows from settings of the Mesh, which are compared by themselves.
    let (now, then) = (is.upstream.connect_timeout, was.upstream.connect_timeout);
    if now != then {
        found.push(format!("is given {now:?} to connect instead of {then:?}"));
    }
    found.extend(parameters(was, is));
    found
}

/// Whether routes refuse paths with `;`: for all callers, then for those in namespaces with routes of their own.
fn parameters(was: &ServicePort, is: &ServicePort) -> Vec<String> {
    let refuses = |port: &ServicePort, consumer: Option<&Arc<str>>| {
        let own = consumer.and_then(|consumer| port.consumer_routes.get(consumer));
        own.or(port.routes.as_ref())
            .is_some_and(|table| table.refuse_path_parameters)
    };
    let consumers: BTreeSet<&Arc<str>> = was.consumer_routes.keys().chain(is.consumer_routes.keys()).collect();
    let all = std::iter::once(None).chain(consumers.into_iter().map(Some));
    let change = |consumer: Option<&Arc<str>>| {
        let now = refuses(is, consumer);
        let does = if now {
            "refuses paths with `;` with 400 now"
        } else {
            "takes paths with `;` now"
        };
        let whose = consumer.map_or_else(String::new, |namespace| format!(" for callers in {namespace}"));
        (now != refuses(was, consumer)).then(|| format!("{does}{whose}"))
    };
    all.filter_map(change).collect()
}
