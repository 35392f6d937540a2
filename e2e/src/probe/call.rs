//! `tulle-e2e call`: a set of requests and one JSON summary.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Result;
use operator::shop::{CallArgs, Outcome, client};
use serde::{Deserialize, Serialize};

use crate::traffic::Latency;

/// What a set of requests brought.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallSummary {
    /// Each outcome, in order of sending.
    pub outcomes: Vec<Outcome>,
    /// Answers by status; 0 stands for no answer.
    pub statuses: BTreeMap<Status, usize>,
    /// Answers by version of the application.
    pub versions: BTreeMap<String, usize>,
    /// Causes of missing answers.
    pub errors: BTreeMap<String, usize>,
    /// How long answers took.
    pub latency: Latency,
}

/// An HTTP status, or 0 for no answer.
pub type Status = u16;

impl CallSummary {
    /// Counts outcomes.
    pub fn of(mut outcomes: Vec<Outcome>) -> Self {
        outcomes.sort_by_key(|outcome| outcome.index);
        let mut summary = Self::default();
        for outcome in &outcomes {
            let status = outcome.status.filter(|_| outcome.error.is_none()).unwrap_or_default();
            *summary.statuses.entry(status).or_default() += 1;
            if let Some(version) = &outcome.version {
                *summary.versions.entry(version.clone()).or_default() += 1;
            }
            if let Some(error) = &outcome.error {
                *summary.errors.entry(error.clone()).or_default() += 1;
            }
        }
        let answered = outcomes.iter().filter(|outcome| outcome.error.is_none());
        summary.latency = Latency::of(&answered.map(|outcome| outcome.ms).collect::<Vec<_>>());
        Self { outcomes, ..summary }
    }

    /// How many answers had this status.
    pub fn status(&self, status: Status) -> usize {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    /// How many answers came from this version.
    pub fn version(&self, version: &str) -> usize {
        self.versions.get(version).copied().unwrap_or_default()
    }

    /// Whether every request was answered with this status.
    pub fn all(&self, status: Status) -> bool {
        !self.outcomes.is_empty() && self.status(status) == self.outcomes.len()
    }
}

/// Sends the set and prints the summary.
pub async fn run(args: CallArgs) -> Result<()> {
    let (mut receiver, mut outcomes) = (client::start(args), Vec::new());
    while let Some(outcome) = receiver.recv().await {
        outcomes.push(outcome);
    }
    writeln!(
        std::io::stdout().lock(),
        "{}",
        serde_json::to_string(&CallSummary::of(outcomes))?
    )?;
    Ok(())
}
