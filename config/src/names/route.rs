//! Names of route configurations.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::parts::Parts;
use crate::model::Key;

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
