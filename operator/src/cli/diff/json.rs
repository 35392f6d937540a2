//! A diff for programs.

use config::diff::{AccessChange, Callee, Change, Effect, RouteChange, Unreachable, say_route};
use config::evaluator::Operation;
use serde_json::{Value, json};

use super::Compared;
use crate::cli::ask::say;
use crate::cli::explain::json as words;
use crate::status;

/// The whole object.
pub(super) fn render(it: &Compared) -> Value {
    let diff = &it.diff;
    let sent = &diff.sent;
    json!({
        "changes": diff.changes_meaning(),
        "access": diff.access.iter().map(|change| access(it, change)).collect::<Vec<_>>(),
        "effects": diff.effects.iter().map(effect).collect::<Vec<_>>(),
        "routes": diff.routes.iter().map(|one| route(it, one)).collect::<Vec<_>>(),
        "unreachable": diff.unreachable.iter().map(|one| unreachable(it, one)).collect::<Vec<_>>(),
        "unsure": diff.unsure,
        "findings": it.findings.iter().map(status::finding).collect::<Vec<_>>(),
        "sent": {
            "proxies": sent.proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "resources": sent.resources,
            "removed": sent.removed,
            "bytes": sent.bytes,
            "byKind": sent.by_kind.iter().map(|(kind, count)| (format!("{kind:?}"), json!(count))).collect::<serde_json::Map<_, _>>(),
            "failed": sent.failed.iter().map(|(key, reason)| json!({"workload": key.to_string(), "reason": reason})).collect::<Vec<_>>(),
        },
        "source": it.from,
    })
}

fn access(it: &Compared, change: &AccessChange) -> Value {
    json!({
        "becomes": if change.allowed { "allowed" } else { "denied" },
        "shadow": change.shadow,
        "callers": change.callers.members.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "exampleCaller": say::caller(&change.callers.example, &it.trust_domain),
        "callees": callees(&change.callees),
        "example": match &change.example {
            Operation::Connect => Value::Null,
            Operation::Http(request) => words::request(request),
        },
        "everyRequest": change.whole,
        "before": words::verdict(&change.before, &it.before),
        "after": words::verdict(&change.after, &it.after),
    })
}

fn callees(callees: &[Callee]) -> Vec<Value> {
    let one = |callee: &Callee| json!({"group": callee.group.to_string(), "port": callee.port, "workload": callee.workload.to_string()});
    callees.iter().map(one).collect()
}

fn effect(effect: &Effect) -> Value {
    let change = match effect.change {
        Change::Begins => "begins",
        Change::Ends => "ends",
        Change::Changes => "changes",
    };
    json!({"subject": effect.subject, "change": change, "detail": effect.detail, "callees": callees(&effect.callees)})
}

fn route(it: &Compared, route: &RouteChange) -> Value {
    json!({
        "service": route.service.to_string(),
        "port": route.port,
        "consumer": route.consumer.as_deref(),
        "example": words::request(&route.example),
        "caller": route.caller.to_string(),
        "before": route.before.as_ref().map(|one| words::route(one, &it.before)),
        "after": route.after.as_ref().map(|one| words::route(one, &it.after)),
        "text": {"before": say_route(route.before.as_ref()), "after": say_route(route.after.as_ref())},
    })
}

fn unreachable(it: &Compared, one: &Unreachable) -> Value {
    json!({
        "service": one.service.to_string(),
        "port": one.port,
        "rule": words::rule(&one.rule.to_string(), &it.after),
        "coveredBy": words::rule(&one.covered_by.to_string(), &it.after),
    })
}
