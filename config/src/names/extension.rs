//! Names of filters that arrive by ECDS.

use std::fmt;

use super::parts::Parts;

/// What one network filter for a TCP port's candidate reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShadowPart {
    /// Who of the callers with an identity would be denied, and by what.
    Denied,
    /// Who of them would be allowed, and by what.
    Allowed,
    /// What would happen to callers without one.
    Plain,
}

impl ShadowPart {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Denied, Self::Allowed, Self::Plain];

    fn word(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Allowed => "allowed",
            Self::Plain => "plain",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.word() == word)
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
    /// The network filter that cuts callers without an identity: `revoke-plain/<port>`.
    RevokePlain(u16),
    /// A network filter that reports what Shadow permissions would do: `shadow/<port>/<part>`.
    Shadow(u16, ShadowPart),
    /// The network filter that knows which rule decides about a connection: `cause/<port>`.
    Cause(u16),
}

impl fmt::Display for ExtensionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(port, slot) => write!(f, "limit/{port}/{slot}"),
            Self::Fault(port, slot) => write!(f, "fault/{port}/{slot}"),
            Self::Revoke(port) => write!(f, "revoke/{port}"),
            Self::RevokePlain(port) => write!(f, "revoke-plain/{port}"),
            Self::Shadow(port, part) => write!(f, "shadow/{port}/{}", part.word()),
            Self::Cause(port) => write!(f, "cause/{port}"),
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
            "revoke-plain" => Self::RevokePlain(parts.value()?),
            "shadow" => Self::Shadow(parts.value()?, ShadowPart::parse(parts.text()?)?),
            "cause" => Self::Cause(parts.value()?),
            _ => return None,
        };
        parts.end(parsed)
    }
}
