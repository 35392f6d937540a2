//! Certificates, versions, join tokens, stream authentication and the TLS of the xDS port.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tulle_operator::identity::authenticator::Reason;
use tulle_operator::identity::server_tls::RotatingCertificate;
use tulle_operator::identity::version::renew_at;
use tulle_operator::identity::{
    CaError, CertificateAuthority, Held, IdentitySecrets, IncomingLimits, JoinClaims, JoinKey, LeafPolicy, SpiffeId,
    TokenAuthenticator, TokenError, WorkloadDirectory, WorkloadInfo, XDS_SERVER_NAME, server_config, tls_incoming,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

const ORDERS: &str = "spiffe://tulle.local/ns/shop/sa/orders";
const HOUR: Duration = Duration::from_hours(1);

fn now() -> SystemTime {
    SystemTime::now()
}

fn ca(folder: &Path) -> CertificateAuthority {
    CertificateAuthority::open(folder, now()).unwrap()
}

fn ders(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap()
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

mod authority {
    use super::*;

    #[test]
    fn is_made_once_and_loaded_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (ca(folder.path()), ca(folder.path()));
        assert_eq!(first.bundle_pem(), second.bundle_pem());
        assert_eq!(first.key_id(), second.key_id());
        assert_eq!(mode(&folder.path().join("ca/root.key")), 0o600);

        let der = ders(&first.bundle_pem());
        let (_, root) = X509Certificate::from_der(&der[0]).unwrap();
        assert_eq!(root.subject().to_string(), "CN=Tulle root");
        assert!(root.is_ca());
        let years = (root.validity().not_after.timestamp() - root.validity().not_before.timestamp()) / (365 * 86_400);
        assert_eq!(years, 10);
    }

    #[test]
    fn two_processes_that_start_together_get_one_root() {
        let folder = tempfile::tempdir().unwrap();
        let open = || ca(folder.path()).key_id().to_owned();
        let ids: Vec<String> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            all.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    }

    #[test]
    fn a_missing_or_damaged_file_is_refused_with_the_way_out() {
        for (file, content) in [
            ("root.key", None),
            ("root.pem", None),
            ("root.key", Some("not a key")),
            (
                "root.pem",
                Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            ),
            ("root.pem", Some("")),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let before = ca(folder.path()).bundle_pem();
            let path = folder.path().join("ca").join(file);
            match content {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let error = CertificateAuthority::open(folder.path(), now()).unwrap_err();
            assert!(matches!(error, CaError::Damaged { .. }), "{file} {content:?}: {error}");
            assert!(
                error.to_string().contains("restore the folder from a backup"),
                "{error}"
            );
            assert!(!before.is_empty());
        }
    }

    #[test]
    fn a_key_of_another_root_is_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        ca(one.path());
        ca(other.path());
        std::fs::copy(other.path().join("ca/root.key"), one.path().join("ca/root.key")).unwrap();
        let error = CertificateAuthority::open(one.path(), now()).unwrap_err();
        assert!(error.to_string().contains("does not belong"), "{error}");
    }

    #[test]
    fn an_expired_root_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        ca(folder.path());
        let later = now() + Duration::from_hours(11 * 365 * 24);
        let error = CertificateAuthority::open(folder.path(), later).unwrap_err();
        assert!(error.to_string().contains("expired"), "{error}");
    }

    #[test]
    fn a_supplied_intermediate_signs_and_its_root_is_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key, root) = supplied_intermediate();
        let (cert_file, key_file) = (folder.path().join("chain.pem"), folder.path().join("ca.key"));
        std::fs::write(&cert_file, &chain).unwrap();
        std::fs::write(&key_file, key).unwrap();
        let ca = CertificateAuthority::load(&cert_file, &key_file, now()).unwrap();
        assert_eq!(ders(&ca.bundle_pem()), ders(&root));
        let leaf = ca
            .issue(&SpiffeId::parse(ORDERS).unwrap(), LeafPolicy::default(), now())
            .unwrap();
        let sent = ders(&leaf.chain_pem);
        assert_eq!(sent.len(), 2, "the leaf and the intermediate, not the root");
        assert_eq!(sent[1], ders(&chain)[0]);

        // Without its root the chain ends in the air.
        let only = chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
        std::fs::write(&cert_file, only).unwrap();
        let error = CertificateAuthority::load(&cert_file, &key_file, now()).unwrap_err();
        assert!(
            error.to_string().contains("list the issuing certificate first"),
            "{error}"
        );
    }

    fn supplied_intermediate() -> (String, String, String) {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
        let params = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params
        };
        let root_key = KeyPair::generate().unwrap();
        let root = params("Company root").self_signed(&root_key).unwrap();
        let issuer = Issuer::new(params("Company root"), root_key);
        let key = KeyPair::generate().unwrap();
        let intermediate = params("Mesh").signed_by(&key, &issuer).unwrap();
        (intermediate.pem() + &root.pem(), key.serialize_pem(), root.pem())
    }
}

