//! What `tulle diff` says about two worlds, held against what real Envoys do in both.
//!
//! A claim of it is an example call whose decision changes: it is sent in both worlds. The other way round, each edge whose
//! decision changed for a question that was asked in both must be listed. Examples that nobody can send are left out: made
//! up callers, undeclared ports, Services whose routes may send the example elsewhere, methods that Envoy takes for its own.
#![allow(clippy::indexing_slicing, reason = "a field that JSON does not have is null")]

use std::collections::BTreeMap;

use anyhow::Result;
use config::Model;
use config::evaluator::{Answer, Evaluator};
use config::model::Key;
use operator::access_log::{Decided, LogLine};
use operator::cli::answers::Objects;
use serde_json::Value;

use super::access_log::Line;
use super::expect::{Possible, Sees};
use super::prober::{Does, RawRequest};
use super::question::{Asker, Question, Target};
use super::world::{self, CALLEES, CALLERS, Callee, MANY, MANY_SERVICE, PORTS, SERVICES};

/// What it says.
#[derive(Clone, Debug)]
pub struct Diffed(Value);

/// One decision that changes, as it says.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The example.
    pub question: Question,
    workload: String,
    becomes_allowed: bool,
    /// It is the report of Shadow permissions that changes.
    shadow: bool,
    /// The deciding rules.
    before: String,
    after: String,
}

/// What a claim says about one of its worlds.
#[derive(Clone, Debug)]
pub struct Named {
    rule: String,
    allowed: bool,
    shadow: bool,
}

/// How a change of an edge is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listed {
    /// As access that changes.
    Access,
    /// As a route that changes.
    Route,
    /// As `;` in paths being refused or taken now.
    PathParameters,
    /// As a port of which there are more examples than were asked.
    Unsure,
}

impl Diffed {
    /// Asks.
    pub fn ask(before: &Objects, after: &Objects) -> Result<Self> {
        Ok(Self(before.diff(after)?.json))
    }

    /// Its claims of which the example can be sent.
    pub fn claims(&self, before: &Model, after: &Model) -> Vec<Claim> {
        let evaluators = [before, after].map(Evaluator::new);
        let arrives = |claim: &Claim| {
            let request = claim.question.request();
            evaluators
                .iter()
                .all(|one| matches!(one.evaluate(&request).arrivals.as_slice(), [arrival] if arrival.workload.to_string() == claim.workload))
        };
        let unrouted = |claim: &Claim| [before, after].iter().all(|model| !routed(model, &claim.question));
        list(&self.0["access"])
            .flat_map(claims)
            .filter(|claim| unrouted(claim) && arrives(claim))
            .collect()
    }

    /// Where it lists that calls of a workload port, by this caller and through this Service, become what they became.
    pub fn lists(&self, model: &Model, question: &Question, workload: &str, allowed: bool) -> Option<Listed> {
        let port = workload_port(question);
        let group = workload
            .split_once('/')
            .and_then(|(namespace, name)| model.workloads.get(&Key::new(namespace, name)))
            .map(|found| format!("{}/{}", found.key.namespace, found.group))
            .unwrap_or_default();
        let becomes = if allowed { "allowed" } else { "denied" };
        let callee = |one: &Value| one["group"] == *group && one["port"] == port;
        let access = list(&self.0["access"]).any(|change| {
            change["shadow"] == false
                && change["becomes"] == becomes
                && list(&change["callees"]).any(callee)
                && askers(change).any(|asker| asker == question.from)
        });
        let route = list(&self.0["routes"]).any(|change| match question.to {
            Target::Service(service) => {
                change["service"] == format!("{}/{}", service.namespace, service.name)
                    && change["port"] == question.port
            }
            Target::Workload(_) => false,
        });
        let semicolon = list(&self.0["effects"])
            .any(|effect| effect["subject"] == "paths with `;`" && list(&effect["callees"]).any(callee));
        let unsure = list(&self.0["unsure"]).any(|place| *place == format!("{group}:{port}"));
        let all = [
            (access, Listed::Access),
            (route, Listed::Route),
            (semicolon && has_parameters(question), Listed::PathParameters),
            (unsure, Listed::Unsure),
        ];
        all.into_iter().find_map(|(is, listed)| is.then_some(listed))
    }

