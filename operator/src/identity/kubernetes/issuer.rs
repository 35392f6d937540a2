//! The keys of the cluster's token issuer.
//!
//! Fetched from the API server, again when a token names a key that is not known, and now and then so that a key which the
//! issuer gave up is forgotten. Whoever sends tokens with invented key ids makes us ask seldom. While the API server does
//! not answer the known keys count; without any nobody is let in.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Request;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use kube::Client;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::TokenError;

/// The keys are not asked for more often.
const SELDOM: Duration = Duration::from_secs(10);
/// Keys of this age are asked for again.
const OLD: Duration = Duration::from_mins(10);

/// What the issuer publishes.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its name, as in tokens.
    pub issuer: String,
    /// Its keys.
    pub keys: JwkSet,
}

/// Where the keys come from.
pub trait KeySource: Send + Sync + 'static {
    /// Asks; the error is for the log.
    fn fetch(&self) -> impl Future<Output = Result<Published, String>> + Send;
}

/// The API server's discovery of its issuer.
#[derive(Clone)]
pub struct ApiServer(pub Client);

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl KeySource for ApiServer {
    async fn fetch(&self) -> Result<Published, String> {
        // The key set of this API server, wherever the document says that others find it.
        let discovery: Discovery = self.get("/.well-known/openid-configuration").await?;
        let keys = self.get("/openid/v1/jwks").await?;
        Ok(Published {
            issuer: discovery.issuer,
            keys,
        })
    }
}

impl ApiServer {
    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        let text = self.0.request_text(request).await.map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
    }
}

/// A key and the one algorithm that it verifies.
pub(super) type Key = (DecodingKey, Algorithm);

/// What is known of the issuer.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) issuer: String,
    keys: BTreeMap<String, Key>,
}

impl Known {
    /// The key of this id.
    pub(super) fn key(&self, id: &str) -> Option<&Key> {
        self.keys.get(id)
    }
}

/// The issuer's keys, kept up to date.
pub struct IssuerKeys<S> {
    source: S,
    known: RwLock<Option<Arc<Known>>>,
    asked: Mutex<Option<Instant>>,
    seldom: Duration,
}

impl<S: KeySource> IssuerKeys<S> {
    /// Knows nothing yet.
    pub fn new(source: S) -> Self {
        Self {
            source,
            known: RwLock::new(None),
            asked: Mutex::new(None),
            seldom: SELDOM,
        }
    }

    /// Changes how long nothing is asked after an answer (10 s).
    #[must_use]
    pub fn with_pause(mut self, seldom: Duration) -> Self {
        self.seldom = seldom;
        self
    }

    /// What is known now, without asking.
    pub(super) fn known(&self) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known, asking first if the key of this id is not.
    pub(super) async fn with_key(&self, id: &str) -> Result<Arc<Known>, Unsure> {
        let good = |known: Option<Arc<Known>>| known.filter(|known| known.key(id).is_some());
        if let Some(known) = good(self.known()) {
            return Ok(known);
        }
        self.ask(self.seldom, || good(self.known()).is_some()).await;
        match self.known() {
            None => Err(Unsure::NoKeys),
            Some(known) if known.key(id).is_some() => Ok(known),
            Some(_) => Err(Unsure::Token(TokenError::UnknownKey)),
        }
    }

    /// Asks again every few minutes, for ever.
    pub async fn keep(&self) {
        loop {
            self.ask(OLD, || false).await;
            let wait = if self.known().is_some() { OLD } else { self.seldom };
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks, unless that was done a moment ago or is needless by the time it is our turn.
    async fn ask(&self, age: Duration, needless: impl Fn() -> bool) {
        let mut asked = self.asked.lock().await;
        let wait = if self.known().is_some() {
            age
        } else {
            age.min(self.seldom)
        };
        if needless() || asked.is_some_and(|before| before.elapsed() < wait) {
            return;
        }
        match self.source.fetch().await {
            Ok(published) => {
                let known = Arc::new(usable(published));
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
            }
            Err(error) => tracing::warn!(error, "the API server does not give the keys of its token issuer"),
        }
        *asked = Some(Instant::now());
    }
}

/// Why there is no key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsure {
    /// The issuer's keys are not known yet.
    NoKeys,
    /// They are, and this one is not among them.
    Token(TokenError),
}

/// The keys that may verify tokens: asymmetric ones, with an id, for signatures.
fn usable(published: Published) -> Known {
    let keys = published.keys.keys.iter().filter_map(|jwk| {
        let algorithm = algorithm(jwk)?;
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some((jwk.common.key_id.clone()?, (key, algorithm)))
    });
    Known {
        keys: keys.collect(),
        issuer: published.issuer,
    }
}

fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        _ => return None,
    };
    let signs = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|one| *one == PublicKeyUse::Signature);
    let fits = jwk
        .common
        .key_algorithm
        .is_none_or(|said| said.to_string() == format!("{algorithm:?}"));
    (signs && fits).then_some(algorithm)
}