mod leaf {
    use super::*;

    #[test]
    fn says_exactly_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let ca = ca(folder.path());
        let at = now();
        let leaf = ca
            .issue(&SpiffeId::parse(ORDERS).unwrap(), LeafPolicy::default(), at)
            .unwrap();
        let (chain, roots) = (ders(&leaf.chain_pem), ders(&ca.bundle_pem()));
        let (_, parsed) = X509Certificate::from_der(&chain[0]).unwrap();
        let (_, root) = X509Certificate::from_der(&roots[0]).unwrap();

        assert_eq!(chain.len(), 1);
        parsed.verify_signature(Some(root.public_key())).unwrap();
        assert_eq!(parsed.subject().iter().count(), 0);
        let san = parsed.subject_alternative_name().unwrap().unwrap();
        assert!(san.critical);
        assert!(
            matches!(san.value.general_names.as_slice(), [GeneralName::URI(ORDERS)]),
            "{san:?}"
        );
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && usage.client_auth && !usage.any);
        let usage = parsed.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && !usage.key_cert_sign());
        assert!(!parsed.is_ca());
        let (begin, end) = (
            parsed.validity().not_before.timestamp(),
            parsed.validity().not_after.timestamp(),
        );
        let at = i64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap();
        assert!(begin < at && begin > at - 3600);
        assert_eq!(end, at + 86_400);
        assert!(leaf.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert!(!format!("{leaf:?}").contains("PRIVATE"));
    }

    #[test]
    fn never_outlives_its_ca() {
        let folder = tempfile::tempdir().unwrap();
        let ca = ca(folder.path());
        let late = ca.not_after() - HOUR;
        let leaf = ca
            .issue(&SpiffeId::parse(ORDERS).unwrap(), LeafPolicy::default(), late)
            .unwrap();
        assert_eq!(leaf.not_after, ca.not_after());
    }

    #[test]
    fn only_whole_workload_identities_are_signed() {
        for bad in [
            "",
            "spiffe://",
            "spiffe://td",
            "spiffe://td/ns/a",
            "spiffe://td/ns/a/sa/",
            "spiffe://td/ns//sa/b",
            "spiffe://TD/ns/a/sa/b",
            "spiffe://td:80/ns/a/sa/b",
            "spiffe://td/ns/a/sa/b/c",
            "spiffe://td/ns/a/sa/b?x",
            "spiffe://td/ns/../sa/b",
            "spiffe://td/ns/a%2f/sa/b",
            "https://td/ns/a/sa/b",
            "spiffe://td/ns/a/sa/b\n",
        ] {
            assert!(SpiffeId::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(SpiffeId::parse(ORDERS).unwrap().to_string(), ORDERS);
    }
}

mod version {
    use super::*;

    #[test]
    fn is_recognised_after_a_restart_and_by_nobody_else() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let not_after = ders_end(&ca(folder.path()));
        let version = ca(folder.path()).version(ORDERS, not_after);
        let restarted = ca(folder.path());
        assert_eq!(
            restarted.verify_version(&version, ORDERS, now()),
            Some(Held { not_after })
        );
        assert_eq!(
            restarted.verify_version(&version, "spiffe://tulle.local/ns/shop/sa/web", now()),
            None
        );
        assert_eq!(restarted.verify_version(&version, ORDERS, not_after), None, "expired");
        assert_eq!(
            ca(other.path()).verify_version(&version, ORDERS, now()),
            None,
            "another CA"
        );
    }

    fn ders_end(ca: &CertificateAuthority) -> SystemTime {
        ca.issue(&SpiffeId::parse(ORDERS).unwrap(), LeafPolicy::default(), now())
            .unwrap()
            .not_after
    }

    #[test]
    fn any_change_makes_it_worthless() {
        let folder = tempfile::tempdir().unwrap();
        let ca = ca(folder.path());
        let version = ca.version(ORDERS, ders_end(&ca));
        let runner = |edited: &str| ca.verify_version(edited, ORDERS, now());
        for index in 0..version.len() {
            for replacement in ["0", "1", "f", "F", ".", "", "00"] {
                let edited = format!("{}{replacement}{}", &version[..index], &version[index + 1..]);
                assert!(edited == version || runner(&edited).is_none(), "{edited}");
            }
        }
        assert!(runner(&format!("{version}.0")).is_none());
        assert!(runner(&format!("{version}00")).is_none());
    }

    fn some_ca() -> &'static CertificateAuthority {
        static CA: std::sync::OnceLock<CertificateAuthority> = std::sync::OnceLock::new();
        CA.get_or_init(|| ca(tempfile::tempdir().unwrap().path()))
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_verifies_or_panics(text in ".{0,120}") {
            prop_assert_eq!(some_ca().verify_version(&text, ORDERS, now()), None);
        }

        #[test]
        fn renewal_is_between_four_and_five_tenths_of_life(seed in ".{0,40}", hours in 1_u64..1000) {
            let (lifetime, end) = (HOUR * u32::try_from(hours).unwrap(), now());
            let at = renew_at(end, lifetime, &seed);
            prop_assert_eq!(at, renew_at(end, lifetime, &seed));
            let left = end.duration_since(at).unwrap();
            prop_assert!(left >= lifetime / 2 && left <= lifetime / 2 + lifetime / 10);
        }
    }
}

