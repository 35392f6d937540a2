//! `bench push`: one policy change and one endpoint change, from saving the file until the last proxy has acknowledged.
//!
//! The control plane is the real `tulle up` in a process of its own; the proxies are simulated in this one. The null
//! server then sends the messages of one policy round to the same number of clients, over the same TLS.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::script::{NodeScript, Script};
use crate::harness::{ControlPlane, free_address, own_program, resident, until};
use crate::sim::fleet::spec;
use crate::sim::world::{NAMESPACE, PERMISSION_FILE};
use crate::sim::{ClientSpec, Fleet, Server, Traffic, World};

/// Silence after which a change is over.
const QUIET: Duration = Duration::from_millis(400);
/// No change may take longer.
const LIMIT: Duration = Duration::from_mins(2);

/// Arguments of `bench push`.
#[derive(clap::Args, Clone, Debug)]
pub struct PushArgs {
    /// Simulated proxies.
    #[arg(long, default_value_t = 1000)]
    pub streams: usize,
    /// Services.
    #[arg(long, default_value_t = 100)]
    pub services: usize,
    /// Changes of each sort; the median is printed.
    #[arg(long, default_value_t = 7)]
    pub rounds: usize,
    /// Idle seconds in which no message may be sent.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
struct Figures {
    /// Until every stream was complete.
    connected: Duration,
    initial: Traffic,
    idle: Traffic,
    policy: Vec<Round>,
    endpoint: Vec<Round>,
    null: Vec<Round>,
    /// What the control plane counted in each policy round.
    counters: String,
    /// Resident bytes without and with all streams, and what the null server's streams cost.
    empty: u64,
    full: u64,
    null_memory: u64,
}

/// One change.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    milliseconds: f64,
    traffic: Traffic,
    /// Clients that received anything.
    reached: usize,
}

/// Runs the benchmark and prints its figures.
pub(super) async fn run(args: PushArgs) -> Result<()> {
    let world = World::new(args.services, args.streams);
    let figures = measure_all(&args, world).await?;
    writeln!(std::io::stdout().lock(), "{}", report(&args, world, &figures))?;
    Ok(())
}

async fn measure_all(args: &PushArgs, world: World) -> Result<Figures> {
    let mut figures = Figures::default();
    let mut plane = ControlPlane::prepare(|folder| world.write(folder))?;
    plane.start().await?;
    figures.empty = plane.memory()?;
    let tokens = plane.tokens()?;
    let specs: Vec<ClientSpec> = (0..args.streams)
        .map(|index| spec(&tokens, index))
        .collect::<Result<_>>()?;
    let start = Instant::now();
    let fleet = Fleet::start(&plane.server()?, specs.clone()).await?;
    figures.connected = start.elapsed();
    fleet.settle(QUIET, LIMIT).await?;
    figures.initial = Traffic::of(&fleet.take().concat());
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    // After the rest: what streams cost, not what starting a thousand at once costs for a moment.
    figures.full = plane.memory()?;
    figures.idle = Traffic::of(&fleet.take().concat());
    let counters = plane.counters().await?;
    for round in 1..=args.rounds {
        let change = async || plane.write(PERMISSION_FILE, &World::permission(round));
        figures.policy.push(measure(&fleet, change).await?);
    }
    figures.counters = counters_between(&counters, &plane.counters().await?, args.rounds);
    let script = record(&fleet, &plane, args.rounds + 1).await?;
    for round in 1..=args.rounds {
        let change = async || plane.write(&World::file(0), &world.text(0, round % 2));
        figures.endpoint.push(measure(&fleet, change).await?);
    }
    let file = plane.state().join("script");
    script.write(&file)?;
    drop(fleet);
    (figures.null, figures.null_memory) = null_rounds(args, &plane, &file, specs).await?;
    Ok(figures)
}

