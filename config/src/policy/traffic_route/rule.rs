//! One rule of a route.
//!
//! A rule whose matches cannot be read is dropped: nobody knows what it would have matched. A rule whose other parts cannot be
//! read or done answers 500 to what it matches, as Gateway API wants of a filter that must not be skipped.

use std::sync::Arc;
use std::time::Duration;

use crds::backend::BackendRef;
use crds::conditions::Reason;
use crds::trafficroute::{RouteRetry, RouteRule, RouteTimeouts};

use super::filters::{Filters, backend_filters, rule_filters};
use crate::model::{HeaderEdit, HttpMatch, Key, Redirect, Retry};
use crate::parse::findings::Findings;
use crate::parse::{http, report_own_unknown, report_unknown, value};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleNode {
    pub(crate) name: Arc<str>,
    /// `spec.rules[0]`.
    pub(crate) path: String,
    /// Absent if they could not be read.
    pub(crate) matches: Option<Vec<HttpMatch>>,
    /// Absent if something else could not be read or done.
    pub(crate) body: Option<Body>,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) filters: Filters,
    pub(crate) timeout: Option<Duration>,
    pub(crate) backend_timeout: Option<Duration>,
    pub(crate) retry: Option<Retry>,
    pub(crate) backends: Vec<BackendNode>,
}

impl Body {
    /// The redirect, if the rule is one.
    pub(crate) fn redirect(&self) -> Option<&Redirect> {
        self.filters.redirect.as_ref()
    }
}

/// One backend, before anybody knows whether it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackendNode {
    /// `spec.rules[0].backendRefs[0]`.
    pub(crate) path: String,
    pub(crate) weight: u32,
    /// Absent if the reference could not be read.
    pub(crate) target: Option<BackendTarget>,
}

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackendTarget {
    pub(crate) service: Key,
    pub(crate) port: u16,
    pub(crate) request_headers: HeaderEdit,
    pub(crate) response_headers: HeaderEdit,
}

/// Parses one rule.
pub(super) fn rule(
    rule: &RouteRule,
    name: Arc<str>,
    path: String,
    namespace: &str,
    findings: &mut Findings,
) -> RuleNode {
    let matches = if rule.matches.is_empty() {
        Some(vec![HttpMatch::default()])
    } else {
        let read: Vec<Option<HttpMatch>> = rule
            .matches
            .iter()
            .enumerate()
            .map(|(index, one)| http::route_match(one, &format!("{path}.matches[{index}]"), findings))
            .collect();
        read.into_iter().collect()
    };
    let before = findings.len();
    report_own_unknown(&rule.unknown, &path, findings);
    if let Some(session) = &rule.session_persistence {
        let at = format!("{path}.sessionPersistence");
        report_unknown(session, &at, findings);
        findings.error(
            &at,
            Reason::NotSupportedYet,
            "session persistence is not supported yet; remove it",
        );
    }
    let filters = rule_filters(&rule.filters, matches.as_deref(), &format!("{path}.filters"), findings);
    let (timeout, backend_timeout) = timeouts(rule.timeouts.as_ref(), &format!("{path}.timeouts"), findings);
    let retry = rule
        .retry
        .as_ref()
        .and_then(|retry| self::retry(retry, &format!("{path}.retry"), findings));
    if filters.redirect.is_some() && !rule.backend_refs.is_empty() {
        findings.error(
            &format!("{path}.backendRefs"),
            Reason::Invalid,
            "a redirect has no backends; remove them or the redirect",
        );
    }
    let failed = findings.len() > before;
    let backends = backends(&rule.backend_refs, &path, namespace, findings);
    if rule.backend_refs.is_empty() && filters.redirect.is_none() {
        findings.warning(
            &format!("{path}.backendRefs"),
            Reason::BackendNotFound,
            "there is no backend, so what matches is answered 500; add one",
        );
    }
    let body = (!failed).then_some(Body {
        filters,
        timeout,
        backend_timeout,
        retry,
        backends,
    });
    RuleNode {
        name,
        path,
        matches,
        body,
    }
}

