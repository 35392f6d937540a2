//! Who a stream belongs to, and the secrets that only this stream may have.
//!
//! How an identity is proved and how certificates are made is the caller's: these are the two questions a server asks it.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::resource::{Resource, Version};

/// Names a proxy: `<namespace>/<workload>`. All streams of one proxy share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProxyId(pub Arc<str>);

impl ProxyId {
    /// Names a proxy.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProxyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a proxy proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The proxy.
    pub proxy: ProxyId,
    /// Its SPIFFE ID.
    pub spiffe_id: Arc<str>,
    /// When the proof ends: the stream is closed then, and the proxy comes back with a new one.
    pub expires_at: Option<SystemTime>,
}

/// Why a stream is refused; becomes its gRPC status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No proof, or one that does not hold.
    #[error("unauthenticated: {0}")]
    Unauthenticated(String),
    /// A proof of something else than what the node claims to be.
    #[error("permission denied: {0}")]
    Denied(String),
    /// Cannot be decided now; the proxy will ask again.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// Decides who a stream belongs to, before any state exists for it.
pub trait Authenticator: Send + Sync + 'static {
    /// Checks the `authorization` header (`Bearer ...`) against the node that the stream claims to be and where it comes from.
    fn authenticate(
        &self,
        peer: SocketAddr,
        authorization: Option<&str>,
        node_id: &str,
    ) -> impl Future<Output = Result<Identity, Refusal>> + Send;
}

/// Secrets of one identity. They live on its own streams only, never in a snapshot.
pub trait SecretSource: Send + Sync + 'static {
    /// Answers for one name; nothing for names that are not secrets of this identity. `held` is the version that the proxy says
    /// it has: `Keep` leaves it alone. Called once a subscription and once each time that `renew_at` has come, never in a loop.
    fn secret(&self, identity: &Identity, name: &str, held: Option<&str>) -> Option<SecretAnswer>;
}

/// What to do about a secret.
#[derive(Clone, Debug)]
pub enum SecretAnswer {
    /// What the proxy holds is good.
    Keep {
        /// Its version.
        version: Version,
        /// When to ask again.
        renew_at: SystemTime,
    },
    /// Send this one.
    Send {
        /// The secret.
        resource: Arc<Resource>,
        /// When to ask again.
        renew_at: SystemTime,
    },
}

/// The secrets of one stream: a [`SecretSource`] that knows the stream's identity.
pub trait Secrets: Send {
    /// See [`SecretSource::secret`].
    fn secret(&self, name: &str, held: Option<&str>) -> Option<SecretAnswer>;
}

/// A stream without secrets of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn secret(&self, _: &str, _: Option<&str>) -> Option<SecretAnswer> {
        None
    }
}

impl SecretSource for NoSecrets {
    fn secret(&self, _: &Identity, _: &str, _: Option<&str>) -> Option<SecretAnswer> {
        None
    }
}
