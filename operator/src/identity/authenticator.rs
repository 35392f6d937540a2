//! Who is at the other end of an xDS stream.
//!
//! Three things must agree: the join token, the node id that the proxy claims, and the address that the stream comes
//! from, which must be that workload's. Nothing is skipped if something is missing: no token, no workload, no stream.
//! Refusals name what was wrong and the next step, never another workload's data.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use xds::{Authenticator, Identity, ProxyId, Refusal};

use super::token::{JoinClaims, JoinKey, TokenError};

/// What the mesh knows about a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadInfo {
    /// Where it lives; its proxy's stream comes from here.
    pub address: IpAddr,
    /// Its identity.
    pub spiffe_id: String,
}

/// The workloads that exist, read by the authenticator at each stream.
pub trait WorkloadDirectory: Send + Sync + 'static {
    /// The workload of this namespace and name.
    fn workload(&self, namespace: &str, name: &str) -> Option<WorkloadInfo>;
}

impl<D: WorkloadDirectory + ?Sized> WorkloadDirectory for Arc<D> {
    fn workload(&self, namespace: &str, name: &str) -> Option<WorkloadInfo> {
        (**self).workload(namespace, name)
    }
}

/// A proxy may be faster than the object that describes it.
pub(super) const APPEAR: Duration = Duration::from_secs(5);
/// How often to look meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// Why a stream is refused; the text goes to the proxy's log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Reason {
    /// No `authorization: Bearer ...`.
    #[error("no join token: the proxy must send `authorization: Bearer <token>`; start it with `tulle proxy --token`")]
    NoToken,
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token is of another workload than the node id.
    #[error("the join token is not for node {node:?}; start the proxy with the token of that workload")]
    OtherNode {
        /// The claimed node id.
        node: String,
    },
    /// There is no such workload.
    #[error("there is no Workload {node}; add it to the mesh's folder first")]
    UnknownWorkload {
        /// The node id, which the token proved.
        node: String,
    },
    /// The stream comes from elsewhere.
    #[error("the stream of {node} comes from {peer}, which is not the address of that Workload; correct its `address`")]
    OtherAddress {
        /// The node id, which the token proved.
        node: String,
        /// Where the stream comes from.
        peer: IpAddr,
    },
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        let text = reason.to_string();
        match reason {
            Reason::NoToken | Reason::Token(_) => Self::Unauthenticated(text),
            Reason::OtherNode { .. } | Reason::UnknownWorkload { .. } | Reason::OtherAddress { .. } => {
                Self::Denied(text)
            }
        }
    }
}

/// Authenticates by join tokens.
#[derive(Debug)]
pub struct TokenAuthenticator<D> {
    key: Arc<JoinKey>,
    directory: D,
    appear: Duration,
}

impl<D: WorkloadDirectory> TokenAuthenticator<D> {
    /// An authenticator over a directory that others keep up to date.
    pub fn new(key: Arc<JoinKey>, directory: D) -> Self {
        Self {
            key,
            directory,
            appear: APPEAR,
        }
    }

    /// Changes how long a workload may take to appear (5 s).
    #[must_use]
    pub fn with_patience(mut self, appear: Duration) -> Self {
        self.appear = appear;
        self
    }

    /// All checks, in the order in which they cost.
    pub async fn check(&self, peer: SocketAddr, authorization: Option<&str>, node: &str) -> Result<Identity, Reason> {
        let claims = self.claims(authorization)?;
        if claims.sub != node {
            return Err(Reason::OtherNode { node: node.to_owned() });
        }
        let (namespace, name) = claims.sub.split_once('/').ok_or(TokenError::Malformed)?;
        let workload = appears(self.appear, || self.directory.workload(namespace, name)).await;
        at_home(&claims, workload, peer)
    }

    /// The same for a request that claims to be nobody: it is of whom its token is. Waits for nothing.
    pub fn holder(&self, peer: SocketAddr, authorization: Option<&str>) -> Result<Identity, Reason> {
        let claims = self.claims(authorization)?;
        let (namespace, name) = claims.sub.split_once('/').ok_or(TokenError::Malformed)?;
        at_home(&claims, self.directory.workload(namespace, name), peer)
    }

    fn claims(&self, authorization: Option<&str>) -> Result<JoinClaims, Reason> {
        let token = authorization.and_then(bearer).ok_or(Reason::NoToken)?;
        Ok(self.key.verify(token, SystemTime::now())?)
    }
}

/// What is found, perhaps a little later: a proxy may be faster than the object that describes it.
pub(super) async fn appears<T>(patience: Duration, find: impl Fn() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        let found = find();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Says in the log that a stream is refused, and to the proxy why.
pub(super) fn refused(peer: SocketAddr, node: &str, reason: impl std::fmt::Display + Into<Refusal>) -> Refusal {
    tracing::warn!(%peer, node, %reason, "xDS stream refused");
    reason.into()
}

impl<D: WorkloadDirectory> Authenticator for TokenAuthenticator<D> {
    async fn authenticate(
        &self,
        peer: SocketAddr,
        authorization: Option<&str>,
        node_id: &str,
    ) -> Result<Identity, Refusal> {
        let checked = self.check(peer, authorization, node_id).await;
        checked.map_err(|reason| refused(peer, node_id, reason))
    }
}

/// The last check: the workload exists, and the peer is where it lives.
fn at_home(claims: &JoinClaims, workload: Option<WorkloadInfo>, peer: SocketAddr) -> Result<Identity, Reason> {
    let node = || claims.sub.clone();
    let workload = workload.ok_or_else(|| Reason::UnknownWorkload { node: node() })?;
    // A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d.
    let peer = peer.ip().to_canonical();
    if peer != workload.address.to_canonical() {
        return Err(Reason::OtherAddress { node: node(), peer });
    }
    Ok(Identity {
        proxy: ProxyId::new(node()),
        spiffe_id: workload.spiffe_id.into(),
        expires_at: Some(claims.expires_at()),
    })
}

/// The token of an `authorization` header.
pub(super) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
