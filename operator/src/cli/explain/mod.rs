//! `tulle explain FROM -> TO`: what happens to a call, step by step, with the objects and rules that decide.
//!
//! The reference evaluator answers; nothing is sent anywhere. Exit code 0: the call gets through, 1: it does not, or not always,
//! 2: there is no answer.

pub(in crate::cli) mod json;
mod log_line;
mod text;
mod verdict;

use std::io::Read;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use config::Model;
use config::evaluator::{Evaluator, Nearest, Request};

use super::ask::names::Who;
use super::ask::request::RequestArgs;
use super::ask::{Output, SourceArgs, World, or_trouble};
use super::plugin::cluster::ClusterArgs;
use log_line::Logged;
pub(in crate::cli) use verdict::Outcome;

/// Flags of `tulle explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// Explain one line of a proxy's access log; `-` reads it from standard input.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["from", "to", "method", "path", "header", "host"])]
    log_line: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

impl ExplainArgs {
    /// What they ask for, about these objects.
    pub(super) fn explanation<'a>(&self, world: &'a World, model: &'a Model) -> anyhow::Result<Explanation<'a>> {
        let (who, request, logged) = if let Some(line) = &self.log_line {
            let (who, request, logged) = log_line::read(model, &line_of(line)?)?;
            (who, request, Some(logged))
        } else {
            let (who, request) = self.request.question(model)?;
            (who, request, None)
        };
        Ok(Explanation::new(world, model, who, request, logged))
    }
}

/// Everything there is to say about one call.
pub(super) struct Explanation<'a> {
    pub(super) world: &'a World,
    pub(super) model: &'a Model,
    pub(super) who: Who,
    pub(super) request: Request,
    pub(super) decision: config::evaluator::Decision,
    /// Of each arrival, in their order.
    pub(super) nearest: Vec<Option<Nearest>>,
    pub(super) outcome: Outcome,
    pub(super) logged: Option<Logged>,
}

impl<'a> Explanation<'a> {
    pub(super) fn new(world: &'a World, model: &'a Model, who: Who, request: Request, logged: Option<Logged>) -> Self {
        let evaluator = Evaluator::new(model);
        let decision = evaluator.evaluate(&request);
        let nearest = decision
            .arrivals
            .iter()
            .map(|arrival| evaluator.nearest(&request, arrival))
            .collect();
        Self {
            world,
            model,
            who,
            outcome: Outcome::of(model, &request, &decision),
            request,
            decision,
            nearest,
            logged,
        }
    }

    /// As it is printed.
    pub(super) fn printed(&self, output: Output) -> String {
        match output {
            Output::Text => text::render(self),
            Output::Json => format!("{:#}\n", json::render(self)),
        }
    }
}

pub(super) async fn run(args: ExplainArgs, cluster: Option<&ClusterArgs>) -> ExitCode {
    or_trouble(explain(&args, cluster).await)
}

async fn explain(args: &ExplainArgs, cluster: Option<&ClusterArgs>) -> anyhow::Result<ExitCode> {
    let world = World::find(&args.source, cluster).await?;
    let model = world.model();
    let explanation = args.explanation(&world, &model)?;
    super::print(&explanation.printed(args.output))?;
    Ok(ExitCode::from(u8::from(!explanation.outcome.gets_through())))
}

fn line_of(text: &str) -> anyhow::Result<String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut all = String::new();
    std::io::stdin()
        .read_to_string(&mut all)
        .context("cannot read standard input")?;
    Ok(all)
}
