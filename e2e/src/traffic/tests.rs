use std::net::{Ipv4Addr, SocketAddr};

use operator::shop::{App, AppArgs};

use super::*;

async fn app() -> (Vec<SocketAddr>, CancellationToken) {
    let args = AppArgs {
        app_version: "v1".into(),
        bind: Some(Ipv4Addr::LOCALHOST.into()),
        http: vec![0],
        tcp: vec![0],
        tcp_banner: vec![0],
        ..AppArgs::default()
    };
    let app = App::bind(&args).await.unwrap();
    let (addresses, stop) = (app.addresses().unwrap(), CancellationToken::new());
    tokio::spawn(app.serve(stop.clone()));
    (addresses, stop)
}

fn everything(addresses: &[SocketAddr]) -> Spec {
    let http = |name: &str, http2| HttpFlow {
        name: name.into(),
        url: format!("http://{}/", addresses[0]),
        rate: 200.0,
        connections: 3,
        http2,
        ..HttpFlow::default()
    };
    let tcp = |name: &str, at: SocketAddr, banner| TcpFlow {
        name: name.into(),
        address: at.to_string(),
        banner,
        interval_ms: 5,
    };
    Spec {
        http: vec![http("h1", false), http("h2", true)],
        tcp: vec![tcp("tcp", addresses[1], false), tcp("banner", addresses[2], true)],
        grpc: vec![GrpcFlow {
            url: format!("http://{}/shop.Orders/Watch", addresses[0]),
            ..GrpcFlow::default()
        }],
        websocket: vec![WebSocketFlow {
            address: addresses[0].to_string(),
            interval_ms: 5,
            ..WebSocketFlow::default()
        }],
        seconds: 0.0,
        progress_ms: 50,
    }
}

/// Reads events until one is wanted.
async fn until(events: &mut mpsc::UnboundedReceiver<Event>, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = events.recv().await.expect("the load ended too early");
        if wanted(&event) {
            return event;
        }
    }
}

#[tokio::test]
async fn an_undisturbed_load_has_no_failures_and_keeps_its_connections() {
    let (addresses, _app) = app().await;
    let (stop, (sender, mut events)) = (CancellationToken::new(), mpsc::unbounded_channel());
    tokio::spawn(drive(everything(&addresses), stop.clone(), sender));
    until(&mut events, |event| *event == Event::Ready).await;
    let enough =
        |event: &Event| matches!(event, Event::Progress(report) if report.flows.values().all(|flow| flow.answered > 5));
    until(&mut events, enough).await;
    stop.cancel();
    let Event::Report(report) = until(&mut events, |event| matches!(event, Event::Report(_))).await else {
        panic!()
    };
    assert_eq!(report.failed(), 0, "{report:?}");
    assert!(report.connections_kept(), "{report:?}");
    for name in ["h1", "h2"] {
        let flow = report.flow(name);
        assert_eq!(flow.ports.len(), 3);
        assert_eq!((flow.status(200), flow.version("v1")), (flow.answered, flow.answered));
        assert!(flow.latency.max > 0.0);
    }
}

#[tokio::test]
async fn an_end_of_the_server_is_seen_by_every_flow() {
    let (addresses, app) = app().await;
    let (stop, (sender, mut events)) = (CancellationToken::new(), mpsc::unbounded_channel());
    tokio::spawn(drive(everything(&addresses), stop.clone(), sender));
    until(&mut events, |event| *event == Event::Ready).await;
    app.cancel();
    let all =
        |event: &Event| matches!(event, Event::Progress(report) if report.flows.values().all(|flow| flow.failed > 0));
    let Event::Progress(report) = until(&mut events, all).await else {
        panic!()
    };
    let refused = |failure: &Failure| failure.cause.starts_with("connect: ");
    assert!(
        report.flow("h1").failures.iter().any(refused),
        "{:?}",
        report.flow("h1")
    );
    assert_eq!(report.flow("tcp").failures[0].cause, "closed by the other side");
}
