//! The route configuration of a workload port: permissions and the actions of limits. Everything goes to the application.

use std::sync::Arc;

use xds::{Kind, Resource};

use super::api::{any, http_fault, route};
use super::common::{metadata, reference};
use super::route::{configuration, virtual_host};
use super::{denial_header, matcher, route_action, slots};
use crate::model::{PortLimits, PortPermission};
use crate::names::{ClusterName, DENIED_BY_HEADER, LIMITED_BY_HEADER, METADATA, PATH_HEADER, RouteName, SOURCE_HEADER};
use crate::policy::{rate_limit, traffic_permission};

use route::route::Action;
use route::route_match::PathSpecifier;

/// What a port's route configuration depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InboundRoutesInput {
    /// Its name.
    pub(crate) name: RouteName,
    /// The application.
    pub(crate) cluster: ClusterName,
    /// The trust domain.
    pub(crate) trust_domain: Arc<str>,
    /// Who may call.
    pub(crate) permission: Arc<PortPermission>,
    /// Which requests count.
    pub(crate) limits: Arc<PortLimits>,
    /// Whether paths with `;` are refused.
    pub(crate) refuse_path_parameters: bool,
    /// Whether a 403 names its cause in a header.
    pub(crate) denial_header: bool,
    /// Whether there are callers without a certificate.
    pub(crate) plaintext: bool,
}

/// Compiles a port's route configuration.
pub(crate) fn inbound_routes(input: &InboundRoutesInput) -> Resource {
    let mut routes = Vec::new();
    if input.refuse_path_parameters {
        routes.push(path_parameters(&input.name));
    }
    routes.push(application(input));
    let host = route::VirtualHost {
        // The carriers are between us and our filters; the application never sees them.
        request_headers_to_remove: vec![SOURCE_HEADER.to_owned(), PATH_HEADER.to_owned()],
        // Only our filters say who limited or denied a request.
        response_headers_to_remove: vec![LIMITED_BY_HEADER.to_owned(), DENIED_BY_HEADER.to_owned()],
        ..virtual_host("workload", routes)
    };
    configuration(&input.name.to_string(), vec![host]).with_references(vec![reference(Kind::Cluster, &input.cluster)])
}

fn application(input: &InboundRoutesInput) -> route::Route {
    let rate_limits = rate_limit::envoy::actions(&input.limits, &input.trust_domain);
    let (default, denied) = (&input.permission.default.name, input.permission.default.denied());
    let names = [("default", &**default), (denial_header::DENIED, &denied)];
    let permissions = traffic_permission::envoy::per_route(
        &input.permission,
        &input.trust_domain,
        input.denial_header,
        input.plaintext,
    );
    route::Route {
        name: "application".to_owned(),
        r#match: Some(prefix_match()),
        metadata: Some(metadata(METADATA, names)),
        typed_per_filter_config: permissions,
        action: Some(Action::Route(route::RouteAction {
            rate_limits,
            ..route_action::to_cluster(&input.cluster)
        })),
        ..Default::default()
    }
}

/// Servlet containers strip `;...` from paths, so that such a path means another one than it says.
fn path_parameters(name: &RouteName) -> route::Route {
    let semicolon = matcher::header(PATH_HEADER, matcher::contains(";"));
    let mut off = traffic_permission::envoy::disabled([slots::DENY, slots::ALLOW]);
    if let RouteName::Inbound(_, port) = name {
        let none = any(&http_fault::HttpFault::default());
        off.extend(slots::faults(*port).map(|slot| (slot.to_string(), none.clone())));
    }
    let answer = route::DirectResponseAction {
        status: 400,
        ..Default::default()
    };
    route::Route {
        name: "path-parameters".to_owned(),
        r#match: Some(route::RouteMatch {
            headers: vec![semicolon],
            ..prefix_match()
        }),
        // Malformed for everyone, whoever may call, and no fault comes before that.
        typed_per_filter_config: off,
        action: Some(Action::DirectResponse(answer)),
        ..Default::default()
    }
}

fn prefix_match() -> route::RouteMatch {
    route::RouteMatch {
        path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
        ..Default::default()
    }
}
