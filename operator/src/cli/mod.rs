//! The command line. One file a command; each reads its flags, calls the library and prints.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed or something is wrong with
//! what was looked at, 2 the command line itself is wrong.

pub mod answers;
mod ask;
mod callers;
mod can_i;
mod demo;
mod diff;
mod explain;
pub(crate) mod get;
mod intercept;
mod lint;
mod logging;
mod operator;
pub mod plugin;
mod proxy;
mod run;
mod token;
mod up;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use get::table::Table;
pub use logging::LogFormat;
pub use up::{UpArgs, options as up_options};

/// A service mesh: one binary as the control plane, stock Envoy as the data plane.
#[derive(Debug, Parser)]
#[command(name = "tulle", version, max_term_width = 100)]
pub struct Cli {
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t, env = "TULLE_LOG_FORMAT")]
    log_format: LogFormat,
    /// What is logged, for example `info` or `info,tulle_operator::engine=debug`.
    #[arg(
        long,
        global = true,
        default_value = "info",
        env = "TULLE_LOG",
        value_name = "FILTER"
    )]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the mesh that a folder of YAML describes.
    Up(up::UpArgs),
    /// Serve the mesh that a Kubernetes cluster describes.
    Operator(Box<operator::OperatorArgs>),
    /// Watch policies take hold on a small shop of real processes and real Envoys on this machine.
    Demo(demo::DemoArgs),
    /// Show objects with their status, as kubectl does.
    Get(get::GetArgs),
    /// Add up who called what, and under which rule, from access logs of proxies.
    Callers(callers::CallersArgs),
    /// Check a folder of YAML without a control plane.
    Lint(lint::LintArgs),
    /// Say what happens to a call and why: who may, by which rule, where it goes, and what would have to differ.
    Explain(explain::ExplainArgs),
    /// Say in one line whether a call is allowed; or list who may call what.
    #[command(name = "can-i")]
    CanI(can_i::CanIArgs),
    /// Say what objects would change in meaning if they were applied: who may call what, routes, what is sent.
    Diff(diff::DiffArgs),
    /// Join tokens for proxies.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Run the Envoy of one workload on this machine.
    Proxy(proxy::ProxyArgs),
    /// Prepare a pod for its proxy: its bootstrap, and the rules of the packet filter. The init container of injected pods.
    #[command(hide = true)]
    Intercept(intercept::InterceptArgs),
    /// The application of the demo and the tests.
    #[command(hide = true)]
    ShopApp(crate::shop::AppArgs),
    /// Requests, as the demo and the tests send them.
    #[command(hide = true)]
    ShopCall(crate::shop::CallArgs),
    /// Show the version, and the Envoy version that belongs to it.
    Version(version::VersionArgs),
}

impl Command {
    /// The demo tells its own story; of the log only what is wrong belongs in it.
    fn log_filter<'a>(&self, asked: &'a str) -> &'a str {
        if matches!(self, Self::Demo(_)) && asked == "info" {
            "warn"
        } else {
            asked
        }
    }
}

/// Runs a command line.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    logging::start(cli.log_format, cli.command.log_filter(&cli.log))?;
    match cli.command {
        Command::Up(args) => up::run(args).await,
        Command::Operator(args) => operator::run(*args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::ShopApp(args) => {
            crate::shop::app::run(args).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::ShopCall(args) => {
            crate::shop::client::run(args).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Get(args) => get::run(args, None).await,
        Command::Callers(args) => callers::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Explain(args) => Ok(explain::run(args, None).await),
        Command::CanI(args) => Ok(can_i::run(args, None).await),
        Command::Diff(args) => Ok(diff::run(args, None).await),
        Command::Token(command) => token::run(&command),
        Command::Proxy(args) => proxy::run(args).await,
        Command::Intercept(args) => intercept::run(&args),
        Command::Version(args) => {
            version::run(&args);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Writes to standard output; a reader that went away (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    match std::io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| std::io::stdout().flush())
    {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
