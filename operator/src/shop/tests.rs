use std::net::{Ipv4Addr, SocketAddr};

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{App, AppArgs, CallArgs, Outcome, client};

#[derive(Parser)]
struct CallLine {
    #[command(flatten)]
    args: CallArgs,
}

/// An application with an HTTP, an echo and a banner port, on ports that the system chooses.
async fn app() -> (Vec<SocketAddr>, CancellationToken, tokio::task::JoinHandle<()>) {
    let args = AppArgs {
        name: "orders".into(),
        app_version: "v2".into(),
        bind: Some(Ipv4Addr::LOCALHOST.into()),
        http: vec![0],
        tcp: vec![0],
        tcp_banner: vec![0],
        ..AppArgs::default()
    };
    let app = App::bind(&args).await.unwrap();
    let (addresses, stop) = (app.addresses().unwrap(), CancellationToken::new());
    let serving = tokio::spawn(app.serve(stop.clone()));
    (addresses, stop, serving)
}

async fn call(address: SocketAddr, path: &str, arguments: &[&str]) -> Vec<Outcome> {
    let url = format!("http://{address}{path}");
    let line = CallLine::parse_from(["call", &url].into_iter().chain(arguments.iter().copied()));
    let (mut outcomes, mut all) = (client::start(line.args), Vec::new());
    while let Some(outcome) = outcomes.recv().await {
        all.push(outcome);
    }
    all
}

#[tokio::test]
async fn answers_what_it_saw_in_both_versions_of_http() {
    let (addresses, ..) = app().await;
    for version in [&[][..], &["--http2"][..]] {
        let arguments = [&["-X", "POST", "-H", "x-a: b", "-d", "12345"], version].concat();
        let outcome = call(addresses[0], "/charges//x;p?q=1", &arguments).await.remove(0);
        let body = outcome.body.unwrap();
        assert_eq!(
            (outcome.status, outcome.app.as_deref()),
            (Some(200), Some("orders")),
            "{:?}",
            outcome.error
        );
        assert_eq!((&body["app"], &body["version"]), (&"orders".into(), &"v2".into()));
        assert_eq!(
            (&body["method"], &body["path"]),
            (&"POST".into(), &"/charges//x;p".into())
        );
        assert_eq!((&body["query"], &body["headers"]["x-a"]), (&"q=1".into(), &"b".into()));
        assert_eq!(body["received"], 5);
        assert_eq!(body["peer"], format!("127.0.0.1:{}", outcome.port.unwrap()));
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_in_either_version() {
    let (addresses, ..) = app().await;
    for version in [&[][..], &["--http2"][..]] {
        let arguments = [&["-X", "HEAD"], version].concat();
        let outcome = call(addresses[0], "/", &arguments).await.remove(0);
        // A body would be a protocol error in HTTP/2.
        assert_eq!((outcome.status, outcome.error), (Some(200), None), "{version:?}");
    }
}

#[tokio::test]
async fn a_set_of_requests_shares_its_connections_unless_told_otherwise() {
    let (addresses, ..) = app().await;
    let ports = |outcomes: &[Outcome]| {
        assert!(outcomes.iter().all(|o| o.status == Some(200)), "{outcomes:?}");
        outcomes
            .iter()
            .map(|o| o.port)
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    };
    let kept = call(addresses[0], "/", &["-n", "20", "-c", "2"]).await;
    assert_eq!(kept.len(), 20);
    assert!((1..=2).contains(&ports(&kept)));
    assert_eq!(ports(&call(addresses[0], "/", &["-n", "5", "--fresh"]).await), 5);
}

#[tokio::test]
async fn status_and_delay_are_as_asked() {
    let (addresses, ..) = app().await;
    assert_eq!(call(addresses[0], "/status/503", &[]).await[0].status, Some(503));
    let late = call(addresses[0], "/delay/5000", &["--timeout", "50"]).await.remove(0);
    assert_eq!(late.error.as_deref(), Some("request: no answer within 50 ms"));
    assert!(call(addresses[0], "/delay/30", &[]).await[0].ms >= 30.0);
}

#[tokio::test]
async fn grpc_echoes_and_streams() {
    let (addresses, ..) = app().await;
    let echoed = call(addresses[0], "/shop.Orders/Place", &["--grpc", "-d", "hello"])
        .await
        .remove(0);
    assert_eq!(
        (echoed.status, echoed.grpc_status),
        (Some(200), Some(0)),
        "{:?}",
        echoed.error
    );
    assert!(echoed.body.unwrap().as_str().unwrap().ends_with("hello"));
    let endless = call(addresses[0], "/shop.Orders/Watch", &["--grpc", "--timeout", "300"])
        .await
        .remove(0);
    assert_eq!(endless.status, Some(200), "the stream had begun");
    assert!(endless.error.is_some(), "and did not end by itself");
}

#[tokio::test]
async fn tcp_ports_echo_and_only_banner_ports_speak_first() {
    let (addresses, ..) = app().await;
    let mut banner = TcpStream::connect(addresses[2]).await.unwrap();
    let mut text = [0; 16];
    banner.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"orders v2 ready\n");
    let mut echo = TcpStream::connect(addresses[1]).await.unwrap();
    echo.write_all(b"ping").await.unwrap();
    let mut text = [0; 4];
    echo.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"ping", "nothing came before the echo");
}

#[tokio::test]
async fn stopping_ends_streams_and_refuses_new_connections() {
    let (addresses, stop, serving) = app().await;
    let http = addresses[0];
    let streaming = tokio::spawn(async move { call(http, "/stream", &[]).await });
    let mut open = TcpStream::connect(addresses[1]).await.unwrap();
    open.write_all(b"x").await.unwrap();
    open.read_exact(&mut [0]).await.unwrap();
    stop.cancel();
    serving.await.unwrap();
    assert_eq!(open.read(&mut [0]).await.unwrap(), 0);
    assert!(TcpStream::connect(addresses[0]).await.is_err());
    let outcome = streaming.await.unwrap().remove(0);
    // It was cut short either before its head or at a chunk boundary, never left hanging.
    assert!(outcome.error.is_some() || outcome.status == Some(200), "{outcome:?}");
}
