//! Namespaces, interception, a real Envoy, and that nothing is left afterwards, also after `kill -9`.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::{get, need_root, open_folder, until, within};
use tulle_operator::envoy_binary::reachable_by;
use tulle_operator::intercept::{self, Interception, Place};
use tulle_operator::netns::{
    HostEntry, Member, MemberSpec, Network, NetworkError, NetworkSettings, cleanup, cleanup_previous,
};
use tulle_operator::process::{
    APPLICATION_UID, AdminClient, Backoff, ENVOY_UID, Pid, ProcessSpec, ProcessState, Registry, Restart, RunId,
    Supervisor, User,
};

/// A run in a fresh folder.
struct Run {
    folder: tempfile::TempDir,
    registry: Arc<Registry>,
    network: Network,
}

impl Run {
    fn new() -> Self {
        let folder = open_folder();
        let id = RunId::for_folder(folder.path());
        let registry = Arc::new(Registry::create(folder.path(), &id).unwrap());
        let network = Network::create(&NetworkSettings::default(), Arc::clone(&registry)).unwrap();
        Self { folder, registry, network }
    }

    fn add(&mut self, names: &[&str]) -> Vec<Member> {
        let spec = |name: &&str| MemberSpec { name: (*name).to_owned(), address: None };
        self.network.add(&names.iter().map(spec).collect::<Vec<_>>()).unwrap()
    }

    fn spec(&self, name: &str, member: Option<&Member>, uid: u32, script: &str) -> ProcessSpec {
        ProcessSpec {
            name: name.to_owned(),
            program: "bash".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: [("HOME".into(), "/".into())].into(),
            inherit_environment: false,
            folder: None,
            namespace: member.map(|m| m.namespace.clone()),
            user: Some(User { uid, gid: uid }),
            log: self.folder.path().join(format!("{name}.log")),
            die_with_parent: true,
            restart: Restart::Never,
        }
    }
}

/// Everything on this machine whose name begins like this run's.
fn left_of(id: &RunId) -> Vec<String> {
    let names = |folder: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let all = [names("/run/netns"), names("/etc/netns"), names("/sys/class/net")].concat();
    all.into_iter().filter(|n| n.starts_with(&format!("tulle-{id}-")) || *n == format!("tul{id}")).collect()
}

async fn ended(mut state: tokio::sync::watch::Receiver<ProcessState>) -> ProcessState {
    let wait = state.wait_for(|s| matches!(s, ProcessState::Ended { .. }));
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the process does not end").unwrap().clone()
}

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

