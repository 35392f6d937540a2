//! The bootstrap, as text and as the real Envoy sees it; and how that Envoy is found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tulle_operator::bootstrap::{
    BootstrapError, BootstrapInput, OverloadSettings, Probes, StatsDetail, XdsHost, arguments, render,
};
use tulle_operator::envoy_binary::{
    EnvoyBinary, EnvoyError, PINNED, Search, Version, default_cache_dir, locate, probe, reachable_by,
};
use tulle_operator::inject::{Check, Pace, ProbeTable, Use};

fn input(folder: &Path, host: XdsHost) -> BootstrapInput {
    BootstrapInput {
        node_id: "shop/orders-1".into(),
        cluster: "shop/orders".into(),
        xds_host: host,
        xds_port: 15012,
        xds_server_name: "xds.tulle.internal".into(),
        token_file: folder.join("token/token"),
        ca_file: folder.join("ca/root.pem"),
        token_sds_file: folder.join("sds_token.yaml"),
        ca_sds_file: folder.join("sds_ca.yaml"),
        admin_socket: folder.join("admin.sock"),
        source: None,
        overload: OverloadSettings::default(),
        stats: StatsDetail::Modest,
        probes: None,
    }
}

fn validate(host: XdsHost, stats: StatsDetail) {
    validate_with(host, stats, None);
}

fn validate_with(host: XdsHost, stats: StatsDetail, probes: Option<Probes>) {
    let folder = tempfile::tempdir().unwrap();
    let ca = tulle_operator::identity::CertificateAuthority::open(folder.path(), std::time::SystemTime::now()).unwrap();
    let mut input = input(folder.path(), host);
    input.stats = stats;
    input.probes = probes;
    let files = render(&input).unwrap();
    for path in [&input.token_file, &input.ca_file] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    }
    std::fs::write(&input.token_file, "a.b.c").unwrap();
    std::fs::write(&input.ca_file, &*ca.bundle_pem()).unwrap();
    std::fs::write(&input.token_sds_file, &files.token_sds).unwrap();
    std::fs::write(&input.ca_sds_file, &files.ca_sds).unwrap();
    let bootstrap = folder.path().join("bootstrap.json");
    std::fs::write(&bootstrap, &files.bootstrap).unwrap();
    let output = Command::new(&support::envoy().path)
        .args(arguments(&bootstrap, 1))
        .args(["--mode", "validate"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{}", files.bootstrap);
    for complaint in ["deprecated", "Unknown", "unknown field"] {
        assert!(!errors.contains(complaint), "{errors}");
    }
}

#[test]
fn envoy_accepts_an_address() {
    validate(XdsHost::Address([100, 72, 0, 2].into()), StatsDetail::Modest);
}

#[test]
fn envoy_accepts_an_ipv6_address_and_full_statistics() {
    validate(XdsHost::Address("fd00::2".parse().unwrap()), StatsDetail::Full);
}

#[test]
fn envoy_accepts_a_name() {
    validate(XdsHost::Name("tulle.example".into()), StatsDetail::Modest);
}

#[test]
fn envoy_accepts_a_probe_listener() {
    let pace = Pace { period: 1, timeout: 3 };
    let http = |https| Check::Http {
        port: 8080,
        path: "/a?b=%20c".into(),
        https,
        own_host: https,
    };
    let service = String::from("shop.Web");
    let uses = BTreeMap::from([
        (Use::Readiness, http(true)),
        (Use::Liveness, Check::Tcp { port: 8081, pace }),
        (
            Use::Startup,
            Check::Grpc {
                port: 9000,
                service,
                pace,
            },
        ),
        (Use::PreStop, http(false)),
    ]);
    for address in ["10.0.0.7", "fd00::7"] {
        let probes = Probes {
            address: address.parse().unwrap(),
            ipv6: address.contains(':'),
            table: ProbeTable(BTreeMap::from([("app".to_owned(), uses.clone())])),
        };
        validate_with(XdsHost::Name("tulle.example".into()), StatsDetail::Modest, Some(probes));
    }
}

#[test]
fn what_cannot_be_added_later_is_there() {
    let input = input(Path::new("/run/tulle/x"), XdsHost::Address([100, 72, 0, 2].into()));
    let files = render(&input).unwrap();
    assert_eq!(files, render(&input).unwrap());
    let bootstrap: Value = serde_json::from_str(&files.bootstrap).unwrap();
    let at = |pointer: &str| {
        bootstrap
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer}"))
            .clone()
    };
    assert_eq!(at("/node/id"), "shop/orders-1");
    assert_eq!(at("/admin/address/pipe/path"), "/run/tulle/x/admin.sock");
    assert_eq!(at("/cluster_manager/local_cluster_name"), "local");
    assert_eq!(
        at("/static_resources/clusters/1/eds_cluster_config/service_name"),
        "local"
    );
    assert_eq!(at("/dynamic_resources/ads_config/set_node_on_first_message_only"), true);
    assert_eq!(at("/dynamic_resources/cds_config/initial_fetch_timeout"), "0s");
    assert_eq!(at("/dynamic_resources/lds_config/initial_fetch_timeout"), "0s");
    // Reports share everything with xDS but the connections: those are kept while there is something to report.
    let mut reports = at("/static_resources/clusters/2");
    let connections = |cluster: &Value| {
        let options = &cluster["typed_extension_protocol_options"];
        options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]["common_http_protocol_options"].clone()
    };
    let xds = at("/static_resources/clusters/0");
    assert_eq!(connections(&xds)["max_requests_per_connection"], 1);
    assert_eq!(connections(&reports)["max_requests_per_connection"], Value::Null);
    assert_eq!(reports["transport_socket"], xds["transport_socket"]);
    assert_eq!(reports["name"].take(), "reports");
    let sink = at("/stats_sinks/0/typed_config");
    assert_eq!(sink["grpc_service"]["envoy_grpc"]["cluster_name"], "reports");
    assert_eq!(sink["report_counters_as_deltas"], true);
    assert!(sink["custom_metric_conversions"].to_string().contains(".rbac.policy."));
    let names: Vec<Value> = (0..3)
        .map(|n| at(&format!("/layered_runtime/layers/{n}/name")))
        .collect();
    assert_eq!(names, ["static", "tulle", "admin"]);
    assert!(files.token_sds.contains("/run/tulle/x/token\"") && files.ca_sds.contains("xds.tulle.internal"));
}

