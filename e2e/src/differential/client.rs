//! The test's side of a prober: it runs in a caller's namespace as long as this is held.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, ensure};

use super::prober::{Outcome, Probe};
use crate::harness::Namespace;

/// A running prober.
#[derive(Debug)]
pub struct Prober {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Prober {
    /// Starts one.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let mut command = namespace.tool(&["prober"])?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = BufWriter::new(child.stdin.take().context("no input")?);
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, input, output })
    }

    /// Asks everything at once and waits for every outcome.
    pub fn ask(&mut self, probes: &[Probe]) -> Result<BTreeMap<String, Outcome>> {
        for probe in probes {
            writeln!(self.input, "{}", serde_json::to_string(probe)?)?;
        }
        self.input.flush()?;
        let mut outcomes = BTreeMap::new();
        let mut line = String::new();
        while outcomes.len() < probes.len() {
            line.clear();
            ensure!(self.output.read_line(&mut line)? > 0, "a prober ended");
            let outcome: Outcome = serde_json::from_str(&line)?;
            outcomes.insert(outcome.id.clone(), outcome);
        }
        Ok(outcomes)
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
