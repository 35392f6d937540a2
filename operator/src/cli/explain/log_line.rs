//! One line of a proxy's access log -> who called what, what was decided then, and the same question for today's objects.
//!
//! The log holds no request headers, so rules that look at headers are decided without them, and it is said so.

use std::net::IpAddr;

use anyhow::Context as _;
use config::Model;
use config::evaluator::{Answer, Caller, Destination, HttpRequest, Operation, Request};
use config::model::{Key, SpiffeId};
use config::names::ListenerName;
use serde_json::{Value, json};

use super::Explanation;
use crate::access_log::{Decided, Direction, LogLine, LoggedRequest};
use crate::cli::ask::names::{self, Who};

/// Before the identity, where the log names what cut a connection (`config/src/envoy/revoke.rs`).
const CUT: &str = "revoked/";

/// A line, as an explanation shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged(LogLine);

/// Reads a line.
pub(crate) fn read(model: &Model, line: &str) -> anyhow::Result<(Who, Request, Logged)> {
    let line = LogLine::parse(line.trim().as_bytes())?;
    let (who, to) = match line.direction {
        Direction::Inbound => (peer(&line), workload(model, &line)?),
        Direction::Outbound => (local_caller(model, &line)?, service(model, &line)?),
    };
    let request = Request {
        from: who.caller.clone(),
        to,
        operation: operation(&line),
    };
    Ok((who, request, Logged(line)))
}

/// The caller as the destination saw it.
fn peer(line: &LogLine) -> Who {
    let identity = line.caller.as_deref().map(SpiffeId::from_uri);
    Who {
        namespace: None,
        caller: identity.clone().map_or(Caller::Plaintext, Caller::Identity),
        identity,
    }
}

/// The application in front of the caller's own proxy.
fn local_caller(model: &Model, line: &LogLine) -> anyhow::Result<Who> {
    let address = line.downstream.map(|address| address.ip());
    let found = address.and_then(|address| workload_at(model, address, None));
    let key = found.with_context(|| {
        let address = address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
        format!("no workload has the address {address} from which this was called; explain the line of the destination instead")
    })?;
    names::caller(model, &format!("workload/{key}"))
}

fn workload(model: &Model, line: &LogLine) -> anyhow::Result<Destination> {
    let (address, port) = match line.listener {
        Some(ListenerName::Inbound(address, port)) => (address, port),
        _ => dialled(line)?,
    };
    let workload = workload_at(model, address, Some(port))
        .with_context(|| format!("no workload has the address {address} today, to which this went"))?;
    Ok(Destination::Workload { workload, port })
}

fn service(model: &Model, line: &LogLine) -> anyhow::Result<Destination> {
    let (address, port) = match line.listener {
        Some(ListenerName::Outbound(address, port)) => (address, port),
        _ => dialled(line)?,
    };
    let mut all = model.services.values();
    if let Some(service) = all.find(|service| service.addresses.contains(&address) && service.ports.contains_key(&port))
    {
        return Ok(Destination::Service {
            service: service.key.clone(),
            port,
        });
    }
    let workload = workload_at(model, address, Some(port))
        .with_context(|| format!("nothing of the mesh has the address {address}:{port} today, to which this went"))?;
    Ok(Destination::Workload { workload, port })
}

fn dialled(line: &LogLine) -> anyhow::Result<(IpAddr, u16)> {
    let to = line.destination.context("the line names no destination")?;
    Ok((to.ip(), to.port()))
}

fn operation(line: &LogLine) -> Operation {
    let known = |request: &&LoggedRequest| !request.method.is_empty() && !request.target.is_empty();
    let Some(request) = line.request.as_ref().filter(known) else {
        return Operation::Connect;
    };
    Operation::Http(HttpRequest {
        method: request.method.as_str().into(),
        target: request.target.as_str().into(),
        authority: request.authority.as_str().into(),
        headers: Vec::new(),
    })
}

/// The workload at an address; of several on one address the one that declares the port.
fn workload_at(model: &Model, address: IpAddr, port: Option<u16>) -> Option<Key> {
    let here = || model.workloads.values().filter(|workload| workload.address == address);
    let declares = |port: u16| here().find(|workload| workload.ports.contains_key(&port));
    port.and_then(declares)
        .or_else(|| here().next())
        .map(|workload| workload.key.clone())
}

