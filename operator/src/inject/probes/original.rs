//! Reads a probe as its author wrote it.

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::names::PORTS;
use super::super::refusal::Refusal;
use super::table::{Check, Pace};

/// What a probe asks; none if it is not ours to ask.
pub(super) fn of_probe(
    probe: &Probe,
    container: &Container,
    field: &str,
) -> Result<Option<(&'static str, Check)>, Refusal> {
    let pace = Pace {
        period: seconds(probe.period_seconds, 10),
        timeout: seconds(probe.timeout_seconds, 1),
    };
    if let Some(action) = &probe.http_get {
        return Ok(of_http(action, container, field)?.map(|check| ("httpGet", check)));
    }
    if let Some(action) = &probe.tcp_socket {
        if action.host.as_deref().is_some_and(|host| !host.is_empty()) {
            return Ok(None);
        }
        let port = port(&action.port, container, &format!("{field}.tcpSocket.port"))?;
        return Ok(Some(("tcpSocket", Check::Tcp { port, pace })));
    }
    let Some(action) = &probe.grpc else {
        return Ok(None);
    };
    let port = number(action.port, &format!("{field}.grpc.port"))?;
    let service = action.service.clone().unwrap_or_default();
    Ok(Some(("grpc", Check::Grpc { port, service, pace })))
}

/// What an HTTP action asks; none if it goes to another host than the pod.
pub(super) fn of_http(action: &HTTPGetAction, container: &Container, field: &str) -> Result<Option<Check>, Refusal> {
    if action.host.as_deref().is_some_and(|host| !host.is_empty()) {
        return Ok(None);
    }
    let path = action.path.as_deref().unwrap_or_default();
    let mut headers = action.http_headers.iter().flatten();
    Ok(Some(Check::Http {
        port: port(&action.port, container, &format!("{field}.httpGet.port"))?,
        // The kubelet puts the slash there too.
        path: if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        },
        https: action.scheme.as_deref() == Some("HTTPS"),
        own_host: headers.any(|header| header.name.eq_ignore_ascii_case("host")),
    }))
}

fn seconds(value: Option<i32>, default: u32) -> u32 {
    value
        .and_then(|value| u32::try_from(value).ok())
        .filter(|value| *value > 0)
        .unwrap_or(default)
}

fn port(port: &IntOrString, container: &Container, field: &str) -> Result<u16, Refusal> {
    match port {
        IntOrString::Int(value) => number(*value, field),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let found = ports.find(|port| port.name.as_ref() == Some(name));
            let found = found.ok_or_else(|| {
                let reason = format!("container {} has no port named {name:?}", container.name);
                Refusal::new(field, reason, "name one of its ports, or write the number")
            })?;
            number(found.container_port, field)
        }
    }
}

fn number(value: i32, field: &str) -> Result<u16, Refusal> {
    let port = u16::try_from(value).ok().filter(|port| *port != 0);
    let port = port.ok_or_else(|| Refusal::new(field, format!("{value} is no port"), "write one from 1 to 65535"))?;
    if PORTS.contains(&port) {
        let reason = format!("port {port} is the proxy's");
        return Err(Refusal::new(field, reason, "let the container listen on another port"));
    }
    Ok(port)
}
