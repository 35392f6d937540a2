//! TLS contexts of both directions: TLS 1.3 only, own certificate and validation by SDS.

use super::api::{any, core, ext, tls};
use super::common::ads;
use crate::model::Key;
use crate::names::{SecretName, sni};

use tls::common_tls_context::ValidationContextType;

const TLS: &str = "envoy.transport_sockets.tls";

/// How a caller dials an endpoint in the mesh.
pub(crate) fn upstream(service: &Key, port: u16, server: &SecretName) -> core::TransportSocket {
    let context = tls::UpstreamTlsContext {
        // No ALPN: the pool's codec announces itself, and mesh traffic is recognised by the SNI.
        common_tls_context: Some(common(server, &[])),
        sni: sni(service, port),
        ..Default::default()
    };
    socket(TLS, any(&context))
}

/// How an endpoint outside the mesh is dialled.
pub(crate) fn plaintext() -> core::TransportSocket {
    socket(
        "envoy.transport_sockets.raw_buffer",
        any(&ext::transport_sockets::raw_buffer::v3::RawBuffer {}),
    )
}

/// What a workload port demands of its callers.
pub(crate) fn downstream(callers: &SecretName, http: bool) -> core::TransportSocket {
    let alpn: &[&str] = if http { &["h2", "http/1.1"] } else { &[] };
    let context = tls::DownstreamTlsContext {
        common_tls_context: Some(common(callers, alpn)),
        require_client_certificate: Some(true),
        ..Default::default()
    };
    socket(TLS, any(&context))
}

fn socket(name: &str, config: prost_types::Any) -> core::TransportSocket {
    core::TransportSocket {
        name: name.to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(config)),
    }
}

fn common(validation: &SecretName, alpn: &[&str]) -> tls::CommonTlsContext {
    // Envoy's default for clients stops at TLS 1.2.
    let version = tls::tls_parameters::TlsProtocol::TlSv13.into();
    tls::CommonTlsContext {
        tls_params: Some(tls::TlsParameters {
            tls_minimum_protocol_version: version,
            tls_maximum_protocol_version: version,
            ..Default::default()
        }),
        tls_certificate_sds_secret_configs: vec![secret(&SecretName::Identity)],
        alpn_protocols: alpn.iter().map(ToString::to_string).collect(),
        validation_context_type: Some(ValidationContextType::ValidationContextSdsSecretConfig(secret(
            validation,
        ))),
        ..Default::default()
    }
}

fn secret(name: &SecretName) -> tls::SdsSecretConfig {
    tls::SdsSecretConfig {
        name: name.to_string(),
        sds_config: Some(ads()),
    }
}
