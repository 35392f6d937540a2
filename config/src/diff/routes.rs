//! Where requests go, before and after, and route rules that no request reaches any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::evaluator::examples::{Examples, examples};
use crate::evaluator::{Caller, Destination, Evaluator, Fate, HttpRequest, Operation, Request, RouteDecision};
use crate::lint::covering;
use crate::model::{HttpMatch, Key, Model, Protocol, RouteEntry, RouteTable, ServicePort};
use crate::origin::Origin;

/// Requests that are routed differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteChange {
    /// The Service whose address is dialled.
    pub service: Key,
    /// Its port.
    pub port: u16,
    /// Only callers of this namespace.
    pub consumer: Option<Arc<str>>,
    /// One such request.
    pub example: HttpRequest,
    /// Who was asked for.
    pub caller: Key,
    /// Before.
    pub before: Option<RouteDecision>,
    /// After.
    pub after: Option<RouteDecision>,
}

/// A rule that no request reaches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreachable {
    /// The Service.
    pub service: Key,
    /// Its port.
    pub port: u16,
    /// The rule.
    pub rule: Origin,
    /// The rule that takes everything first.
    pub covered_by: Origin,
}

/// What differs.
pub(super) struct Changes {
    pub(super) routes: Vec<RouteChange>,
    pub(super) unreachable: Vec<Unreachable>,
    /// Where there would have been more examples.
    pub(super) unsure: BTreeSet<String>,
}

/// All of it.
pub(super) fn changes(before: &Model, after: &Model) -> Changes {
    let evaluators = (Evaluator::new(before), Evaluator::new(after));
    let models = (before, after);
    let (mut routes, mut unreachable, mut unsure) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (key, new) in &after.services {
        let old = before.services.get(key);
        if old.is_some_and(|old| Arc::ptr_eq(old, new)) {
            continue;
        }
        for (number, is) in &new.ports {
            let was = old.and_then(|old| old.ports.get(number));
            if was.is_some_and(|was| was.routes == is.routes && was.consumer_routes == is.consumer_routes) {
                continue;
            }
            let known = was.map(|was| idle(was)).unwrap_or_default();
            let new = idle(is).into_iter().filter(|(rule, _)| !known.contains_key(rule));
            unreachable.extend(new.map(|(rule, covered_by)| Unreachable {
                service: key.clone(),
                port: *number,
                rule,
                covered_by,
            }));
            // A new port has no routes that changed.
            let Some(was) = was else { continue };
            let requests = questions(key, was, is);
            if requests.truncated {
                unsure.insert(format!("Service {key}:{number}"));
            }
            routes.extend(port(models, &evaluators, key, (was, is), &requests.requests));
        }
    }
    Changes {
        routes,
        unreachable: unreachable.into_iter().collect(),
        unsure,
    }
}

fn tables(port: &ServicePort) -> impl Iterator<Item = &Arc<RouteTable>> {
    port.routes.iter().chain(port.consumer_routes.values())
}

/// Rules none of whose matches is reached in any table, with what comes first.
fn idle(port: &ServicePort) -> BTreeMap<Origin, Origin> {
    let mut idle: BTreeMap<Origin, Option<Origin>> = BTreeMap::new();
    for table in tables(port) {
        for (index, entry) in table.entries.iter().enumerate() {
            let by = covering(table, index).map(|early| early.origin.clone());
            idle.entry(entry.origin.clone())
                .and_modify(|known| *known = known.take().filter(|_| by.is_some()))
                .or_insert(by);
        }
    }
    idle.into_iter().filter_map(|(rule, by)| Some((rule, by?))).collect()
}

/// What to ask about a Service port; entries that are not the same before and after come first.
fn questions(service: &Key, was: &ServicePort, is: &ServicePort) -> Examples {
    let (old, new) = (places(was), places(is));
    let changed = |(place, entry): &(Place<'_>, &RouteEntry)| {
        let same = |all: &BTreeMap<Place<'_>, &RouteEntry>| all.get(place).is_some_and(|other| *other == *entry);
        !(same(&old) && same(&new))
    };
    let (apart, common): (Vec<_>, Vec<_>) = entries(was).chain(entries(is)).partition(changed);
    let matches = apart.iter().chain(&common).map(|(_, entry)| &entry.matches);
    examples(matches, is.protocol == Protocol::Grpc, &service.name)
}

