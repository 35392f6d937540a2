//! The Allow rule that comes nearest to letting in a request that the default refused, and what of it differs.

use std::sync::Arc;

use super::arrival::{Visit, port_of, sight};
use super::decision::{Answer, Arrival};
use super::matching::{Matching, Reading, method};
use super::normalise::Seen;
use crate::model::{HeaderMatch, HttpMatch, PathMatch, PermissionRule, Source};
use crate::origin::Origin;

/// A rule that would have let the request in, but for some differences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// The rule.
    pub origin: Origin,
    /// In what the request differs; never empty.
    pub differences: Vec<Difference>,
}

/// One thing in which a request is not what a rule allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Another caller.
    Source {
        /// Who is allowed; never empty.
        allowed: Vec<Source>,
    },
    /// Another method.
    Method {
        /// The one that is allowed.
        allowed: Arc<str>,
        /// The one that was sent.
        sent: Arc<str>,
    },
    /// Another path.
    Path {
        /// The one that is allowed.
        allowed: PathMatch,
        /// The one that was sent, normalised.
        sent: Arc<str>,
    },
    /// A header with another value, or none.
    Header {
        /// What is allowed.
        allowed: HeaderMatch,
        /// What was sent, occurrences joined by commas; absent if there is no such header.
        sent: Option<Arc<str>>,
    },
}

/// The nearest of the port's Allow rules: of those with the fewest differences one that knows the caller, then the first by name.
pub(super) fn nearest(matching: Matching<'_>, visit: &Visit<'_>, arrival: &Arrival) -> Option<Nearest> {
    let by_default = arrival.verdict.rule.starts_with("default/");
    if !by_default || arrival.verdict.answer == Answer::Allowed {
        return None;
    }
    let port = port_of(visit.workload, visit.port);
    let seen = sight(port, visit.identity.as_ref(), &visit.operation).ok()?;
    let mut best: Option<((usize, bool, String), Nearest)> = None;
    for rule in &port.permission.allow {
        for differences in ways(matching, rule, visit, seen.as_ref(), port.protocol.is_http()) {
            let stranger = differences.iter().any(|one| matches!(one, Difference::Source { .. }));
            let key = (differences.len(), stranger, rule.origin.to_string());
            if best.as_ref().is_none_or(|(known, _)| key < *known) {
                let origin = rule.origin.clone();
                best = Some((key, Nearest { origin, differences }));
            }
        }
    }
    best.map(|(_, nearest)| nearest)
}

/// What differs from each way in which the rule allows something.
fn ways(
    matching: Matching<'_>,
    rule: &PermissionRule,
    visit: &Visit<'_>,
    seen: Option<&Seen>,
    requests: bool,
) -> Vec<Vec<Difference>> {
    let Some(sources) = rule.sources.as_deref().filter(|sources| !sources.is_empty()) else {
        return Vec::new();
    };
    let caller = (!matching.sources(sources, visit.identity.as_ref())).then(|| Difference::Source {
        allowed: sources.to_vec(),
    });
    let with = |request: Vec<Difference>| caller.iter().cloned().chain(request).collect();
    match (&rule.http, seen) {
        (None, _) => vec![with(Vec::new())],
        (Some(list), Some(seen)) => list.iter().map(|one| with(request(matching, one, seen))).collect(),
        // Some request would be fine; in a connection there is none.
        (Some(list), None) if requests && !list.is_empty() => vec![with(Vec::new())],
        (Some(_), None) => Vec::new(),
    }
}

fn request(matching: Matching<'_>, one: &HttpMatch, seen: &Seen) -> Vec<Difference> {
    let other = one.method.iter().filter(|_| !method(one, seen));
    let other = other.map(|allowed| Difference::Method {
        allowed: Arc::clone(allowed),
        sent: Arc::clone(&seen.method),
    });
    let path = one
        .path
        .iter()
        .filter(|path| !matching.path(path, seen, Reading::Joined));
    let path = path.map(|allowed| Difference::Path {
        allowed: allowed.clone(),
        sent: Arc::clone(&seen.path),
    });
    let headers = one
        .headers
        .iter()
        .filter(|header| !matching.header(header, seen, Reading::Joined));
    let headers = headers.map(|allowed| Difference::Header {
        allowed: allowed.clone(),
        sent: seen.joined(&allowed.name).map(Arc::from),
    });
    other.chain(path).chain(headers).collect()
}
