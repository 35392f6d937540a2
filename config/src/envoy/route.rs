//! Routes of a Service port at its callers. The address decides which Service is meant, so one virtual host takes all hosts.

use std::sync::Arc;

use xds::{Kind, Reference, Resource};

use super::api::{core, route, r#type};
use super::common::{per_million, reference};
use super::header_edit::{added, removed};
use super::{matcher, route_action};
use crate::model::{HttpMatch, PathMatch, Rewrite, RouteAction, RouteEntry, RouteTable};
use crate::names::{ClusterName, RouteName};

use route::route::Action;
use route::route_match::PathSpecifier;

const MILLION: u64 = 1_000_000;

/// What a route configuration depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoutesInput {
    /// Its name.
    pub(crate) name: RouteName,
    /// Where everything goes when there is no table.
    pub(crate) cluster: ClusterName,
    /// The routes.
    pub(crate) table: Option<Arc<RouteTable>>,
}

/// Compiles a route configuration. What no route matches is answered 404.
pub(crate) fn routes(input: &RoutesInput) -> Resource {
    let (routes, references) = match &input.table {
        None => (
            vec![everything(&input.cluster)],
            vec![reference(Kind::Cluster, &input.cluster)],
        ),
        Some(table) => {
            let refused = table.refuse_path_parameters.then(path_parameters);
            let entries = table.entries.iter().flat_map(entry);
            (refused.into_iter().chain(entries).collect(), clusters(table))
        }
    };
    let host = virtual_host("service", routes);
    let name = input.name.to_string();
    configuration(&name, vec![host]).with_references(references)
}

/// A route configuration with these hosts.
pub(crate) fn configuration(name: &str, virtual_hosts: Vec<route::VirtualHost>) -> Resource {
    let message = route::RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts,
        ..Default::default()
    };
    Resource::new(Kind::Route, name, &message)
}

/// A host that takes every request.
pub(crate) fn virtual_host(name: &str, routes: Vec<route::Route>) -> route::VirtualHost {
    route::VirtualHost {
        name: name.to_owned(),
        domains: vec!["*".to_owned()],
        routes,
        ..Default::default()
    }
}

fn clusters(table: &RouteTable) -> Vec<Reference> {
    let backends = table.entries.iter().flat_map(|entry| match &entry.action {
        RouteAction::Forward(backends) | RouteAction::ForwardPartly { backends, .. } => backends.as_slice(),
        RouteAction::Redirect(_) => &[],
    });
    let used = backends.filter(|backend| backend.weight > 0);
    let mut all: Vec<_> = used
        .map(|backend| reference(Kind::Cluster, &route_action::backend_cluster(backend)))
        .collect();
    all.sort();
    all.dedup();
    all
}

fn everything(cluster: &ClusterName) -> route::Route {
    route::Route {
        name: cluster.to_string(),
        r#match: Some(path_match(PathSpecifier::Prefix("/".to_owned()))),
        action: Some(Action::Route(route_action::to_cluster(cluster))),
        ..Default::default()
    }
}

/// Refuses paths with `;`. The regex sees the path without its query, and any bytes (`\C`).
fn path_parameters() -> route::Route {
    let path = PathSpecifier::SafeRegex(matcher::re2(r"\C*;\C*"));
    let answer = route::DirectResponseAction {
        status: 400,
        ..Default::default()
    };
    route::Route {
        name: "path-parameters".to_owned(),
        r#match: Some(path_match(path)),
        action: Some(Action::DirectResponse(answer)),
        ..Default::default()
    }
}

/// The routes of one entry: usually one, more where Envoy needs a match of its own for each kind of answer.
fn entry(entry: &RouteEntry) -> Vec<route::Route> {
    let forward = |rewrite| Action::Route(route_action::forward(entry, rewrite));
    match &entry.action {
        RouteAction::Redirect(redirect) => {
            let action = Action::Redirect(route_action::redirect(redirect));
            vec![one(entry, request_match(&entry.matches), action)]
        }
        RouteAction::Forward(backends) if backends.iter().any(|backend| backend.weight > 0) => {
            let matches = rewritten_matches(entry);
            matches
                .into_iter()
                .map(|(request, rewrite)| one(entry, request, forward(rewrite)))
                .collect()
        }
        RouteAction::Forward(_) => vec![one(entry, request_match(&entry.matches), no_backend())],
        RouteAction::ForwardPartly {
            backends,
            invalid_weight,
        } => {
            let valid: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
            let mut refused = request_match(&entry.matches);
            if valid == 0 {
                return vec![one(entry, refused, no_backend())];
            }
            refused.runtime_fraction = Some(share(u64::from(*invalid_weight), valid + u64::from(*invalid_weight)));
            let mut routes = vec![one(entry, refused, no_backend())];
            let matches = rewritten_matches(entry);
            routes.extend(
                matches
                    .into_iter()
                    .map(|(request, rewrite)| one(entry, request, forward(rewrite))),
            );
            routes
        }
    }
}

