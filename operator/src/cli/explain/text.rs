//! An explanation for people: the verdict, then each step with what decides it and where that stands.

use std::fmt::Write;
use std::sync::Arc;

use config::diff::{say_fault, say_limit, say_route};
use config::evaluator::{Answer, Arrival, Caller, Fate, HttpRequest, Nearest};

use super::Explanation;
use crate::cli::ask::say;

/// The whole text.
pub(super) fn render(it: &Explanation<'_>) -> String {
    let trust_domain = &*it.model.mesh.trust_domain;
    let from = it
        .who
        .identity
        .as_ref()
        .map_or("plaintext".to_owned(), |id| say::identity(id, trust_domain));
    let mut text = format!(
        "{}  {from} -> {}  {}\n\n",
        it.outcome.say(),
        say::destination(&it.request.to),
        say::operation(&it.request.operation)
    );
    if let Some(logged) = &it.logged {
        step(&mut text, "logged", &logged.say());
        step(&mut text, "today", &logged.today(it));
        if let Some(note) = logged.note(it.model) {
            step(&mut text, "", note);
        }
    }
    step(&mut text, "identity", &identity(it));
    route(it, &mut text);
    for (same, nearest) in groups(it) {
        arrival(it, &same, nearest, &mut text);
    }
    // Writing to a string does not fail.
    let _ = writeln!(text, "\nas of {}", it.world.from);
    text
}

fn step(text: &mut String, name: &str, what: &str) {
    let _ = writeln!(text, "{name:<11} {what}");
}

fn identity(it: &Explanation<'_>) -> String {
    match (&it.who.identity, &it.request.from) {
        (Some(id), Caller::Workload(key)) => format!("{id}, as workload {key} proves it"),
        (Some(id), _) => format!("{id}, straight at the destination: no route of a caller applies"),
        (None, _) => "none: no certificate, straight at the destination".to_owned(),
    }
}

fn route(it: &Explanation<'_>, text: &mut String) {
    let Some(route) = &it.decision.route else { return };
    let place = say::place(&it.world.view, &route.rule);
    step(text, "route", &format!("{}{place}", say_route(Some(route))));
    let Fate::Forward { backends, .. } = &route.fate else {
        return;
    };
    for backend in backends {
        let (Some(request), config::evaluator::Operation::Http(sent)) = (&backend.request, &it.request.operation)
        else {
            continue;
        };
        if request.target != sent.target || request.authority != sent.authority || written(request) != written(sent) {
            let host = if request.authority == sent.authority {
                String::new()
            } else {
                format!(" to host {}", request.authority)
            };
            step(
                text,
                "",
                &format!(
                    "{}:{} receives {}{host}",
                    backend.service,
                    backend.port,
                    receives(request)
                ),
            );
        }
    }
}

fn receives(request: &HttpRequest) -> String {
    let headers = written(request).into_iter().cloned().collect();
    say::request(&HttpRequest {
        headers,
        ..request.clone()
    })
}

/// The headers without those that every proxy adds.
fn written(request: &HttpRequest) -> Vec<&(Arc<str>, Arc<str>)> {
    let added = |name: &str| name.starts_with("x-forwarded-") || name.starts_with("x-envoy-") || name == "x-request-id";
    request.headers.iter().filter(|(name, _)| !added(name)).collect()
}

/// Arrivals that differ in nothing but the workload, told once.
fn groups<'a>(it: &'a Explanation<'_>) -> Vec<(Vec<&'a Arrival>, Option<&'a Nearest>)> {
    let mut groups: Vec<(Vec<&Arrival>, Option<&Nearest>)> = Vec::new();
    let alike = |a: &Arrival, b: &Arrival| {
        a.port == b.port
            && a.verdict == b.verdict
            && a.shadow == b.shadow
            && a.limits == b.limits
            && a.faults == b.faults
    };
    for (arrival, nearest) in it.decision.arrivals.iter().zip(&it.nearest) {
        match groups
            .iter_mut()
            .find(|(same, known)| same.iter().any(|one| alike(one, arrival)) && *known == nearest.as_ref())
        {
            Some((same, _)) => same.push(arrival),
            None => groups.push((vec![arrival], nearest.as_ref())),
        }
    }
    groups
}

fn arrival(it: &Explanation<'_>, same: &[&Arrival], nearest: Option<&Nearest>, text: &mut String) {
    let Some(first) = same.first() else { return };
    let view = &it.world.view;
    let by = |rule: &str, what: String| format!("{what} by {rule}{}", say::place(view, rule));
    let verdict = &first.verdict;
    let decided = match verdict.answer {
        Answer::Allowed => by(&say::rule(verdict), "allowed".to_owned()),
        // Of several arrivals the first line does not say it.
        Answer::Malformed(reason) => format!("none is asked: 400, {reason}"),
        Answer::Forbidden | Answer::Refused => by(&say::rule(verdict), "denied".to_owned()),
    };
    step(text, "permission", &decided);
    step(text, "", &format!("at {}", workloads(same)));
    if let Some(nearest) = nearest {
        let rule = nearest.origin.to_string();
        step(
            text,
            "nearest",
            &format!("{rule} would allow it{}, but", say::place(view, &rule)),
        );
        for difference in &nearest.differences {
            step(text, "", &say::difference(difference, &it.model.mesh.trust_domain));
        }
    }
    if let Some(shadow) = first.shadow.as_ref().filter(|shadow| *shadow != verdict) {
        let word = if shadow.answer == Answer::Allowed {
            "would be allowed"
        } else {
            "would be denied"
        };
        step(text, "shadow", &by(&say::rule(shadow), word.to_owned()));
    }
    for limited in &first.limits {
        let rule = limited.limit.origin.to_string();
        step(
            text,
            "limit",
            &format!("{rule}: {}{}", say_limit(&limited.limit), say::place(view, &rule)),
        );
    }
    for injected in &first.faults {
        let rule = injected.fault.origin.to_string();
        step(
            text,
            "fault",
            &format!("{rule}: {}{}", say_fault(&injected.fault), say::place(view, &rule)),
        );
    }
}

/// `shop/payments-1:8080, shop/payments-2:8080`, a few of them.
fn workloads(same: &[&Arrival]) -> String {
    const MOST: usize = 4;
    let mut names: Vec<Arc<str>> = same
        .iter()
        .map(|one| format!("{}:{}", one.workload, one.port).into())
        .collect();
    names.dedup();
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{rest}", names.join(", "))
}
