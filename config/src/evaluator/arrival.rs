//! What one workload port decides about whatever arrives there.

use std::sync::Arc;

use super::decision::{Answer, Arrival, Injected, Limited, Verdict};
use super::matching::{Matching, Reading, in_domain};
use super::normalise::{Seen, Side, normalise};
use super::permission::{Rules, What};
use super::request::Operation;
use crate::model::{InboundPort, Key, MtlsMode, Protocol, SpiffeId, Workload};

/// Names the scheme by which a proxy was called.
const SCHEME: &str = "x-forwarded-proto";

/// Who comes, to which port, behind which backend.
#[derive(Clone, Debug)]
pub(super) struct Visit<'a> {
    pub(super) workload: &'a Workload,
    /// Declared or not.
    pub(super) port: u16,
    pub(super) backend: Option<(Key, u16)>,
    /// Absent without a certificate.
    pub(super) identity: Option<SpiffeId>,
    /// As it left the caller.
    pub(super) operation: Operation,
}

/// The port of a workload with this number, or what stands for all undeclared ones.
pub(super) fn port_of(workload: &Workload, number: u16) -> &InboundPort {
    workload.ports.get(&number).unwrap_or(&workload.undeclared)
}

/// The port's decision.
pub(super) fn arrive(matching: Matching<'_>, visit: &Visit<'_>) -> Arrival {
    let identity = visit.identity.as_ref();
    let port = port_of(visit.workload, visit.port);
    let mut arrival = Arrival {
        workload: visit.workload.key.clone(),
        port: visit.port,
        backend: visit.backend.clone(),
        protocol: port.protocol,
        identity: identity.cloned(),
        verdict: unasked(Answer::Refused),
        shadow: None,
        limits: Vec::new(),
        faults: Vec::new(),
    };
    if visit.workload.excluded.contains(&visit.port) {
        arrival.protocol = Protocol::Tcp;
        arrival.verdict = Verdict {
            answer: Answer::Allowed,
            rule: format!("excluded/{}", visit.port).into(),
        };
        return arrival;
    }
    if !accepted(matching, port, identity) {
        return arrival;
    }
    let seen = match sight(port, identity, &visit.operation) {
        Ok(seen) => seen,
        Err(reason) => {
            arrival.verdict = unasked(Answer::Malformed(reason));
            return arrival;
        }
    };
    let what = match &seen {
        Some(seen) => What::Request(seen),
        None if port.protocol.is_http() => What::SomeRequest,
        None => What::Connection,
    };
    arrival.verdict = Rules::enforced(&port.permission).verdict(matching, identity, what);
    let candidate = Rules::candidate(&port.permission);
    arrival.shadow = candidate.map(|rules| rules.verdict(matching, identity, what));
    if let (Some(seen), Answer::Allowed) = (&seen, arrival.verdict.answer) {
        arrival.limits = limits(matching, port, identity, seen);
        arrival.faults = faults(matching, port, identity, seen);
    }
    arrival
}

fn unasked(answer: Answer) -> Verdict {
    Verdict {
        answer,
        rule: "".into(),
    }
}

/// Whether the connection comes to be: Strict takes no plaintext, and a port with requests takes identities of the mesh only, and
/// decides by request what they may do.
fn accepted(matching: Matching<'_>, port: &InboundPort, identity: Option<&SpiffeId>) -> bool {
    match identity {
        None => port.mtls == MtlsMode::Permissive,
        Some(id) => !port.protocol.is_http() || in_domain(id, matching.trust_domain),
    }
}

/// The request as the port's rules see it; absent for a connection. A request to a TCP port is a connection.
pub(super) fn sight(
    port: &InboundPort,
    caller: Option<&SpiffeId>,
    operation: &Operation,
) -> Result<Option<Seen>, &'static str> {
    let Operation::Http(request) = operation else {
        return Ok(None);
    };
    if !port.protocol.is_http() {
        return Ok(None);
    }
    let mut seen = normalise(request, Side::Inbound)?;
    if !seen.path.starts_with('/') {
        return Err("the target is no path");
    }
    // Servlet containers strip what follows, so such a path means another one than it says.
    if port.refuse_path_parameters && seen.path.contains(';') {
        return Err("the path contains `;`");
    }
    // The proxy says how it was called unless somebody else has.
    if seen.values(SCHEME).next().is_none() {
        let scheme = if caller.is_some() { "https" } else { "http" };
        seen.headers.push((SCHEME.into(), scheme.into()));
    }
    Ok(Some(seen))
}

fn limits(matching: Matching<'_>, port: &InboundPort, caller: Option<&SpiffeId>, seen: &Seen) -> Vec<Limited> {
    let all = port.limits.slots.values().flat_map(|object| &object.limits);
    let counting = all.filter(|limit| {
        let sources = limit.sources.as_deref();
        sources.is_none_or(|sources| matching.sources(sources, caller))
            && matching.any(limit.http.as_deref(), seen, Reading::Counted)
    });
    counting.map(|limit| Limited { limit: limit.clone() }).collect()
}

fn faults(matching: Matching<'_>, port: &InboundPort, caller: Option<&SpiffeId>, seen: &Seen) -> Vec<Injected> {
    let hitting = port.faults.slots.values().filter(|fault| {
        let source = fault.source.as_ref();
        source.is_none_or(|source| matching.source(source, caller))
            && matching.any(fault.http.as_ref().map(std::slice::from_ref), seen, Reading::Counted)
    });
    hitting
        .map(|fault| Injected {
            fault: Arc::clone(fault),
        })
        .collect()
}