mod secrets {
    use super::*;
    use xds::{Identity, ProxyId, SecretAnswer, SecretSource};

    fn identity() -> Identity {
        Identity {
            proxy: ProxyId::new("shop/orders-1"),
            spiffe_id: ORDERS.into(),
            expires_at: None,
        }
    }

    fn at(ca: &Arc<CertificateAuthority>, lifetime: Duration, time: SystemTime) -> IdentitySecrets {
        IdentitySecrets::with_clock(Arc::clone(ca), LeafPolicy { lifetime }, Arc::new(move || time))
    }

    fn sent(answer: Option<SecretAnswer>) -> (String, SystemTime) {
        match answer {
            Some(SecretAnswer::Send { resource, renew_at }) => (resource.version.to_string(), renew_at),
            _ => panic!("no new secret"),
        }
    }

    #[test]
    fn a_good_leaf_is_kept_across_a_restart_until_half_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Arc::new(ca(folder.path()));
        let begin = now();
        let (version, renew) = sent(at(&open(), 24 * HOUR, begin).secret(&identity(), "identity", None));
        assert!(renew > begin + 9 * HOUR && renew <= begin + 12 * HOUR);

        let again = at(&open(), 24 * HOUR, begin + HOUR).secret(&identity(), "identity", Some(&version));
        assert!(matches!(again, Some(SecretAnswer::Keep { renew_at, .. }) if renew_at == renew));
        let (next, _) = sent(at(&open(), 24 * HOUR, renew).secret(&identity(), "identity", Some(&version)));
        assert_ne!(next, version);
    }

    #[test]
    fn a_shortened_lifetime_takes_effect_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let ca = Arc::new(ca(folder.path()));
        let (version, _) = sent(at(&ca, 24 * HOUR, now()).secret(&identity(), "identity", None));
        sent(at(&ca, HOUR, now()).secret(&identity(), "identity", Some(&version)));
    }

    #[test]
    fn nothing_else_is_ever_answered() {
        let folder = tempfile::tempdir().unwrap();
        let source = at(&Arc::new(ca(folder.path())), HOUR, now());
        for name in ["", "Identity", "identity/other", "shop/payments", "bundle"] {
            assert!(source.secret(&identity(), name, None).is_none(), "{name}");
        }
        let odd = Identity {
            spiffe_id: "spiffe://td/not-a-workload".into(),
            ..identity()
        };
        assert!(source.secret(&odd, "identity", None).is_none());
        let forged = Some("9999999999.0011223344556677.0011223344556677.00");
        sent(source.secret(&identity(), "identity", forged));
    }
}