    /// All of it, for reports.
    pub fn json(&self) -> &Value {
        &self.0
    }
}

impl Claim {
    /// The rule that it names for the first world, or for the second.
    pub fn named(&self, after: bool) -> Named {
        Named {
            rule: if after { &self.after } else { &self.before }.clone(),
            allowed: self.becomes_allowed == after,
            shadow: self.shadow,
        }
    }

    /// Whether a log tells what it is about: it does not of every connection that Shadow permissions would decide otherwise.
    pub fn is_told(&self, fits: &[Possible]) -> bool {
        !self.shadow || fits.iter().all(|one| one.tells_shadow(&self.question))
    }

    /// What is wrong with it, after what was seen in both worlds.
    pub fn compare(&self, before: &[Possible], after: &[Possible]) -> Result<(), String> {
        let seen = [before, after].map(|fits| {
            let decided = if self.shadow { reported(fits) } else { decisions(fits) };
            decided.get(&self.workload).copied()
        });
        if seen == [Some(!self.becomes_allowed), Some(self.becomes_allowed)] {
            return Ok(());
        }
        Err(format!(
            "diff says {self:?}, seen was (allowed before, after): {seen:?}"
        ))
    }
}

impl Named {
    /// What is wrong with a line of the destination's proxy.
    pub fn inbound(&self, line: &Line) -> Result<(), String> {
        let enforced = line.field("allowed_by").or(line.field("rule"));
        let reported = line.field("shadow_allowed_by").or(line.field("shadow_denied_by"));
        let logged = if self.shadow { reported.or(enforced) } else { enforced };
        // Nobody asked a permission about what is malformed.
        if self.rule.is_empty() || logged == Some(&self.rule) {
            return Ok(());
        }
        Err(format!("diff says that {self:?} decides, the log {logged:?}"))
    }

    /// What is wrong with its line about a connection; nothing if that does not `tell` of Shadow permissions and this is about them.
    pub fn connected(&self, logged: &LogLine, tells: bool) -> Result<(), String> {
        if self.shadow && !tells {
            return Ok(());
        }
        let enforced = (logged.decided == Decided::Allowed, logged.rule.as_deref());
        let said = match (&logged.would_allow, &logged.would_deny) {
            (Some(rule), _) if self.shadow => (true, Some(&**rule)),
            (None, Some(rule)) if self.shadow => (false, Some(&**rule)),
            _ => enforced,
        };
        // Whom Strict refuses nobody asked a permission about.
        if said == (self.allowed, Some(&*self.rule).filter(|rule| !rule.is_empty())) {
            return Ok(());
        }
        Err(format!("diff says that {self:?} decides, the log {said:?}"))
    }
}

/// Whether each workload that a question may have arrived at let it in.
pub fn decisions(fits: &[Possible]) -> BTreeMap<String, bool> {
    consistent(fits.iter().filter_map(|one| {
        let entry = one.entry.as_ref();
        let allowed = match &one.sees {
            Sees::App { .. } => true,
            Sees::Closed => false,
            _ => entry?.verdict.answer == Answer::Allowed,
        };
        Some((one.arrives.as_ref()?.0.to_string(), allowed))
    }))
}

/// Whether Shadow permissions would let it in, or else what was enforced; whom Strict refuses no permission is asked about.
fn reported(fits: &[Possible]) -> BTreeMap<String, bool> {
    consistent(fits.iter().filter_map(|one| {
        let verdict = one
            .entry
            .as_ref()
            .map(|entry| entry.shadow.as_ref().unwrap_or(&entry.verdict));
        let allowed = match verdict {
            Some(verdict) => verdict.answer == Answer::Allowed,
            None if matches!(one.sees, Sees::Closed) => false,
            None => return None,
        };
        Some((one.arrives.as_ref()?.0.to_string(), allowed))
    }))
}

