//! Names of route configurations.

use std::fmt;
use std::net::IpAddr;

use super::parts::Parts;
use crate::model::Key;

/// Route configurations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteName {
    /// A Service port: `svc/<namespace>/<name>/<port>`. Callers with consumer routes get others under the same name: were it another
    /// name, a consumer route would re-issue their listener.
    Service(Key, u16),
    /// One endpoint of a headless Service: `pod/<address>/<port>`.
    Pod(IpAddr, u16),
    /// A workload port: `in/<namespace>/<group>/<port>`.
    Inbound(Key, u16),
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service, port) => write!(f, "svc/{service}/{port}"),
            Self::Pod(address, port) => write!(f, "pod/{address}/{port}"),
            Self::Inbound(group, port) => write!(f, "in/{group}/{port}"),
        }
    }
}

impl RouteName {
    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = Parts::of(name);
        let parsed = match parts.text()? {
            "svc" => Self::Service(parts.key()?, parts.value()?),
            "pod" => Self::Pod(parts.value()?, parts.value()?),
            "in" => Self::Inbound(parts.key()?, parts.value()?),
            _ => return None,
        };
        parts.end(parsed)
    }
}