/// Answers each connection on `address` with who it is and who called, within a namespace, until the test ends.
fn application(namespace: Option<&str>, address: SocketAddr, name: &'static str) {
    let listen = move || TcpListener::bind(address).unwrap();
    let listener = match namespace {
        Some(namespace) => within(namespace, listen),
        None => listen(),
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let caller = stream.peer_addr().unwrap().ip();
            let mut buffer = [0; 256];
            let _read = stream.read(&mut buffer);
            let body = format!("{name} called by {caller}");
            let _written = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
}

fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

/// Where a call from a namespace ends up: `<listener> <destination>`, or the application's words.
fn call(namespace: &str, to: SocketAddr) -> String {
    reached(&within(namespace, || get(to)).unwrap_or_else(|error| panic!("{to} from {namespace}: {error}")))
}

fn reached(answer: &str) -> String {
    let hop = answer.lines().find_map(|line| line.strip_prefix("hop: "));
    hop.map_or_else(|| answer.lines().last().unwrap_or_default().to_owned(), ToOwned::to_owned)
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
    input.excluded_outbound.insert("240.9.0.0/16".parse().unwrap());
    let place = Place::Namespace(&mesh.namespace);
    intercept::apply(&input, place).unwrap();
    let rules = saved(&mesh.namespace);
    intercept::apply(&input, place).unwrap();
    assert_eq!(saved(&mesh.namespace), rules, "applying twice must change nothing");
    assert!(rules.contains("-A OUTPUT -p tcp -j TULLE_OUT") && rules.contains("-s ::6/128"), "{rules}");

    for port in [8080, 8081, 8082, 9100] {
        application(Some(&mesh.namespace), at(Ipv4Addr::UNSPECIFIED, port), "orders");
    }
    application(Some(&outside.namespace), at(Ipv4Addr::UNSPECIFIED, 9200), "outside");
    application(Some(&outside.namespace), at(Ipv4Addr::UNSPECIFIED, 9300), "outside");
    application(None, at(run.network.host_address(), 15012), "control plane");

    // Inbound: every port but the excluded one, and on to the application under its own address.
    assert_eq!(call(&outside.namespace, at(mesh.address, 8080)), format!("inbound {}:8080", mesh.address));
    assert_eq!(call(&outside.namespace, at(mesh.address, 8081)), "orders called by 127.0.0.6");
    assert_eq!(call(&outside.namespace, at(mesh.address, 9100)), format!("orders called by {}", outside.address));
    // Outbound: other members, and virtual addresses that nobody has.
    assert_eq!(call(&mesh.namespace, at(outside.address, 9300)), format!("outbound {}:9300", outside.address));
    assert_eq!(call(&mesh.namespace, at([240, 1, 2, 3].into(), 80)), "outbound 240.1.2.3:80");
    assert_eq!(call(&mesh.namespace, at(outside.address, 9200)), format!("outside called by {}", mesh.address));
    assert!(within(&mesh.namespace, || get(at([240, 9, 0, 1].into(), 80))).is_err());
    // An application that talks to itself passes no proxy.
    assert_eq!(call(&mesh.namespace, at(mesh.address, 8080)), format!("orders called by {}", mesh.address));
    assert_eq!(call(&mesh.namespace, at(Ipv4Addr::LOCALHOST, 8080)), "orders called by 127.0.0.1");
    // Envoy itself: out directly, to its own workload through the inbound port.
    let as_envoy = async |address, port| as_user(&run, &supervisor, &mesh, ENVOY_UID, at(address, port)).await;
    assert_eq!(as_envoy(outside.address, 9300).await, format!("outside called by {}", mesh.address));
    assert_eq!(as_envoy(mesh.address, 8082).await, format!("inbound {}:8082", mesh.address));
    assert_eq!(as_envoy(mesh.address, 9100).await, format!("orders called by {}", mesh.address));
    let as_application = as_user(&run, &supervisor, &mesh, APPLICATION_UID, at(outside.address, 9300)).await;
    assert_eq!(as_application, format!("outbound {}:9300", outside.address));
    // The control plane in the host's namespace.
    let xds = at(run.network.host_address(), 15012);
    assert_eq!(call(&outside.namespace, xds), format!("control plane called by {}", outside.address));

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
        assert!(!ended, "{:?}: {}", handle.state(), std::fs::read_to_string(&log).unwrap_or_default());
        admin.ready().await.unwrap_or(false)
    })
    .await;
    (handle, admin)
}

