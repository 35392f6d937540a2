//! From the question to wherever it arrives.

use super::arrival::{Visit, arrive};
use super::decision::{Arrival, Backing, Decision, Fate, RouteDecision};
use super::matching::Matching;
use super::nearest::{Nearest, nearest};
use super::patterns::Patterns;
use super::request::{Caller, Destination, Operation, Request};
use super::route::route;
use crate::model::{Endpoint, Key, Model, Service, ServicePort, SpiffeId, Workload};

/// Decides requests about one model; compiles each regex once.
#[derive(Debug)]
pub struct Evaluator<'m> {
    model: &'m Model,
    patterns: Patterns,
}

/// What the caller's proxy does, and what comes of it.
type Calls<'m> = (Option<RouteDecision>, Vec<Visit<'m>>);

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
        let (route, visits) = self.calls(request);
        let mut arrivals: Vec<Arrival> = visits.iter().map(|visit| arrive(self.matching(), visit)).collect();
        arrivals.sort_by(|a, b| (&a.workload, a.port, &a.backend).cmp(&(&b.workload, b.port, &b.backend)));
        Decision { route, arrivals }
    }

    /// The Allow rule that comes nearest to letting in a request that the default refused; `arrival` is one of its arrivals.
    /// Absent where it was let in, where a Deny decided, and where there is no Allow rule.
    pub fn nearest(&self, request: &Request, arrival: &Arrival) -> Option<Nearest> {
        let (_, visits) = self.calls(request);
        let visit = visits
            .into_iter()
            .find(|visit| arrive(self.matching(), visit) == *arrival)?;
        nearest(self.matching(), &visit, arrival)
    }

    fn matching(&self) -> Matching<'_> {
        Matching {
            patterns: &self.patterns,
            trust_domain: &self.model.mesh.trust_domain,
        }
    }

    fn calls(&self, request: &Request) -> Calls<'m> {
        let operation = &request.operation;
        match &request.from {
            Caller::Plaintext => (None, self.straight(&request.to, None, operation)),
            Caller::Identity(id) => (None, self.straight(&request.to, Some(id), operation)),
            Caller::Workload(key) => match (self.model.workloads.get(key), &request.to) {
                (None, _) => (None, Vec::new()),
                (Some(caller), Destination::Service { service, port }) => {
                    self.to_service(caller, &(service.clone(), *port), operation)
                }
                (Some(caller), Destination::Workload { workload, port }) => {
                    self.to_workload(caller, workload, *port, operation)
                }
            },
        }
    }

    /// What arrives as it was sent, without any proxy of the caller.
    fn straight(&self, to: &Destination, identity: Option<&SpiffeId>, operation: &Operation) -> Vec<Visit<'m>> {
        match to {
            Destination::Service { service, port } => {
                self.behind(&(service.clone(), *port), identity, operation, |_| true)
            }
            Destination::Workload { workload, port } => {
                let there = self.model.workloads.get(workload);
                let visit = there.map(|workload| visit(workload, *port, identity, operation));
                visit.into_iter().collect()
            }
        }
    }

    fn service_port(&self, backend: &(Key, u16)) -> Option<(&'m Service, &'m ServicePort)> {
        let service = self.model.services.get(&backend.0)?;
        Some((service, service.ports.get(&backend.1)?))
    }

    /// Every workload port behind a Service port. Endpoints outside the mesh have no proxy, and nothing is decided there.
    fn behind(
        &self,
        backend: &(Key, u16),
        identity: Option<&SpiffeId>,
        operation: &Operation,
        dialled: impl Fn(&Endpoint) -> bool,
    ) -> Vec<Visit<'m>> {
        let endpoints = self.service_port(backend).map(|(_, port)| port.endpoints.iter());
        let arriving = endpoints.into_iter().flatten().filter(|endpoint| dialled(endpoint));
        let visits = arriving.filter_map(|endpoint| {
            let workload = self.model.workloads.get(endpoint.workload.as_ref()?)?;
            Some(Visit {
                backend: Some(backend.clone()),
                ..visit(workload, endpoint.port, identity, operation)
            })
        });
        visits.collect()
    }

    fn to_service(&self, caller: &Workload, dialled: &(Key, u16), operation: &Operation) -> Calls<'m> {
        let Some((service, port)) = self.service_port(dialled) else {
            return (None, Vec::new());
        };
        // Who dials its own address talks to itself; no proxy stands between.
        let another = |endpoint: &Endpoint| !service.addresses.is_empty() || endpoint.address != caller.address;
        let decision = route(self.matching(), &caller.key.namespace, service, port, operation);
        let mut visits = Vec::new();
        for backing in backings(&decision) {
            let arriving = carried(backing, operation);
            let backend = (backing.service.clone(), backing.port);
            visits.extend(self.behind(&backend, Some(&caller.identity), &arriving, another));
        }
        (Some(decision), visits)
    }

    /// An endpoint of a headless Service is dialled as the mesh's, and so is one of another Service if the caller says that it
    /// dials endpoints: its proxy passes on the bytes as they are; any other address is one outside, whatever is there.
    fn to_workload(&self, caller: &Workload, to: &Key, port: u16, operation: &Operation) -> Calls<'m> {
        let Some(workload) = self.model.workloads.get(to).filter(|_| *to != caller.key) else {
            return (None, Vec::new());
        };
        let Some((service, service_port)) = self.headless(workload, port) else {
            if caller.dials_endpoints && self.led_to(workload, port) {
                return (None, vec![visit(workload, port, Some(&caller.identity), operation)]);
            }
            let plain = visit(workload, port, None, operation);
            return (
                None,
                self.model.mesh.egress_allowed.then_some(plain).into_iter().collect(),
            );
        };
        let mut decision = route(self.matching(), &caller.key.namespace, service, service_port, operation);
        if &*decision.rule == "pod/*" {
            decision.rule = format!("pod/{}/{port}", workload.address).into();
        }
        let arriving = backings(&decision).iter().map(|backing| carried(backing, operation));
        let visits = arriving.map(|operation| visit(workload, port, Some(&caller.identity), &operation));
        let visits = visits.collect();
        (Some(decision), visits)
    }

    /// A Service with an address of its own leads to this port of the workload.
    fn led_to(&self, workload: &Workload, port: u16) -> bool {
        let mut services = self.model.services.values();
        services.any(|service| {
            let mut ports = service.ports.values();
            !service.addresses.is_empty() && ports.any(|service_port| is_endpoint(service_port, workload, port))
        })
    }

    /// The first headless Service by name that has this endpoint.
    fn headless(&self, workload: &Workload, port: u16) -> Option<(&'m Service, &'m ServicePort)> {
        let services = self
            .model
            .services
            .values()
            .filter(|service| service.addresses.is_empty());
        let mut ports = services.flat_map(|service| service.ports.values().map(move |port| (&**service, &**port)));
        ports.find(|(_, service_port)| is_endpoint(service_port, workload, port))
    }
}

fn is_endpoint(service: &ServicePort, workload: &Workload, port: u16) -> bool {
    let mut endpoints = service.endpoints.iter();
    endpoints
        .any(|endpoint| endpoint.address == workload.address && endpoint.port == port && endpoint.workload.is_some())
}

fn backings(decision: &RouteDecision) -> &[Backing] {
    match &decision.fate {
        Fate::Forward { backends, .. } => backends,
        Fate::Redirect(_) | Fate::NoMatch | Fate::Malformed(_) => &[],
    }
}

/// What the caller's proxy passes on: the request as it made it, or the bytes as they came.
fn carried(backing: &Backing, operation: &Operation) -> Operation {
    match &backing.request {
        Some(request) => Operation::Http(request.clone()),
        None => operation.clone(),
    }
}

fn visit<'m>(workload: &'m Workload, port: u16, identity: Option<&SpiffeId>, operation: &Operation) -> Visit<'m> {
    Visit {
        workload,
        port,
        backend: None,
        identity: identity.cloned(),
        operation: operation.clone(),
    }
}
