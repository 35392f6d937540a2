//! A run: worlds and questions of a seed, until enough decisions are compared.

use std::io::Write;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::connections::{Connections, Lines};
use super::generate::{Counts, Generator, tcp};
use super::ledger::Ledger;
use super::minimise::minimise;
use super::report::Report;
use super::session::{Ask, Difference, Session, Tally};
use super::walk::{Next, Walk};

/// Questions in one world.
const QUESTIONS: usize = 400;
/// So many differences are made small.
const SMALL: usize = 6;
/// After so many worlds with differences a run ends.
const ENOUGH: usize = 12;

/// Arguments of `tulle-e2e differential`.
#[derive(clap::Args, Clone, Debug)]
pub struct DifferentialArgs {
    /// Everything that is generated follows from it.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Compare so many decisions.
    #[arg(long, default_value_t = 100_000)]
    pub decisions: u64,
    /// And so many combinations of permissions on TCP ports.
    #[arg(long, default_value_t = 1000)]
    pub combinations: usize,
    /// The name of the mesh: runs of different names do not disturb each other.
    #[arg(long, default_value = "differential")]
    pub mesh: String,
}

/// Runs the command: progress to standard error, the report to standard output.
pub fn command(args: &DifferentialArgs) -> Result<()> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    say(&format!("seed {seed}"));
    let mut session = Session::start(&args.mesh, false)?;
    let mut report = requests(&mut session, seed, args.decisions)?;
    if args.combinations > 0 {
        let tcp = connections(&mut session, seed, args.combinations)?;
        writeln!(std::io::stdout(), "TCP combinations: {tcp}")?;
        report.differences.extend(tcp.differences);
    }
    writeln!(std::io::stdout(), "{report}")?;
    ensure!(
        report.differences.is_empty(),
        "{} differences",
        report.differences.len()
    );
    Ok(())
}

/// Compares decisions about requests and connections of all kinds.
pub fn requests(session: &mut Session, seed: u64, decisions: u64) -> Result<Report> {
    let mut generator = Generator::new(seed);
    let mut left = usize::try_from(decisions)?;
    run(session, seed, |features| {
        let now = QUESTIONS.min(left);
        left -= now;
        (now > 0).then(|| {
            let world = generator.world();
            let questions = (0..now).map(|_| generator.question()).collect();
            features.clone_from(&generator.counts);
            (world, questions)
        })
    })
}

/// Compares combinations of permissions on TCP ports.
pub fn connections(session: &mut Session, seed: u64, combinations: usize) -> Result<Report> {
    let mut generator = Generator::new(seed);
    let mut left = combinations;
    run(session, seed, |features| {
        (left > 0).then(|| {
            left = left.saturating_sub(tcp::COMBINATIONS);
            let next = generator.connections();
            features.clone_from(&generator.counts);
            next
        })
    })
}

/// Compares decisions until one differs, and says after how many. Nothing is made small.
pub fn until_difference(session: &mut Session, seed: u64, most: u64) -> Result<Option<(u64, Difference)>> {
    let found = first_difference(session, seed, most);
    // What the logs still say is about a compiler that nobody asks about any more.
    session.ledger = Ledger::default();
    session.connections = Connections::default();
    found
}

fn first_difference(session: &mut Session, seed: u64, most: u64) -> Result<Option<(u64, Difference)>> {
    let mut generator = Generator::new(seed);
    let mut decisions = 0;
    while decisions < most {
        let stage = session.stage(generator.world().objects)?;
        let asks: Vec<_> = (0..QUESTIONS).map(|_| Ask::plain(generator.question())).collect();
        decisions += u64::try_from(asks.len())?;
        let mut found = session.play(&stage, asks)?.differences;
        found.extend(logged(session));
        if let Some(found) = found.into_iter().next() {
            return Ok(Some((decisions, found)));
        }
    }
    session.finish_logs()?;
    Ok(logged(session).into_iter().next().map(|found| (decisions, found)))
}

/// What differs in the logs since the last time.
fn logged(session: &mut Session) -> Vec<Difference> {
    let mut found = session.ledger.sweep();
    found.extend(session.connections.sweep());
    found
}

fn run(session: &mut Session, seed: u64, mut next: impl FnMut(&mut Counts) -> Option<Next>) -> Result<Report> {
    let start = Instant::now();
    let lines = session.ledger.lines;
    session.connections.lines = Lines::default();
    session.tally = Tally::default();
    let mut report = Report {
        seed,
        ..Report::default()
    };
    let (mut told, mut differing, mut walk) = (Instant::now(), 0, Walk::default());
    while let Some((decisions, mut found)) = walk.step(session, || next(&mut report.features))? {
        report.decisions += decisions;
        report.worlds += 1;
        found.extend(logged(session));
        if !found.is_empty() {
            differing += 1;
            // The minimiser's worlds come between: nothing is said about a change from the last of them.
            walk.forget();
            take(session, &mut report, found)?;
        }
        if differing >= ENOUGH {
            break;
        }
        if told.elapsed().as_secs() >= 10 {
            told = Instant::now();
            progress(session, &report, start);
        }
    }
    session.finish_logs()?;
    let found = logged(session);
    report.took = start.elapsed();
    report.tried = walk.tried;
    report.ended.clone_from(&session.tally.ended);
    report.kept = session.tally.kept;
    report.applying = session.tally.applying;
    report.expected.clone_from(&session.tally.expected);
    report.lines = session.ledger.lines - lines;
    report.connections = session.connections.lines;
    take(session, &mut report, found)?;
    Ok(report)
}

fn progress(session: &Session, report: &Report, start: Instant) {
    say(&format!(
        "seed {}: {} decisions, {} worlds, {:.0} s, {} differences, {} connections ended by design",
        report.seed,
        report.decisions,
        report.worlds,
        start.elapsed().as_secs_f64(),
        report.differences.len(),
        session.tally.ended.values().sum::<u64>(),
    ));
}

/// Keeps differences; the first of each world is made small.
fn take(session: &mut Session, report: &mut Report, found: Vec<Difference>) -> Result<()> {
    let mut found = found.into_iter();
    if let Some(first) = found.next() {
        say(&format!("a difference: {}", first.reason));
        let known = report.differences.iter().any(|known| known.reason == first.reason);
        let small = !known && report.differences.iter().filter(|known| known.small).count() < SMALL;
        let first = if small { minimise(session, first)? } else { first };
        if small {
            say(&first.to_string());
        }
        report.differences.push(first);
    }
    report.differences.extend(found);
    Ok(())
}

/// For people who watch.
fn say(line: &str) {
    // There is nobody to tell if this fails.
    let _ = writeln!(std::io::stderr(), "differential: {line}");
}
