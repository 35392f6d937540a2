//! The steps of a long test over one mesh: each is run even if an earlier one failed, and all failures are told at once.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

/// The steps of one test.
#[derive(Debug, Default)]
pub struct Steps {
    failed: Vec<String>,
    count: usize,
}

impl Steps {
    /// Runs a step.
    pub fn run(&mut self, what: &str, step: impl FnOnce() -> Result<()>) {
        let start = Instant::now();
        let result = step();
        self.count += 1;
        let seconds = start.elapsed().as_secs_f64();
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        // libtest shows it for failed tests; there is nobody to tell if this fails.
        let _ = writeln!(std::io::stderr(), "step: {word} {what} ({seconds:.1} s)");
        if let Err(error) = result {
            self.failed.push(format!("{what}: {error:#}"));
        }
    }

    /// The end: an error that names every failed step.
    pub fn finish(self) -> Result<()> {
        anyhow::ensure!(
            self.failed.is_empty(),
            "{} of {} steps failed:\n{}",
            self.failed.len(),
            self.count,
            self.failed.join("\n")
        );
        Ok(())
    }
}
