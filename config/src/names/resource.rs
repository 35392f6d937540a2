//! One type for each kind of resource name.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

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
    /// One endpoint of a headless Service: `pod/<address>/<port>`.
    Pod(IpAddr, u16),
    /// The application on this machine: `app/<protocol>/<v4|v6>`.
    App(AppProtocol, bool),
    /// Wherever the connection was going.
    Passthrough,
    /// Nowhere.
    Blackhole,
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service, port) => write!(f, "svc/{service}/{port}"),
            Self::Pod(address, port) => write!(f, "pod/{address}/{port}"),
            Self::App(protocol, ipv6) => write!(f, "app/{}/{}", protocol.word(), if *ipv6 { "v6" } else { "v4" }),
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
            "pod" => Self::Pod(parts.value()?, parts.value()?),
            "app" => {
                let word = parts.text()?;
                let protocol = AppProtocol::ALL.into_iter().find(|protocol| protocol.word() == word)?;
                match parts.text()? {
                    "v4" => Self::App(protocol, false),
                    "v6" => Self::App(protocol, true),
                    _ => return None,
                }
            }
            "passthrough" => Self::Passthrough,
            "blackhole" => Self::Blackhole,
            _ => return None,
        };
        parts.end(parsed)
    }
}

/// Listeners.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenerName {
    /// What applications send: `outbound`.
    OutboundCatchAll,
    /// What comes in: `inbound`.
    InboundCatchAll,
    /// One address and port of a Service or of a headless Service's endpoint: `out/<address>/<port>`.
    Outbound(IpAddr, u16),
    /// One port of the workload: `in/<address>/<port>`.
    Inbound(IpAddr, u16),
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutboundCatchAll => f.write_str("outbound"),
            Self::InboundCatchAll => f.write_str("inbound"),
            Self::Outbound(address, port) => write!(f, "out/{address}/{port}"),
            Self::Inbound(address, port) => write!(f, "in/{address}/{port}"),
        }
    }
}

impl ListenerName {
    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = Parts::of(name);
        let parsed = match parts.text()? {
            "outbound" => Self::OutboundCatchAll,
            "inbound" => Self::InboundCatchAll,
            "out" => Self::Outbound(parts.value()?, parts.value()?),
            "in" => Self::Inbound(parts.value()?, parts.value()?),
            _ => return None,
        };
        parts.end(parsed)
    }

    /// The address that connections are handed over by; absent for the two that have a socket.
    pub fn address(&self) -> Option<(IpAddr, u16)> {
        match self {
            Self::OutboundCatchAll | Self::InboundCatchAll => None,
            Self::Outbound(address, port) | Self::Inbound(address, port) => Some((*address, *port)),
        }
    }
}

/// Route configurations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteName {
    /// A Service port, for all callers: `svc/<namespace>/<name>/<port>`.
    Service(Key, u16),
    /// A Service port, for callers of one namespace: `svc/<namespace>/<name>/<port>@<consumer namespace>`.
    Consumer(Key, u16, Arc<str>),
    /// One endpoint of a headless Service: `pod/<address>/<port>`.
    Pod(IpAddr, u16),
    /// A workload port: `in/<namespace>/<group>/<port>`.
    Inbound(Key, u16),
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service, port) => write!(f, "svc/{service}/{port}"),
            Self::Consumer(service, port, consumer) => write!(f, "svc/{service}/{port}@{consumer}"),
            Self::Pod(address, port) => write!(f, "pod/{address}/{port}"),
            Self::Inbound(group, port) => write!(f, "in/{group}/{port}"),
        }
    }
}

impl RouteName {
    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        let (name, consumer) = match name.split_once('@') {
            Some((name, consumer)) => (name, Some(consumer)),
            None => (name, None),
        };
        let mut parts = Parts::of(name);
        let parsed = match (parts.text()?, consumer) {
            ("svc", None) => Self::Service(parts.key()?, parts.value()?),
            ("svc", Some(consumer)) if !consumer.is_empty() => {
                Self::Consumer(parts.key()?, parts.value()?, consumer.into())
            }
            ("pod", None) => Self::Pod(parts.value()?, parts.value()?),
            ("in", None) => Self::Inbound(parts.key()?, parts.value()?),
            _ => return None,
        };
        parts.end(parsed)
    }
}

