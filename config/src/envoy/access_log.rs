//! The access log: one JSON line a request or connection. `rule` names what decided, as `kind/namespace/name/rule`.

use std::sync::Arc;

use super::api::{accesslog, any, core, ext};
use super::common::text_struct;
use super::{connection_cause, reported};
use crate::input::Settings;
use crate::model::Mesh;
use crate::names::{ExtensionName, LIMITED_BY_HEADER, METADATA, VERIFIED};

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogTo {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file.
    File(Arc<str>),
}

impl LogTo {
    /// What the mesh and the operator's settings say.
    pub(crate) fn of(mesh: &Mesh, settings: &Settings) -> Self {
        match (&settings.access_log_path, mesh.access_log) {
            (_, false) => Self::Off,
            (None, true) => Self::Stdout,
            (Some(path), true) => Self::File(Arc::clone(path)),
        }
    }
}

const INBOUND: &str = "inbound";

const CONNECTION: [(&str, &str); 16] = [
    ("time", "%START_TIME%"),
    ("listener", "%LISTENER_NAME%"),
    ("chain", "%FILTER_CHAIN_NAME%"),
    ("peer", "%DOWNSTREAM_PEER_URI_SAN%"),
    ("downstream", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("destination", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("sni", "%REQUESTED_SERVER_NAME%"),
    ("cluster", "%UPSTREAM_CLUSTER%"),
    ("upstream", "%UPSTREAM_HOST%"),
    ("upstream_failure", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("tls_failure", "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("termination", "%CONNECTION_TERMINATION_DETAILS%"),
    ("duration_ms", "%DURATION%"),
    ("received", "%BYTES_RECEIVED%"),
    ("sent", "%BYTES_SENT%"),
];

const REQUEST: [(&str, &str); 10] = [
    ("protocol", "%PROTOCOL%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(:PATH)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("status", "%RESPONSE_CODE%"),
    ("grpc_status", "%GRPC_STATUS%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
    ("route", "%ROUTE_NAME%"),
    ("attempts", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
];

/// The log of connections that applications open.
pub(crate) fn outbound_connections(to: &LogTo) -> Vec<accesslog::AccessLog> {
    log(
        to,
        text_struct(CONNECTION.into_iter().chain([("direction", "outbound")])),
    )
}

/// The log of connections at their destination.
pub(crate) fn inbound_connections(to: &LogTo, from: connection_cause::From) -> Vec<accesslog::AccessLog> {
    let rbac = |prefix: &str| first_of(&[dynamic_metadata(reported::NETWORK, &reported::shadow_rule(prefix))]);
    let (denied, allowed) = (rbac(reported::SHADOW_DENY_PREFIX), rbac(reported::SHADOW_ALLOW_PREFIX));
    let shadow = [("shadow_denied_by", &*denied), ("shadow_allowed_by", &allowed)];
    let (denied, allowed) = connection_cause::operators(from);
    let rule = first_of(&[denied.clone(), allowed.clone()]);
    let (denied, allowed) = (first_of(&[denied]), first_of(&[allowed]));
    let cause = [("rule", &*rule), ("denied_by", &denied), ("allowed_by", &allowed)];
    let verified = format!("%FILTER_STATE({VERIFIED}:PLAIN)%");
    // Of a handshake that is broken off Envoy knows no failure, and it may know a certificate whose key nobody has proved.
    let verified = (from == connection_cause::From::Mesh).then_some(("verified", &*verified));
    let ours = [("direction", INBOUND)]
        .into_iter()
        .chain(verified)
        .chain(cause)
        .chain(shadow);
    log(to, text_struct(CONNECTION.into_iter().chain(ours)))
}

/// The log of connections that no chain of a listener takes: plaintext where only mTLS is.
pub(crate) fn unmatched(to: &LogTo) -> Vec<accesslog::AccessLog> {
    let flags = accesslog::ResponseFlagFilter {
        flags: vec!["NR".to_owned()],
    };
    let filter = accesslog::AccessLogFilter {
        filter_specifier: Some(accesslog::access_log_filter::FilterSpecifier::ResponseFlagFilter(flags)),
    };
    let mut log = log(to, text_struct(CONNECTION.into_iter().chain([("direction", INBOUND)])));
    for one in &mut log {
        one.filter = Some(filter.clone());
    }
    log
}

/// The log of requests that callers send through their own proxy.
pub(crate) fn outbound_requests(to: &LogTo) -> Vec<accesslog::AccessLog> {
    let ours = [("direction", "outbound"), ("rule", "%ROUTE_NAME%")];
    log(to, text_struct(CONNECTION.into_iter().chain(REQUEST).chain(ours)))
}

/// The log of requests at their destination.
pub(crate) fn inbound_requests(to: &LogTo, faults: &[ExtensionName]) -> Vec<accesslog::AccessLog> {
    let rbac = |key: &str| dynamic_metadata(reported::HTTP, key);
    let shadow = |prefix: &str| rbac(&reported::shadow_rule(prefix));
    let limited = operator("RESP", LIMITED_BY_HEADER);
    let faults: Vec<_> = faults
        .iter()
        .map(|slot| dynamic_metadata(&slot.to_string(), "name"))
        .collect();
    let denied = rbac(&reported::enforced_rule(reported::DENY_PREFIX));
    let allowed = rbac(&reported::enforced_rule(reported::ALLOW_PREFIX));
    let default = operator("METADATA", &format!("ROUTE:{METADATA}:default"));
    let mut order = vec![limited.clone(), denied.clone()];
    order.extend(faults.iter().cloned());
    // Not the default: without a verdict nobody decided.
    order.push(allowed.clone());
    let (rule, fault) = (first_of(&order), first_of(&faults));
    let (limited, denied, allowed) = (first_of(&[limited]), first_of(&[denied]), first_of(&[allowed]));
    let default = first_of(&[default]);
    let shadow_denied = first_of(&[
        shadow(reported::SHADOW_DENY_PREFIX),
        shadow(reported::SHADOW_DEFAULT_PREFIX),
    ]);
    let shadow_allowed = first_of(&[shadow(reported::SHADOW_ALLOW_PREFIX)]);
    let ours = [
        ("direction", INBOUND),
        ("rule", &*rule),
        ("denied_by", &denied),
        ("allowed_by", &allowed),
        ("default", &default),
        ("limited_by", &limited),
        ("fault", &fault),
        ("shadow_denied_by", &shadow_denied),
        ("shadow_allowed_by", &shadow_allowed),
    ];
    log(to, text_struct(CONNECTION.into_iter().chain(REQUEST).chain(ours)))
}

/// One entry of a `COALESCE`.
pub(super) fn operator(command: &str, param: &str) -> String {
    format!(r#"{{"command":"{command}","param":"{param}"}}"#)
}

fn dynamic_metadata(namespace: &str, key: &str) -> String {
    operator("DYNAMIC_METADATA", &format!("{namespace}:{key}"))
}

/// The first of the values that is there.
fn first_of(operators: &[String]) -> String {
    format!(r#"%COALESCE({{"operators":[{}]}})%"#, operators.join(","))
}

fn log(to: &LogTo, fields: prost_types::Struct) -> Vec<accesslog::AccessLog> {
    let format = core::SubstitutionFormatString {
        format: Some(core::substitution_format_string::Format::JsonFormat(fields)),
        ..Default::default()
    };
    let (name, config) = match to {
        LogTo::Off => return Vec::new(),
        LogTo::Stdout => ("envoy.access_loggers.stdout", any(&stdout(format))),
        LogTo::File(path) => ("envoy.access_loggers.file", any(&file(path, format))),
    };
    vec![accesslog::AccessLog {
        name: name.to_owned(),
        config_type: Some(accesslog::access_log::ConfigType::TypedConfig(config)),
        ..Default::default()
    }]
}

fn stdout(format: core::SubstitutionFormatString) -> ext::access_loggers::stream::v3::StdoutAccessLog {
    use ext::access_loggers::stream::v3::{StdoutAccessLog, stdout_access_log::AccessLogFormat};
    StdoutAccessLog {
        access_log_format: Some(AccessLogFormat::LogFormat(format)),
    }
}

fn file(path: &str, format: core::SubstitutionFormatString) -> ext::access_loggers::file::v3::FileAccessLog {
    use ext::access_loggers::file::v3::{FileAccessLog, file_access_log::AccessLogFormat};
    FileAccessLog {
        path: path.to_owned(),
        access_log_format: Some(AccessLogFormat::LogFormat(format)),
    }
}
