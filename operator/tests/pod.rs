//! `tulle intercept` in a network namespace that stands for a pod, with a control plane and a real Envoy: probes are answered though
//! nobody may call, and nothing else is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use support::run::{Run, application, at, call, finish};
use support::{need_root, until, within};
use tulle_operator::allocate::WorkloadAddresses;
use tulle_operator::control_plane::{ControlPlane, ControlPlaneOptions};
use tulle_operator::envoy_binary::reachable_by;
use tulle_operator::identity::{JoinKey, files};
use tulle_operator::netns::Member;
use tulle_operator::process::{AdminClient, ENVOY_UID, Supervisor};

/// A service that nobody may call: Strict, and no permission.
fn objects(address: Ipv4Addr) -> String {
    format!(
        "
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {{name: web-0, namespace: shop, labels: {{app: web}}}}
spec: {{address: {address}, serviceAccount: web, ports: [{{name: http, port: 8080}}]}}
"
    )
}

fn probes() -> String {
    let pace = json!({"period": 1, "timeout": 2});
    json!({"app": {
        "readiness": {"http": {"port": 8080, "path": "/healthz?full=1", "https": false, "ownHost": false}},
        "liveness": {"tcp": {"port": 8081, "pace": pace}},
        "startup": {"grpc": {"port": 9000, "service": "shop.Web", "pace": pace}},
        "preStop": {"http": {"port": 8080, "path": "/redirect", "https": false, "ownHost": true}},
    }, "late": {
        "postStart": {"http": {"port": 8082, "path": "/hook", "https": false, "ownHost": false}},
    }})
    .to_string()
}

struct Pod {
    member: Member,
    folder: PathBuf,
    outside: String,
}

impl Pod {
    fn intercept(&self, xds: SocketAddr) {
        let output = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.member.namespace,
                env!("CARGO_BIN_EXE_tulle"),
                "intercept",
            ])
            .args([
                format!("--control-plane={xds}"),
                format!("--folder={}", self.folder.display()),
            ])
            .args([
                format!("--token={}/token", self.folder.display()),
                format!("--ca={}/root.pem", self.folder.display()),
            ])
            .args([
                "--group=web",
                "--exclude-inbound-ports=9100",
                "--exclude-outbound-cidrs=203.0.113.0/24",
            ])
            .env("TULLE_POD_NAME", "web-0")
            .env("TULLE_POD_NAMESPACE", "shop")
            .env("TULLE_POD_IPS", self.member.address.to_string())
            .env("TULLE_PROBES", probes())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn rules(&self) -> String {
        let save = |program| {
            let output = Command::new("ip")
                .args(["netns", "exec", &self.member.namespace, program, "-t", "nat"])
                .output();
            let text = String::from_utf8(output.unwrap().stdout).unwrap();
            text.lines()
                .filter(|line| line.starts_with("-A"))
                .collect::<Vec<_>>()
                .join(
                    "
",
                )
        };
        save("iptables-save") + &save("ip6tables-save")
    }

    /// The answer of the probe listener to the first line of a request, as the kubelet would get it.
    fn ask(&self, line: &str) -> String {
        let to = at(self.member.address, 15021);
        within(&self.outside, || exchange(to, line)).unwrap_or_else(|error| format!("no answer: {error}"))
    }

    fn status(&self, line: &str) -> String {
        self.ask(line).lines().next().unwrap_or_default().to_owned()
    }
}

