//! One `RateLimit` -> one node.
//!
//! A limit takes away, so what cannot be read makes it count more: a bad match counts everything it could, a bad key is one
//! bucket for all, a scope that is not done counts by proxy. Only without a usable rate there is no limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::conditions::Reason;
use crds::ratelimit::{Limit, LimitKeyType, LimitScope, OnLimit, Rate, RateUnit, RequestMatch};
use crds::trafficpermission::PolicyMode;

use super::bucket::bucket;
use crate::diagnostic::Diagnostic;
use crate::model::{HttpMatch, LimitKey, TokenBucket};
use crate::parse::findings::{Findings, Part};
use crate::parse::source::{SourceNode, sources};
use crate::parse::target::{Target, targets};
use crate::parse::{http, report_own_unknown, report_unknown, value};
use crate::policy::{Head, rule_name};

/// The answer beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<Arc<str>, Arc<str>>,
}

/// One limit; what could not be read of its match is absent, which counts everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryNode {
    pub(crate) name: Arc<str>,
    pub(crate) sources: Option<Vec<SourceNode>>,
    pub(crate) http: Option<Vec<HttpMatch>>,
    pub(crate) key: LimitKey,
    /// Absent if the rate is unusable.
    pub(crate) bucket: Option<TokenBucket>,
    /// Something in it was not understood or cannot be done.
    pub(crate) failed: bool,
}

/// A `RateLimit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitNode {
    pub(crate) head: Head,
    pub(crate) targets: Vec<Target>,
    pub(crate) shadow: bool,
    /// One answer for all limits of the object: they share a filter.
    pub(crate) answer: Answer,
    pub(crate) limits: Vec<EntryNode>,
}

/// Parses a `RateLimit`.
pub(crate) fn parse(limit: &crds::RateLimit) -> (LimitNode, Vec<Diagnostic>) {
    let head = Head::new("RateLimit", &limit.metadata);
    let mut findings = Findings::new(&head.object);
    let spec = &limit.spec;
    let broken = report_own_unknown(&spec.unknown, "spec", &mut findings);
    let mut targets = targets(spec.target_refs.as_ref(), &head.object.namespace, &mut findings);
    for target in &mut targets {
        target.doubtful |= broken;
    }
    if let Some(connections) = &spec.connections {
        report_unknown(connections, "spec.connections", &mut findings);
        findings.error(
            "spec.connections",
            Reason::NotSupportedYet,
            "limits of connections are not supported yet; remove it",
        );
    }
    let first = spec.limits.first().and_then(|limit| limit.on_limit.as_ref());
    let mut names = BTreeSet::new();
    let mut limits = Vec::new();
    let mut answer = Answer {
        status: 429,
        headers: BTreeMap::new(),
    };
    for (index, one) in spec.limits.iter().enumerate() {
        let (name, name_failed) = rule_name(Some(&one.name), index, "limits", &mut names, &mut findings);
        let at = format!("spec.limits[{index}]");
        let before = findings.len();
        if index == 0 {
            answer = self::answer(first, &format!("{at}.onLimit"), &mut findings);
        } else if one.on_limit.as_ref() != first {
            let message =
                "all limits of one object give the first one's answer; make them the same, or write another object";
            findings.error(&format!("{at}.onLimit"), Reason::NotSupportedYet, message);
        }
        let mut node = entry(one, name, &at, &mut findings);
        node.failed = name_failed || broken || findings.len() > before;
        limits.push(node);
    }
    findings.in_object();
    let shadow = spec.mode == PolicyMode::Shadow;
    (
        LimitNode {
            head,
            targets,
            shadow,
            answer,
            limits,
        },
        findings.into_inner(),
    )
}