/// Whose table an entry stands in, and what tells it from others there.
type Place<'a> = (Option<&'a Arc<str>>, &'a Origin, &'a HttpMatch);

fn places(port: &ServicePort) -> BTreeMap<Place<'_>, &RouteEntry> {
    entries(port).collect()
}

fn entries(port: &ServicePort) -> impl Iterator<Item = (Place<'_>, &RouteEntry)> {
    let own = port
        .consumer_routes
        .iter()
        .map(|(consumer, table)| (Some(consumer), table));
    let all = port.routes.iter().map(|table| (None, table)).chain(own);
    all.flat_map(|(consumer, table)| {
        table
            .entries
            .iter()
            .map(move |entry| ((consumer, &entry.origin, &entry.matches), entry))
    })
}

/// All changes of one Service port: for consumers with routes of their own, and for all others.
fn port(
    (before, after): (&Model, &Model),
    evaluators: &(Evaluator<'_>, Evaluator<'_>),
    service: &Key,
    (was, is): (&ServicePort, &ServicePort),
    requests: &[HttpRequest],
) -> Vec<RouteChange> {
    let consumers: BTreeSet<&Arc<str>> = was.consumer_routes.keys().chain(is.consumer_routes.keys()).collect();
    let caller = |fits: &dyn Fn(&Arc<str>) -> bool| {
        let mut both = after.workloads.keys().filter(|key| before.workloads.contains_key(key));
        both.find(|key| fits(&key.namespace)).cloned()
    };
    let others = caller(&|namespace| !consumers.contains(namespace)).map(|caller| (None, caller));
    let own = consumers.iter().filter_map(|consumer| {
        let caller = caller(&|namespace| namespace == *consumer)?;
        Some((Some(Arc::clone(consumer)), caller))
    });
    let mut found = Vec::new();
    for (consumer, caller) in others.into_iter().chain(own) {
        let mut seen = BTreeSet::new();
        for request in requests {
            let route = |evaluator: &Evaluator<'_>| {
                let request = Request {
                    from: Caller::Workload(caller.clone()),
                    to: Destination::Service {
                        service: service.clone(),
                        port: is.number,
                    },
                    operation: Operation::Http(request.clone()),
                };
                evaluator.evaluate(&request).route
            };
            let (old, new) = (route(&evaluators.0), route(&evaluators.1));
            if old != new && seen.insert((say(old.as_ref()), say(new.as_ref()))) {
                found.push(RouteChange {
                    service: service.clone(),
                    port: is.number,
                    consumer: consumer.clone(),
                    example: request.clone(),
                    caller: caller.clone(),
                    before: old,
                    after: new,
                });
            }
        }
    }
    found
}

/// A decision in words, without the request itself.
pub fn say(route: Option<&RouteDecision>) -> String {
    let Some(route) = route else {
        return "not routed".to_owned();
    };
    let mut text = match &route.fate {
        Fate::NoMatch => "no rule matches, 404".to_owned(),
        Fate::Malformed(reason) => format!("malformed, 400: {reason}"),
        Fate::Redirect(redirect) => format!("redirect {} by {}", redirect.status, route.rule),
        Fate::Forward {
            backends,
            invalid_weight,
        } => {
            let all: u64 =
                backends.iter().map(|backend| u64::from(backend.weight)).sum::<u64>() + u64::from(*invalid_weight);
            let share = |weight: u32| match all {
                0 => String::new(),
                all if u64::from(weight) == all => String::new(),
                all => format!(" {} %", u64::from(weight) * 100 / all),
            };
            let mut to: Vec<String> = backends
                .iter()
                .map(|backend| format!("{}:{}{}", backend.service, backend.port, share(backend.weight)))
                .collect();
            if *invalid_weight > 0 {
                to.push(format!("answer 500{}", share(*invalid_weight)));
            }
            format!("{} by {}", to.join(", "), route.rule)
        }
    };
    let extras = [
        route.timeout.map(|time| format!(", timeout {time:?}")),
        route.backend_timeout.map(|time| format!(", {time:?} a try")),
        route
            .retry
            .as_ref()
            .map(|retry| format!(", {} retries", retry.attempts)),
    ];
    text.extend(extras.into_iter().flatten());
    text
}
