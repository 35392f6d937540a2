//! A real Envoy with our bootstrap, and the xDS port's TLS: does it find, trust and convince the control plane?

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod support;

use std::convert::Infallible;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::transport::server::Connected;
use tulle_operator::bootstrap::{BootstrapInput, OverloadSettings, StatsDetail, XdsHost, arguments, render};
use tulle_operator::identity::{
    CertificateAuthority, IncomingLimits, JoinKey, XDS_SERVER_NAME, files, server_config, tls_incoming,
};

const ADS: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// What a stream began with.
struct Hello {
    path: String,
    token: String,
    first_bytes: Bytes,
    local: bool,
}

/// Ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Says "unavailable" to each stream, after it has noted how it began: Envoy then comes back.
async fn serve(listener: TcpListener, ca: Arc<CertificateAuthority>, hellos: mpsc::Sender<Hello>) {
    let config = Arc::new(server_config(ca, Duration::from_hours(1)).unwrap());
    let mut connections = tls_incoming(listener, config, IncomingLimits::default());
    while let Some(Ok(connection)) = connections.next().await {
        let hellos = hellos.clone();
        let local = connection
            .connect_info()
            .remote_addr()
            .is_some_and(|peer| peer.ip().is_loopback());
        let service = service_fn(move |request: Request<Incoming>| {
            let hellos = hellos.clone();
            async move {
                let (parts, mut body) = request.into_parts();
                let first_bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
                let header = parts
                    .headers
                    .get("authorization")
                    .map(|v| v.to_str().unwrap().to_owned());
                let token = header.unwrap_or_default().replacen("Bearer ", "", 1);
                let hello = Hello {
                    path: parts.uri.path().to_owned(),
                    token,
                    first_bytes,
                    local,
                };
                drop(hellos.send(hello).await);
                let answer = Response::builder()
                    .header("content-type", "application/grpc")
                    .header("grpc-status", "14");
                Ok::<_, Infallible>(answer.body(Empty::<Bytes>::new()).unwrap())
            }
        });
        tokio::spawn(async move {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(connection), service).await);
        });
    }
}

fn write_token(folder: &Path, key: &JoinKey) -> String {
    let token = key
        .issue("shop", "orders-1", Duration::from_hours(1), SystemTime::now())
        .unwrap();
    files::write_atomic(&folder.join("token/token"), token.as_bytes(), 0o600).unwrap();
    token
}

fn start_envoy(folder: &Path, ca: &CertificateAuthority, port: u16) -> Running {
    let input = BootstrapInput {
        node_id: "shop/orders-1".into(),
        cluster: "shop/orders".into(),
        xds_host: XdsHost::Address([127, 0, 0, 1].into()),
        xds_port: port,
        xds_server_name: XDS_SERVER_NAME.into(),
        token_file: folder.join("token/token"),
        ca_file: folder.join("trust/root.pem"),
        token_sds_file: folder.join("sds_token.yaml"),
        ca_sds_file: folder.join("sds_ca.yaml"),
        admin_socket: folder.join("admin.sock"),
        source: None,
        overload: OverloadSettings::default(),
        stats: StatsDetail::Modest,
        probes: None,
    };
    std::fs::create_dir(folder.join("trust")).unwrap();
    std::fs::write(&input.ca_file, &*ca.bundle_pem()).unwrap();
    let rendered = render(&input).unwrap();
    std::fs::write(&input.token_sds_file, rendered.token_sds).unwrap();
    std::fs::write(&input.ca_sds_file, rendered.ca_sds).unwrap();
    let bootstrap = folder.join("bootstrap.json");
    std::fs::write(&bootstrap, rendered.bootstrap).unwrap();
    let log = std::fs::File::create(folder.join("envoy.log")).unwrap();
    let mut command = Command::new(&support::envoy().path);
    command
        .args(arguments(&bootstrap, 1))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Running(command.spawn().unwrap())
}

async fn next(hellos: &mut mpsc::Receiver<Hello>, folder: &Path) -> Hello {
    match tokio::time::timeout(Duration::from_secs(20), hellos.recv()).await {
        Ok(Some(hello)) => hello,
        _ => panic!(
            "Envoy opens no stream: {}",
            std::fs::read_to_string(folder.join("envoy.log")).unwrap()
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_joins_with_its_token_and_takes_a_new_one_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Arc::new(CertificateAuthority::open(folder.path(), SystemTime::now()).unwrap());
    let key = JoinKey::open(folder.path()).unwrap();
    std::fs::create_dir(folder.path().join("token")).unwrap();
    let token = write_token(folder.path(), &key);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mut hellos) = mpsc::channel(1);
    tokio::spawn(serve(listener, Arc::clone(&ca), sender));
    let _envoy = start_envoy(folder.path(), &ca, port);

    let hello = next(&mut hellos, folder.path()).await;
    assert_eq!(hello.path, ADS);
    assert_eq!(hello.token, token);
    assert!(hello.local);
    assert_eq!(
        key.verify(&hello.token, SystemTime::now()).unwrap().sub,
        "shop/orders-1"
    );
    let says_node = hello.first_bytes.windows(13).any(|window| window == b"shop/orders-1");
    assert!(says_node, "the first message carries the node");

    let renewed = write_token(folder.path(), &key);
    assert_ne!(renewed, token);
    for _ in 0..20 {
        if next(&mut hellos, folder.path()).await.token == renewed {
            return;
        }
    }
    panic!("the new token is not used");
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_tells_nothing_to_a_control_plane_of_another_ca() {
    let (folder, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ca = CertificateAuthority::open(folder.path(), SystemTime::now()).unwrap();
    let other = Arc::new(CertificateAuthority::open(foreign.path(), SystemTime::now()).unwrap());
    let key = JoinKey::open(folder.path()).unwrap();
    std::fs::create_dir(folder.path().join("token")).unwrap();
    write_token(folder.path(), &key);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mut hellos) = mpsc::channel(1);
    tokio::spawn(serve(listener, other, sender));
    let _envoy = start_envoy(folder.path(), &ca, port);

    let admin = tulle_operator::process::AdminClient::new(folder.path().join("admin.sock"));
    support::until("a handshake fails", async || {
        let stats = admin
            .stats(Some("cluster\\.xds\\.ssl\\.fail_verify_error"))
            .await
            .unwrap_or_default();
        stats.values().sum::<u64>() > 0
    })
    .await;
    assert!(hellos.try_recv().is_err());
}
