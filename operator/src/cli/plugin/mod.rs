//! `kubectl tulle`: the same questions as `tulle`, asked about the cluster of the KUBECONFIG's current context.
//!
//! The same program under another name: kubectl runs `kubectl-tulle` from PATH. Objects are read with the rights of who asks;
//! nothing is changed.

pub(in crate::cli) mod cluster;
mod exec;
mod logs;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use super::{LogFormat, callers, can_i, diff, explain, get, lint, logging, version};
use cluster::{Cluster, ClusterArgs};

/// The name by which kubectl finds the plugin.
const NAME: &str = "kubectl-tulle";

/// Whether the program was started as kubectl's plugin.
pub fn is_meant(program: Option<&OsStr>) -> bool {
    let name = program.map(Path::new).and_then(Path::file_stem);
    name.is_some_and(|name| name == NAME)
}

/// The mesh of a cluster: who may call whom, why, and what would change.
#[derive(Debug, Parser)]
#[command(name = "kubectl-tulle", bin_name = "kubectl tulle", version, max_term_width = 100)]
pub struct Plugin {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// What is logged, for example `info`.
    #[arg(
        long,
        global = true,
        default_value = "warn,kube_client=off",
        env = "TULLE_LOG",
        value_name = "FILTER"
    )]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show objects with their status, as kubectl does; `rules` shows how often each rule decided.
    Get(get::GetArgs),
    /// Say what happens to a call and why: who may, by which rule, where it goes, and what would have to differ.
    Explain(explain::ExplainArgs),
    /// Say in one line whether a call is allowed; or list who may call what.
    #[command(name = "can-i")]
    CanI(can_i::CanIArgs),
    /// Say what objects would change in meaning if they were applied: who may call what, routes, what is sent.
    Diff(diff::DiffArgs),
    /// Say everything that is wrong with the cluster's objects, or with a folder's.
    Lint(LintArgs),
    /// Add up who called what, and under which rule, from the proxies' access logs.
    Callers(CallersArgs),
    /// Show the version, and the Envoy version that belongs to it.
    Version(version::VersionArgs),
}

#[derive(Debug, Args)]
struct LintArgs {
    /// A folder of objects; absent means those of the cluster.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// How to print it.
    #[arg(short, long, value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

#[derive(Debug, Args)]
struct CallersArgs {
    /// Access logs; absent means those of the proxies of a namespace, from their Pods.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The namespace.
    #[arg(short, long)]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only what happened in this time, for example 10m.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<std::time::Duration>,
    #[command(flatten)]
    how: callers::HowArgs,
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    crds::duration::parse(text).ok_or_else(|| format!("{text:?} is no duration; write for example 10m"))
}

/// Runs a command line of the plugin.
pub async fn run(plugin: Plugin) -> anyhow::Result<ExitCode> {
    logging::start(LogFormat::default(), &plugin.log)?;
    let cluster = || Cluster::connect(&plugin.cluster);
    match plugin.command {
        Command::Get(args) => get::run(args, Some(&cluster().await?)).await,
        Command::Explain(args) => Ok(explain::run(args, Some(&plugin.cluster)).await),
        Command::CanI(args) => Ok(can_i::run(args, Some(&plugin.cluster)).await),
        Command::Diff(args) => Ok(diff::run(args, Some(&plugin.cluster)).await),
        Command::Lint(args) => match args.folder {
            Some(folder) => lint::folder(&folder, &args.output),
            None => lint::cluster(&cluster().await?, &args.output).await,
        },
        Command::Callers(args) if !args.files.is_empty() => callers::of_files(&args.files, &args.how),
        Command::Callers(args) => {
            let cluster = cluster().await?;
            let namespace = args.namespace.as_deref().unwrap_or(&cluster.namespace);
            let logs = logs::read(&cluster, (!args.all_namespaces).then_some(namespace), args.since).await?;
            callers::of_text(&logs, &args.how)
        }
        Command::Version(args) => {
            version::run(&args);
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{Plugin, is_meant};

    #[test]
    fn the_name_of_the_program_decides() {
        for (name, meant) in [
            ("/usr/local/bin/kubectl-tulle", true),
            ("kubectl-tulle", true),
            ("kubectl-tulle.exe", true),
            ("/usr/local/bin/tulle", false),
            ("kubectl-tulle/tulle", false),
        ] {
            assert_eq!(is_meant(Some(name.as_ref())), meant, "{name}");
        }
        assert!(!is_meant(None));
    }

    #[test]
    fn help_speaks_of_kubectl() {
        let mut command = Plugin::command();
        command.build();
        assert!(command.render_help().to_string().contains("Usage: kubectl tulle"));
        let get = command
            .find_subcommand_mut("get")
            .map(|get| get.render_help().to_string());
        assert!(get.is_some_and(|help| help.contains("Usage: kubectl tulle get")));
        command.debug_assert();
    }
}
