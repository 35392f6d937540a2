//! An explanation for programs.

use std::time::Duration;

use config::diff::{say_fault, say_limit};
use config::evaluator::{Answer, Arrival, Fate, HttpRequest, Nearest, Operation, RouteDecision, Verdict};
use serde_json::{Value, json};

use super::Explanation;
use crate::cli::ask::say;
use crate::source::SourceView;

/// The whole object.
pub(super) fn render(it: &Explanation<'_>) -> Value {
    let trust_domain = &*it.model.mesh.trust_domain;
    let view = &it.world.view;
    let arrivals: Vec<Value> = it
        .decision
        .arrivals
        .iter()
        .zip(&it.nearest)
        .map(|(one, nearest)| arrival(one, nearest.as_ref(), view, trust_domain))
        .collect();
    let mut whole = json!({
        "verdict": it.outcome.word(),
        "text": it.outcome.say(),
        "from": {
            "caller": say::caller(&it.request.from, trust_domain),
            "identity": it.who.identity.as_ref().map(ToString::to_string),
        },
        "to": say::destination(&it.request.to),
        "request": match &it.request.operation {
            Operation::Http(one) => request(one),
            Operation::Connect => Value::Null,
        },
        "route": it.decision.route.as_ref().map(|one| route(one, view)),
        "arrivals": arrivals,
        "source": it.world.from,
    });
    if let (Some(logged), Some(fields)) = (&it.logged, whole.as_object_mut()) {
        fields.insert("logged".to_owned(), logged.json(it));
    }
    whole
}

/// A request.
pub(crate) fn request(one: &HttpRequest) -> Value {
    let headers: Vec<Value> = one
        .headers
        .iter()
        .map(|(name, value)| json!({"name": &**name, "value": &**value}))
        .collect();
    json!({"method": &*one.method, "path": &*one.target, "host": &*one.authority, "headers": headers})
}

/// A rule with its object's place.
pub(crate) fn rule(name: &str, view: &SourceView) -> Value {
    let mut value = json!({"name": name});
    let place = say::object_of(name).and_then(|object| view.places.get(&object));
    if let (Some(place), Some(fields)) = (place, value.as_object_mut()) {
        fields.insert("file".to_owned(), json!(place.file));
        fields.insert("line".to_owned(), json!(place.line));
    }
    value
}

/// A verdict.
pub(crate) fn verdict(one: &Verdict, view: &SourceView) -> Value {
    let answer = match one.answer {
        Answer::Allowed => "allowed",
        Answer::Forbidden => "forbidden",
        Answer::Malformed(_) => "malformed",
        Answer::Refused => "refused",
    };
    json!({"answer": answer, "rule": rule(&one.rule, view)})
}

/// What the caller's proxy does.
pub(crate) fn route(one: &RouteDecision, view: &SourceView) -> Value {
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    let fate = match &one.fate {
        Fate::NoMatch => json!({"status": 404}),
        Fate::Malformed(reason) => json!({"status": 400, "reason": reason}),
        Fate::Redirect(redirect) => json!({"redirect": redirect.status}),
        Fate::Forward {
            backends,
            invalid_weight,
        } => {
            let backends: Vec<Value> = backends
                .iter()
                .map(|backend| {
                    json!({
                        "service": backend.service.to_string(),
                        "port": backend.port,
                        "weight": backend.weight,
                        "request": backend.request.as_ref().map(request),
                    })
                })
                .collect();
            json!({"backends": backends, "invalidWeight": invalid_weight})
        }
    };
    json!({
        "service": one.service.to_string(),
        "port": one.port,
        "rule": rule(&one.rule, view),
        "fate": fate,
        "timeoutSeconds": seconds(one.timeout),
        "backendTimeoutSeconds": seconds(one.backend_timeout),
        "retries": one.retry.as_ref().map(|retry| retry.attempts),
    })
}

fn arrival(one: &Arrival, nearest: Option<&Nearest>, view: &SourceView, trust_domain: &str) -> Value {
    let nearest = nearest.map(|nearest| {
        let differences: Vec<String> = nearest
            .differences
            .iter()
            .map(|one| say::difference(one, trust_domain))
            .collect();
        json!({"rule": rule(&nearest.origin.to_string(), view), "differences": differences})
    });
    let limit = |limited: &config::evaluator::Limited| {
        let limit = &limited.limit;
        json!({"rule": rule(&limit.origin.to_string(), view), "text": say_limit(limit), "status": limit.status, "shadow": limit.shadow})
    };
    let fault = |injected: &config::evaluator::Injected| {
        let fault = &injected.fault;
        json!({"rule": rule(&fault.origin.to_string(), view), "text": say_fault(fault), "perMillion": fault.per_million})
    };
    json!({
        "workload": one.workload.to_string(),
        "port": one.port,
        "backend": one.backend.as_ref().map(|(service, port)| format!("{service}:{port}")),
        "protocol": format!("{:?}", one.protocol),
        "identity": one.identity.as_ref().map(ToString::to_string),
        "verdict": verdict(&one.verdict, view),
        "shadow": one.shadow.as_ref().map(|shadow| verdict(shadow, view)),
        "nearest": nearest,
        "limits": one.limits.iter().map(limit).collect::<Vec<_>>(),
        "faults": one.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}
