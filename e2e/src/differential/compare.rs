//! Expected and observed: a difference is a sentence.

use std::collections::BTreeMap;

use config::evaluator::{Answer, HttpRequest};
use config::model::{Redirect, Rewrite};

use super::access_log::Line;
use super::expect::{Entry, Possible, Sees};
use super::prober::{Does, Outcome, Seen};
use super::question::Question;

/// Headers of which the application must see what the evaluator says, and nothing else.
const HEADERS: [&str; 7] = [
    "x-role",
    "x-a",
    "x-b",
    "x-backend",
    "x-tulle-source",
    "x-tulle-path",
    "x-envoy-original-path",
];

/// The possible outcomes that fit what the caller saw, or what is wrong with each of them.
pub fn outcome(question: &Question, possible: &[Possible], seen: &Outcome) -> Result<Vec<Possible>, String> {
    let mut wrong = Vec::new();
    let mut fitting = Vec::new();
    for one in possible {
        match fits(question, &one.sees, seen).and_then(|()| denied_by(one, seen)) {
            Ok(()) => fitting.push(one.clone()),
            Err(reason) => wrong.push(reason),
        }
    }
    if !fitting.is_empty() {
        return Ok(fitting);
    }
    wrong.dedup();
    Err(if wrong.is_empty() {
        "nothing could happen".to_owned()
    } else {
        wrong.join("; or: ")
    })
}

fn fits(question: &Question, expected: &Sees, seen: &Outcome) -> Result<(), String> {
    let same = |what: &str, expected: String, seen: String| {
        if expected == seen {
            Ok(())
        } else {
            Err(format!("{what} should be {expected}, is {seen}"))
        }
    };
    if let (Some(error), false) = (&seen.error, matches!(expected, Sees::Closed)) {
        return Err(format!("no answer: {error}"));
    }
    match expected {
        Sees::App { app, version, request } => match &question.does {
            Does::Listen => same(
                "the greeting",
                format!("{app} {version} ready\n"),
                seen.received.clone(),
            ),
            Does::Say if seen.received.is_empty() => Err("there should be an echo".to_owned()),
            Does::Say => Ok(()),
            Does::Http(_) | Does::Grpc(_) => {
                let header = |name: &str| seen.headers.get(name).cloned().unwrap_or_default();
                same(
                    "the application",
                    format!("{app} {version}"),
                    format!("{} {}", header("x-app"), header("x-app-version")),
                )?;
                match (request, &seen.seen) {
                    (Some(request), Some(seen)) => as_received(request, seen),
                    _ => Ok(()),
                }
            }
        },
        Sees::Status(code) => not_the_application(seen)
            .and_then(|()| same("the status", format!("Some({code})"), format!("{:?}", seen.status))),
        Sees::GrpcStatus(code) => not_the_application(seen).and_then(|()| {
            same(
                "the gRPC status",
                format!("Some({code})"),
                format!("{:?}", seen.grpc_status),
            )
        }),
        Sees::Redirect(redirect) => {
            not_the_application(seen)?;
            same(
                "the status",
                format!("Some({})", redirect.status),
                format!("{:?}", seen.status),
            )?;
            location(redirect, seen.headers.get("location").map_or("", String::as_str))
        }
        Sees::Closed => same(
            "bytes and status",
            "nothing".to_owned(),
            match (seen.received.is_empty(), seen.status) {
                (true, None) => "nothing".to_owned(),
                _ => format!("{:?} {:?}", seen.received, seen.status),
            },
        ),
    }
}

/// A denial names its cause where the Mesh asks for it, and nothing else does.
fn denied_by(expected: &Possible, seen: &Outcome) -> Result<(), String> {
    let named = seen.headers.get("x-tulle-denied-by").map(String::as_str);
    if expected.denied_by.as_deref() == named {
        return Ok(());
    }
    Err(format!(
        "x-tulle-denied-by should be {:?}, is {named:?}",
        expected.denied_by
    ))
}

fn not_the_application(seen: &Outcome) -> Result<(), String> {
    match seen.headers.get("x-app") {
        Some(app) => Err(format!("no application should answer, {app} did")),
        None => Ok(()),
    }
}

