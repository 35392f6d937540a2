//! `tulle shop-app`: binds the ports, accepts, and ends gracefully at SIGTERM.
//!
//! HTTP and gRPC ports are the same thing (HTTP/1.1, and HTTP/2 with prior knowledge); they are told apart only so that a
//! command line reads like the Service that describes it. What is answered is in `http`, `grpc` and `tcp`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{http, tcp};

/// After SIGTERM, open requests have this long.
const GRACE: Duration = Duration::from_secs(5);

/// What the application is and where it listens.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct AppArgs {
    /// Its name in every answer.
    #[arg(long, default_value = "app")]
    pub name: String,
    /// Its version in every answer.
    #[arg(long = "version", default_value = "v1")]
    pub app_version: String,
    /// Address to listen on; without it every address of the machine, IPv6 and IPv4.
    #[arg(long, env = "TULLE_ADDRESS")]
    pub bind: Option<IpAddr>,
    /// Ports that answer HTTP/1.1 and HTTP/2.
    #[arg(long, value_delimiter = ',')]
    pub http: Vec<u16>,
    /// Ports that answer gRPC (the same server).
    #[arg(long, value_delimiter = ',')]
    pub grpc: Vec<u16>,
    /// Ports that send back what they receive.
    #[arg(long, value_delimiter = ',')]
    pub tcp: Vec<u16>,
    /// Ports that speak first (one line), then send back what they receive.
    #[arg(long, value_delimiter = ',')]
    pub tcp_banner: Vec<u16>,
}

/// What every answer says about the application.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) version: String,
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http,
    Tcp { banner: bool },
}

/// A bound application, not yet answering.
pub struct App {
    about: Arc<About>,
    listeners: Vec<(TcpListener, Speaks)>,
}

impl App {
    /// Binds every port.
    pub async fn bind(args: &AppArgs) -> io::Result<Self> {
        let http = args.http.iter().chain(&args.grpc).map(|port| (*port, Speaks::Http));
        let echo = args.tcp.iter().map(|port| (*port, Speaks::Tcp { banner: false }));
        let banner = args.tcp_banner.iter().map(|port| (*port, Speaks::Tcp { banner: true }));
        let mut listeners = Vec::new();
        for (port, speaks) in http.chain(echo).chain(banner) {
            let unlucky = |e: io::Error| io::Error::new(e.kind(), format!("cannot listen on port {port}: {e}"));
            listeners.push((listen(args.bind, port).await.map_err(unlucky)?, speaks));
        }
        let about = About {
            name: args.name.clone(),
            version: args.app_version.clone(),
        };
        Ok(Self {
            about: Arc::new(about),
            listeners,
        })
    }

    /// The bound addresses: HTTP, gRPC, TCP, then banner ports, each in the order of the arguments.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners
            .iter()
            .map(|(listener, _)| listener.local_addr())
            .collect()
    }

    /// Answers until `stop`, then lets open requests finish.
    pub async fn serve(self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        for (listener, speaks) in self.listeners {
            let (about, stop, connections) = (Arc::clone(&self.about), stop.clone(), tasks.clone());
            tasks.spawn(accept(listener, speaks, about, stop, connections));
        }
        stop.cancelled().await;
        tasks.close();
        // Who does not end in time is cut by the end of the process.
        let _ = tokio::time::timeout(GRACE, tasks.wait()).await;
    }
}

/// Runs the application until SIGTERM or Ctrl-C.
pub async fn run(args: AppArgs) -> io::Result<()> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let app = App::bind(&args).await?;
    let signalled = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        signalled.cancel();
    });
    app.serve(stop).await;
    Ok(())
}

async fn listen(bind: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    if let Some(address) = bind {
        return TcpListener::bind((address, port)).await;
    }
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        // A machine without IPv6.
        Err(e) if e.kind() != io::ErrorKind::AddrInUse => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
        bound => bound,
    }
}

async fn accept(
    listener: TcpListener,
    speaks: Speaks,
    about: Arc<About>,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    loop {
        let accepted = tokio::select! { () = stop.cancelled() => return, accepted = listener.accept() => accepted };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors, most likely: the listener itself is still good.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        connections.spawn(connection(stream, peer, speaks, Arc::clone(&about), stop.clone()));
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, speaks: Speaks, about: Arc<About>, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    // A caller that goes away is none of the application's business.
    match speaks {
        Speaks::Http => drop(http::serve(stream, peer, about, stop).await),
        Speaks::Tcp { banner } => drop(tcp::serve(stream, banner.then_some(&*about), stop).await),
    }
}
