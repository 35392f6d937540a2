//! One line of a proxy's access log -> who called what, what was decided then, and the same question for today's objects.
//!
//! The log holds no request headers, so rules that look at headers are decided without them, and it is said so.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use config::Model;
use config::evaluator::{Caller, Destination, HttpRequest, Operation, Request};
use config::model::{Key, SpiffeId};
use config::names::ListenerName;
use serde_json::{Value, json};

use super::Explanation;
use crate::cli::ask::names::{self, Who};

/// What the line says was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    time: String,
    inbound: bool,
    /// The rule that permitted or denied; for a caller's own proxy the route. Empty if the line does not say.
    rule: String,
    denied: bool,
    status: Option<String>,
    /// A limit or fault that answered instead of the application.
    instead: Option<String>,
    request: bool,
}

/// Reads a line.
pub(crate) fn read(model: &Model, line: &str) -> anyhow::Result<(Who, Request, Logged)> {
    let line = Line(serde_json::from_str(line.trim()).context("this is no line of an access log: it is no JSON")?);
    let direction = line
        .text("direction")
        .context("this is no line of our access log: it has no `direction`")?;
    let inbound = direction == "inbound";
    let who = if inbound {
        line.peer()
    } else {
        line.local_caller(model)?
    };
    let request = Request {
        from: who.caller.clone(),
        to: if inbound {
            line.workload(model)?
        } else {
            line.service(model)?
        },
        operation: line.operation(),
    };
    Ok((who, request, line.logged(inbound)))
}

struct Line(Value);

impl Line {
    /// A field that is there and says something; Envoy writes null or `-` for nothing.
    fn text(&self, name: &str) -> Option<String> {
        let text = match self.0.get(name)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty() && text != "-").then_some(text)
    }

    fn address(&self, name: &str) -> Option<SocketAddr> {
        self.text(name)?.parse().ok()
    }

    fn listener(&self) -> Option<ListenerName> {
        ListenerName::parse(&self.text("listener")?)
    }

    /// The caller as the destination saw it.
    fn peer(&self) -> Who {
        let identity = self.text("peer").map(|uri| SpiffeId::from_uri(&uri));
        Who {
            namespace: None,
            caller: identity.clone().map_or(Caller::Plaintext, Caller::Identity),
            identity,
        }
    }

    /// The application in front of the caller's own proxy.
    fn local_caller(&self, model: &Model) -> anyhow::Result<Who> {
        let address = self.address("downstream").map(|address| address.ip());
        let found = address.and_then(|address| workload_at(model, address, None));
        let key = found.with_context(|| {
            let address = address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
            format!("no workload has the address {address} from which this was called; explain the line of the destination instead")
        })?;
        names::caller(model, &format!("workload/{key}"))
    }

    fn workload(&self, model: &Model) -> anyhow::Result<Destination> {
        let (address, port) = if let Some(ListenerName::Inbound(address, port)) = self.listener() {
            (address, port)
        } else {
            let to = self.address("destination").context("the line names no destination")?;
            (to.ip(), to.port())
        };
        let workload = workload_at(model, address, Some(port))
            .with_context(|| format!("no workload has the address {address} today, to which this went"))?;
        Ok(Destination::Workload { workload, port })
    }

    fn service(&self, model: &Model) -> anyhow::Result<Destination> {
        let (address, port) = if let Some(ListenerName::Outbound(address, port)) = self.listener() {
            (address, port)
        } else {
            let to = self.address("destination").context("the line names no destination")?;
            (to.ip(), to.port())
        };
        let mut all = model.services.values();
        if let Some(service) =
            all.find(|service| service.addresses.contains(&address) && service.ports.contains_key(&port))
        {
            return Ok(Destination::Service {
                service: service.key.clone(),
                port,
            });
        }
        let workload = workload_at(model, address, Some(port)).with_context(|| {
            format!("nothing of the mesh has the address {address}:{port} today, to which this went")
        })?;
        Ok(Destination::Workload { workload, port })
    }

    fn operation(&self) -> Operation {
        let (Some(method), Some(target)) = (self.text("method"), self.text("path")) else {
            return Operation::Connect;
        };
        Operation::Http(HttpRequest {
            method: method.into(),
            target: target.into(),
            authority: self.text("authority").unwrap_or_default().into(),
            headers: Vec::new(),
        })
    }

    fn logged(&self, inbound: bool) -> Logged {
        let denied_by = self.text("denied_by");
        let by = if inbound {
            let permission = denied_by
                .clone()
                .or_else(|| self.text("allowed_by"))
                .or_else(|| self.text("default"));
            permission.or_else(|| self.text("rule"))
        } else {
            self.text("rule").or_else(|| self.text("route"))
        };
        let refused = ["details", "termination"]
            .iter()
            .filter_map(|name| self.text(name))
            .any(|text| text.contains("rbac"));
        Logged {
            time: self.text("time").unwrap_or_default(),
            inbound,
            rule: by.unwrap_or_default(),
            denied: inbound && (refused || self.text("tls_failure").is_some()),
            status: self.text("status").filter(|status| status != "0"),
            instead: self.text("limited_by").or_else(|| self.text("fault")),
            request: self.text("method").is_some(),
        }
    }
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
        let word = match (self.inbound, self.denied) {
            (false, _) => "routed",
            (true, true) => "denied",
            (true, false) => "allowed",
        };
        let by = if self.rule.is_empty() {
            String::new()
        } else {
            format!(" by {}", self.rule)
        };
        let status = self
            .status
            .as_ref()
            .map_or_else(String::new, |status| format!(", answered {status}"));
        let instead = self
            .instead
            .as_ref()
            .map_or_else(String::new, |rule| format!(" by {rule}"));
        let time = if self.time.is_empty() {
            String::new()
        } else {
            format!(" at {}", self.time)
        };
        format!("{word}{by}{status}{instead}{time}")
    }

    /// Whether today's objects decide the same, for the same reason; absent if the line does not tell.
    fn same(&self, it: &Explanation<'_>) -> Option<bool> {
        if !self.inbound {
            let rule = it.decision.route.as_ref().map(|route| &*route.rule);
            return (!self.rule.is_empty()).then(|| rule == Some(&*self.rule));
        }
        let verdict = &it.decision.arrivals.first()?.verdict;
        let denied = verdict.answer != config::evaluator::Answer::Allowed;
        Some(denied == self.denied && (self.rule.is_empty() || *verdict.rule == *self.rule))
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
    pub(super) fn note(&self) -> Option<&'static str> {
        self.request
            .then_some("(the log holds no request headers: rules that look at them are asked without)")
    }

    pub(super) fn json(&self, it: &Explanation<'_>) -> Value {
        json!({
            "time": self.time,
            "direction": if self.inbound { "inbound" } else { "outbound" },
            "denied": self.denied,
            "rule": self.rule,
            "status": self.status,
            "answeredBy": self.instead,
            "sameToday": self.same(it),
        })
    }
}
