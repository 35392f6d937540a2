//! The `tulle` binary. Everything is in the library; here are only the start and the exit code.

use std::process::ExitCode;

use clap::Parser;
use tulle_operator::cli::plugin::{self, Plugin};
use tulle_operator::cli::{self, Cli};

/// Under which name the program was started.
enum Asked {
    Itself(Cli),
    ByKubectl(Plugin),
}

fn main() -> ExitCode {
    // Two crypto backends in one process make rustls refuse both; this one is ours, before anything can ask.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    // kubectl runs this program under another name.
    let asked = if plugin::is_meant(std::env::args_os().next().as_deref()) {
        Asked::ByKubectl(Plugin::parse())
    } else {
        Asked::Itself(Cli::parse())
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match asked {
            Asked::ByKubectl(plugin) => plugin::run(plugin).await,
            Asked::Itself(cli) => cli::run(cli).await,
        }
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
