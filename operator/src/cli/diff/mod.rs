//! `tulle diff -f NEW`: what would change in meaning if NEW were applied. Nothing is applied.
//!
//! Exit codes as of `diff` and `kubectl diff`: 0 nothing changes in meaning, 1 something does or may, 2 trouble.

mod json;
mod text;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use config::diff::Diff;
use config::{Diagnostic, Severity};

use super::ask::{Output, SourceArgs, World, model_of, or_trouble, unreadable};
use super::plugin::cluster::ClusterArgs;
use crate::source::{SourceView, Written};

/// Flags of `tulle diff`.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// What would be applied. A file replaces or adds the objects in it, as `kubectl apply -f` would; a folder takes the place
    /// of everything, so what is missing in it is removed (of a cluster's objects nothing is); `-` is a file on standard input.
    #[arg(short = 'f', long = "filename", value_name = "NEW")]
    new: PathBuf,
    #[command(flatten)]
    source: SourceArgs,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Both sides and what differs.
pub(super) struct Compared {
    pub(super) before: Arc<SourceView>,
    pub(super) after: Arc<SourceView>,
    pub(super) trust_domain: Arc<str>,
    pub(super) diff: Diff,
    /// Findings that are new.
    pub(super) findings: Vec<Diagnostic>,
    pub(super) from: String,
}

pub(super) async fn run(args: DiffArgs, cluster: Option<&ClusterArgs>) -> ExitCode {
    or_trouble(compare(&args, cluster).await)
}

impl Compared {
    /// Compares two sets of objects.
    pub(super) fn new(world: World, after: Arc<SourceView>) -> Self {
        let (old, new) = (world.model(), model_of(&after, &world.settings));
        let findings = new
            .diagnostics
            .iter()
            .filter(|finding| !old.diagnostics.contains(finding))
            .cloned()
            .collect();
        Self {
            diff: config::diff::diff(&old, &new, &world.settings),
            before: world.view,
            after,
            trust_domain: Arc::clone(&new.mesh.trust_domain),
            findings,
            from: world.from,
        }
    }

    /// Whether something changes in meaning, or is wrong that was not before.
    pub(super) fn matters(&self) -> bool {
        let wrong = self.findings.iter().any(|finding| finding.severity == Severity::Error);
        wrong || self.diff.changes_meaning()
    }

    /// As it is printed.
    pub(super) fn printed(&self, output: Output) -> String {
        match output {
            Output::Text => text::render(self),
            Output::Json => format!("{:#}\n", json::render(self)),
        }
    }
}

async fn compare(args: &DiffArgs, cluster: Option<&ClusterArgs>) -> anyhow::Result<ExitCode> {
    let world = World::find(&args.source, cluster).await?;
    let (written, whole) = read(&args.new)?;
    let whole = whole && !world.shared;
    let after = written.applied_to(&world.view, whole);
    let compared = Compared::new(world, Arc::new(after));
    super::print(&compared.printed(args.output))?;
    Ok(ExitCode::from(u8::from(compared.matters())))
}

fn read(new: &Path) -> anyhow::Result<(Written, bool)> {
    let said = |problems: Vec<crate::source::FileProblem>| anyhow::anyhow!(unreadable(&problems));
    if new == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin()
            .read_to_end(&mut text)
            .context("cannot read standard input")?;
        return Ok((Written::parse(text, new).map_err(said)?, false));
    }
    Ok((Written::read(new).map_err(said)?, new.is_dir()))
}
