//! Inbound listeners: one a workload port, and the catch-all one that hands over to them and serves undeclared ports.
//!
//! Nothing here depends on a policy but whether a TCP port of a Permissive workload takes plaintext callers at all: their chain
//! comes and goes, the other one stays as it is.

use std::net::IpAddr;
use std::time::Duration;

use xds::{Kind, Reference, Resource};

use super::access_log::{self, LogTo};
use super::api::{core, ext, listener, network_rbac as rbac};
use super::common::{discovered, duration, reference};
use super::connection_cause::From;
use super::listener::{Takes, catch_all, listener_at, loop_guard, original_dst, tcp, tls_inspector};
use super::{hcm, slots, tls};
use crate::model::{MtlsMode, Protocol};
use crate::names::{
    ClusterName, ExtensionName, ListenerName, RouteName, SNI_SUFFIX, SecretName, ShadowPart, StatPrefix,
};

/// A caller that says nothing for so long speaks a protocol in which the server begins.
const SILENT_CALLER: Duration = Duration::from_secs(2);

/// What one port's listener depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InboundInput {
    /// The workload's address.
    pub(crate) address: IpAddr,
    /// The port.
    pub(crate) port: u16,
    /// What it speaks.
    pub(crate) protocol: Protocol,
    /// Whether it accepts plaintext.
    pub(crate) mtls: MtlsMode,
    /// Whether, being TCP and Permissive, it has callers for it.
    pub(crate) plaintext: bool,
    /// How its listener comes by connections.
    pub(crate) takes: Takes,
    /// The application.
    pub(crate) application: ClusterName,
    /// Its routes, for HTTP.
    pub(crate) route: RouteName,
    /// HTTP/2 pings this often.
    pub(crate) keepalive: Duration,
    /// The access log.
    pub(crate) log: LogTo,
}

/// Compiles a port's listener.
pub(crate) fn inbound(input: &InboundInput) -> Resource {
    let http = input.protocol.is_http();
    let name = ListenerName::Inbound(input.address, input.port);
    let mut chains = vec![mtls_chain(input)];
    if input.mtls == MtlsMode::Permissive {
        chains.push(plain_chain(input));
    }
    let message = listener::Listener {
        traffic_direction: core::TrafficDirection::Inbound.into(),
        listener_filters: vec![tls_inspector()],
        listener_filters_timeout: (!http).then(|| duration(SILENT_CALLER)),
        continue_on_listener_filters_timeout: !http,
        filter_chains: chains,
        // In Permissive, where nobody is unmatched, as well: only a listener that differs in its chains alone is changed in place.
        access_log: access_log::unmatched(&input.log),
        ..listener_at(&name, input.address, input.port, input.takes)
    };
    Resource::new(Kind::Listener, name.to_string(), &message).with_references(references(input))
}

/// What the catch-all listener depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CatchAllInput {
    /// The redirect port.
    pub(crate) redirect_port: u16,
    /// How undeclared ports are served: as TCP.
    pub(crate) undeclared: InboundInput,
}

/// Compiles the catch-all listener.
pub(crate) fn inbound_catch_all(input: &CatchAllInput) -> Resource {
    let name = ListenerName::InboundCatchAll;
    let permissive = input.undeclared.mtls == MtlsMode::Permissive;
    let mut filters = vec![original_dst()];
    let mut mtls = mtls_chain(&input.undeclared);
    if permissive {
        filters.push(tls_inspector());
    } else {
        // Without an inspector there is nothing to match by; without TLS the handshake fails.
        mtls.filter_chain_match = None;
    }
    let mut chains = vec![loop_guard(input.redirect_port), mtls];
    if permissive {
        chains.push(plain_chain(&input.undeclared));
    }
    let message = listener::Listener {
        traffic_direction: core::TrafficDirection::Inbound.into(),
        listener_filters: filters,
        listener_filters_timeout: permissive.then(|| duration(SILENT_CALLER)),
        continue_on_listener_filters_timeout: permissive,
        filter_chains: chains,
        ..catch_all(&name, input.redirect_port)
    };
    let mut references = references(&input.undeclared);
    references.push(reference(Kind::Cluster, &ClusterName::Blackhole));
    Resource::new(Kind::Listener, name.to_string(), &message).with_references(references)
}