fn backends(refs: &[BackendRef], path: &str, namespace: &str, findings: &mut Findings) -> Vec<BackendNode> {
    refs.iter()
        .enumerate()
        .map(|(index, one)| {
            let path = format!("{path}.backendRefs[{index}]");
            let target = backend(one, &path, namespace, findings);
            BackendNode {
                path,
                weight: one.weight,
                target,
            }
        })
        .collect()
}

fn backend(one: &BackendRef, path: &str, namespace: &str, findings: &mut Findings) -> Option<BackendTarget> {
    let before = findings.len();
    report_own_unknown(&one.unknown, path, findings);
    let kind = one.kind.as_deref().unwrap_or("Service");
    if kind != "Service"
        || one
            .group
            .as_deref()
            .is_some_and(|group| !group.is_empty() && group != "core")
    {
        findings.error(
            &format!("{path}.kind"),
            Reason::NotSupportedYet,
            format!("a {kind} is no backend yet; name a Service"),
        );
    }
    if one.port.is_none() {
        findings.error(
            &format!("{path}.port"),
            Reason::Invalid,
            "a Service backend needs a port; add it",
        );
    }
    if one.weight > 1_000_000 {
        findings.error(
            &format!("{path}.weight"),
            Reason::Invalid,
            "is greater than 1000000; make all weights smaller",
        );
    }
    let filters = one.filters.as_deref().unwrap_or_default();
    let filters = backend_filters(filters, &format!("{path}.filters"), findings);
    let port = one.port?;
    (findings.len() == before).then(|| BackendTarget {
        service: Key::new(one.namespace.as_deref().unwrap_or(namespace), &one.name),
        port,
        request_headers: filters.request_headers,
        response_headers: filters.response_headers,
    })
}

fn timeouts(
    timeouts: Option<&RouteTimeouts>,
    at: &str,
    findings: &mut Findings,
) -> (Option<Duration>, Option<Duration>) {
    let Some(timeouts) = timeouts else { return (None, None) };
    report_unknown(timeouts, at, findings);
    let mut read = |field: &str, text: Option<&String>| {
        // Gateway API: 0s means no timeout.
        text.and_then(|text| value::duration(text, &format!("{at}.{field}"), findings))
            .filter(|time| !time.is_zero())
    };
    let request = read("request", timeouts.request.as_ref());
    let backend = read("backendRequest", timeouts.backend_request.as_ref());
    if let (Some(request), Some(backend)) = (request, backend)
        && backend > request
    {
        findings.error(
            &format!("{at}.backendRequest"),
            Reason::Invalid,
            "is longer than `request`, so it could never end; make it shorter",
        );
    }
    (request, backend)
}

fn retry(retry: &RouteRetry, at: &str, findings: &mut Findings) -> Option<Retry> {
    report_unknown(retry, at, findings);
    if retry.budget.is_some() {
        findings.error(
            &format!("{at}.budget"),
            Reason::NotSupportedYet,
            "retry budgets are not supported yet; remove it, and keep attempts low",
        );
    }
    let attempts = retry.attempts.unwrap_or(1);
    if attempts > 10 {
        findings.error(
            &format!("{at}.attempts"),
            Reason::Invalid,
            "is more than 10; so many retries would drown a failing backend",
        );
    }
    if let Some(code) = retry.codes.iter().find(|code| !(400..=599).contains(*code)) {
        findings.error(
            &format!("{at}.codes"),
            Reason::Invalid,
            format!("{code} is no error status; use 400 to 599"),
        );
    }
    let path = format!("{at}.backoff");
    let backoff = retry
        .backoff
        .as_ref()
        .and_then(|text| value::duration(text, &path, findings));
    if backoff.is_some_and(|wait| wait.is_zero()) {
        findings.error(
            &path,
            Reason::Invalid,
            "0 would try again at once, all callers together; write for example 25ms",
        );
    }
    let mut codes = retry.codes.clone();
    codes.sort_unstable();
    codes.dedup();
    (attempts > 0).then_some(Retry {
        attempts,
        codes,
        backoff,
    })
}