/// What is said twice in two ways is not known.
fn consistent(all: impl Iterator<Item = (String, bool)>) -> BTreeMap<String, bool> {
    let mut known: BTreeMap<String, Option<bool>> = BTreeMap::new();
    for (workload, allowed) in all {
        let place = known.entry(workload).or_insert(Some(allowed));
        *place = place.filter(|before| *before == allowed);
    }
    known.into_iter().filter_map(|(name, is)| Some((name, is?))).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// The callers of a change that can ask.
fn askers(change: &Value) -> impl Iterator<Item = Asker> {
    let uri = |one: &Value, caller: &world::Caller| {
        *one == format!("spiffe://tulle.local/ns/{}/sa/{}", caller.namespace, caller.account)
    };
    let known = CALLERS
        .into_iter()
        .filter(move |caller| list(&change["callers"]).any(|one| uri(one, caller)));
    let plaintext = change["exampleCaller"] == "plaintext" && list(&change["callers"]).next().is_none();
    known.map(Asker::Mesh).chain(plaintext.then_some(Asker::Plaintext))
}

fn claims(change: &Value) -> Vec<Claim> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for asker in askers(change) {
        for callee in list(&change["callees"]) {
            let Some(question) = question(asker, callee, &change["example"]) else {
                continue;
            };
            all.push(Claim {
                question,
                workload: text(&callee["workload"]),
                becomes_allowed: change["becomes"] == "allowed",
                shadow: change["shadow"] == true,
                before: text(&change["before"]["rule"]["name"]),
                after: text(&change["after"]["rule"]["name"]),
            });
        }
    }
    all
}

fn question(from: Asker, callee: &Value, example: &Value) -> Option<Question> {
    let named = callee["workload"].as_str()?;
    // All undeclared ports have the number 0.
    let number = u16::try_from(callee["port"].as_u64()?)
        .ok()
        .filter(|number| *number > 0)?;
    let callee = CALLEES.into_iter().chain([MANY]).find(|one| one.id() == named)?;
    let port = PORTS.into_iter().find(|port| port.workload == number && callee != MANY);
    let server_first = port.map_or(world::MANY_BANNER.contains(&number), world::Port::server_first);
    let does = if example.is_null() {
        if server_first { Does::Listen } else { Does::Say }
    } else {
        Does::Http(raw(example)?)
    };
    if from == Asker::Plaintext {
        // A silent caller is waited for by the proxy; there are enough of those.
        let to = Target::Workload(callee);
        return (!server_first).then_some(Question {
            from,
            to,
            port: number,
            does,
        });
    }
    let (to, port) = match port {
        Some(port) => (alone(callee)?, port.service),
        None if callee == MANY => (MANY_SERVICE, number),
        None => return None,
    };
    let to = Target::Service(to);
    Some(Question { from, to, port, does })
}

/// The Service that has this workload alone behind it.
fn alone(callee: Callee) -> Option<world::Service> {
    let same = |one: &&world::Service| one.app == callee.app && (one.version == callee.version || callee.app != "api");
    SERVICES.iter().find(same).copied()
}

fn raw(example: &Value) -> Option<RawRequest> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let (method, target) = (text(&example["method"])?, text(&example["path"])?);
    let own = matches!(method.as_str(), "CONNECT" | "TRACE");
    let sendable = target.bytes().all(|byte| byte.is_ascii_graphic());
    let headers = list(&example["headers"]).map(|one| Some((text(&one["name"])?, text(&one["value"])?)));
    (!own && sendable).then_some(RawRequest {
        method,
        target,
        authority: text(&example["host"])?,
        headers: headers.collect::<Option<_>>()?,
    })
}

fn has_parameters(question: &Question) -> bool {
    let (Does::Http(raw) | Does::Grpc(raw)) = &question.does else {
        return false;
    };
    raw.target.contains(';')
}

fn workload_port(question: &Question) -> u16 {
    let port = PORTS.iter().find(|port| port.service == question.port);
    match question.to {
        Target::Service(_) => port.map_or(question.port, |port| port.workload),
        Target::Workload(_) => question.port,
    }
}

fn routed(model: &Model, question: &Question) -> bool {
    let Target::Service(service) = question.to else {
        return false;
    };
    let found = model.services.get(&Key::new(service.namespace, service.name));
    let port = found.and_then(|found| found.ports.get(&question.port));
    port.is_none_or(|port| port.routes.is_some() || !port.consumer_routes.is_empty())
}