fn exchange(to: SocketAddr, line: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "{line} HTTP/1.1\r\nhost: kubelet\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Says what it was asked; a redirect at `/redirect`.
async fn echo(request: Request) -> axum::response::Response {
    let host = request.headers().get("host").unwrap().to_str().unwrap();
    let body = Body::from(format!("{} {} for {host}", request.method(), request.uri()));
    let mut response = axum::response::Response::new(body);
    if request.uri().path() == "/redirect" {
        *response.status_mut() = axum::http::StatusCode::FOUND;
        response
            .headers_mut()
            .insert("location", HeaderValue::from_static("/elsewhere"));
    }
    response
}

/// The gRPC health protocol for one service, serving or not.
async fn health(State(serving): State<Arc<AtomicBool>>, request: Request) -> axum::response::Response {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    assert!(authority.ends_with(":9000"), "{authority}");
    let asked = request.into_body().collect().await.unwrap().to_bytes();
    assert!(asked.ends_with(b"shop.Web"), "{asked:?}");
    let status = if serving.load(Ordering::SeqCst) { 1 } else { 2 };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let message = bytes::Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]);
    let frames = [
        Ok::<_, std::convert::Infallible>(Frame::data(message)),
        Ok(Frame::trailers(trailers)),
    ];
    let mut response = axum::response::Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn serve(member: &Member, port: u16, router: Router) {
    let listener = within(&member.namespace, || {
        TcpListener::bind(at(Ipv4Addr::UNSPECIFIED, port)).unwrap()
    });
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
}

