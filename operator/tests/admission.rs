//! Join tokens, who may open an xDS stream, and the TLS of the xDS port.

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
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tulle_operator::identity::authenticator::Reason;
use tulle_operator::identity::server_tls::RotatingCertificate;
use tulle_operator::identity::{
    CertificateAuthority, IncomingLimits, JoinClaims, JoinKey, TokenAuthenticator, TokenError, WorkloadDirectory,
    WorkloadInfo, XDS_SERVER_NAME, server_config, tls_incoming,
};

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