/// Callers with an identity. In Permissive other TLS is the application's own, so the mesh's is told apart by its SNI; in Strict
/// too, so that the chain is the same and a change of the mode ends none of its connections.
fn mtls_chain(input: &InboundInput) -> listener::FilterChain {
    let mut filters = vec![network_rbac(ExtensionName::Revoke(input.port))];
    if input.protocol.is_http() {
        filters.push(requests(input));
    } else {
        filters.push(cause(input.port));
        filters.extend(shadows(input.port).map(network_rbac));
        filters.push(bytes(input, &input.application, From::Mesh));
    }
    listener::FilterChain {
        name: "mtls".to_owned(),
        filter_chain_match: Some(listener::FilterChainMatch {
            transport_protocol: "tls".to_owned(),
            server_names: vec![format!("*{SNI_SUFFIX}")],
            ..Default::default()
        }),
        transport_socket: Some(tls::downstream(&callers(input), input.protocol.is_http())),
        filters,
        ..Default::default()
    }
}

/// Callers without one. Whom a TCP port refuses finds nobody behind the chain, so that the refusal is logged with its cause.
fn plain_chain(input: &InboundInput) -> listener::FilterChain {
    let shadow = || network_rbac(ExtensionName::Shadow(input.port, ShadowPart::Plain));
    let mut filters = vec![network_rbac(ExtensionName::RevokePlain(input.port))];
    if input.protocol.is_http() {
        filters.push(requests(input));
    } else if input.plaintext {
        filters.extend([cause(input.port), shadow()]);
        filters.push(bytes(input, &input.application, From::Plain));
    } else {
        filters.push(cause(input.port));
        filters.push(bytes(input, &ClusterName::Blackhole, From::PlainRefused));
    }
    listener::FilterChain {
        name: "plain".to_owned(),
        filters,
        ..Default::default()
    }
}

/// HTTP ports take any identity of the mesh and decide by request; TCP ports decide in the handshake.
fn callers(input: &InboundInput) -> SecretName {
    if input.protocol.is_http() {
        SecretName::Mesh
    } else {
        SecretName::Callers(input.port)
    }
}

/// The filters that report what Shadow permissions would do to a caller with an identity.
fn shadows(port: u16) -> impl Iterator<Item = ExtensionName> {
    [ShadowPart::Denied, ShadowPart::Allowed]
        .into_iter()
        .map(move |part| ExtensionName::Shadow(port, part))
}

fn network_rbac(name: ExtensionName) -> listener::Filter {
    discovered_filter(name, <rbac::Rbac as prost::Name>::type_url())
}

/// The filter that knows what decides.
fn cause(port: u16) -> listener::Filter {
    use ext::filters::network::set_filter_state::v3::Config;
    discovered_filter(ExtensionName::Cause(port), <Config as prost::Name>::type_url())
}

fn discovered_filter(name: ExtensionName, type_url: String) -> listener::Filter {
    listener::Filter {
        name: name.to_string(),
        config_type: Some(listener::filter::ConfigType::ConfigDiscovery(discovered(
            type_url, None,
        ))),
    }
}

fn requests(input: &InboundInput) -> listener::Filter {
    hcm::inbound(&input.route, input.port, input.keepalive, &input.log)
}

fn bytes(input: &InboundInput, to: &ClusterName, from: From) -> listener::Filter {
    let log = access_log::inbound_connections(&input.log, from);
    tcp(to, &StatPrefix::Inbound(input.port), log, from == From::Mesh)
}

fn references(input: &InboundInput) -> Vec<Reference> {
    let permissive = input.mtls == MtlsMode::Permissive;
    let mut all = vec![
        reference(Kind::Secret, &callers(input)),
        reference(Kind::ExtensionConfig, &ExtensionName::Revoke(input.port)),
    ];
    let plain = permissive.then_some(ExtensionName::RevokePlain(input.port));
    all.extend(plain.map(|name| reference(Kind::ExtensionConfig, &name)));
    if input.protocol.is_http() {
        all.push(reference(Kind::Route, &input.route));
        let filters = slots::limits(input.port).chain(slots::faults(input.port));
        all.extend(filters.map(|slot| reference(Kind::ExtensionConfig, &slot)));
    } else {
        all.push(reference(Kind::Cluster, &input.application));
        let plain = ExtensionName::Shadow(input.port, ShadowPart::Plain);
        let plain = (permissive && input.plaintext).then_some(plain);
        let filters = shadows(input.port)
            .chain([ExtensionName::Cause(input.port)])
            .chain(plain);
        all.extend(filters.map(|name| reference(Kind::ExtensionConfig, &name)));
        if permissive && !input.plaintext {
            all.push(reference(Kind::Cluster, &ClusterName::Blackhole));
        }
    }
    all
}