#[test]
fn paths_that_envoy_could_not_use_are_refused() {
    let long = PathBuf::from(format!("/{}/admin.sock", "x".repeat(120)));
    let error = |edit: &dyn Fn(&mut BootstrapInput)| {
        let mut input = input(Path::new("/run/x"), XdsHost::Name("a".into()));
        edit(&mut input);
        render(&input).unwrap_err()
    };
    assert_eq!(
        error(&|i| i.admin_socket = long.clone()),
        BootstrapError::SocketPathTooLong(long.clone())
    );
    assert!(matches!(
        error(&|i| i.token_file = "token".into()),
        BootstrapError::PathNotAbsolute(_)
    ));
}

mod provisioning {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn fake(folder: &Path, output: &str) -> PathBuf {
        let path = folder.join("envoy");
        std::fs::write(&path, format!("#!/bin/sh\necho '{output}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    const GOOD: &str = "envoy  version: abc/1.40.3/Clean/RELEASE/BoringSSL";
    const OLD: &str = "envoy  version: abc/1.38.0/Clean/RELEASE/BoringSSL";

    fn search(explicit: Option<PathBuf>, path: &Path, cache: &Path) -> Search {
        Search {
            explicit,
            path: Some(path.into()),
            cache_dir: cache.into(),
        }
    }

    #[test]
    fn the_real_one_is_of_the_pinned_minor() {
        let envoy = support::envoy();
        assert!(envoy.version.is_pinned_minor(), "{}", envoy.version);
        assert!(envoy.path.is_file());
    }

    #[test]
    fn a_given_path_is_used_or_refused_but_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let given = |output| search(Some(fake(folder.path(), output)), Path::new("/nonexistent"), &cache);
        assert_eq!(
            locate(&given(GOOD), &|_| ()).unwrap().version,
            Version {
                major: 1,
                minor: 40,
                patch: 3
            }
        );
        assert!(matches!(
            locate(&given(OLD), &|_| ()),
            Err(EnvoyError::WrongVersion { .. })
        ));
        assert!(matches!(
            locate(&given("hello"), &|_| ()),
            Err(EnvoyError::NotRunnable { .. })
        ));
        let missing = search(Some("/nonexistent/envoy".into()), folder.path(), &cache);
        let error = locate(&missing, &|_| ()).unwrap_err().to_string();
        assert!(error.contains("TULLE_ENVOY"), "{error}");
        assert!(!cache.exists());
    }

    #[test]
    fn path_counts_only_with_the_right_minor_then_the_cache() {
        let (on_path, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let installed = cache.path().join("envoy").join(PINNED.to_string());
        std::fs::create_dir_all(&installed).unwrap();
        let cached = fake(&installed, "envoy  version: abc/1.40.0/Clean/RELEASE/BoringSSL");

        let found = fake(on_path.path(), GOOD);
        let search = search(None, on_path.path(), cache.path());
        assert_eq!(locate(&search, &|_| ()).unwrap().path, found);
        fake(on_path.path(), OLD);
        assert_eq!(locate(&search, &|_| ()).unwrap().path, cached);
    }

    #[test]
    fn a_binary_in_a_closed_folder_is_made_reachable() {
        let (closed, open) = (tempfile::tempdir().unwrap(), support::open_folder());
        std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = fake(closed.path(), GOOD);
        let binary = probe(&path).unwrap();
        let copy = reachable_by(&binary, 1337, open.path()).unwrap();
        assert!(copy.starts_with(open.path()));
        assert_eq!(probe(&copy).unwrap().version, binary.version);
        let reachable = EnvoyBinary {
            path: fake(open.path(), GOOD),
            version: PINNED,
        };
        let same = reachable_by(&reachable, 1337, closed.path()).unwrap();
        assert_eq!(same, std::fs::canonicalize(&reachable.path).unwrap());
    }

    #[test]
    fn caches_follow_the_user() {
        let dir = |root, xdg: Option<&str>, home: Option<&str>| {
            default_cache_dir(root, xdg.map(AsRef::as_ref), home.map(AsRef::as_ref))
        };
        assert_eq!(dir(false, None, Some("/home/a")), Path::new("/home/a/.cache/tulle"));
        assert_eq!(dir(false, Some("/c"), Some("/home/a")), Path::new("/c/tulle"));
        assert_eq!(dir(true, None, Some("/root")), Path::new("/var/cache/tulle"));
        assert_eq!(dir(true, Some("relative"), None), Path::new("/var/cache/tulle"));
    }
}

#[test]
fn a_proxy_dials_from_its_address_only_if_it_has_one_of_many() {
    let folder = tempfile::tempdir().unwrap();
    let host = XdsHost::Address([127, 16, 0, 1].into());
    let mut input = input(folder.path(), host);
    let source = |input: &BootstrapInput| {
        let bootstrap: Value = serde_json::from_str(&render(input).unwrap().bootstrap).unwrap();
        let at = "/cluster_manager/upstream_bind_config/source_address/address";
        bootstrap.pointer(at).cloned()
    };
    assert_eq!(source(&input), None);
    input.source = Some([127, 16, 4, 1].into());
    assert_eq!(source(&input), Some("127.16.4.1".into()));
}
