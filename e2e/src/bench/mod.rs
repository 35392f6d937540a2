//! Benchmarks of the control plane. Figures are printed with their ratio to a null server that sends the same bytes to
//! the same clients in the same run, because milliseconds of one machine mean nothing on another.

mod explain;
mod null;
mod push;
mod script;

pub use explain::ExplainArgs;
pub use null::{NullArgs, serve as serve_null};
pub use push::PushArgs;

use anyhow::Result;

/// Arguments of `tulle-e2e bench`.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum BenchArgs {
    /// How long a change takes until the last proxy has acknowledged it, and what it costs.
    Push(PushArgs),
    /// How long `tulle explain` and `tulle diff` think on a large mesh.
    Explain(ExplainArgs),
}

/// Runs a benchmark.
pub async fn run(args: BenchArgs) -> Result<()> {
    match args {
        BenchArgs::Push(args) => push::run(args).await,
        BenchArgs::Explain(args) => explain::run(&args),
    }
}