fn report(args: &PushArgs, world: World, figures: &Figures) -> String {
    let streams = u64::try_from(args.streams.max(1)).unwrap_or(u64::MAX);
    let per_stream = figures.full.saturating_sub(figures.empty) / streams / 1024;
    let (policy, endpoint, null) = (
        median(&figures.policy),
        median(&figures.endpoint),
        median(&figures.null),
    );
    let connected = figures.connected.as_millis();
    [
        format!(
            "{} streams, {} services, {} workloads; medians of {} rounds",
            args.streams, args.services, world.workloads, args.rounds
        ),
        format!(
            "start          every stream is complete after {connected} ms; {}",
            show(&figures.initial)
        ),
        format!(
            "idle           {} messages in {} s",
            figures.idle.responses, args.seconds
        ),
        format!("policy change  last ACK after {}", show_round(&policy)),
        format!("               each round counts: {}", figures.counters),
        format!("null server    last ACK after {}", show_round(&null)),
        format!(
            "ratio          {:.2} x the null server",
            policy.milliseconds / null.milliseconds.max(0.001)
        ),
        format!("endpoint       last ACK after {}", show_round(&endpoint)),
        format!(
            "memory         {per_stream} KB a stream (null server {} KB); {} MB with all streams, {} MB without",
            figures.null_memory / streams / 1024,
            figures.full >> 20,
            figures.empty >> 20
        ),
    ]
    .join("\n")
}

/// Makes a change and waits until all is quiet.
async fn measure(fleet: &Fleet, change: impl AsyncFnOnce() -> Result<()>) -> Result<Round> {
    fleet.take();
    let start = Instant::now();
    change().await?;
    fleet.settle(QUIET, LIMIT).await?;
    let end = fleet.last_answer().context("nobody answered")?;
    let received = fleet.take();
    let reached = received.iter().filter(|received| !received.is_empty()).count();
    let milliseconds = end.saturating_duration_since(start).as_secs_f64() * 1000.0;
    Ok(Round {
        milliseconds,
        traffic: Traffic::of(&received.concat()),
        reached,
    })
}

/// Makes one more policy change and keeps its messages.
async fn record(fleet: &Fleet, plane: &ControlPlane, round: usize) -> Result<Script> {
    fleet.0.iter().for_each(|client| client.log().keep_messages());
    fleet.take();
    plane.write(PERMISSION_FILE, &World::permission(round))?;
    fleet.settle(QUIET, LIMIT).await?;
    let nodes = fleet
        .take()
        .into_iter()
        .enumerate()
        .map(|(index, received)| NodeScript {
            node: format!("{NAMESPACE}/{}", World::workload(index)),
            messages: received.into_iter().filter_map(|response| response.raw).collect(),
        });
    Ok(Script { nodes: nodes.collect() })
}

/// The same messages to as many clients, from a server that only sends.
async fn null_rounds(
    args: &PushArgs,
    plane: &ControlPlane,
    script: &std::path::Path,
    specs: Vec<ClientSpec>,
) -> Result<(Vec<Round>, u64)> {
    let address = free_address()?;
    let root = std::fs::read_to_string(plane.state().join("ca/root.pem"))?;
    let mut server: Child = Command::new(own_program()?)
        .args(["null-server", "--listen", &address.to_string(), "--state"])
        .arg(plane.state())
        .arg("--script")
        .arg(script)
        .stdin(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let pid = server.id().context("the null server is gone")?;
    let mut go = server.stdin.take().context("no standard input")?;
    until("the null server starts", Duration::from_secs(20), async || {
        Ok(tokio::net::TcpStream::connect(address).await.ok())
    })
    .await?;
    let empty = resident(pid)?;
    let fleet = Fleet::connect(&Server::new(address, &root)?, specs).await?;
    let memory = resident(pid)?.saturating_sub(empty);
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        rounds.push(measure(&fleet, async || Ok(go.write_all(b"go\n").await?)).await?);
    }
    Ok((rounds, memory))
}

fn median(rounds: &[Round]) -> Round {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(|a, b| a.milliseconds.total_cmp(&b.milliseconds));
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn show(traffic: &Traffic) -> String {
    let Traffic {
        responses,
        resources,
        removed,
        bytes,
    } = traffic;
    format!("{responses} messages with {resources} resources and {removed} removals, {bytes} bytes")
}

fn show_round(round: &Round) -> String {
    format!(
        "{:.0} ms; {} clients received {}",
        round.milliseconds,
        round.reached,
        show(&round.traffic)
    )
}

/// What the control plane's counters gained, by round.
fn counters_between(before: &Counters, after: &Counters, rounds: usize) -> String {
    let gained = after.iter().map(|(name, value)| {
        let gain = value.saturating_sub(before.get(name).copied().unwrap_or_default());
        format!("{name} {}", gain / u64::try_from(rounds.max(1)).unwrap_or(u64::MAX))
    });
    gained.collect::<Vec<_>>().join(", ")
}

type Counters = std::collections::BTreeMap<String, u64>;