fn entry(limit: &Limit, name: Arc<str>, at: &str, findings: &mut Findings) -> EntryNode {
    report_own_unknown(&limit.unknown, at, findings);
    let (sources, http) = request_match(limit.matches.as_ref(), &format!("{at}.match"), findings);
    let key = key(limit, at, findings);
    let unsupported = match limit.scope {
        LimitScope::Proxy => None,
        LimitScope::Workload => {
            Some("scope Workload is not supported yet, so each proxy counts for itself; use scope Proxy")
        }
        LimitScope::Mesh => Some("scope Mesh is not supported yet, so each proxy counts for itself; use scope Proxy"),
    };
    if let Some(message) = unsupported {
        findings.error(&format!("{at}.scope"), Reason::NotSupportedYet, message);
    } else if limit.on_service_unavailable.is_some() {
        findings.error(
            &format!("{at}.onServiceUnavailable"),
            Reason::Invalid,
            "goes with scope Mesh only; remove it",
        );
    }
    let bucket = rate(&limit.rate, &format!("{at}.rate"), findings);
    EntryNode {
        name,
        sources: known(sources),
        http: known(http),
        key,
        bucket,
        failed: false,
    }
}

/// What could not be read counts as absent: everybody, everything.
fn known<T>(part: Part<T>) -> Option<T> {
    match part {
        Part::Good(value) => Some(value),
        Part::Absent | Part::Bad => None,
    }
}

/// The `match` of a limit or a fault.
pub(crate) fn request_match(
    one: Option<&RequestMatch>,
    at: &str,
    findings: &mut Findings,
) -> (Part<Vec<SourceNode>>, Part<Vec<HttpMatch>>) {
    let Some(one) = one else {
        return (Part::Absent, Part::Absent);
    };
    report_own_unknown(&one.unknown, at, findings);
    let sources = sources(one.sources.as_ref(), &format!("{at}.sources"), findings);
    (
        sources,
        http::policy_matches(one.http.as_ref(), &format!("{at}.http"), findings),
    )
}

fn key(limit: &Limit, at: &str, findings: &mut Findings) -> LimitKey {
    let at = format!("{at}.key");
    if report_unknown(&limit.key, &at, findings) {
        return LimitKey::None;
    }
    match limit.key.as_slice() {
        [] => LimitKey::None,
        [one] if one.key_type == LimitKeyType::SourceIdentity && one.header.is_none() => LimitKey::SourceIdentity,
        _ => {
            let message = "only one key of type SourceIdentity is supported yet, so this limit is one bucket for all; use that or none";
            findings.error(&at, Reason::NotSupportedYet, message);
            LimitKey::None
        }
    }
}

fn rate(rate: &Rate, at: &str, findings: &mut Findings) -> Option<TokenBucket> {
    report_unknown(rate, at, findings);
    if rate.requests == 0 || rate.requests > 1_000_000 {
        let message =
            "is not a rate, so this limit is not in force; use 1 to 1000000, or a TrafficPermission to refuse all";
        findings.error(&format!("{at}.requests"), Reason::Invalid, message);
        return None;
    }
    if rate.burst == Some(0) {
        findings.error(
            &format!("{at}.burst"),
            Reason::Invalid,
            "0 would let nothing through, so 1 is used; use at least 1",
        );
    }
    let unit = match rate.unit {
        RateUnit::Second => 1,
        RateUnit::Minute => 60,
        RateUnit::Hour => 3600,
    };
    Some(bucket(rate.requests, unit, rate.burst))
}

fn answer(on_limit: Option<&OnLimit>, at: &str, findings: &mut Findings) -> Answer {
    let mut answer = Answer {
        status: 429,
        headers: BTreeMap::new(),
    };
    let Some(on_limit) = on_limit else { return answer };
    report_unknown(on_limit, at, findings);
    match on_limit.status {
        Some(status) if (400..=599).contains(&status) => answer.status = status,
        None => {}
        Some(status) => findings.error(
            &format!("{at}.status"),
            Reason::Invalid,
            format!("{status} is no refusal, so 429 is used; use 400 to 599"),
        ),
    }
    for (name, text) in &on_limit.headers {
        let problem = match (value::edited_header_name(name), value::header_value(text)) {
            (Ok(name), Ok(())) => {
                answer.headers.insert(name.into(), text.as_str().into());
                continue;
            }
            (Err(problem), _) | (_, Err(problem)) => problem,
        };
        findings.error(&format!("{at}.headers"), Reason::Invalid, format!("{name:?} {problem}"));
    }
    answer
}
