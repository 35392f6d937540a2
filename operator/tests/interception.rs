//! Two namespaces, interception and a real Envoy: which connections pass it, and that nothing is left afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::run::{Run, application, at, call, ended, finish, reached};
use support::{get, need_root, until, within};
use tulle_operator::envoy_binary::reachable_by;
use tulle_operator::intercept::{self, Interception, Place};
use tulle_operator::netns::Member;
use tulle_operator::process::{APPLICATION_UID, AdminClient, ENVOY_UID, ProcessHandle, ProcessState, Supervisor};

/// An Envoy whose listeners say which of them took a connection, and for which destination.
fn static_envoy(own: Ipv4Addr, admin: &Path) -> Value {
    let any = |name: &str| json!(format!("type.googleapis.com/{name}"));
    let hcm = |hop: &str| {
        json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": {
            "@type": any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": hop,
            "http_filters": [{"name": "envoy.filters.http.router",
                "typed_config": {"@type": any("envoy.extensions.filters.http.router.v3.Router")}}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{
                "match": {"prefix": "/"},
                "response_headers_to_add": [{"header": {"key": "hop", "value": format!("{hop} %DOWNSTREAM_LOCAL_ADDRESS%")}}],
                "direct_response": {"status": 200},
            }]}]},
        }})
    };
    let to_application = json!({"name": "envoy.filters.network.tcp_proxy", "typed_config": {
        "@type": any("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"), "stat_prefix": "app", "cluster": "app",
    }});
    let original = json!([{"name": "envoy.filters.listener.original_dst",
        "typed_config": {"@type": any("envoy.extensions.filters.listener.original_dst.v3.OriginalDst")}}]);
    let listener = |name: &str, port: u16, chains: Value| {
        json!({"name": name, "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
            "listener_filters": original, "filter_chains": chains})
    };
    json!({
        "admin": {"address": {"pipe": {"path": admin, "mode": 0o600}}},
        "static_resources": {
            "listeners": [
                listener("outbound", 15001, json!([{"filters": [hcm("outbound")]}])),
                listener("inbound", 15006, json!([
                    {"filter_chain_match": {"destination_port": 8081}, "filters": [to_application]},
                    {"filters": [hcm("inbound")]},
                ])),
            ],
            "clusters": [{
                "name": "app", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "2s",
                "upstream_bind_config": {"source_address": {"address": "127.0.0.6", "port_value": 0}},
            }],
        },
        "node": {"id": own.to_string(), "cluster": "test"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_pass_envoy_in_both_directions_and_nothing_is_left() {
    if !need_root("interception") {
        return;
    }
    let mut run = Run::new();
    let [mesh, outside] = run.add(&["shop.orders", "outside"]).try_into().unwrap();
    let supervisor = Supervisor::new(Arc::clone(&run.registry)).unwrap();
    let (envoy, admin) = start_envoy(&run, &supervisor, &mesh).await;

    let mut input = Interception::new(BTreeSet::from([IpAddr::V4(mesh.address)]), ENVOY_UID);
    input.excluded_inbound_ports.insert(9100);
    input.excluded_outbound_ports.insert(9200);
    input.excluded_outbound.insert("203.0.113.0/24".parse().unwrap());
    let place = Place::Namespace(&mesh.namespace);
    intercept::apply(&input, place).unwrap();
    let rules = saved(&mesh.namespace);
    intercept::apply(&input, place).unwrap();
    assert_eq!(saved(&mesh.namespace), rules, "applying twice must change nothing");
    assert!(
        rules.contains("-A OUTPUT -p tcp -j TULLE_OUT") && rules.contains("-s ::6/128"),
        "{rules}"
    );

    for port in [8080, 8081, 8082, 9100] {
        application(Some(&mesh.namespace), at(Ipv4Addr::UNSPECIFIED, port), "orders");
    }
    application(Some(&outside.namespace), at(Ipv4Addr::UNSPECIFIED, 9200), "outside");
    application(Some(&outside.namespace), at(Ipv4Addr::UNSPECIFIED, 9300), "outside");
    application(None, at(run.network.host_address(), 15012), "control plane");

    // Inbound: every port but the excluded one, and on to the application under its own address.
    assert_eq!(
        call(&outside.namespace, at(mesh.address, 8080)),
        format!("inbound {}:8080", mesh.address)
    );
    assert_eq!(
        call(&outside.namespace, at(mesh.address, 8081)),
        "orders called by 127.0.0.6"
    );
    assert_eq!(
        call(&outside.namespace, at(mesh.address, 9100)),
        format!("orders called by {}", outside.address)
    );
    // Outbound: other members, and virtual addresses that nobody has.
    assert_eq!(
        call(&mesh.namespace, at(outside.address, 9300)),
        format!("outbound {}:9300", outside.address)
    );
    assert_eq!(
        call(&mesh.namespace, at([240, 1, 2, 3].into(), 80)),
        "outbound 240.1.2.3:80"
    );
    assert_eq!(
        call(&mesh.namespace, at(outside.address, 9200)),
        format!("outside called by {}", mesh.address)
    );
    assert!(within(&mesh.namespace, || get(at([203, 0, 113, 1].into(), 80))).is_err());
    // An application that talks to itself passes no proxy.
    assert_eq!(
        call(&mesh.namespace, at(mesh.address, 8080)),
        format!("orders called by {}", mesh.address)
    );
    assert_eq!(
        call(&mesh.namespace, at(Ipv4Addr::LOCALHOST, 8080)),
        "orders called by 127.0.0.1"
    );
    // Envoy itself: out directly, to its own workload through the inbound port.
    let as_envoy = async |address, port| as_user(&run, &supervisor, &mesh, ENVOY_UID, at(address, port)).await;
    assert_eq!(
        as_envoy(outside.address, 9300).await,
        format!("outside called by {}", mesh.address)
    );
    assert_eq!(
        as_envoy(mesh.address, 8082).await,
        format!("inbound {}:8082", mesh.address)
    );
    assert_eq!(
        as_envoy(mesh.address, 9100).await,
        format!("orders called by {}", mesh.address)
    );
    let as_application = as_user(&run, &supervisor, &mesh, APPLICATION_UID, at(outside.address, 9300)).await;
    assert_eq!(as_application, format!("outbound {}:9300", outside.address));
    // The control plane in the host's namespace.
    let xds = at(run.network.host_address(), 15012);
    assert_eq!(
        call(&outside.namespace, xds),
        format!("control plane called by {}", outside.address)
    );

    let stats = admin.stats(Some("^listener_manager\\.")).await.unwrap();
    assert_eq!(stats.get("listener_manager.total_listeners_active"), Some(&2));
    assert!(admin.config_dump().await.unwrap()["configs"].is_array());
    assert!(admin.certs().await.unwrap().is_object());

    intercept::remove(place).unwrap();
    intercept::remove(place).unwrap();
    assert!(!saved(&mesh.namespace).contains("TULLE"), "{}", saved(&mesh.namespace));

    envoy.stop(Duration::from_secs(10)).await;
    finish(&run);
}

async fn start_envoy(
    run: &Run,
    supervisor: &Supervisor,
    member: &Member,
) -> (tulle_operator::process::ProcessHandle, AdminClient) {
    // The socket must be creatable by Envoy's user.
    let own = run.folder.path().join("envoy");
    std::fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(ENVOY_UID), Some(ENVOY_UID)).unwrap();
    let (socket, bootstrap) = (own.join("admin.sock"), own.join("bootstrap.json"));
    std::fs::write(&bootstrap, static_envoy(member.address, &socket).to_string()).unwrap();
    let mut spec = run.spec("envoy", Some(member), ENVOY_UID, "");
    spec.program = reachable_by(support::envoy(), ENVOY_UID, run.folder.path()).unwrap();
    spec.arguments = tulle_operator::bootstrap::arguments(&bootstrap, 1);
    let (log, handle) = (spec.log.clone(), supervisor.start(spec));
    let admin = AdminClient::new(socket);
    until("Envoy is LIVE", async || {
        let ended = matches!(handle.state(), ProcessState::Ended { .. });
        assert!(
            !ended,
            "{:?}: {}",
            handle.state(),
            std::fs::read_to_string(&log).unwrap_or_default()
        );
        admin.ready().await.unwrap_or(false)
    })
    .await;
    (handle, admin)
}

fn saved(namespace: &str) -> String {
    let save = |program: &str| {
        let output = Command::new("ip")
            .args(["netns", "exec", namespace, program, "-t", "nat"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        // Comments hold the time, chain lines counters.
        text.lines()
            .filter(|l| l.starts_with("-A"))
            .map(|l| format!("{l}\n"))
            .collect::<String>()
    };
    save("iptables-save") + &save("ip6tables-save")
}

/// One call as a user, with nothing but a shell.
async fn as_user(run: &Run, supervisor: &Supervisor, member: &Member, uid: u32, to: SocketAddr) -> String {
    let (ip, port) = (to.ip(), to.port());
    let script = format!(
        "exec 3<>/dev/tcp/{ip}/{port} && printf 'GET / HTTP/1.1\\r\\nhost: t\\r\\nconnection: close\\r\\n\\r\\n' >&3 && cat <&3"
    );
    let name = format!("call-{uid}-{ip}-{port}");
    let spec = run.spec(&name, Some(member), uid, &script);
    let log = spec.log.clone();
    let state = ended(supervisor.start(spec).watch()).await;
    let answer = std::fs::read_to_string(log).unwrap();
    assert!(
        matches!(state, ProcessState::Ended { ok: true, .. }),
        "{state:?} {answer}"
    );
    reached(&answer.replace('\r', ""))
}

