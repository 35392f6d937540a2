//! Names of listeners.

use std::fmt;
use std::net::IpAddr;

use super::parts::Parts;

/// Listeners.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenerName {
    /// What applications send: `outbound`.
    OutboundCatchAll,
    /// What comes in: `inbound`.
    InboundCatchAll,
    /// What says "ready", inside Envoy: `ready`.
    Ready,
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
            Self::Ready => f.write_str("ready"),
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
            "ready" => Self::Ready,
            "out" => Self::Outbound(parts.value()?, parts.value()?),
            "in" => Self::Inbound(parts.value()?, parts.value()?),
            _ => return None,
        };
        parts.end(parsed)
    }
}
