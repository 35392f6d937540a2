//! The webhook: reviews as the API server sends them, pure and over TLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tulle_operator::identity::CertificateAuthority;
use tulle_operator::identity::server_tls::RotatingCertificate;
use tulle_operator::inject::InjectSettings;
use tulle_operator::webhook::{MUTATE_PATH, Reviews, Webhook, answer, serve};

const NAME: &str = "tulle.tulle-system.svc";

fn settings() -> InjectSettings {
    InjectSettings::new("tulle:test", "tulle.tulle-system.svc:15012")
}

fn review(edit: impl FnOnce(&mut Value)) -> Value {
    let mut review: Value = serde_json::from_str(include_str!("webhook/create.json")).unwrap();
    edit(&mut review["request"]);
    review
}

fn answered(review: &Value) -> Value {
    let answer = answer(review.to_string().as_bytes(), &settings()).unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    answer["response"].clone()
}

/// The pod with the operations of an answer: bytes, which kube writes as a list of numbers; the API server reads both that and base64.
fn patched(pod: &Value, response: &Value) -> Value {
    assert_eq!(
        (&response["allowed"], &response["patchType"]),
        (&json!(true), &json!("JSONPatch"))
    );
    let patch: Vec<u8> = serde_json::from_value(response["patch"].clone()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut pod = pod.clone();
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

#[test]
fn a_pod_is_patched_once() {
    let first = review(|_| ());
    let pod = patched(&first["request"]["object"], &answered(&first));
    assert_eq!(pod["spec"]["initContainers"][1]["name"], "tulle-proxy");
    assert_eq!(pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]["port"], 15021);
    assert!(
        pod["spec"]["initContainers"][0]["args"]
            .to_string()
            .contains("--group=web\"")
    );
    // What the API server sends when another webhook changed something.
    let again = answered(&review(|request| request["object"] = pod));
    assert_eq!((&again["allowed"], &again["patch"]), (&json!(true), &Value::Null));
}

#[test]
fn a_refusal_says_why() {
    let response = answered(&review(|request| {
        request["object"]["spec"]["hostNetwork"] = true.into();
    }));
    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("spec.hostNetwork: ") && message.contains("mesh.tulle.dev/inject"),
        "{message}"
    );
}

#[test]
fn what_is_not_created_or_opted_out_is_left_alone() {
    for review in [
        review(|request| request["operation"] = "UPDATE".into()),
        review(|request| request["object"]["metadata"]["labels"] = json!({"mesh.tulle.dev/inject": "false"})),
    ] {
        let response = answered(&review);
        assert_eq!((&response["allowed"], &response["patch"]), (&json!(true), &Value::Null));
    }
}

#[test]
fn what_is_no_review_is_an_error() {
    let no_request = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}).to_string();
    let no_pod = review(|request| request["object"]["spec"]["containers"] = "x".into()).to_string();
    for body in ["", "{}", "[]", &no_request, &no_pod] {
        assert!(answer(body.as_bytes(), &settings()).is_err(), "{body}");
    }
}

struct Server {
    address: SocketAddr,
    ca: Arc<CertificateAuthority>,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

async fn start() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let ca = Arc::new(CertificateAuthority::open(folder.path(), SystemTime::now()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, (stop, stopped)) = (listener.local_addr().unwrap(), tokio::sync::oneshot::channel::<()>());
    let own = Arc::clone(&ca);
    let webhook = Webhook {
        names: vec![NAME.to_owned(), format!("{NAME}.cluster.local")],
        inject: settings(),
        validator: None,
        reviews: Reviews::default(),
    };
    let task = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        serve(listener, own, webhook, stopped).unwrap().await;
    });
    Server {
        address,
        ca,
        stop,
        task,
        _folder: folder,
    }
}

async fn exchange(server: &Server, name: &str, head: &str, body: &str) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    let bundle = server.ca.bundle_pem();
    roots
        .add(CertificateDer::from_pem_slice(bundle.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let config = builder.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(server.address).await?;
    let mut stream = connector
        .connect(ServerName::try_from(name.to_owned()).unwrap(), stream)
        .await?;
    let request = format!(
        "{head} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_answered_over_tls() {
    let server = start().await;
    let head = format!("POST {MUTATE_PATH}");
    let answer = exchange(&server, NAME, &head, &review(|_| ()).to_string())
        .await
        .unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"JSONPatch\""),
        "{answer}"
    );
    let bad = exchange(&server, &format!("{NAME}.cluster.local"), &head, "{}")
        .await
        .unwrap();
    assert!(
        bad.starts_with("HTTP/1.1 400") && bad.contains("no AdmissionReview"),
        "{bad}"
    );
    let get = exchange(&server, NAME, &format!("GET {MUTATE_PATH}"), "")
        .await
        .unwrap();
    assert!(get.starts_with("HTTP/1.1 405"), "{get}");
    assert!(
        exchange(&server, "xds.tulle.internal", &head, "{}").await.is_err(),
        "another name"
    );
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), server.task)
        .await
        .unwrap()
        .unwrap();
}

#[test]
fn the_certificate_renews_itself() {
    let folder = tempfile::tempdir().unwrap();
    let start = SystemTime::now();
    let ca = Arc::new(CertificateAuthority::open(folder.path(), start).unwrap());
    let now = Arc::new(Mutex::new(start));
    let clock = Arc::clone(&now);
    let clock = Arc::new(move || *clock.lock().unwrap());
    let own = RotatingCertificate::for_names(ca, &[NAME.to_owned()], Duration::from_hours(24), clock).unwrap();
    let first = own.certificate();
    *now.lock().unwrap() = start + Duration::from_hours(11);
    assert!(Arc::ptr_eq(&first, &own.certificate()));
    *now.lock().unwrap() = start + Duration::from_hours(13);
    let second = own.certificate();
    assert_ne!(first.cert, second.cert);
    let (_, leaf) = x509_parser::parse_x509_certificate(&second.cert[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(format!("{:?}", names.value).contains(NAME));
}