async fn control_plane(run: &Run, member: &Member) -> (ControlPlane, PathBuf) {
    let (folder, state) = (run.folder.path().join("mesh"), run.folder.path().join("state"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("mesh.yaml"), objects(member.address)).unwrap();
    let plane = ControlPlane::start(ControlPlaneOptions {
        folder,
        state_dir: state.clone(),
        listen: at(run.network.host_address(), 0),
        workload_addresses: WorkloadAddresses::default(),
        placement: config::Placement::default(),
        access_log_path: None,
        settings: config::Settings::default(),
    });
    (plane.await.unwrap(), state)
}

/// What the projected volumes hold, and a folder as an `emptyDir` is.
fn volumes(run: &Run, state: &Path) -> PathBuf {
    let folder = run.folder.path().join("pod");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let key = JoinKey::open(state).unwrap();
    let token = key
        .issue("shop", "web-0", Duration::from_hours(1), SystemTime::now())
        .unwrap();
    files::write_atomic(&folder.join("token"), token.as_bytes(), 0o644).unwrap();
    let root = std::fs::read(state.join("ca/root.pem")).unwrap();
    files::write_atomic(&folder.join("root.pem"), &root, 0o644).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubelet_is_answered_and_nobody_else() {
    if !need_root("probes of a pod") {
        return;
    }
    let mut run = Run::new();
    let [member, outside] = run.add(&["shop.web", "kubelet"]).try_into().unwrap();
    let (plane, state) = control_plane(&run, &member).await;
    let folder = volumes(&run, &state);
    let pod = Pod {
        member,
        folder,
        outside: outside.namespace,
    };
    pod.intercept(plane.xds_address());
    let rules = pod.rules();
    pod.intercept(plane.xds_address());
    assert_eq!(pod.rules(), rules, "intercepting twice must change nothing");
    for rule in [
        "--dport 15021 -j RETURN",
        "--dport 9100 -j RETURN",
        "-d 203.0.113.0/24 -j RETURN",
    ] {
        assert!(rules.contains(rule), "{rules}");
    }
    assert!(pod.status("GET /ready").contains("no answer"), "Envoy does not run yet");

    serve(&pod.member, 8080, Router::new().fallback(echo));
    let serving = Arc::new(AtomicBool::new(false));
    serve(
        &pod.member,
        9000,
        Router::new().fallback(health).with_state(Arc::clone(&serving)),
    );
    application(Some(&pod.member.namespace), at(Ipv4Addr::UNSPECIFIED, 9100), "metrics");
    let supervisor = Supervisor::new(Arc::clone(&run.registry)).unwrap();
    let mut spec = run.spec("envoy", Some(&pod.member), ENVOY_UID, "");
    spec.program = reachable_by(support::envoy(), ENVOY_UID, run.folder.path()).unwrap();
    spec.arguments = tulle_operator::bootstrap::arguments(&pod.folder.join("bootstrap.json"), 1);
    let log = spec.log.clone();
    let envoy = supervisor.start(spec);
    until("the proxy is ready", async || {
        pod.status("GET /ready") == "HTTP/1.1 200 OK"
    })
    .await;

    http(&pod);
    tcp_and_grpc(&pod, &serving).await;
    a_hook_waits_for_its_container(&pod).await;
    nothing_else(&pod);
    let complaints = std::fs::read_to_string(log).unwrap();
    assert!(
        !complaints.contains("[error]") && !complaints.contains("[critical]"),
        "{complaints}"
    );
    envoy.stop(Duration::from_secs(10)).await;
    plane.shutdown().await;
    finish(&run);
}

fn http(pod: &Pod) {
    let answer = pod.ask("GET /probe/app/readiness");
    let expected = format!("GET /healthz?full=1 for {}:8080", pod.member.address);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with(&expected),
        "{answer}"
    );
    // The kubelet would follow to a path that only the application has.
    let hook = pod.ask("GET /probe/app/preStop");
    assert!(
        hook.starts_with("HTTP/1.1 302") && hook.ends_with("GET /redirect for kubelet"),
        "{hook}"
    );
    assert!(!hook.to_lowercase().contains("location:"), "{hook}");
}

async fn tcp_and_grpc(pod: &Pod, serving: &AtomicBool) {
    let is = |line: &'static str, status: &'static str| async move {
        until(line, async || pod.status(line).starts_with(status)).await;
    };
    is("GET /probe/app/liveness", "HTTP/1.1 503").await;
    is("GET /probe/app/startup", "HTTP/1.1 503").await;
    application(Some(&pod.member.namespace), at(Ipv4Addr::UNSPECIFIED, 8081), "tcp");
    is("GET /probe/app/liveness", "HTTP/1.1 200").await;
    for (value, status) in [(true, "HTTP/1.1 200"), (false, "HTTP/1.1 503")] {
        serving.store(value, Ordering::SeqCst);
        is("GET /probe/app/startup", status).await;
    }
}

/// The kubelet asks before the container listens, and would take any answer for success.
async fn a_hook_waits_for_its_container(pod: &Pod) {
    let (outside, to) = (pod.outside.clone(), at(pod.member.address, 15021));
    let asked = move || within(&outside, || exchange(to, "GET /probe/late/postStart"));
    let asked = tokio::task::spawn_blocking(asked);
    let admin = AdminClient::new(pod.folder.join("admin.sock"));
    until("Envoy has tried in vain", async || {
        let clusters = admin.get("/clusters").await.unwrap();
        let clusters = String::from_utf8(clusters.to_vec()).unwrap();
        let tried = |line: &str| line.starts_with("probe/late/postStart::") && line.contains("::cx_connect_fail::");
        clusters.lines().any(|line| tried(line) && !line.ends_with("::0"))
    })
    .await;
    application(Some(&pod.member.namespace), at(Ipv4Addr::UNSPECIFIED, 8082), "late");
    let answer = asked.await.unwrap().unwrap();
    assert!(answer.contains("late called by"), "{answer}");
}

/// Not by another method, not with a query, not the admin interface; and callers are still denied.
fn nothing_else(pod: &Pod) {
    for line in [
        "POST /probe/app/readiness",
        "GET /probe/app/readiness?more=1",
        "GET /probe/app/readiness/",
        "GET /probe/app/postStart",
        "POST /probe/app/liveness",
        "GET /",
        "GET /stats",
        "GET /ready?x",
        "GET /ready/../stats",
        "POST /quitquitquit",
    ] {
        assert_eq!(pod.status(line), "HTTP/1.1 404 Not Found", "{line}");
    }
    let to = at(pod.member.address, 8080);
    let called = within(&pod.outside, || exchange(to, "GET /healthz"));
    assert!(called.as_ref().map_or(true, String::is_empty), "{called:?}");
    assert!(call(&pod.outside, at(pod.member.address, 9100)).starts_with("metrics called by"));
}
