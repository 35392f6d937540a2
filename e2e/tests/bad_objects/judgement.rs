//! What a model grants.

use std::collections::BTreeSet;

use config::Model;
use config::evaluator::{Answer, Caller, Destination, Evaluator, HttpRequest, Operation, Request};
use config::model::{Key, SpiffeId};
use tulle_e2e::harness::broken::{FIRST_ALLOWED, FIRST_DENIED, cases};
use tulle_e2e::harness::yaml::NAMESPACE;

/// A call that is allowed: case, port, caller, method.
pub(crate) type Grant = (usize, u16, &'static str, &'static str);

/// Everything that a model allows at the ports of the cases.
pub(crate) fn grants(model: &Model) -> BTreeSet<Grant> {
    let evaluator = Evaluator::new(model);
    let mut grants = BTreeSet::new();
    for (case, first) in (0..cases().len()).flat_map(|case| [(case, FIRST_ALLOWED), (case, FIRST_DENIED)]) {
        let port = first + u16::try_from(case).unwrap_or(u16::MAX - first);
        for caller in ["orders", "frontend", "stranger", "plaintext"] {
            for method in ["GET", "POST"] {
                if evaluator
                    .evaluate(&request(caller, port, method))
                    .arrivals
                    .iter()
                    .any(|one| one.verdict.answer == Answer::Allowed)
                {
                    grants.insert((case, port, caller, method));
                }
            }
        }
    }
    grants
}

fn request(caller: &str, port: u16, method: &str) -> Request {
    let from = match caller {
        "plaintext" => Caller::Plaintext,
        name => Caller::Identity(SpiffeId::of("tulle.local", NAMESPACE, name)),
    };
    Request {
        from,
        to: Destination::Workload {
            workload: Key::new(NAMESPACE, if port < FIRST_DENIED { "guarded-1" } else { "guarded-2" }),
            port,
        },
        operation: Operation::Http(HttpRequest {
            method: method.into(),
            target: "/".into(),
            authority: "guarded".into(),
            headers: Vec::new(),
        }),
    }
}