impl Logged {
    /// What was decided then.
    pub(super) fn say(&self) -> String {
        let line = &self.0;
        let word = match (line.direction, line.decided) {
            (Direction::Outbound, _) => "routed",
            (Direction::Inbound, Decided::Allowed) => "allowed",
            (Direction::Inbound, Decided::Denied) => "denied",
            (Direction::Inbound, Decided::Unasked) => "no permission was asked",
        };
        let maybe = |before: &str, what: Option<&str>| what.map_or_else(String::new, |what| format!("{before}{what}"));
        let time = Some(line.time.as_str()).filter(|time| !time.is_empty());
        [
            word,
            &maybe(" by ", line.rule.as_deref()),
            &maybe(", answered ", line.status.as_deref()),
            &maybe(" by ", self.instead()),
            &maybe(" at ", time),
        ]
        .concat()
    }

    /// A limit or fault that answered instead of the application.
    fn instead(&self) -> Option<&str> {
        self.0.limited_by.as_deref().or(self.0.fault.as_deref())
    }

    /// Whether the rule that a caller's own proxy took rewrites paths: the log then has the path that went out, and another one
    /// was asked for.
    fn rewritten(&self, model: &Model) -> bool {
        let line = &self.0;
        let ports = model.services.values().flat_map(|service| service.ports.values());
        let tables = ports.flat_map(|port| port.routes.iter().chain(port.consumer_routes.values()));
        let mut entries = tables.flat_map(|table| &table.entries);
        line.direction == Direction::Outbound
            && entries
                .any(|entry| entry.rewrite_path.is_some() && line.rule.as_deref() == Some(&*entry.origin.to_string()))
    }

    /// Whether today's objects decide the same, for the same reason; absent if the line does not tell.
    fn same(&self, it: &Explanation<'_>) -> Option<bool> {
        let line = &self.0;
        if line.direction == Direction::Outbound {
            if self.rewritten(it.model) {
                return None;
            }
            let rule = it.decision.route.as_ref().map(|route| &*route.rule);
            return line.rule.as_ref().map(|logged| rule == Some(logged));
        }
        let verdict = &it.decision.arrivals.first()?.verdict;
        let today = match verdict.answer {
            Answer::Allowed => Decided::Allowed,
            Answer::Forbidden | Answer::Refused => Decided::Denied,
            Answer::Malformed(_) => Decided::Unasked,
        };
        // A connection that was cut names whose it was, not what denied it.
        let said = line.rule.as_ref().filter(|rule| !rule.starts_with(CUT));
        let reason = said.is_none_or(|rule| *verdict.rule == **rule);
        Some(today == line.decided && reason)
    }

    /// The comparison in words.
    pub(super) fn today(&self, it: &Explanation<'_>) -> String {
        match self.same(it) {
            Some(true) => "the same, for the same reason".to_owned(),
            Some(false) => "another decision or another reason, see below".to_owned(),
            None => "the line does not say what decided".to_owned(),
        }
    }

    /// What is not known.
    pub(super) fn note(&self, model: &Model) -> Option<&'static str> {
        if self.rewritten(model) {
            return Some(
                "(the rule rewrites the path: the log holds the new one only, and what follows is about that)",
            );
        }
        let refused = self.0.decided == Decided::Denied && self.0.caller.is_some();
        match &self.0.request {
            Some(_) => Some("(the log holds no request headers: rules that look at them are asked without)"),
            None if refused => Some("(the handshake was refused: the identity is what the certificate says)"),
            None => None,
        }
    }

    pub(super) fn json(&self, it: &Explanation<'_>) -> Value {
        let line = &self.0;
        json!({
            "time": line.time,
            "direction": if line.direction == Direction::Inbound { "inbound" } else { "outbound" },
            "denied": line.direction == Direction::Inbound && line.decided == Decided::Denied,
            "rule": line.rule.as_deref().unwrap_or_default(),
            "status": line.status,
            "answeredBy": self.instead(),
            "sameToday": self.same(it),
        })
    }
}
