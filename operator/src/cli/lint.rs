//! `tulle lint DIR`: everything that is wrong with a folder, without a control plane: what parse and link report, and what
//! `config::lint` warns about.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use config::{Settings, Severity};
use serde_json::{Value, json};

use super::plugin::cluster::Cluster;
use crate::source::{self, SourceView};
use crate::status;

/// Flags of `tulle lint`.
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// The folder of objects.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How to print it.
    #[arg(short, long, value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

pub(super) fn run(args: &LintArgs) -> anyhow::Result<ExitCode> {
    folder(&args.folder, &args.output)
}

/// Of a folder.
pub(super) fn folder(folder: &Path, output: &str) -> anyhow::Result<ExitCode> {
    lint(&*source::read_once(folder)?, &Settings::default(), output)
}

/// Of a cluster.
pub(super) async fn cluster(cluster: &Cluster, output: &str) -> anyhow::Result<ExitCode> {
    lint(&*cluster.view().await?, &cluster.settings(), output)
}

fn lint(view: &SourceView, settings: &Settings, output: &str) -> anyhow::Result<ExitCode> {
    let model = config::build(&view.objects, settings, SystemTime::now());
    let mut findings = model.diagnostics.clone();
    // Without the files that cannot be read, rules would seem to be about nobody.
    if view.problems.is_empty() {
        findings.extend(config::lint::lint(&view.objects, &model));
        findings.sort();
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let errors = view.problems.len() + count(Severity::Error);
    let warnings = count(Severity::Warning);
    if output == "json" {
        super::print(&format!("{:#}\n", as_json(view, &findings)))?;
    } else {
        let mut text = String::new();
        for problem in &view.problems {
            text.extend([problem.to_string().as_str(), "\n"]);
        }
        for finding in &findings {
            text.push_str(&line(view, finding));
        }
        super::print(&text)?;
        eprintln!("{} objects, {errors} errors, {warnings} warnings", view.by_name.len());
    }
    Ok(if errors > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// `file:line: Kind/namespace/name: path: Reason: message`
fn line(view: &SourceView, finding: &config::Diagnostic) -> String {
    let place = view
        .places
        .get(&finding.object)
        .map(|place| format!("{}:{}: ", place.file.display(), place.line));
    let warning = if finding.severity == Severity::Warning {
        " (warning)"
    } else {
        ""
    };
    format!("{}{finding}{warning}\n", place.unwrap_or_default())
}

fn as_json(view: &SourceView, findings: &[config::Diagnostic]) -> Value {
    let with_place = |finding: &config::Diagnostic| {
        let mut value = status::finding(finding);
        if let (Some(place), Some(fields)) = (view.places.get(&finding.object), value.as_object_mut()) {
            fields.insert("file".to_owned(), json!(place.file));
            fields.insert("line".to_owned(), json!(place.line));
        }
        value
    };
    json!({"files": view.problems, "objects": findings.iter().map(with_place).collect::<Vec<_>>()})
}
