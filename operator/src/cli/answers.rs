//! The answers of `tulle explain` and `tulle diff` for a program that asks often about the same objects.
//!
//! The flags are those of the command line, read by its parser, and what comes back is what it would print: a comparison with
//! real proxies compares what people read. Nothing is printed here, and no control plane is looked for.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use config::Model;
use serde_json::Value;

use super::ask::{Output, World};
use super::diff::Compared;
use super::explain::ExplainArgs;

/// The objects of a folder, read once.
#[derive(Debug)]
pub struct Objects {
    world: World,
    model: Arc<Model>,
}

/// What would be printed.
#[derive(Clone, Debug)]
pub struct Answer {
    /// For people.
    pub text: String,
    /// For programs (`-o json`).
    pub json: Value,
}

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Explain {
    #[command(flatten)]
    args: ExplainArgs,
}

impl Objects {
    /// Reads a folder, as `--folder` does.
    pub fn of_folder(folder: &Path) -> anyhow::Result<Self> {
        let world = World::of_folder(folder)?;
        let model = world.model();
        Ok(Self { world, model })
    }

    /// What they mean.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// `tulle explain ARGUMENTS`.
    pub fn explain<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Answer> {
        let Explain { args } = Explain::try_parse_from(arguments)?;
        let explanation = args.explanation(&self.world, &self.model)?;
        answer(|output| explanation.printed(output))
    }

    /// `tulle diff -f AFTER`.
    pub fn diff(&self, after: &Self) -> anyhow::Result<Answer> {
        let compared = Compared::new(self.world.clone(), Arc::clone(&after.world.view));
        answer(|output| compared.printed(output))
    }
}

fn answer(printed: impl Fn(Output) -> String) -> anyhow::Result<Answer> {
    Ok(Answer {
        text: printed(Output::Text),
        json: serde_json::from_str(&printed(Output::Json)).context("what is printed for programs is no JSON")?,
    })
}
