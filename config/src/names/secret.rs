//! Names of secrets: the certificate and validation contexts.

use std::fmt;
use std::net::IpAddr;

use super::parts::Parts;
use crate::model::Key;

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
