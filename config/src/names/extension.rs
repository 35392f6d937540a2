//! Names of filters that arrive by ECDS.

use std::fmt;

use super::parts::Parts;

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
