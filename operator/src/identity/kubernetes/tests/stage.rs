//! An issuer, Pods and a model for the tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPublicKeyUncompressedBin, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use serde_json::{Value, json};

use super::super::{IssuerKeys, KeySource, PodAuthenticator, Published, Reason};
use crate::identity::version::unix;
use crate::identity::{WorkloadDirectory, WorkloadInfo};
use crate::source::kubernetes::{PodDirectory, PodInfo};

pub(super) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
pub(super) const HOME: &str = "10.88.0.7";

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An issuer with an ECDSA and an RSA key.
pub(super) struct Issuer {
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

impl Issuer {
    pub(super) fn new() -> Self {
        Self {
            ec: EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            rsa: RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
        }
    }

    pub(super) fn published(&self) -> Published {
        let point: EcPublicKeyUncompressedBin<'_> = self.ec.public_key().as_be_bytes().unwrap();
        let (x, y) = point.as_ref()[1..].split_at(32);
        let rsa = self.rsa.public_key();
        let keys: JwkSet = serde_json::from_value(json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "alg": "ES256", "x": b64(x), "y": b64(y)},
            {"kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256",
             "n": b64(rsa.modulus().big_endian_without_leading_zero()),
             "e": b64(rsa.exponent().big_endian_without_leading_zero())},
            {"kty": "oct", "kid": "shared", "k": b64("secret")},
        ]}))
        .unwrap();
        Published {
            issuer: ISSUER.to_owned(),
            keys,
        }
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = match header["alg"].as_str().unwrap() {
            "ES256" => self
                .ec
                .sign(&SystemRandom::new(), text.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
            "RS256" => {
                let mut bytes = vec![0; self.rsa.public_modulus_len()];
                let padding = &signature::RSA_PKCS1_SHA256;
                self.rsa
                    .sign(padding, &SystemRandom::new(), text.as_bytes(), &mut bytes)
                    .unwrap();
                bytes
            }
            "RS512" => {
                let mut bytes = vec![0; self.rsa.public_modulus_len()];
                let padding = &signature::RSA_PKCS1_SHA512;
                self.rsa
                    .sign(padding, &SystemRandom::new(), text.as_bytes(), &mut bytes)
                    .unwrap();
                bytes
            }
            "HS256" => {
                let der: PublicKeyX509Der<'_> = self.rsa.public_key().as_der().unwrap();
                let key = hmac::Key::new(hmac::HMAC_SHA256, der.as_ref());
                hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{text}.{}", b64(signature))
    }
}

/// What the issuer publishes at the moment, and how often it was asked.
#[derive(Clone, Default)]
pub(super) struct Board(pub(super) Arc<(Mutex<Option<Published>>, AtomicUsize)>);

impl KeySource for Board {
    async fn fetch(&self) -> Result<Published, String> {
        self.0.1.fetch_add(1, Ordering::Relaxed);
        self.0.0.lock().unwrap().clone().ok_or_else(|| "no answer".to_owned())
    }
}

/// Pods and what the model has of them.
#[derive(Clone, Default)]
pub(super) struct World(Arc<Mutex<BTreeMap<String, (PodInfo, WorkloadInfo)>>>);

impl World {
    pub(super) fn with(pod: PodInfo) -> Self {
        let world = Self::default();
        world.set("shop/orders-1", pod);
        world
    }

    pub(super) fn set(&self, node: &str, pod: PodInfo) {
        let namespace = node.split('/').next().unwrap();
        let workload = WorkloadInfo {
            address: pod.addresses[0],
            spiffe_id: format!("spiffe://tulle.local/ns/{namespace}/sa/{}", pod.service_account),
        };
        self.0.lock().unwrap().insert(node.to_owned(), (pod, workload));
    }
}

impl PodDirectory for World {
    fn pod(&self, namespace: &str, name: &str) -> Option<PodInfo> {
        let pods = self.0.lock().unwrap();
        Some(pods.get(&format!("{namespace}/{name}"))?.0.clone())
    }
}

impl WorkloadDirectory for World {
    fn workload(&self, namespace: &str, name: &str) -> Option<WorkloadInfo> {
        let pods = self.0.lock().unwrap();
        Some(pods.get(&format!("{namespace}/{name}"))?.1.clone())
    }
}

pub(super) fn pod() -> PodInfo {
    PodInfo {
        uid: "uid-1".to_owned(),
        service_account: "orders".to_owned(),
        addresses: vec![HOME.parse().unwrap(), "fd00::7".parse().unwrap()],
        ended: false,
        gone_at: None,
    }
}

pub(super) fn claims() -> Value {
    let now = unix(SystemTime::now());
    json!({
        "iss": ISSUER, "aud": ["tulle"], "sub": "system:serviceaccount:shop:orders",
        "iat": now, "nbf": now, "exp": now + 600,
        "kubernetes.io": {
            "namespace": "shop",
            "pod": {"name": "orders-1", "uid": "uid-1"},
            "serviceaccount": {"name": "orders", "uid": "sa-1"},
        },
    })
}

/// The good claims with one changed; null takes it away.
pub(super) fn but(pointer: &str, value: Value) -> Value {
    let mut claims = claims();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = claims.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(field).unwrap();
    } else {
        parent.insert(field.to_owned(), value);
    }
    claims
}

pub(super) fn es256() -> Value {
    json!({"alg": "ES256", "kid": "ec"})
}

/// A model of one workload at most.
pub(super) struct Model(pub(super) Option<WorkloadInfo>);
impl WorkloadDirectory for Model {
    fn workload(&self, _: &str, _: &str) -> Option<WorkloadInfo> {
        self.0.clone()
    }
}

/// An issuer that is known, and who it lets in.
pub(super) struct Stage {
    pub(super) issuer: Issuer,
    pub(super) board: Board,
    pub(super) world: World,
    pub(super) authenticator: PodAuthenticator<Board, World, World>,
}

impl Stage {
    pub(super) fn new(world: World) -> Self {
        Self::with_pause(world, Duration::from_hours(1))
    }

    pub(super) fn with_pause(world: World, pause: Duration) -> Self {
        let issuer = Issuer::new();
        let board = Board::default();
        *board.0.0.lock().unwrap() = Some(issuer.published());
        let keys = Arc::new(IssuerKeys::new(board.clone()).with_pause(pause));
        let authenticator = PodAuthenticator::new(keys, world.clone(), world.clone()).with_patience(Duration::ZERO);
        Self {
            issuer,
            board,
            world,
            authenticator,
        }
    }

    pub(super) fn asked(&self) -> usize {
        self.board.0.1.load(Ordering::Relaxed)
    }

    pub(super) async fn ask(&self, token: &str, node: &str, peer: &str) -> Result<xds::Identity, Reason> {
        let peer = SocketAddr::new(peer.parse().unwrap(), 40000);
        let header = format!("Bearer {token}");
        let asked = self.authenticator.check(peer, Some(&header), node).await;
        // Who asks without a node id gets the same answer, if the token is that node's.
        if !matches!(asked, Err(Reason::OtherNode { .. })) {
            assert_eq!(self.authenticator.holder(peer, Some(&header)), asked);
        }
        asked
    }

    pub(super) async fn refused(&self, header: &Value, claims: &Value) -> Reason {
        let token = self.issuer.sign(header, claims);
        self.ask(&token, "shop/orders-1", HOME).await.unwrap_err()
    }
}
