//! Permission rules that cannot match on any port where they hold: callers in plaintext where plaintext is refused, an Allow of
//! paths with `;` where such paths are refused. A Deny of such a path denies its escaped spelling too, which is not refused.
//!
//! Exact: both follow from settings of the ports themselves. A rule is reported only if it is idle on each of its ports.

use std::collections::BTreeMap;

use crds::conditions::Reason;

use super::rules::Rules;
use super::warning;
use crate::diagnostic::Diagnostic;
use crate::model::{HttpMatch, InboundPort, Model, MtlsMode, PathMatch, PermissionRule, Source};
use crate::origin::Origin;

/// Why a rule does not match on a port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Idle {
    Plaintext,
    Parameters,
}

pub(super) fn check(model: &Model, rules: &Rules, found: &mut Vec<Diagnostic>) {
    // Absent: it may match somewhere.
    let mut idle: BTreeMap<Origin, Option<Idle>> = BTreeMap::new();
    for workload in model.workloads.values() {
        for port in workload.ports.values().chain([&workload.undeclared]) {
            let deny = port.permission.deny.iter().map(|rule| (rule, true));
            let allow = port.permission.allow.iter().map(|rule| (rule, false));
            for (rule, is_deny) in deny.chain(allow) {
                let here = reason(rule, is_deny, port);
                idle.entry(rule.origin.clone())
                    .and_modify(|known| *known = known.filter(|known| Some(*known) == here))
                    .or_insert(here);
            }
        }
    }
    for (origin, idle) in idle {
        let (Some(idle), Some(rule)) = (idle, rules.get(&origin)) else {
            continue;
        };
        let (field, message) = match idle {
            Idle::Plaintext => (
                rule.sources_at,
                "never matches: callers without a certificate are meant, and no port that it reaches accepts plaintext; set mtls of these ports to Permissive, or remove the source",
            ),
            Idle::Parameters => (
                rule.http_at,
                "never matches: its paths contain `;`, and such requests are refused on every port that it reaches; set allowPathParameters in the Mesh, or remove it",
            ),
        };
        found.push(warning(
            &origin,
            &rule.path,
            field,
            Reason::NeverMatches,
            message.to_owned(),
        ));
    }
}

fn reason(rule: &PermissionRule, is_deny: bool, port: &InboundPort) -> Option<Idle> {
    let sources = rule.sources.as_ref().filter(|sources| !sources.is_empty());
    if port.mtls == MtlsMode::Strict && sources.is_some_and(|all| all.iter().all(|one| *one == Source::Unauthenticated))
    {
        return Some(Idle::Plaintext);
    }
    let refused = |one: &HttpMatch| match &one.path {
        Some(PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::Suffix(path)) => path.contains(';'),
        _ => false,
    };
    let http = rule.http.as_ref()?;
    (!is_deny && port.refuse_path_parameters && http.iter().all(refused)).then_some(Idle::Parameters)
}
