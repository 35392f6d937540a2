//! The clusters of the control plane, for xDS and for reports: TLS 1.3 to a name the mesh's CA vouches for, and a token on each stream.
//!
//! Stock Envoy needs no agent for this: the credential injector, as an *upstream* HTTP filter, puts the token of a
//! watched file on every request, and file SDS re-reads token and root when they are replaced. Secrets listed in the
//! bootstrap itself would never be read again.

use std::net::IpAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::{BootstrapError, BootstrapInput, REPORT_CLUSTER, XDS_CLUSTER, XdsHost, text};

const TOKEN: &str = "token";
const TRUST: &str = "xds-trust";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What the cluster is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// xDS: streams that last.
    Streams,
    /// Reports: short requests, or none for hours.
    Reports,
}

impl Use {
    fn cluster(self) -> &'static str {
        match self {
            Self::Streams => XDS_CLUSTER,
            Self::Reports => REPORT_CLUSTER,
        }
    }

    fn connections(self) -> Value {
        match self {
            // Each new stream gets a new connection, so that streams spread over replicas again after a restart.
            Self::Streams => json!({"max_requests_per_connection": 1}),
            // A handshake for each report would cost more than the report; a connection that nobody needs is closed.
            Self::Reports => json!({"idle_timeout": "30s"}),
        }
    }
}

pub(super) fn render(input: &BootstrapInput, purpose: Use) -> Result<Value, BootstrapError> {
    let (kind, host) = match &input.xds_host {
        XdsHost::Address(IpAddr::V4(address)) => ("STATIC", address.to_string()),
        XdsHost::Address(IpAddr::V6(address)) => ("STATIC", address.to_string()),
        XdsHost::Name(name) => ("STRICT_DNS", name.clone()),
    };
    let address = json!({"socket_address": {"address": host, "port_value": input.xds_port}});
    Ok(json!({
        "name": purpose.cluster(),
        "type": kind,
        "connect_timeout": "2s",
        "dns_lookup_family": "ALL",
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 300}},
        "typed_extension_protocol_options": {HTTP_OPTIONS: http_options(&input.token_sds_file, purpose)?},
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": tls_context(input)?,
        },
        "load_assignment": {
            "cluster_name": purpose.cluster(),
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }))
}

fn http_options(token_sds_file: &Path, purpose: Use) -> Result<Value, BootstrapError> {
    let credential = json!({
        "name": "envoy.http.injected_credentials.generic",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
            "header": "authorization",
            "header_value_prefix": "Bearer ",
            "credential": {"name": TOKEN, "sds_config": file_sds(token_sds_file)?},
        },
    });
    Ok(json!({
        "@type": format!("type.googleapis.com/{HTTP_OPTIONS}"),
        "common_http_protocol_options": purpose.connections(),
        "explicit_http_config": {
            "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "5s"}},
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.credential_injector",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
                    "overwrite": true,
                    "allow_request_without_credential": false,
                    "credential": credential,
                },
            },
            {
                "name": "envoy.filters.http.upstream_codec",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
                },
            },
        ],
    }))
}

fn tls_context(input: &BootstrapInput) -> Result<Value, BootstrapError> {
    Ok(json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": input.xds_server_name,
        "common_tls_context": {
            // Envoy's default maximum upstream is TLS 1.2.
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "validation_context_sds_secret_config": {"name": TRUST, "sds_config": file_sds(&input.ca_sds_file)?},
        },
    }))
}

fn file_sds(path: &Path) -> Result<Value, BootstrapError> {
    Ok(json!({"resource_api_version": "V3", "path_config_source": {"path": text(path)?}}))
}

pub(super) fn token_sds(input: &BootstrapInput) -> Result<Value, BootstrapError> {
    let secret = json!({
        "filename": text(&input.token_file)?,
        "watched_directory": {"path": folder(&input.token_file)?},
    });
    Ok(secrets(&json!({"name": TOKEN, "generic_secret": {"secret": secret}})))
}

pub(super) fn ca_sds(input: &BootstrapInput) -> Result<Value, BootstrapError> {
    let name = json!({"san_type": "DNS", "matcher": {"exact": input.xds_server_name}});
    let context = json!({
        "trusted_ca": {"filename": text(&input.ca_file)?},
        "watched_directory": {"path": folder(&input.ca_file)?},
        "match_typed_subject_alt_names": [name],
    });
    Ok(secrets(&json!({"name": TRUST, "validation_context": context})))
}

fn secrets(secret: &Value) -> Value {
    let mut secret = secret.clone();
    if let Some(fields) = secret.as_object_mut() {
        let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
        fields.insert("@type".to_owned(), kind.into());
    }
    json!({"resources": [secret]})
}

fn folder(file: &Path) -> Result<&str, BootstrapError> {
    text(file.parent().unwrap_or(file))
}
