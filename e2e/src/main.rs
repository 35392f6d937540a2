//! `tulle-e2e`: the tools that tests run inside network namespaces, and the benchmarks.

use anyhow::Result;
use clap::Parser;
use operator::shop::{AppArgs, CallArgs, app};
use tulle_e2e::bench::{self, BenchArgs, NullArgs};
use tulle_e2e::bypass::tool::{self as bypass, BypassArgs};
use tulle_e2e::cluster::{self, ClusterArgs};
use tulle_e2e::differential::{self, DifferentialArgs, plane, prober};
use tulle_e2e::probe::{ads, call, sidecar, tcp, tls};
use tulle_e2e::traffic::{self, TrafficArgs};

/// Tools of Tulle's end-to-end tests.
#[derive(Parser)]
enum Command {
    /// The shop's application.
    #[command(alias = "shop-app")]
    App(AppArgs),
    /// A load that runs until it is told to end.
    Traffic(TrafficArgs),
    /// A set of requests.
    Call(CallArgs),
    /// A plain TCP connection.
    Tcp(tcp::TcpArgs),
    /// A TLS handshake with any certificate.
    Tls(tls::TlsArgs),
    /// An xDS stream with any token.
    Ads(ads::AdsArgs),
    /// A simulated proxy that stays.
    Sidecar(sidecar::SidecarArgs),
    /// Compares the evaluator with real Envoys on generated policies and requests.
    Differential(DifferentialArgs),
    /// A caller that asks as long as it lives.
    #[command(hide = true)]
    Prober,
    /// A control plane whose compiler may be broken on purpose.
    #[command(hide = true)]
    Up(plane::PlaneArgs),
    /// Attempts to reach a denied resource.
    Bypass(BypassArgs),
    /// Benchmarks of the control plane.
    #[command(subcommand)]
    Bench(BenchArgs),
    /// A Kubernetes cluster on this machine, for tests.
    #[command(subcommand)]
    Cluster(ClusterArgs),
    /// The server that benchmarks are compared with.
    #[command(hide = true)]
    NullServer(NullArgs),
}

fn main() -> Result<()> {
    let command = Command::parse();
    // A mesh has a runtime of its own.
    if let Command::Differential(args) = &command {
        return differential::command(args);
    }
    tokio::runtime::Runtime::new()?.block_on(run(command))
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::App(args) => Ok(app::run(args).await?),
        Command::Traffic(args) => traffic::run(args).await,
        Command::Call(args) => call::run(args).await,
        Command::Tcp(args) => tcp::run(args).await,
        Command::Tls(args) => tls::run(args).await,
        Command::Ads(args) => ads::run(args).await,
        Command::Sidecar(args) => sidecar::run(args).await,
        Command::Differential(args) => differential::command(&args),
        Command::Prober => prober::run().await,
        Command::Up(args) => plane::run(args).await,
        Command::Bypass(args) => bypass::run(args).await,
        Command::Bench(args) => bench::run(args).await,
        // Nothing else runs in this process; it may block.
        Command::Cluster(args) => cluster::run(&args),
        Command::NullServer(args) => bench::serve_null(args).await,
    }
}
