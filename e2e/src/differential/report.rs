//! What a run has found, as people read it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use super::connections::Lines;
use super::ended::Ended;
use super::generate::Counts;
use super::session::Difference;
use super::walk::Tried;

/// What a run has done and found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Decisions that were compared.
    pub decisions: u64,
    /// Worlds that were applied.
    pub worlds: u64,
    /// Answers from connections that a change ended by design.
    pub ended: BTreeMap<Ended, u64>,
    /// Answers over HTTP/1.1 connections that were open for longer than an Envoy drains what it drops.
    pub kept: u64,
    /// How often `tulle diff` was held against what happened.
    pub tried: Tried,
    /// Access log lines about requests that were compared.
    pub lines: u64,
    /// Those about TCP connections.
    pub connections: Lines,
    /// Answers by what was expected.
    pub expected: BTreeMap<&'static str, u64>,
    /// How often each feature occurred.
    pub features: Counts,
    /// How long it took.
    pub took: Duration,
    /// Within that, how long worlds took to be acknowledged everywhere.
    pub applying: Duration,
    /// What differs; the first ones are small.
    pub differences: Vec<Difference>,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let asking = self.took.saturating_sub(self.applying).as_secs_f64().max(0.001);
        let count = u32::try_from(self.decisions).map_or(f64::INFINITY, f64::from);
        writeln!(
            f,
            "seed {}: {} decisions in {} worlds, {} differences, {} access log lines about requests compared",
            self.seed,
            self.decisions,
            self.worlds,
            self.differences.len(),
            self.lines
        )?;
        let Lines {
            compared,
            shadow,
            unassigned,
        } = self.connections;
        writeln!(
            f,
            "{compared} access log lines about TCP connections compared, {shadow} of them with what Shadow permissions would do; {unassigned} more are nobody's",
        )?;
        writeln!(f, "{}", self.tried)?;
        writeln!(
            f,
            "{} answers over HTTP/1.1 connections that had been open for more than 45 s",
            self.kept
        )?;
        writeln!(
            f,
            "{seconds:.1} s, {:.0} decisions/s ({:.0}/s without applying worlds)",
            count / seconds.max(0.001),
            count / asking
        )?;
        let ended: Vec<String> = self
            .ended
            .iter()
            .map(|(how, count)| format!("{how:?} {count}"))
            .collect();
        writeln!(f, "connections that ended by design: {}", ended.join(", "))?;
        for (what, counts) in [("expected", &self.expected), ("generated", &self.features)] {
            let list: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            writeln!(f, "{what}: {}", list.join(", "))?;
        }
        let mut told = BTreeMap::<&str, u64>::new();
        for difference in &self.differences {
            let times = told.entry(&difference.reason).or_default();
            *times += 1;
            if *times == 1 {
                write!(f, "\n{difference}")?;
            }
        }
        told.iter()
            .try_for_each(|(reason, times)| writeln!(f, "{times} times: {reason}"))
    }
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "DIFFERENCE: {}", self.reason)?;
        writeln!(f, "question: {}", self.question.shown())?;
        for one in &self.expected {
            writeln!(f, "evaluator: {one:?}")?;
        }
        writeln!(f, "observed: {}", self.observed)?;
        for object in &*self.objects {
            let yaml = serde_saphyr::to_string(object).unwrap_or_else(|_| object.to_string());
            write!(f, "---\n{yaml}")?;
        }
        Ok(())
    }
}
