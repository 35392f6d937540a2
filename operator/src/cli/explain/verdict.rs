//! The answer in one word, of all that a decision says.

use config::Model;
use config::evaluator::{Answer, Arrival, Decision, Fate, Request, Verdict};
use config::model::Protocol;

use crate::cli::ask::{request, say};

/// What becomes of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every workload that it may reach lets it in.
    Allowed,
    /// None does; what the caller sees of the first.
    Denied(Verdict, Protocol),
    /// Some do: it depends on where it arrives.
    Partly,
    /// The caller's own proxy answers.
    Answered(String),
    /// A redirect.
    Redirected(u16),
    /// It goes to addresses outside the mesh, where nobody of ours decides.
    Leaves,
    /// Nobody is there to answer.
    Nobody,
}

impl Outcome {
    pub(crate) fn of(model: &Model, request: &Request, decision: &Decision) -> Self {
        if let Some(route) = &decision.route {
            match &route.fate {
                Fate::NoMatch => return Self::Answered("404, no route matches".to_owned()),
                Fate::Malformed(reason) => return Self::Answered(format!("400, {reason}")),
                Fate::Redirect(redirect) => return Self::Redirected(redirect.status),
                Fate::Forward { backends, .. } if backends.is_empty() => {
                    return Self::Answered("500, the route has no valid backend".to_owned());
                }
                Fate::Forward { invalid_weight, .. } if *invalid_weight > 0 && !decision.arrivals.is_empty() => {
                    return match Self::arrivals(&decision.arrivals) {
                        Self::Allowed => Self::Partly,
                        other => other,
                    };
                }
                Fate::Forward { .. } => {}
            }
        }
        if decision.arrivals.is_empty() {
            return if leaves(model, request, decision) {
                Self::Leaves
            } else {
                Self::Nobody
            };
        }
        Self::arrivals(&decision.arrivals)
    }

    fn arrivals(arrivals: &[Arrival]) -> Self {
        let denied: Vec<&Arrival> = arrivals
            .iter()
            .filter(|one| one.verdict.answer != Answer::Allowed)
            .collect();
        match denied.first() {
            None => Self::Allowed,
            Some(first) if denied.len() == arrivals.len() => Self::Denied(first.verdict.clone(), first.protocol),
            Some(_) => Self::Partly,
        }
    }

    /// The call always gets where it should.
    pub(crate) fn gets_through(&self) -> bool {
        matches!(self, Self::Allowed | Self::Redirected(_) | Self::Leaves)
    }

    /// For people.
    pub(crate) fn say(&self) -> String {
        match self {
            Self::Allowed => "ALLOWED".to_owned(),
            Self::Denied(verdict, protocol) => say::answer(verdict.answer, *protocol),
            Self::Partly => "PARTLY ALLOWED".to_owned(),
            Self::Answered(what) => format!("ANSWERED {what}"),
            Self::Redirected(status) => format!("REDIRECTED {status}"),
            Self::Leaves => "LEAVES THE MESH".to_owned(),
            Self::Nobody => "NOBODY ANSWERS".to_owned(),
        }
    }

    /// For programs.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied(..) => "denied",
            Self::Partly => "partly",
            Self::Answered(_) => "answered",
            Self::Redirected(_) => "redirected",
            Self::Leaves => "leaves",
            Self::Nobody => "nobody",
        }
    }
}

/// Some endpoint of what was called has no proxy.
fn leaves(model: &Model, asked: &Request, decision: &Decision) -> bool {
    let asked_for = match &asked.to {
        config::evaluator::Destination::Service { service, port } => Some((service, *port)),
        config::evaluator::Destination::Workload { .. } => None,
    };
    let backends = match decision.route.as_ref().map(|route| &route.fate) {
        Some(Fate::Forward { backends, .. }) => backends.as_slice(),
        _ => &[],
    };
    let all = backends
        .iter()
        .map(|backend| (&backend.service, backend.port))
        .chain(asked_for);
    let mut endpoints = all
        .filter_map(|(service, port)| model.services.get(service)?.ports.get(&port))
        .flat_map(|port| port.endpoints.iter());
    request::protocol(model, &asked.to).is_some() && endpoints.any(|endpoint| endpoint.workload.is_none())
}
