//! The checks on a stream, in the order in which they cost.
//!
//! Token, node id, Pod and peer address must all agree, and the mesh's model must give that Pod the identity that the token
//! proves. A Pod may be known a little later than its proxy asks; everything else that is missing refuses at once. Refusals
//! name what was wrong, never another Pod's data.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use xds::{Authenticator, Identity, ProxyId, Refusal};

use super::claims::{self, PodClaims, TokenError};
use super::issuer::{IssuerKeys, KeySource, Known, Unsure};
use crate::identity::authenticator::{APPEAR, appears, bearer, refused};
use crate::identity::{SpiffeId, WorkloadDirectory};
use crate::source::kubernetes::{PodDirectory, PodInfo};

/// No token of Kubernetes is longer; what is longer is not looked at.
const MAX_LENGTH: usize = 8192;
/// A Pod may take this much longer to end than it was given, as for the API server.
const OVERTIME: Duration = Duration::from_mins(1);

/// Why a stream is refused; the text goes to the proxy's log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Reason {
    /// No `authorization: Bearer ...`.
    #[error("no token: the proxy must send `authorization: Bearer <service-account token with audience tulle>`")]
    NoToken,
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Nothing can be verified yet.
    #[error("the keys of the cluster's token issuer are not known yet; the API server does not answer; try again")]
    NoKeys,
    /// The token is of another Pod than the node id.
    #[error("the token is not for node {node:?}; a Pod may only be itself")]
    OtherNode {
        /// The claimed node id.
        node: String,
    },
    /// There is no such Pod.
    #[error("there is no Pod {node} with the UID in the token; it was deleted, or is not in the mesh")]
    UnknownPod {
        /// The node id, which the token proved.
        node: String,
    },
    /// The Pod has another service account.
    #[error("the token's service account is not that of Pod {node}")]
    OtherAccount {
        /// The node id, which the token proved.
        node: String,
    },
    /// The stream comes from elsewhere.
    #[error("the stream of {node} comes from {peer}, which is not an address of that Pod")]
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
            Reason::NoKeys => Self::Unavailable(text),
            Reason::OtherNode { .. }
            | Reason::UnknownPod { .. }
            | Reason::OtherAccount { .. }
            | Reason::OtherAddress { .. } => Self::Denied(text),
        }
    }
}

/// Authenticates by projected service-account tokens.
pub struct PodAuthenticator<S, P, D> {
    keys: Arc<IssuerKeys<S>>,
    pods: P,
    workloads: D,
    appear: Duration,
}

/// A Pod as both the API server and the model have it.
struct Found {
    pod: PodInfo,
    identity: SpiffeId,
}

impl<S: KeySource, P: PodDirectory, D: WorkloadDirectory> PodAuthenticator<S, P, D> {
    /// An authenticator over directories that others keep up to date.
    pub fn new(keys: Arc<IssuerKeys<S>>, pods: P, workloads: D) -> Self {
        Self {
            keys,
            pods,
            workloads,
            appear: APPEAR,
        }
    }

    /// Changes how long a Pod may take to appear (5 s).
    #[must_use]
    pub fn with_patience(mut self, appear: Duration) -> Self {
        self.appear = appear;
        self
    }

    /// All checks.
    pub async fn check(&self, peer: SocketAddr, authorization: Option<&str>, node: &str) -> Result<Identity, Reason> {
        let (token, id) = shape(authorization)?;
        let known = self.keys.with_key(&id).await.map_err(|unsure| match unsure {
            Unsure::NoKeys => Reason::NoKeys,
            Unsure::Token(error) => Reason::Token(error),
        })?;
        let claims = verified(token, &id, &known)?;
        if claims.node() != node {
            return Err(Reason::OtherNode { node: node.to_owned() });
        }
        let found = appears(self.appear, || self.find(&claims)).await;
        at_home(&claims, found, peer)
    }

    /// The same for a request that claims to be nobody: it is of whom its token is. Waits for nothing.
    pub fn holder(&self, peer: SocketAddr, authorization: Option<&str>) -> Result<Identity, Reason> {
        let (token, id) = shape(authorization)?;
        let known = self.keys.known().ok_or(Reason::NoKeys)?;
        let claims = verified(token, &id, &known)?;
        at_home(&claims, self.find(&claims), peer)
    }

    /// The Pod that the token is bound to, if it exists and the model knows it by its own address.
    fn find(&self, claims: &PodClaims) -> Option<Found> {
        let pod = self.pods.pod(&claims.namespace, &claims.pod)?;
        let gone = pod.gone_at.is_some_and(|at| at + OVERTIME <= SystemTime::now());
        if pod.uid != claims.uid || pod.ended || gone {
            return None;
        }
        let workload = self.workloads.workload(&claims.namespace, &claims.pod)?;
        let identity = SpiffeId::parse(&workload.spiffe_id).ok()?;
        let same = pod.addresses.contains(&workload.address);
        same.then_some(Found { pod, identity })
    }
}

impl<S: KeySource, P: PodDirectory, D: WorkloadDirectory> Authenticator for PodAuthenticator<S, P, D> {
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

/// The last checks: the Pod exists, is who the token says, and the peer is where it lives.
fn at_home(claims: &PodClaims, found: Option<Found>, peer: SocketAddr) -> Result<Identity, Reason> {
    let node = claims.node();
    let Some(Found { pod, identity }) = found else {
        return Err(Reason::UnknownPod { node });
    };
    let account = &claims.service_account;
    if pod.service_account != *account || identity.service_account != *account || identity.namespace != claims.namespace
    {
        return Err(Reason::OtherAccount { node });
    }
    // A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d.
    let peer = peer.ip().to_canonical();
    if !pod.addresses.iter().any(|one| one.to_canonical() == peer) {
        return Err(Reason::OtherAddress { node, peer });
    }
    Ok(Identity {
        proxy: ProxyId::new(node),
        spiffe_id: identity.to_string().into(),
        expires_at: Some(claims.expires_at),
    })
}

/// The token and the id of its key.
fn shape(authorization: Option<&str>) -> Result<(&str, String), Reason> {
    let token = authorization.and_then(bearer).ok_or(Reason::NoToken)?;
    if token.len() > MAX_LENGTH {
        return Err(TokenError::Malformed.into());
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
    Ok((token, header.kid.ok_or(TokenError::UnknownKey)?))
}

fn verified(token: &str, id: &str, known: &Known) -> Result<PodClaims, Reason> {
    let key = known.key(id).ok_or(TokenError::UnknownKey)?;
    Ok(claims::verify(token, key, &known.issuer, SystemTime::now())?)
}