/// Edits of the request stand with each backend.
fn one(entry: &RouteEntry, request: route::RouteMatch, action: Action) -> route::Route {
    route::Route {
        name: entry.origin.to_string(),
        r#match: Some(request),
        response_headers_to_add: added(&entry.response_headers),
        response_headers_to_remove: removed(&entry.response_headers),
        action: Some(action),
        ..Default::default()
    }
}

/// Gateway API: a share without a valid backend is answered 500.
fn no_backend() -> Action {
    Action::DirectResponse(route::DirectResponseAction {
        status: 500,
        ..Default::default()
    })
}

fn share(part: u64, whole: u64) -> core::RuntimeFractionalPercent {
    let numerator = (part * MILLION + whole / 2).checked_div(whole).unwrap_or(MILLION);
    let default: r#type::FractionalPercent = per_million(u32::try_from(numerator).unwrap_or(u32::MAX));
    core::RuntimeFractionalPercent {
        default_value: Some(default),
        ..Default::default()
    }
}

/// What a request must be.
pub(crate) fn request_match(http: &HttpMatch) -> route::RouteMatch {
    let path = match &http.path {
        None => PathSpecifier::Prefix("/".to_owned()),
        Some(PathMatch::Exact(path)) => PathSpecifier::Path(path.to_string()),
        Some(PathMatch::Prefix(prefix)) if prefix.is_empty() => PathSpecifier::Prefix("/".to_owned()),
        Some(PathMatch::Prefix(prefix)) => PathSpecifier::PathSeparatedPrefix(prefix.to_string()),
        // Route matches know no suffix; no route has one.
        Some(PathMatch::Suffix(suffix)) => {
            PathSpecifier::SafeRegex(matcher::re2(format!(".*{}", matcher::quote(suffix))))
        }
        Some(PathMatch::Regex(regex)) => PathSpecifier::SafeRegex(matcher::re2(&**regex)),
    };
    with_rest(path, http)
}

fn with_rest(path: PathSpecifier, http: &HttpMatch) -> route::RouteMatch {
    let method = http
        .method
        .iter()
        .map(|method| matcher::header(":method", matcher::exact(&**method)));
    let query = |query: &crate::model::QueryMatch| route::QueryParameterMatcher {
        name: query.name.to_string(),
        query_parameter_match_specifier: Some(
            route::query_parameter_matcher::QueryParameterMatchSpecifier::StringMatch(matcher::value(&query.value)),
        ),
    };
    route::RouteMatch {
        headers: method.chain(http.headers.iter().map(matcher::user_header)).collect(),
        query_parameters: http.query.iter().map(query).collect(),
        ..path_match(path)
    }
}

fn path_match(path: PathSpecifier) -> route::RouteMatch {
    route::RouteMatch {
        path_specifier: Some(path),
        ..Default::default()
    }
}

/// The matches of an entry, each with the text that replaces what it matched of the path.
///
/// Envoy replaces the matched prefix literally. Removing `/v1` from `/v1` and from `/v1/x` therefore takes two matches, or
/// the second would become `//x`.
fn rewritten_matches(entry: &RouteEntry) -> Vec<(route::RouteMatch, String)> {
    let plain = |rewrite: String| vec![(request_match(&entry.matches), rewrite)];
    let Some(Rewrite::Prefix(replacement)) = &entry.rewrite_path else {
        return plain(String::new());
    };
    let replacement = replacement.trim_end_matches('/');
    match &entry.matches.path {
        Some(PathMatch::Prefix(prefix)) if !prefix.is_empty() => {
            if !replacement.is_empty() {
                return plain(replacement.to_owned());
            }
            let whole = with_rest(PathSpecifier::Path(prefix.to_string()), &entry.matches);
            let below = with_rest(PathSpecifier::Prefix(format!("{prefix}/")), &entry.matches);
            vec![(whole, "/".to_owned()), (below, "/".to_owned())]
        }
        None | Some(PathMatch::Prefix(_)) => plain(format!("{replacement}/")),
        // Parse refuses a prefix replacement without a prefix match.
        Some(PathMatch::Exact(_) | PathMatch::Suffix(_) | PathMatch::Regex(_)) => plain(String::new()),
    }
}