mod tokens {
    use super::*;

    fn key(folder: &Path) -> JoinKey {
        JoinKey::open(folder).unwrap()
    }

    fn claims(exp: u64) -> JoinClaims {
        let text = |t: &str| t.to_owned();
        JoinClaims {
            iss: text("tulle"),
            aud: text("tulle"),
            sub: text("shop/orders"),
            iat: 1,
            exp,
            jti: text("x"),
        }
    }

    /// Signs any claims with the real key, as only the real issuer could.
    fn sign(folder: &Path, claims: &impl serde::Serialize) -> String {
        let pem = std::fs::read_to_string(folder.join("join.key")).unwrap();
        let key = rcgen::KeyPair::from_pem(&pem).unwrap();
        let key = EncodingKey::from_ec_der(key.serialized_der());
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &key).unwrap()
    }

    #[test]
    fn go_round_across_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let token = key(folder.path()).issue("shop", "orders", HOUR, now()).unwrap();
        let claims = key(folder.path()).verify(&token, now()).unwrap();
        assert_eq!(claims.sub, "shop/orders");
        assert_eq!(mode(&folder.path().join("join.key")), 0o600);
        assert_eq!(
            key(folder.path()).verify(&token, now() + HOUR + HOUR),
            Err(TokenError::Expired)
        );
        assert_eq!(
            key(folder.path()).verify(&token, claims.expires_at()),
            Err(TokenError::Expired)
        );
        assert_eq!(
            key(folder.path()).verify(&token, now() - HOUR),
            Err(TokenError::NotYetValid)
        );
        assert!(key(folder.path()).issue("shop/x", "orders", HOUR, now()).is_err());
    }

    #[test]
    fn of_another_key_purpose_or_algorithm_are_refused() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (ours, theirs) = (key(folder.path()), key(other.path()));
        let good = claims(u64::MAX / 2);
        let foreign = theirs.issue("shop", "orders", HOUR, now()).unwrap();
        assert_eq!(ours.verify(&foreign, now()), Err(TokenError::ForeignSignature));
        assert!(ours.verify(&sign(folder.path(), &good), now()).is_ok());
        for wrong in [
            JoinClaims {
                iss: "kubernetes".into(),
                ..good.clone()
            },
            JoinClaims {
                aud: "vault".into(),
                ..good.clone()
            },
        ] {
            assert_eq!(
                ours.verify(&sign(folder.path(), &wrong), now()),
                Err(TokenError::WrongPurpose)
            );
        }
        let without_end =
            serde_json::json!({"iss": "tulle", "aud": "tulle", "sub": "shop/orders", "iat": 1, "jti": "x"});
        assert_eq!(
            ours.verify(&sign(folder.path(), &without_end), now()),
            Err(TokenError::Malformed)
        );

        // The classic confusion: the public key as a symmetric secret.
        let public =
            rcgen::KeyPair::from_pem(&std::fs::read_to_string(folder.path().join("join.key")).unwrap()).unwrap();
        let confused = jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &good,
            &EncodingKey::from_secret(rcgen::PublicKeyData::der_bytes(&public)),
        );
        assert_eq!(
            ours.verify(&confused.unwrap(), now()),
            Err(TokenError::ForeignSignature)
        );
    }

    #[test]
    fn without_a_signature_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ours = key(folder.path());
        let token = ours.issue("shop", "orders", HOUR, now()).unwrap();
        let [_, body, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
        // {"alg":"none","typ":"JWT"} and {"alg":"None"}
        for header in ["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJOb25lIn0"] {
            for forged in [
                format!("{header}.{body}."),
                format!("{header}.{body}"),
                format!("{header}.{body}.{signature}"),
            ] {
                assert!(ours.verify(&forged, now()).is_err(), "{forged}");
            }
        }
        for forged in ["", ".", "..", "...", &"a".repeat(10_000), &token[..token.len() - 1]] {
            assert!(ours.verify(forged, now()).is_err(), "{forged}");
        }
    }

    #[test]
    fn any_changed_character_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let ours = key(folder.path());
        let token = ours.issue("shop", "orders", HOUR, now()).unwrap();
        // The last character of each part holds bits that base64 ignores or must refuse; all others count.
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let edited = String::from_utf8(bytes).unwrap();
            assert!(ours.verify(&edited, now()).is_err(), "position {index}");
        }
    }

    #[test]
    fn a_damaged_join_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        key(folder.path());
        std::fs::write(folder.path().join("join.key"), "").unwrap();
        let error = JoinKey::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("is damaged"), "{error}");
    }
}