/// Secrets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretName {
    /// The proxy's own certificate; issued for each stream, never in a snapshot: `identity`.
    Identity,
    /// Whom HTTP ports accept: every identity of the mesh, `mesh`.
    Mesh,
    /// Whom a TCP port accepts: `callers/<port>`.
    Callers(u16),
    /// Whom callers of a Service port accept as its server: `server/<namespace>/<name>/<port>`.
    Server(Key, u16),
    /// Whom callers of one endpoint accept: `server/<address>/<port>`.
    Pod(IpAddr, u16),
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("identity"),
            Self::Mesh => f.write_str("mesh"),
            Self::Callers(port) => write!(f, "callers/{port}"),
            Self::Server(service, port) => write!(f, "server/{service}/{port}"),
            Self::Pod(address, port) => write!(f, "server/{address}/{port}"),
        }
    }
}

impl SecretName {
    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = Parts::of(name);
        let parsed = match parts.text()? {
            "identity" => Self::Identity,
            "mesh" => Self::Mesh,
            "callers" => Self::Callers(parts.value()?),
            "server" => match name.split('/').count() {
                3 => Self::Pod(parts.value()?, parts.value()?),
                _ => Self::Server(parts.key()?, parts.value()?),
            },
            _ => return None,
        };
        parts.end(parsed)
    }
}

/// Filters that arrive by ECDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExtensionName {
    /// One limit slot of a port: `limit/<port>/<slot>`.
    Limit(u16, u8),
    /// One fault slot of a port: `fault/<port>/<slot>`.
    Fault(u16, u8),
    /// The network filter that cuts revoked identities: `revoke/<port>`.
    Revoke(u16),
}

impl fmt::Display for ExtensionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(port, slot) => write!(f, "limit/{port}/{slot}"),
            Self::Fault(port, slot) => write!(f, "fault/{port}/{slot}"),
            Self::Revoke(port) => write!(f, "revoke/{port}"),
        }
    }
}

impl ExtensionName {
    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = Parts::of(name);
        let parsed = match parts.text()? {
            "limit" => Self::Limit(parts.value()?, parts.value()?),
            "fault" => Self::Fault(parts.value()?, parts.value()?),
            "revoke" => Self::Revoke(parts.value()?),
            _ => return None,
        };
        parts.end(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<T: fmt::Display + fmt::Debug + PartialEq>(parse: fn(&str) -> Option<T>, names: &[T]) {
        for name in names {
            assert_eq!(parse(&name.to_string()).as_ref(), Some(name), "{name}");
            assert_eq!(parse(&format!("{name}/more")), None, "{name}");
        }
    }

    #[test]
    fn every_name_is_parsed_back() {
        let key = Key::new("shop", "web");
        let (v4, v6): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        let apps = AppProtocol::ALL
            .into_iter()
            .flat_map(|p| [ClusterName::App(p, false), ClusterName::App(p, true)]);
        let mut clusters: Vec<_> = apps.collect();
        clusters.extend([ClusterName::Service(key.clone(), 80), ClusterName::Pod(v6, 80)]);
        clusters.extend([ClusterName::Passthrough, ClusterName::Blackhole]);
        back(ClusterName::parse, &clusters);
        let listeners = [ListenerName::Outbound(v4, 80), ListenerName::Inbound(v6, 1)];
        back(ListenerName::parse, &listeners);
        back(
            ListenerName::parse,
            &[ListenerName::OutboundCatchAll, ListenerName::InboundCatchAll],
        );
        back(
            RouteName::parse,
            &[
                RouteName::Service(key.clone(), 80),
                RouteName::Inbound(key.clone(), 8080),
            ],
        );
        back(RouteName::parse, &[RouteName::Pod(v4, 80)]);
        let consumer = RouteName::Consumer(key.clone(), 80, "orders".into());
        assert_eq!(RouteName::parse(&consumer.to_string()), Some(consumer));
        let secrets = [SecretName::Identity, SecretName::Mesh, SecretName::Callers(1)];
        back(SecretName::parse, &secrets);
        back(
            SecretName::parse,
            &[SecretName::Server(key, 80), SecretName::Pod(v6, 80)],
        );
        back(
            ExtensionName::parse,
            &[
                ExtensionName::Limit(1, 2),
                ExtensionName::Fault(3, 0),
                ExtensionName::Revoke(9),
            ],
        );
    }

    #[test]
    fn strangers_are_not_names_of_ours() {
        for name in [
            "",
            "svc",
            "svc/a/b",
            "svc/a/b/c",
            "svc//b/80",
            "svc/a/b/80@",
            "limit/1/300",
            "in/x/80",
            "x",
        ] {
            assert_eq!(ClusterName::parse(name), None, "{name}");
            assert_eq!(RouteName::parse(name), None, "{name}");
            assert_eq!(ExtensionName::parse(name), None, "{name}");
            assert_eq!(ListenerName::parse(name), None, "{name}");
        }
    }
}
