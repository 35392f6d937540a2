//! The `tulle` binary. Everything is in the library; here are only the start and the exit code.

use std::process::ExitCode;

use clap::Parser;
use tulle_operator::cli::{self, Cli};

fn main() -> ExitCode {
    // Two crypto backends in one process make rustls refuse both; this one is ours, before anything can ask.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
