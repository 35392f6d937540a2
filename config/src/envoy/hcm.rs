//! The HTTP connection manager of both directions: normalisation, header hygiene, timeouts, upgrades.

use std::time::Duration;

use super::api::{any, core, ext, hcm, listener, mutation};
use super::common::{ads, duration, network_filter};
use super::{access_log, denial_header, matcher, slots};
use crate::names::{PATH_HEADER, RouteName, SOURCE_HEADER, StatPrefix};

use access_log::LogTo;
use hcm::HttpConnectionManager;
use hcm::http_connection_manager as within;

const NAME: &str = "envoy.filters.network.http_connection_manager";

/// The connection manager of an inbound port.
pub(crate) fn inbound(route: &RouteName, port: u16, keepalive: Duration, log: &LogTo) -> listener::Filter {
    let faults: Vec<_> = slots::faults(port).collect();
    let ping = core::KeepaliveSettings {
        interval: Some(duration(keepalive)),
        timeout: Some(duration(keepalive)),
        ..Default::default()
    };
    let manager = HttpConnectionManager {
        path_with_escaped_slashes_action: within::PathWithEscapedSlashesAction::RejectRequest.into(),
        forward_client_cert_details: within::ForwardClientCertDetails::SanitizeSet.into(),
        set_current_client_cert_details: Some(within::SetCurrentClientCertDetails {
            uri: true,
            ..Default::default()
        }),
        early_header_mutation_extensions: vec![early_mutations(true)],
        http_filters: slots::inbound(port),
        // A revoked identity is cut at its next byte: pings make sure that there is one.
        http2_protocol_options: Some(core::Http2ProtocolOptions {
            connection_keepalive: Some(ping),
            ..Default::default()
        }),
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            headers_with_underscores_action: core::http_protocol_options::HeadersWithUnderscoresAction::RejectRequest
                .into(),
            ..Default::default()
        }),
        access_log: access_log::inbound_requests(log, &faults),
        local_reply_config: Some(denial_header::local_replies()),
        ..both_ways(&StatPrefix::Inbound(port), route)
    };
    network_filter(NAME, any(&manager))
}

/// The connection manager in front of a Service port, at its callers.
pub(crate) fn outbound(route: &RouteName, prefix: &StatPrefix<'_>, log: &LogTo) -> listener::Filter {
    let manager = HttpConnectionManager {
        path_with_escaped_slashes_action: within::PathWithEscapedSlashesAction::KeepUnchanged.into(),
        forward_client_cert_details: within::ForwardClientCertDetails::Sanitize.into(),
        early_header_mutation_extensions: vec![early_mutations(false)],
        http_filters: vec![slots::router()],
        access_log: access_log::outbound_requests(log),
        ..both_ways(prefix, route)
    };
    network_filter(NAME, any(&manager))
}

fn both_ways(prefix: &StatPrefix<'_>, route: &RouteName) -> HttpConnectionManager {
    let rds = hcm::Rds {
        config_source: Some(ads()),
        route_config_name: route.to_string(),
    };
    let websocket = within::UpgradeConfig {
        upgrade_type: "websocket".to_owned(),
        ..Default::default()
    };
    HttpConnectionManager {
        codec_type: within::CodecType::Auto.into(),
        stat_prefix: prefix.to_string(),
        route_specifier: Some(within::RouteSpecifier::Rds(rds)),
        normalize_path: Some(true),
        merge_slashes: true,
        strip_port_mode: Some(within::StripPortMode::StripAnyHostPort(true)),
        strip_trailing_host_dot: true,
        // Routes say how long a request may take; a stream that is quiet for long is no mistake.
        stream_idle_timeout: Some(duration(Duration::ZERO)),
        request_timeout: Some(duration(Duration::ZERO)),
        use_remote_address: Some(false),
        server_header_transformation: within::ServerHeaderTransformation::PassThrough.into(),
        upgrade_configs: vec![websocket],
        ..Default::default()
    }
}

/// Runs before routing and before any filter: what steers proxies never comes from the caller, and at the destination the
/// carriers are set over whatever was there.
fn early_mutations(carriers: bool) -> core::TypedExtensionConfig {
    let mut mutations = vec![remove_prefix("x-envoy-"), remove_prefix("x-tulle-")];
    if carriers {
        mutations.push(set(SOURCE_HEADER, "%DOWNSTREAM_PEER_URI_SAN%/"));
        mutations.push(set(PATH_HEADER, "%PATH(NQ:PATH)%/"));
    }
    let mutations = mutations
        .into_iter()
        .map(|action| mutation::HeaderMutation { action: Some(action) })
        .collect();
    super::common::extension(
        "envoy.http.early_header_mutation.header_mutation",
        &ext::http::early_header_mutation::header_mutation::v3::HeaderMutation { mutations },
    )
}

fn remove_prefix(prefix: &str) -> mutation::header_mutation::Action {
    mutation::header_mutation::Action::RemoveOnMatch(mutation::header_mutation::RemoveOnMatch {
        key_matcher: Some(matcher::prefix(prefix)),
    })
}

fn set(name: &str, format: &str) -> mutation::header_mutation::Action {
    mutation::header_mutation::Action::Append(core::HeaderValueOption {
        header: Some(core::HeaderValue {
            key: name.to_owned(),
            value: format.to_owned(),
            ..Default::default()
        }),
        append_action: core::header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..Default::default()
    })
}
