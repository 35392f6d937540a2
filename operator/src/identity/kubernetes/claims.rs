//! A projected service-account token -> what it proves.
//!
//! The algorithm is that of the issuer's key, RS256 or ES256; what the token says about it must be the same. So `alg: none`
//! and symmetric algorithms, which would take a public key for a secret, never reach a key. Nothing is optional: a token that
//! is bound to no Pod (the legacy ones, and those of `kubectl create token`) proves nothing here.

use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::super::version::unix;

/// The audience of tokens for us.
const AUDIENCE: &str = "tulle";
/// Clocks of a cluster are this much apart at most (seconds).
const LEEWAY: u64 = 10;

/// Why a token is refused; the text goes to the proxy's log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// Not a token at all, or too long.
    #[error("the token is no service-account token; mount a projected one with audience `tulle`")]
    Malformed,
    /// Another algorithm than the key's.
    #[error("the token is not signed with RS256 or ES256 as the cluster's issuer does")]
    Algorithm,
    /// No key of the issuer has this id.
    #[error("the token is signed by a key that this cluster's issuer does not have; use a token of this cluster")]
    UnknownKey,
    /// The signature does not hold.
    #[error("the token's signature does not hold")]
    Signature,
    /// Issued by somebody else.
    #[error("the token is of another issuer; use a token of this cluster")]
    Issuer,
    /// Made for somebody else.
    #[error("the token is not for audience `tulle`; project one with that audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired; the kubelet renews the file, read it again")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet; correct the clocks of the nodes")]
    NotYetValid,
    /// No Pod in it.
    #[error("the token is bound to no Pod; mount a projected one instead")]
    NotBound,
    /// Parts that contradict each other.
    #[error("the token's subject is not the service account in it")]
    Contradiction,
}

/// What a good token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodClaims {
    /// The namespace of both.
    pub namespace: String,
    /// The Pod's name.
    pub pod: String,
    /// The Pod's UID.
    pub uid: String,
    /// The service account.
    pub service_account: String,
    /// When the token ends.
    pub expires_at: SystemTime,
}

impl PodClaims {
    /// The node id that its holder may claim.
    pub fn node(&self) -> String {
        format!("{}/{}", self.namespace, self.pod)
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    nbf: Option<u64>,
    #[serde(rename = "kubernetes.io")]
    bound: Option<Bound>,
}

#[derive(Deserialize)]
struct Bound {
    namespace: String,
    pod: Option<Named>,
    serviceaccount: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    uid: String,
}

/// Checks a token against the issuer and the key that its header names.
pub fn verify(
    token: &str,
    (key, algorithm): &(DecodingKey, Algorithm),
    issuer: &str,
    now: SystemTime,
) -> Result<PodClaims, TokenError> {
    let mut rules = Validation::new(*algorithm);
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[AUDIENCE]);
    rules.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    // Time is an argument here, so it is compared below.
    rules.validate_exp = false;
    let claims = jsonwebtoken::decode::<Claims>(token, key, &rules)
        .map_err(|error| reason(&error))?
        .claims;
    let now = unix(now);
    if claims.exp.saturating_add(LEEWAY) <= now {
        return Err(TokenError::Expired);
    }
    if claims.nbf.is_some_and(|begin| begin > now.saturating_add(LEEWAY)) {
        return Err(TokenError::NotYetValid);
    }
    let bound = claims.bound.ok_or(TokenError::NotBound)?;
    let (Some(pod), Some(account)) = (bound.pod, bound.serviceaccount) else {
        return Err(TokenError::NotBound);
    };
    let named = [&bound.namespace, &pod.name, &pod.uid, &account.name];
    if named.iter().any(|part| part.is_empty() || part.contains('/')) {
        return Err(TokenError::NotBound);
    }
    if claims.sub != format!("system:serviceaccount:{}:{}", bound.namespace, account.name) {
        return Err(TokenError::Contradiction);
    }
    let expires_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp));
    Ok(PodClaims {
        namespace: bound.namespace,
        pod: pod.name,
        uid: pod.uid,
        service_account: account.name,
        expires_at: expires_at.ok_or(TokenError::Malformed)?,
    })
}

fn reason(error: &jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => TokenError::Algorithm,
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAudience => TokenError::Audience,
        _ => TokenError::Malformed,
    }
}
