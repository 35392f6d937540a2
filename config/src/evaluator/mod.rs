//! The reference evaluator: a model and a request -> what happens to it, and which rule says so.
//!
//! Small and plain, written from the documented semantics. It shares no code with the compiler but the parsed model, so that
//! `tulle explain` is an opinion of its own, and real Envoys are compared with it.

mod arrival;
mod decision;
mod matching;
mod normalise;
mod patterns;
mod permission;
mod re2;
mod request;

pub use decision::{Answer, Arrival, Backing, Decision, Fate, Injected, Limited, RouteDecision, Verdict};
pub use normalise::{Seen, Side, normalise};
pub use request::{Caller, Destination, HttpRequest, Operation, Request};

use crate::model::{Endpoint, Key, Model, SpiffeId};

use arrival::{Visit, arrive};
use matching::Matching;
use patterns::Patterns;

/// Decides one request. For many, keep an [`Evaluator`].
pub fn evaluate(model: &Model, request: &Request) -> Decision {
    Evaluator::new(model).evaluate(request)
}

/// Decides requests about one model; compiles each regex once.
#[derive(Debug)]
pub struct Evaluator<'m> {
    model: &'m Model,
    patterns: Patterns,
}

impl<'m> Evaluator<'m> {
    /// About this model.
    pub fn new(model: &'m Model) -> Self {
        Self {
            model,
            patterns: Patterns::default(),
        }
    }

    /// Decides a request.
    pub fn evaluate(&self, request: &Request) -> Decision {
        let identity = match &request.from {
            Caller::Plaintext => None,
            Caller::Identity(id) => Some(id),
            Caller::Workload(key) => match self.model.workloads.get(key) {
                Some(workload) => Some(&workload.identity),
                None => return nowhere(),
            },
        };
        self.straight(request, identity)
    }

    fn matching(&self) -> Matching<'_> {
        Matching {
            patterns: &self.patterns,
            trust_domain: &self.model.mesh.trust_domain,
        }
    }

    /// What arrives as it was sent, without any route of the caller's side.
    fn straight(&self, request: &Request, identity: Option<&SpiffeId>) -> Decision {
        let mut arrivals = match &request.to {
            Destination::Service { service, port } => {
                self.behind(&(service.clone(), *port), identity, &request.operation)
            }
            Destination::Workload { workload, port } => {
                let there = self.model.workloads.get(workload);
                let visit = there.map(|workload| Visit {
                    workload,
                    port: *port,
                    backend: None,
                    identity,
                    operation: &request.operation,
                });
                visit.into_iter().map(|visit| arrive(self.matching(), visit)).collect()
            }
        };
        sort(&mut arrivals);
        Decision { route: None, arrivals }
    }

    /// The arrivals at every workload port behind a Service port.
    fn behind(&self, backend: &(Key, u16), identity: Option<&SpiffeId>, operation: &Operation) -> Vec<Arrival> {
        let service = self.model.services.get(&backend.0);
        let Some(port) = service.and_then(|service| service.ports.get(&backend.1)) else {
            return Vec::new();
        };
        let visit = |endpoint: &Endpoint| {
            let workload = self.model.workloads.get(endpoint.workload.as_ref()?)?;
            let visit = Visit {
                workload,
                port: endpoint.port,
                backend: Some(backend),
                identity,
                operation,
            };
            Some(arrive(self.matching(), visit))
        };
        port.endpoints.iter().filter_map(visit).collect()
    }
}

fn nowhere() -> Decision {
    Decision {
        route: None,
        arrivals: Vec::new(),
    }
}

fn sort(arrivals: &mut Vec<Arrival>) {
    arrivals.sort_by(|a, b| (&a.workload, a.port, &a.backend).cmp(&(&b.workload, b.port, &b.backend)));
    arrivals.dedup_by(|a, b| a == b);
}
