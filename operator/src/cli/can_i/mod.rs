//! `tulle can-i`: yes or no in one line, or the matrix of who may call what.
//!
//! Exit code as of `tulle explain`; for `--list` 0, or 2 if no caller or Service is called so.

mod list;

use std::process::ExitCode;

use clap::Args;
use config::Model;
use config::evaluator::{Answer, evaluate};

use super::ask::request::RequestArgs;
use super::ask::{Output, SourceArgs, World, or_trouble, say};
use super::plugin::cluster::ClusterArgs;
use crate::cli::explain::Outcome;

/// Flags of `tulle can-i`.
#[derive(Debug, Args)]
pub(super) struct CanIArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// List who may call what: every identity at every Service port.
    #[arg(long, conflicts_with_all = ["from", "to", "method", "path", "header", "host"])]
    list: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    source: SourceArgs,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What of the matrix is wanted.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Filter {
    /// With --list: only Services of this namespace.
    #[arg(short, long, requires = "list")]
    namespace: Option<String>,
    /// With --list: only callers whose namespace/name contains this.
    #[arg(long = "from", id = "only-from", value_name = "TEXT", requires = "list")]
    from: Option<String>,
    /// With --list: only Services whose namespace/name contains this.
    #[arg(long = "to", id = "only-to", value_name = "TEXT", requires = "list")]
    to: Option<String>,
}

pub(super) async fn run(args: CanIArgs, cluster: Option<&ClusterArgs>) -> ExitCode {
    or_trouble(answer(&args, cluster).await)
}

async fn answer(args: &CanIArgs, cluster: Option<&ClusterArgs>) -> anyhow::Result<ExitCode> {
    let world = World::find(&args.source, cluster).await?;
    let model = world.model();
    if args.list {
        super::print(&list::render(&model, &args.filter, args.output)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (text, yes) = one(&args.request, args.output, &world, &model)?;
    super::print(&text)?;
    Ok(ExitCode::from(u8::from(!yes)))
}

/// One call.
fn one(request: &RequestArgs, output: Output, world: &World, model: &Model) -> anyhow::Result<(String, bool)> {
    let (_, question) = request.question(model)?;
    let decision = evaluate(model, &question);
    let outcome = Outcome::of(model, &question, &decision);
    let word = match outcome {
        _ if outcome.gets_through() => "yes",
        Outcome::Partly => "partly",
        _ => "no",
    };
    // Where some let it in, those that do not are what one wants to know.
    let refused = decision
        .arrivals
        .iter()
        .find(|arrival| arrival.verdict.answer != Answer::Allowed);
    let reason = match refused.or(decision.arrivals.first()) {
        Some(arrival) => {
            let rule = say::rule(&arrival.verdict);
            let at = if outcome == Outcome::Partly {
                format!(" at {}", arrival.workload)
            } else {
                String::new()
            };
            format!("{rule}{at}{}", say::place(&world.view, &rule))
        }
        None => outcome.say().to_lowercase(),
    };
    let text = match output {
        Output::Text => format!("{word}  {reason}\n"),
        Output::Json => {
            let rule = refused
                .or(decision.arrivals.first())
                .map(|arrival| arrival.verdict.rule.to_string());
            format!(
                "{:#}\n",
                serde_json::json!({"answer": word, "rule": rule, "text": reason})
            )
        }
    };
    Ok((text, word == "yes"))
}
