//! What `tulle explain` says about a question, held against the proxies' access logs.
//!
//! The command line is asked, not the evaluator behind it: names, method, path and headers go the way that a user's go, and
//! what is compared is what would be printed. A cause that the log names must stand in the text as well.
#![allow(clippy::indexing_slicing, reason = "a field that JSON does not have is null")]

use anyhow::{Context, Result};
use operator::access_log::{Decided, LogLine};
use operator::cli::answers::{self, Objects};
use serde_json::Value;

use super::access_log::Line;
use super::prober::{Does, RawRequest};
use super::question::{Question, Target};

/// The answer to one question.
#[derive(Clone, Debug)]
pub struct Explained(answers::Answer);

impl Explained {
    /// Asks.
    pub fn ask(objects: &Objects, question: &Question) -> Result<Self> {
        let words = words(question);
        let answer = objects.explain(words.iter().map(String::as_str));
        Ok(Self(answer.with_context(|| format!("tulle explain {words:?}"))?))
    }

    /// What is wrong with a line of the caller's proxy.
    pub fn outbound(&self, line: &Line) -> Result<(), String> {
        // What nothing takes is answered without a route.
        let said = name(&self.0.json["route"]["rule"]).filter(|rule| !rule.is_empty());
        same("the route", said, line.field("rule"))?;
        let malformed = self.0.json["route"]["fate"]["status"] == 400;
        // The route that refuses path parameters is nobody's; the text says what is wrong with the path.
        self.says(if malformed { Some("400") } else { line.field("rule") })
    }

    /// What is wrong with a line of the destination's proxy.
    pub fn inbound(&self, line: &Line) -> Result<(), String> {
        let mut wrong = format!("explain does not say that it may arrive at {}", line.proxy);
        for arrival in self.arrivals().iter().filter(|one| one["workload"] == *line.proxy) {
            match arrived(arrival, line) {
                // No rule is named; the text says what is wrong with the request.
                Ok(()) if arrival["verdict"]["answer"] == "malformed" => return self.says(Some("400")),
                Ok(()) => return self.says(line.field("rule")),
                Err(reason) => wrong = reason,
            }
        }
        Err(wrong)
    }

    /// What is wrong with the line of the destination's proxy about a connection; of Shadow permissions only if it `tells`.
    pub fn connected(&self, proxy: &str, logged: &LogLine, tells: bool) -> Result<(), String> {
        let mut wrong = format!("explain does not say that it may arrive at {proxy}");
        for arrival in self.arrivals().iter().filter(|one| one["workload"] == *proxy) {
            match connected(arrival, logged, tells) {
                Ok(()) => return self.says(logged.rule.as_deref()),
                Err(reason) => wrong = reason,
            }
        }
        Err(wrong)
    }

    fn arrivals(&self) -> &[Value] {
        self.0.json["arrivals"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The text names what the log names.
    fn says(&self, logged: Option<&str>) -> Result<(), String> {
        match logged {
            Some(rule) if !self.0.text.contains(rule) => {
                Err(format!("the log names {rule}, the text of explain does not"))
            }
            _ => Ok(()),
        }
    }
}

fn connected(arrival: &Value, logged: &LogLine, tells: bool) -> Result<(), String> {
    let allowed = arrival["verdict"]["answer"] == "allowed";
    if allowed != (logged.decided == Decided::Allowed) {
        let said = &arrival["verdict"];
        return Err(format!(
            "the connection: explain says {said}, the log {:?}",
            logged.decided
        ));
    }
    // Whom Strict refuses nobody asked a permission about.
    let rule = name(&arrival["verdict"]["rule"]).filter(|rule| !rule.is_empty());
    same("what decides", rule, logged.rule.as_deref())?;
    if !tells {
        return Ok(());
    }
    let shadow = &arrival["shadow"];
    let would = |allow: bool| {
        ((shadow["answer"] == "allowed") == allow)
            .then(|| name(&shadow["rule"]))
            .flatten()
    };
    same("what Shadow would allow", would(true), logged.would_allow.as_deref())?;
    same("what Shadow would deny", would(false), logged.would_deny.as_deref())
}

fn arrived(arrival: &Value, line: &Line) -> Result<(), String> {
    let rule = name(&arrival["verdict"]["rule"]);
    let fault = line.field("fault");
    let faults = arrival["faults"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (allowed, denied) = (line.field("allowed_by"), line.field("denied_by"));
    match arrival["verdict"]["answer"].as_str() {
        Some("allowed") => {
            same("what allows", rule, allowed)?;
            same("what denies", None, denied)?;
            if fault.is_some() && !faults.iter().any(|one| name(&one["rule"]) == fault) {
                return Err(format!("the log names the fault {fault:?}, explain says {faults:?}"));
            }
        }
        Some("forbidden") => {
            same("what denies", rule, line.field("rule"))?;
            same("the fault", None, fault)?;
        }
        // Nobody asked a permission.
        Some("malformed") => return same("the status", Some("400"), line.number("status").as_deref()),
        other => return Err(format!("explain says {other:?}, but a request was logged")),
    }
    let shadow = |answer: &str| {
        let shadow = &arrival["shadow"];
        (shadow["answer"] == *answer).then(|| name(&shadow["rule"])).flatten()
    };
    same(
        "what Shadow would allow",
        shadow("allowed"),
        line.field("shadow_allowed_by"),
    )?;
    same(
        "what Shadow would deny",
        shadow("forbidden"),
        line.field("shadow_denied_by"),
    )
}

fn name(rule: &Value) -> Option<&str> {
    rule["name"].as_str()
}

fn same(what: &str, explained: Option<&str>, logged: Option<&str>) -> Result<(), String> {
    if explained == logged {
        return Ok(());
    }
    Err(format!("{what}: explain says {explained:?}, the log {logged:?}"))
}

/// The words after `tulle explain`.
fn words(question: &Question) -> Vec<String> {
    let to = match question.to {
        Target::Service(service) => format!("{}/{}:{}", service.namespace, service.name, question.port),
        Target::Workload(callee) => format!("workload/{}:{}", callee.id(), question.port),
    };
    let mut words = vec![question.from.name(), to];
    if let Does::Http(raw) | Does::Grpc(raw) = &question.does {
        words.extend(request(raw));
    }
    words
}

fn request(raw: &RawRequest) -> Vec<String> {
    let mut words = vec![
        raw.method.clone(),
        raw.target.clone(),
        format!("--host={}", raw.authority),
    ];
    words.extend(
        raw.headers
            .iter()
            .map(|(name, value)| format!("--header={name}={value}")),
    );
    words
}
