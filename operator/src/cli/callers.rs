//! `tulle callers FILE...`: who called what and under which rule, from access logs.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::Table;
use crate::callers::{CallerReport, CallerRow, Destination, Sums};

/// Flags of `tulle callers`.
#[derive(Debug, Args)]
pub(super) struct CallersArgs {
    /// Access logs of proxies; `-` is standard input. Lines of others are skipped and counted.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    how: HowArgs,
}

/// How they are added up and printed.
#[derive(Debug, Args)]
pub(super) struct HowArgs {
    /// Tell destinations apart by the address that was dialled, not by the Service that the caller's proxy announced.
    #[arg(long)]
    by_address: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How callers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table.
    #[default]
    Table,
    /// Everything.
    Json,
}

pub(super) fn run(args: &CallersArgs) -> anyhow::Result<ExitCode> {
    of_files(&args.files, &args.how)
}

/// Of files.
pub(super) fn of_files(files: &[PathBuf], how: &HowArgs) -> anyhow::Result<ExitCode> {
    let mut sums = how.sums();
    for file in files {
        sums.read(open(file)?)
            .with_context(|| format!("cannot read {}", file.display()))?;
    }
    show(sums, how)
}

/// Of lines that are at hand.
pub(super) fn of_text(text: &str, how: &HowArgs) -> anyhow::Result<ExitCode> {
    let mut sums = how.sums();
    sums.read(text.as_bytes())?;
    show(sums, how)
}

impl HowArgs {
    fn sums(&self) -> Sums {
        Sums::new(if self.by_address {
            Destination::Address
        } else {
            Destination::Announced
        })
    }
}

fn show(sums: Sums, how: &HowArgs) -> anyhow::Result<ExitCode> {
    let report = sums.report();
    if how.output == Output::Json {
        super::print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        super::print(&table(&report))?;
        let (outbound, foreign) = (report.outbound, report.foreign);
        eprintln!(
            "left out: {outbound} lines of callers' own proxies, {foreign} lines that are not of an access log of ours"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn open(file: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(file).with_context(|| format!("cannot open the access log {}", file.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

fn table(report: &CallerReport) -> String {
    let headings = [
        "Caller",
        "Destination",
        "Rule",
        "Requests",
        "Allowed",
        "Denied",
        "Would-deny",
        "Limited",
        "Faulted",
    ];
    let cells = |row: &CallerRow| {
        let numbers = [
            row.requests,
            row.allowed,
            row.denied,
            row.would_deny,
            row.limited,
            row.faulted,
        ];
        let names = [&row.caller, &row.destination, &row.rule].map(Clone::clone);
        names
            .into_iter()
            .chain(numbers.map(|number| number.to_string()))
            .collect()
    };
    let rows: Vec<Vec<String>> = report.items.iter().map(cells).collect();
    Table::new(headings.map(ToOwned::to_owned)).render(&rows)
}
