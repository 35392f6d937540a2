//! The certificate authority, leaves, their versions, and the secrets of a stream.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tulle_operator::identity::version::renew_at;
use tulle_operator::identity::{CaError, CertificateAuthority, Held, IdentitySecrets, LeafPolicy, SpiffeId};
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