mod streams {
    use super::*;

    #[derive(Default)]
    struct Workloads(Mutex<BTreeMap<String, WorkloadInfo>>);

    impl WorkloadDirectory for Workloads {
        fn workload(&self, namespace: &str, name: &str) -> Option<WorkloadInfo> {
            self.0.lock().unwrap().get(&format!("{namespace}/{name}")).cloned()
        }
    }

    struct Setup {
        key: Arc<JoinKey>,
        workloads: Arc<Workloads>,
        authenticator: TokenAuthenticator<Arc<Workloads>>,
        _folder: tempfile::TempDir,
    }

    fn setup() -> Setup {
        let folder = tempfile::tempdir().unwrap();
        let key = Arc::new(JoinKey::open(folder.path()).unwrap());
        let workloads = Arc::new(Workloads::default());
        let authenticator =
            TokenAuthenticator::new(Arc::clone(&key), Arc::clone(&workloads)).with_patience(Duration::from_millis(200));
        Setup {
            key,
            workloads,
            authenticator,
            _folder: folder,
        }
    }

    impl Setup {
        fn add(&self) {
            let info = WorkloadInfo {
                address: [10, 0, 0, 7].into(),
                spiffe_id: ORDERS.to_owned(),
            };
            self.workloads.0.lock().unwrap().insert("shop/orders".to_owned(), info);
        }

        fn header(&self, workload: &str) -> String {
            format!("Bearer {}", self.key.issue("shop", workload, HOUR, now()).unwrap())
        }
    }

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn all_three_must_agree() {
        let setup = setup();
        setup.add();
        let header = setup.header("orders");
        let check = async |address: &str, header: Option<&str>, node: &str| {
            setup.authenticator.check(peer(address), header, node).await
        };
        let identity = check("10.0.0.7:4000", Some(&header), "shop/orders").await.unwrap();
        assert_eq!(&*identity.spiffe_id, ORDERS);
        assert!(identity.expires_at.unwrap() > now() + HOUR / 2);
        assert!(
            check("[::ffff:10.0.0.7]:4000", Some(&header), "shop/orders")
                .await
                .is_ok()
        );

        assert_eq!(
            check("10.0.0.7:1", None, "shop/orders").await.unwrap_err(),
            Reason::NoToken
        );
        assert_eq!(
            check("10.0.0.7:1", Some("Bearer "), "shop/orders").await.unwrap_err(),
            Reason::NoToken
        );
        assert_eq!(
            check("10.0.0.7:1", Some("Basic YTpi"), "shop/orders")
                .await
                .unwrap_err(),
            Reason::NoToken
        );
        let other = check("10.0.0.7:1", Some(&setup.header("web")), "shop/orders")
            .await
            .unwrap_err();
        assert_eq!(
            other,
            Reason::OtherNode {
                node: "shop/orders".into()
            }
        );
        assert!(
            !other.to_string().contains("web"),
            "the reason must not name the token's subject"
        );
        let elsewhere = check("10.0.0.8:1", Some(&header), "shop/orders").await.unwrap_err();
        assert!(matches!(elsewhere, Reason::OtherAddress { .. }));
        assert!(
            !elsewhere.to_string().contains("10.0.0.7"),
            "the reason must not say where the workload is"
        );
        let unknown = check("10.0.0.7:1", Some(&setup.header("ghost")), "shop/ghost")
            .await
            .unwrap_err();
        assert_eq!(
            unknown,
            Reason::UnknownWorkload {
                node: "shop/ghost".into()
            }
        );
    }

