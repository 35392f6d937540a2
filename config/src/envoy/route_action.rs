//! What happens to a request that a route matched: where it goes, how long it may take, how often it is tried.

use std::time::Duration;

use super::api::{ext, matcher as proto, route};
use super::common::duration;
use super::header_edit::{added, one_after_the_other, removed};
use super::matcher;
use crate::model::{Backend, Redirect, Retry, Rewrite, RouteAction, RouteEntry};
use crate::names::ClusterName;

use route::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
use route::route_action::{ClusterSpecifier, HostRewriteSpecifier};

const FIRST_BACKOFF: Duration = Duration::from_millis(25);
const BACKOFF_GROWTH: u32 = 10;
const OTHER_HOST_ATTEMPTS: i64 = 5;

/// The cluster of a backend.
pub(crate) fn backend_cluster(backend: &Backend) -> ClusterName {
    ClusterName::Service(backend.service.clone(), backend.port)
}

/// To one cluster, without any limit on time.
pub(crate) fn to_cluster(cluster: &ClusterName) -> route::RouteAction {
    route::RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_string())),
        // Envoy's default is 15 s, which nobody wrote.
        timeout: Some(duration(Duration::ZERO)),
        ..Default::default()
    }
}

/// To the backends of an entry; `rewrite` replaces what the route matched of the path, unless it is empty.
pub(crate) fn forward(entry: &RouteEntry, rewrite: String) -> route::RouteAction {
    let backends = match &entry.action {
        RouteAction::Forward(backends) | RouteAction::ForwardPartly { backends, .. } => backends.as_slice(),
        RouteAction::Redirect(_) => &[],
    };
    let whole = match &entry.rewrite_path {
        Some(Rewrite::Full(path)) => Some(whole_path(path)),
        _ => None,
    };
    let clusters = backends
        .iter()
        .filter(|backend| backend.weight > 0)
        .map(|backend| weighted(entry, backend))
        .collect();
    route::RouteAction {
        cluster_specifier: Some(ClusterSpecifier::WeightedClusters(route::WeightedCluster {
            clusters,
            ..Default::default()
        })),
        prefix_rewrite: rewrite,
        regex_rewrite: whole,
        host_rewrite_specifier: entry
            .rewrite_host
            .as_ref()
            .map(|host| HostRewriteSpecifier::HostRewriteLiteral(host.to_string())),
        timeout: Some(duration(entry.timeout.unwrap_or(Duration::ZERO))),
        retry_policy: retries(entry.retry.as_ref(), entry.backend_timeout),
        ..Default::default()
    }
}

/// A request passes the rule's filters and then the backend's; the answer comes back the other way, as Envoy does it by itself.
fn weighted(entry: &RouteEntry, backend: &Backend) -> route::weighted_cluster::ClusterWeight {
    let (adding, removing) = one_after_the_other(&entry.request_headers, &backend.request_headers);
    route::weighted_cluster::ClusterWeight {
        name: backend_cluster(backend).to_string(),
        weight: Some(backend.weight),
        request_headers_to_add: adding,
        request_headers_to_remove: removing,
        response_headers_to_add: added(&backend.response_headers),
        response_headers_to_remove: removed(&backend.response_headers),
        ..Default::default()
    }
}

/// Replaces the whole path and leaves the query. The pattern is ours; the path is only substituted.
fn whole_path(path: &str) -> proto::RegexMatchAndSubstitute {
    proto::RegexMatchAndSubstitute {
        pattern: Some(matcher::re2("^.*$")),
        substitution: path.replace('\\', "\\\\"),
    }
}

fn retries(retry: Option<&Retry>, each_try: Option<Duration>) -> Option<route::RetryPolicy> {
    if retry.is_none() && each_try.is_none() {
        return None;
    }
    let tried = retry.map(|retry| {
        let first = retry.backoff.unwrap_or(FIRST_BACKOFF);
        let name = "envoy.retry_host_predicates.previous_hosts";
        let config = xds::proto::any(&ext::retry::host::previous_hosts::v3::PreviousHostsPredicate {});
        route::RetryPolicy {
            retry_on: "connect-failure,refused-stream,reset-before-request,retriable-status-codes".to_owned(),
            retriable_status_codes: retry.codes.iter().map(|code| u32::from(*code)).collect(),
            retry_host_predicate: vec![route::retry_policy::RetryHostPredicate {
                name: name.to_owned(),
                config_type: Some(route::retry_policy::retry_host_predicate::ConfigType::TypedConfig(
                    config,
                )),
            }],
            host_selection_retry_max_attempts: OTHER_HOST_ATTEMPTS,
            retry_back_off: Some(route::retry_policy::RetryBackOff {
                base_interval: Some(duration(first)),
                max_interval: Some(duration(first.saturating_mul(BACKOFF_GROWTH))),
            }),
            ..Default::default()
        }
    });
    Some(route::RetryPolicy {
        num_retries: Some(retry.map_or(0, |retry| retry.attempts)),
        per_try_timeout: each_try.map(duration),
        ..tried.unwrap_or_default()
    })
}

/// A redirect.
pub(crate) fn redirect(redirect: &Redirect) -> route::RedirectAction {
    let code = match redirect.status {
        301 => RedirectResponseCode::MovedPermanently,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::Found,
    };
    route::RedirectAction {
        scheme_rewrite_specifier: redirect
            .scheme
            .as_ref()
            .map(|scheme| SchemeRewriteSpecifier::SchemeRedirect(scheme.to_string())),
        host_redirect: redirect.hostname.as_deref().unwrap_or_default().to_owned(),
        port_redirect: redirect.port.unwrap_or_default().into(),
        path_rewrite_specifier: redirect.path.as_ref().map(|path| match path {
            Rewrite::Full(path) => PathRewriteSpecifier::PathRedirect(path.to_string()),
            Rewrite::Prefix(prefix) => PathRewriteSpecifier::PrefixRewrite(prefix.to_string()),
        }),
        response_code: code.into(),
        ..Default::default()
    }
}
