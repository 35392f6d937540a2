//! Join tokens: how a process or VM proves which workload it is.
//!
//! A JWT (ES256) of issuer and audience `tulle` whose subject is `<namespace>/<workload>`, signed by a join key of the
//! state folder. Only that algorithm and that key verify; `alg: none` and symmetric algorithms never reach the key. A
//! token says nothing about addresses or service accounts: those come from the workload's own object.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, rand};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{KeyPair, PublicKeyData};
use serde::{Deserialize, Serialize};

use super::ca::hex;
use super::files;
use super::version::unix;

/// Issuer and audience of join tokens.
const TULLE: &str = "tulle";
/// No honest token is longer; what is longer is not looked at.
const MAX_LENGTH: usize = 4096;
/// A token from a machine whose clock is ahead of ours by more is refused.
const CLOCK_SKEW: u64 = 300;

/// What a join token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinClaims {
    /// Always `tulle`.
    pub iss: String,
    /// Always `tulle`.
    pub aud: String,
    /// `<namespace>/<workload>`.
    pub sub: String,
    /// When it was issued (seconds since 1970).
    pub iat: u64,
    /// When it ends (seconds since 1970).
    pub exp: u64,
    /// A random name, for logs.
    pub jti: String,
}

impl JoinClaims {
    /// The end of the token.
    pub fn expires_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.exp)
    }
}

/// Why a token is refused. The texts go to the caller: none of them says anything about keys or other tokens.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// Not a JWT of ours at all.
    #[error("the join token is malformed; make a new one with `tulle token`")]
    Malformed,
    /// Another algorithm, another key, or an altered text.
    #[error("the join token was not signed by this control plane; make a new one with `tulle token` on it")]
    ForeignSignature,
    /// Wrong `iss` or `aud`.
    #[error("the join token was made for something else than joining this mesh; make one with `tulle token`")]
    WrongPurpose,
    /// Past its end.
    #[error("the join token has expired; make a new one with `tulle token`")]
    Expired,
    /// Issued in the future.
    #[error("the join token is not valid yet; compare the clocks of the two machines")]
    NotYetValid,
}

/// Why there is no join key.
#[derive(Debug, thiserror::Error)]
pub enum JoinKeyError {
    /// Reading or writing failed.
    #[error("cannot use the join key {path}: {source}; check that the folder is writable by the user that runs tulle")]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not hold an ECDSA P-256 key.
    #[error("the join key {0} is damaged; remove it to make a new one (every join token must then be made again)")]
    Damaged(PathBuf),
    /// A name that cannot be in a token, or a failing library.
    #[error("cannot make a join token: {0}")]
    Issue(String),
}

/// The key that signs and verifies join tokens.
pub struct JoinKey {
    signing: EncodingKey,
    verifying: DecodingKey,
    id: String,
}

impl std::fmt::Debug for JoinKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl JoinKey {
    /// The key in `<state_dir>/join.key`: made at the first call, loaded ever after.
    pub fn open(state_dir: &Path) -> Result<Self, JoinKeyError> {
        let path = state_dir.join("join.key");
        let io = |source| JoinKeyError::Io {
            path: path.clone(),
            source,
        };
        files::ensure_dir(state_dir, 0o700).map_err(io)?;
        let _lock = files::lock(&state_dir.join("join.lock")).map_err(io)?;
        if !path.exists() {
            let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
                .map_err(|e| JoinKeyError::Issue(e.to_string()))?;
            files::write_atomic(&path, key.serialize_pem().as_bytes(), 0o600).map_err(io)?;
        }
        let pem = fs::read_to_string(&path).map_err(io)?;
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|_| JoinKeyError::Damaged(path.clone()))?;
        Ok(Self {
            signing: EncodingKey::from_ec_der(key.serialized_der()),
            verifying: DecodingKey::from_ec_der(key.der_bytes()),
            id: hex(digest::digest(&digest::SHA256, key.der_bytes()).as_ref(), 8),
        })
    }

    /// A new token for a workload.
    pub fn issue(
        &self,
        namespace: &str,
        workload: &str,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<String, JoinKeyError> {
        if [namespace, workload]
            .iter()
            .any(|part| part.is_empty() || part.contains('/'))
        {
            return Err(JoinKeyError::Issue(format!(
                "{namespace:?} and {workload:?} must be a namespace and a workload's name"
            )));
        }
        let mut random = [0_u8; 16];
        rand::fill(&mut random).map_err(|e| JoinKeyError::Issue(e.to_string()))?;
        let claims = JoinClaims {
            iss: TULLE.to_owned(),
            aud: TULLE.to_owned(),
            sub: format!("{namespace}/{workload}"),
            iat: unix(now),
            exp: unix(now + ttl),
            jti: hex(&random, 16),
        };
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, &claims, &self.signing).map_err(|e| JoinKeyError::Issue(e.to_string()))
    }

    /// The claims of a good token.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<JoinClaims, TokenError> {
        if token.len() > MAX_LENGTH {
            return Err(TokenError::Malformed);
        }
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_issuer(&[TULLE]);
        rules.set_audience(&[TULLE]);
        rules.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // Time is an argument here, so it is compared below, without leeway.
        rules.validate_exp = false;
        let claims = jsonwebtoken::decode::<JoinClaims>(token, &self.verifying, &rules)
            .map_err(|e| reason(&e))?
            .claims;
        let now = unix(now);
        if claims.exp <= now {
            return Err(TokenError::Expired);
        }
        if claims.iat > now + CLOCK_SKEW {
            return Err(TokenError::NotYetValid);
        }
        Ok(claims)
    }
}

fn reason(error: &jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            TokenError::ForeignSignature
        }
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => TokenError::WrongPurpose,
        _ => TokenError::Malformed,
    }
}