fn saved(namespace: &str) -> String {
    let save = |program: &str| {
        let output = Command::new("ip").args(["netns", "exec", namespace, program, "-t", "nat"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        // Comments hold the time, chain lines counters.
        text.lines().filter(|l| l.starts_with("-A")).map(|l| format!("{l}\n")).collect::<String>()
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
    assert!(matches!(state, ProcessState::Ended { ok: true, .. }), "{state:?} {answer}");
    reached(&answer.replace('\r', ""))
}

/// Cleans up and checks that it did.
fn finish(run: &Run) {
    assert!(!left_of(run.registry.id()).is_empty());
    cleanup(&run.registry).unwrap();
    assert_eq!(left_of(run.registry.id()), Vec::<String>::new());
    assert!(Registry::previous(run.folder.path()).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_change_under_running_processes() {
    if !need_root("hosts files") {
        return;
    }
    let mut run = Run::new();
    let [member] = run.add(&["web"]).try_into().unwrap();
    let supervisor = Supervisor::new(Arc::clone(&run.registry)).unwrap();
    let entry = |name: &str| HostEntry { address: [240, 0, 0, 1].into(), names: vec![name.to_owned()] };
    let long: Vec<HostEntry> = (0..50).map(|n| entry(&format!("service-{n}.shop.svc"))).collect();
    run.network.set_hosts("web", &long).unwrap();
    let script = "until getent hosts payments.shop >/dev/null; do sleep 0.05; done; cat /etc/hosts; id -u; cat /proc/self/status";
    let handle = supervisor.start(run.spec("looker", Some(&member), APPLICATION_UID, script));
    until("it runs", async || matches!(handle.state(), ProcessState::Running { .. })).await;
    run.network.set_hosts("web", &[entry("payments.shop")]).unwrap();
    assert!(matches!(ended(handle.watch()).await, ProcessState::Ended { ok: true, .. }));
    let seen = std::fs::read_to_string(run.folder.path().join("looker.log")).unwrap();
    assert!(seen.contains("240.0.0.1\tpayments.shop") && !seen.contains("service-"), "{seen}");
    assert!(seen.contains("localhost") && seen.contains("\n65534\n"), "{seen}");
    assert!(seen.contains("CapEff:\t0000000000000000") && seen.contains("NoNewPrivs:\t1"), "{seen}");
    assert!(matches!(run.network.set_hosts("nobody", &[]), Err(NetworkError::Unknown(_))));

    assert!(matches!(run.network.add(&[MemberSpec { name: "web".into(), address: None }]), Err(NetworkError::Exists(_))));
    assert!(matches!(
        run.network.add(&[MemberSpec { name: "../x".into(), address: None }]),
        Err(NetworkError::BadName(_))
    ));
    run.network.remove("web").unwrap();
    let again = run.add(&["web"]);
    assert_eq!(again[0].address, member.address, "an address follows from the name");
    finish(&run);
}

#[test]
fn a_workload_can_have_the_address_that_it_names() {
    if !need_root("foreign addresses") {
        return;
    }
    let mut run = Run::new();
    let wish = Ipv4Addr::new(198, 18, 77, 7);
    let specs = [
        MemberSpec { name: "vm".into(), address: Some(wish) },
        MemberSpec { name: "web".into(), address: None },
    ];
    let [vm, web] = run.network.add(&specs).unwrap().try_into().unwrap();
    assert_eq!(vm.address, wish);
    application(Some(&vm.namespace), at(wish, 80), "vm");
    application(Some(&web.namespace), at(web.address, 80), "web");
    application(None, at(run.network.host_address(), 15012), "host");
    assert_eq!(call(&web.namespace, at(wish, 80)), format!("vm called by {}", web.address));
    assert_eq!(call(&vm.namespace, at(web.address, 80)), format!("web called by {wish}"));
    assert_eq!(call(&vm.namespace, at(run.network.host_address(), 15012)), format!("host called by {wish}"));
    assert!(get(at(wish, 80)).is_ok(), "from the host");
    let taken = run.network.add(&[MemberSpec { name: "other".into(), address: Some(wish) }]);
    assert!(matches!(taken, Err(NetworkError::AddressInUse { .. })));
    // Nobody there: an error at once, not after minutes.
    let begin = std::time::Instant::now();
    assert!(within(&web.namespace, || get(at([203, 0, 113, 9].into(), 80))).is_err());
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    finish(&run);
}

#[test]
fn runs_beside_each_other_do_not_collide() {
    if !need_root("two networks") {
        return;
    }
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let made: Vec<_> = (0..3).map(|_| scope.spawn(Run::new)).collect();
        made.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for (index, run) in runs.iter().enumerate() {
        for other in runs.iter().skip(index + 1) {
            assert!(!run.network.subnet().overlaps(other.network.subnet()));
        }
        let again = Registry::create(run.folder.path(), run.registry.id());
        assert!(again.unwrap_err().to_string().contains("under way"));
        assert!(Registry::previous(run.folder.path()).unwrap().is_empty(), "a living run is not a previous one");
    }
    runs.iter().for_each(finish);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashed_processes_come_back_with_patience_and_stop_with_their_children() {
    let folder = open_folder();
    let registry = Arc::new(Registry::create(folder.path(), &RunId::for_folder(folder.path())).unwrap());
    let backoff = Backoff { first: Duration::from_millis(10), ..Backoff::default() };
    let supervisor = Supervisor::new(Arc::clone(&registry)).unwrap().with_backoff(backoff);
    let spec = |name: &str, script: &str, restart| ProcessSpec {
        name: name.into(),
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: [].into(),
        inherit_environment: false,
        folder: None,
        namespace: None,
        user: None,
        log: folder.path().join(format!("{name}.log")),
        die_with_parent: true,
        restart,
    };
    let crashing = supervisor.start(spec("crashing", "echo again; exit 3", Restart::OnFailure));
    let waiting = |s: &ProcessState| matches!(s, ProcessState::Waiting { crashes: 3.., .. });
    let state = crashing.watch().wait_for(waiting).await.unwrap().clone();
    assert!(matches!(&state, ProcessState::Waiting { reason, .. } if reason == "exit code 3"), "{state:?}");
    crashing.stop(Duration::from_secs(1)).await;
    assert!(std::fs::read_to_string(folder.path().join("crashing.log")).unwrap().matches("again").count() >= 3);

    let missing = ended(supervisor.start(spec("missing", "exec /nonexistent", Restart::Never)).watch()).await;
    assert!(matches!(&missing, ProcessState::Ended { reason, ok: false } if reason.contains("127")), "{missing:?}");
    assert!(matches!(
        ended(supervisor.start(spec("fine", "true", Restart::OnFailure)).watch()).await,
        ProcessState::Ended { ok: true, .. }
    ));

    // It ignores SIGTERM, and so does its child.
    let stubborn = supervisor.start(spec("stubborn", "trap '' TERM; sleep 1000 & echo ready; wait; wait", Restart::Always));
    let log = folder.path().join("stubborn.log");
    until("it is ready", async || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"))).await;
    let family = registry.alive().unwrap();
    assert_eq!(family.len(), 2, "{family:?}");
    stubborn.stop(Duration::from_millis(200)).await;
    until("both are gone", async || !family.iter().any(|p| p.is_alive())).await;
    cleanup(&registry).unwrap();
}

/// What [`a_killed_run_is_removed_by_the_next`] kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "only as the victim of another test"]
async fn victim() {
    let Some(folder) = std::env::var_os("TULLE_TEST_VICTIM").map(PathBuf::from) else { return };
    let registry = Arc::new(Registry::create(&folder, &RunId::for_folder(&folder)).unwrap());
    let mut network = Network::create(&NetworkSettings::default(), Arc::clone(&registry)).unwrap();
    let member = network.add(&[MemberSpec { name: "web".into(), address: None }]).unwrap().remove(0);
    let supervisor = Supervisor::new(Arc::clone(&registry)).unwrap();
    let mut handles = Vec::new();
    for (name, die_with_parent) in [("dies", true), ("stays", false)] {
        handles.push(supervisor.start(ProcessSpec {
            name: name.into(),
            program: "sh".into(),
            // A grandchild in a session of its own, out of reach of the process group.
            arguments: vec!["-c".into(), "setsid sleep 1000 & sleep 1000".into()],
            environment: [].into(),
            inherit_environment: false,
            folder: None,
            namespace: Some(member.namespace.clone()),
            user: Some(User { uid: APPLICATION_UID, gid: APPLICATION_UID }),
            log: folder.join(format!("{name}.log")),
            die_with_parent,
            restart: Restart::Always,
        }));
    }
    let mut pids = Vec::new();
    for handle in &handles {
        let state = handle.watch().wait_for(|s| matches!(s, ProcessState::Running { .. })).await.unwrap().clone();
        let ProcessState::Running { pid } = state else { unreachable!() };
        pids.push(pid.to_string());
    }
    println!("READY {}", pids.join(" "));
    std::future::pending::<()>().await;
}

#[test]
fn a_killed_run_is_removed_by_the_next() {
    if !need_root("removing a killed run") {
        return;
    }
    let folder = open_folder();
    let id = RunId::for_folder(folder.path());
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--ignored", "--nocapture"])
        .env("TULLE_TEST_VICTIM", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ready = lines.filter_map(|l| Some(l.split_once("READY ")?.1.to_owned())).next().expect("the victim failed");
    let pids: Vec<Pid> = ready.split(' ').map(|pid| Pid::of(pid.parse().unwrap()).unwrap()).collect();

    assert!(Registry::previous(folder.path()).unwrap().is_empty(), "it is still under way");
    assert!(cleanup_previous(folder.path()).unwrap().is_empty());
    assert!(pids.iter().all(|p| p.is_alive()));
    victim.kill().unwrap();
    victim.wait().unwrap();

    assert!(tulle_operator::process::ended(&pids[..1], Duration::from_secs(5)), "it must die with its parent");
    assert!(pids[1].is_alive(), "it must outlive its parent");
    assert!(!left_of(&id).is_empty());
    let leftover = Registry::create(folder.path(), &id).unwrap_err().to_string();
    assert!(leftover.contains("tulle down"), "{leftover}");
    let previous = Registry::previous(folder.path()).unwrap();
    let alive = previous[0].alive().unwrap();
    assert!(alive.len() >= 3, "with descendants in sessions of their own: {alive:?}");
    drop(previous);

    assert_eq!(cleanup_previous(folder.path()).unwrap(), [id.to_string()]);
    assert_eq!(left_of(&id), Vec::<String>::new());
    assert!(!alive.iter().any(|p| p.is_alive()));
    assert!(cleanup_previous(folder.path()).unwrap().is_empty());
    // And the next run of the same name begins as if nothing had been.
    let registry = Arc::new(Registry::create(folder.path(), &id).unwrap());
    Network::create(&NetworkSettings::default(), Arc::clone(&registry)).unwrap();
    cleanup(&registry).unwrap();
    assert_eq!(left_of(&id), Vec::<String>::new());
}