    #[tokio::test]
    async fn a_workload_may_appear_a_little_later() {
        let setup = setup();
        let header = setup.header("orders");
        let check = setup
            .authenticator
            .check(peer("10.0.0.7:1"), Some(&header), "shop/orders");
        let appear = async {
            tokio::task::yield_now().await;
            setup.add();
        };
        let (identity, ()) = tokio::join!(check, appear);
        assert!(identity.is_ok());
    }
}

mod xds_port {
    use super::*;
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsConnector;
    use tokio_stream::StreamExt;
    use tonic::transport::server::Connected;

    fn client(bundle: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ders(bundle)[0].clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    #[tokio::test]
    async fn serves_tls_13_under_its_name_while_others_dawdle() {
        let folder = tempfile::tempdir().unwrap();
        let ca = Arc::new(ca(folder.path()));
        let config = Arc::new(server_config(Arc::clone(&ca), 24 * HOUR).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = IncomingLimits {
            handshake_timeout: Duration::from_secs(2),
            ..IncomingLimits::default()
        };
        let mut incoming = tls_incoming(listener, config, limits);

        // These never say hello; one speaks plaintext.
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        silent[0].write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();

        let name = ServerName::try_from(XDS_SERVER_NAME).unwrap();
        let good = client(&ca.bundle_pem(), &[&rustls::version::TLS13]);
        let socket = TcpStream::connect(address).await.unwrap();
        let local = socket.local_addr().unwrap();
        let (client_side, server_side) = tokio::join!(good.connect(name.clone(), socket), incoming.next());
        let (mut client_side, mut server_side) = (client_side.unwrap(), server_side.unwrap().unwrap());
        assert_eq!(client_side.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(server_side.connect_info().remote_addr(), Some(local));
        client_side.write_all(b"ping").await.unwrap();
        let mut buffer = [0; 4];
        server_side.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"ping");

        let old = client(&ca.bundle_pem(), &[&rustls::version::TLS12]);
        assert!(
            old.connect(name, TcpStream::connect(address).await.unwrap())
                .await
                .is_err()
        );
        let wrong = ServerName::try_from("other.tulle.internal").unwrap();
        assert!(
            good.connect(wrong, TcpStream::connect(address).await.unwrap())
                .await
                .is_err()
        );
        // The silent ones are cut off at the deadline.
        let mut rest = Vec::new();
        let cut = tokio::time::timeout(Duration::from_secs(10), silent[5].read_to_end(&mut rest)).await;
        assert!(matches!(cut, Ok(Ok(0) | Err(_))), "{cut:?}");
    }

    #[tokio::test]
    async fn one_address_cannot_take_all_slots() {
        let folder = tempfile::tempdir().unwrap();
        let config = Arc::new(server_config(Arc::new(ca(folder.path())), HOUR).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = IncomingLimits {
            handshakes_per_address: 2,
            ..IncomingLimits::default()
        };
        let _incoming = tls_incoming(listener, config, limits);
        let mut connections = Vec::new();
        for _ in 0..3 {
            connections.push(TcpStream::connect(address).await.unwrap());
        }
        let mut rest = Vec::new();
        let cut = tokio::time::timeout(Duration::from_secs(5), connections[2].read_to_end(&mut rest)).await;
        assert!(
            matches!(cut, Ok(Ok(0) | Err(_))),
            "the third must be closed at once: {cut:?}"
        );
    }

    #[test]
    fn the_certificate_is_renewed_at_half_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let time = Arc::new(Mutex::new(now()));
        let clock = {
            let time = Arc::clone(&time);
            Arc::new(move || *time.lock().unwrap())
        };
        let certificate = RotatingCertificate::new(Arc::new(ca(folder.path())), 24 * HOUR, clock).unwrap();
        let first = certificate.certificate();
        *time.lock().unwrap() += 11 * HOUR;
        assert_eq!(first.cert, certificate.certificate().cert);
        *time.lock().unwrap() += 2 * HOUR;
        assert_ne!(first.cert, certificate.certificate().cert);
    }
}
