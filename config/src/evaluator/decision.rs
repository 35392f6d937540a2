//! What is answered, with the cause of each part.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Fault, Key, Limit, Protocol, Redirect, Retry, SpiffeId};

use super::HttpRequest;

/// What happens to a request, first at the caller's proxy, then wherever it may arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the caller's proxy does; absent if no proxy of the caller routes it.
    pub route: Option<RouteDecision>,
    /// Each workload port where it may arrive, in order of name. Empty if it arrives nowhere, or outside the mesh.
    pub arrivals: Vec<Arrival>,
}

/// What the caller's proxy does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteDecision {
    /// The Service whose address was dialled.
    pub service: Key,
    /// Its port.
    pub port: u16,
    /// The route's name as Envoy logs it: `TrafficRoute/<namespace>/<name>/<rule>`, or the name of the route that stands for none.
    pub rule: Arc<str>,
    /// What happens.
    pub fate: Fate,
    /// The whole request, retries included.
    pub timeout: Option<Duration>,
    /// One try.
    pub backend_timeout: Option<Duration>,
    /// Retries.
    pub retry: Option<Retry>,
}

/// What a route does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes to one of these, by weight; the rest of the weights, if any, is answered 500.
    Forward {
        /// The valid backends.
        backends: Vec<Backing>,
        /// The weight that has no valid backend.
        invalid_weight: u32,
    },
    /// It is redirected.
    Redirect(Redirect),
    /// No rule matches: 404.
    NoMatch,
    /// It is malformed: 400, with the reason.
    Malformed(&'static str),
}

/// One backend, with the request as it leaves for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backing {
    /// The Service.
    pub service: Key,
    /// Its port.
    pub port: u16,
    /// Its weight.
    pub weight: u32,
    /// The request after rewrites and header edits; absent for TCP.
    pub request: Option<HttpRequest>,
}

/// What one workload port decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The workload.
    pub workload: Key,
    /// The port.
    pub port: u16,
    /// The backend that it stands behind; absent if the workload was dialled itself.
    pub backend: Option<(Key, u16)>,
    /// What the port speaks.
    pub protocol: Protocol,
    /// Who calls, as the port sees it; absent without a certificate.
    pub identity: Option<SpiffeId>,
    /// Whether it is let in.
    pub verdict: Verdict,
    /// Whether it would be, if every Shadow permission were enforced; absent where none reaches the port.
    pub shadow: Option<Verdict>,
    /// The limits that count it, enforced or not; empty unless it is let in.
    pub limits: Vec<Limited>,
    /// The faults that may be injected; empty unless it is let in.
    pub faults: Vec<Injected>,
}

/// Whether a request or connection is let in, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verdict {
    /// What the caller sees.
    pub answer: Answer,
    /// The deciding rule, as Envoy's access log names it: `TrafficPermission/<namespace>/<name>/<rule>` or `default/<Allow|Deny>/<port>`;
    /// `excluded/<port>` for a port that the proxy does not take, where everybody is let in; empty where no permission was asked (malformed, plaintext in Strict).
    pub rule: Arc<str>,
}

/// What the caller sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It reaches the application.
    Allowed,
    /// 403, or gRPC `PERMISSION_DENIED`.
    Forbidden,
    /// 400, with the reason.
    Malformed(&'static str),
    /// The connection is refused or closed.
    Refused,
}

/// A limit that counts the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The limit.
    pub limit: Limit,
}

/// A fault that may be injected into the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// The fault.
    pub fault: Arc<Fault>,
}
