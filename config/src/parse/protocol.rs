//! What a port speaks, from what its author declared: `appProtocol`, else the port's name, else a well-known number.
//!
//! Nothing is sniffed: a port about which nothing is known is TCP, so that protocols in which the server speaks first work.

use crate::model::Protocol;

/// What `appProtocol` or the port's name say. A stated protocol that is not HTTP-like is TCP to us.
pub(crate) fn declared(app_protocol: Option<&str>, name: Option<&str>) -> Option<Protocol> {
    match app_protocol {
        Some(stated) if !stated.is_empty() => Some(of_app_protocol(stated)),
        _ => name.and_then(of_name),
    }
}

/// What a port number means without any declaration.
pub(crate) fn well_known(number: u16) -> Option<Protocol> {
    match number {
        80 | 8080 => Some(Protocol::Http),
        _ => None,
    }
}

fn of_app_protocol(stated: &str) -> Protocol {
    match stated.to_ascii_lowercase().as_str() {
        "http" | "http/1.1" | "kubernetes.io/ws" | "grpc-web" => Protocol::Http,
        "http2" | "h2c" | "kubernetes.io/h2c" => Protocol::Http2,
        "grpc" => Protocol::Grpc,
        _ => Protocol::Tcp,
    }
}

/// The name itself or what stands before its first `-`: `http`, `http-admin`, `grpc-api`.
fn of_name(name: &str) -> Option<Protocol> {
    if name == "grpc-web" || name.starts_with("grpc-web-") {
        return Some(Protocol::Http);
    }
    match name.split('-').next().unwrap_or_default() {
        "http" => Some(Protocol::Http),
        "http2" | "h2c" => Some(Protocol::Http2),
        "grpc" => Some(Protocol::Grpc),
        "tcp" | "tls" | "https" => Some(Protocol::Tcp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_protocol_then_name() {
        assert_eq!(declared(Some("grpc"), Some("http")), Some(Protocol::Grpc));
        assert_eq!(declared(Some("mysql"), Some("http")), Some(Protocol::Tcp));
        assert_eq!(declared(Some(""), Some("http-admin")), Some(Protocol::Http));
        assert_eq!(declared(None, Some("grpc-web")), Some(Protocol::Http));
        assert_eq!(declared(None, Some("https")), Some(Protocol::Tcp));
        assert_eq!(declared(None, Some("httpd")), None);
        assert_eq!(declared(None, None), None);
    }
}
