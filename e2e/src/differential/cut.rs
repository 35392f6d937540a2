//! Connections that a revocation cuts: the one way in which an answer may not fit although everything is acknowledged.
//!
//! Who lost all access to a port loses the connections to it at their next byte, so the caller's proxy answers that one
//! request with 503 (gRPC 14) in the place of a denial. Exactly that is recognised here, and the ledger asserts that the caller's log
//! says that the connection was closed and that the destination has not logged the request. Anything else is a difference.

use config::Model;
use config::access::allowed_identities;
use config::model::Key;

use super::access_log::Line;
use super::expect::{Possible, Sees};
use super::prober::{Does, Outcome};
use super::question::Asker;
use super::session::Asked;

/// So many cut connections in a row one question may meet: proxies keep several, one for each of the prober's workers.
pub(super) const MOST: u32 = 20;

/// What was seen, if it is what a cut connection looks like to somebody whose connections are to be cut.
pub(super) fn cut(model: &Model, asked: &Asked, seen: &Outcome) -> Option<&'static str> {
    let Asker::Mesh(caller) = asked.question.from else {
        return None;
    };
    let identity = &model
        .workloads
        .get(&Key::new(caller.namespace, &caller.workload()))?
        .identity;
    let revoked = |one: &Possible| {
        let (workload, port) = one.arrives.as_ref()?;
        let workload = model.workloads.get(workload)?;
        let permission = &workload.ports.get(port).unwrap_or(&workload.undeclared).permission;
        Some(!allowed_identities(model, permission).contains(identity))
    };
    // Nothing that such a caller may see there is the application's answer.
    if !asked
        .possible
        .iter()
        .any(|one| revoked(one) == Some(true) && !matches!(one.sees, Sees::App { .. }))
    {
        return None;
    }
    match (&asked.question.does, seen.status, seen.grpc_status) {
        (Does::Http(_), Some(503), _) => Some("HTTP/1.1, 503"),
        (Does::Grpc(_), _, Some(14)) => Some("gRPC, UNAVAILABLE"),
        _ => None,
    }
}

/// What is wrong with a line about a request on a cut connection.
pub(super) fn logged(line: &Line) -> Result<(), String> {
    if line.inbound {
        return Err(
            "the destination has logged a request of which the caller's proxy says that its connection was cut"
                .to_owned(),
        );
    }
    let (flags, details) = (line.field("flags"), line.field("details"));
    let closed =
        details.is_some_and(|text| text.starts_with("upstream_reset_before_response_started{connection_termination"));
    if flags == Some("UC") && closed {
        return Ok(());
    }
    Err(format!(
        "503 without a connection that was closed: flags {flags:?}, details {details:?}"
    ))
}
