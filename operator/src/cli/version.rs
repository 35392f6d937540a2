//! `tulle version`.

use clap::Args;

/// Flags of `tulle version`.
#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// How to print it.
    #[arg(short, long, value_parser = ["json"])]
    output: Option<String>,
}

pub(super) fn run(args: &VersionArgs) {
    let (own, envoy) = (env!("CARGO_PKG_VERSION"), crate::envoy_binary::PINNED);
    let text = match args.output {
        Some(_) => format!("{}\n", crate::admin::version()),
        None => format!(
            "tulle {own}\nenvoy {envoy} (any {}.{}.x on PATH is used)\n",
            envoy.major, envoy.minor
        ),
    };
    super::print(&text).ok();
}