/// What the application received is what left the caller's proxy.
fn as_received(expected: &HttpRequest, seen: &Seen) -> Result<(), String> {
    let target = match &seen.query {
        Some(query) => format!("{}?{query}", seen.path),
        None => seen.path.clone(),
    };
    if *expected.target != *target {
        return Err(format!("the application should see {}, sees {target}", expected.target));
    }
    if *expected.method != *seen.method {
        return Err(format!(
            "the application should see {}, sees {}",
            expected.method, seen.method
        ));
    }
    if let Some(host) = seen.headers.get("host").filter(|host| **host != *expected.authority) {
        return Err(format!(
            "the application should see the host {}, sees {host}",
            expected.authority
        ));
    }
    let mut sent = BTreeMap::<&str, Vec<&str>>::new();
    for (name, value) in &expected.headers {
        sent.entry(name).or_default().extend(elements(value));
    }
    for name in HEADERS {
        let expected = sent.remove(name).unwrap_or_default();
        let seen: Vec<&str> = seen
            .headers
            .get(name)
            .map(|value| elements(value).collect())
            .unwrap_or_default();
        if expected != seen {
            return Err(format!(
                "the application should see {name}: {expected:?}, sees {seen:?}"
            ));
        }
    }
    Ok(())
}

fn elements(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim)
}

/// The parts of a redirect's address that the rule names.
fn location(redirect: &Redirect, seen: &str) -> Result<(), String> {
    let (scheme, rest) = seen.split_once("://").unwrap_or(("", seen));
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let path = path.split('?').next().unwrap_or_default();
    let differs = |wanted: Option<&str>, is: &str| wanted.is_some_and(|wanted| wanted != is);
    let whole = match &redirect.path {
        Some(Rewrite::Full(path)) => Some(&**path),
        _ => None,
    };
    if differs(redirect.scheme.as_deref(), scheme)
        || differs(redirect.hostname.as_deref(), host)
        || differs(whole, path)
    {
        return Err(format!("the redirect should be {redirect:?}, is {seen}"));
    }
    Ok(())
}

/// What is wrong with a line of the caller's proxy.
pub fn outbound(possible: &[Possible], line: &Line) -> Result<(), String> {
    let routes: Vec<&str> = possible.iter().filter_map(|one| one.route.as_deref()).collect();
    let logged = line.field("rule");
    if routes.is_empty() || routes.iter().any(|route| Some(*route) == logged) {
        return Ok(());
    }
    Err(format!(
        "the caller's log should name the route {routes:?}, names {logged:?}"
    ))
}

/// What is wrong with a line of the destination's proxy.
pub fn inbound(possible: &[Possible], line: &Line) -> Result<(), String> {
    let entries: Vec<&Entry> = possible.iter().filter_map(|one| one.entry.as_ref()).collect();
    let Some(entry) = entries.iter().find(|entry| entry.workload == line.proxy) else {
        let workloads: Vec<&str> = entries.iter().map(|entry| entry.workload.as_str()).collect();
        return Err(format!(
            "the request should arrive at {workloads:?}, arrived at {}",
            line.proxy
        ));
    };
    let verdict = &entry.verdict;
    let says = |field: &str, expected: Option<&str>| {
        let logged = line.field(field);
        if logged == expected {
            Ok(())
        } else {
            Err(format!("the log's {field} should be {expected:?}, is {logged:?}"))
        }
    };
    match verdict.answer {
        // Nobody asked a permission.
        Answer::Malformed(_) => return says("rule", None),
        Answer::Refused => return Ok(()),
        Answer::Allowed => {
            says("rule", Some(entry.fault.as_deref().unwrap_or(&verdict.rule)))?;
            says("allowed_by", Some(&verdict.rule))?;
            says("denied_by", None)?;
        }
        Answer::Forbidden => says("rule", Some(&verdict.rule))?,
    }
    says("fault", entry.fault.as_deref())?;
    let shadow = |answer: Answer| {
        let verdict = entry.shadow.as_ref().filter(|verdict| verdict.answer == answer);
        verdict.map(|verdict| &*verdict.rule)
    };
    says("shadow_allowed_by", shadow(Answer::Allowed))?;
    says("shadow_denied_by", shadow(Answer::Forbidden))
}
