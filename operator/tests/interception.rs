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
use tulle_operator::intercept::{self, Cidr, Family, Interception, Place, render};
use tulle_operator::netns::Member;
use tulle_operator::process::{APPLICATION_UID, AdminClient, ENVOY_UID, ProcessState, Supervisor};

/// An Envoy whose listeners say which of them took a connection, and for which destination.
fn static_envoy(own: Ipv4Addr, admin: &Path) -> Value {
    let any = |name: &str| json!(format!("type.googleapis.com/{name}"));
    let hcm = |hop: &str| {
        json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": {
            "@type": any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": hop, "delayed_close_timeout": "0s",
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

/// The mesh member is intercepted, `outside` is not.
struct Pair {
    run: Run,
    supervisor: Supervisor,
    mesh: Member,
    outside: Member,
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
    for port in [8080, 8081, 8082, 9100] {
        application(Some(&mesh.namespace), at(Ipv4Addr::UNSPECIFIED, port), "orders");
    }
    for port in [9200, 9300] {
        application(Some(&outside.namespace), at(Ipv4Addr::UNSPECIFIED, port), "outside");
    }
    application(None, at(run.network.host_address(), 15012), "control plane");
    let pair = Pair {
        run,
        supervisor,
        mesh,
        outside,
    };

    apply_twice(&pair.mesh);
    calls_from_outside(&pair);
    calls_of_the_application(&pair);
    calls_of_envoy(&pair).await;
    answers_of_the_admin_socket(&admin).await;
    remove_twice(&pair.mesh);
    envoy.stop(Duration::from_secs(10)).await;
    finish(&pair.run);
}

fn interception(member: &Member) -> Interception {
    let mut input = Interception::new(BTreeSet::from([IpAddr::V4(member.address)]), ENVOY_UID);
    input.excluded_inbound_ports.insert(9100);
    input.excluded_outbound_ports.insert(9200);
    input.excluded_outbound.insert("203.0.113.0/24".parse().unwrap());
    input
}

fn apply_twice(mesh: &Member) {
    let place = Place::Namespace(&mesh.namespace);
    intercept::apply(&interception(mesh), place).unwrap();
    let rules = saved(&mesh.namespace);
    intercept::apply(&interception(mesh), place).unwrap();
    assert_eq!(saved(&mesh.namespace), rules, "applying twice must change nothing");
    let jump = "-A OUTPUT -p tcp -j TULLE_OUT";
    assert!(rules.contains(jump) && rules.contains("-s ::6/128"), "{rules}");
}

fn remove_twice(mesh: &Member) {
    let place = Place::Namespace(&mesh.namespace);
    intercept::remove(place).unwrap();
    intercept::remove(place).unwrap();
    let rules = saved(&mesh.namespace);
    assert!(!rules.contains("TULLE"), "{rules}");
}

/// Every port but the excluded one, and on to the application under its own address.
fn calls_from_outside(Pair { run, mesh, outside, .. }: &Pair) {
    let (own, caller) = (mesh.address, outside.address);
    for (to, reached) in [
        (at(own, 8080), format!("inbound {own}:8080")),
        (at(own, 8081), "orders called by 127.0.0.6".to_owned()),
        (at(own, 9100), format!("orders called by {caller}")),
        (
            at(run.network.host_address(), 15012),
            format!("control plane called by {caller}"),
        ),
    ] {
        assert_eq!(call(&outside.namespace, to), reached);
    }
}

/// Other members and virtual addresses that nobody has pass Envoy; exclusions and the workload itself do not.
fn calls_of_the_application(Pair { mesh, outside, .. }: &Pair) {
    let (own, other) = (mesh.address, outside.address);
    for (to, reached) in [
        (at(other, 9300), format!("outbound {other}:9300")),
        (at([240, 1, 2, 3].into(), 80), "outbound 240.1.2.3:80".to_owned()),
        (at(other, 9200), format!("outside called by {own}")),
        (at(own, 8080), format!("orders called by {own}")),
        (at(Ipv4Addr::LOCALHOST, 8080), "orders called by 127.0.0.1".to_owned()),
    ] {
        assert_eq!(call(&mesh.namespace, to), reached);
    }
    assert!(within(&mesh.namespace, || get(at([203, 0, 113, 1].into(), 80))).is_err());
}

/// Out directly; to its own workload through the inbound port. Another user in its place is an application.
async fn calls_of_envoy(pair: &Pair) {
    let (own, other) = (pair.mesh.address, pair.outside.address);
    for (uid, to, reached) in [
        (ENVOY_UID, at(other, 9300), format!("outside called by {own}")),
        (ENVOY_UID, at(own, 8082), format!("inbound {own}:8082")),
        (ENVOY_UID, at(own, 9100), format!("orders called by {own}")),
        (APPLICATION_UID, at(other, 9300), format!("outbound {other}:9300")),
    ] {
        assert_eq!(as_user(&pair.run, &pair.supervisor, &pair.mesh, uid, to).await, reached);
    }
}

async fn answers_of_the_admin_socket(admin: &AdminClient) {
    let stats = admin.stats(Some("^listener_manager\\.")).await.unwrap();
    assert_eq!(stats.get("listener_manager.total_listeners_active"), Some(&2));
    assert!(admin.config_dump().await.unwrap()["configs"].is_array());
    assert!(admin.certs().await.unwrap().is_object());
    assert!(admin.get("/nonsense").await.unwrap_err().to_string().contains("404"));
}

#[test]
fn the_rules_in_their_order() {
    let mut input = Interception::new(["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()].into(), 1337);
    input.excluded_inbound_ports.insert(9100);
    input.excluded_outbound_ports.insert(9200);
    input.excluded_outbound = ["10.96.0.0/12".parse().unwrap(), "fd01::/16".parse().unwrap()].into();
    input.xds = Some("10.0.0.1:15012".parse().unwrap());
    let v4 = "\
*nat
:TULLE_IN - [0:0]
:TULLE_OUT - [0:0]
-I PREROUTING 1 -p tcp -j TULLE_IN
-I OUTPUT 1 -p tcp -j TULLE_OUT
-A TULLE_IN -m addrtype ! --dst-type LOCAL -j RETURN
-A TULLE_IN -p tcp --dport 9100 -j RETURN
-A TULLE_IN -p tcp -j REDIRECT --to-ports 15006
-A TULLE_OUT -s 127.0.0.6/32 -j RETURN
-A TULLE_OUT -o lo -d 10.0.0.7 -p tcp --dport 9100 -m owner --uid-owner 1337 -j RETURN
-A TULLE_OUT -o lo -d 10.0.0.7 -m owner --uid-owner 1337 -p tcp -j REDIRECT --to-ports 15006
-A TULLE_OUT -o lo -j RETURN
-A TULLE_OUT -m owner --uid-owner 1337 -j RETURN
-A TULLE_OUT -d 10.0.0.1 -p tcp --dport 15012 -j RETURN
-A TULLE_OUT -p tcp --dport 9200 -j RETURN
-A TULLE_OUT -d 10.96.0.0/12 -j RETURN
-A TULLE_OUT -p tcp -j REDIRECT --to-ports 15001
COMMIT
";
    assert_eq!(render(&input, Family::V4, ""), v4);
    let v6 = render(&input, Family::V6, "-A OUTPUT -p tcp -j TULLE_OUT\n");
    assert!(
        !v6.contains("10.") && !v6.contains("-I OUTPUT") && v6.contains("-I PREROUTING"),
        "{v6}"
    );
    assert!(
        v6.contains("-s ::6/128") && v6.contains("-d fd00::7") && v6.contains("-d fd01::/16"),
        "{v6}"
    );
}

#[test]
fn blocks_are_read_strictly() {
    for good in ["10.0.0.0/8", "10.0.0.1", "::/0", "fd00::/8"] {
        assert!(good.parse::<Cidr>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "10.0.0.0/33",
        "10.0.0/8",
        "fd00::/129",
        "10.0.0.0/-1",
        "10.0.0.0/8 -j ACCEPT",
        "a/8",
    ] {
        assert!(bad.parse::<Cidr>().is_err(), "{bad}");
    }
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
            .collect::<Vec<_>>()
            .join("\n")
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
