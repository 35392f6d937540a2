//! Connections that a change ends by design: the one way in which an answer may not fit although everything is acknowledged.
//!
//! Who lost all access to a port loses the connections to it at their next byte, so the caller's proxy answers that one
//! request with 503 (gRPC 14) in the place of a denial; a plaintext caller finds its connection closed. A plaintext connection on which there
//! was no access when it was made is not cut when its port becomes Strict: each request on it is refused, until Envoy has drained it. Exactly
//! that is recognised here, and the logs must bear it out; anything else is a difference.

use std::collections::BTreeMap;
use std::time::Instant;

use config::Model;
use config::access::{allowed_identities, allows_plaintext};
use config::model::{InboundPort, Key, MtlsMode};

use super::access_log::Line;
use super::expect::{Possible, Sees};
use super::prober::{Does, Outcome};
use super::question::Asker;
use super::session::Asked;

/// So many ended connections in a row one question may meet: proxies keep several, one for each of the prober's workers.
pub(super) const MOST: u32 = 20;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// A revocation cut it on the way from proxy to proxy; the caller got 503.
    Cut,
    /// The same, of a gRPC call.
    CutGrpc,
    /// A revocation cut it; it is plaintext, so nobody answered.
    CutPlain,
    /// It is plaintext, older than the port's being Strict, and the request was refused.
    Refused,
    /// It is plaintext, older than the port's having been Strict, and was closed.
    Drained,
}

/// When each port was Strict for the last time.
#[derive(Debug, Default)]
pub(super) struct StrictPorts(BTreeMap<(Key, u16), Instant>);

impl StrictPorts {
    /// Notes that this was in force until now.
    pub(super) fn note(&mut self, model: &Model) {
        for workload in model.workloads.values() {
            let strict = workload.ports.values().filter(|port| port.mtls == MtlsMode::Strict);
            self.0
                .extend(strict.map(|port| ((workload.key.clone(), port.number), Instant::now())));
        }
    }

    /// How an answer that does not fit is explained by the end of its connection, if it is.
    pub(super) fn ended(&self, model: &Model, asked: &Asked, seen: &Outcome) -> Option<Ended> {
        match asked.question.from {
            Asker::Mesh(caller) => cut(model, &Key::new(caller.namespace, &caller.workload()), asked, seen),
            Asker::Plaintext => self.plaintext(model, asked, seen),
        }
    }

    fn plaintext(&self, model: &Model, asked: &Asked, seen: &Outcome) -> Option<Ended> {
        let (workload, number) = asked.possible.first()?.arrives.as_ref()?;
        if seen.before == 0 || seen.headers.contains_key("x-app") {
            return None;
        }
        let port = port(model, workload, *number)?;
        if port.mtls == MtlsMode::Strict {
            let refused = matches!(
                (seen.status, seen.grpc_status),
                (Some(400 | 403), _) | (_, Some(7 | 13))
            );
            return refused.then_some(Ended::Refused);
        }
        if seen.error.is_some() && !allows_plaintext(port) {
            return Some(Ended::CutPlain);
        }
        let strict = self.0.get(&(workload.clone(), *number))?;
        let older = strict.elapsed().as_secs() <= seen.age;
        (older && seen.error.is_some()).then_some(Ended::Drained)
    }
}

fn cut(model: &Model, caller: &Key, asked: &Asked, seen: &Outcome) -> Option<Ended> {
    let identity = &model.workloads.get(caller)?.identity;
    let revoked = |one: &Possible| {
        let (workload, number) = one.arrives.as_ref()?;
        let permission = &port(model, workload, *number)?.permission;
        Some(!allowed_identities(model, permission).contains(identity))
    };
    let revoked = |one: &&Possible| revoked(one) == Some(true) && !matches!(one.sees, Sees::App { .. });
    asked.possible.iter().find(revoked)?;
    match (&asked.question.does, seen.status, seen.grpc_status) {
        (Does::Http(_), Some(503), _) => Some(Ended::Cut),
        (Does::Grpc(_), _, Some(14)) => Some(Ended::CutGrpc),
        _ => None,
    }
}

fn port<'a>(model: &'a Model, workload: &Key, number: u16) -> Option<&'a InboundPort> {
    let workload = model.workloads.get(workload)?;
    Some(workload.ports.get(&number).unwrap_or(&workload.undeclared))
}

impl Ended {
    /// What is wrong with a line about a request on such a connection.
    pub(super) fn logged(self, line: &Line) -> Result<(), String> {
        let field = |name: &str| line.field(name).unwrap_or_default();
        let (flags, details) = (field("flags"), field("details"));
        let good = match self {
            // It never arrives anywhere.
            Self::Cut | Self::CutGrpc => {
                !line.inbound
                    && flags == "UC"
                    && details.starts_with("upstream_reset_before_response_started{connection_termination")
            }
            Self::Refused => {
                let refused =
                    details.starts_with("rbac_access_denied") || line.number("status").as_deref() == Some("400");
                line.inbound && field("chain") == "plain" && refused
            }
            Self::CutPlain | Self::Drained => false,
        };
        if good {
            return Ok(());
        }
        Err(format!(
            "{self:?}, but the log has flags {flags:?}, details {details:?}"
        ))
    }

    /// Whether the proxy of the destination, or else of the caller, has something to log.
    pub(super) fn is_logged(self, inbound: bool) -> bool {
        match self {
            Self::Cut | Self::CutGrpc => !inbound,
            Self::Refused => inbound,
            Self::CutPlain | Self::Drained => false,
        }
    }
}
