//! A decision of the evaluator as the outcomes that it leaves possible: one, or several where a weight or a load balancer
//! chooses.
//!
//! What a status means in gRPC is gRPC's and Envoy's mapping, written down here a second time.

use config::evaluator::{Answer, Arrival, Decision, Fate, HttpRequest, Verdict};
use config::model::{FaultEffect, Key, Model, Redirect};

use super::question::{Asker, Question};

/// What a caller may see, and what the logs must say then.
#[derive(Clone, Debug)]
pub struct Possible {
    /// The workload and its port where it arrives, if it does.
    pub arrives: Option<(Key, u16)>,
    /// What the caller sees.
    pub sees: Sees,
    /// What the destination's proxy writes; absent where nothing arrives.
    pub entry: Option<Entry>,
    /// What the caller's proxy names as the route; absent where there is none, or nothing to compare.
    pub route: Option<String>,
    /// What a denial says about its cause.
    pub denied_by: Option<String>,
}

/// What a caller sees.
#[derive(Clone, Debug)]
pub enum Sees {
    /// The application's answer.
    App {
        /// Which one.
        app: String,
        /// Which version.
        version: String,
        /// The request as it left the caller's proxy, if a route says so.
        request: Option<HttpRequest>,
    },
    /// A proxy's answer.
    Status(u16),
    /// A proxy's answer with this gRPC status.
    GrpcStatus(u32),
    /// A redirect.
    Redirect(Redirect),
    /// No byte.
    Closed,
}

/// What the destination's proxy writes about a request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose proxy.
    pub workload: String,
    /// The decision, with its cause.
    pub verdict: Verdict,
    /// The decision of the candidate.
    pub shadow: Option<Verdict>,
    /// The fault that was injected.
    pub fault: Option<String>,
}

impl Possible {
    /// Whether the destination's log tells what Shadow permissions would do, if there are any: it does not of a connection that was
    /// refused. A prober that was let in says something or at least ends the connection, and both are seen.
    pub fn tells_shadow(&self, question: &Question) -> bool {
        let Some(entry) = &self.entry else { return true };
        question.is_request() || entry.verdict.answer == Answer::Allowed || entry.shadow.is_none()
    }
}

/// All possible outcomes.
pub fn possible(question: &Question, decision: &Decision, model: &Model) -> Vec<Possible> {
    let Some(route) = &decision.route else {
        return decision
            .arrivals
            .iter()
            .map(|arrival| arrived(question, arrival, model, None))
            .collect();
    };
    let alone = |sees: Sees, named: bool| Possible {
        arrives: None,
        sees,
        entry: None,
        route: named.then(|| route.rule.to_string()),
        denied_by: None,
    };
    match &route.fate {
        Fate::Malformed(_) => vec![alone(status(question, 400), false)],
        Fate::NoMatch => vec![alone(status(question, 404), false)],
        Fate::Redirect(redirect) => vec![alone(Sees::Redirect(redirect.clone()), true)],
        Fate::Forward {
            backends,
            invalid_weight,
        } => {
            let mut all = Vec::new();
            if *invalid_weight > 0 || backends.iter().all(|backend| backend.weight == 0) {
                all.push(alone(status(question, 500), true));
            }
            for backend in backends.iter().filter(|backend| backend.weight > 0) {
                let behind = Some((backend.service.clone(), backend.port));
                let there = decision.arrivals.iter().filter(|arrival| arrival.backend == behind);
                all.extend(there.map(|arrival| Possible {
                    route: question.is_request().then(|| route.rule.to_string()),
                    ..arrived(question, arrival, model, backend.request.as_ref())
                }));
            }
            all
        }
    }
}

fn arrived(question: &Question, arrival: &Arrival, model: &Model, request: Option<&HttpRequest>) -> Possible {
    let fault = arrival
        .faults
        .iter()
        .find(|injected| !matches!(injected.fault.effect, FaultEffect::Delay(_)));
    let sees = match (arrival.verdict.answer, fault) {
        (Answer::Allowed, None) => app(arrival, model, request),
        (Answer::Allowed, Some(injected)) => match injected.fault.effect {
            FaultEffect::AbortHttp(code) => status(question, code),
            FaultEffect::AbortGrpc(code) if question.is_grpc() => Sees::GrpcStatus(code),
            // Envoy has no HTTP status for it (measured with 1.40): the caller gets 200 and Envoy's words.
            FaultEffect::AbortGrpc(_) => Sees::Status(200),
            FaultEffect::Delay(_) => app(arrival, model, request),
        },
        (Answer::Forbidden, _) => status(question, 403),
        (Answer::Malformed(_), _) => status(question, 400),
        // The caller's own proxy answers requests that it cannot deliver.
        (Answer::Refused, _) if question.is_request() && question.from != Asker::Plaintext => status(question, 503),
        (Answer::Refused, _) => Sees::Closed,
    };
    // Who is refused without being asked for its permissions is no entry.
    let logged =
        arrival.verdict.answer != Answer::Refused || !question.is_request() && !arrival.verdict.rule.is_empty();
    Possible {
        arrives: Some((arrival.workload.clone(), arrival.port)),
        sees,
        entry: logged.then(|| Entry {
            workload: arrival.workload.to_string(),
            verdict: arrival.verdict.clone(),
            shadow: arrival.shadow.clone(),
            fault: fault.map(|injected| injected.fault.origin.to_string()),
        }),
        route: None,
        denied_by: (model.mesh.denial_header && arrival.verdict.answer == Answer::Forbidden)
            .then(|| arrival.verdict.rule.to_string()),
    }
}

fn app(arrival: &Arrival, model: &Model, request: Option<&HttpRequest>) -> Sees {
    let workload = model.workloads.get(&arrival.workload);
    let label = |name: &str| {
        workload
            .and_then(|workload| workload.labels.get(name))
            .cloned()
            .unwrap_or_default()
    };
    Sees::App {
        app: label("app"),
        version: label("version"),
        request: request.cloned(),
    }
}

fn status(question: &Question, code: u16) -> Sees {
    if question.is_grpc() {
        Sees::GrpcStatus(to_grpc(code))
    } else {
        Sees::Status(code)
    }
}

/// How Envoy says an HTTP status to a gRPC caller.
fn to_grpc(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// What is expected, in a word.
pub fn kind(possible: &[Possible]) -> &'static str {
    match possible {
        [] => "nothing",
        [one] => match &one.sees {
            Sees::App { .. } => "application",
            Sees::Status(400) => "malformed",
            Sees::Status(403) | Sees::GrpcStatus(7) => "denied",
            Sees::Status(404) => "no route",
            Sees::Status(_) | Sees::GrpcStatus(_) => "another status",
            Sees::Redirect(_) => "redirect",
            Sees::Closed => "closed",
        },
        _ => "one of several",
    }
}
