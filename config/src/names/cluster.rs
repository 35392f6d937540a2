//! Names of clusters; those with endpoints by EDS use the same name there.

use std::fmt;
use std::net::IpAddr;

use super::parts::Parts;
use crate::model::{Key, Protocol};

/// How the application behind an inbound port is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AppProtocol {
    /// Bytes.
    Tcp,
    /// The HTTP version that the caller used.
    Http,
    /// Always HTTP/2.
    Http2,
}

impl AppProtocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Http, Self::Http2];

    /// The one for a port's protocol.
    pub fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Http => Self::Http,
            Protocol::Http2 | Protocol::Grpc => Self::Http2,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Http2 => "http2",
        }
    }
}

/// Clusters; those with endpoints by EDS use the same name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterName {
    /// A Service port: `svc/<namespace>/<name>/<port>`.
    Service(Key, u16),
    /// The workload of a Service port that the caller dialled by its address: `direct/<namespace>/<name>/<port>`.
    Direct(Key, u16),
    /// One endpoint of a headless Service: `pod/<address>/<port>`.
    Pod(IpAddr, u16),
    /// The application on this machine: `app/<protocol>/<v4|v6>`.
    App(AppProtocol, bool),
    /// One port of the application at its own address, in loopback placement: `app/<protocol>/<port>`.
    AppPort(AppProtocol, u16),
    /// Wherever the connection was going.
    Passthrough,
    /// Nowhere.
    Blackhole,
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service, port) => write!(f, "svc/{service}/{port}"),
            Self::Direct(service, port) => write!(f, "direct/{service}/{port}"),
            Self::Pod(address, port) => write!(f, "pod/{address}/{port}"),
            Self::App(protocol, ipv6) => write!(f, "app/{}/{}", protocol.word(), if *ipv6 { "v6" } else { "v4" }),
            Self::AppPort(protocol, port) => write!(f, "app/{}/{port}", protocol.word()),
            Self::Passthrough => f.write_str("passthrough"),
            Self::Blackhole => f.write_str("blackhole"),
        }
    }
}

impl ClusterName {
    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = Parts::of(name);
        let parsed = match parts.text()? {
            "svc" => Self::Service(parts.key()?, parts.value()?),
            "direct" => Self::Direct(parts.key()?, parts.value()?),
            "pod" => Self::Pod(parts.value()?, parts.value()?),
            "app" => {
                let word = parts.text()?;
                let protocol = AppProtocol::ALL.into_iter().find(|protocol| protocol.word() == word)?;
                match parts.text()? {
                    "v4" => Self::App(protocol, false),
                    "v6" => Self::App(protocol, true),
                    port => Self::AppPort(protocol, port.parse().ok()?),
                }
            }
            "passthrough" => Self::Passthrough,
            "blackhole" => Self::Blackhole,
            _ => return None,
        };
        parts.end(parsed)
    }
}
